"""Normalisations along rows: softmax, layer norm, with their backward operators."""
