"""What a model's modules are made of, wherever it is stored. Flows in: a folder of safetensors. Flows out:
its tensors by name, and the type by which a model asks for the weights of a module."""

from __future__ import annotations

import json
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from ..llm.packed.dense import DenseWeight
from ..llm.packed.experts import Experts
from ..llm.packed.scaled import ScaledWeight
from ..llm.packed.weights import PackedWeight
from .errors import ModelError
from .gguf_file import ADVICE

Weight = PackedWeight | DenseWeight | ScaledWeight
"""A matrix as it is stored."""


@dataclass(frozen=True, slots=True)
class ModuleWeights:
    """What a module of a model is made of. `order`: the weight's columns are those of the activations in this
    order."""

    weight: Weight | torch.Tensor | Experts
    bias: torch.Tensor | None = None
    order: torch.Tensor | None = None


Source = Callable[[str], ModuleWeights]
"""The weights of a module by its name: matrices of layers as they are stored, others as float32 tensors."""


class SafetensorsFolder:
    """Tensors of all safetensors files of a folder, mapped into memory. Raises ModelError."""

    def __init__(self, path: Path):
        from safetensors import SafetensorError, safe_open

        self.path = path
        self._open = ExitStack()
        self._where: dict[str, Any] = {}
        files = sorted(path.glob("*.safetensors"))
        index = path / "model.safetensors.index.json"
        if index.is_file():
            named = json.loads(index.read_text(encoding="utf-8")).get("weight_map", {}).values()
            files = [path / name for name in sorted(set(named))]
        if not files:
            raise ModelError(f"{path} holds no safetensors files.", ADVICE)
        for file in files:
            try:
                opened = self._open.enter_context(safe_open(file, "pt"))
                self._where |= dict.fromkeys(opened.keys(), opened)
            except (OSError, SafetensorError) as error:
                raise ModelError(f"{file} is damaged, or is missing: {error}", ADVICE) from error

    def __contains__(self, name: str) -> bool:
        return name in self._where

    def count(self, prefix: str) -> int:
        """How many numbers follow a prefix in names of tensors: 0 to so many less one."""
        found = {
            name.removeprefix(prefix).partition(".")[0] for name in self._where if name.startswith(prefix)
        }
        return sum(one.isdigit() for one in found)

    def names(self) -> list[str]:
        """Of all tensors."""
        return list(self._where)

    def tensor(self, name: str) -> torch.Tensor:
        """A tensor by name. Raises ModelError."""
        if name not in self._where:
            raise ModelError(f"{self.path} has no tensor {name}, which the model needs.", ADVICE)
        return self._where[name].get_tensor(name)
