"""Checkpoints that any cut writes and any cut reads, by PyTorch's distributed checkpoints (DCP): tensors are
whole in them, under the names of the whole model."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
import torch.distributed.checkpoint as dcp
from cuts import Engine
from torch.distributed.checkpoint.state_dict import (
    StateDictOptions,
    get_model_state_dict,
    get_optimizer_state_dict,
    set_model_state_dict,
    set_optimizer_state_dict,
)

BY_NAME = StateDictOptions(flatten_optimizer_state_dict=True)
"""The optimiser's state under parameters' names, not their numbers, which differ from cut to cut."""


def _state(engine: Engine, updates: torch.optim.Optimizer) -> dict[str, Any]:
    state: dict[str, Any] = {}
    for part in engine.parts:
        state |= {f"model.{name}": value for name, value in get_model_state_dict(part).items()}
    for part in engine.parts:
        of_part = get_optimizer_state_dict(part, updates, options=BY_NAME)
        state |= {f"optimiser.{name}": value for name, value in of_part.items()}
    return state


def save(folder: Path, engine: Engine, updates: torch.optim.Optimizer) -> None:
    """Write model and optimiser; all ranks call it."""
    dcp.save(_state(engine, updates), checkpoint_id=folder)


def load(folder: Path, engine: Engine, updates: torch.optim.Optimizer) -> None:
    """Read model and optimiser into those of this cut; all ranks call it."""
    state = _state(engine, updates)
    dcp.load(state, checkpoint_id=folder)
    for part in engine.parts:
        own = {name.removeprefix("model."): state[name] for name in state if name.startswith("model.")}
        held = set(get_model_state_dict(part))
        set_model_state_dict(part, {name: value for name, value in own.items() if name in held})
        of_updates = {n.removeprefix("optimiser."): v for n, v in state.items() if n.startswith("optimiser.")}
        set_optimizer_state_dict(part, updates, of_updates, options=BY_NAME)
