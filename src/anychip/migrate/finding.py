"""What is reported: a code, a place, what binds the program there, what to do. Flows in: matches of the
readers and the chip to move to. Flows out: records that every format writes."""

from __future__ import annotations

from dataclasses import dataclass

from .reading.match import Match
from .rule import Need, Rule


@dataclass(frozen=True, slots=True)
class Destination:
    """The chip that a program is to run on. `device` is PyTorch's name of its device ("cpu", "xpu", "npu",
    ...); `is_nvidia` whether NVIDIA made it."""

    name: str
    device: str
    is_nvidia: bool = False

    def serves(self, rule: Rule) -> bool:
        """Whether what the rule recognises works there as it stands."""
        match rule.need:
            case Need.NVIDIA:
                return self.is_nvidia
            case Need.CUDA_DEVICE:
                return self.is_nvidia or self.device == "cuda"
            case Need.UNKNOWN:
                return False


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that binds a program to a vendor. `line` and `column` count from 1, columns in characters;
    `fix` says what to do; `applies` is "safe" or "unsafe" where `--fix` or `--unsafe-fixes` does it, else
    ""."""

    code: str
    file: str
    line: int
    column: int
    message: str
    fix: str
    applies: str = ""


def finding(file: str, match: Match, target: Destination | None, applies: str = "") -> Finding:
    """The finding of a match, with advice for the chip where one is named."""
    rule = match.rule
    advice = rule.advice
    if target is not None:
        advice = rule.instead.get(target.device, advice)
        if not rule.instead and rule.need is Need.CUDA_DEVICE:
            advice += f' On {target.name} PyTorch\'s device is "{target.device}".'
    line, column = match.at
    return Finding(rule.code, file, line, column + 1, rule.message.format(found=match.found), advice, applies)
