"""Losses of language models, with gradients."""
