"""The report of an exported library: sizes of code, weights and memory, work per kernel, the example call.

Flows in: what the export made. Flows out: a dictionary that becomes `report.json`, and rows of a table.
It holds no times and no dates: the same input gives the same report.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Sequence
from typing import Any

from ..compiler.targets import Target
from ..runtime.program import RecordedLaunch
from .arithmetic import kind_of
from .context import MemorySizes, state_places
from .exported import Argument, ExportedFunction
from .flops import flops_of
from .lowering import Lowered
from .symbols import Symbols
from .weights import Weights

FORMAT = 1
CALL_DEPTH = ("run", "replay", "task")
"""The library's own functions on the stack while a kernel runs."""


def report(
    exported: ExportedFunction,
    chip: str,
    target: Target,
    lowered: Lowered,
    weights: Weights,
    embedded: bool,
    sizes: MemorySizes,
    object_code: bytes,
    symbols: Symbols,
    frames: dict[str, int],
) -> dict[str, Any]:
    """Everything about one library, for `report.json`."""
    code = sum(symbols.functions.values())
    return {
        "format": FORMAT,
        "name": exported.name,
        "chip": chip,
        "target": target.name,
        "triple": target.triple,
        "code_bytes": code,
        "constant_bytes": symbols.data_bytes - (len(weights.data) if embedded else 0),
        "weight_bytes": len(weights.data),
        "weights_in_library": embedded,
        "arena_bytes": sizes.arena_bytes,
        "temporary_bytes": sizes.temporary_bytes,
        "scratch_bytes_per_worker": sizes.scratch_bytes,
        "stack_bytes": _stack(exported.name, lowered, frames, target),
        "undefined_symbols": {
            kind: [symbol for symbol in symbols.undefined if kind_of(symbol) == kind]
            for kind in ("memory", "mathematics", "compiler")
        },
        "sha256": hashlib.sha256(object_code + weights.file()).hexdigest(),
        "inputs": [_argument(x) for x in exported.inputs],
        "outputs": [_argument(x) for x in exported.outputs],
        **_continued(exported),
        "kernels": _kernels(exported, lowered, symbols, frames),
        "launches": [
            {
                "kernel": kernel,
                "operator": recorded.operator,
                "grid": list(recorded.grid),
                "bytes_moved": recorded.bytes,
            }
            for recorded, kernel in zip(exported.launches.launches, lowered.of_launch)
        ],
        "example": {
            "inputs": [base64.b64encode(x).decode() for x in exported.example_inputs],
            "outputs": [base64.b64encode(x).decode() for x in exported.example_outputs],
        },
    }


def _continued(exported: ExportedFunction) -> dict[str, Any]:
    """The memory that calls hand on, and the text that the example continues, where there are such."""
    facts: dict[str, Any] = {}
    if exported.state:
        facts["state"] = {"name": exported.state, "bytes": state_places(exported.launches).bytes}
    if exported.generation is not None:
        facts["generation"] = {
            "prompt": list(exported.generation.prompt),
            "answer": list(exported.generation.answer),
            "least_lead": exported.generation.least_lead,
        }
    return facts


def _argument(argument: Argument) -> dict[str, Any]:
    return {
        "name": argument.name,
        "bytes": argument.size,
        "tensors": [
            {
                "name": tensor.name,
                "dtype": tensor.dtype,
                "shape": list(tensor.shape),
                "strides": list(tensor.strides),
                "byte_offset": tensor.byte_offset,
            }
            for tensor in argument.tensors
        ],
    }


def _kernels(
    exported: ExportedFunction, lowered: Lowered, symbols: Symbols, frames: dict[str, int]
) -> list[dict[str, Any]]:
    rows = []
    for number, kernel in enumerate(lowered.kernels):
        own = [
            recorded
            for recorded, used in zip(exported.launches.launches, lowered.of_launch)
            if used == number
        ]
        programs = sum(x * y * z for x, y, z in (recorded.grid for recorded in own))
        counts = [_flops(recorded) for recorded in own]
        rows.append(
            {
                "kernel": kernel.name,
                "symbol": kernel.symbol,
                "code_bytes": symbols.functions.get(kernel.symbol, 0),
                "stack_bytes": frames.get(kernel.symbol, 0),
                "launches": len(own),
                "programs": programs,
                "flops": None if None in counts else sum(filter(None, counts)),
                "bytes_moved": sum(recorded.bytes for recorded in own),
                "assertions": list(kernel.messages),
            }
        )
    return rows


def _flops(recorded: RecordedLaunch) -> int | None:
    x, y, z = recorded.grid
    return flops_of(recorded.origin.ttir(), recorded.slots, x * y * z)


def _stack(name: str, lowered: Lowered, frames: dict[str, int], target: Target) -> int:
    """Bytes of stack that a call may take, apart from what functions outside of the library take: the
    frames of a chain of calls, a return address for each."""
    own = sum(frames.get(f"{name}_run" if part == "run" else part, 0) for part in CALL_DEPTH)
    deepest = max((frames.get(kernel.symbol, 0) for kernel in lowered.kernels), default=0)
    arithmetic = sum(size for symbol, size in frames.items() if symbol.startswith("__") or symbol == "divide")
    return own + deepest + arithmetic + (len(CALL_DEPTH) + 2) * target.pointer_bits // 8


def rows(data: dict[str, Any]) -> Sequence[tuple[str, str]]:
    """The report in words, for a table."""
    return (
        ("code", f"{data['code_bytes']} bytes"),
        ("constants of the code", f"{data['constant_bytes']} bytes"),
        ("weights", f"{data['weight_bytes']} bytes"),
        ("arena", f"{data['arena_bytes']} bytes"),
        *([(data["state"]["name"], f"{data['state']['bytes']} bytes")] if "state" in data else []),
        ("stack, at most", f"{data['stack_bytes']} bytes"),
        ("launches", str(len(data["launches"]))),
        ("kernels", str(len(data["kernels"]))),
        ("moved", f"{sum(row['bytes_moved'] for row in data['kernels'])} bytes"),
    )
