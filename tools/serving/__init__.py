"""Measures language models that are served or exported, with files that tests do not have, and writes models
of random weights."""
