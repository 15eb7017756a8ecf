"""Low-rank adapters beside a served model: several at once, each request with one or none. Flows in: folders
as the peft library writes them. Flows out: the model's linear layers with all adapters' matrices, of which
each row takes its own."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from .errors import ModelError
from .model import ServedModel
from .modules import PackedLinear, Part
from .sources import SafetensorsFolder

PREFIX = "base_model.model."
"""What peft puts before the names of a model's modules."""
ADVICE = "Merge the adapter into its model, and serve that."


@dataclass(frozen=True, slots=True)
class Adapter:
    """Of each module by name: down [rank, inputs] and up [outputs, rank], the scale in it, float32."""

    name: str
    matrices: Mapping[str, tuple[torch.Tensor, torch.Tensor]]


def read(name: str, folder: Path) -> Adapter:
    """An adapter as peft saves it. Raises ModelError for what is not served: other methods than LoRA, DoRA,
    trained biases, modules that are saved whole, ranks by pattern."""
    try:
        config: dict[str, Any] = json.loads((folder / "adapter_config.json").read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ModelError(f"{folder} holds no adapter that is read: {error}") from error
    if config.get("peft_type") != "LORA":
        raise ModelError(f"{folder}: adapters of the type {config.get('peft_type')} are not served; LORA is.")
    for key in ("use_dora", "modules_to_save", "alpha_pattern", "fan_in_fan_out", "lora_bias"):
        if config.get(key):
            raise ModelError(f"{folder}: {key} is {config[key]!r}, which is not served.", ADVICE)
    if config.get("bias", "none") != "none":
        raise ModelError(f"{folder}: bias is {config['bias']!r}, which is not served.", ADVICE)
    files = SafetensorsFolder(folder)
    found: dict[str, tuple[torch.Tensor, torch.Tensor]] = {}
    for key in files.names():
        module, is_down, _part = key.removeprefix(PREFIX).rpartition(".lora_A.")
        if not is_down:
            if ".lora_B." not in key:
                raise ModelError(f"{folder}: tensor {key} is not served; lora_A and lora_B are.", ADVICE)
            continue
        down, up = files.tensor(key).float(), files.tensor(key.replace(".lora_A.", ".lora_B.")).float()
        rank = down.shape[0]
        scale = config["lora_alpha"] / (math.sqrt(rank) if config.get("use_rslora") else rank)
        found[module] = down, up * scale
    return Adapter(name, found)


def attach(served: ServedModel, adapters: list[Adapter]) -> None:
    """Give a model's linear layers the matrices of all adapters, in their order. Raises ModelError for
    modules that the model has not, or that are no linear layers, and for other shapes."""
    modules = dict(served.model.named_modules())
    wholes: dict[int, tuple[PackedLinear, int, dict[str, tuple[int, int]]]] = {}
    for adapter in adapters:
        for name, (down, up) in adapter.matrices.items():
            layer = modules.get(name)
            if not isinstance(layer, (PackedLinear, Part)) or name == "lm_head":
                raise ModelError(
                    f"the adapter {adapter.name} changes {name}, which is no linear layer of the model that "
                    "takes adapters.",
                    ADVICE,
                )
            whole = layer.whole[0] if isinstance(layer, Part) else layer
            first, last = (layer.first, layer.last) if isinstance(layer, Part) else (0, layer.packed.rows)
            if up.shape[0] != last - first or up.shape[1] != down.shape[0]:
                raise ModelError(
                    f"the adapter {adapter.name} has matrices {tuple(down.shape)} and {tuple(up.shape)} for "
                    f"{name}, which has {last - first} outputs.",
                    "It was made for another model.",
                )
            _whole, width, parts = wholes.setdefault(id(whole), (whole, down.shape[1], {}))
            if width != down.shape[1]:
                raise ModelError(f"the adapter {adapter.name} takes {down.shape[1]} inputs at {name}.")
            parts[name] = first, last
    for whole, width, parts in wholes.values():
        whole.adapters = _together(adapters, whole.packed.rows, width, parts)
    for module in modules.values():
        down = getattr(module, "down_proj", None)
        if isinstance(down, PackedLinear) and down.adapters is not None and hasattr(module, "gate_and_up"):
            del module.forward
    served.adapters = len(adapters)


def _together(
    adapters: list[Adapter], rows: int, width: int, parts: Mapping[str, tuple[int, int]]
) -> tuple[torch.Tensor, torch.Tensor]:
    """down [adapters, ranks, width] and up [adapters, rows, ranks] of a product that several layers share:
    each layer has ranks of its own, as many as the largest adapter needs, the rest zeros."""
    ranks = [max(one.matrices[n][0].shape[0] for one in adapters if n in one.matrices) for n in parts]
    down = torch.zeros((len(adapters), sum(ranks), width))
    up = torch.zeros((len(adapters), rows, sum(ranks)))
    begin = 0
    for (name, (first, last)), rank in zip(parts.items(), ranks, strict=True):
        for place, one in enumerate(adapters):
            if name in one.matrices:
                own_down, own_up = one.matrices[name]
                down[place, begin : begin + len(own_down)] = own_down
                up[place, first:last, begin : begin + len(own_down)] = own_up
        begin += rank
    return down, up
