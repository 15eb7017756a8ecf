"""Layers with a state in place of a cache: convolutions, scans, linear attention."""
