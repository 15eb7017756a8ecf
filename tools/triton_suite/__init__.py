"""Triton's own language tests, run unmodified: `docs/conformance.md`."""
