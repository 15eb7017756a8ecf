"""Measurements of `anychip migrate` on packages of other projects, unpacked outside the repository."""
