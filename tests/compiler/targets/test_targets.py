"""Targets by name, and the host with and without the variables that make it pose as another."""

from __future__ import annotations

import platform
import subprocess
import sys

import pytest

from anychip.compiler import targets
from anychip.compiler.targets import UnknownTarget, UnusableTarget, x86_64

X86 = platform.machine() in ("x86_64", "AMD64")


def test_names_are_unique_and_resolve_to_themselves():
    assert len(targets.names()) == len(set(targets.names()))
    for name in targets.names():
        assert targets.get(name).name == name


def test_every_isa_of_the_plan_has_a_target():
    isas = {targets.get(name).isa for name in targets.names()}
    assert isas >= {
        "x86_64", "aarch64", "arm", "riscv64", "loongarch64", "wasm32", "ppc64le", "s390x", "mips64el",
    }  # fmt: skip


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
        flags = (host.fma, host.gather, host.f16_conversion, host.bf16_dot, host.int8_dot)
        assert not any(flags)
        assert host.features.split(",").count("-avx") == 1

    @pytest.mark.parametrize("change", ["avx2", "+avx2", "-no-such-feature"])
    def test_malformed_removal(self, monkeypatch: pytest.MonkeyPatch, change: str):
        monkeypatch.setenv("ANYCHIP_TARGET_FEATURES", change)
        with pytest.raises(UnusableTarget, match="ANYCHIP_TARGET_FEATURES"):
            targets.host()
