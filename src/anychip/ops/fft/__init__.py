"""Discrete Fourier transforms of any length."""
