"""Sampled mutants of the library, and whether the nearest tests notice: `docs/mutation.md`."""
