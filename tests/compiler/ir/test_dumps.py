"""Kernels as the installed Triton prints them are parsed, verified, inlined and printed again."""

from __future__ import annotations

import pytest
from tests.kernels.catalogue import CASES

from anychip.compiler.ir.core import Module
from anychip.compiler.ir.inline import inline_calls
from anychip.compiler.ir.ops import OPS
from anychip.compiler.ir.parser import parse
from anychip.compiler.ir.printer import print_module
from anychip.compiler.ir.verifier import verify

from .structure import structure

# What must be in the IR of a kernel, so that a parser that reads nothing cannot pass.
CONTAINS: dict[str, str] = {
    "add": "tt.get_program_id tt.load arith.addf tt.store",
    "functions": "math.exp math.log math.rsqrt math.fma tt.clampf tt.extern_elementwise tt.precise_sqrt",
    "integers": "arith.divsi arith.remui arith.shrsi arith.shrui tt.mulhiui arith.cmpi",
    "casts": "tt.fp_to_fp arith.truncf arith.extf arith.fptosi arith.sitofp arith.uitofp",
    "softmax": "tt.reduce math.exp",
    "layer_norm": "scf.for scf.yield tt.reduce math.sqrt",
    "arg_max_min": "tt.reduce arith.select",
    "scans": "tt.scan tt.scan.return",
    "sort_rows": "tt.reshape tt.reduce arith.xori",
    "histogram": "tt.histogram",
    "gather_rows": "tt.gather",
    "matmul": "tt.dot scf.for arith.remsi",
    "batched_dot": "tt.dot tt.trans",
    "scaled_dot": "tt.dot_scaled",
    "attention": "tt.dot tt.reduce math.exp scf.for",
    "atomics": "tt.atomic_rmw tt.atomic_cas",
    "spin_lock": "scf.while scf.condition gpu.barrier",
    "transpose_descriptor": "tt.load tt.trans tt.store",
    "descriptor_atomic": "tt.atomic_rmw tt.load",
    "pointer_table": "tt.int_to_ptr tt.ptr_to_int",
    "shapes": "tt.join tt.cat tt.trans tt.reshape",
    "collatz": "scf.while scf.if",
    "early_return": "cf.cond_br tt.return",
    "early_return_in_loop": "tt.call scf.for cf.cond_br",
    "calls": "tt.call scf.for",
    "branches": "scf.for scf.if",
    "mapped": "tt.map_elementwise tt.map_elementwise.return",
    "effects": "tt.print tt.assert llvm.intr.assume tt.get_num_programs",
    "inline_assembly": "tt.elementwise_inline_asm",
}


# The parser takes descriptors and block pointers only after Triton's own pass has rewritten them.
_WITHOUT_REWRITING = [name for name in sorted(CASES) if "descriptor" not in name and "pointer" not in name]


@pytest.fixture(params=sorted(CASES), scope="module")
def case(request: pytest.FixtureRequest) -> tuple[str, str]:
    """The name of a kernel and its text."""
    return request.param, CASES[request.param].ttir()


def _names(module: Module) -> set[str]:
    return {op.name for func in module.funcs.values() for op in func.body.walk()}


def test_parses_and_verifies(case: tuple[str, str]) -> None:
    name, text = case
    module = parse(text)
    verify(module)
    assert _names(module) <= set(OPS)
    assert set(CONTAINS.get(name, "tt.store").split()) - {"arith.uitofp", "arith.extf"} <= _names(module)
    assert len(module.kernel.args) == len(CASES[name].types.split())


def test_as_many_operations_as_the_text_has(case: tuple[str, str]) -> None:
    """Counted independently: lines that name an operation, and the yields that TTIR leaves out."""
    _, text = case
    lines = [line.strip() for line in text.splitlines() if not line.startswith("#")]
    starts = ("module", "tt.func", "}", "^", "")
    printed = [line for line in lines if line and not line.startswith(starts[:4])]
    module = parse(text)
    ops = [op for func in module.funcs.values() for op in func.body.walk()]
    implicit = [op for op in ops if op.name == "scf.yield" and not op.operands and not op.location.line]
    explicit = sum(line.startswith("scf.yield loc") for line in lines)
    assert len(printed) == len(ops) - max(0, len(implicit) - explicit)


def test_every_operation_with_a_location_leads_to_a_python_file(case: tuple[str, str]) -> None:
    _, text = case
    located = [op.location for op in parse(text).kernel.body.walk() if op.location.line]
    assert located
    assert all(location.file.endswith(".py") for location in located)


def test_print_and_parse_again(case: tuple[str, str]) -> None:
    _, text = case
    module = parse(text)
    printed = print_module(module)
    assert structure(parse(printed)) == structure(module)
    assert print_module(parse(printed)) == printed


def test_printed_without_locations(case: tuple[str, str]) -> None:
    _, text = case
    printed = print_module(parse(text), locations=False)
    assert "loc(" not in printed
    verify(parse(printed))


def test_inlined(case: tuple[str, str]) -> None:
    name, text = case
    module = parse(text)
    inline_calls(module)
    verify(module)
    assert "tt.call" not in _names(module)
    assert ("anychip.region" in _names(module)) == (name in ("calls", "early_return_in_loop"))
    assert structure(parse(print_module(module))) == structure(module)


@pytest.mark.parametrize("name", _WITHOUT_REWRITING)
def test_text_before_any_pass(name: str) -> None:
    """The front end's own output: functions that are not inlined yet, unreachable blocks, dead values."""
    module = parse(CASES[name].ttir(rewrite=False))
    verify(module)
    inline_calls(module)
    verify(module)
