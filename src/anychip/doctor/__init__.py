"""Checks of an installation: what is there, what is active, and whether kernels run and are right."""
