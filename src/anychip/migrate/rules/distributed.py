"""NCCL, and what of `torch.distributed` belongs to it."""

from __future__ import annotations

from ..rule import Need, Rule, Strings

COLLECTIVES = {
    "cpu": 'On a CPU the back end is "gloo".',
    "xpu": 'On Intel\'s GPUs the back end is "xccl".',
    "npu": 'On Ascend the back end is "hccl".',
    "hpu": 'On Gaudi the back end is "hccl".',
    "mlu": 'On Cambricon\'s chips the back end is "cncl".',
    "musa": 'On Moore Threads\' chips the back end is "mccl".',
    "gcu": 'On Enflame\'s chips the back end is "eccl".',
    "mps": 'There is no back end for Metal: gather on the CPU by "gloo".',
}
"""Device -> what the processes of a program exchange tensors by."""

BACKEND = Rule(
    "AC501",
    "nccl-backend",
    "{found} is a back end for CUDA devices",
    "Take torch.distributed.get_default_backend_for_device(device), or name no back end.",
    strings=(Strings(r"nccl|(\w+:\w+,)*\w+:nccl(,\w+:\w+)*"),),
    instead=COLLECTIVES,
)
API = Rule(
    "AC502",
    "nccl-api",
    "{found} is about NCCL",
    "Ask torch.distributed.is_backend_available() for the back end of the device in use.",
    names=(
        "torch.cuda.nccl",
        "torch.distributed.is_nccl_available",
        "torch.distributed.ProcessGroupNCCL",
        "torch.distributed.distributed_c10d.is_nccl_available",
        "torch.distributed.distributed_c10d.ProcessGroupNCCL",
        "torch.distributed.Backend.NCCL",
    ),
)
VARIABLE = Rule(
    "AC503",
    "nccl-variable",
    "{found} is a variable of NCCL's",
    "Set it where NCCL is used only; other back ends do not read it.",
    strings=(Strings(r"(TORCH_)?NCCL_[A-Z0-9_]+"),),
    need=Need.CUDA_DEVICE,
    harmless_elsewhere=True,
)

RULES = (BACKEND, API, VARIABLE)
