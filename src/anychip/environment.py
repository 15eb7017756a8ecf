"""Names of the environment variables by which a program runs under a policy without a changed line, and the
order in which Anychip and PyTorch have to be imported then. Importing this module costs next to nothing."""

from __future__ import annotations

import os
import sys

POLICY = "ANYCHIP_POLICY"
"""One of the policies; unset or empty: PyTorch runs on its own."""
ONLY, EXCLUDE = "ANYCHIP_ONLY", "ANYCHIP_EXCLUDE"
"""Names of operators, domains or overloads, separated by commas: what `enable` takes as `only` and
`exclude`."""
RUN = "ANYCHIP_RUN"
"""Written by `anychip run` for the process that it becomes: a JSON object with its number and what to
report."""
SANITIZE = "ANYCHIP_SANITIZE"
"""Which checks kernels are compiled with (see `triton_backend.sanitizer`)."""
SANITIZE_REPORT = "ANYCHIP_SANITIZE_REPORT"
"""Written by `anychip debug sanitize`: the folder into which processes write what was found."""
TRACE = "ANYCHIP_TRACE"
"""Written by `anychip debug trace` for the program that it starts: a JSON object (see
`debug.trace_session`)."""
PROFILE, PROFILE_DOOR = "ANYCHIP_PROFILE", "ANYCHIP_PROFILE_DOOR"
"""Written by `anychip profile` for the program that it starts: a JSON object with its own number, a
folder, and what to gather. With the other at 1, a program can be attached to (see `profile.session`)."""
BISECT = "ANYCHIP_BISECT"
"""Written by `anychip debug bisect` for a process that it starts: a JSON object that says what to follow (see
`debug.bisect.session`)."""
TRAIN, TRAIN_CHIPS = "ANYCHIP_TRAIN", "ANYCHIP_TRAIN_CHIPS"
"""Written by `anychip train`: the folder into which ranks write their steps, and the cores that they compile
for, one for each rank in turn."""
AUTOLOAD = "TORCH_DEVICE_BACKEND_AUTOLOAD"
"""PyTorch's own variable: anything but 1 says that it shall load no back end by itself."""

ENTRY_GROUP, ENTRY_NAME = "torch.backends", "anychip"
"""The entry point through which PyTorch calls `autoload.load` at the end of its own import."""


def import_torch_first() -> None:
    """Import PyTorch now where that will put a policy into force: this imports most of Anychip, which must
    not happen in the middle of the import of one of its modules. Packages that a policy needs call it before
    they import anything of their own."""
    if os.environ.get(POLICY) and "torch" not in sys.modules:
        try:
            import torch  # noqa: F401
        except ImportError:  # whoever needs it will say so
            return


def leave_policy() -> None:
    """Take the variables away from this process and its children: what compares with PyTorch, or times it,
    has to have PyTorch's own operators."""
    for name in (POLICY, ONLY, EXCLUDE, RUN):
        os.environ.pop(name, None)
