"""The example that pretrains, run in every cut and compared."""
