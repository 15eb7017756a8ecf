"""The back end that `torch.compile` calls. Flows in: a graph and example inputs. Flows out: what Inductor
makes of them with Triton as its language on CPUs, under our substitutions."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch._inductor import list_mode_options
from torch._inductor.compile_fx import compile_fx, compile_fx_inner

from .. import graphs
from . import decompositions, digest, folder, replay
from .substitution import Substitution


@functools.cache
def settings() -> dict[str, Any]:
    """Inductor's settings for a graph compiled by us. Kernels are compiled in this process: each takes
    milliseconds, less than handing it to another one."""
    return {
        "cpu_backend": "triton",
        "compile_threads": 1,
        "post_grad_custom_post_pass": Substitution(),
    }


def backend(
    graph: torch.fx.GraphModule,
    inputs: Sequence[Any],
    *,
    mode: str | None = None,
    options: dict[str, Any] | None = None,
) -> Callable[..., Any]:
    """Compile `graph`. `mode` is one of `torch.compile`'s, whose settings come before ours, and `options` are
    further settings of Inductor's, which come before both."""
    chosen = {**(list_mode_options(mode) if mode else {}), **(options or {})}
    folder.settle()
    digest.settle()
    replay.install()
    graphs.begin()
    made: Any = compile_fx(
        graph,
        inputs,
        inner_compile=_timed,
        config_patches={**settings(), **chosen},
        decompositions=decompositions.table(chosen),
    )
    return made


@functools.wraps(compile_fx_inner)
def _timed(*arguments: Any, **keywords: Any) -> Any:
    """Inductor's compilation of one graph. A backward graph may be compiled long after its forward one."""
    if keywords.get("is_backward"):
        graphs.begin()
    return compile_fx_inner(*arguments, **keywords)
