"""Triton's own language tests, run unmodified: `docs/triton-tests.md`."""
