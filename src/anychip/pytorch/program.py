"""A function of tensors as a recorded list of launches: the object that `anychip.capture` returns.

A call takes new inputs of the recorded shapes, hands their addresses to the runtime's launch list
and returns outputs in the structure that the function returned. Nothing of the function's Python
runs again.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch.utils._pytree import tree_flatten, tree_unflatten

from ..runtime.program import LaunchList
from .counting import flops
from .errors import CaptureError, ProgramInputError
from .interface import Constant, InputTensor, InputView, Interface, Output, OutputView
from .layouts import ADDRESS_ALIGNMENT, Layout, copied, fresh, layout_of, span_of, view_of

if TYPE_CHECKING:
    from ..edge.export import Library

capturing: set[int] = set()
"""Threads in which a function is being captured now."""


class Program:
    """A recorded function. Call it with arguments of the recorded shapes, dtypes and strides.

    `launches` is the runtime's launch list (kernels, buffers, arena); `name` is the function's. Results
    carry no autograd history. Several threads may call one Program at a time, unless it `has_state`: memory
    that each call reads and writes where it is.
    """

    def __init__(
        self,
        name: str,
        launches: LaunchList,
        interface: Interface,
        constants: Sequence[Any],
        function: Callable[..., Any],
        examples: Sequence[torch.Tensor],
        has_state: bool = False,
    ):
        self.name = name
        self.has_state = has_state
        self.function = function
        self._examples = tuple(examples)
        self.launches = launches
        self.interface = interface
        self._constants = tuple(constants)
        self._tensors = tuple(
            k for k, expected in enumerate(interface.inputs) if isinstance(expected, InputTensor)
        )
        self._is_single = interface.output_tree.is_leaf()
        self._layouts = [storage.layout for storage in interface.storages]
        self._leaves_made, self._values = _leaves_of(interface)
        self._targets = tuple(k for k, output in enumerate(interface.outputs) if _is_tensor_output(output))

    def __call__(self, *arguments: Any, out: Any = None, **keywords: Any) -> Any:
        """Run the launches on `arguments`, which may lie anywhere, and return what the function would.

        `out` receives the result instead of fresh memory: one tensor for each tensor of the result, in
        any structure; tensors laid out as the result's are written directly. Raises ProgramInputError
        for arguments or `out` that do not match the capture.
        """
        if threading.get_ident() in capturing:
            raise CaptureError(
                f"Program {self.name} was called while another Program is captured; call the function that "
                "it was captured from, so that its launches are recorded"
            )
        values = self._leaves(arguments, keywords)
        for expected, value in zip(self.interface.inputs, values):
            expected.check(value)
        inputs = [values[k] for k in self._tensors]
        addresses = [x.data_ptr() for x in inputs]
        staged = []
        for k, address in enumerate(addresses):
            if address % ADDRESS_ALIGNMENT:
                aligned = copied(inputs[k])
                staged.append(aligned)
                addresses[k] = aligned.data_ptr()
        targets = None if out is None else self._checked_targets(out)
        memories = self._output_memories(targets, inputs)
        self.launches.replay([*addresses, *(memory.data_ptr() for memory in memories)])
        results = self._results(inputs, memories)
        for k, target in (targets or {}).items():
            if results[k] is not target:
                target.copy_(results[k])
                results[k] = target
        return results[0] if self._is_single else tree_unflatten(results, self.interface.output_tree)

    def replay(self, addresses: Sequence[int], inputs: Sequence[torch.Tensor]) -> list[Any]:
        """The results for inputs that are known to match the capture and to be aligned, given with their
        addresses: the call of those who have checked."""
        memories = [fresh(layout) for layout in self._layouts]
        self.launches.replay([*addresses, *[memory.data_ptr() for memory in memories]])
        return self._results(inputs, memories)

    def forget_examples(self) -> None:
        """Let go of the tensors of the call that was captured, which only an export needs."""
        self._examples = ()

    def _leaves(self, arguments: tuple[Any, ...], keywords: dict[str, Any]) -> Sequence[Any]:
        """The leaves of a call's arguments, in the order of the capture's."""
        names = self.interface.keywords
        same_names = len(keywords) == len(names) and all(name in keywords for name in names)
        ordered = {name: keywords[name] for name in names} if same_names else keywords
        if (
            self.interface.is_flat
            and same_names
            and len(arguments) + len(names) == len(self.interface.inputs)
        ):
            return (*arguments, *ordered.values())
        values, tree = tree_flatten((arguments, ordered))
        if tree != self.interface.input_tree:
            raise ProgramInputError(
                f"{self.name}: expected arguments of the structure {self.interface.input_tree}, got {tree}; "
                "call it as it was captured"
            )
        return values

    def report(self) -> dict[str, Any]:
        """What the Program is: launches, bytes, and its kernels by number of launches. `flops` counts
        floating-point operations over whole tiles; None where the number depends on what is in memory."""
        rows = self.launches.kernels(flops)
        return {
            "name": self.name,
            "launches": len(self.launches.launches),
            "arena_bytes": self.launches.arena_bytes,
            "temporary_bytes": sum(lifetime.size for lifetime in self.launches.lifetimes),
            "weight_bytes": self.launches.constant_bytes,
            "input_bytes": self._buffer_bytes(self.launches.inputs),
            "output_bytes": self._buffer_bytes(self.launches.outputs),
            "moved_bytes": sum(row.bytes for row in rows),
            "flops": sum(row.flops or 0 for row in rows),
            "kernels": [
                {
                    "kernel": row.kernel,
                    "launches": row.launches,
                    "programs": row.programs,
                    "bytes": row.bytes,
                    "flops": row.flops,
                }
                for row in rows
            ],
        }

    def example_tensors(self) -> tuple[torch.Tensor, ...]:
        """The tensors of the call that was captured."""
        return self._examples

    def example(self) -> tuple[tuple[Any, ...], dict[str, Any]]:
        """Arguments and keywords of the call that was captured."""
        tensors = iter(self._examples)
        leaves = [
            next(tensors) if isinstance(expected, InputTensor) else expected.value
            for expected in self.interface.inputs
        ]
        arguments, keywords = tree_unflatten(leaves, self.interface.input_tree)
        return arguments, keywords

    def export(
        self,
        chip: str,
        directory: Path | str,
        *,
        name: str | None = None,
        embed_weights: bool | None = None,
        watchdog: bool = False,
    ) -> Library:
        """Write a C library for `chip` (a chip's identifier, or a target's name such as "cortex-m55") into
        `directory`: object code, header, weights, an example with its expected results, report.

        `name` is the prefix of the C names (the function's name); `embed_weights` keeps the weights inside
        of the library (None: if they are small, and always for microcontrollers); `watchdog` adds functions
        by which a timer stops a robot when the program stalls. Raises ExportError or UnknownTarget before
        any file is written.
        """
        if self.has_state:
            raise CaptureError(
                f"{self.name}: the Program writes memory of this process (its state), which a library would "
                "not have; capture a function that takes the state as an input and returns it"
            )
        from ..edge.export import export
        from .export import exported_function

        function = exported_function(self, name)
        return export(function, chip, directory, embed_weights=embed_weights, watchdog=watchdog)

    def __str__(self) -> str:
        report = self.report()
        lines = [
            f"Program {self.name}: {report['launches']} launches, "
            f"arena {_bytes(report['arena_bytes'])} for {_bytes(report['temporary_bytes'])} of temporaries, "
            f"weights {_bytes(report['weight_bytes'])}, {_bytes(report['moved_bytes'])} moved, "
            f"{_scaled(report['flops'], FLOPS)}",
            f"{'kernel':<44}{'launches':>9}{'programs':>11}{'moved':>12}{'flops':>14}",
        ]
        for row in report["kernels"]:
            number = "" if row["flops"] is None else _scaled(row["flops"], FLOPS)
            lines.append(
                f"{row['kernel']:<44}{row['launches']:>9}{row['programs']:>11}"
                f"{_bytes(row['bytes']):>12}{number:>14}"
            )
        return "\n".join(lines)

    def __repr__(self) -> str:
        return f"<anychip.Program {self.name}: {len(self.launches.launches)} launches>"

    def _buffer_bytes(self, numbers: Sequence[int]) -> int:
        return sum(self.launches.buffers[number].size for number in numbers)

    def _checked_targets(self, out: Any) -> dict[int, torch.Tensor]:
        """The tensors of `out` by number of the output leaf."""
        given = [leaf for leaf in tree_flatten(out)[0] if leaf is not None]
        if len(given) != len(self._targets):
            raise ProgramInputError(
                f"{self.name}: out holds {len(given)} tensors, the result {len(self._targets)}; "
                "give one for each"
            )
        targets = dict(zip(self._targets, given))
        for k, target in targets.items():
            shape, _, dtype = self._output_layout(k)
            if not isinstance(target, torch.Tensor) or tuple(target.shape) != shape or target.dtype != dtype:
                got = (
                    f"{list(target.shape)}, {target.dtype}"
                    if isinstance(target, torch.Tensor)
                    else type(target).__name__
                )
                raise ProgramInputError(
                    f"{self.name}: out for result {k}: expected a tensor of shape {list(shape)}, "
                    f"{dtype}, got {got}"
                )
        return targets

    def _output_layout(self, k: int) -> Layout:
        output = self.interface.outputs[k]
        return layout_of(output.value) if isinstance(output, Constant) else output.layout

    def _output_memories(
        self, targets: dict[int, torch.Tensor] | None, inputs: Sequence[torch.Tensor]
    ) -> list[torch.Tensor]:
        """A tensor for each output storage: the caller's where it may be written directly, or a fresh one."""
        direct: dict[int, torch.Tensor] = {}
        occupied = [_range(x) for x in inputs]
        for k, target in (targets or {}).items():
            output = self.interface.outputs[k]
            if not isinstance(output, OutputView):
                continue
            storage = self.interface.storages[output.storage]
            begin, end = _range(target)
            apart = all(end <= first or last <= begin for first, last in occupied)
            fits = storage.is_one_tensor and storage.layout == layout_of(target)
            if fits and begin % ADDRESS_ALIGNMENT == 0 and apart:
                direct[output.storage] = target
            occupied.append((begin, end))
        return [
            direct[number] if number in direct else fresh(layout)
            for number, layout in enumerate(self._layouts)
        ]

    def _results(self, inputs: Sequence[torch.Tensor], memories: Sequence[torch.Tensor]) -> list[Any]:
        """The leaves of the result, in the order of the outputs."""
        sources = [*memories, *inputs, *self._values]
        return [sources[k] if view is None else view_of(sources[k], *view) for k, view in self._leaves_made]


def _leaves_of(interface: Interface) -> tuple[list[tuple[int, tuple[int, Layout] | None]], list[Any]]:
    """Where each leaf of the result comes from, a number among output memories, inputs and the values that
    are returned second, and which view of that it is, if any: its byte offset and layout."""
    inputs = len(interface.storages)
    values = inputs + sum(isinstance(expected, InputTensor) for expected in interface.inputs)
    leaves: list[tuple[int, tuple[int, Layout] | None]] = []
    constants: list[Any] = []
    for output in interface.outputs:
        if isinstance(output, Constant):
            leaves.append((values + len(constants), None))
            constants.append(output.value)
        elif isinstance(output, InputView):
            leaves.append((inputs + output.tensor, (output.byte_offset, output.layout)))
        else:
            is_whole = interface.storages[output.storage].is_one_tensor
            leaves.append((output.storage, None if is_whole else (output.byte_offset, output.layout)))
    return leaves, constants


def _is_tensor_output(output: Output) -> bool:
    return not isinstance(output, Constant) or isinstance(output.value, torch.Tensor)


def _range(tensor: torch.Tensor) -> tuple[int, int]:
    begin = tensor.data_ptr()
    return begin, begin + span_of(tensor)


BYTES, FLOPS = ("B", "kB", "MB", "GB"), ("flop", "kflop", "Mflop", "Gflop")


def _bytes(number: int) -> str:
    return _scaled(number, BYTES)


def _scaled(number: int, units: Sequence[str]) -> str:
    """With the largest of the units, each a thousand times the one before, that leaves a whole part."""
    power = min(len(units) - 1, (len(str(abs(number))) - 1) // 3)
    return f"{number / 1000**power:.1f} {units[power]}" if power else f"{number} {units[0]}"
