"""The compiler: TTIR text in, object code out. `pipeline.py` holds the stages in order; the folders are the
rooms of `docs/architecture.md`."""
