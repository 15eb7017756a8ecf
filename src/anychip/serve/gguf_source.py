"""The weights of modules out of a GGUF file. Flows in: a file, what is known of its architecture. Flows out:
the matrices of layers and of experts as they are stored, other tensors as floating numbers."""

from __future__ import annotations

from typing import Any

import torch

from ..llm.packed.dense import dense
from ..llm.packed.experts import Experts
from ..llm.packed.formats import FORMATS
from ..llm.packed.weights import ROWS, packed
from .architectures import EXPERTS, Architecture, tensor_name
from .errors import ModelError
from .gguf_file import FLOATS, GgufFile, StoredTensor
from .sources import ModuleWeights, Source, Weight


def source_of(file: GgufFile, known: Architecture, config: Any) -> Source:
    """Raises ModelError for tensors that are missing, or of a type that is not served."""
    kept: dict[str, Weight] = {}

    def source(module: str) -> ModuleWeights:
        names = EXPERTS.get(module.rpartition(".")[2]) if ".experts." in module else None
        if names is not None:
            block = f"blk.{module.split('.')[2]}"
            return ModuleWeights(_experts(file, [file.tensor(f"{block}.{name}.weight") for name in names]))
        name = tensor_name(known, module)
        if module == "lm_head" and f"{name}.weight" not in file.tensors:
            name = tensor_name(known, "model.embed_tokens")
        stored = file.tensor(f"{name}.weight")
        bias = file.tensors.get(f"{name}.bias")
        if len(stored.shape) == 1:
            numbers = stored.numbers().float()
            return ModuleWeights(numbers - 1.0 if known.shifted_norms else numbers.clone())
        if module.endswith(".gate"):
            return ModuleWeights(stored.numbers().float().clone())
        order = _order(known, config, module)
        if name not in kept:
            kept[name] = _matrix(file, stored, stored.data if order is None else stored.data[order])
        numbers = None if bias is None else bias.numbers().float()
        return ModuleWeights(kept[name], numbers if order is None or numbers is None else numbers[order])

    return source


def _matrix(file: GgufFile, stored: StoredTensor, data: torch.Tensor) -> Weight:
    """The matrix of `data` [rows, bytes of a row] uint8."""
    if stored.format in FORMATS:
        return packed(stored.format, data, stored.shape[-1])
    if stored.format in FLOATS:
        return dense(data.contiguous().view(FLOATS[stored.format]))
    raise ModelError(
        f"{file.path}: tensor {stored.name} is of type {stored.format}, which is not served.",
        f"Served are F32, F16, BF16, {', '.join(FORMATS)}; take another file of the model.",
    )


def _experts(file: GgufFile, parts: list[StoredTensor]) -> Experts:
    """Experts' matrices [experts, rows, columns] of several tensors, those of one expert below each other."""
    first = parts[0]
    if any(one.format != first.format or one.shape != first.shape for one in parts):
        raise ModelError(
            f"{file.path}: {' and '.join(f'{one.name} ({one.format})' for one in parts)} are of different "
            "types or shapes, which is not served.",
            "Take another file of the model.",
        )
    count, rows, _columns = first.shape
    if rows % ROWS:
        raise ModelError(f"{file.path}: tensor {first.name} has {rows} rows; multiples of {ROWS} are served.")
    data = torch.cat([one.data.view(count, rows, -1) for one in parts], 1).flatten(0, 1)
    return Experts(count, rows * len(parts), _matrix(file, first, data))


def _order(known: Architecture, config: Any, module: str) -> torch.Tensor | None:
    """Rows of the file in the library's order, where heads' pairs lie differently."""
    heads = {"q_proj": config.num_attention_heads, "k_proj": config.num_key_value_heads}.get(
        module.rpartition(".")[2]
    )
    if not known.interleaved or heads is None:
        return None
    rows = torch.arange(heads * config.head_dim)
    return rows.view(heads, -1, 2).transpose(1, 2).reshape(-1)
