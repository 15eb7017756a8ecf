"""Why a case of Triton's own suite is outside what a CPU can be asked.

In: the records that `triton_suite_plugin` wrote. Out: for each record that did not pass, one reason, from a
table of rules; a failure that no rule names is a failure.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

Record = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Rule:
    """A reason, and what a record must show: a word in its source, patterns in its name and message."""

    reason: str
    literal: str = ""
    case: str = ""
    message: str = ""

    def matches(self, record: Record) -> bool:
        return (
            (not self.literal or self.literal in record["literals"])
            and re.search(self.case, record["case"]) is not None
            and re.search(self.message, record["reason"]) is not None
        )


NOT_A_NUMBER_WRONG = r"^(?![\s\S]*(Tensor-likes|Mismatched elements|not equal))"
"""A wrong number is a failure, whatever else the test's source names."""

LEFT_OUT = (
    Rule(
        "searches a GPU back end's assembly or IR",
        message=r"Unknown key: '(ttgir|llir|ptx|amdgcn|cubin|hsaco)'",
    ),
    Rule("searches a GPU back end's assembly or IR", literal="ptx", message=NOT_A_NUMBER_WRONG),
    Rule("searches a GPU back end's assembly or IR", literal="amdgcn", message=NOT_A_NUMBER_WRONG),
    Rule("searches a GPU back end's assembly or IR", literal="ttgir", message=NOT_A_NUMBER_WRONG),
    Rule("searches a GPU back end's assembly or IR", literal="llir", message=NOT_A_NUMBER_WRONG),
    Rule("names CUDA literally", literal="cuda", message=NOT_A_NUMBER_WRONG),
    Rule("needs CUDA's memory", message=r"Torch not compiled with CUDA|pinned memory allocator"),
)
"""Cases that cannot be asked of a CPU: they are not counted."""

LIMITS = (
    Rule(
        "one element beyond the tolerance of a reference in bf16; our product is in f32",
        case=r"test_scaled_dot",
        message=r"Mismatched elements: [1-3] / ",
    ),
    Rule(
        "inline assembly is code for one chip only, and is refused by name",
        message=r"inline assembly|inline_asm",
    ),
    Rule(
        "expects a line from each of 128 GPU threads; a CPU prints a scalar once",
        case=r"test_print\[(device_print_scalars|no_arg_print|print_no_arg|device_print_2d_tensor)",
    ),
    Rule(
        "expects the kernel cache under the number of a GPU",
        case=r"test_passing_nested_tuple_with_constexpr_and_jit_hook",
    ),
    Rule(
        "expects another revision of Triton's front end than the wheel has",
        message=r"CHECK: expected string not found|CompileTimeAssertionFailure|unexpected keyword argument"
        r"|has no attribute 'make_block_ptr'|must be ranked tensor of 32-bit",
    ),
)
"""Known limits, by what they show: they count as failures."""


def names_a_gpu(record: Record) -> bool:
    """Whether the test's source names CUDA or looks for a GPU back end's assembly or IR."""
    return any(word in record["literals"] for word in ("ptx", "amdgcn", "ttgir", "llir", "cuda"))


def left_out(record: Record) -> str | None:
    """Why a record that failed is not counted; None when it is."""
    if record["outcome"] != "failed":
        return None
    return next((rule.reason for rule in LEFT_OUT if rule.matches(record)), None)


def explain(record: Record) -> str:
    """The reason of a counted failure, or the beginning of its message."""
    known = next((rule.reason for rule in LIMITS if rule.matches(record)), None)
    return known or "unexplained: " + " ".join(record["reason"].split())[:120]


def skip_reason(record: Record) -> str:
    """Why the suite itself left a case out, on this machine."""
    text = " ".join(record["reason"].removeprefix("Skipped: ").split())
    return text[:110] or "no reason given"
