"""Puts portable operators under PyTorch's own overloads, for the dispatch keys of the devices at hand.
Flows in: a selection of operators and whether a fall-through is an error. Flows out: registrations
that live until they are removed. In-place and `out=` variants are derived from the functional form.
The function of each overload is made once: PyTorch never lets a registered function go."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable, Collection, Iterable
from typing import Any

import torch

from ..ops import directory
from ..ops.errors import TRANSFER, ArgumentError
from ..ops.launching import attribution
from ..ops.registry import Operator, Overload, absent, overloads
from ..ops.schemas import Variant, overload_of, variants
from ..suggestions import did_you_mean
from . import devices, overlap, sparse_layouts, statistics
from .eager import sites
from .errors import FallThroughError, MissingKernelError, PolicyError
from .overrides import Overrides
from .passthrough import PASSED

NO_KERNEL = "no operator of the library serves it"
LEFT_OUT = "`only` or `exclude` leaves it to PyTorch"

Function = Callable[..., Any]


@functools.cache
def native_overloads(key: str) -> tuple[str, ...]:
    """Every ATen overload that has a kernel of its own under a dispatch key."""
    names = torch._C._dispatch_get_registrations_for_dispatch_key(key)
    return tuple(name.removeprefix("aten::") for name in names if name.startswith("aten::"))


@functools.cache
def _native_names(key: str) -> frozenset[str]:
    return frozenset(native_overloads(key))


def has_kernel(name: str, key: str) -> bool:
    """Whether an ATen overload has a kernel of its own under a dispatch key."""
    return torch._C._dispatch_has_kernel_for_dispatch_key(f"aten::{name}", key)


def is_composite(name: str) -> bool:
    """Whether PyTorch defines the overload on the CPU by others, its derivative included."""
    return has_kernel(name, "CompositeImplicitAutograd") and not has_kernel(name, "CPU")


# ---- variants -------------------------------------------------------------------------------------


def _deliver(result: Any, target: torch.Tensor) -> torch.Tensor:
    """Copy a result into a given tensor, with PyTorch's rules of shape and type."""
    if target.shape != result.shape:
        target.resize_(result.shape)
    return target.copy_(result)


def in_place(overload: Overload, directly: bool) -> Function:
    """`add_` from `add`; not `directly`: by a result in memory of its own."""
    function = overload.implementation
    if overload.takes_out and directly:

        def write(self: torch.Tensor, *arguments: Any, **keywords: Any) -> torch.Tensor:
            function(self, *arguments, out=self, **keywords)
            return self

        return write

    def rewrite(self: torch.Tensor, *arguments: Any, **keywords: Any) -> torch.Tensor:
        return self.copy_(function(self, *arguments, **keywords))

    return rewrite


def into_out(overload: Overload, variant: Variant, directly: bool) -> Function:
    """`add.out` from `add`; not `directly`: by a result in memory of its own."""
    function = overload.implementation
    names = variant.out_names
    if overload.takes_out and directly and len(names) == 1:
        name = names[0]

        def write(*arguments: Any, **keywords: Any) -> torch.Tensor:
            target = keywords.pop(name)
            function(*arguments, out=target, **keywords)
            return target

        return write

    def deliver(*arguments: Any, **keywords: Any) -> Any:
        targets = tuple(keywords.pop(name) for name in names)
        results = function(*arguments, **keywords)
        results = results if isinstance(results, tuple) else (results,)
        for result, target in zip(results, targets, strict=True):
            if len(names) > 1 and target.dtype != result.dtype:
                raise ArgumentError(
                    f"Expected out tensor to have dtype {result.dtype}, but got {target.dtype} instead"
                )
        for result, target in zip(results, targets, strict=True):
            _deliver(result, target)
        return targets if len(names) > 1 else next(iter(targets))

    return deliver


def derived(overload: Overload, variant: Variant, domain: str) -> Function:
    """The Python function to register for a variant of an overload."""
    if variant.kind == "inplace":
        direct, apart = (in_place(overload, directly) for directly in (True, False))
        return overlap.checked(direct, apart, overload.name, domain, (0,))
    if variant.kind == "out":
        direct, apart = (into_out(overload, variant, directly) for directly in (True, False))
        return overlap.checked(direct, apart, overload.name, domain, variant.out_names)
    written = overlap.written_arguments(overload.name)
    if written:
        function = overload.implementation
        return overlap.checked(function, overlap.of_copies(function, written), overload.name, domain, written)
    return overload.implementation


@functools.cache
def served_variants(name: str) -> tuple[Variant, ...]:
    """A functional overload and those of its variants that have kernels of their own (the others are
    PyTorch's composites of the overload and a copy, and reach ours so)."""
    entry = directory.entry(name)
    return tuple(
        variant
        for variant in (entry.variants if entry else variants(name))
        if variant.kind == "functional" or has_kernel(variant.name, "CPU")
    )


# ---- registration ---------------------------------------------------------------------------------


class _FallThrough:
    """What a fall-through does, for all registered functions."""

    __slots__ = ("raises",)

    def __init__(self) -> None:
        self.raises = False


_fall_through = _FallThrough()


def set_strict(strict: bool) -> None:
    """Let a fall-through raise, or run PyTorch's own kernel and be counted."""
    _fall_through.raises = strict


class Registrations:
    """What is under PyTorch's overloads for one selection of operators; `remove` takes it away. Overloads
    that are `passed` stay PyTorch's own, and are no fall-throughs."""

    def __init__(self, selected: frozenset[str], passed: frozenset[str] = frozenset()):
        self.selected = selected
        self.passed = passed | PASSED
        self.overrides: list[Overrides] = []
        for key in devices.dispatch_keys():
            self._register(key)
        self.overrides.append(Overrides(sparse_layouts.planned(selected, _fallen)))

    def _register(self, key: str) -> None:
        names = native_overloads(key)
        planned: dict[str, Function] = {}
        functions: dict[str, Function] = {}
        for overload, entry in directory.directory().items():
            if entry.operator in self.selected:
                for variant in served_variants(overload):
                    functions[variant.name] = _served(variant.name, key)
        planned.update(functions if key != "CPU" else sites.natively(functions))
        if key != "CPU":
            planned.update(self._of_accelerator(key, frozenset(names)))
        for name in names:
            if name not in planned and name not in self.passed:
                planned[name] = _left_out(name, key) if name in _origins() else _fallen(name, key)
        self.overrides.append(Overrides((name, key, function) for name, function in planned.items()))

    def _of_accelerator(self, key: str, names: frozenset[str]) -> dict[str, Function]:
        """Functions for those of `names` that PyTorch has on accelerators alone."""
        from . import accelerators  # with the kernels that serve them

        return {
            name: _served_there(name, key)
            for name, served in accelerators.SERVED.items()
            if name in names and served.operator in self.selected
        }

    def remove(self) -> None:
        """Give every overload back to PyTorch."""
        for overrides in self.overrides:
            overrides.remove()
        self.overrides.clear()


@functools.cache
def _served_there(name: str, key: str) -> Function:
    """The function registered for an overload that PyTorch has on accelerators alone."""
    from . import accelerators

    operator, function = accelerators.SERVED[name]
    totals = statistics.entry(operator, name)
    return statistics.counted(devices.guarded(function, operator, key), totals, _fallen(name, key))


@functools.cache
def variants_served() -> dict[str, tuple[Operator, Overload, Variant]]:
    """Every overload of PyTorch's that is registered, with the record and the overload it comes from."""
    return {
        variant.name: (operator, overload, variant)
        for operator, overload in overloads().values()
        for variant in served_variants(overload.name)
    }


@functools.cache
def _origins() -> dict[str, tuple[str, Variant]]:
    """Every overload of PyTorch's that is registered, with the functional overload that it comes from."""
    return {
        variant.name: (overload, variant)
        for overload in directory.directory()
        for variant in served_variants(overload)
    }


@functools.cache
def _served(name: str, key: str) -> Function:
    """The function registered for a variant: ours, and PyTorch's own where ours does not serve. Ours is
    imported at its first call."""
    fall = _fallen(name, key)
    made: Function | None = None

    def serve(*arguments: Any, **keywords: Any) -> Any:
        nonlocal made
        if made is None:
            made = serving(name, key, fall)
        return made(*arguments, **keywords)

    return serve


def serving(name: str, key: str, fall: Function) -> Function:
    """Ours for a variant, counted; `fall` takes the calls that it refuses, and the reason as `reason_`."""
    from ..ops import complex_forms  # with kernels that copy

    origin, variant = _origins()[name]
    operator, overload = directory.load(origin)
    function = devices.guarded(derived(overload, variant, operator.domain), operator.name, key)
    totals = statistics.entry(operator.name, name)
    form = complex_forms.form_of(overload.name, overload.implementation)
    if form is not None:
        of_complex = derived(dataclasses.replace(overload, implementation=form), variant, operator.domain)
        fall = _complex_or_fall(devices.guarded(of_complex, operator.name, key), totals, fall)
    return statistics.counted(function, totals, fall)


def _complex_or_fall(of_complex: Function, totals: statistics.Served, fall: Function) -> Function:
    """What takes a refused call: `of_complex` where an argument is complex, else (and where that refuses,
    too) `fall`."""
    from ..ops.complex_forms import is_complex

    tried = statistics.counted(of_complex, totals, fall)

    def take(*arguments: Any, reason_: str, **keywords: Any) -> Any:
        if is_complex(arguments) or is_complex(tuple(keywords.values())):
            return tried(*arguments, **keywords)
        return fall(*arguments, reason_=reason_, **keywords)

    return take


@functools.cache
def _fallen(name: str, key: str) -> Function:
    """The function that counts and calls PyTorch's kernel, or raises under the strict policy."""
    keyset = torch._C.DispatchKeySet(getattr(torch._C.DispatchKey, key))
    kernel = native(name, key)

    @functools.cache
    def expected() -> list[str]:
        return [str(argument.type) for argument in overload_of(name)._schema.arguments]

    def fall(*arguments: Any, reason_: str = NO_KERNEL, **keywords: Any) -> Any:
        if _fall_through.raises and reason_ != TRANSFER:
            from . import accelerators

            by_others = accelerators.composed(name, key)
            if by_others is not None:
                return by_others(*arguments, **keywords)
            raise FallThroughError(name, reason_)
        if kernel is None:
            raise MissingKernelError(name, key, reason_)
        if reason_ != TRANSFER:
            statistics.fallen[name, reason_] += 1
        if attribution.recording is not None:
            attribution.recording.refuse(f"{name} is PyTorch's own kernel")
        return kernel.call_boxed(keyset, *as_tensors(arguments, expected()), **keywords)

    return fall


@functools.cache
def _left_out(name: str, key: str) -> Function:
    """`_fallen` for an overload that the library serves and the policy does not."""
    return functools.partial(_fallen(name, key), reason_=LEFT_OUT)


def native(name: str, key: str) -> Any:
    """PyTorch's kernel of an overload for a dispatch key, its composite one where there is no other;
    None where this PyTorch has none (a chip maker's may lack some)."""
    computed = torch._C._dispatch_has_computed_kernel_for_dispatch_key
    if name not in _native_names(key) and not computed(f"aten::{name}", key):
        return None
    return torch.library.get_kernel(f"aten::{name}", key)


NUMBER_DTYPES: dict[type, torch.dtype] = {
    bool: torch.bool,
    int: torch.int64,
    float: torch.float64,
    complex: torch.complex128,
}


def as_tensors(arguments: tuple[Any, ...], expected: list[str]) -> list[Any]:
    """Arguments with numbers turned to tensors where the schema has a tensor: PyTorch hands a number
    to a Python kernel as it was written, but takes it only as a tensor."""
    given = [x for x in arguments if isinstance(x, torch.Tensor)]
    return [
        torch.scalar_tensor(x, dtype=_number_dtype(x, given))
        if kind == "Tensor" and type(x) in NUMBER_DTYPES
        else x
        for x, kind in zip(arguments, expected, strict=False)
    ]


def _number_dtype(number: Any, tensors: list[torch.Tensor]) -> torch.dtype:
    """The dtype with which a 0-d tensor has the part in type promotion that a number has: its own, widest
    one beside a tensor with dimensions and of its category or a higher one, else that of the promotion."""
    wide = NUMBER_DTYPES[type(number)]
    ranks = [x for x in tensors if _category(x.dtype) >= _category(wide)]
    if not tensors or any(x.ndim for x in ranks):
        return wide
    return torch.result_type((ranks or tensors)[0], number)


def _category(dtype: torch.dtype) -> int:
    """Truth values, integers, floats and complex numbers in the order of type promotion."""
    if dtype == torch.bool:
        return 0
    return 3 if dtype.is_complex else 2 if dtype.is_floating_point else 1


# ---- selection ------------------------------------------------------------------------------------


RANDOM = "random"
"""The domain of operators that fill tensors from a generator."""


@functools.cache
def random_overloads() -> frozenset[str]:
    """Overloads that draw from PyTorch's generator: the library's domain of them, and those that only PyTorch
    has."""
    served, known = _origins(), directory.directory()
    ours = {name for name, (overload, _) in served.items() if known[overload].domain == RANDOM}
    seeded = {
        name
        for key in devices.dispatch_keys()
        for name in native_overloads(key)
        if name not in served and torch.Tag.nondeterministic_seeded in overload_of(name).tags
    }
    return frozenset(ours | seeded)


def require_known(names: Collection[str]) -> None:
    """Raise PolicyError for those of `names` that are neither an operator, nor a domain, nor an overload of
    the library, with the names that are like them."""
    if not names:
        return
    served = overloads()
    known = set(served) | set(absent()) | set(absent().values())
    for operator, _ in served.values():
        known |= {operator.name, operator.domain}
    unknown = sorted(set(names) - known)
    if unknown:
        near = "".join(f"\n  {name}: {hint}" for name in unknown if (hint := did_you_mean(name, known)))
        raise PolicyError(
            f"no operator, domain or overload is called {', '.join(unknown)}; "
            f"`anychip ops` lists those that exist{near}"
        )


def selection(only: Iterable[str] | None, exclude: Iterable[str]) -> frozenset[str]:
    """Names of the operators chosen by operator, domain or overload."""
    wanted = None if only is None else set(only)
    unwanted = set(exclude)
    names: dict[str, set[str]] = {}
    for overload, entry in directory.directory().items():
        names.setdefault(entry.operator, {entry.operator, entry.domain}).add(overload)
    return frozenset(
        operator for operator, own in names.items() if (wanted is None or own & wanted) and not own & unwanted
    )


def validate() -> list[str]:
    """What is wrong with the records, by PyTorch's schemas: overloads whose derivative a registration would
    hide. Tests expect nothing."""
    faults = []
    for name in overloads():
        if is_composite(name):
            faults.append(f"aten::{name} is a composite: serve the overloads it is made of")
    return faults
