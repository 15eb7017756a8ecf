"""Adapters beside a model: the logits of merged weights, each row its own, and bits that do not depend on
what else is computed."""

from __future__ import annotations

import copy
import json
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from tests.serve.test_models import TOKENS
from tests.serve.tiny_models import as_float64, model_of

from anychip.serve import adapters
from anychip.serve.cache import Pages
from anychip.serve.errors import ModelError
from anychip.serve.model import from_model
from anychip.serve.programs import Programs, Row

pytest.importorskip("transformers")

PAGE = 8
CONFIG = {"peft_type": "LORA", "r": 4, "lora_alpha": 8, "bias": "none", "target_modules": ["q_proj"]}


def write(folder: Path, model: Any, seed: int, rank: int, targets: tuple[str, ...], **config: Any) -> Any:
    """A random adapter as peft writes it, and a copy of the model that it is merged into."""
    folder.mkdir()
    generator = torch.Generator().manual_seed(seed)
    merged, tensors = copy.deepcopy(model), {}
    given = {**CONFIG, "r": rank, "target_modules": list(targets), **config}
    scale = given["lora_alpha"] / (rank**0.5 if given.get("use_rslora") else rank)
    for name, module in merged.named_modules():
        if name.endswith(targets):
            rows, columns = module.weight.shape
            down = 0.2 * torch.randn((rank, columns), generator=generator)
            up = 0.2 * torch.randn((rows, rank), generator=generator)
            tensors[f"base_model.model.{name}.lora_A.weight"] = down
            tensors[f"base_model.model.{name}.lora_B.weight"] = up
            with torch.no_grad():
                module.weight.add_(scale * up @ down)
    save_file(tensors, folder / "adapter_model.safetensors")
    (folder / "adapter_config.json").write_text(json.dumps(given), encoding="utf-8")
    return merged


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> tuple[dict[bool, Programs], list[np.ndarray]]:
    """Programs of a model with two adapters, deterministic ones and others, and what the library computes
    after TOKENS without an adapter and with each."""
    folder = tmp_path_factory.mktemp("adapters")
    model = model_of("llama")
    first = write(folder / "a", model, 1, 4, ("q_proj", "v_proj", "up_proj"))
    second = write(folder / "b", model, 2, 8, ("q_proj", "down_proj", "o_proj"), use_rslora=True)
    wanted = [as_float64(copy.deepcopy(one), TOKENS)[-1] for one in (model, first, second)]
    served = from_model(copy.deepcopy(model))
    adapters.attach(served, [adapters.read(name, folder / name) for name in "ab"])
    programs = {
        strict: Programs(served, 40, PAGE, 4, torch.float32, deterministic=strict) for strict in (False, True)
    }
    return programs, wanted


def test_each_request_has_its_own(made: Any) -> None:
    """Read in pieces, decoded beside each other."""
    programs, wanted = made[0][False], made[1]
    tables = [[1, 2, 3], [4, 5, 6], [7, 8, 9]]
    with torch.no_grad():
        for adapter, pages in enumerate(tables):
            programs.read(TOKENS[:9], 0, pages, adapter=adapter)
            programs.read(TOKENS[9:20], 9, pages, adapter=adapter)
        rows = [Row(TOKENS[20], 21, pages, adapter) for adapter, pages in enumerate(tables)]
        got = programs.decode([rows[k] for k in (1, 0, 2)]).numpy()
    assert np.abs(wanted[0] - wanted[1]).max() > 0.1 * np.abs(wanted[0]).max()
    for row, adapter in zip(got, (1, 0, 2), strict=True):
        assert np.abs(row - wanted[adapter]).max() < 2e-4 * np.abs(wanted[adapter]).max()


def test_bits_depend_on_nothing_else(made: Any) -> None:
    programs = made[0][True]
    with torch.no_grad():
        for adapter in (0, 1, 2):
            found = set()
            for place, cuts in enumerate(((0, 21), (0, 5, 21))):
                pages = [10 * place + 1, 10 * place + 3, 10 * place + 2]
                logits = torch.empty(0)
                for first, last in pairwise(cuts):
                    logits = programs.read(TOKENS[first:last], first, pages, adapter=adapter)
                found.add(logits[0].numpy().tobytes())
                row = Row(TOKENS[20], 21, pages, adapter)
                for count in (1, 3, 20, 32):
                    others = [Row(9, 1, [30 + k % 8], k % 3) for k in range(count - 1)]
                    at = count // 2
                    logits = programs.decode([*others[:at], row, *others[at:]])
                    found.add(logits[at].numpy().tobytes())
            assert len(found) == 1


def test_prefixes_are_of_one_adapter() -> None:
    pages = Pages(10, 4)
    own = [page for page in (pages.take(), pages.take()) if page is not None]
    pages.keep(range(8), own, 1)
    assert pages.found(range(9), 0) == []
    assert pages.found(range(9), 2) == []
    assert pages.found(range(9), 1) == own


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"peft_type": "IA3"}, "IA3"),
        ({"use_dora": True}, "use_dora"),
        ({"bias": "all"}, "bias"),
        ({"modules_to_save": ["lm_head"]}, "modules_to_save"),
    ],
)
def test_what_is_not_served_is_said(changes: dict[str, Any], told: str, tmp_path: Path) -> None:
    write(tmp_path / "a", model_of("llama"), 0, 4, ("q_proj",), **changes)
    with pytest.raises(ModelError, match=told):
        adapters.read("a", tmp_path / "a")


def test_adapters_of_other_models_are_refused(tmp_path: Path) -> None:
    served = from_model(model_of("llama"))
    write(tmp_path / "a", model_of("llama", hidden_size=32), 0, 4, ("o_proj",))
    with pytest.raises(ModelError, match=r"adapter a has matrices.*o_proj"):
        adapters.attach(served, [adapters.read("a", tmp_path / "a")])
    write(tmp_path / "b", model_of("llama", num_hidden_layers=3), 0, 4, ("o_proj",))
    with pytest.raises(ModelError, match=r"adapter b changes model\.layers\.2\.self_attn\.o_proj"):
        adapters.attach(served, [adapters.read("b", tmp_path / "b")])
    with pytest.raises(ModelError, match="holds no adapter"):
        adapters.read("c", tmp_path)
