"""The rules are data that can be trusted: codes are unique, and whatever a rule names is found."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.migrate.reading import codes

from anychip.migrate.rule import Rule
from anychip.migrate.rules import FAMILIES, RULES, environment


def examples() -> Iterator[tuple[str, str, str]]:
    """A code, a file's name and its text, for everything that a rule names outside its patterns."""
    for rule in RULES.values():
        for name in rule.names:
            name = name.replace("*", "isInBadFork")
            yield rule.code, "a.py", f"import {name.partition('.')[0]}\n{name}()\n"
        for name in rule.no_device:
            yield rule.code, "a.py", f"import torch\n{name}()\n"
        for module in rule.imports:
            yield rule.code, "a.py", f"import {module}\n"
            yield rule.code, "a.py", f"from {module} import something\n"
        for name in rule.options:
            yield rule.code, "a.py", f"kernel[grid](x, {name}=True)\n"
            yield rule.code, "a.py", f"options = {{'{name}': 4}}\n"
        for name in rule.methods:
            yield rule.code, "a.py", f"x.{name}()\n"
        for name in rule.attributes:
            yield rule.code, "a.py", f"y = x.{name}\n"
        for suffix in rule.suffixes:
            yield rule.code, "a" + suffix, "__global__ void f() {}\n"
        for name in rule.requirements:
            yield rule.code, "requirements.txt", name.replace("*", "cu12") + ">=1\n"


STRINGS = {
    "AC102": ("cuda", "cuda:0", "cuda:", "cuda:%d"),
    "AC105": ("torch.cuda.FloatTensor", "torch.cuda.HalfStorage"),
    "AC312": ("torch.cuda.is_available", "torch.cuda"),
    "AC501": ("nccl", "cpu:gloo,cuda:nccl", "cuda:nccl"),
    "AC503": ("NCCL_DEBUG", "TORCH_NCCL_BLOCKING_WAIT"),
    "AC601": environment.VARIABLES,
    "AC703": ("csrc/kernel.cu", "a.cuh"),
    "AC704": ("__global__ void f(float *x) { }", "\n__device__ int g() {\n}"),
    "AC803": (
        "nvidia-smi",
        "nvcc --version",
        "/usr/local/cuda/bin/nvcc",
        "ncu",
        "nsys",
        "ptxas",
        "nvprof",
        "cuobjdump",
    ),
    "AC804": ("CUDAExecutionProvider", "TensorrtExecutionProvider", "NvTensorRTRTXExecutionProvider"),
}


@pytest.mark.parametrize("family", FAMILIES)
def test_whatever_a_rule_names_is_found(family: str, tmp_path: Path) -> None:
    of_family = {rule.code for rule in FAMILIES[family]}
    tried = [each for each in examples() if each[0] in of_family]
    for code, name, text in tried:
        assert code in codes(tmp_path, text, name), text
    assert tried or family in ("Files", "Environment")


@pytest.mark.parametrize("code", STRINGS)
def test_strings_are_found(code: str, tmp_path: Path) -> None:
    for text in STRINGS[code]:
        assert codes(tmp_path, f"x = f({text!r})\n") == [code], text


def test_every_pattern_for_strings_is_tried() -> None:
    tried = {*STRINGS, "AC103", "AC106"}
    assert {rule.code for rule in RULES.values() if rule.strings} == tried


def test_codes_are_in_order_and_say_their_family() -> None:
    listed = [rule.code for rules in FAMILIES.values() for rule in rules]
    assert listed == sorted(set(listed))
    for digit, rules in enumerate(FAMILIES.values()):
        assert all(re.fullmatch(rf"AC{digit}\d\d", rule.code) for rule in rules)
    assert len({rule.name for rule in RULES.values()}) == len(RULES)


def test_what_advice_names_exists() -> None:
    """Functions that PyTorch does not have are what other such tools propose."""
    torch = pytest.importorskip("torch")
    texts = [text for rule in RULES.values() for text in (rule.advice, *rule.instead.values())]
    named = {name for text in texts for name in re.findall(r"torch(?:\.\w+)+", text)}
    assert {"torch.accelerator.is_available", "torch.get_device_module"} <= named
    for name in named:
        value = torch
        for part in name.split(".")[1:]:
            value = getattr(value, part)


def test_functions_named_with_torch_accelerator_exist() -> None:
    torch = pytest.importorskip("torch")
    memory = RULES["AC306"].advice
    names = re.findall(r"\w+", memory.partition("(")[2].partition(")")[0])
    assert "empty_cache" in names
    assert [name for name in names if not hasattr(torch.accelerator, name)] == []


def test_messages_take_what_was_found() -> None:
    def shown(rule: Rule) -> str:
        return rule.message.format(found="this")

    assert all("{" not in shown(rule) and rule.advice.endswith(".") for rule in RULES.values())
