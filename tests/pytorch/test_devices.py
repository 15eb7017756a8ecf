"""Operators on the devices of chip makers, by stand-ins under each device name's rules (`stand_in.py`): a
process for each plug-in of the registry, in which PyTorch has that device and Triton that back end."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch

from anychip import chips
from anychip.pytorch import devices
from anychip.triton_backend import drivers

STAND_IN = Path(__file__).with_name("stand_in.py")
STOCK = {"nvidia", "amd"}
PLUGINS = {
    f"{chip.plugin.device} {chip.plugin.backend}": chip.plugin
    for chip in chips.all()
    if chip.plugin and chip.plugin.backend not in STOCK
}
ALWAYS = ("cuda metax", "npu ascend", "xpu intel")
"""One of each kind: a key of CUDA's, a key of the maker's own, a key that PyTorch has. The others are slow
tests."""
OWN_KEYS = {"cuda": "CUDA", "xpu": "XPU"}


def told(device: str, backend: str) -> dict[str, Any]:
    """What a process that has the device saw."""
    done = subprocess.run(
        [sys.executable, str(STAND_IN), device, backend], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=() if name in ALWAYS else pytest.mark.slow) for name in sorted(PLUGINS)]
)
def test_operators_run_on_a_makers_device(name: str) -> None:
    plugin = PLUGINS[name]
    device = plugin.device
    saw = told(device, plugin.backend)
    assert saw["keys"] == ["CPU", OWN_KEYS.get(device, "PrivateUse1")]
    assert saw["tiles"] == 1, "tiles are those of the class simt"
    assert saw["devices"] == [f"{device}:0"], "results stay on the device"
    assert max(saw["errors"].values()) < 2e-6
    assert saw["on_cpu"] < 2e-6
    assert saw["launches"] == {"flat_kernel[exp]": 2, "flat_kernel[add]": 1, "softmax_kernel[softmax]": 1}
    assert saw["seen"]["launches"] == 3, "tensors of the device go to the maker's driver, others do not"
    assert saw["seen"][f"selected {device}:0"] == 3
    if device not in OWN_KEYS:
        assert saw["moved"], "strict lets PyTorch move memory between devices"
        assert saw["seen"][f"copied from {device} to cpu"] == 1
    assert set(saw["without"]) == {f"torch.{name}" for name in plugin.without}
    for dtype, (message, fell_through) in saw["without"].items():
        assert f"{dtype.removeprefix('torch.')} does not exist on" in message
        assert fell_through
    if device not in OWN_KEYS:
        assert len(saw["fallen"]) == len(plugin.without)


def test_a_device_without_its_triton_is_refused_with_what_to_install() -> None:
    saw = told("mlu", "")
    assert PLUGINS["mlu mlu"].package in saw["refusal"]
    assert "Triton's back ends mlu" in saw["refusal"]


def test_makers_back_ends_come_before_stock_ones() -> None:
    names = drivers.backend_names("cuda")
    assert names[-1] == "nvidia"
    assert {"iluvatar", "metax", "amd"} <= set(names[:-1])
    assert drivers.backend_names("npu") == ("ascend",)


def test_a_device_of_no_maker_has_no_driver() -> None:
    with pytest.raises(drivers.MissingBackend, match="the Triton of its maker"):
        drivers.driver_of("no_such_device")


@pytest.mark.skipif(torch.cuda.is_available() or torch.xpu.is_available(), reason="an accelerator is here")
def test_the_cpu_alone_is_present_here() -> None:
    assert devices.present() == (devices.Device("cpu", "CPU"),)


def test_dtypes_are_found_in_lists_and_keywords() -> None:
    found = devices._dtypes(([torch.ones(1), torch.ones(1, dtype=torch.int8)], 2, (torch.float16,)))
    assert list(found) == [torch.float32, torch.int8, torch.float16]


def test_the_cpus_functions_are_not_wrapped() -> None:
    assert devices.guarded(torch.exp, "exp", "CPU") is torch.exp
