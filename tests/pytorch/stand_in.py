"""A chip maker's software, stood in for: PyTorch has a device by the maker's name whose memory is this
machine's, and Triton a back end by the maker's name which is our CPU compiler. Run as a program with a
device type and the name of a back end, it uses the operators on that device and writes what it saw as JSON.

The dispatcher, the dispatch keys and Triton's launch path are the real ones. Compiler, memory and
streams of the real chip are not here.
"""

from __future__ import annotations

import json
import sys
from collections import Counter
from collections.abc import Callable
from typing import Any

import torch
from triton.backends import Backend, backends
from triton.backends.compiler import GPUTarget

from anychip.triton_backend.compiler import CPUBackend
from anychip.triton_backend.driver import CPUDriver

WITHOUT_HARDWARE = ("cuda", "xpu")
"""Device types of PyTorch's own, which a PyTorch for CPUs knows by name."""

kept: list[torch.library.Library] = []
"""Registrations that last as long as the process."""

seen: Counter[str] = Counter()
"""What was asked of the stand-in: launches by its driver, selections of its device."""


class Guard:
    """What `torch.<device>.device(d)` gives: the device is current inside the block."""

    def __init__(self, device: torch.device):
        self.device = device

    def __enter__(self) -> None:
        seen[f"selected {self.device}"] += 1

    def __exit__(self, *exception: object) -> None: ...


class Memory(torch.Tensor):
    """A tensor of the maker's device; `host` holds its elements. Under PrivateUse1 it is a tensor of that
    key; for a device type that this PyTorch was built without, a subclass that goes to the key's kernels."""

    host: torch.Tensor

    @staticmethod
    def __new__(cls, host: torch.Tensor, device: str) -> Memory:
        made: Any
        assert host.is_contiguous()
        if torch.device(device).type in WITHOUT_HARDWARE:
            made = torch.Tensor._make_wrapper_subclass(
                cls, host.shape, dtype=host.dtype, device=torch.device(device)
            )
        else:
            native: Any = torch._C
            made = native._acc.create_empty_tensor(host.shape, host.dtype)
            made.__class__ = cls
        made.host = host
        return made

    def data_ptr(self) -> int:
        return self.host.data_ptr()

    @classmethod
    def __torch_dispatch__(cls, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """Whatever PyTorch's dispatcher has under the key of the device."""
        device = next(x.device for x in args if isinstance(x, Memory))
        key = getattr(torch._C.DispatchKey, torch._C._dispatch_key_for_device(device.type))
        with torch._C._DisableTorchDispatch():
            return func.redispatch(torch._C.DispatchKeySet(key), *args, **(kwargs or {}))


def on_host(value: Any) -> Any:
    """An argument, with the elements of the device's tensors."""
    if isinstance(value, Memory):
        return value.host
    return [on_host(x) for x in value] if isinstance(value, list) else value


def make_device(device_type: str) -> None:
    """Let PyTorch have a device of this type: PrivateUse1 under the maker's name, or a device type that
    this PyTorch was built without."""
    module: Any
    if device_type in WITHOUT_HARDWARE:
        module = getattr(torch, device_type)
        module._lazy_init = lambda: None
    else:
        from torch.utils.backend_registration import (
            _DummyBackendModule,
            _setup_privateuseone_for_python_backend,
        )

        module = _DummyBackendModule()
        _setup_privateuseone_for_python_backend(device_type, module)
    module.is_available = lambda: True
    module.device = Guard
    module.get_device_name = lambda index: "a stand-in"


def make_operators(device_type: str) -> torch.library.Library:
    """What a maker's PyTorch has of its own: memory, views, and some computing operators."""
    key = torch._C._dispatch_key_for_device(device_type)
    own = torch.library.Library("aten", "IMPL")

    def through_host(operator: Callable[..., Any]) -> Callable[..., Any]:
        def run(*arguments: Any, **keywords: Any) -> Any:
            seen[str(operator)] += 1
            keywords.pop("device", None)
            keywords.pop("pin_memory", None)
            result = operator(*map(on_host, arguments), **keywords)
            return Memory(result, f"{device_type}:0")

        return run

    aten = torch.ops.aten
    for name in ("empty.memory_format", "empty_strided", "as_strided", "view", "exp"):
        packet, _, overload = name.partition(".")
        own.impl(name, through_host(getattr(getattr(aten, packet), overload or "default")), key)

    def copy_(self: torch.Tensor, src: torch.Tensor, non_blocking: bool = False) -> torch.Tensor:
        seen[f"copied from {src.device.type} to {self.device.type}"] += 1
        on_host(self).numpy()[...] = on_host(src).numpy()  # No operator of PyTorch's: those are ours now.
        return self

    own.impl("copy_", copy_, key)
    return own


class StandInBackend(CPUBackend):
    """Our CPU compiler under the maker's name."""

    name = ""

    @staticmethod
    def supports_target(target: GPUTarget) -> bool:
        return target.backend == StandInBackend.name

    def hash(self) -> str:
        return f"{self.name}-{super().hash()}"


class StandInDriver(CPUDriver):
    """Our CPU runtime under the maker's name; tensors come from the maker's device only."""

    def __init__(self) -> None:
        super().__init__()
        make = self.launcher_cls

        def make_launcher(source: Any, metadata: Any) -> Any:
            launcher = make(source, metadata)

            def launch(*arguments: Any) -> None:
                seen["launches"] += 1
                assert not any(isinstance(x, torch.Tensor) and not isinstance(x, Memory) for x in arguments)
                launcher(*map(on_host, arguments))

            return launch

        self.launcher_cls = make_launcher

    @classmethod
    def is_active(cls) -> bool:
        return True

    def get_current_target(self) -> GPUTarget:
        return GPUTarget(StandInBackend.name, "", 32)

    def get_current_device(self) -> int:
        return 0


def install() -> Any:
    """Let this process have a maker's device and its Triton, and say how tensors get there and back: the
    `Place` that the workers of `tools.gpu` ask a stand-in for."""
    from tools.gpu.placing import Place

    device, StandInBackend.name = "npu", "ascend"
    make_device(device)
    kept.append(make_operators(device))
    backends[StandInBackend.name] = Backend(StandInBackend, StandInDriver)
    return Place(device, lambda x: Memory(x.contiguous(), f"{device}:0"), on_host, lambda: None)


def refused(call: Callable[[], Any]) -> str:
    """The message of the error that a call must end in."""
    from anychip.errors import AnychipError

    try:
        call()
    except AnychipError as error:
        return str(error)
    return ""


def main(device_type: str, backend: str) -> None:
    make_device(device_type)
    own = make_operators(device_type)
    if backend:
        StandInBackend.name = backend
        backends[backend] = Backend(StandInBackend, StandInDriver)

    import anychip
    from anychip.ops.launching import Tiles, launch_counts
    from anychip.pytorch import devices, statistics

    torch.manual_seed(0)
    host = torch.randn(5, 300).clamp(-2, 2)
    x = Memory(host, f"{device_type}:0")
    tiles = Tiles(simt={"BLOCK": 1}, simd={"BLOCK": 2}).on(x.device)
    told: dict[str, Any] = {"tiles": tiles["BLOCK"], "keys": devices.dispatch_keys()}
    if not backend:
        with anychip.using("strict"):
            told["refusal"] = refused(lambda: torch.exp(x))
        print(json.dumps(told))
        return

    calls: dict[str, tuple[Callable[..., Any], tuple[Any, ...]]] = {
        "exp": (torch.exp, (x,)),
        "add": (torch.add, (x, x)),
        "softmax": (torch.ops.aten._softmax, (x, 1, False)),
    }
    with anychip.using("strict"):
        results = {name: call(*arguments) for name, (call, arguments) in calls.items()}
        on_cpu = torch.exp(host)
        # A subclass's call of a kernel that Python registered goes to the one registered last, which is ours.
        home = host if device_type in WITHOUT_HARDWARE else torch.empty_like(host).copy_(x)
    told["moved"] = home is not host and torch.equal(home, host)
    told["launches"] = dict(launch_counts)
    told["on_cpu"] = float(on_cpu.double().sub(host.double().exp()).abs().max())
    told["devices"] = sorted({str(result.device) for result in results.values()})
    told["errors"] = {}
    for name, (call, arguments) in calls.items():
        expected = call(*(on_host(x).double() if isinstance(x, Memory) else x for x in arguments))
        told["errors"][name] = float((results[name].host.double() - expected).abs().max())
    told["seen"] = dict(seen)

    told["without"] = {}
    for dtype in sorted(devices._of_key(told["keys"][1]).without, key=str):
        y = Memory(torch.ones(4, dtype=torch.float32).to(dtype), f"{device_type}:0")
        before = seen["launches"]
        with anychip.using("strict"):
            message = refused(lambda y=y: torch.exp(y))
        right = True
        if device_type not in WITHOUT_HARDWARE:
            with anychip.using("portable"):
                result: Any = torch.exp(y)
                right = torch.equal(result.host, y.host.exp())
        told["without"][str(dtype)] = [message, right and seen["launches"] == before]
    told["fallen"] = [[*key, number] for key, number in statistics.fallen.items()]
    print(json.dumps(told))
    own._destroy()


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2])
