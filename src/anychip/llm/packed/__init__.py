"""Weights in blocks of a few bits, as GGUF files store them, and products that compute upon them."""
