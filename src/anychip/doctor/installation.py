"""Checks of what is installed and active. Flows in: the environment of this process. Flows out: a `Check`
each."""

from __future__ import annotations

import importlib.metadata
import importlib.util
import os
import platform
from collections.abc import Iterable
from typing import Any

from .. import __version__
from ..packages import reinstallation
from .check import Check

TRITON_OLDEST = (3, 6)
TRITON_BEFORE = (3, 10)
ENTRY_POINT_GROUP = "triton.backends"
FEATURES_SHOWN = 12


def anychip_version() -> Check:
    """Which Anychip, on which Python and system."""
    python = f"{platform.python_implementation()} {platform.python_version()}"
    found = f"{__version__} on {python}, {platform.system()} {platform.machine()}"
    return Check(
        "Anychip", "ok", found, details={"version": __version__, "python": platform.python_version()}
    )


def host_chip() -> Check:
    """The processor, its instruction set, and the features that decide how fast kernels are."""
    from ..chips import detect_host
    from ..compiler import targets

    target, machine = targets.host(), detect_host()
    features = [name.lstrip("+") for name in target.features.split(",") if name.startswith("+")]
    known_as = f" = {machine.chip.name}" if machine.chip else ""
    found = f"{machine.model or machine.architecture}{known_as}: {target.cpu}, {target.isa}"
    found += f", {target.vector_bits}-bit vectors; {' '.join(_notable(features))}"
    details = {
        "model": machine.model,
        "chip": machine.chip.identifier if machine.chip else None,
        "cpu": target.cpu,
        "isa": target.isa,
        "vector_bits": target.vector_bits,
        "features": features,
    }
    if not target.vector_bits:
        remedy = "No vector unit was found: kernels run one element at a time."
        return Check("Chip", "note", found, remedy, details)
    return Check("Chip", "ok", found, details=details)


def _notable(features: Iterable[str]) -> list[str]:
    """The features that decide how fast kernels are, widest first."""
    order = (
        "amx-tile",
        "avx512f",
        "avx512bf16",
        "avx512vnni",
        "avx512fp16",
        "avxvnni",
        "avx2",
        "fma",
        "f16c",
        "sve2",
        "sve",
        "bf16",
        "i8mm",
        "dotprod",
        "fullfp16",
        "neon",
        "v",
        "zvfh",
        "lasx",
        "lsx",
        "vsx",
        "vector",
    )
    present = set(features)
    return [name for name in order if name in present][:FEATURES_SHOWN]


def threads() -> Check:
    """How many threads launches use, of how many cores."""
    usable = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    setting = os.environ.get("OMP_NUM_THREADS", "")
    chosen = usable
    if importlib.util.find_spec("torch"):
        import torch

        chosen = torch.get_num_threads()
    elif setting.isdigit():
        chosen = int(setting)
    found = f"{chosen} used of {usable} usable" + (f" (OMP_NUM_THREADS={setting})" if setting else "")
    details = {"used": chosen, "usable": usable}
    if chosen > usable:
        return Check(
            "Threads", "note", found, f"More threads than cores: set OMP_NUM_THREADS={usable}.", details
        )
    return Check("Threads", "ok", found, details=details)


def pytorch_version() -> Check:
    """Which PyTorch, and whether it has a GPU."""
    if not importlib.util.find_spec("torch"):
        return Check(
            "PyTorch",
            "note",
            "not installed",
            "Kernels run without it; for models: pip install torch numpy.",
        )
    import torch

    accelerators = f"CUDA {torch.version.cuda}" if torch.cuda.is_available() else "no GPU"
    return Check(
        "PyTorch", "ok", f"{torch.__version__}, {accelerators}", details={"version": torch.__version__}
    )


def eager_calls() -> Check:
    """Whether small calls of operators are served by native code, or why they are not."""
    if not importlib.util.find_spec("torch"):
        return Check("Eager calls", "note", "not tried without PyTorch")
    from ..pytorch.eager import sites

    reason = sites.obstacle()
    details = {"native": not reason, "reason": reason}
    if not reason:
        return Check("Eager calls", "ok", "served by native code", details=details)
    remedy = "Small calls under anychip.enable() take longer; results are the same."
    return Check("Eager calls", "note", f"served from Python: {reason}", remedy, details)


def triton_version() -> Check:
    """Which Triton, whether it is one of those supported, and whether it interprets."""
    import triton

    version = triton.__version__
    numbers = tuple(int(part) for part in version.split("+")[0].split(".")[:2])
    details = {"version": version}
    if not TRITON_OLDEST <= numbers < TRITON_BEFORE:
        return Check(
            "Triton", "wrong", version, "Supported are 3.6 to 3.9: pip install 'triton>=3.6,<3.10'.", details
        )
    if os.environ.get("TRITON_INTERPRET", "0") not in {"", "0"}:
        return Check(
            "Triton",
            "note",
            f"{version}, TRITON_INTERPRET is set",
            "Kernels are interpreted: unset it.",
            details,
        )
    return Check("Triton", "ok", version, details=details)


def back_ends() -> Check:
    """Whether the CPU is a back end of Triton, the only one of its name, and the active one."""
    entries = list(importlib.metadata.entry_points(group=ENTRY_POINT_GROUP))
    ours = [entry for entry in entries if entry.name == "cpu" and entry.value.startswith("anychip.")]
    others = [entry for entry in entries if entry.name == "cpu" and not entry.value.startswith("anychip.")]
    if not ours:
        return Check(
            "Back ends",
            "wrong",
            "no cpu back end is registered",
            f"Install it again: {reinstallation()}",
        )
    if others:
        return Check(
            "Back ends",
            "wrong",
            f"two cpu back ends: {others[0].value} and {ours[0].value}",
            "Uninstall one of them.",
        )
    if os.environ.get("TRITON_BACKENDS_IN_TREE") == "1":
        return Check(
            "Back ends",
            "wrong",
            "TRITON_BACKENDS_IN_TREE=1 hides every plug-in",
            "Unset TRITON_BACKENDS_IN_TREE.",
        )
    from triton.backends import backends

    installed = sorted(backends)
    details: dict[str, Any] = {"installed": installed}
    try:
        active = _active_back_end()
    except RuntimeError as error:
        return Check(
            "Back ends",
            "wrong",
            f"{', '.join(installed)}; none is active: {error}",
            "Set TRITON_DEFAULT_BACKEND=cpu (Triton 3.7 or newer), or unset it if it names another.",
            details,
        )
    details["active"] = active
    found = f"{', '.join(installed)}; active: {active}"
    if active != "cpu":
        remedy = "Kernels run on the GPU; TRITON_DEFAULT_BACKEND=cpu chooses the CPU."
        return Check("Back ends", "note", found, remedy, details)
    return Check("Back ends", "ok", found, details=details)


def _active_back_end() -> str:
    """The back end that launches use; raises RuntimeError when none or several are active."""
    from triton.runtime import driver

    active: Any = driver.active
    return active.get_current_target().backend


def llvm_version() -> Check:
    """Which LLVM, in which llvmlite."""
    import llvmlite
    from llvmlite import binding

    version = ".".join(str(part) for part in binding.llvm_version_info)
    return Check("LLVM", "ok", f"{version} (llvmlite {llvmlite.__version__})", details={"version": version})
