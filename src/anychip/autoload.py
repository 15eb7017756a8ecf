"""What PyTorch calls at the end of `import torch`, by the entry point group `torch.backends`. Flows in: the
environment. Flows out: what its variables ask for is at work; else nothing is imported, since every program
pays for this module."""

import os

DOORS = (
    (("ANYCHIP_TRAIN",), "training.watching", "prepare"),
    (("ANYCHIP_TRAIN",), "training.watching", "start"),
    (("ANYCHIP_POLICY",), "pytorch.from_environment", "apply"),
    (("ANYCHIP_SANITIZE",), "debug.session", "start"),
    (("ANYCHIP_TRACE",), "debug.trace_session", "start"),
    (("ANYCHIP_PROFILE", "ANYCHIP_PROFILE_DOOR"), "profile.session", "start"),
    (("ANYCHIP_BISECT",), "debug.bisect.session", "follow"),
)
"""Variables (as in `environment`, which is not worth its import here), any of which asks for a function."""


def load() -> None:
    """Put into force what the environment asks for. Errors of Anychip are warnings: PyTorch's import would
    end with them."""
    for variables, module, function in DOORS:
        if not any(os.environ.get(variable) for variable in variables):
            continue
        import importlib
        import logging

        from .errors import AnychipError

        try:
            getattr(importlib.import_module(f"{__package__}.{module}"), function)()
        except AnychipError as error:
            logging.getLogger(__name__).warning("%s is not at work: %s", variables[0], error)
