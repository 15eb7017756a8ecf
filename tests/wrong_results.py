"""Results that a proof must not take: zeros, the result of another call, and the right one with one element
off. What a proof takes of these it cannot tell from the right one, and so proves nothing."""

from __future__ import annotations

import zlib
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from typing import Any

import pytest
import torch
from torch.utils._pytree import tree_flatten, tree_map, tree_unflatten

from anychip.evidence.accuracy import UNITS, Yardstick, unit
from anychip.evidence.nearby import OfResult, parts_of
from anychip.evidence.records import Expected

ONE_IN = 36
"""Of so many pairs of record and dtype one is tried in every run; the others are slow tests."""

ZEROS, ANOTHER, ONE_OFF = "zeros", "another call's result", "one element off"
OFF_BY_UNITS = 8.0
OFF_BY_ERRORS = 4.0
"""Multiple of PyTorch's own largest error against float64, where that is more than the units."""


def zeros(wanted: Expected) -> Any:
    """A result of zeros."""
    return tree_map(lambda x: torch.zeros_like(x) if isinstance(x, torch.Tensor) else x, wanted.native)


def one_off(wanted: Expected) -> Iterator[Any]:
    """For each tensor of the result: PyTorch's result, with its largest element of that tensor off."""
    flat, shape = tree_flatten(wanted.native)
    exact = tree_flatten(wanted.exact)[0]
    for number, (x, z) in enumerate(zip(flat, exact, strict=True)):
        if isinstance(x, torch.Tensor) and x.numel() and x.layout == torch.strided:
            changed = _shifted(x, z, OfResult(wanted.nearby, number, len(flat)))
            if changed is not None:
                yield tree_unflatten([*flat[:number], changed, *flat[number + 1 :]], shape)


def _shifted(x: torch.Tensor, z: Any, nearby: OfResult) -> torch.Tensor | None:
    """A tensor with its largest finite element off; None where there is none."""
    changed = x.detach().resolve_conj().clone(memory_format=torch.contiguous_format)
    parts = parts_of(changed).view(-1)
    if not parts.is_floating_point() or parts.dtype not in UNITS:
        other = 1.0 - float(parts[0]) if parts.is_floating_point() else 1 - int(parts[0])
        parts[0] = torch.tensor(other).to(parts.dtype)
        return changed
    exact = parts_of(z) if isinstance(z, torch.Tensor) and z.shape == x.shape else parts_of(x)
    size = torch.where(parts.isfinite(), parts.double().abs(), -1.0)
    place = int(size.argmax())
    if size[place] < 0:
        return None
    native = parts_of(x) if exact.dtype != parts.dtype or parts.dtype != torch.float64 else None
    yardstick = Yardstick(exact, native, nearby, parts=x.is_complex())
    right = exact.double().reshape(-1)[place]
    kinds = {parts.dtype, nearby.kept or parts.dtype}
    step = max(
        OFF_BY_UNITS * max(float(yardstick.unit(kind).reshape(-1)[place]) for kind in kinds),
        OFF_BY_ERRORS * yardstick.own_error(parts.dtype).absolute,
    )
    step += float(unit(right + step, parts.dtype))  # so that rounding the sum takes nothing away
    parts[place] = (right - step if right > 0 else right + step).to(parts.dtype)
    return changed


def taken(
    wanted: Expected,
    others: Sequence[Callable[[], Any]],
    passes: Callable[[Any], bool],
    every: bool = True,
) -> Iterator[str]:
    """The kinds of wrong results that a proof, which `passes` stands for, would take for right. One element
    off must be noticed in `every` tensor of the result, or in one."""
    if passes(zeros(wanted)):
        yield ZEROS
    changed = list(one_off(wanted))
    if not changed or (any if every else all)(passes(result) for result in changed):
        yield ONE_OFF
    if not _refuses_another(wanted, others, passes):
        yield ANOTHER


def _refuses_another(
    wanted: Expected, others: Sequence[Callable[[], Any]], passes: Callable[[Any], bool]
) -> bool:
    """Whether some result of another call, of the same shapes, is refused."""
    for other in others:
        try:
            result = other()
        except Exception:
            continue
        if _forms(result) == _forms(wanted.native) and not passes(result):
            return True
    return False


def _forms(result: Any) -> list[Any]:
    return [(x.shape, x.dtype) if isinstance(x, torch.Tensor) else type(x) for x in tree_flatten(result)[0]]


def backwards(value: Any) -> Any:
    """A tensor with its elements in the opposite order."""
    if not isinstance(value, torch.Tensor) or value.layout != torch.strided:
        return value
    flat = value.detach().reshape(-1)
    small = flat.is_floating_point() and flat.dtype.itemsize == 1
    turned = flat.view(torch.uint8).flip(0).view(flat.dtype) if small else flat.flip(0)
    return turned.reshape(value.shape).requires_grad_(value.requires_grad)


def next_number(value: Any) -> Any:
    """A number that is one more; the other truth value."""
    if isinstance(value, bool):
        return not value
    return value + 1 if isinstance(value, int | float) else value


def smaller(value: Any) -> Any:
    """A floating tensor of three quarters of its values."""
    if not isinstance(value, torch.Tensor) or not (value.is_floating_point() or value.is_complex()):
        return value
    if value.is_floating_point() and value.dtype.itemsize == 1:
        return value
    return (value.detach() * 0.75).requires_grad_(value.requires_grad)


def some_pairs(pairs: Iterable[tuple[Any, torch.dtype]]) -> list[Any]:
    """Parameters of a test for pairs of a record and a dtype."""
    return [
        pytest.param(
            record,
            dtype,
            id=f"{record.name}-{str(dtype)[6:]}",
            marks=() if zlib.crc32(f"{record.name} {dtype}".encode()) % ONE_IN == 0 else pytest.mark.slow,
        )
        for record, dtype in pairs
    ]


def assert_refused(tried: Iterable[Iterable[str]], excused: Collection[str]) -> None:
    """Fails where on every sample some wrong result passes, but for the excused ones. `tried` has the kinds
    of those that pass for each sample; it is asked no further than needed."""
    least = {ZEROS, ANOTHER, ONE_OFF} - set(excused)
    for found in tried:
        least = min(least, set(found) - set(excused), key=len)
        if not least:
            return
    pytest.fail(f"on every sample a proof takes one of these for right: {sorted(least)}")
