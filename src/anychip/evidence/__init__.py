"""Proof that operators of the library do what PyTorch's do: trials from PyTorch's own database of
samples, their outcomes, the record of a run on a chip, and the page made from it."""
