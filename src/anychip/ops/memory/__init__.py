"""Copies, conversions and fills: operators that move or write memory and compute nothing else."""
