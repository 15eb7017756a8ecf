"""Exports the examples of `examples/edge/` for chips, runs their C examples, and writes the page of figures.

    python -m tools.pages.edge [--only NAME] [--target TARGET] [--no-check] [--page docs/edge.md]

Figures come from each export's `report.json`, differences from the shipped example as it ran under the
chip's emulator. They are kept in `evidence/edge.json`; what is named is made anew, the rest stays.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import sys
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

import anychip
from anychip.compiler import targets
from anychip.edge.check import check
from anychip.emulation.cores import ENGINES, core_for
from anychip.errors import AnychipError
from anychip.evidence.record import commit
from anychip.markdown import table

ROOT = Path(__file__).resolve().parents[2]
RECORD = ROOT / "evidence" / "edge.json"
COLUMNS = (
    "target",
    *((size, "right") for size in ("code", "constants", "weights", "arena", "stack, at most")),
    "needs",
    ("difference", "right"),
    "ran in",
)
EVERYWHERE = (
    "cortex-m4",
    "cortex-m7",
    "cortex-m55",
    "cortex-a7",
    "cortex-a15",
    "cortex-a53",
    "cortex-a72",
    "cortex-a76",
    "neoverse-v1-sve",
    "neoverse-v2-sve",
    "rv64gc",
    "rv64gcv",
    "rv64gcv-256",
    "loongarch64",
    "power9",
    "z14",
    "mips64r2",
    "wasm32",
    "x86-64-v2",
    "x86-64-v3",
    "x86-64-v4",
)


@dataclass(frozen=True)
class Example:
    """What is exported: how its Program is made from the example's module, and for which targets."""

    name: str
    title: str
    file: str
    program: Callable[[ModuleType], anychip.Program]
    targets: tuple[str, ...]


def _captured(function: str) -> Callable[[ModuleType], anychip.Program]:
    return lambda module: anychip.capture(getattr(module, function), *module.example_inputs())


EXAMPLES = (
    Example(
        "kinematics",
        "Forward kinematics and Jacobian of a robot arm, f32",
        "robot_arm",
        _captured("kinematics"),
        EVERYWHERE,
    ),
    Example(
        "digits-int8",
        "Classifier of handwritten digits, int8",
        "digits",
        lambda module: module.quantized(),
        ("cortex-m4", "cortex-m55"),
    ),
    Example(
        "digits-f32",
        "Classifier of handwritten digits, f32",
        "digits",
        lambda module: module.floating(),
        ("cortex-m4", "cortex-m55"),
    ),
    Example(
        "policy",
        "Transformer policy of the ACT kind, 100 actions of 14 joints, f32",
        "act_policy",
        _captured("policy"),
        ("cortex-a76",),
    ),
    Example(
        "sentences",
        "MiniLM-L6-v2 with its real weights, one sentence, f32",
        "sentences",
        _captured("embedding"),
        ("cortex-a76", "rv64gcv", "wasm32"),
    ),
)


def module_of(example: Example) -> ModuleType:
    """The example's file as a module."""
    specification = importlib.util.spec_from_file_location(
        example.file, ROOT / "examples" / "edge" / f"{example.file}.py"
    )
    assert specification is not None
    assert specification.loader is not None
    module = importlib.util.module_from_spec(specification)
    sys.modules[example.file] = module
    specification.loader.exec_module(module)
    return module


def figures(program: anychip.Program, name: str, target: str, checked: bool) -> dict[str, Any]:
    """The figures of one export."""
    with tempfile.TemporaryDirectory(prefix="anychip-edge-") as folder:
        report = program.export(target, Path(folder) / name, name=name.replace("-", "_")).report
        row: dict[str, Any] = {
            key: report[key]
            for key in ("code_bytes", "constant_bytes", "weight_bytes", "arena_bytes", "stack_bytes")
        }
        row["needs"] = [symbol for kind in report["undefined_symbols"].values() for symbol in kind]
        row["flops"] = sum(kernel["flops"] or 0 for kernel in report["kernels"])
        row["commit"] = commit()
        if checked:
            in_engines = core_for(targets.get(report["target"])).kind in ENGINES
            engines = ENGINES if in_engines else ENGINES[:1]
            try:
                done = [check(Path(folder) / name, engine=engine) for engine in engines]
            except AnychipError as error:
                row["problem"] = str(error).splitlines()[0]
            else:
                row["difference"] = max(value for run in done for value in run.differences.values())
                row["emulator"] = ", ".join(run.emulator for run in done)
    return row


def cells(target: str, row: dict[str, Any]) -> tuple[object, ...]:
    """A row under `COLUMNS`."""
    known = row.get("difference")
    difference = "" if known is None else f"{known:.0e}" if known else "below 1e-9"
    sizes = (row[f"{name}_bytes"] for name in ("code", "constant", "weight", "arena", "stack"))
    needs = ", ".join(row["needs"]) or "nothing"
    return f"`{target}`", *sizes, needs, difference, row.get("emulator") or row.get("problem", "not run")


def page(record: dict[str, dict[str, Any]]) -> str:
    """Markdown of all figures."""
    lines = [
        "# Libraries for small devices",
        "",
        "Written by `python -m tools.pages.edge`; do not edit.",
        "",
        "Each row is a C library that `anychip export` made of an example in `examples/edge/`. Sizes are in "
        "bytes, from its `report.json`; *difference* is the largest one from PyTorch's result, relative to "
        "the largest element, as the library's C example printed it under the emulator. The kernels of the "
        "first table are compared with their own results on the machine that exported them; a test compares "
        "those with matrix products in PyTorch's float64. No column is a time.",
    ]
    for example in EXAMPLES:
        rows = record.get(example.name, {})
        if not rows:
            continue
        lines += ["", f"## {example.title}", "", f"`examples/edge/{example.file}.py`", ""]
        lines.append(
            table(COLUMNS, (cells(target, rows[target]) for target in example.targets if target in rows))
        )
    return "\n".join(lines) + "\n"


def written(text: str) -> str:
    """docs/edge.md as its record gives it; nothing of the `text` that it has is kept."""
    return page(json.loads(RECORD.read_text()))


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--only", action="append", help="only this example; may be repeated")
    parser.add_argument("--target", action="append", help="only this target; may be repeated")
    parser.add_argument("--no-check", action="store_true", help="export, and run nothing")
    parser.add_argument("--page", type=Path, default=ROOT / "docs" / "edge.md")
    options = parser.parse_args()
    record: dict[str, dict[str, Any]] = json.loads(RECORD.read_text()) if RECORD.exists() else {}
    for example in EXAMPLES:
        chosen = [target for target in example.targets if not options.target or target in options.target]
        if (options.only and example.name not in options.only) or not chosen:
            continue
        program = example.program(module_of(example))
        for target in chosen:
            row = figures(program, example.name, target, not options.no_check)
            record.setdefault(example.name, {})[target] = row
            sys.stdout.write(f"{example.name} {target}: {row}\n")
            RECORD.write_text(json.dumps(record, indent=1, sort_keys=True) + "\n")
    options.page.write_text(page(record))


if __name__ == "__main__":
    main()
