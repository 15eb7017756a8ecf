"""How stock Triton finds the CPU, and what it is told of it."""

from __future__ import annotations

import os
import subprocess
import sys
from typing import Any

import pytest
import torch
import triton
from tests.triton_backend.kernels import add, add_kernel
from triton.backends import backends
from triton.backends.compiler import GPUTarget
from triton.compiler import ASTSource
from triton.compiler.compiler import make_backend
from triton.runtime.driver import driver

from anychip import triton_backend
from anychip.runtime.binary import unpack
from anychip.runtime.errors import CorruptBinary
from anychip.triton_backend.driver import CPUDriver
from anychip.triton_backend.options import WITHOUT_EFFECT, KernelOptions


def python(code: str, **environment: str) -> str:
    """What a fresh interpreter prints for `code`."""
    done = subprocess.run(
        [sys.executable, "-c", code],
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        timeout=120,
        check=True,
    )
    return done.stdout.strip()


@pytest.fixture
def backend():
    return make_backend(GPUTarget("cpu", "", 32))


def test_triton_lists_the_cpu():
    assert backends["cpu"].driver is CPUDriver


def test_importing_triton_imports_neither_torch_nor_llvm():
    modules = python("import sys, triton; print(*sys.modules)").split()
    assert "anychip.triton_backend.driver" in modules
    assert not {"torch", "numpy", "llvmlite", "anychip.compiler.pipeline"} & set(modules)


def test_the_cpu_is_active_where_no_other_driver_is():
    code = "from triton.runtime.driver import driver; print(type(driver.active).__name__)"
    assert python(code) == "CPUDriver"
    assert python(code, TRITON_DEFAULT_BACKEND="cpu") == "CPUDriver"


PRETEND_A_GPU = """
from triton.backends import backends
from triton.runtime.driver import driver
gpu = backends["nvidia"].driver
gpu.is_active = staticmethod(lambda: True)
gpu.__init__ = lambda self: None
"""


def test_a_gpu_comes_first_and_the_cpu_can_be_chosen():
    code = PRETEND_A_GPU + (
        "first = type(driver.active).__name__\n"
        "import anychip.triton_backend as cpu\n"
        "cpu.activate()\n"
        "second = type(driver.active).__name__, cpu.is_active()\n"
        "driver.reset_active()\n"
        "print(first, *second, type(driver.active).__name__)"
    )
    assert python(code) == "CudaDriver CPUDriver True CudaDriver"


@pytest.mark.skipif(triton.__version__ < "3.7", reason="Triton 3.6 does not read TRITON_DEFAULT_BACKEND")
def test_a_variable_chooses_the_cpu_beside_a_gpu():
    code = PRETEND_A_GPU + "print(type(driver.active).__name__)"
    assert python(code, TRITON_DEFAULT_BACKEND="cpu") == "CPUDriver"


def test_activation_keeps_an_active_cpu():
    triton_backend.activate()
    active = driver.active
    triton_backend.activate()
    assert driver.active is active
    assert triton_backend.is_active()


def test_the_device_is_no_gpus():
    active: Any = driver.active
    assert active.get_current_device() not in range(64)
    assert active.get_active_torch_device() == torch.device("cpu")
    assert active.get_current_target() == GPUTarget("cpu", "", 32)


def test_tutorials_arithmetic_on_device_properties_works():
    active: Any = driver.active
    properties = active.utils.get_device_properties(active.get_active_torch_device().index)
    kernel = add_kernel.warmup(torch.float32, torch.float32, torch.float32, 100, BLOCK=128, grid=(1,))
    kernel._init_handles()
    occupancy = properties["max_num_regs"] // (kernel.n_regs * properties["warpSize"] * 8)
    occupancy = min(occupancy, properties["max_shared_mem"] // kernel.metadata.shared)
    assert properties["multiprocessor_count"] * occupancy >= 1
    assert kernel.n_spills == 0


GPU_OPTIONS = {
    "NVIDIA": {"num_warps": 8, "num_stages": 4, "num_ctas": 1, "maxnreg": 128, "launch_pdl": True},
    "AMD": {"num_warps": 8, "waves_per_eu": 2, "matrix_instr_nonkdim": 16, "kpack": 2},
    "Intel": {"num_warps": 32, "grf_mode": "large", "one_matrix_per_load_for_bt": True},
}


@pytest.mark.parametrize("maker", GPU_OPTIONS)
def test_options_written_for_gpus_are_accepted_and_change_nothing(backend, maker):
    options = backend.parse_options(dict(GPU_OPTIONS[maker]))
    assert options.hash() == backend.parse_options({}).hash()
    x = torch.rand(100)
    assert torch.equal(add(x, x, **GPU_OPTIONS[maker]), x + x)


def test_options_that_change_code_change_the_hash(backend):
    plain = backend.parse_options({}).hash()
    for options in ({"debug": True}, {"enable_fp_fusion": False}, {"sanitize_overflow": False}):
        assert backend.parse_options(options).hash() != plain


@pytest.mark.parametrize("name", sorted(WITHOUT_EFFECT))
def test_an_option_without_effect_is_taken_and_leaves_the_kernels_key_alone(backend, name):
    plain = backend.parse_options({})
    other = 8 if name == "num_warps" else "something else"
    changed = backend.parse_options({name: other})
    assert getattr(changed, name) == other != getattr(plain, name)
    assert changed.hash() == plain.hash()


def test_a_kernels_own_keywords_are_not_options(backend):
    assert backend.parse_options({"BLOCK": 64, "num_warps": 2}) == KernelOptions(num_warps=2)


def test_words_that_nobody_knows_are_refused():
    x = torch.rand(4)
    with pytest.raises(KeyError, match="num_wraps"):
        add(x, x, num_wraps=4)


def test_the_hash_tells_processors_apart(backend):
    other = make_backend(GPUTarget("cpu", "cortex-a76", 32))
    assert backend.hash() == make_backend(GPUTarget("cpu", "", 32)).hash()
    assert backend.hash() != other.hash()


def test_kernels_compile_for_other_processors_but_do_not_load():
    pointers = dict.fromkeys(("x_ptr", "y_ptr", "out_ptr"), "*fp32")
    source = ASTSource(add_kernel, {**pointers, "n": "i32", "BLOCK": "constexpr"}, {"BLOCK": 64})
    kernel = triton.compile(source, target=GPUTarget("cpu", "cortex-a76", 32))
    binary = unpack(kernel.kernel)
    assert "aarch64" in binary.target
    assert binary.object_code[:4] == b"\x7fELF"
    assert int.from_bytes(binary.object_code[18:20], "little") == 183
    if "aarch64" not in os.uname().machine:
        with pytest.raises(CorruptBinary, match="compiled for aarch64"):
            kernel._init_handles()


def test_stages_are_kept_as_text():
    kernel = add_kernel.warmup(torch.float32, torch.float32, torch.float32, 100, BLOCK=128, grid=(1,))
    assert "tt.func public @add_kernel" in kernel.asm["ttir"]
    assert isinstance(kernel.asm["anychip"], bytes)


def test_ttir_files_can_be_compiled_and_launched(tmp_path):
    kernel = add_kernel.warmup(torch.float32, torch.float32, torch.float32, 100, BLOCK=128, grid=(1,))
    path = tmp_path / "add.ttir"
    path.write_text(kernel.asm["ttir"])
    compiled = triton.compile(str(path), target=GPUTarget("cpu", "", 32))
    x, out = torch.rand(100), torch.empty(100)
    compiled[(1, 1, 1)](x, x, out, 100)
    assert torch.equal(out, x + x)


@pytest.mark.parametrize(
    "statement",
    [
        "from triton.language.extra.cpu import libdevice",
        "from triton.language.extra import cpu; libdevice = cpu.libdevice",
        "import triton.language.extra.cpu.libdevice as libdevice",
        "import triton.language.extra.cpu; import triton; libdevice = triton.language.extra.cpu.libdevice",
    ],
)
def test_libraries_find_libdevice_by_its_name(statement):
    assert python(f"{statement}; print(libdevice.__name__)") == "anychip.triton_backend.libdevice"


def test_a_gluon_kernel_is_refused_with_a_reason(backend):
    from triton.backends.compiler import Language

    with pytest.raises(NotImplementedError, match="GLUON"):
        backend.add_stages({}, backend.parse_options({}), Language.GLUON)
