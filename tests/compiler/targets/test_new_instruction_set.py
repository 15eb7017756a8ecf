"""An instruction set is one file: the made-up one of `docs/add-a-chip.md`, put beside the others, has kernels
compiled for it and is emulated."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.kernels import elementwise, matrices, reductions
from tests.kernels.catalogue import Case

from anychip.compiler import foreign, pipeline, targets
from anychip.compiler.targets import isas
from anychip.emulation.cores import core_for

PAGE = Path(__file__).parents[3] / "docs" / "add-a-chip.md"
SOFTMAX = Case(reductions.softmax, "*fp32 *fp32 i32 i32", {"BLOCK": 256})


@pytest.fixture
def core(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[targets.Target]:
    """The core of the page's file, which is the only thing that is added."""
    (text,) = re.findall(r"```python\n(.*?)```", PAGE.read_text(encoding="utf-8"), flags=re.DOTALL)
    (tmp_path / "anyset.py").write_text(text, encoding="utf-8")
    tables = (isas.instruction_sets, targets._by_name)
    monkeypatch.setattr(isas, "__path__", [*isas.__path__, str(tmp_path)])
    for table in tables:
        table.cache_clear()
    yield targets.get("anycore-1")
    for table in tables:
        table.cache_clear()


def _assembly(case: Case, target: targets.Target) -> str:
    return pipeline.compile_ttir(case.ttir(), target, keep_stages=True).stages["asm"]


def test_softmax_is_compiled_for_it(core: targets.Target) -> None:
    compiled = pipeline.compile_ttir(SOFTMAX.ttir(), core, keep_stages=True)
    assert compiled.object_code[:4] == b"\x7fELF"
    assert re.search(r"\bfmla(\.4s|\s+v\d+\.4s)", compiled.stages["asm"]), "exp in vectors"
    assert "anyset" in targets.instruction_sets()
    assert "anycore-1" in targets.names()


def test_its_own_facts_choose_the_instructions(core: targets.Target) -> None:
    rounding = Case(elementwise.functions, "*fp32 *fp32 i32", {"BLOCK": 16})
    assert re.search(r"\bfrintm", _assembly(rounding, core)), "floor is one instruction"
    products = Case(matrices.integer_dot, "*i8 *i8 *i32", {"S": 32})
    assert re.search(r"\bsdot", _assembly(products, core))


def test_it_is_emulated_as_its_file_says(core: targets.Target) -> None:
    found = core_for(core)
    assert (found.kind, found.program, found.model) == ("qemu-user", "aarch64", "max,sve=off")
    assert "every feature" in found.remark


def test_the_worker_compiles_for_it(core: targets.Target) -> None:
    """The process that compiles for other chips is told all of a target."""
    record = foreign.compile_library("library", ["define i32 @one() {\n  ret i32 1\n}\n"], core)
    assert record.ok, record.error
    assert record.target == "anycore-1"


def test_it_is_gone_without_the_file() -> None:
    with pytest.raises(targets.UnknownTarget, match="anycore-1"):
        targets.get("anycore-1")
