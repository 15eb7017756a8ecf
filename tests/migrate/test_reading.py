"""What is recognised, where, and what only looks like it."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.migrate.reading import codes, found, one, scanned

from anychip.migrate import Destination, scan

FALSE_FRIENDS = {
    "a docstring": '"""Moves to "cuda"."""\n\n\ndef f():\n    "cuda"\n',
    "a comment": "x = 1  # torch.cuda.is_available()\n",
    "prose": 'raise ValueError("CUDA is not available, call model.cuda()")\n',
    "a field of a class's own": "class A:\n    def f(self):\n        return self.is_cuda\n",
    "setting a field": "x.is_cuda = True\n",
    "a parameter called torch": "def f(torch):\n    return torch.cuda.is_available()\n",
    "a variable called torch": "def f():\n    torch = Fake()\n    torch.cuda.synchronize()\n",
    "another package's cuda": "import mine\n\nmine.cuda.synchronize()\n",
    "a relative import": "from .apex import amp\nfrom . import flash_attn\n",
    "the name of an attribute": 'getattr(torch, "cuda")\n',
    "exports": '__all__ = ["cuda"]\n',
    "defaults of options": "kernel[grid](x, num_ctas=1, maxnreg=None, use_cuda_graph=False)\n",
    "options of every target": "kernel[grid](x, num_warps=4, num_stages=2)\n",
    "a module": "import torch.cuda\nfrom torch import cuda\nfrom torch.cuda import amp\n",
    "a scaler with a device": "import torch\ntorch.amp.GradScaler(device.type)\ntorch.GradScaler(device=d)\n",
    "another device": 'x.to("xpu"); y = device == "cpu"\n',
    "words that begin so": 'x = "cudatoolkit"; y = "cuda_kernels"\n',
    "a key in capitals": 'x = {"CUDA": 1}\n',
}


@pytest.mark.parametrize("what", FALSE_FRIENDS)
def test_what_only_looks_like_it(what: str, tmp_path: Path) -> None:
    assert found(tmp_path, FALSE_FRIENDS[what]) == []


FOUND = {
    "import torch as th\nth.cuda.is_available()\n": [(2, "AC301")],
    "from torch import cuda as c\nc.synchronize()\n": [(2, "AC304")],
    "from torch.cuda.amp import autocast, GradScaler\n": [(1, "AC401"), (1, "AC402")],
    "from torch.cuda import amp\namp.autocast()\n": [(2, "AC401")],
    "from settings import *\ntorch.cuda.is_available()\n": [(2, "AC301")],
    "try:\n    from apex import amp\nexcept ImportError:\n    amp = None\n": [(2, "AC801")],
    "import torch\ntorch.cuda.current_stream().wait_stream(s)\n": [(2, "AC201")],
    "x = (\n    model\n    .cuda()\n)\n": [(3, "AC101")],
    "x = next(model.parameters()).is_cuda\n": [(1, "AC104")],
    "if x.device.type == 'cuda': pass\n": [(1, "AC103")],
    "if x.device.type in ('cuda', 'xpu'): pass\n": [(1, "AC103")],
    "if name.startswith('cuda'): pass\n": [(1, "AC103")],
    "import torch\nif d == torch.device('cuda'): pass\n": [(2, "AC103")],
    "match d:\n    case 'cuda': pass\n": [(2, "AC103")],
    "x = f'cuda:{rank}'\n": [(1, "AC102")],
    "x = 'cuda:{}'.format(i)\n": [(1, "AC102")],
    "library.impl('op', f, 'CUDA')\n": [(1, "AC106")],
    "import torch\ntorch.amp.GradScaler()\n": [(2, "AC402")],
    "import importlib\nimportlib.import_module('flash_attn')\n": [(2, "AC801")],
    "import triton.language as tl\ntl.inline_asm_elementwise('mov', 'r', [], 'f')\n": [(2, "AC702")],
    "import numba\nfrom numba import cuda\n": [(2, "AC801")],
    "import torch\n\n\ndef f(x=torch.cuda.current_device()): ...\n": [(4, "AC303")],
    "import torch\nx = f'{torch.cuda.device_count()} devices'\n": [(2, "AC302")],
}


@pytest.mark.parametrize("text", FOUND)
def test_what_is_found(text: str, tmp_path: Path) -> None:
    assert found(tmp_path, text) == FOUND[text]


def test_columns_count_characters_from_one(tmp_path: Path) -> None:
    finding = one(tmp_path, 'x = "ä€𝄞", f("cuda:0")\n')
    assert (finding.line, finding.column) == (1, 14)
    finding = one(tmp_path, "y = modèle.cuda()\n")
    assert finding.column == 12


def test_a_file_that_is_no_python_is_named(tmp_path: Path) -> None:
    assert found(tmp_path, "import torch\ntorch.cuda.f(\n") == [(2, "AC001")]
    assert found(tmp_path, b"# coding: nonsense\nx.cuda()\n") == [(1, "AC001")]
    assert found(tmp_path, b"x = '\xff'.cuda()\n") == [(1, "AC001")]


def test_a_package_may_import_itself(tmp_path: Path) -> None:
    for name in ("xformers/__init__.py", "xformers/ops.py"):
        scanned(tmp_path, "import xformers\n", name)
    assert scan([tmp_path]).findings == []
    assert scan([tmp_path / "xformers" / "ops.py"]).findings == []


REQUIREMENTS = {
    "requirements.txt": "numpy\nflash-attn>=2 # fast\nFlash_Attn[x]==1\n--extra-index-url https://x/whl/cu118\n"
    "torch==2.1.0+cu118\n",
    "pyproject.toml": '[project]\ndependencies = [\n    "numpy", "xformers>=0.2",\n]\n'
    "[tool.poetry.dependencies]\n"
    'cupy-cuda12x = "^13"\n',
    "setup.cfg": "[options]\ninstall_requires =\n    bitsandbytes\n",
    "environment.yml": "dependencies:\n  - pip:\n    - onnxruntime-gpu==1.2\n",
    "requirements/gpu.txt": "nvidia-cudnn-cu12\n",
}


@pytest.mark.parametrize(("name", "lines"), list(zip(REQUIREMENTS, ([2, 3, 4, 5], [3, 6], [3], [3], [1]))))
def test_requirements(name: str, lines: list[int], tmp_path: Path) -> None:
    assert found(tmp_path, REQUIREMENTS[name], name) == [(line, "AC802") for line in lines]


def test_cuda_files_and_their_inline_assembly(tmp_path: Path) -> None:
    text = '// asm volatile\n__global__ void f() {\n  asm volatile("mov");\n}\n'
    assert found(tmp_path, text, "k.cu") == [(1, "AC701"), (3, "AC702")]


def test_a_chip_leaves_out_what_runs_there(tmp_path: Path) -> None:
    text = 'import torch\nimport flash_attn\nx = torch.ones(1, device="cuda")\nf("nvidia-smi")\n'
    ours = Destination("a chip", "xpu")
    assert [each.code for each in scanned(tmp_path, text, target=ours).findings] == [
        "AC801",
        "AC102",
        "AC803",
    ]
    takes_name = Destination("another", "cuda")
    assert [each.code for each in scanned(tmp_path, text, target=takes_name).findings] == ["AC803"]
    assert scanned(tmp_path, text, target=Destination("a third", "cuda", is_nvidia=True)).findings == []
    unread = scanned(tmp_path, "f(\n", target=Destination("a third", "cuda", is_nvidia=True)).findings
    assert unread == []
    unread = scanned(tmp_path, "cuda(\n", target=Destination("a third", "cuda", is_nvidia=True)).findings
    assert [each.code for each in unread] == ["AC001"]


def test_advice_is_for_the_chip(tmp_path: Path) -> None:
    text = 'init_process_group("nccl")\n'
    (finding,) = scanned(tmp_path, text, target=Destination("a chip", "npu")).findings
    assert "hccl" in finding.fix
    (finding,) = scanned(tmp_path, "x.cuda()\n", target=Destination("a chip", "xpu")).findings
    assert 'On a chip PyTorch\'s device is "xpu".' in finding.fix


def test_share_of_files_without_findings(tmp_path: Path) -> None:
    for name, text in {"a.py": "x.cuda()\n", "b.py": "x = 1\n", "c.py": "", "d.py": ""}.items():
        scanned(tmp_path, text, name)
    assert scan([tmp_path]).portable == 0.75


def test_deep_and_long_files_are_read(tmp_path: Path) -> None:
    assert codes(tmp_path, "x = " + "-" * 5000 + "y\nx.cuda()\n") in (["AC001"], ["AC101"])
    assert codes(tmp_path, "x = 1 " + "+ 1 " * 3000 + "\nx.cuda()\n") in (["AC001"], ["AC101"])
