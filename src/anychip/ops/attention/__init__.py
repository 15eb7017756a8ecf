"""Attention without the matrix of scores in memory."""
