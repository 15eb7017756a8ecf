"""PyTorch's operators served by portable kernels: `enable`, `disable`, `using` and `report`."""

from .errors import FallThroughError
from .policy import Policy, disable, enable, policy, using
from .report import Report, report

__all__ = ["FallThroughError", "Policy", "Report", "disable", "enable", "policy", "report", "using"]
