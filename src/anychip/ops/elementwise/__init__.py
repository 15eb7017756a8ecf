"""Pointwise operators of ATen as one-line scalar functions, a family a file."""
