"""Padding by the input's own elements."""
