"""A language model of the transformers library for training what is added to it: its weights stay as they are
stored, and gradients pass through their products. Flows in: a GGUF file. Flows out: the library's model,
whose linear layers are `FrozenLinear`."""

from __future__ import annotations

from typing import Any

import torch

from ..llm.packed.dense import DenseWeight
from ..llm.packed.frozen import frozen_linear
from ..llm.packed.weights import PackedWeight
from .architectures import architecture_of, configuration_of
from .errors import ModelError
from .gguf_file import GgufFile
from .gguf_source import source_of
from .model import empty_model, put, table_of
from .modules import PackedEmbedding


class FrozenLinear(torch.nn.Module):
    """A linear layer on a weight as it is stored, which has no gradient."""

    def __init__(self, weight: PackedWeight | DenseWeight, bias: torch.Tensor | None):
        super().__init__()
        self.packed, self.bias = weight, bias

    @property
    def in_features(self) -> int:
        """Columns of the weight."""
        return self.packed.columns

    @property
    def out_features(self) -> int:
        """Rows of the weight."""
        return self.packed.rows

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """x [..., in_features] to float32 [..., out_features]."""
        return frozen_linear(x, self.packed, self.bias)


def frozen_model(file: GgufFile) -> Any:
    """The library's model with the file's weights; it has nothing that is trained. Raises ModelError for what
    is not served."""
    config = configuration_of(file)
    model, source = empty_model(config), source_of(file, architecture_of(file), config)
    for name, module in list(model.named_modules()):
        if isinstance(module, torch.nn.Linear):
            made = source(name)
            assert isinstance(made.weight, PackedWeight | DenseWeight)
            put(model, name, FrozenLinear(made.weight, made.bias))
        elif isinstance(module, torch.nn.Embedding):
            scale = float(getattr(module, "scalar_embed_scale", 1.0))
            table = source(name).weight
            assert isinstance(table, PackedWeight | DenseWeight)
            put(model, name, PackedEmbedding(table_of(table), scale))
        elif type(module).__name__.endswith("RMSNorm"):
            weight = source(name).weight
            assert isinstance(weight, torch.Tensor)
            module.weight = torch.nn.Parameter(weight)
    empty = [name for name, weight in model.named_parameters() if weight.is_meta]
    if empty:
        raise ModelError(f"{file.path}: {empty[0]} is of a layer that adapters are not trained over.")
    return model.requires_grad_(False)
