"""What PyTorch calls at the end of `import torch`, by the entry point group `torch.backends`. Flows in: the
environment. Flows out: a policy in force, where ANYCHIP_POLICY asks for one, the sanitizer at work where
ANYCHIP_SANITIZE does, the run followed where ANYCHIP_BISECT does, and a profile begun where ANYCHIP_PROFILE
does; else nothing is imported, since every program pays for this module."""

import os

POLICY, SANITIZE, TRACE, BISECT = "ANYCHIP_POLICY", "ANYCHIP_SANITIZE", "ANYCHIP_TRACE", "ANYCHIP_BISECT"
PROFILE, PROFILE_DOOR = "ANYCHIP_PROFILE", "ANYCHIP_PROFILE_DOOR"
"""As in `environment`, which is not worth its import here."""


def load() -> None:
    """Put the policy and the sanitizer of the environment into force. Never raises an error: PyTorch's import
    would end with it."""
    if os.environ.get(POLICY):
        from .pytorch.from_environment import apply

        apply()
    if os.environ.get(SANITIZE):
        import logging

        from .debug.session import start
        from .errors import AnychipError

        try:
            start()
        except AnychipError as error:
            logging.getLogger(__name__).warning("the sanitizer is not at work: %s", error)
    if os.environ.get(TRACE):
        from .debug.trace_session import start as start_trace

        start_trace()
    if os.environ.get(PROFILE) or os.environ.get(PROFILE_DOOR):
        from .profile.session import start as start_profile

        start_profile()
    if os.environ.get(BISECT):
        from .debug.bisect.session import follow

        follow()
