"""Operators for robots as C libraries of boards: bytes of code, bytes of stack, and instructions that the
code of one call has. Flows in: a robot's file, and chips. Flows out: a table. Run as
`python -m tools.robot.boards arm.urdf --chip cortex-m4`; without a file it takes the library's own small arm.

The code of one state has no loops but those of functions such as sine, so that its instructions, counted in
the disassembly, are about those of a call. --check runs each example under the chip's emulator."""

from __future__ import annotations

import argparse
import re
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

from anychip import robot
from anychip.compiler.foreign.routes import resolve
from anychip.compiler.targets import Target
from anychip.compiler.targets.machine import emit_assembly
from anychip.edge.check import check
from anychip.edge.lowering import lower
from anychip.pytorch.capture import capture
from anychip.pytorch.program import Program
from anychip.robot.body.examples import ARM
from anychip.robot.model.description import Robot

INSTRUCTION = re.compile(r"^\t[a-z]")
"""A line of assembly that is no label and no directive."""
Case = tuple[Callable[..., Any], tuple[torch.Tensor, ...]]


def cases(r: Robot, frame: str) -> dict[str, Case]:
    """What is exported, with an example's arguments, for one state in float32."""
    q = torch.as_tensor(r.neutral(), dtype=torch.float32) + 0.1
    v = torch.full((r.nv,), 0.2)
    target = robot.forward_kinematics(r, q, [frame])[0]
    states, measured = 6, 3
    one = torch.eye(states)

    def kinematics(q: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        return robot.pose_and_jacobian(r, q, frame, reference="LOCAL")

    return {
        "forward kinematics and Jacobian": (kinematics, (q,)),
        "inverse dynamics": (lambda q, v, a: robot.inverse_dynamics(r, q, v, a), (q, v, v)),
        "a step of inverse kinematics": (
            lambda q, target, damping: robot.inverse_kinematics_step(r, q, target, damping, frame)[0],
            (q + 0.1, target, torch.tensor(0.02)),
        ),
        "Kalman step, 6 states, 3 measurements": (
            robot.kalman_step,
            (
                v.new_zeros(states),
                one,
                one,
                0.1 * one,
                v.new_ones(measured),
                one[:measured],
                torch.eye(measured),
            ),
        ),
        "MPPI step, 64 samples, horizon 16": (
            robot.mppi_update,
            (torch.zeros(16, 1), torch.randn(64, 16, 1), torch.rand(64), torch.tensor(0.5)),
        ),
    }


def instructions(program: Program, chip: str) -> int:
    """Instructions in the assembly of a program's kernels."""
    target = resolve(chip)
    assert isinstance(target, Target)
    lowered = lower(program.launches, target, "step")
    texts = [emit_assembly(kernel.llvm_ir, target) for kernel in lowered.kernels]
    return sum(bool(INSTRUCTION.match(line)) for text in texts for line in text.splitlines())


def main() -> None:
    """Print a row for each case and chip."""
    parser = argparse.ArgumentParser(description="Operators for robots on boards.")
    parser.add_argument("file", nargs="?", help="URDF or MJCF")
    parser.add_argument(
        "--frame", default="", help="the frame of kinematics; the last joint where none is given"
    )
    parser.add_argument("--chip", action="append", default=[], help="may be repeated; cortex-m4 by default")
    parser.add_argument("--only", default="", help="only cases with this word")
    parser.add_argument("--check", action="store_true", help="run the examples under an emulator")
    options = parser.parse_args()
    r = robot.load(options.file or ARM)
    frame = options.frame or r.joints[-1].name
    for name, (function, arguments) in cases(r, frame).items():
        if options.only not in name:
            continue
        program = capture(function, *arguments)
        for chip in options.chip or ["cortex-m4"]:
            with tempfile.TemporaryDirectory() as folder:
                place = Path(folder) / "library"
                report = program.export(chip, place, name="step").report
                differences = check(place).differences if options.check else {}
            kernels = report["kernels"]
            print(
                f"{r.name} | {name} | {chip} | "
                f"{sum(row['code_bytes'] for row in kernels)} bytes of kernels, "
                f"{report['code_bytes']} in all | "
                f"{instructions(program, chip)} instructions | "
                f"{max(row['stack_bytes'] or 0 for row in kernels)} bytes of stack | "
                f"{differences or 'not run'}"
            )


if __name__ == "__main__":
    main()
