"""Folders of safetensors whose `quantization_config` says that matrices are stored in few bits: GPTQ, AWQ,
compressed-tensors, 8-bit floats, and gpt-oss's MXFP4. Flows in: a folder and that configuration. Flows
out: the weights of each module, with the bits of the file."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch

from ..llm.packed.blocks import Codes, power_scales
from ..llm.packed.dense import dense
from ..llm.packed.experts import Experts, experts
from ..llm.packed.formats import FORMATS
from ..llm.packed.grouped import grouped
from ..llm.packed.scaled import SMALL_FLOATS, scaled
from ..llm.packed.weights import ROWS, packed_codes
from ..ops.errors import ArgumentError
from .errors import ModelError
from .sources import ModuleWeights, SafetensorsFolder, Source, Weight

Matrix = tuple[Weight, torch.Tensor | None]
"""A weight and the order of its columns."""
Reader = Callable[[SafetensorsFolder, str], Matrix]
"""Reads the matrix of the module of a name."""

AWQ_ORDER = (0, 2, 4, 6, 1, 3, 5, 7)
"""Which of eight neighbouring columns each four bits of a word are, the lowest bits first."""


def codes_of(words: torch.Tensor, bits: int) -> torch.Tensor:
    """Words [..., n] int32 as codes [..., n * 32 / bits] uint8, the lowest bits of a word first."""
    shifts = torch.arange(0, 32, bits, dtype=torch.int32)
    return ((words[..., None] >> shifts) & ((1 << bits) - 1)).flatten(-2).to(torch.uint8)


# ---- the packings ---------------------------------------------------------------------------------


def _gptq(bits: int, group: int, adds_one: bool) -> Reader:
    """qweight [columns * bits / 32, rows], qzeros [groups, rows * bits / 32], scales [groups, rows], g_idx
    [columns]: a column's group. The first version of the format stores zeros less one, modulo 2^bits."""

    def read(folder: SafetensorsFolder, name: str) -> Matrix:
        codes = codes_of(folder.tensor(f"{name}.qweight").t(), bits)
        zeros = codes_of(folder.tensor(f"{name}.qzeros"), bits).t().int()
        if adds_one:
            zeros = (zeros + 1) & ((1 << bits) - 1)
        scales = folder.tensor(f"{name}.scales").t()
        order = _order(folder, f"{name}.g_idx", group)
        codes = codes if order is None else codes[:, order]
        return grouped(codes, bits, scales, zeros, _or_all(group, codes)), order

    return read


def _or_all(group: int, codes: torch.Tensor) -> int:
    """Columns of a group, where -1 stands for all."""
    return group if group > 0 else codes.shape[1]


def _order(folder: SafetensorsFolder, name: str, group: int) -> torch.Tensor | None:
    """An order in which the columns of a group lie together; None where they do. Raises ModelError."""
    if name not in folder or group <= 0:
        return None
    groups = folder.tensor(name).long()
    order = groups.argsort(stable=True)
    wanted = torch.arange(len(groups)) // group
    if not torch.equal(groups[order], wanted):
        raise ModelError(
            f"{folder.path}: {name} has groups of other than {group} columns, which is not served.",
            "Take another copy of the model.",
        )
    return None if torch.equal(groups, wanted) else order


def _awq(group: int) -> Reader:
    """qweight [columns, rows / 8], qzeros [groups, rows / 8], scales [groups, rows]."""
    places = torch.tensor(AWQ_ORDER).argsort()

    def rows(words: torch.Tensor) -> torch.Tensor:
        return codes_of(words, 4).unflatten(-1, (-1, 8))[..., places].flatten(-2).t()

    def read(folder: SafetensorsFolder, name: str) -> Matrix:
        codes, zeros = rows(folder.tensor(f"{name}.qweight")), rows(folder.tensor(f"{name}.qzeros")).int()
        return grouped(codes, 4, folder.tensor(f"{name}.scales").t(), zeros, _or_all(group, codes)), None

    return read


def _compressed(bits: int, group: int, block: tuple[int, int] | None) -> Reader:
    """weight_packed [rows, words] with weight_shape and weight_zero_point [rows in words, groups], or weight
    of int8 or 8-bit floats; weight_scale [rows, groups]. Numbers are stored as those from 0 on, so that the
    bits behind a row's last column would be the least number: they are cut off."""

    def read(folder: SafetensorsFolder, name: str) -> Matrix:
        scales = folder.tensor(f"{name}.weight_scale")
        if f"{name}.weight_packed" not in folder:
            weight = folder.tensor(f"{name}.weight")
            scales = scales.reshape(-1, 1) if scales.ndim < 2 else scales
            if weight.dtype in SMALL_FLOATS:
                rows, columns = weight.shape
                own = rows if scales.shape[0] == 1 else 1, group if group > 0 else columns
                return scaled(weight, scales, block or own), None
            if weight.dtype != torch.int8:
                raise ModelError(
                    f"{folder.path}: tensor {name}.weight is of type {weight.dtype}, which is not served "
                    "with scales.",
                    "Take another copy of the model.",
                )
            rows, columns = weight.shape
            codes, bits_here = weight.view(torch.uint8) ^ 128, 8
        else:
            rows, columns = folder.tensor(f"{name}.weight_shape").tolist()
            codes, bits_here = codes_of(folder.tensor(f"{name}.weight_packed"), bits)[:, :columns], bits
        scales = scales.expand(rows, scales.shape[1])
        zeros = None
        if f"{name}.weight_zero_point" in folder:
            zeros = folder.tensor(f"{name}.weight_zero_point")
            if zeros.dtype == torch.int32:
                zeros = codes_of(zeros.t(), bits).t()[:rows].int()
            else:
                zeros = zeros.int() + (1 << (bits_here - 1))
            zeros = zeros.reshape(-1, scales.shape[1]).expand(rows, -1)
        order = _order(folder, f"{name}.weight_g_idx", group)
        codes = codes if order is None else codes[:, order]
        return grouped(codes, bits_here, scales, zeros, _or_all(group, codes)), order

    return read


def _fp8(block: tuple[int, int] | None) -> Reader:
    """weight of 8-bit floats, weight_scale_inv [blocks of rows, blocks of columns], or one number."""

    def read(folder: SafetensorsFolder, name: str) -> Matrix:
        weight, scales = folder.tensor(f"{name}.weight"), folder.tensor(f"{name}.weight_scale_inv")
        if block is None:
            return scaled(weight, scales.reshape(1, 1), (weight.shape[0], weight.shape[1])), None
        return scaled(weight, scales, block), None

    return read


# ---- configurations -------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Method:
    """How a folder's matrices are stored: `marks` are the tensors that a module in few bits has."""

    marks: tuple[str, ...]
    read: Reader


def method_of(given: dict[str, Any], where: str) -> Method:
    """What a `quantization_config` asks for. Raises ModelError for what is not served."""
    name = given.get("quant_method")
    if name not in _METHODS:
        raise ModelError(
            f"{where}: weights by the method {name} are not served; {', '.join(_METHODS)} are.",
            "Take another copy of the model, or its GGUF file.",
        )
    return _METHODS[name](given, where)


def _refused(where: str, what: str, served: str) -> ModelError:
    return ModelError(f"{where}: {what}, which is not served; {served}.", "Take another copy of the model.")


def _gptq_method(given: dict[str, Any], where: str) -> Method:
    bits, form = given.get("bits"), given.get("checkpoint_format", "gptq")
    if bits not in (4, 8) or form not in ("gptq", "gptq_v2") or given.get("dynamic"):
        own = " with modules of their own kinds (dynamic)" if given.get("dynamic") else ""
        raise _refused(
            where, f"GPTQ of {bits} bits in the form {form}{own}", "4 and 8 bits in gptq and gptq_v2 are"
        )
    return Method(("qweight",), _gptq(int(bits), int(given.get("group_size", -1)), form == "gptq"))


def _awq_method(given: dict[str, Any], where: str) -> Method:
    bits, form = given.get("bits"), str(given.get("version", "gemm")).lower()
    if bits != 4 or form != "gemm":
        raise _refused(where, f"AWQ of {bits} bits in the form {form}", "4 bits in the form gemm are")
    group = given.get("group_size", given.get("q_group_size", -1))
    return Method(("qweight",), _awq(int(group)))


def _compressed_method(given: dict[str, Any], where: str) -> Method:
    kinds = [one.get("weights") for one in given.get("config_groups", {}).values()]
    found = {
        (
            one.get("num_bits"),
            one.get("type"),
            one.get("group_size") or -1,
            tuple(one.get("block_structure") or ()),
        )
        for one in kinds
        if one
    }
    form = given.get("format")
    served = ("pack-quantized", "int-quantized", "naive-quantized", "float-quantized")
    if form not in served:
        raise _refused(where, f"compressed-tensors in the form {form}", f"{', '.join(served)} are")
    if len(found) != 1 or not {one[:2] for one in found} <= {(4, "int"), (8, "int"), (8, "float")}:
        told = " and ".join(
            f"{bits}-bit {kind}, groups of {group}" for bits, kind, group, _ in sorted(found, key=str)
        )
        raise _refused(where, f"compressed-tensors of {told}", "one of 4-bit int, 8-bit int and float is")
    for key in ("transform_config", "sparsity_config"):
        if given.get(key) and given[key].get("format", "") != "dense":
            raise _refused(where, f"compressed-tensors with a {key}", "those without are")
    bits, _kind, group, block = found.pop()
    sizes = (int(block[0]), int(block[1])) if block else None
    return Method(("weight_packed", "weight_scale"), _compressed(int(bits), int(group), sizes))


def _fp8_method(given: dict[str, Any], where: str) -> Method:
    block = given.get("weight_block_size")
    return Method(("weight_scale_inv",), _fp8(None if block is None else (int(block[0]), int(block[1]))))


_METHODS: dict[str, Callable[[dict[str, Any], str], Method]] = {
    "gptq": _gptq_method,
    "awq": _awq_method,
    "compressed-tensors": _compressed_method,
    "fp8": _fp8_method,
    "mxfp4": lambda given, where: Method((), _awq(32)),
}
"""By the library's names. Of MXFP4 only experts are stored so, and none by a module's own tensors."""


def source_of(folder: SafetensorsFolder, given: dict[str, Any], is_matrix: Callable[[str], bool]) -> Source:
    """The weights of modules by name; `is_matrix` says which of them are linear layers. Raises ModelError."""
    method = method_of(given, str(folder.path))

    def source(module: str) -> ModuleWeights:
        if module.endswith((".experts.gate_up_proj", ".experts.down_proj")):
            if f"{module}_blocks" in folder:
                return ModuleWeights(_blocks(folder, module))
            return ModuleWeights(_experts(folder, method, module))
        name = module
        if module == "lm_head" and not any(f"lm_head.{mark}" in folder for mark in (*method.marks, "weight")):
            name = "model.embed_tokens"
        return _module(folder, method, _stored_name(folder, name), is_matrix(module))

    return source


def _stored_name(folder: SafetensorsFolder, name: str) -> str:
    """Mixtral's own name of a router, where the folder has that."""
    other = name.replace(".mlp.", ".block_sparse_moe.")
    return other if f"{name}.weight" not in folder and f"{other}.weight" in folder else name


def _module(folder: SafetensorsFolder, method: Method, name: str, is_matrix: bool) -> ModuleWeights:
    bias = folder.tensor(f"{name}.bias").float() if f"{name}.bias" in folder else None
    if any(f"{name}.{mark}" in folder for mark in method.marks):
        try:
            weight, order = method.read(folder, name)
        except ArgumentError as error:
            raise ModelError(f"{folder.path}: the weight of {name} is not served: {error}") from error
        return ModuleWeights(weight, bias, order)
    plain = folder.tensor(f"{name}.weight")
    if plain.dtype not in (torch.float32, torch.float16, torch.bfloat16):
        raise ModelError(
            f"{folder.path}: tensor {name}.weight is of type {plain.dtype} and has none of the tensors "
            f"{', '.join(method.marks)} beside it, which is not served.",
            "Take another copy of the model.",
        )
    return ModuleWeights(dense(plain) if is_matrix else plain.float(), bias)


# ---- experts --------------------------------------------------------------------------------------

PARTS = {
    "gate_up_proj": (("gate_proj", "up_proj"), ("w1", "w3")),
    "down_proj": (("down_proj",), ("w2",)),
}
"""Matrices of a layer's experts -> what an expert's own are called, and are called in Mixtral."""


def _experts(folder: SafetensorsFolder, method: Method, module: str) -> Experts:
    """Matrices that are stored expert by expert."""
    owner, _, kind = module.rpartition(".")
    usual, others = PARTS[kind]
    parts = usual
    if not any(f"{owner}.0.{usual[0]}.{mark}" in folder for mark in (*method.marks, "weight")):
        owner, parts = owner.replace(".mlp.", ".block_sparse_moe."), others
    matrices: list[Any] = []
    count = folder.count(f"{owner}.")
    for expert in range(max(count, 1)):
        for part in parts:
            found = _module(folder, method, f"{owner}.{expert}.{part}", True)
            if found.order is not None:
                raise _refused(
                    f"{folder.path}: {owner}", "experts with columns in another order", "others are"
                )
            matrices.append(found.weight)
    try:
        made = experts(matrices)
    except ArgumentError as error:
        raise ModelError(f"{folder.path}: {module} is not served: {error}") from error
    return Experts(made.count // len(parts), made.rows * len(parts), made.weight)


def _blocks(folder: SafetensorsFolder, module: str) -> Experts:
    """MXFP4 as gpt-oss has it: `_blocks` [experts, rows, blocks, 16] with two neighbouring elements a byte,
    the first in the low half, `_scales` [experts, rows, blocks]."""
    given, scales = folder.tensor(f"{module}_blocks"), folder.tensor(f"{module}_scales")
    count, rows, blocks, _ = given.shape
    if rows % ROWS or scales.shape != given.shape[:3]:
        raise ModelError(
            f"{folder.path}: {module}_blocks {tuple(given.shape)} is not served with scales "
            f"{tuple(scales.shape)}; rows are multiples of {ROWS}.",
        )
    codes = torch.stack([given & 15, given >> 4], -1).reshape(count * rows, -1)
    made = Codes(power_scales(scales).reshape(count * rows, -1), codes=codes)
    weight = packed_codes(FORMATS["MXFP4"], made, blocks * 32)
    bias = folder.tensor(f"{module}_bias").float() if f"{module}_bias" in folder else None
    return Experts(count, rows, weight, bias)
