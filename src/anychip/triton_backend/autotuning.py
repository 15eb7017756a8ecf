"""What an autotuned kernel tries on this chip. Flows in: the configurations of `triton.autotune`, written for
GPUs, after the kernel's own pruning. Flows out: the one that `anychip tune` found best, or else those that
differ here, likely ones first, of which the first few that run are timed.

Triton's `Autotuner` stays as it is: `install` wraps the two methods in which it chooses what to try and tries
it. What a GPU's configurations mostly differ in (warps, stages, registers) changes nothing on a CPU, and a
dozen shapes of a tile would take a dozen compilations before the first result.
"""

from __future__ import annotations

import functools
import logging
import math
import os
import sys
from collections.abc import Callable, Collection, Iterable, Mapping
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec
from typing import Any

from ..errors import AnychipError
from ..measurements.size_class import parameter
from ..signatures import is_known
from .options import WITHOUT_EFFECT

_log = logging.getLogger(__name__)

TRIALS = 2
"""Configurations that are compiled and timed: so many compilations, and the first call stays within three
times a single one's."""
TRIALS_VARIABLE = "ANYCHIP_AUTOTUNE_TRIALS"
"""Environment variable with another number; `all` tries every configuration that differs."""

SMALLEST_TILE = 16
"""Integers of a configuration below this count groups, splits or stages, not elements of a tile."""
FAVOURITE_ELEMENTS: dict[int, float] = {1: 2.0**11, 2: 2.0**12, 3: 2.0**19}
"""Axes of a tile -> the product of its sides that this compiler likes: of vectors, of matrices, and of matrix
products, whose third axis is the one that is summed."""

_UNTRIED = [math.inf, math.inf, math.inf]
_SEEN = "_anychip_trials"
_MODULE = "triton.runtime.autotuner"


class TrialsError(AnychipError, ValueError):
    """The environment's number of trials is none."""


def trials() -> float:
    """How many configurations may be timed. Raises TrialsError for what is neither a positive number nor
    `all`."""
    text = os.environ.get(TRIALS_VARIABLE, "")
    if text == "all":
        return math.inf
    if not text:
        return TRIALS
    if not text.isdecimal() or int(text) < 1:
        raise TrialsError(
            f"{TRIALS_VARIABLE}={text!r}: the number of configurations to try is 1 or more, or 'all'"
        )
    return int(text)


def identity(config: Any, parameters: Collection[str]) -> tuple[Any, ...]:
    """What tells a configuration from others on this chip: its values, without the options that do not shape
    a CPU's code, unless the kernel takes them as parameters of its own."""
    values = {
        name: value
        for name, value in config.all_kwargs().items()
        if name in parameters or name not in WITHOUT_EFFECT
    }
    return (tuple(sorted((name, repr(value)) for name, value in values.items())), config.pre_hook)


def distinct(configs: Iterable[Any], parameters: Collection[str]) -> list[Any]:
    """The first of each set of configurations that are equal here, in the user's order."""
    first: dict[tuple[Any, ...], Any] = {}
    for config in configs:
        first.setdefault(identity(config, parameters), config)
    return list(first.values())


def distance(config: Any) -> float:
    """How far a configuration's tile is from what the compiler likes, in powers of two; the less the
    better."""
    sides = [v for v in config.kwargs.values() if type(v) is int and v >= SMALLEST_TILE and not v & (v - 1)]
    favourite = FAVOURITE_ELEMENTS.get(len(sides))
    return abs(math.log2(math.prod(sides) / favourite)) if favourite else 0.0


def likely_first(configs: Iterable[Any]) -> list[Any]:
    """Configurations by `distance`; equally distant ones stay in the user's order."""
    return sorted(configs, key=distance)


def class_of(types: Mapping[str, str], scalars: Mapping[str, Any]) -> str:
    """The class of launches that tuned constants are for: types of the parameters that are no constants, and
    the classes of sizes of integers."""
    words = [f"{name}:{kind}" for name, kind in sorted(types.items()) if kind != "constexpr"]
    sizes = {name: value for name, value in scalars.items() if type(value) is int}
    return " ".join([*words, *(f"{name}={parameter(value)}" for name, value in sorted(sizes.items()))])


def tuned(autotuner: Any, configs: Iterable[Any], keywords: Mapping[str, Any]) -> Any:
    """The configuration that the tuning database holds for a launch of this class; None where it holds none,
    or one that the autotuner does not have."""
    from triton.runtime.jit import JITFunction, mangle_type

    from . import choosing

    kernel = autotuner.fn
    while not isinstance(kernel, JITFunction):
        kernel = getattr(kernel, "fn", None)
        if kernel is None:
            return None
    constant = {parameter.name for parameter in kernel.params if parameter.is_constexpr}
    given = {
        name: value
        for name, value in {**autotuner.nargs, **keywords}.items()
        if name in kernel.arg_names and name not in constant
    }
    types = {name: mangle_type(value) for name, value in given.items()}
    values = choosing.constants(kernel, class_of(types, given))
    if values is None:
        return None
    matching = (c for c in configs if all(c.kwargs.get(name) == value for name, value in values.items()))
    return next(matching, None)


def _pruning(stock: Callable[..., list[Any]]) -> Callable[..., list[Any]]:
    @functools.wraps(stock)
    def prune_configs(self: Any, kwargs: dict[str, Any]) -> list[Any]:
        from . import is_active

        configs = stock(self, kwargs)
        if len(configs) < 2 or not is_active():
            return configs
        known = tuned(self, configs, kwargs)
        if known is not None:
            return [known]
        chosen = likely_first(distinct(configs, self.arg_names))
        _log.debug(
            "%s: %d of %d configurations differ on this chip",
            self.base_fn.__name__,
            len(chosen),
            len(configs),
        )
        setattr(self, _SEEN, 0)
        return chosen

    return prune_configs


def _benching(stock: Callable[..., list[float]]) -> Callable[..., list[float]]:
    @functools.wraps(stock)
    def bench(self: Any, *args: Any, config: Any, **meta: Any) -> list[float]:
        seen = getattr(self, _SEEN, None)
        if seen is None:
            return stock(self, *args, config=config, **meta)
        if seen >= trials():
            return list(_UNTRIED)
        timing = stock(self, *args, config=config, **meta)
        times = timing if isinstance(timing, list | tuple) else [timing]
        setattr(self, _SEEN, seen + (times[0] != math.inf))
        return timing

    return bench


class _Watch(MetaPathFinder):
    """Finds nothing; sees the first import after Triton's autotuner is there. Back ends are imported in the
    middle of `import triton`, before that, and are not asked again before a kernel's first launch."""

    def find_spec(self, fullname: str, path: Any = None, target: Any = None) -> ModuleSpec | None:
        if _wrap():
            sys.meta_path.remove(self)
        return None


def _wrap() -> bool:
    """Wrap the autotuner's methods, if it is loaded. Returns whether."""
    kind = getattr(sys.modules.get(_MODULE), "Autotuner", None)
    if kind is None:
        return False
    if is_known(kind.prune_configs, ("self", "kwargs")) and is_known(
        kind._bench, ("self", "*args", "config", "**meta")
    ):
        kind.prune_configs = _pruning(kind.prune_configs)
        kind._bench = _benching(kind._bench)
    return True


@functools.cache
def install() -> None:
    """Have autotuned kernels choose by these rules, now or as soon as Triton is imported."""
    if not _wrap():
        sys.meta_path.insert(0, _Watch())
