"""The third-party suites that are run on our back end, and why a case of one may fall outside what a CPU can
be asked. In: nothing. Out: a table of suites, each with its files, its environment and its rules.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

Record = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Rule:
    """A reason, and the patterns that a record's name and message must show."""

    reason: str
    message: str = ""
    case: str = ""
    cuda: bool = False

    def matches(self, record: Record) -> bool:
        return (
            (record["cuda"] or not self.cuda)
            and re.search(self.case, record["case"]) is not None
            and re.search(self.message, record["reason"]) is not None
        )


@dataclass(frozen=True, slots=True)
class Suite:
    """`folder` is where pytest starts, `paths` what it is given, `sources` what is put on Python's path, all
    relative to the tree; `environment` is what `ecosystem_plugin` and the suite read. Cases that the pattern
    `large` names take minutes by their shapes, and may be run more thinly; those that `without` names are not
    asked, for the reason that follows it. `left_out` are cases that are not counted, `known` failures with a
    known reason."""

    title: str
    package: str
    marker: str
    folder: str
    paths: tuple[str, ...]
    goal: float
    sources: tuple[str, ...] = ()
    environment: Mapping[str, str] = field(default_factory=dict)
    large: str = ""
    without: tuple[str, str] = ("", "")
    left_out: tuple[Rule, ...] = ()
    known: tuple[Rule, ...] = ()


SUITES: dict[str, Suite] = {
    "inductor": Suite(
        title="PyTorch's Inductor tests for the Triton CPU back end",
        package="torch",
        marker="test/inductor/test_triton_cpu_backend.py",
        folder="test/inductor",
        paths=("test_triton_cpu_backend.py",),
        goal=0.95,
        environment={"TORCHINDUCTOR_COMPILE_THREADS": "1", "ECOSYSTEM_RENAMED": "1"},
        known=(
            Rule(
                "counts or names what another release of Inductor generates",
                message=r"Scalars are not equal|Expected to find .assert_size_stride|CompileId\.__init__"
                r"|has no attribute '(should_pad_bench|_low_memory_max_pool2d_with_offsets)'",
            ),
            Rule(
                "what another release of PyTorch traces differently, before Inductor",
                message=r"ConstraintViolationError|making fake tensor call",
            ),
            Rule(
                "networks that sort take LLVM seconds to compile, four of them longer than a case may take",
                case=r"test_sort_",
                message="CaseTimeout",
            ),
            Rule(
                "one sum of 394 products in 256 is further from PyTorch's than the tolerance in float32; "
                "from float64 ours are 1.3 times as far as PyTorch's, those of Inductor's C++ 3.5 times",
                case=r"test_expanded_reduction",
            ),
            Rule("the tree's copy registers a device that only a fork knows", message=r"dispatch key: NPU"),
            Rule(
                "block pointers, which Triton 3.9 no longer has", message=r"Block pointers have been removed"
            ),
        ),
    ),
    "liger": Suite(
        title="Liger-Kernel's tests of its operators",
        package="liger_kernel",
        marker="test/transformers",
        folder=".",
        paths=("test/transformers",),
        goal=0.98,
        sources=("src",),
        environment={"HF_HUB_OFFLINE": "1"},
        large=r"4096-32000|151936|64000",
        without=("dtensor", "start four or eight processes that wait for a GPU each"),
        left_out=(
            Rule(
                "the library's own code chooses among CUDA, XPU and NPU, and sets nothing for another device",
                message=r"UnboundLocalError: .*'NUM_SMS'",
            ),
            Rule(
                "asks the device for its memory as `torch.cuda` has it, before any test runs",
                message=r"module 'torch\.cpu' has no attribute 'get_device_properties'",
            ),
            Rule("the library's own code asserts that a tensor is CUDA's", message=r"assert .*\.is_cuda"),
            Rule("imports NVIDIA's Python packages", message="No module named 'cuda'"),
            Rule("names CUDA literally", message=r"CUDA|cuda", cuda=True),
        ),
        known=(
            Rule(
                "the library's kernel reads a gradient of shape (B, 1) as if it were (B, T), beyond its end",
                case=r"test_grpo_loss\w*\[.*luspo",
            ),
            Rule(
                "the reference, by PyTorch's CPU kernels in the case's precision, is further from float64 "
                "than our result",
                case=r"(z_loss|not_last_layer)_with_other_params|test_liger_(layer|group)_norm",
                message=r"mismatched elements|allclose|tensor\(",
            ),
        ),
    ),
    "fla": Suite(
        title="flash-linear-attention's tests of its operators",
        package="fla",
        marker="tests/ops",
        folder=".",
        paths=("tests/ops",),
        goal=0.95,
        sources=(".",),
        environment={"ECOSYSTEM_DEVICE": "fla.utils", "ECOSYSTEM_ELEMENTS": str(1 << 18)},
        left_out=(Rule("names CUDA literally", message=r"CUDA|cuda", cuda=True),),
        known=(
            Rule(
                "the library's own roundings to bfloat16 come to 0.0051 of the 0.0050 allowed; the same "
                "steps by PyTorch to 0.0048",
                case=r"test_channel_mixing_gradients",
                message=r"dx diff",
            ),
        ),
    ),
    "fla_layers": Suite(
        title="flash-linear-attention's tests of its layers, modules and models",
        package="fla",
        marker="tests/layers",
        folder=".",
        paths=("tests/layers", "tests/modules", "tests/models"),
        goal=0.95,
        sources=(".",),
        large=r"32000|100000|T2000",
        environment={"ECOSYSTEM_DEVICE": "fla.utils", "ECOSYSTEM_ELEMENTS": str(1 << 18)},
        left_out=(
            Rule("the library's own code asserts that a tensor is CUDA's", message="Only support CUDA/NPU"),
            Rule(
                "asks `torch.cpu` for what `torch.cuda` has, before any kernel runs",
                message=r"module 'torch\.cpu' has no attribute",
            ),
            Rule("names CUDA literally", message=r"CUDA|cuda", cuda=True),
        ),
        known=(
            Rule(
                "the reference, by PyTorch's CPU kernels in the case's precision, is further from float64 "
                "than our result",
                case=r"l2_warp",
                message=r"Loss diff",
            ),
            Rule("two thousand tokens, one after the other", case=r"T2000", message=r"not done after"),
        ),
    ),
}
"""Name on the command line -> suite."""


def verdict(suite: Suite, record: Record) -> tuple[str, str]:
    """How a record counts (its outcome, or `left out`), and the reason where it did not pass."""
    outcome = record["outcome"]
    if outcome in ("passed", "xpassed"):
        return outcome, ""
    message = record["reason"]
    if outcome == "skipped":
        return outcome, " ".join(message.removeprefix("Skipped: ").split())[:110] or "no reason given"
    if outcome != "failed":
        return outcome, summary(message)
    for rule in suite.left_out:
        if rule.matches(record):
            return "left out", rule.reason
    for rule in suite.known:
        if rule.matches(record):
            return outcome, rule.reason
    return outcome, summary(message)


def summary(message: str) -> str:
    """The first line of an error, without the folders of the machine that it came from."""
    lines = [line[1:].strip() for line in message.splitlines() if line.startswith("E ")]
    text = " ".join((lines or message.strip().splitlines() or ["no reason given"])[0].split())
    return re.sub(r"/(?:[\w.+-]+/)+", "", text)[:140]
