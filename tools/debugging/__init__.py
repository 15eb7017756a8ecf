"""Measures the tools that find faults: what `anychip debug bisect` finds of planted ones, and what it
costs."""
