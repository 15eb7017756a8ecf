"""NumPy readings of how GPTQ, AWQ and compressed-tensors lay codes into words, element by element, and
folders of small models stored so."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from tests.serve.tiny_models import model_of

RNG = np.random.default_rng(5)
Tensors = dict[str, np.ndarray]


def field(words: np.ndarray, bits: int, place: int) -> np.ndarray:
    """The bits of one place of 32-bit words, the lowest bits are place 0."""
    return (words.view(np.uint32) >> np.uint32(bits * place)).astype(np.int64) & ((1 << bits) - 1)


def words(*shape: int) -> np.ndarray:
    return RNG.integers(-(2**31), 2**31, shape).astype(np.int32)


def some_scales(bits: int, *shape: int) -> np.ndarray:
    """So that matrices of any bits are about as large."""
    return (RNG.uniform(0.01, 0.04, shape) * 8 / (1 << (bits - 1))).astype(np.float16)


def gptq(rows: int, columns: int, group: int, bits: int, ordered: bool = False, adds: int = 1):
    """AutoGPTQ's: element (column, row) is in word (column // n, row) at place column % n."""
    n, groups = 32 // bits, columns // group
    qweight, qzeros = words(columns // n, rows), words(groups, rows // n)
    scales = some_scales(bits, groups, rows)
    g_idx = np.arange(columns, dtype=np.int32) // group
    if ordered:
        g_idx = RNG.permutation(g_idx).astype(np.int32)
    out = np.empty((rows, columns))
    for column in range(columns):
        own = g_idx[column]
        code = field(qweight[column // n], bits, column % n)
        zero = np.array([field(qzeros[own, r // n : r // n + 1], bits, r % n)[0] for r in range(rows)])
        zero = (zero + adds) % (1 << bits)
        out[:, column] = scales[own].astype(np.float64) * (code - zero)
    return {"qweight": qweight, "qzeros": qzeros, "scales": scales, "g_idx": g_idx}, out


def awq(rows: int, columns: int, group: int, bits: int = 4):
    """AutoAWQ's GEMM form: word (column, row // 8) has rows 0, 2, 4, 6, 1, 3, 5, 7 of eight."""
    places = {row: place for place, row in enumerate((0, 2, 4, 6, 1, 3, 5, 7))}
    groups = columns // group
    qweight, qzeros = words(columns, rows // 8), words(groups, rows // 8)
    scales = some_scales(4, groups, rows)
    out = np.empty((rows, columns))
    for row in range(rows):
        code = field(qweight[:, row // 8].copy(), 4, places[row % 8])
        zero = field(qzeros[:, row // 8].copy(), 4, places[row % 8]).repeat(group)
        out[row] = scales[:, row].astype(np.float64).repeat(group) * (code - zero)
    return {"qweight": qweight, "qzeros": qzeros, "scales": scales}, out


def compressed(rows: int, columns: int, group: int, bits: int, zeros: bool = False):
    """compressed-tensors' pack-quantized form: numbers from -2^(bits - 1) on are stored as those from 0 on,
    a row's last word is filled up with zero bits; zeros are packed down the rows."""
    n, groups = 32 // bits, -(-columns // group)
    low = -(1 << (bits - 1))
    numbers = RNG.integers(low, -low, (rows, columns))
    scales = some_scales(bits, rows, groups)
    offset = RNG.integers(low, -low, (rows, groups)) if zeros else np.zeros((rows, groups), np.int64)

    def packed(given: np.ndarray) -> np.ndarray:
        made = np.zeros((given.shape[0], -(-given.shape[1] // n)), np.uint32)
        for k in range(given.shape[1]):
            made[:, k // n] |= (given[:, k] - low).astype(np.uint32) << np.uint32(bits * (k % n))
        return made.view(np.int32)

    tensors = {
        "weight_packed": packed(numbers),
        "weight_scale": scales,
        "weight_shape": np.array([rows, columns], np.int64),
    }
    if zeros:
        tensors["weight_zero_point"] = packed(offset.T).T.copy()
    each = np.arange(columns) // group
    return tensors, scales.astype(np.float64)[:, each] * (numbers - offset[:, each])


def int8(rows: int, columns: int, group: int, bits: int = 8):
    """compressed-tensors' int-quantized form."""
    numbers = RNG.integers(-128, 128, (rows, columns)).astype(np.int8)
    scales = some_scales(bits, rows, columns // group)
    return {"weight": numbers, "weight_scale": scales}, scales.astype(np.float64).repeat(group, 1) * numbers


def e4m3(bits: np.ndarray) -> np.ndarray:
    """8-bit floats of 4 bits of exponent, 3 of fraction, bias 7, without infinities."""
    sign = np.where(bits & 128, -1.0, 1.0)
    exponent, fraction = (bits >> 3) & 15, bits & 7
    size = np.where(exponent == 0, fraction / 8 * 2.0**-6, (1 + fraction / 8) * 2.0 ** (exponent - 7.0))
    return sign * size


def fp8(rows: int, columns: int, block: tuple[int, int], name: str = "weight_scale_inv"):
    """Of any bits but NaN, up to 2."""
    numbers = RNG.integers(0, 256, (rows, columns), dtype=np.uint8)
    numbers = np.where((numbers & 127) > 64, numbers & 0xBF, numbers).astype(np.uint8)
    scales = RNG.uniform(0.05, 0.2, (-(-rows // block[0]), -(-columns // block[1]))).astype(np.float32)
    each = scales.astype(np.float64).repeat(block[0], 0)[:rows].repeat(block[1], 1)[:, :columns]
    return {"weight": numbers, name: scales}, e4m3(numbers) * each


def mxfp4(count: int, rows: int, columns: int):
    """gpt-oss's: two neighbouring elements a byte, a power of two for each 32."""
    numbers = RNG.integers(0, 256, (count, rows, columns // 32, 16), dtype=np.uint8)
    scales = RNG.integers(121, 124, (count, rows, columns // 32), dtype=np.uint8)
    each = np.stack([numbers & 15, numbers >> 4], -1).reshape(count, rows, columns // 32, 32)
    sizes = np.array([0, 0.5, 1, 1.5, 2, 3, 4, 6])[each & 7] * np.where(each & 8, -1.0, 1.0)
    return numbers, scales, (sizes * 2.0 ** (scales[..., None] - 127.0)).reshape(count, rows, columns)


def write_experts(path: Path, kind: str, configuration: dict[str, Any], **changes: Any):
    """A small mixture whose experts' matrices are MXFP4 (gpt_oss) or 8-bit floats by blocks, with the same
    model of the numbers."""
    from safetensors.torch import save_file

    model = model_of(kind, **changes)
    stored = {}
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            *_, part = name.split(".")
            if ".experts." not in name or "bias" in name:
                other = name.replace(".mlp.", ".block_sparse_moe.") if kind == "mixtral" else name
                stored[other] = parameter.detach().clone()
            elif kind == "gpt_oss":
                count, columns, rows = parameter.shape
                numbers, scales, exact = mxfp4(count, rows, columns)
                stored[f"{name}_blocks"] = torch.from_numpy(numbers)
                stored[f"{name}_scales"] = torch.from_numpy(scales)
                parameter.copy_(torch.from_numpy(exact).transpose(1, 2))
            else:
                own = ("w1", "w3") if part == "gate_up_proj" else ("w2",)
                for expert, matrix in enumerate(parameter):
                    for word, piece in zip(own, matrix.chunk(len(own)), strict=True):
                        tensors, exact = fp8(piece.shape[0], piece.shape[1], (32, 32))
                        piece.copy_(torch.from_numpy(exact))
                        owner = name.replace(".mlp.", ".block_sparse_moe.").removesuffix(part)
                        for field_name, tensor in as_tensors(tensors).items():
                            stored[f"{owner}{expert}.{word}.{field_name}"] = tensor.contiguous()
    save_file(stored, path / "model.safetensors", {"format": "pt"})
    given = model.config.to_dict() | {"quantization_config": configuration}
    (path / "config.json").write_text(json.dumps(given), encoding="utf-8")
    return model


def as_tensors(given: Tensors) -> dict[str, torch.Tensor]:
    """For safetensors; bytes are 8-bit floats."""
    made = {name: torch.from_numpy(x) for name, x in given.items()}
    return {n: x.view(torch.float8_e4m3fn) if x.dtype == torch.uint8 else x for n, x in made.items()}


def write_folder(path: Path, configuration: dict[str, Any], pack: Callable[[int, int], Any], **changes: Any):
    """A small Llama whose layers' matrices are random ones of a packing; gives the same model with the
    matrices' numbers."""
    from safetensors.torch import save_file

    model = model_of("llama", **changes)
    stored = {}
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if name.endswith("proj.weight"):
                tensors, exact = pack(*parameter.shape)
                for kind, tensor in as_tensors(tensors).items():
                    stored[f"{name.removesuffix('weight')}{kind}"] = tensor.contiguous()
                parameter.copy_(torch.from_numpy(exact))
            else:
                stored[name] = parameter.detach().clone()
    save_file(stored, path / "model.safetensors", {"format": "pt"})
    given = model.config.to_dict() | {
        "quantization_config": configuration,
        "architectures": ["LlamaForCausalLM"],
    }
    (path / "config.json").write_text(json.dumps(given), encoding="utf-8")
    return model
