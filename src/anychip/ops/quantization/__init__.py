"""Quantisation as operators of plain floating tensors."""
