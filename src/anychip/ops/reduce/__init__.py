"""Reductions of ATen: sums, means, extremes, norms, truth."""
