"""The one place where operators launch kernels. Flows in: kernels, tensors, tile sizes for both classes of
chip, and the options of the caller's context (`with launching(...)`). Flows out: launches, which are counted
by kernel."""

from .context import launching, set_for_process
from .counting import attribution, launch_counts
from .dtypes import COMPUTE_DTYPES, EIGHT_BIT_FLOATS, TRITON_DTYPES, compute_dtype, scalar_bits
from .options import First, LaunchOptions, SizeClass, launch_options
from .plan import Plan, planned_launches, signature
from .plans import Plans
from .tiles import ANY, Tiles, cdiv, has_vectors
from .unplanned import launch

__all__ = [
    "ANY",
    "COMPUTE_DTYPES",
    "EIGHT_BIT_FLOATS",
    "TRITON_DTYPES",
    "First",
    "LaunchOptions",
    "Plan",
    "Plans",
    "SizeClass",
    "Tiles",
    "attribution",
    "cdiv",
    "compute_dtype",
    "has_vectors",
    "launch",
    "launch_counts",
    "launch_options",
    "launching",
    "planned_launches",
    "scalar_bits",
    "set_for_process",
    "signature",
]
