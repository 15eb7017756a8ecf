"""Positions in sequences: rotary embeddings."""
