"""The table of emulated cores agrees with the compiler's targets, and programs linked for them run."""

from __future__ import annotations

from pathlib import Path

import pytest

from anychip.compiler import targets
from anychip.emulation import cores, execution
from anychip.emulation.cores import core_for, is_emulated
from anychip.emulation.errors import LinkError, MissingEmulator
from anychip.emulation.execution import program_of, run
from anychip.emulation.linking import link

HELLO = """
#include <stdio.h>
int main(void) { printf("%d\\n", (int)sizeof(void *) * 8); return 3; }
"""


def test_what_is_run_instead_is_run_as_it_is():
    """The target that stands in for another one is known, and nothing stands in for it."""
    emulators = [e for name in targets.names() if (e := targets.get(name).emulator) is not None]
    for name in {name for e in emulators for name in (e.runs, e.otherwise) if name}:
        assert not core_for(targets.get(name), emulate_native=True).remark, name


@pytest.mark.parametrize("name", targets.names())
def test_what_runs_has_the_same_architecture(name: str):
    target = targets.get(name)
    if not is_emulated(target):
        with pytest.raises(MissingEmulator, match="compiled"):
            core_for(target)
        return
    core = core_for(target)
    assert core.runs.isa == target.isa
    assert core.remark or core.runs == target


def test_the_length_of_scalable_vectors_is_the_core_model_s():
    for name, bits in (("neoverse-v1-sve", 256), ("neoverse-v2-sve", 128)):
        assert targets.get(name).scalable_bits == bits
        assert f"sve{bits}=on" in core_for(targets.get(name)).model
    for name in ("rv64gcv", "rv64gcv-256"):
        assert f"vlen={targets.get(name).vector_bits}" in core_for(targets.get(name)).model


def test_models_of_every_feature_are_remarked():
    for name in ("cortex-a78", "z14", "cortex-a32"):
        assert "every feature" in core_for(targets.get(name)).remark
    assert not core_for(targets.get("cortex-a72")).remark


def test_x86_cores_are_emulated_where_asked_and_known():
    core = core_for(targets.get("znver2"), emulate_native=True)
    assert (core.kind, core.model, core.runs.name) == ("qemu-user", "EPYC-Rome", "znver2")
    assert "AVX-VNNI" in core_for(targets.get("gracemont"), emulate_native=True).remark
    assert core_for(targets.get("znver2")).kind == "native"
    assert core_for(targets.get("cascadelake"), emulate_native=True).kind == "native"


@pytest.mark.slow
def test_a_program_for_this_machine_runs(tmp_path: Path):
    pytest.importorskip("ziglang")
    core = core_for(targets.get("x86-64-v2"))
    if program_of(core) is None:
        pytest.skip("this machine is no x86-64-v2")
    (tmp_path / "hello.c").write_text(HELLO)
    link(core, [tmp_path / "hello.c"], tmp_path / "hello")
    done = run(core, tmp_path / "hello", tmp_path)
    assert (done.status, done.output) == (3, "64\n")


@pytest.mark.slow
def test_a_program_that_cannot_be_linked_is_an_error(tmp_path: Path):
    pytest.importorskip("ziglang")
    (tmp_path / "bad.c").write_text("int main(void) { return missing(); } int missing(void);")
    with pytest.raises(LinkError, match="missing"):
        link(core_for(targets.get("x86-64-v2")), [tmp_path / "bad.c"], tmp_path / "bad")


def test_webassembly_runs_in_the_engine_asked_for():
    target = targets.get("wasm32")
    assert [core_for(target, engine=name).kind for name in cores.ENGINES] == list(cores.ENGINES)


def test_a_core_with_instructions_that_this_machine_lacks_is_named(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(execution, "runs_here", lambda target: False)
    with pytest.raises(MissingEmulator, match="no emulator runs graniterapids"):
        execution.require_emulator(core_for(targets.get("graniterapids")))
