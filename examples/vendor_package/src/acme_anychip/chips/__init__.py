"""Acme's chips, in TOML files; Anychip reads them by the entry point `anychip.chips`."""
