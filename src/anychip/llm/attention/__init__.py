"""Attention as language models need it: packed sequences, windows, biases, caches in pages."""
