"""What PyTorch calls at the end of `import torch`, by the entry point group `torch.backends`. Flows in: the
environment. Flows out: a policy in force, where ANYCHIP_POLICY asks for one; else nothing is imported, since
every program pays for this module."""

import os

POLICY = "ANYCHIP_POLICY"
"""As in `environment`, which is not worth its import here."""


def load() -> None:
    """Put the policy of the environment into force. Never raises an error: PyTorch's import would end with
    it."""
    if os.environ.get(POLICY):
        from .pytorch.from_environment import apply

        apply()
