"""The operator library: plain Triton kernels under PyTorch's own operator names, one source for all
chips. `registry` is the one list of it; each module below a domain's folder adds its records."""

from ..environment import import_torch_first

import_torch_first()
