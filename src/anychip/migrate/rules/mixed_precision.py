"""Automatic mixed precision of CUDA."""

from __future__ import annotations

from ..rule import Rule

AUTOCAST = Rule(
    "AC401",
    "cuda-autocast",
    "{found} casts on CUDA devices only",
    "Use torch.autocast(device.type, ...), and torch.amp.custom_fwd and custom_bwd with device_type=.",
    names=(
        "torch.cuda.amp",
        "torch.get_autocast_gpu_dtype",
        "torch.set_autocast_gpu_dtype",
    ),
)
SCALER = Rule(
    "AC402",
    "cuda-grad-scaler",
    "{found} scales gradients for CUDA devices only",
    "Use torch.amp.GradScaler(device.type); bfloat16 needs none.",
    names=("torch.cuda.amp.GradScaler", "torch.cuda.amp.grad_scaler"),
    no_device=("torch.amp.GradScaler", "torch.GradScaler", "torch.amp.grad_scaler.GradScaler"),
)

RULES = (AUTOCAST, SCALER)
