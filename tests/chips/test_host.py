"""The description of a machine, read from file trees as real systems have them, and of this machine."""

from __future__ import annotations

import os
import platform
from pathlib import Path

import pytest

from anychip import chips
from anychip.chips import Cache, detect_host

RASPBERRY_PI_5 = {
    "proc/cpuinfo": """processor\t: 0
BogoMIPS\t: 108.00
Features\t: fp asimd evtstrm aes pmull sha1 sha2 crc32 atomics fphp asimdhp cpuid asimdrdm lrcpc dcpop asimddp
CPU implementer\t: 0x41
CPU part\t: 0xd0b

processor\t: 1
BogoMIPS\t: 108.00
Features\t: fp asimd

Revision\t: d04170
Model\t\t: Raspberry Pi 5 Model B Rev 1.0
""",
    "proc/device-tree/model": "Raspberry Pi 5 Model B Rev 1.0\0",
    "proc/device-tree/compatible": "raspberrypi,5-model-b\0brcm,bcm2712\0",
    "proc/meminfo": "MemTotal:        8255744 kB\nMemFree:          100 kB\n",
    "sys/devices/system/cpu/cpu0/cache/index0/level": "1\n",
    "sys/devices/system/cpu/cpu0/cache/index0/type": "Data\n",
    "sys/devices/system/cpu/cpu0/cache/index0/size": "64K\n",
    "sys/devices/system/cpu/cpu0/cache/index0/shared_cpu_list": "0\n",
    "sys/devices/system/cpu/cpu0/cache/index1/level": "3\n",
    "sys/devices/system/cpu/cpu0/cache/index1/type": "Unified\n",
    "sys/devices/system/cpu/cpu0/cache/index1/size": "2M\n",
    "sys/devices/system/cpu/cpu0/cache/index1/shared_cpu_list": "0-2,3\n",
}


def tree(root: Path, files: dict[str, str]) -> Path:
    for name, text in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return root


def cpuinfo(root: Path, text: str) -> Path:
    return tree(root, {"proc/cpuinfo": text})


def test_board_with_a_device_tree(tmp_path: Path):
    host = detect_host(tree(tmp_path, RASPBERRY_PI_5))
    assert host.model == "Raspberry Pi 5 Model B Rev 1.0"
    assert host.logical_cores == host.physical_cores == 2
    assert "asimddp" in host.features
    assert host.memory_bytes == 8255744 * 1024
    assert host.caches == (Cache(1, "data", 64 << 10, 1), Cache(3, "unified", 2 << 20, 4))
    assert host.chip is chips.get("broadcom-bcm2712")


def test_threads_of_a_core_are_counted_once(tmp_path: Path):
    block = (
        "processor : {}\nmodel name : AMD EPYC 9755 128-Core Processor\n"
        "physical id : 0\ncore id : {}\nflags : fpu avx2\n\n"
    )
    host = detect_host(cpuinfo(tmp_path, "".join(block.format(i, i // 2) for i in range(4))))
    assert (host.logical_cores, host.physical_cores) == (4, 2)
    assert host.features == ("fpu", "avx2")
    assert host.chip is chips.get("amd-epyc-9755")


@pytest.mark.parametrize(
    ("text", "identifier"),
    [
        ("processor : 0\nmodel name : Intel(R) Xeon(R) Platinum 8480+\n", "intel-xeon-8480"),
        ("processor : 0\nmodel name : Intel(R) Core(TM) i7-4770K CPU @ 3.50GHz\n", None),
        ("processor : 0\nmodel name : Intel(R) Core(TM) i7-4770 CPU @ 3.40GHz\n", "intel-core-i7-4770"),
        (
            "system type : generic-loongson\n\nprocessor : 0\nModel Name : Loongson-3A6000\n",
            "loongson-3a6000",
        ),
        ("processor : 0\ncpu : POWER10 (architected), altivec supported\n", "ibm-power10"),
        ("processor : 0\nmodel name : Apple M1 Pro\n", None),
        ("processor : 0\nmodel name : Apple M1\n", "apple-m1"),
        ("", None),
    ],
)
def test_chip_is_matched_by_its_whole_name(tmp_path: Path, text: str, identifier: str | None):
    chip = detect_host(cpuinfo(tmp_path, text)).chip
    assert (chip.identifier if chip else None) == identifier


def test_empty_system_tells_nothing(tmp_path: Path):
    host = detect_host(tmp_path)
    assert (host.model, host.logical_cores, host.caches, host.memory_bytes) == ("", 0, (), 0)


@pytest.mark.skipif(platform.system() != "Linux", reason="compares with Linux's own count")
def test_this_machine():
    host = detect_host()
    assert host.logical_cores == os.sysconf("SC_NPROCESSORS_ONLN")
    assert host.memory_bytes == os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    assert host.architecture == platform.machine()
