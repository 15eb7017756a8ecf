"""The page of operators, `docs/operators.md`. Flows in: the registry and the records of runs. Flows out:
Markdown; also the rows and counts that `anychip ops` shows."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ..markdown import numbers, table
from ..ops.registry import Operator, operators
from ..pytorch.dispatch import native_overloads, served_variants
from .outcome import KINDS

COMMAND = "anychip ops --page docs/operators.md"
KINDS_EXPLAINED = (
    "*sample*, *layout* (strided memory), *in-place*, *out*, *gradient* (against PyTorch's in float64), "
    "*gradcheck* (against differences), *reference* (PyTorch's harder inputs), *error* (the same kind of "
    "error for wrong input), *transposed*, *expanded*, *empty*, *0-d*, *special* (NaN and infinities), and "
    "*record* (samples of the library's own record)."
)

COUNTED = {
    "subjects": "subjects",
    "all_samples": "with all samples",
    "passed": "passed",
    "failed": "failed",
    "unserved": "not served",
    "views": "views",
}
"""What a record counts by element type, and how the page calls it."""


@dataclass(frozen=True, slots=True)
class Row:
    """One operator. `variants` are the in-place and `out` forms; `evidence` says, for each chip, what a
    run found."""

    name: str
    domain: str
    overloads: tuple[str, ...]
    variants: tuple[str, ...]
    kernels: tuple[str, ...]
    dtypes: tuple[str, ...]
    differentiable: bool
    evidence: Mapping[str, str]

    def matches(self, words: str) -> bool:
        """Whether every word is in the name, the domain or an overload."""
        text = " ".join((self.name, self.domain, *self.overloads, *self.variants))
        return all(word in text for word in words.split())


@dataclass(frozen=True, slots=True)
class Counts:
    """`operators`: records of the library; `bases`: PyTorch's operators, in-place and `out` folded in;
    `functional`: their overloads without these; `overloads`: with them; `native`: the bases that PyTorch
    has kernels of its own for on a CPU, sparse, quantised and test operators included."""

    operators: int
    bases: int
    functional: int
    overloads: int
    native: int


def rows(records: Sequence[Mapping[str, Any]] = ()) -> list[Row]:
    """Every operator, by domain and name."""
    ordered = sorted(operators().values(), key=lambda operator: (operator.domain, operator.name))
    return [_row(operator, records) for operator in ordered]


def _row(operator: Operator, records: Sequence[Mapping[str, Any]]) -> Row:
    served = [variant for overload in operator.overloads for variant in served_variants(overload.name)]
    return Row(
        name=operator.name,
        domain=operator.domain,
        overloads=tuple(overload.name for overload in operator.overloads),
        variants=tuple(variant.name for variant in served if variant.kind != "functional"),
        kernels=tuple(sorted({kernel.__name__ for kernel in operator.kernels})),
        dtypes=tuple(str(dtype).removeprefix("torch.") for dtype in operator.dtypes),
        differentiable=operator.differentiable,
        evidence={record["chip"]: found(record, operator.name) for record in records},
    )


def found(record: Mapping[str, Any], name: str) -> str:
    """What a record says of an operator, in words: "passed, 120 trials"; "untried" if it is not in it."""
    result = record["results"].get(name)
    if result is None or result["verdict"] == "untried":
        return "untried"
    counts = [count for by in result.get("overloads", {}).values() for count in by.values()]
    passed = sum(count.get("passed", 0) for count in counts)
    failed = max(sum(count.get("failed", 0) for count in counts), len(result.get("failures", ())))
    if result["verdict"] == "failed":
        return f"failed, {failed} of {passed + failed} trials"
    return f"passed, {passed} trials"


def tried(record: Mapping[str, Any], name: str) -> str:
    """The element types and the kinds of trial that an operator passed in trials of its own: "f32 f64:
    sample layout out"; empty if it has run within others alone."""
    by_dtype = record["results"].get(name, {}).get("kinds", {})
    kinds = [kind for kind in KINDS if any(kind in counts for counts in by_dtype.values())]
    return f"{_types(by_dtype)}: {' '.join(kinds)}" if kinds else ""


def counts(listed: Iterable[Row]) -> Counts:
    """How much the rows serve."""
    listed = list(listed)
    functional = {name for row in listed for name in row.overloads}
    overloads = functional | {name for row in listed for name in row.variants}
    return Counts(
        operators=len(listed),
        bases=len({folded(name) for name in overloads}),
        functional=len(functional),
        overloads=len(overloads),
        native=len({folded(name) for name in native_overloads("CPU")}),
    )


def folded(overload: str) -> str:
    """The operator of PyTorch's that an overload belongs to: `add` for `add_.Tensor` and `add.out`."""
    name = overload.partition(".")[0]
    return name if name.endswith("__") else name.removesuffix("_")


def sentence(number: Counts) -> str:
    """The counts in words."""
    return (
        f"{number.operators} operators of the library serve {number.bases} operators of PyTorch "
        f"(in-place and out= forms folded in): {number.overloads} overloads, {number.functional} of them "
        "functional."
    )


def page(records: Sequence[Mapping[str, Any]]) -> str:
    """The whole page."""
    listed = rows(records)
    lines = [
        "# Operators",
        "",
        "PyTorch's operators that the library's portable kernels compute. This page is written by "
        f"`{COMMAND}` from the library's registry and from the records in `evidence/operators/`, which "
        "`make test-ops` writes; `anychip test NAME` repeats one operator's proof on your machine.",
        "",
        sentence(counts(listed)),
        "",
        "In-place and `out=` variants are derived from the functional overloads that are listed. "
        "*Passed* means that every trial passed in which our kernels ran on the operator's own entries of "
        "PyTorch's database of samples, or on the samples of its record: against PyTorch in float64, "
        "strided, in place, into `out`, with gradients, and with wrong input. The last "
        "column names the element types, and the kinds of trial that passed on an operator's own entries: "
        + KINDS_EXPLAINED,
        "",
        *_evidence(records),
    ]
    for domain in sorted({row.domain for row in listed}):
        lines += ["", f"## {domain}", "", _table([row for row in listed if row.domain == domain], records)]
    return "\n".join(lines) + "\n"


def _evidence(records: Sequence[Mapping[str, Any]]) -> list[str]:
    if not records:
        return ["No run is recorded yet."]
    columns = (
        "chip",
        "tier",
        ("operators passed / tried / total", "right"),
        ("overloads passed / total", "right"),
        ("trials", "right"),
        "samples",
        "date, commits, versions",
    )
    lines = [table(columns, map(_run, records))]
    for record in records:
        lines += ["", *_breakdown(record), "", _exceptions(record)]
    return lines


def _run(record: Mapping[str, Any]) -> tuple[str, ...]:
    """The line of a record among the runs."""
    of = record["operators"]
    versions = ", ".join(f"{name} {version}" for name, version in record["versions"].items())
    return (
        record["chip"],
        record["tier"],
        f"{of['passed']} / {of['tried']} / {of['total']}",
        f"{record['overloads']['passed']} / {record['overloads']['total']}",
        f"{record['trials']['passed']} passed, {record['trials']['failed']} failed",
        "; ".join(f"{words}: {number} proofs" for words, number in record["samples"].items()),
        f"{record['date']}, {', '.join(name for name in record['commits'] if name)}, {versions}",
    )


def _breakdown(record: Mapping[str, Any]) -> list[str]:
    """How much was tried in each element type."""
    lines = [
        f"Trials on {record['chip']} by element type. A subject is an entry of PyTorch's database or a "
        "record of the library. Where not all samples were tried, the first ones were, or as many as the "
        "time allowed. *Not served*: PyTorch's own kernel ran; *views*: nothing was computed.",
        "",
        table(
            numbers(("element type", *COUNTED.values())),
            ((dtype, *(of[name] for name in COUNTED)) for dtype, of in record["dtypes"].items()),
        ),
    ]
    kinds = ", ".join(f"{kind} {number}" for kind, number in record["kinds"].items())
    return [*lines, "", f"Passed by kind: {kinds}."]


def _exceptions(record: Mapping[str, Any]) -> str:
    """What was not tried, or judged less strictly."""
    rows = (
        (
            f"`{of['entries']}`",
            of["rule"],
            " ".join(of["kinds"]) or "all",
            " ".join(of["dtypes"]) or "all",
            of["reason"],
        )
        for of in record["exceptions"]
    )
    return table(("entries", "exception", "kinds of trial", "element types", "reason"), rows)


def _table(listed: Sequence[Row], records: Sequence[Mapping[str, Any]]) -> str:
    chips = [record["chip"] for record in records]
    heads = ["operator", "overloads", "element types", "differentiable"]
    heads += [head for chip in chips for head in (chip, "passed in")]
    rows = (
        [
            row.name,
            ", ".join(f"`{name}`" for name in row.overloads),
            _types(row.dtypes),
            "yes" if row.differentiable else "no",
            *(cell for record in records for cell in (row.evidence[record["chip"]], tried(record, row.name))),
        ]
        for row in listed
    )
    return table(heads, rows)


ABBREVIATED = {
    "float64": "f64",
    "float32": "f32",
    "float16": "f16",
    "bfloat16": "bf16",
    "int64": "i64",
    "int32": "i32",
    "int16": "i16",
    "int8": "i8",
    "uint8": "u8",
    "complex64": "c64",
}


def _types(names: Iterable[str]) -> str:
    return " ".join(ABBREVIATED.get(name, name) for name in names)
