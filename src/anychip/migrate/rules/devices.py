"""Devices: moving to CUDA, naming it, asking whether something is on it."""

from __future__ import annotations

from ..rule import Role, Rule, Strings

MOVE = Rule(
    "AC101",
    "cuda-move",
    "{found} moves to a CUDA device only",
    "Move to a device that is found at run time: .to(device).",
    methods=("cuda",),
)
NAME = Rule(
    "AC102",
    "cuda-device-name",
    "{found} names a CUDA device",
    "Take the device from the caller, or from torch.accelerator.current_accelerator(), which is None on "
    "a CPU.",
    strings=(Strings(r"cuda(?!.*nccl)(:\S*)?", Role.VALUE),),
)
TEST = Rule(
    "AC103",
    "cuda-device-test",
    "a comparison with {found} is false on every other device",
    'Compare with the type of the device in use, or with "cpu" where any accelerator is meant.',
    strings=(Strings(r"cuda(?!.*nccl)(:\S*)?", Role.TEST),),
    harmless_elsewhere=True,
)
IS_CUDA = Rule(
    "AC104",
    "is-cuda",
    "{found} is false on every other device",
    'Ask for the type: tensor.device.type != "cpu" where any accelerator is meant.',
    attributes=("is_cuda",),
    harmless_elsewhere=True,
)
TYPED = Rule(
    "AC105",
    "cuda-tensor-type",
    "{found} is a tensor type of CUDA devices",
    "Use dtype= and device= when the tensor is made.",
    names=tuple(
        f"torch.cuda.{kind}{suffix}"
        for kind in (
            *("BFloat16", "Bool", "Byte", "Char", "ComplexDouble", "ComplexFloat"),
            *("Double", "Float", "Half", "Int", "Long", "Short"),
        )
        for suffix in ("Tensor", "Storage")
    ),
    strings=(Strings(r"torch\.cuda\.[A-Z][A-Za-z0-9]+(Tensor|Storage)"),),
)
DISPATCH_KEY = Rule(
    "AC106",
    "cuda-dispatch-key",
    "{found} registers for CUDA devices only",
    "Register for the dispatch key of each device served, or for CompositeExplicitAutograd.",
    strings=(
        Strings(r"(Autograd|Autocast|Sparse|Quantized|Nested\w*)?CUDA", Role.VALUE, only_arguments=True),
    ),
)

RULES = (MOVE, NAME, TEST, IS_CUDA, TYPED, DISPATCH_KEY)
