"""Low-rank adapters (Hu et al., arXiv:2106.09685) beside layers that do not change, and the files in which
the `peft` package keeps them. Flows in: a model, which layers, a rank. Flows out: layers with adapters, and
`adapter_model.safetensors` with `adapter_config.json`."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

WEIGHTS, SETTINGS = "adapter_model.safetensors", "adapter_config.json"


class Adapted(nn.Module):
    """layer(x) + scale * up(down(x)). `down` is drawn, `up` begins as zeros: so does the change."""

    def __init__(self, layer: nn.Module, width: int, outputs: int, rank: int, scale: float):
        super().__init__()
        self.layer, self.scale = layer, scale
        self.down = nn.Parameter(torch.empty(rank, width))
        self.up = nn.Parameter(torch.zeros(outputs, rank))
        nn.init.kaiming_uniform_(self.down, a=5**0.5)

    def forward(self, x: Tensor) -> Tensor:
        """x [..., width] to [..., outputs]."""
        return self.layer(x) + self.scale * F.linear(F.linear(x, self.down), self.up)


def adapt(model: nn.Module, names: list[str], rank: int, alpha: float) -> list[nn.Parameter]:
    """Put adapters of a rank beside the layers whose last name is in `names`; what is to be trained."""
    found = [name for name, _ in model.named_modules() if name.rpartition(".")[2] in names]
    if not found:
        raise SystemExit(f"the model has no layer {' or '.join(names)}: choose --layers")
    for name in found:
        layer: Any = model.get_submodule(name)
        beside = Adapted(layer, layer.in_features, layer.out_features, rank, alpha / rank)
        model.set_submodule(name, beside)
    return [parameter for _, layer in adapters(model) for parameter in (layer.down, layer.up)]


def adapters(model: nn.Module) -> Iterator[tuple[str, Adapted]]:
    """Layers with adapters, by the names that they have in the model."""
    return ((name, module) for name, module in model.named_modules() if isinstance(module, Adapted))


def _names(layer: str) -> tuple[str, ...]:
    """What `peft` calls the two matrices of a layer."""
    return tuple(f"base_model.model.{layer}.lora_{part}.weight" for part in "AB")


def save(folder: Path, model: nn.Module, base: str, names: list[str], rank: int, alpha: float) -> None:
    """Write the adapters as `peft` does, so that `PeftModel.from_pretrained(base, folder)` reads them."""
    folder.mkdir(parents=True, exist_ok=True)
    tensors = {}
    for layer, found in adapters(model):
        tensors |= dict(zip(_names(layer), (found.down.detach(), found.up.detach()), strict=True))
    save_file(tensors, folder / WEIGHTS, metadata={"format": "pt"})
    settings = {
        "peft_type": "LORA",
        "task_type": "CAUSAL_LM",
        "base_model_name_or_path": base,
        "r": rank,
        "lora_alpha": alpha,
        "lora_dropout": 0.0,
        "bias": "none",
        "fan_in_fan_out": False,
        "target_modules": sorted(names),
        "inference_mode": True,
    }
    (folder / SETTINGS).write_text(json.dumps(settings, indent=2) + "\n")


def load(folder: Path, model: nn.Module) -> None:
    """Read adapters into those of a model."""
    tensors = load_file(folder / WEIGHTS)
    for layer, found in adapters(model):
        down, up = (tensors[name] for name in _names(layer))
        with torch.no_grad():
            found.down.copy_(down)
            found.up.copy_(up)
