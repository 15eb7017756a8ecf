"""Operators proved on chips that are not here: their launches are recorded on this machine, replayed as the
chip's own machine code, and the results compared with PyTorch's. Flows out: a record for each chip."""
