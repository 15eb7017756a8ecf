"""Acme's back end of Triton: `compiler` makes code, `driver` loads and launches it."""
