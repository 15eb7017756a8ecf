"""The demonstration: a sentence-embedding model with its real weights, measured on portable kernels."""
