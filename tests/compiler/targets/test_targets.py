"""Targets by name, and the host with and without the variables that make it pose as another."""

from __future__ import annotations

import ast
import platform
import subprocess
import sys
from pathlib import Path

import pytest

import anychip
from anychip.compiler import targets
from anychip.compiler.targets import UnknownTarget, UnusableTarget, instruction_sets, isas
from anychip.compiler.targets.isas import x86_64

SOURCE = Path(anychip.__file__).parent
X86 = platform.machine() in ("x86_64", "AMD64")


def test_names_are_unique_and_resolve_to_themselves():
    assert len(targets.names()) == sum(len(isa.targets) for isa in instruction_sets().values())
    for name in targets.names():
        assert targets.get(name).name == name


def test_every_file_is_an_instruction_set_of_its_own_name():
    files = {path.stem for path in Path(isas.__file__).parent.glob("*.py")} - {"__init__"}
    assert files == set(instruction_sets())
    for isa in instruction_sets().values():
        assert {target.isa for target in isa.targets} == {isa.name}


def test_a_target_has_one_instruction_for_the_products_of_an_element():
    for target in map(targets.get, targets.names()):
        assert len({dot.element for dot in target.dots}) == len(target.dots), target.name
    assert targets.get("alderlake").dot("i8") is None, "AVX-VNNI has registers of 256 bits"


def test_no_other_file_knows_an_instruction_set_by_name():
    """What is true of one is said in its file. Names that a core has too may stand elsewhere, but an
    instruction set is compared with another one only, never with a name. Linux's numbers of system calls are
    by its names of machines, which are others' facts."""
    only_sets = set(instruction_sets()) - set(targets.names())
    found = []
    system_calls = SOURCE / "author" / "confinement" / "seccomp.py"
    assert system_calls.exists()
    for path in sorted({*SOURCE.rglob("*.py")} - {*Path(isas.__file__).parent.iterdir(), system_calls}):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            named = isinstance(node, ast.Constant) and node.value in only_sets
            compared = isinstance(node, ast.Compare) and _compares_with_a_name(node)
            if isinstance(node, ast.expr) and (named or compared):
                found.append(f"{path.relative_to(SOURCE)}:{node.lineno}: {ast.unparse(node)}")
    assert not found, "\n".join(found)


def _compares_with_a_name(node: ast.Compare) -> bool:
    sides = [
        isinstance(side, ast.Attribute) and side.attr == "isa" for side in (node.left, *node.comparators)
    ]
    return any(sides) and not all(sides)


def test_unknown_name_lists_near_ones():
    with pytest.raises(
        UnknownTarget, match=r"unknown target 'cortex-a67'\n  Did you mean .*cortex-a7"
    ) as caught:
        targets.get("cortex-a67")
    assert caught.value.target_name == "cortex-a67"


@pytest.mark.parametrize(
    ("name", "bits", "lanes_of_f32"),
    [
        ("x86-64-v2", 128, 4),
        ("x86-64-v3", 256, 8),
        ("x86-64-v4", 512, 16),
        ("rv64gc", 0, 1),
        ("la464", 256, 8),
    ],
)
def test_lanes(name: str, bits: int, lanes_of_f32: int):
    target = targets.get(name)
    assert target.vector_bits == bits
    assert target.lanes(32) == lanes_of_f32


def test_importing_targets_does_not_load_llvm():
    code = (
        "import sys, anychip.compiler.targets as t; t.get('cortex-a76'); sys.exit('llvmlite' in sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_host_is_cached_and_of_this_machine(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.delenv("ANYCHIP_TARGET", raising=False)
    monkeypatch.delenv("ANYCHIP_TARGET_FEATURES", raising=False)
    host = targets.host()
    assert host is targets.get("host")
    assert host.name == "host"
    assert host.isa == {"AMD64": "x86_64", "arm64": "aarch64"}.get(platform.machine(), platform.machine())


@pytest.mark.skipif(not X86, reason="overrides are checked in detail on x86-64")
class TestOverride:
    def test_lesser_core(self, monkeypatch: pytest.MonkeyPatch):
        monkeypatch.setenv("ANYCHIP_TARGET", "x86-64-v2")
        host = targets.host()
        assert (host.name, host.cpu, host.vector_bits) == ("x86-64-v2", "x86-64-v2", 128)
        assert not host.fma

    def test_core_with_what_the_machine_lacks(self, monkeypatch: pytest.MonkeyPatch):
        monkeypatch.setitem(x86_64.FEATURES, "future-core", frozenset({"sse2", "avx99"}))
        monkeypatch.setenv("ANYCHIP_TARGET", "future-core")
        with pytest.raises(UnusableTarget, match=r"ANYCHIP_TARGET=future-core: this machine .* lacks avx99"):
            targets.host()

    def test_core_of_another_isa(self, monkeypatch: pytest.MonkeyPatch):
        monkeypatch.setenv("ANYCHIP_TARGET", "cortex-a76")
        with pytest.raises(UnknownTarget, match="cortex-a76"):
            targets.host()

    def test_removed_feature_takes_its_dependents(self, monkeypatch: pytest.MonkeyPatch):
        monkeypatch.setenv("ANYCHIP_TARGET_FEATURES", "-avx")
        host = targets.host()
        assert host.vector_bits == 128
        flags = (host.fma, host.gather, host.f16_conversion, host.dots)
        assert not any(flags)
        assert host.features.split(",").count("-avx") == 1

    @pytest.mark.parametrize("change", ["avx2", "+avx2", "-no-such-feature"])
    def test_malformed_removal(self, monkeypatch: pytest.MonkeyPatch, change: str):
        monkeypatch.setenv("ANYCHIP_TARGET_FEATURES", change)
        with pytest.raises(UnusableTarget, match="ANYCHIP_TARGET_FEATURES"):
            targets.host()
