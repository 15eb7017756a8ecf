"""The checks behind `anychip doctor`: what is installed, what is active, what is wrong.

Flows in: the environment of this process. Flows out: a list of `Check` records, each with a verdict,
what was found, and how to mend what is wrong. A check that fails never stops the others.
"""

from __future__ import annotations

import importlib.metadata
import importlib.util
import os
import platform
import tempfile
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from .. import __version__
from ..packages import reinstallation
from . import doctor_pytorch
from .errors import CommandError
from .new_process import in_new_process

Verdict = Literal["ok", "note", "wrong"]
TRITON_OLDEST = (3, 6)
TRITON_BEFORE = (3, 10)
ENTRY_POINT_GROUP = "triton.backends"
FEATURES_SHOWN = 12
TRIAL_SECONDS = 600.0


@dataclass(frozen=True)
class Check:
    """One line of the doctor's screen. `verdict` is "note" where something may be missed, "wrong"
    where kernels will not run; `remedy` says what to do."""

    subject: str
    verdict: Verdict
    found: str
    remedy: str = ""
    details: dict[str, Any] = field(default_factory=dict)


def diagnose() -> list[Check]:
    """Run every check, in the order in which a failure of one explains those after it."""
    return [_guarded(subject, check) for subject, check in _CHECKS]


def _guarded(subject: str, check: Callable[[], Check]) -> Check:
    try:
        return check()
    except Exception as error:
        return Check(
            subject, "wrong", f"{type(error).__name__}: {error}", "See the message; anychip -v shows more."
        )


def _anychip() -> Check:
    python = f"{platform.python_implementation()} {platform.python_version()}"
    found = f"{__version__} on {python}, {platform.system()} {platform.machine()}"
    return Check(
        "Anychip", "ok", found, details={"version": __version__, "python": platform.python_version()}
    )


def _host_chip() -> Check:
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


def _threads() -> Check:
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


def _torch() -> Check:
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


def _triton() -> Check:
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


def _back_ends() -> Check:
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


def _llvm() -> Check:
    import llvmlite
    from llvmlite import binding

    version = ".".join(str(part) for part in binding.llvm_version_info)
    return Check("LLVM", "ok", f"{version} (llvmlite {llvmlite.__version__})", details={"version": version})


def _kernel_cache() -> Check:
    from triton import knobs

    return _cache("Kernel cache", Path(knobs.cache.dir), "TRITON_CACHE_DIR")


def _runtime_cache() -> Check:
    from ..runtime.cache import cache_root

    return _cache("Runtime cache", cache_root(), "ANYCHIP_CACHE_DIR")


def _cache(subject: str, folder: Path, variable: str) -> Check:
    size, files = _size(folder)
    found = f"{folder}, {size / 2**20:.1f} MiB in {files} files"
    details = {"folder": str(folder), "bytes": size, "files": files}
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile(dir=folder):
            pass
    except OSError as error:
        remedy = f"Set {variable} to a folder that can be written ({error.strerror})."
        return Check(subject, "wrong", f"{found}, not writable", remedy, {**details, "writable": False})
    return Check(subject, "ok", f"{found}, writable", details={**details, "writable": True})


def _size(folder: Path) -> tuple[int, int]:
    size = files = 0
    for root, _, names in os.walk(folder):
        for name in names:
            try:
                size += os.stat(os.path.join(root, name)).st_size
                files += 1
            except OSError:
                continue
    return size, files


def _kernel() -> Check:
    """The last check: from here on, the CPU is this process's active device."""
    from ..triton_backend import activate
    from . import doctor_kernel

    activate()
    start = time.perf_counter()
    got, right = doctor_kernel.run()
    first = time.perf_counter() - start
    wrong = [index for index, (a, b) in enumerate(zip(got, right, strict=True)) if a != b]
    details = {"elements": len(right), "wrong": len(wrong), "seconds": first}
    if wrong:
        found = f"element {wrong[0]} is {got[wrong[0]]}, should be {right[wrong[0]]} ({len(wrong)} wrong)"
        return Check("Kernel", "wrong", found, "This is a defect of Anychip: please report it.", details)
    return Check(
        "Kernel", "ok", f"compiled, ran, {len(right)} results right, {first * 1e3:.0f} ms", details=details
    )


def _operators() -> Check:
    return _tried("Operators", "anychip.enable() with one operator", doctor_pytorch.operators)


def _compiler() -> Check:
    return _tried("torch.compile", "one compiled function", doctor_pytorch.compiled)


def _tried(subject: str, what: str, trial: Callable[[], str]) -> Check:
    """What PyTorch does with the library, tried in a process of its own."""
    if not importlib.util.find_spec("torch"):
        return Check(subject, "note", "not tried without PyTorch")
    try:
        return Check(subject, "ok", in_new_process(what, TRIAL_SECONDS, trial))
    except CommandError as error:
        return Check(subject, "wrong", str(error), "Run it by hand to see more: README, section PyTorch.")


_CHECKS: tuple[tuple[str, Callable[[], Check]], ...] = (
    ("Anychip", _anychip),
    ("Chip", _host_chip),
    ("Threads", _threads),
    ("PyTorch", _torch),
    ("Triton", _triton),
    ("LLVM", _llvm),
    ("Back ends", _back_ends),
    ("Kernel cache", _kernel_cache),
    ("Runtime cache", _runtime_cache),
    ("Operators", _operators),
    ("torch.compile", _compiler),
    ("Kernel", _kernel),
)
