"""Losses whose definition is an operator of its own in ATen."""
