"""Formulas of scalars that become kernels: a graph of scalar operations, its derivatives, Triton source."""
