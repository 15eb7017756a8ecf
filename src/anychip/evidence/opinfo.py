"""Trials from PyTorch's own database of operators with samples (OpInfo). Flows in: an entry's name and a
dtype. Flows out: trials, each with what PyTorch itself made of the call, in the dtype and in float64.
Nothing here may run while our operators are enabled."""

from __future__ import annotations

import dataclasses
import functools
import itertools
import warnings
from collections.abc import Callable, Collection, Iterable, Iterator
from typing import Any

import torch
from torch.utils._pytree import tree_map

from ..ops.registry import ALL
from ..packages import MissingPackage
from .edges import edges
from .errors import EvidenceError
from .exceptions import exemption
from .gradients import checked_gradient, differentiable, gradient
from .inputs import copied, detached, seed, summary
from .oracle import Refused, caller, is_pointwise, native_result, told
from .outcome import KINDS
from .trial import Trial

DTYPES: tuple[torch.dtype, ...] = (*ALL, torch.complex64)
"""What is tried; quantised types are outside of the library, and few of its operators serve complex ones."""

EDGED = 3
"""Samples of which inputs at the edges are made, and of which `gradcheck` is asked."""

VARIED = 8
"""Samples that are tried in strided memory, in place and into `out`, too; all are tried forward and by their
gradients."""

REFERENCES = 16
"""PyTorch's harder inputs that are tried."""


@functools.cache
def entries() -> dict[str, Any]:
    """Every entry of the database by its full name. Raises MissingPackage without `expecttest`."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            from torch.testing._internal.common_methods_invocations import op_db
    except ModuleNotFoundError as error:
        missing = (error.name or "expecttest").partition(".")[0]
        raise MissingPackage("PyTorch's database of samples", [missing]) from None
    return {entry.full_name: entry for entry in op_db}


def entry_of(name: str) -> Any:
    """One entry; EvidenceError for a name that the database does not have."""
    if name not in entries():
        raise EvidenceError(f"PyTorch's database of samples has no entry {name!r}.")
    return entries()[name]


def dtypes_of(name: str) -> tuple[torch.dtype, ...]:
    """The dtypes for which PyTorch has samples of an entry and which are tried."""
    entry = entry_of(name)
    supported = entry.supported_dtypes("cpu")
    return tuple(
        dtype
        for dtype in DTYPES
        if dtype in supported and exemption("skipped", entry.full_name, "sample", dtype) is None
    )


def names_of(name: str) -> set[str]:
    """The names of ATen operators that an entry is about, without underscores at their ends."""
    entry = entry_of(name)
    found = {entry.name.rpartition(".")[2], entry.aten_name, entry.name.replace(".", "_")}
    found |= {alias.name.rpartition(".")[2] for alias in entry.aliases}
    found |= {word.removeprefix("special_").removeprefix("linalg_") for word in found}
    return {word.strip("_") for word in found if word}


def trials(
    name: str, dtype: torch.dtype, limit: int | None = None, kinds: Iterable[str] = ()
) -> Iterator[Trial]:
    """Trials of an entry, of wrong inputs, samples and reference inputs in turn, so that a run that is cut
    short has some of each. `limit` bounds the samples of each (None: all of them); `kinds` selects among
    `outcome.KINDS` (empty: all)."""
    entry = entry_of(name)
    wanted = [kind for kind in (kinds or KINDS) if exemption("skipped", entry.full_name, kind, dtype) is None]
    makers = [maker(entry, dtype, limit, wanted) for maker in (_errors, _samples, _references)]
    while makers:
        for maker in list(makers):
            trial = next(maker, None)
            if trial is None:
                makers.remove(maker)
            else:
                yield trial


def _drawn(function: Any, limit: int | None, *arguments: Any, **keywords: Any) -> Iterator[Any]:
    """Samples, one by one; a generator of PyTorch's that fails ends the list."""
    seed()
    samples = iter(function(*arguments, **keywords))
    for number in itertools.count() if limit is None else range(limit):
        seed(number)
        try:
            yield next(samples)
        except StopIteration:
            return
        except Exception:
            return


def _samples(entry: Any, dtype: torch.dtype, limit: int | None, wanted: Collection[str]) -> Iterator[Trial]:
    """Forward, in strided memory, in place, into `out`, gradients and edges, of each sample."""
    wants = differentiable(entry, dtype)
    for number, sample in enumerate(_drawn(entry.sample_inputs, limit, "cpu", dtype, requires_grad=wants)):
        for trial in _of_sample(entry, dtype, number, sample, wanted):
            if trial is not None:
                yield trial


def _of_sample(
    entry: Any, dtype: torch.dtype, number: int, sample: Any, wanted: Collection[str]
) -> Iterator[Trial | None]:
    plain = tree_map(detached, ([sample.input, *sample.args], dict(sample.kwargs)))
    makers: dict[str, Callable[[], Trial | None]] = {
        "sample": lambda: told(entry, "sample", dtype, plain, caller(entry.op, plain)),
        "layout": lambda: _layout(entry, dtype, sample),
        "in-place": lambda: _in_place(entry, dtype, sample, plain),
        "out": lambda: _out(entry, dtype, plain, strided=bool(number % 2)),
    }
    if differentiable(entry, dtype):
        makers["gradient"] = lambda: gradient(entry, dtype, sample)
        if number < EDGED and dtype == torch.float64:
            makers["gradcheck"] = lambda: checked_gradient(entry, sample)
    for kind, make in makers.items():
        if kind in wanted and (number < VARIED or kind in ("sample", "gradient")):
            yield make()
    if number < EDGED:
        yield from _edges(entry, dtype, plain, wanted)


def _edges(entry: Any, dtype: torch.dtype, plain: Any, wanted: Collection[str]) -> Iterator[Trial | None]:
    for kind, inputs in edges(plain):
        if kind in wanted:
            yield told(entry, kind, dtype, inputs, caller(entry.op, inputs))


def _layout(entry: Any, dtype: torch.dtype, sample: Any) -> Trial | None:
    try:
        strided = sample.noncontiguous()
    except Exception:
        return None
    inputs = tree_map(detached, ([strided.input, *strided.args], dict(strided.kwargs)))
    return told(entry, "layout", dtype, inputs, caller(entry.op, inputs))


def _in_place(entry: Any, dtype: torch.dtype, sample: Any, inputs: Any) -> Trial | None:
    function = entry.inplace_variant
    if function is None or sample.broadcasts_input or not isinstance(sample.input, torch.Tensor):
        return None

    def call(convert: Callable[[Any], Any]) -> Callable[[], Any]:
        arguments, keywords = tree_map(convert, inputs)

        def run() -> Any:
            result = function(*arguments, **keywords)
            return arguments[0], result is arguments[0]

        return run

    return told(entry, "in-place", dtype, inputs, call)


def _out(entry: Any, dtype: torch.dtype, inputs: Any, strided: bool) -> Trial | None:
    """Into tensors of the right shape, strided ones at every second sample."""
    if not entry.supports_out:
        return None
    try:
        results, _ = native_result(caller(entry.op, inputs), copied)
    except Refused:
        return None
    several = isinstance(results, (tuple, list))
    shapes = [(x.shape, x.dtype) for x in (results if several else (results,)) if isinstance(x, torch.Tensor)]
    if not shapes or (several and len(shapes) != len(results)):
        return None

    def call(convert: Callable[[Any], Any]) -> Callable[[], Any]:
        arguments, keywords = tree_map(convert, inputs)
        targets = tuple(_target(shape, convert(dtype), strided) for shape, dtype in shapes)

        def run() -> Any:
            entry.op(*arguments, **keywords, out=targets if several else targets[0])
            return targets

        return run

    made = told(entry, "out", dtype, inputs, call)
    return None if made is None else dataclasses.replace(made, native=results if several else (results,))


def _target(shape: torch.Size, dtype: torch.dtype, strided: bool) -> torch.Tensor:
    if strided and shape:
        return torch.empty((*shape[:-1], 2 * shape[-1]), dtype=dtype)[..., ::2]
    return torch.empty(shape, dtype=dtype)


def _references(
    entry: Any, dtype: torch.dtype, limit: int | None, wanted: Collection[str]
) -> Iterator[Trial]:
    """PyTorch's harder inputs: large, strided, special values."""
    if "reference" not in wanted or (entry.reference_inputs_func is None and not is_pointwise(entry)):
        return
    for sample in _drawn(entry.reference_inputs, min(limit or REFERENCES, REFERENCES), "cpu", dtype):
        inputs = tree_map(detached, ([sample.input, *sample.args], dict(sample.kwargs)))
        made = told(entry, "reference", dtype, inputs, caller(entry.op, inputs))
        if made is not None:
            yield made


def _errors(entry: Any, dtype: torch.dtype, limit: int | None, wanted: Collection[str]) -> Iterator[Trial]:
    """Wrong inputs: the same kind of error as PyTorch's. They have dtypes of their own, so they are
    tried with float32, or with the only dtype of an entry."""
    if "error" not in wanted or entry.error_inputs_func is None or dtype != dtypes_of(entry.full_name)[0]:
        return
    for wrong in _drawn(entry.error_inputs, limit, "cpu"):
        sample = wrong.sample_input
        inputs = tree_map(detached, ([sample.input, *sample.args], dict(sample.kwargs)))
        call = caller(entry.op, inputs)
        try:
            call(copied)()
        except Exception as error:
            kind = next((k for k in type(error).__mro__ if k.__module__ == "builtins"), RuntimeError)
            if issubclass(kind, Exception):
                yield Trial("error", summary(inputs), (call(copied),), raises=_broad(kind))


def _broad(kind: type[Exception]) -> type[Exception]:
    """The kind itself, but for subclasses of RuntimeError that only say who raised."""
    return RuntimeError if kind is NotImplementedError else kind
