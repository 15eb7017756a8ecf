"""`torch.compile(model, backend="anychip")`: Inductor's fused Triton kernels compiled by us, and matrix
products by the operator library where it is the faster one. Found by PyTorch through the entry point group
`torch_dynamo_backends`."""

from .backend import backend

__all__ = ["backend"]
