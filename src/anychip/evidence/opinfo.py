"""Trials from PyTorch's own database of operators with samples (OpInfo). Flows in: an entry's name and a
dtype. Flows out: trials, each with what PyTorch itself made of the call, in the dtype and in float64.
Nothing here may run while our operators are enabled."""

from __future__ import annotations

import dataclasses
import functools
import itertools
import random
import warnings
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import numpy
import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_flatten, tree_map

from ..ops.registry import ALL
from ..pytorch.observation import draws_random_numbers
from .errors import EvidenceError, MissingPackage
from .trial import SEED, Trial, length_of, scale_of

Call = Callable[[Callable[[Any], Any]], Callable[[], Any]]
"""Given a function that copies or converts inputs, makes them ready and gives what is to be run."""

DTYPES: tuple[torch.dtype, ...] = ALL
"""What is tried; complex and quantised types are outside of the library."""


@functools.cache
def entries() -> dict[str, Any]:
    """Every entry of the database by its full name. Raises MissingPackage without `expecttest`."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            from torch.testing._internal.common_methods_invocations import op_db
    except ModuleNotFoundError as error:
        raise MissingPackage(
            f"PyTorch's database of samples needs the package {error.name}, which is not installed.\n"
            "  Install it: pip install 'anychip[test]'"
        ) from None
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
        if dtype in supported and (dtype.is_floating_point or entry.name not in POLES)
    )


def names_of(name: str) -> set[str]:
    """The names of ATen operators that an entry is about, without underscores at their ends."""
    entry = entry_of(name)
    found = {entry.name.rpartition(".")[2], entry.aten_name, entry.name.replace(".", "_")}
    found |= {alias.name.rpartition(".")[2] for alias in entry.aliases}
    found |= {word.removeprefix("special_").removeprefix("linalg_") for word in found}
    return {word.strip("_") for word in found if word}


def trials(
    name: str,
    dtype: torch.dtype,
    limit: int | None = None,
    kinds: Iterable[str] = (),
) -> Iterator[Trial]:
    """Trials of an entry. `limit` bounds the samples (None: all of them); `kinds` selects (see
    `outcome.KINDS`; empty: all)."""
    entry = entry_of(name)
    wanted = set(kinds)
    for maker in (_samples, _references, _errors):
        for trial in maker(entry, dtype, limit):
            if not wanted or trial.kind in wanted:
                yield trial


POLES = frozenset({"polygamma", "special.polygamma"})
"""Entries with poles at integers, where PyTorch gives what its rounding leaves: not tried in integers."""

PICKED = frozenset({"topk", "sort", "kthvalue", "median", "nanmedian", "mode"})
"""Entries that give values with their places, where PyTorch leaves open which of equal elements is named."""

UNSIGNED = frozenset({"linalg.eigh", "linalg.svd", "linalg.qr", "qr", "svd"})
"""Entries whose vectors are determined but for their sign: magnitudes are compared (and gradients)."""


# ---- inputs ---------------------------------------------------------------------------------------


def seed() -> None:
    """The state from which samples are drawn."""
    torch.manual_seed(SEED)
    numpy.random.seed(SEED)
    random.seed(SEED)


def copied(value: Any) -> Any:
    """A tensor in the same layout, in memory of its own, that wants a gradient if `value` does; any
    other value as it is."""
    if not isinstance(value, torch.Tensor):
        return value
    x = value.detach()
    if x.layout != torch.strided or x.is_conj() or x.is_neg() or not x.numel():
        return x.clone().requires_grad_(value.requires_grad)
    storage = x.untyped_storage().clone()
    alike = torch.empty(0, dtype=x.dtype).set_(storage, x.storage_offset(), x.shape, x.stride())
    return alike.requires_grad_(value.requires_grad)


def in_float64(value: Any) -> Any:
    """`copied` in double precision where it is floating; dtypes likewise."""
    if isinstance(value, torch.Tensor):
        if not value.is_floating_point():
            return copied(value)
        return value.detach().to(torch.float64, copy=True).requires_grad_(value.requires_grad)
    if isinstance(value, torch.dtype) and value.is_floating_point:
        return torch.float64
    return value


def detached(value: Any) -> Any:
    """Without the wish for a gradient."""
    return value.detach() if isinstance(value, torch.Tensor) else value


def summary(arguments: Any) -> str:
    """Inputs in words: shapes and types of tensors, other values as they are."""

    def word(x: Any) -> str:
        if isinstance(x, torch.Tensor):
            strided = "" if x.layout != torch.strided or x.is_contiguous() else f" strides {list(x.stride())}"
            return f"{str(x.dtype)[6:]}{list(x.shape)}{strided}"
        if isinstance(x, (list, tuple)):
            return "(" + ", ".join(word(y) for y in x) + ")"
        if isinstance(x, dict):
            return ", ".join(f"{k}={word(v)}" for k, v in x.items())
        return repr(x) if not callable(x) else "function"

    text = word(arguments)
    return text if len(text) <= 300 else text[:297] + "..."


# ---- results of PyTorch's -------------------------------------------------------------------------


class _Refused(Exception):
    """PyTorch itself does not take the sample."""


class _Draws(TorchDispatchMode):
    """Notices operators that draw random numbers."""

    def __init__(self) -> None:
        super().__init__()
        self.seen = False

    def __torch_dispatch__(
        self, func: Any, types: Any, args: Any = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        self.seen |= draws_random_numbers(func, args, kwargs or {})
        return func(*args, **(kwargs or {}))


def _native(call: Call, convert: Callable[[Any], Any]) -> tuple[Any, bool]:
    """PyTorch's result for inputs passed through `convert`, and whether random numbers were drawn for
    it. Raises _Refused where PyTorch raises."""
    run = call(convert)
    torch.manual_seed(SEED)
    draws = _Draws()
    try:
        with draws:
            result = tree_map(detached, run())
    except Exception as error:
        raise _Refused from error
    return result, draws.seen


def _trial(entry: Any, kind: str, inputs: Any, call: Call) -> Trial | None:
    """A trial of `call`; None where PyTorch does not take the inputs."""
    try:
        native, drawn = _native(call, copied)
    except _Refused:
        return None
    tensors = [x for x in tree_flatten((inputs, native))[0] if isinstance(x, torch.Tensor)]
    floats = [x for x in tensors if x.is_floating_point() and x.dtype != torch.float64]
    exact = None
    if floats:
        try:
            exact, _ = _native(call, in_float64)
        except _Refused:
            exact = None
    else:
        exact = _independent(entry, kind, inputs)
    pointwise = _is_pointwise(entry) and kind != "gradient"
    return Trial(
        kind,
        summary(inputs),
        tuple(call(copied) for _ in range(1 + drawn)),
        native,
        exact,
        length=1 if pointwise else length_of(inputs),
        pointwise=pointwise,
        scale=1.0 if pointwise else scale_of(inputs),
        source=_source(entry, kind, inputs),
        unsigned=entry.name in UNSIGNED and kind != "gradient",
    )


def _independent(entry: Any, kind: str, inputs: Any) -> Any:
    """In float64 PyTorch's own result has no better one to be judged by but that of NumPy or SciPy, where
    the entry of a function of one tensor names theirs; None where it does not."""
    (first, *others), keywords = inputs
    if type(entry).__name__ != "UnaryUfuncInfo" or entry.ref is None or kind not in SHAPED:
        return None
    if not isinstance(first, torch.Tensor) or first.dtype != torch.float64:
        return None
    with numpy.errstate(all="ignore"):
        try:
            found = torch.as_tensor(numpy.asarray(entry.ref(first.numpy(), *others, **keywords)))
        except Exception:
            return None
    return SHAPED[kind](found)


SHAPED: dict[str, Callable[[torch.Tensor], Any]] = {
    "sample": lambda result: result,
    "layout": lambda result: result,
    "reference": lambda result: result,
    "in-place": lambda result: (result, True),
    "out": lambda result: (result,),
}
"""What the trials of a kind give, for a result."""


def _source(entry: Any, kind: str, inputs: Any) -> torch.Tensor | None:
    first = inputs[0][0]
    return first if entry.name in PICKED and kind != "gradient" and isinstance(first, torch.Tensor) else None


def _is_pointwise(entry: Any) -> bool:
    return type(entry).__name__ in ("UnaryUfuncInfo", "BinaryUfuncInfo")


# ---- makers ---------------------------------------------------------------------------------------


def _drawn(function: Any, limit: int | None, *arguments: Any, **keywords: Any) -> Iterator[Any]:
    """Samples, one by one; a generator of PyTorch's that fails ends the list."""
    seed()
    samples = iter(function(*arguments, **keywords))
    for _ in itertools.count() if limit is None else range(limit):
        try:
            yield next(samples)
        except StopIteration:
            return
        except Exception:
            return


def _differentiable(entry: Any, dtype: torch.dtype) -> bool:
    return (
        entry.supports_autograd
        and dtype.is_floating_point
        and dtype in entry.supported_backward_dtypes("cpu")
    )


def _samples(entry: Any, dtype: torch.dtype, limit: int | None) -> Iterator[Trial]:
    """Forward, in strided memory, in place, into `out`, and gradients, of each sample."""
    wants = _differentiable(entry, dtype)
    for number, sample in enumerate(_drawn(entry.sample_inputs, limit, "cpu", dtype, requires_grad=wants)):
        inputs = ([sample.input, *sample.args], dict(sample.kwargs))
        plain = tree_map(detached, inputs)
        for made in (
            _trial(entry, "sample", plain, _caller(entry.op, plain)),
            _layout(entry, sample),
            _in_place(entry, sample, plain),
            _out(entry, plain, strided=bool(number % 2)),
            _gradient(entry, sample, inputs) if wants else None,
        ):
            if made is not None:
                yield made


def _caller(function: Any, inputs: Any) -> Call:
    def call(convert: Callable[[Any], Any]) -> Callable[[], Any]:
        arguments, keywords = tree_map(convert, inputs)
        return lambda: function(*arguments, **keywords)

    return call


def _layout(entry: Any, sample: Any) -> Trial | None:
    try:
        strided = sample.noncontiguous()
    except Exception:
        return None
    inputs = tree_map(detached, ([strided.input, *strided.args], dict(strided.kwargs)))
    return _trial(entry, "layout", inputs, _caller(entry.op, inputs))


def _in_place(entry: Any, sample: Any, inputs: Any) -> Trial | None:
    function = entry.inplace_variant
    if function is None or sample.broadcasts_input or not isinstance(sample.input, torch.Tensor):
        return None

    def call(convert: Callable[[Any], Any]) -> Callable[[], Any]:
        arguments, keywords = tree_map(convert, inputs)

        def run() -> Any:
            result = function(*arguments, **keywords)
            return arguments[0], result is arguments[0]

        return run

    return _trial(entry, "in-place", inputs, call)


def _out(entry: Any, inputs: Any, strided: bool) -> Trial | None:
    """Into tensors of the right shape, strided ones at every second sample."""
    if not entry.supports_out:
        return None
    try:
        results, _ = _native(_caller(entry.op, inputs), copied)
    except _Refused:
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

    made = _trial(entry, "out", inputs, call)
    return None if made is None else dataclasses.replace(made, native=results if several else (results,))


def _target(shape: torch.Size, dtype: torch.dtype, strided: bool) -> torch.Tensor:
    if strided and shape:
        return torch.empty((*shape[:-1], 2 * shape[-1]), dtype=dtype)[..., ::2]
    return torch.empty(shape, dtype=dtype)


def _gradient(entry: Any, sample: Any, inputs: Any) -> Trial | None:
    """Derivatives by every input that wants one, for fixed weights of the results."""

    def call(convert: Callable[[Any], Any]) -> Callable[[], Any]:
        arguments, keywords = tree_map(convert, inputs)
        leaves = [
            x
            for x in tree_flatten((arguments, keywords))[0]
            if isinstance(x, torch.Tensor) and x.requires_grad
        ]
        return lambda: gradients(arguments, keywords, leaves)

    def gradients(arguments: list[Any], keywords: dict[str, Any], leaves: list[torch.Tensor]) -> Any:
        results = sample.output_process_fn_grad(entry.gradcheck_wrapper(entry.op, *arguments, **keywords))
        outputs = [x for x in tree_flatten(results)[0] if isinstance(x, torch.Tensor) and x.requires_grad]
        weights = [_weights(x) for x in outputs]
        found = torch.autograd.grad(outputs, leaves, weights, allow_unused=True)
        return [x for x in found if x is not None]

    return _trial(entry, "gradient", inputs, call)


def _weights(result: torch.Tensor) -> torch.Tensor:
    """Fixed weights in [-1, 1) for the elements of a result, without an operator that computes."""
    drawn = numpy.random.default_rng(SEED).uniform(-1, 1, tuple(result.shape))
    if result.dtype == torch.bfloat16:
        halves = drawn.astype(numpy.float32).view(numpy.uint32) >> 16
        return torch.from_numpy(halves.astype(numpy.uint16)).view(torch.bfloat16)
    kind = {torch.float16: numpy.float16, torch.float32: numpy.float32, torch.complex64: numpy.complex64}
    if result.dtype == torch.float64:
        # The same numbers as in single precision, so that float64 is its reference.
        drawn = drawn.astype(numpy.float16).astype(numpy.float64)
    else:
        drawn = drawn.astype(numpy.float16)
    return torch.from_numpy(drawn.astype(kind.get(result.dtype, drawn.dtype)))


def _references(entry: Any, dtype: torch.dtype, limit: int | None) -> Iterator[Trial]:
    """PyTorch's harder inputs: large, strided, special values."""
    if entry.reference_inputs_func is None and not _is_pointwise(entry):
        return
    for sample in _drawn(entry.reference_inputs, limit, "cpu", dtype):
        inputs = tree_map(detached, ([sample.input, *sample.args], dict(sample.kwargs)))
        made = _trial(entry, "reference", inputs, _caller(entry.op, inputs))
        if made is not None:
            yield made


def _errors(entry: Any, dtype: torch.dtype, limit: int | None) -> Iterator[Trial]:
    """Wrong inputs: the same kind of error as PyTorch's. They have dtypes of their own, so they are
    tried with float32, or with the only dtype of an entry."""
    if entry.error_inputs_func is None or dtype != dtypes_of(entry.full_name)[0]:
        return
    for wrong in _drawn(entry.error_inputs, limit, "cpu"):
        sample = wrong.sample_input
        inputs = tree_map(detached, ([sample.input, *sample.args], dict(sample.kwargs)))
        call = _caller(entry.op, inputs)
        try:
            call(copied)()
        except Exception as error:
            kind = next((k for k in type(error).__mro__ if k.__module__ == "builtins"), RuntimeError)
            if issubclass(kind, Exception):
                yield Trial("error", summary(inputs), (call(copied),), raises=_broad(kind))


def _broad(kind: type[Exception]) -> type[Exception]:
    """The kind itself, but for subclasses of RuntimeError that only say who raised."""
    return RuntimeError if kind is NotImplementedError else kind
