"""Tasks for kernels: what is to be computed, and on which inputs. Flows in: a public name of PyTorch's, a
name of the operator library, or a file. Flows out: a `Task`, whose inputs are drawn anew for each call."""

from .find import find, is_light
from .task import Draw, Task

__all__ = ["Draw", "Task", "find", "is_light"]
