"""Order: sorting, selecting the largest, searching, distinct values."""
