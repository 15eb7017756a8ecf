"""Convolutions of one to three spatial dimensions, and the rearrangements they are built from."""
