"""Sums, means and maxima of bags of table rows."""
