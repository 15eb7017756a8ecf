"""Exports as their users meet them: what the folder holds, that it is the same every time, that the code
needs nothing, and that whatever cannot be exported is refused before a file is written."""

from __future__ import annotations

import json
import shutil
import struct
import subprocess
from pathlib import Path

import pytest
import torch
from torch import nn

import anychip
from anychip.compiler.targets import UnknownTarget
from anychip.edge import folder
from anychip.edge.errors import CheckError, ExportError
from anychip.edge.export import build
from anychip.edge.symbols import read_symbols
from anychip.emulation.execution import program_of
from anychip.pytorch.export import exported_function

FILES = {"net.o", "libnet.a", "net.h", "example.c", "golden.h", "report.json"}

EARLIER = {"report.json": b'{"name": "old", "launches": []}', "old.o": b""}
"""An earlier export of a library of another name."""


@pytest.fixture(scope="module")
def program() -> anychip.Program:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(12, 20), nn.GELU(), nn.Linear(20, 5)).eval()
    return anychip.capture(model, torch.randn(3, 12))


def test_the_folder_holds_all_parts(program: anychip.Program, tmp_path: Path):
    program.export("cortex-m4", tmp_path / "out", name="net")
    assert {path.name for path in (tmp_path / "out").iterdir()} == FILES
    facts = json.loads((tmp_path / "out" / "report.json").read_text())
    assert facts["weights_in_library"]
    assert facts["weight_bytes"] >= 4 * (12 * 20 + 20 * 5)
    assert sum(kernel["launches"] for kernel in facts["kernels"]) == len(facts["launches"])
    assert facts["stack_bytes"] > max(kernel["stack_bytes"] for kernel in facts["kernels"])
    products = [kernel["flops"] for kernel in facts["kernels"] if "matmul" in kernel["kernel"]]
    assert all(flops >= 2 * 3 * 5 * 20 for flops in products)


@pytest.mark.parametrize("target", ["cortex-m55", "wasm32", "z14", "apple-m1", "rv64gc"])
def test_an_export_is_the_same_every_time(program: anychip.Program, target: str):
    exported = exported_function(program, "net")
    assert build(exported, target).files == build(exported, target).files


@pytest.mark.parametrize("target", ["cortex-a53", "cortex-m55", "wasm32", "la464", "z14"])
def test_the_code_needs_nothing_from_elsewhere(program: anychip.Program, target: str):
    library = build(exported_function(program, "net"), target)
    symbols = read_symbols(library.files["net.o"])
    assert symbols.undefined == ()
    assert {"net_init", "net_run", "net_arena_size"} <= symbols.functions.keys()
    assert library.report["code_bytes"] == sum(symbols.functions.values()) > 500


def test_a_processor_without_64_bit_division_gets_it_with_the_library(program: anychip.Program):
    symbols = read_symbols(build(exported_function(program, "net"), "cortex-a15").files["net.o"])
    assert "__aeabi_uldivmod" in symbols.functions


def test_weights_beside_the_library_carry_their_checksum(program: anychip.Program):
    files = build(exported_function(program, "net"), "cortex-a53", embed_weights=False).files
    assert files["net_weights.bin"].startswith(b"ANYCHIPW")
    assert "net_set_weights" in files["net.h"].decode()
    assert len(files["libnet.a"]) < len(
        build(exported_function(program, "net"), "cortex-a53").files["libnet.a"]
    )


def test_weights_have_the_byte_order_of_the_chip(program: anychip.Program):
    exported = exported_function(program, "net")
    little = build(exported, "cortex-a53", embed_weights=False).files["net_weights.bin"][64:]
    big = build(exported, "z14", embed_weights=False).files["net_weights.bin"][64:]
    count = len(little) // 4
    assert little != big
    assert struct.unpack(f"<{count}I", little[: 4 * count]) == struct.unpack(f">{count}I", big[: 4 * count])


def test_wrong_names_are_refused_before_anything_is_written(program: anychip.Program, tmp_path: Path):
    with pytest.raises(UnknownTarget, match="cortex-m4"):
        program.export("cortex-m44", tmp_path / "out")
    with pytest.raises(ExportError, match="GPU"):
        program.export("nvidia-h100", tmp_path / "out")
    assert list(tmp_path.iterdir()) == []


def test_double_precision_is_refused_where_there_is_none(tmp_path: Path):
    program = anychip.capture(torch.exp, torch.rand(8, dtype=torch.float64))
    with pytest.raises(ExportError, match="double precision"):
        program.export("cortex-m4", tmp_path / "out")
    assert not (tmp_path / "out").exists()
    assert build(exported_function(program), "cortex-m7").report["code_bytes"] > 0


def test_numbers_and_64_bit_integers_need_nothing_from_a_microcontroller():
    program = anychip.capture(lambda x: (x * 100.5).long() + x.int(), torch.randn(8))
    assert not any(build(exported_function(program, "f"), "cortex-m4").report["undefined_symbols"].values())


def test_dtypes_that_c_has_not_are_refused():
    program = anychip.capture(lambda x: torch.complex(x, x) * 2, torch.rand(4))
    with pytest.raises(ExportError, match="complex64"):
        exported_function(program, "f")


def test_results_with_gaps_are_refused():
    program = anychip.capture(lambda x: torch.exp(x)[:, ::2], torch.rand(4, 8))
    with pytest.raises(ExportError, match="contiguous"):
        exported_function(program, "gaps")


def test_results_that_are_inputs_or_constants_are_refused():
    x = torch.rand(4)
    constant = torch.rand(4)
    with pytest.raises(ExportError, match="memory of an input"):
        exported_function(anychip.capture(lambda x: (x.exp(), x), x), "f")
    with pytest.raises(ExportError, match="does not depend"):
        exported_function(anychip.capture(lambda x: (x.exp(), constant), x), "f")


def test_a_folder_of_others_is_left_alone(program: anychip.Program, tmp_path: Path):
    (tmp_path / "letter.txt").write_text("dear")
    with pytest.raises(ExportError, match="no export wrote"):
        program.export("cortex-a53", tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["letter.txt"]


def test_an_export_replaces_an_earlier_one(program: anychip.Program, tmp_path: Path):
    folder.write(tmp_path / "out", EARLIER)
    program.export("cortex-a53", tmp_path / "out", name="net")
    assert {path.name for path in (tmp_path / "out").iterdir()} == FILES
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


def test_files_added_to_an_earlier_export_are_left_alone(program: anychip.Program, tmp_path: Path):
    folder.write(tmp_path / "out", EARLIER)
    (tmp_path / "out" / "mine.c").write_text("int main(void) { return 0; }")
    with pytest.raises(ExportError, match=r"mine\.c"):
        program.export("cortex-a53", tmp_path / "out", name="net")
    assert {path.name for path in (tmp_path / "out").iterdir()} == {"mine.c", *EARLIER}


def test_a_failure_while_writing_leaves_what_was_there(tmp_path: Path):
    broken = {"a.o": b"", "no/such/folder.o": b""}
    with pytest.raises(ExportError, match="cannot be written"):
        folder.write(tmp_path / "out", broken)
    assert list(tmp_path.iterdir()) == []
    folder.write(tmp_path / "out", EARLIER)
    with pytest.raises(ExportError, match="cannot be written"):
        folder.write(tmp_path / "out", broken)
    assert {path.name for path in (tmp_path / "out").iterdir()} == set(EARLIER)
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


def test_the_archive_is_one_that_ar_reads(program: anychip.Program, tmp_path: Path):
    if shutil.which("ar") is None:
        pytest.skip("no ar on this machine")
    program.export("x86-64-v2", tmp_path / "out", name="net")
    listed = subprocess.run(
        ["ar", "t", tmp_path / "out" / "libnet.a"], capture_output=True, text=True, check=True
    )
    assert listed.stdout.split() == ["net.o"]


@pytest.mark.parametrize("embed", [True, False])
def test_the_module_for_browsers_runs_in_node(program: anychip.Program, embed: bool, tmp_path: Path):
    pytest.importorskip("ziglang")
    node = shutil.which("node")
    if node is None:
        pytest.skip("Node.js is not installed")
    program.export("wasm32", tmp_path / "out", name="net", embed_weights=embed)
    done = subprocess.run([node, "example.mjs"], cwd=tmp_path / "out", capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "output: largest difference" in done.stdout


def test_a_broken_folder_cannot_be_checked(tmp_path: Path):
    from anychip.edge.check import check

    with pytest.raises(CheckError, match="no export"):
        check(tmp_path)


def _emulated(target: str) -> None:
    from anychip.compiler import targets
    from anychip.emulation.cores import core_for

    pytest.importorskip("ziglang")
    if program_of(core_for(targets.get(target))) is None:
        pytest.skip(f"what runs code for {target} is not installed")


@pytest.mark.slow
@pytest.mark.parametrize(
    "target",
    [
        "x86-64-v2",
        "cortex-a53",
        "neoverse-v1-sve",
        "cortex-a15",
        "rv64gcv",
        "z14",
        "wasm32",
        "cortex-m4",
        "cortex-m55",
    ],
)
@pytest.mark.parametrize("embed", [True, False])
def test_the_example_computes_what_pytorch_does(
    program: anychip.Program, target: str, embed: bool, tmp_path: Path
):
    from anychip.edge.check import check

    _emulated(target)
    if target.startswith("cortex-m") and not embed:
        pytest.skip("a microcontroller's weights are always in its library")
    program.export(target, tmp_path / "out", name="net", embed_weights=embed)
    assert check(tmp_path / "out").differences["output"] <= 1e-5


@pytest.mark.slow
def test_a_wrong_result_is_found(program: anychip.Program, tmp_path: Path):
    from anychip.edge.check import check

    _emulated("x86-64-v2")
    program.export("x86-64-v2", tmp_path / "out", name="net")
    golden = tmp_path / "out" / "golden.h"
    head, separator, outputs = golden.read_text().partition("golden_output")
    golden.write_text(head + separator + outputs.replace("0x3", "0x4").replace("0xb", "0xc"))
    with pytest.raises(CheckError, match=r"WRONG|differs"):
        check(tmp_path / "out")
