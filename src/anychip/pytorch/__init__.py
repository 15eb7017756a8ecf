"""PyTorch's operators served by portable kernels: `enable`, `disable`, `using` and `report`."""

from ..environment import import_torch_first
from ..packages import require

require("anychip.pytorch", ["torch"])
import_torch_first()

from .errors import FallThroughError  # noqa: E402
from .policy import Policy, disable, enable, policy, using  # noqa: E402
from .report import Report, report  # noqa: E402

__all__ = ["FallThroughError", "Policy", "Report", "disable", "enable", "policy", "report", "using"]
