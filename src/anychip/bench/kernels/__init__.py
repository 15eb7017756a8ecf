"""The suite: portable Triton kernels with the PyTorch call that each one stands against."""
