"""Training jobs started and watched: `anychip train` over torchrun. The trainer is the script's own.

A script may say what a step was, `anychip.training.report(loss=..., tokens=...)`; without `anychip train`
the call does nothing. Where a script says nothing, steps of optimisers and losses given to `backward` are
watched.
"""

from .watching import report

__all__ = ["report"]
