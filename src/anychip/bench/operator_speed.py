"""Every operator of the library against PyTorch's own kernel, at two sizes, checked and interleaved.

Flows in: operators by name or domain. Flows out: a `Speed` for each overload and size, plain data.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import torch
from torch.utils._pytree import tree_leaves, tree_map

from ..ops.errors import NotServed
from ..ops.registry import Operator, Overload, Sample, operators
from ..ops.schemas import overload_of
from ..suggestions import did_you_mean
from .arguments import (
    APPROXIMATE,
    FIRST,
    RANDOM,
    SIZES,
    SUMS,
    Size,
    arguments,
    native_arguments,
)
from .case import DTYPE_NAMES, Case, Work
from .errors import BenchmarkError
from .measure import TimingBudget
from .row import EAGER, OURS, run
from .suite import double

BUDGET = TimingBudget(rounds=9, least_rounds=3, sample_seconds=0.001, seconds=0.2, warm_up=1)
SLOW = 0.5
"""A ratio of PyTorch's time to ours below which a row wants an explanation."""


@dataclass(frozen=True, slots=True)
class SizedOverload:
    """One overload at one size."""

    operator: Operator
    overload: Overload
    size: Size

    @property
    def key(self) -> tuple[str, str]:
        """What a record knows it by."""
        return self.overload.name, self.size.name


@dataclass(frozen=True, slots=True)
class Speed:
    """What came of an overload at one size. `ours` and `native`: seconds of one call by us and by PyTorch
    (medians); `ratio`: PyTorch's time over ours, pair by pair, its median, and quartiles `low` and `high`.
    `wrong`: why our answer is not right. `refused`: why the operator does not serve the call, or PyTorch does
    not. `disturbed`: what else the machine did."""

    overload: str
    operator: str
    domain: str
    size: str
    inputs: str
    ours: float = 0.0
    native: float = 0.0
    ratio: float = 0.0
    low: float = 0.0
    high: float = 0.0
    rounds: int = 0
    wrong: str = ""
    refused: str = ""
    disturbed: str = ""

    @property
    def key(self) -> tuple[str, str]:
        """The overload and the size."""
        return self.overload, self.size

    @property
    def timed(self) -> bool:
        """Whether there is a ratio that counts."""
        return not self.wrong and not self.refused

    def to_json(self) -> dict[str, Any]:
        """As plain data, without what is empty."""
        return {
            name: float(f"{value:.4g}") if isinstance(value, float) else value
            for name, value in asdict(self).items()
            if value not in ("", 0.0)
        }


def sized_overloads(
    names: Collection[str] = (), domains: Collection[str] = (), sizes: Sequence[str] = tuple(SIZES)
) -> list[SizedOverload]:
    """The overloads of the operators that are named (by operator or overload) or are of the domains; all
    without names and domains. Raises `BenchmarkError` for a name that the library does not have."""
    known = operators().values()
    names_known = {name for operator in known for name in (operator.name, *_overloads(operator))}
    unknown = sorted(set(names) - names_known)
    unknown += sorted(set(domains) - {operator.domain for operator in known})
    unknown += sorted(set(sizes) - set(SIZES))
    if unknown:
        raise BenchmarkError(
            f"there is no operator, domain or size {', '.join(unknown)}; `anychip ops` lists operators, the "
            f"sizes are {', '.join(SIZES)}.\n  {did_you_mean(unknown[0], {*names_known, *SIZES})}"
        )
    wanted = set(names)
    return [
        SizedOverload(operator, overload, SIZES[size])
        for operator in sorted(known, key=lambda operator: (operator.domain, operator.name))
        for overload in operator.overloads
        for size in sizes
        if (not wanted or operator.name in wanted or overload.name in wanted)
        and (not domains or operator.domain in domains)
    ]


def _overloads(operator: Operator) -> Iterator[str]:
    return (overload.name for overload in operator.overloads)


Convert = Callable[[Any], Any]


def _copied(value: Any) -> Any:
    return value.clone(memory_format=torch.preserve_format) if isinstance(value, torch.Tensor) else value


def _unchanged(result: Any) -> Any:
    return result


def measure(
    sized: SizedOverload,
    budget: TimingBudget = BUDGET,
    there: Convert = _copied,
    home: Convert = _unchanged,
) -> Speed:
    """Check and time an overload at one size. What is not served is no error. `there` copies an argument to
    where it is timed, `home` brings results to where they are compared."""
    operator, overload = sized.operator, sized.overload
    ours = arguments(operator, overload, sized.size)
    row: Callable[..., Speed] = functools.partial(
        Speed, overload.name, operator.name, operator.domain, sized.size.name, described(ours)
    )
    try:
        found = run(case_of(sized, ours, there, home), (), None, budget)
    except (NotServed, NotImplementedError) as reason:
        return row(refused=_line(reason))
    except Exception as reason:  # An operator that fails is a row of the table, not the end of the run.
        return row(wrong=f"{type(reason).__name__}: {_line(reason)}")
    ratio = found.ratios[EAGER]
    return row(
        ours=found.seconds[OURS].median,
        native=found.seconds[EAGER].median,
        ratio=ratio.median,
        low=ratio.low,
        high=ratio.high,
        rounds=found.rounds,
        wrong=found.wrong,
        disturbed=found.disturbed,
    )


def case_of(
    sized: SizedOverload, sample: Sample, there: Convert = _copied, home: Convert = _unchanged
) -> Case:
    """A case whose candidates have tensors of their own, since some write into what they are given."""
    overload, size = sized.overload, sized.size
    given = native_arguments(overload, size, sample)
    native = overload_of(overload.name)
    tensors = [x for x in tree_leaves((sample.arguments, dict(sample.keywords))) if _is_tensor(x)]
    compared = overload.compared
    if overload.name in RANDOM:
        compared = _squashed
    elif overload.name in FIRST:
        compared = _first
    length = math.prod if overload.name in SUMS else _longest
    terms = max((length(x.shape) for x in tensors), default=1)
    work = Work(
        (),
        _call(overload, overload.implementation, sample, there),
        _call(overload, native, given, there),
        bytes=2.0 * sum(x.numel() * x.element_size() for x in tensors),
        reference=_deferred(overload, overload.reference or native, given),
        compared=lambda result: (compared or _unchanged)(home(result)),
        random=overload.name in RANDOM,
        terms=terms * round(max(1.0, sized.operator.tolerance) ** 2),
        tolerance=APPROXIMATE.get(overload.name, 0.0),
        agreeing=True,
        exportable=False,
    )
    dtype = next((x.dtype for x in tensors if x.dtype in DTYPE_NAMES), torch.float32)
    return Case(overload.name, sized.operator.domain, (), dtype, lambda: work)


def _call(
    overload: Overload, function: Callable[..., Any], sample: Sample, convert: Callable[[Any], Any]
) -> Callable[[], Any]:
    """A call on converted arguments; for an overload that returns nothing, what it has written."""
    positional = tree_map(convert, tuple(sample.arguments))
    keywords = tree_map(convert, dict(sample.keywords))
    call = functools.partial(function, *positional, **keywords)
    schema = overload_of(overload.name)._schema
    if schema.returns:
        return call
    names = [a.name for a in schema.arguments if a.alias_info is not None and a.alias_info.is_write]
    by_name = {**dict(zip((a.name for a in schema.arguments), positional, strict=False)), **keywords}
    written = [by_name[name] for name in names]

    def run_and_show() -> list[Any]:
        call()
        return written

    return run_and_show


def _deferred(overload: Overload, function: Callable[..., Any], sample: Sample) -> Callable[[], Any]:
    """The call in double precision, whose arguments are made when it is asked for. In-place calls are on
    arguments that are not yet written."""
    untouched = Sample(tree_map(_copied, tuple(sample.arguments)), tree_map(_copied, dict(sample.keywords)))
    return lambda: _call(overload, function, untouched, _double)()


def _is_tensor(value: object) -> bool:
    return isinstance(value, torch.Tensor)


def _double(value: Any) -> Any:
    if isinstance(value, torch.dtype):
        return torch.float64 if value.is_floating_point else value
    if isinstance(value, torch.Tensor) and value.is_complex():
        return value.to(torch.complex128)
    if isinstance(value, torch.Tensor) and not value.is_floating_point():
        return value.clone()
    return double(value)


def _longest(shape: Sequence[int]) -> int:
    return max(shape, default=1)


def _first(result: Any) -> Any:
    return result[0]


def _squashed(result: Any) -> list[torch.Tensor]:
    """Random numbers brought into (-1, 1), so that no outlier decides their mean."""
    found = [x for x in tree_leaves(result) if isinstance(x, torch.Tensor)]
    return [x.double() / (1 + x.double().abs()) for x in found]


def described(sample: Sample) -> str:
    """The shapes of the tensors, in the types that are not f32: "4096x1024, i64 4096"."""
    words = [
        _word(x)
        for x in tree_leaves((sample.arguments, dict(sample.keywords)))
        if isinstance(x, torch.Tensor) and x.ndim
    ]
    text = ", ".join(f"{n} of {word}" if n > 1 else word for word, n in _counted(words).items())
    return text or "numbers"


def _counted(words: Sequence[str]) -> Mapping[str, int]:
    return {word: words.count(word) for word in dict.fromkeys(words)}


def _word(x: torch.Tensor) -> str:
    shape = "x".join(map(str, x.shape))
    if x.dtype == torch.float32:
        return shape
    return f"{DTYPE_NAMES.get(x.dtype, str(x.dtype).removeprefix('torch.'))} {shape}"


def _line(error: BaseException) -> str:
    text = str(error).strip()
    return text.splitlines()[0][:160] if text else type(error).__name__
