"""Tile IR: TTIR as objects. Flows in: TTIR text. Flows out: verified functions with calls inlined; the
printer goes the other way."""
