"""Acme's chips for Anychip: `chips/` describes them, `triton/` compiles and launches for them."""
