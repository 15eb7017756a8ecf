"""Coefficients of the library's mathematical functions."""
