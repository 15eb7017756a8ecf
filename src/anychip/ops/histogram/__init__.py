"""Counts of values in bins."""
