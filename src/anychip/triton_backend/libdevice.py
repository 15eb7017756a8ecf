"""Triton's `libdevice` for the CPU: kernels import it as `triton.language.extra.cpu.libdevice`.

Flows in: the table of symbols that the compiler implements. Flows out: one Triton extern function
for each name, with the argument names and overloads of `triton.language.extra.cuda.libdevice`.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

from triton.language import core

from ..compiler.codegen.libdevice import FUNCTIONS, Overload


def _extern(name: str, overloads: tuple[Overload, ...]) -> Callable[..., Any]:
    """The Triton function that dispatches on the argument types to a symbol."""
    arity = len(overloads[0].arguments)
    symbols = {
        tuple(core.dtype(argument) for argument in o.arguments): (o.symbol, core.dtype(o.result))
        for o in overloads
    }
    parameters = [
        *(inspect.Parameter(f"arg{i}", inspect.Parameter.POSITIONAL_OR_KEYWORD) for i in range(arity)),
        inspect.Parameter("_semantic", inspect.Parameter.POSITIONAL_OR_KEYWORD, default=None),
    ]
    signature = inspect.Signature(parameters)

    def function(*args: Any, **kwargs: Any) -> Any:
        bound = signature.bind(*args, **kwargs).arguments
        semantic = bound.pop("_semantic", None)
        return core.extern_elementwise(
            "", "", list(bound.values()), symbols, is_pure=True, _semantic=semantic
        )

    function.__name__ = function.__qualname__ = name
    function.__doc__ = ", ".join(f"{o.symbol}({', '.join(o.arguments)}) -> {o.result}" for o in overloads)
    function.__signature__ = signature  # type: ignore[attr-defined]
    return core.extern(function)


__all__ = list(FUNCTIONS)  # pyright: ignore[reportUnsupportedDunderAll]

globals().update({name: _extern(name, overloads) for name, overloads in FUNCTIONS.items()})
