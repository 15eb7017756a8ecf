"""Folders of weights in few bits: unpacking against NumPy readings of the published packings, logits against
the library's model in float64 with the same numbers."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from tests.serve import packings
from tests.serve.test_models import TOKENS, served_logits
from tests.serve.tiny_models import as_float64

from anychip.llm.packed.products import unpacked_rows
from anychip.llm.packed.scaled import ScaledWeight, scaled_matmul
from anychip.llm.packed.weights import PackedWeight
from anychip.serve.errors import ModelError
from anychip.serve.model import from_folder
from anychip.serve.quantised import method_of
from anychip.serve.sources import SafetensorsFolder

pytest.importorskip("transformers")


def gptq(bits: int, group: int, **more: Any) -> dict[str, Any]:
    return {"quant_method": "gptq", "bits": bits, "group_size": group, **more}


def awq(group: int) -> dict[str, Any]:
    return {"quant_method": "awq", "bits": 4, "group_size": group, "version": "gemm", "zero_point": True}


def compressed(form: str, bits: int, kind: str = "int", **weights: Any) -> dict[str, Any]:
    groups = {"group_0": {"targets": ["Linear"], "weights": {"num_bits": bits, "type": kind, **weights}}}
    return {"quant_method": "compressed-tensors", "format": form, "config_groups": groups}


V2 = {"checkpoint_format": "gptq_v2"}
PACKED = {
    "gptq4": (gptq(4, 32), lambda r, c: packings.gptq(r, c, 32, 4)),
    "gptq4 in an order": (gptq(4, 32, desc_act=True), lambda r, c: packings.gptq(r, c, 32, 4, True)),
    "gptq4 v2": (gptq(4, 32, **V2), lambda r, c: packings.gptq(r, c, 32, 4, adds=0)),
    "gptq8": (gptq(8, -1), lambda r, c: packings.gptq(r, c, c, 8)),
    "awq": (awq(32), lambda r, c: packings.awq(r, c, 32)),
    "int4": (
        compressed("pack-quantized", 4, group_size=32),
        lambda r, c: packings.compressed(r, c, 32, 4),
    ),
    "int4 with zeros": (
        compressed("pack-quantized", 4, group_size=32),
        lambda r, c: packings.compressed(r, c, 32, 4, True),
    ),
    "int8": (compressed("int-quantized", 8), lambda r, c: packings.int8(r, c, c)),
    "int8 packed": (compressed("pack-quantized", 8), lambda r, c: packings.compressed(r, c, c, 8)),
}
SMALL_FLOATS = {
    "fp8": (
        {"quant_method": "fp8", "weight_block_size": [32, 32]},
        lambda r, c: packings.fp8(r, c, (32, 32)),
    ),
    "fp8 by rows": (
        compressed("float-quantized", 8, "float", strategy="channel"),
        lambda r, c: packings.fp8(r, c, (1, c), "weight_scale"),
    ),
    "fp8 whole": (
        compressed("float-quantized", 8, "float", strategy="tensor"),
        lambda r, c: packings.fp8(r, c, (r, c), "weight_scale"),
    ),
}


def read(folder: Path, tensors: dict[str, np.ndarray], configuration: dict[str, Any]):
    """A matrix as the engine keeps it, and the order of its columns."""
    given = {f"m.{name}": x.contiguous() for name, x in packings.as_tensors(tensors).items()}
    save_file(given, folder / "model.safetensors")
    return method_of(configuration, "here").read(SafetensorsFolder(folder), "m")


@pytest.mark.parametrize("name", PACKED)
def test_unpacking_is_that_of_the_published_packing(name: str, tmp_path: Path) -> None:
    """Every element exact."""
    configuration, pack = PACKED[name]
    tensors, exact = pack(40, 96)
    weight, order = read(tmp_path, tensors, configuration)
    assert isinstance(weight, PackedWeight)
    got = unpacked_rows(weight, torch.arange(40)).double().numpy()
    assert np.array_equal(got, exact if order is None else exact[:, order.numpy()])
    assert (order is not None) == ("order" in name)


@pytest.mark.parametrize("columns", [61, 100])
def test_bits_behind_the_last_column_count_for_nothing(columns: int, tmp_path: Path) -> None:
    """The rest of a row's last word is zero bits, which stand for -8."""
    tensors, exact = packings.compressed(33, columns, columns, 4)
    weight, _ = read(tmp_path, tensors, compressed("pack-quantized", 4))
    assert isinstance(weight, PackedWeight)
    assert weight.columns % 32 == 0
    got = unpacked_rows(weight, torch.arange(33)).double().numpy()
    assert np.array_equal(got[:, :columns], exact)
    assert not got[:, columns:].any()


def test_a_zero_of_the_first_gptq_wraps_around(tmp_path: Path) -> None:
    """A stored 15 means 0, as in AutoGPTQ, not 16."""
    tensors, _ = packings.gptq(32, 32, 32, 4)
    tensors["qzeros"][:] = -1
    weight, _ = read(tmp_path, tensors, gptq(4, 32))
    assert isinstance(weight, PackedWeight)
    codes = np.stack([packings.field(tensors["qweight"][c // 8], 4, c % 8) for c in range(32)], 1)
    want = tensors["scales"].T.astype(np.float64) * codes
    assert np.array_equal(unpacked_rows(weight, torch.arange(32)).double().numpy(), want)


SELDOM = ("gptq4", "gptq4 v2", "gptq8", "int8 packed", "int4 with zeros")
"""Tried when there is time: unpacking is shown of all."""


@pytest.mark.parametrize(
    "name", [pytest.param(one, marks=pytest.mark.slow if one in SELDOM else ()) for one in PACKED]
)
def test_logits_of_packed_folders(name: str, tmp_path: Path) -> None:
    """They differ by the rounding of activations to 8 bits."""
    configuration, pack = PACKED[name]
    model = packings.write_folder(tmp_path, configuration, pack)
    got, want = served_logits(from_folder(tmp_path)), as_float64(model, TOKENS)
    assert np.sqrt(((got - want) ** 2).mean()) < 0.06 * np.sqrt((want**2).mean())


@pytest.mark.parametrize("name", SMALL_FLOATS)
def test_logits_of_8_bit_floats(name: str, tmp_path: Path) -> None:
    configuration, pack = SMALL_FLOATS[name]
    model = packings.write_folder(tmp_path, configuration, pack)
    got, want = served_logits(from_folder(tmp_path)), as_float64(model, TOKENS)
    assert np.abs(got - want).max() < 2e-4 * np.abs(want).max()


def test_logits_of_experts_in_8_bit_floats(tmp_path: Path) -> None:
    """Under Mixtral's own names."""
    configuration = {"quant_method": "fp8", "weight_block_size": [32, 32]}
    model = packings.write_experts(tmp_path, "mixtral", configuration)
    got, want = served_logits(from_folder(tmp_path)), as_float64(model, TOKENS)
    assert np.abs(got - want).max() < 2e-4 * np.abs(want).max()


@pytest.mark.slow
def test_logits_of_experts_in_mxfp4(tmp_path: Path) -> None:
    """All experts answer: a router near a tie would choose others for activations that are rounded."""
    configuration = {"quant_method": "mxfp4", "modules_to_not_convert": ["lm_head"]}
    model = packings.write_experts(tmp_path, "gpt_oss", configuration, num_experts_per_tok=4)
    got, want = served_logits(from_folder(tmp_path)), as_float64(model, TOKENS)
    assert np.sqrt(((got - want) ** 2).mean()) < 0.06 * np.sqrt((want**2).mean())


def test_products_with_8_bit_floats(tmp_path: Path) -> None:
    """Blocks that end with neither the rows nor the columns."""
    tensors, exact = packings.fp8(70, 75, (32, 32))
    weight, _ = read(tmp_path, tensors, {"quant_method": "fp8", "weight_block_size": [32, 32]})
    assert isinstance(weight, ScaledWeight)
    x = torch.randn(3, 75, generator=torch.Generator().manual_seed(0))
    bias = torch.randn(70)
    want = x.double().numpy() @ exact.T + bias.double().numpy()
    size = x.abs().double().numpy() @ np.abs(exact).T + 1.0
    assert (np.abs(scaled_matmul(x, weight, bias).numpy() - want) / size).max() < 2e-6


def test_a_width_that_makes_no_whole_blocks(tmp_path: Path) -> None:
    """Activations are filled up with zeros."""
    configuration = compressed("pack-quantized", 4)
    model = packings.write_folder(
        tmp_path, configuration, lambda r, c: packings.compressed(r, c, c, 4), intermediate_size=77
    )
    got, want = served_logits(from_folder(tmp_path)), as_float64(model, TOKENS)
    assert np.sqrt(((got - want) ** 2).mean()) < 0.06 * np.sqrt((want**2).mean())


@pytest.mark.parametrize(
    ("configuration", "told"),
    [
        ({"quant_method": "bitsandbytes"}, "bitsandbytes"),
        (gptq(3, 128), "3 bits"),
        (gptq(4, 128, dynamic={"+:x": {}}), "dynamic"),
        ({**awq(128), "version": "gemv"}, "gemv"),
        (compressed("nvfp4-pack-quantized", 4, "float"), "nvfp4"),
        (compressed("pack-quantized", 3), "3-bit"),
    ],
)
def test_what_is_not_served_is_said(configuration: dict[str, Any], told: str, tmp_path: Path) -> None:
    packings.write_folder(tmp_path, configuration, lambda r, c: packings.awq(r, c, 32))
    with pytest.raises(ModelError, match=told):
        from_folder(tmp_path)


def test_tensors_that_are_not_served_are_named(tmp_path: Path) -> None:
    def no_order(rows: int, columns: int) -> Any:
        tensors, exact = packings.gptq(rows, columns, 16, 4)
        del tensors["g_idx"]
        return tensors, exact

    packings.write_folder(tmp_path, gptq(4, 16), no_order)
    with pytest.raises(ModelError, match=r"q_proj.*groups of 16"):
        from_folder(tmp_path)
    packings.write_folder(tmp_path, gptq(4, 32), lambda r, c: packings.gptq(r, c, 16, 4))
    with pytest.raises(ModelError, match=r"q_proj\.g_idx.*other than 32"):
        from_folder(tmp_path)

    def without(rows: int, columns: int) -> Any:
        return {"qweight": np.zeros((columns, rows // 8), np.int32)}, np.zeros((rows, columns))

    packings.write_folder(tmp_path, awq(32), without)
    with pytest.raises(ModelError, match=r"q_proj\.qzeros"):
        from_folder(tmp_path)

    def bare(rows: int, columns: int) -> Any:
        return {"weight": np.zeros((rows, columns), np.int8)}, np.zeros((rows, columns))

    packings.write_folder(tmp_path, awq(32), bare)
    with pytest.raises(ModelError, match=r"q_proj\.weight is of type torch\.int8"):
        from_folder(tmp_path)
