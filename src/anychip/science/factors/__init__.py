"""Factors of sparse matrices: orders with little fill, LU with pivots, incomplete LU, and what is solved with
them."""
