"""A language model of the transformers library on weights as they are stored. Flows in: a GGUF file, a folder
of safetensors, or a model in memory. Flows out: a `ServedModel`, which computes logits of a step."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from types import MethodType
from typing import Any

import torch

from ..llm.packed.dense import DenseWeight, dense
from ..llm.packed.experts import Experts, experts
from ..llm.packed.rounding import ACTIVATIONS
from ..llm.packed.scaled import ScaledWeight
from ..llm.packed.weights import PackedWeight, stacked
from ..ops.errors import ArgumentError
from . import gguf_source
from .architectures import architecture_of, configuration_of
from .errors import ModelError
from .gguf_file import ADVICE, GgufFile
from .latent import latent_width, with_latents
from .mixtures import is_experts, is_router, replace_experts, replace_router
from .modules import (
    IMPLEMENTATION,
    PackedEmbedding,
    PackedLinear,
    Part,
    Step,
    current,
    gated_forward,
    norm_forward,
    register,
    require_width,
    with_later_turns,
)
from .quantised import source_of
from .sources import ModuleWeights, SafetensorsFolder, Source, Weight

Progress = Callable[[int, int], None]
"""Is told how many modules have their weights, and of how many."""


class ServedModel:
    """`context_length` is in tokens, `weight_bytes` what the matrices take, `adapters` how many it has."""

    def __init__(self, model: Any, weight_bytes: int):
        config = model.config
        self.model = model
        self.layers: int = config.num_hidden_layers
        latent = latent_width(config)
        self.shared_heads: int = config.num_key_value_heads if latent is None else 1
        self.width: int = latent or _head_width(config)
        self.context_length: int = config.max_position_embeddings
        self.vocabulary: int = config.vocab_size
        self.weight_bytes = weight_bytes
        self.adapters = 0
        self._soft_cap = getattr(config, "final_logit_softcapping", None)

    def pages(self, count: int, tokens: int, dtype: torch.dtype) -> list[tuple[torch.Tensor, ...]]:
        """Keys and values of each layer, `count` pages of so many tokens, and for int8 the scales of both."""
        keys = (count, self.shared_heads, self.width, tokens)
        values = (count, self.shared_heads, tokens, self.width)
        shapes = [(keys, dtype), (values, dtype)]
        if dtype == torch.int8:
            shapes += [((count, self.shared_heads, tokens), torch.float32)] * 2
        return [tuple(torch.zeros(shape, dtype=kind) for shape, kind in shapes) for _ in range(self.layers)]

    def logits(
        self,
        tokens: torch.Tensor,
        positions: torch.Tensor,
        step: Step,
        rows: torch.Tensor | None,
        hidden_alone: bool = False,
    ) -> torch.Tensor:
        """Logits [rows, vocabulary] of tokens [sequences, tokens] at positions of the same shape: of the rows
        that are chosen among all tokens, or of all. With `hidden_alone`, what logits are computed from."""
        here = current.set(step)
        try:
            hidden = self.model.model(
                input_ids=tokens,
                attention_mask=torch.empty((1, 1, 1, 1)),
                position_ids=positions,
                use_cache=False,
            ).last_hidden_state.flatten(0, 1)
            if rows is not None:
                hidden = hidden.index_select(0, rows)
            if hidden_alone:
                return hidden
            logits = self.model.lm_head(hidden)
        finally:
            current.reset(here)
        cap = self._soft_cap
        return logits if cap is None else cap * torch.tanh(logits / cap)


def _head_width(config: Any) -> int:
    return getattr(config, "head_dim", None) or config.hidden_size // config.num_attention_heads


# ---- sources --------------------------------------------------------------------------------------


def from_gguf(file: GgufFile, progress: Progress = lambda done, of: None) -> ServedModel:
    """Raises ModelError for what is not served, naming architecture, tensor or type."""
    known, config = architecture_of(file), configuration_of(file)
    return _served(empty_model(config), gguf_source.source_of(file, known, config), progress)


def from_folder(folder: Path, progress: Progress = lambda done, of: None) -> ServedModel:
    """A model as the transformers library saves it, in the dtype that is stored, or as its
    `quantization_config` has it. Raises ModelError."""
    from safetensors import SafetensorError
    from transformers import AutoConfig, AutoModelForCausalLM

    try:
        config = AutoConfig.from_pretrained(folder, local_files_only=True)
        if getattr(config, "quantization_config", None):
            return _from_few_bits(folder, config, progress)
        model, found = AutoModelForCausalLM.from_pretrained(
            folder, dtype="auto", local_files_only=True, output_loading_info=True
        )
    except (OSError, ValueError, RuntimeError, SafetensorError) as error:
        raise ModelError(f"{folder} holds no model that the transformers library loads: {error}") from error
    if found["missing_keys"]:
        raise ModelError(
            f"{folder} lacks tensors of its model: {', '.join(sorted(found['missing_keys'])[:4])}.",
            "The library would draw them at random; take a whole copy of the model.",
        )
    return from_model(model, progress)


def _from_few_bits(folder: Path, config: Any, progress: Progress) -> ServedModel:
    given = config.quantization_config
    del config.quantization_config
    model = empty_model(config)
    layers = {name for name, module in model.named_modules() if isinstance(module, torch.nn.Linear)}
    files = SafetensorsFolder(folder)
    served = _served(model, source_of(files, given, layers.__contains__), progress)
    for name, tensor in model.state_dict(keep_vars=True).items():
        if name in files and (tensor.is_meta or not isinstance(tensor, torch.nn.Parameter)):
            kept = files.tensor(name).float()
            owner, own = _parent(model, name), name.rpartition(".")[2]
            if isinstance(tensor, torch.nn.Parameter):
                kept = torch.nn.Parameter(kept, requires_grad=False)
            setattr(owner, own, kept)
        elif tensor.is_meta:
            raise ModelError(f"{folder} has no tensor {name}, which the model needs.", ADVICE)
    return served


def from_model(model: Any, progress: Progress = lambda done, of: None) -> ServedModel:
    """A causal language model of the library in memory, changed in place. Raises ModelError."""
    modules = dict(model.named_modules())

    def source(module: str) -> ModuleWeights:
        if module not in modules:
            owner, _, name = module.rpartition(".")
            matrices, bias = getattr(modules[owner], name), getattr(modules[owner], f"{name}_bias", None)
            turned = matrices.detach().transpose(1, 2) if modules[owner].is_transposed else matrices.detach()
            own_bias = None if bias is None else bias.detach().float()
            return ModuleWeights(_or_error(module, [dense(one.contiguous()) for one in turned], own_bias))
        given = modules[module]
        weight, bias = given.weight.detach(), getattr(given, "bias", None)
        made = dense(weight) if isinstance(given, torch.nn.Linear) else weight.float()
        return ModuleWeights(made, None if bias is None else bias.detach().float())

    return _served(model, source, progress)


def _or_error(module: str, matrices: list[DenseWeight], bias: torch.Tensor | None) -> Experts:
    try:
        return experts(matrices, bias)
    except ArgumentError as error:
        raise ModelError(f"{module} is not served: {error}") from error


def empty_model(config: Any) -> Any:
    """The library's model without memory for its weights; buffers that are computed are there."""
    from transformers import AutoModelForCausalLM

    with torch.device("meta"):
        model = AutoModelForCausalLM.from_config(config, dtype=torch.float32)
    for name, module in list(model.named_modules()):
        own = [buffer for buffer in module.buffers(recurse=False) if buffer.is_meta]
        if own and not isinstance(module, torch.nn.Embedding):
            made = type(module)(config=config)
            _parent(model, name).__setattr__(name.rpartition(".")[2], made)
    return model


# ---- modules replaced -----------------------------------------------------------------------------

STACKED = {
    "self_attn": ("q_proj", "k_proj", "v_proj"),
    "mlp": ("gate_proj", "up_proj"),
    "shared_experts": ("gate_proj", "up_proj"),
}
"""Linear layers of a module that have the same input."""


def _served(model: Any, source: Source, progress: Progress) -> ServedModel:
    if latent_width(model.config) is None:
        require_width(_head_width(model.config))
    model.eval().requires_grad_(False)
    replaced = [
        (name, module)
        for name, module in model.named_modules()
        if isinstance(module, (torch.nn.Linear, torch.nn.Embedding))
        or type(module).__name__.endswith("RMSNorm")
        or is_router(module)
        or is_experts(module)
    ]
    for done, (name, module) in enumerate(replaced):
        progress(done, len(replaced))
        if is_experts(module):
            gate_up, down = (source(f"{name}.{part}").weight for part in ("gate_up_proj", "down_proj"))
            assert isinstance(gate_up, Experts)
            assert isinstance(down, Experts)
            at_once = getattr(module, "is_concatenated", True) and gate_up.bias is None
            replace_experts(module, gate_up, down, _activation(module.act_fn) if at_once else None)
            continue
        made = source(name)
        assert not isinstance(made.weight, Experts)
        if is_router(module):
            assert isinstance(made.weight, torch.Tensor)
            replace_router(module, made.weight, made.bias)
            continue
        if isinstance(module, torch.nn.Linear):
            assert not isinstance(made.weight, torch.Tensor)
            put(model, name, PackedLinear(made.weight, made.bias, made.order))
        elif isinstance(module, torch.nn.Embedding):
            scale = float(getattr(module, "scalar_embed_scale", 1.0))
            table = table_of(made.weight)
            put(model, name, PackedEmbedding(table, scale))
        else:
            assert isinstance(made.weight, torch.Tensor)
            module.weight = torch.nn.Parameter(made.weight, requires_grad=False)
            _replace_norm(module)
    for name, module in list(model.named_modules()):
        parts = STACKED.get(name.rpartition(".")[2])
        if parts is not None and all(isinstance(getattr(module, part, None), PackedLinear) for part in parts):
            _stack(module, parts)
        if hasattr(module, "expand_kv"):
            with_latents(module, model.config)
        elif name.endswith("self_attn"):
            with_later_turns(module)
        elif name.endswith(("mlp", "shared_experts")):
            _replace_gate(module)
    register()
    model.set_attn_implementation(IMPLEMENTATION)
    progress(len(replaced), len(replaced))
    return ServedModel(model, _bytes(model))


def table_of(weight: Weight | torch.Tensor) -> PackedWeight | torch.Tensor:
    """A table of embeddings: dense ones keep rows together."""
    assert not isinstance(weight, ScaledWeight)
    if isinstance(weight, DenseWeight):
        return weight.numbers.movedim(-1, 1).reshape(-1, weight.columns)[: weight.rows]
    return weight


def _bytes(model: Any) -> int:
    """Bytes of the matrices that the model holds."""
    own: dict[int, Weight] = {}
    for module in model.modules():
        matrices = [one.weight for one in getattr(module, "matrices", ())]
        for weight in [module.packed, *matrices] if isinstance(module, PackedLinear) else matrices:
            own[id(weight)] = weight
    return sum(w.numbers.nbytes if isinstance(w, DenseWeight) else w.bytes for w in own.values())


def _parent(model: Any, name: str) -> Any:
    return model.get_submodule(name.rpartition(".")[0])


def put(model: Any, name: str, module: torch.nn.Module) -> None:
    """Replace a module of a model by its name."""
    setattr(_parent(model, name), name.rpartition(".")[2], module)


def _stack(module: Any, parts: tuple[str, ...]) -> None:
    """One product for layers with the same input, where their weights go together."""
    layers = [getattr(module, part) for part in parts]
    if any(layer.order is not None for layer in layers):
        return
    whole = _stacked([layer.packed for layer in layers])
    biases = [layer.bias for layer in layers]
    if whole is None or (any(b is None for b in biases) and not all(b is None for b in biases)):
        return
    joined = PackedLinear(whole, None if biases[0] is None else torch.cat(biases))
    first = 0
    for part, layer in zip(parts, layers):
        setattr(module, part, Part(joined, first, first + layer.packed.rows))
        first += layer.packed.rows
    module.whole = joined


def _stacked(weights: list[Weight]) -> Weight | None:
    if all(isinstance(w, PackedWeight) for w in weights):
        return stacked([w for w in weights if isinstance(w, PackedWeight)])
    tables = [w for w in weights if isinstance(w, DenseWeight)]
    if len(tables) != len(weights):
        return None
    first = tables[0]
    if any(w.rows % w.numbers.shape[-1] or w.numbers.dtype != first.numbers.dtype for w in tables):
        return None
    return DenseWeight(sum(w.rows for w in tables), first.columns, torch.cat([w.numbers for w in tables]))


def _replace_norm(module: Any) -> None:
    """Norm and round in one launch, where both give the same numbers on a trial."""
    length = module.weight.shape[0]
    rows = torch.randn((3, length), generator=torch.Generator().manual_seed(0))
    wanted = type(module).forward(module, rows.clone())
    for epsilon in ("variance_epsilon", "eps"):
        for shift in (0.0, 1.0):
            if length % 32 == 0 and isinstance(getattr(module, epsilon, None), float):
                forward = norm_forward(epsilon, shift)
                if torch.allclose(forward(module, rows), wanted, rtol=1e-5, atol=1e-5):
                    module.forward = MethodType(forward, module)
                    return


def _replace_gate(module: Any) -> None:
    """Gate and round in one launch, between a packed product and another."""
    given = getattr(module, "gate_up_proj", None) or getattr(module, "whole", None)
    down = getattr(module, "down_proj", None)
    activation = _activation(getattr(module, "act_fn", None) or getattr(module, "activation_fn", None))
    if not (isinstance(given, PackedLinear) and isinstance(down, PackedLinear)) or activation is None:
        return
    if down.order is not None or down.packed.columns != given.packed.rows // 2:
        return
    if isinstance(down.packed, PackedWeight) and isinstance(given.packed, PackedWeight):
        module.gate_and_up = given
        module.forward = MethodType(gated_forward(activation), module)


def _activation(function: Any) -> str | None:
    """The name of a module's activation among the kernel's."""
    points = torch.linspace(-6.0, 6.0, 49)
    plain = dict(
        zip(
            ACTIVATIONS,
            (torch.nn.functional.silu, lambda x: torch.nn.functional.gelu(x, approximate="tanh")),
            strict=True,
        )
    )
    for name, wanted in plain.items():
        if not callable(function):
            continue
        found: Any = function(points.clone())
        if torch.allclose(found, wanted(points), atol=1e-6):
            return name
    return None
