"""Fixed files do the same with CUDA and on a CPU, and the mistakes of other such tools are not made."""

from __future__ import annotations

import ast
import inspect
import types
from pathlib import Path
from typing import Any

import pytest
from tests.migrate.reading import fixed, scanned

from anychip.migrate import scan
from anychip.migrate.device_class import helper_name, helper_text
from tools.migration import undoing

torch = pytest.importorskip("torch")

PROGRAM = '''\
"""Trains."""

import torch
from torch import nn

device = "cuda:0" if torch.cuda.is_available() else "cpu"  # the first one


def main(rank=0):
    model = nn.Linear(2, 2).cuda()
    x = torch.ones(2, 2, device="cuda").cuda(rank, non_blocking=True)
    y = x.to(f"cuda:{rank}")
    torch.cuda.synchronize()
    with torch.autocast("cuda", dtype=torch.float16):  # off on a CPU
        out = model(y)
    return torch.cuda.get_device_name(), out.dtype, torch.device("cuda").type
'''


def helper() -> Any:
    """The helper as a class."""
    space: dict[str, Any] = {"torch": torch}
    exec(helper_text("torch", "Accelerator"), space)
    return space["Accelerator"]


@pytest.fixture
def cuda(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """A CUDA device that is said to be there; what it was asked to wait for."""
    waited: list[Any] = []
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "synchronize", lambda *device: waited.append(device))
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda device=None: f"name of {device}")
    return waited


@pytest.fixture
def xpu(monkeypatch: pytest.MonkeyPatch) -> None:
    """Another accelerator that is said to be there."""
    monkeypatch.setattr(torch.accelerator, "is_available", lambda: True)
    monkeypatch.setattr(torch.accelerator, "current_accelerator", lambda *_: torch.device("xpu"))
    monkeypatch.setattr(torch.xpu, "is_available", lambda: True)
    monkeypatch.setattr(torch.xpu, "get_device_name", lambda device=None: f"name of {device}")


def test_with_cuda_the_helper_answers_what_torch_cuda_answers(cuda: list[Any]) -> None:
    ours = helper()
    assert ours.is_available() is True
    assert ours.module() is torch.cuda
    for name in ("cuda", "cuda:0", "cuda:3", "cpu", "mps:0"):
        assert ours.device(name) == name
    assert (ours.device(), ours.device(None), ours.device(2)) == ("cuda", "cuda", "cuda:2")
    assert ours.device(torch.device("cuda", 1)) == "cuda:1"
    assert ours.device(torch.tensor(1)) == "cuda:1"
    ours.synchronize()
    ours.synchronize(1)
    assert cuda == [(), ("cuda:1",)]
    assert ours.get_device_name() == "name of None"
    assert ours.get_device_name(1) == "name of cuda:1"


def test_on_a_cpu_the_helper_takes_the_cpu() -> None:
    """`torch.accelerator.current_accelerator()` is None there, and its synchronize() raises."""
    assert torch.accelerator.current_accelerator() is None
    ours = helper()
    assert ours.is_available() is False
    assert (ours.device("cuda:1"), ours.device(3), ours.device("cpu")) == ("cpu", "cpu", "cpu")
    assert ours.type() == "cuda"
    ours.synchronize()
    assert ours.get_device_name() == "cpu"


def test_on_another_accelerator_devices_have_its_name(xpu: None) -> None:
    ours = helper()
    assert ours.is_available() is True
    assert ours.module() is torch.xpu
    assert (ours.device("cuda:1"), ours.device(0), ours.device(), ours.device("cpu")) == (
        *("xpu:1", "xpu:0", "xpu"),
        "cpu",
    )
    assert ours.get_device_name(1) == "name of xpu:1"


def test_the_helper_works_with_versions_that_have_no_accelerator(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(torch, "accelerator")
    assert helper().device("cuda:0") == "cpu"


def test_a_fixed_program_runs_on_a_cpu(tmp_path: Path) -> None:
    module = types.ModuleType("fixed")
    exec(fixed(tmp_path, PROGRAM), vars(module))
    assert module.device == "cpu"
    assert module.main() == ("cpu", torch.float32, "cpu")


def test_nothing_but_the_helper_differs(tmp_path: Path) -> None:
    after = fixed(tmp_path, PROGRAM)
    assert undoing.after(after) == undoing.before(PROGRAM)
    lines = after.splitlines()
    assert all(line in lines for line in PROGRAM.splitlines() if "cuda" not in line)
    for comment in ("# the first one", "# off on a CPU", '"""Trains."""'):
        assert comment in after


def test_what_was_changed_otherwise_is_noticed(tmp_path: Path) -> None:
    after = fixed(tmp_path, PROGRAM)
    assert undoing.after(after.replace("rank=0", "rank=1")) != undoing.before(PROGRAM)
    assert undoing.after(after.replace('device("cuda:0")', 'device("cuda:1")')) != undoing.before(PROGRAM)


def test_a_fixed_file_has_no_findings_and_keeps_its_helper(tmp_path: Path) -> None:
    after = fixed(tmp_path, PROGRAM)
    assert scanned(tmp_path, after).findings == []
    assert fixed(tmp_path, after) == after
    again = fixed(tmp_path, after + "y.cuda()\n")
    assert again == after + "y.to(Accelerator.device())\n"


@pytest.mark.peers
def test_other_parsers_take_fixed_files(tmp_path: Path) -> None:
    libcst = pytest.importorskip("libcst")
    after = fixed(tmp_path, PROGRAM)
    assert libcst.parse_module(after).code == after


REWRITTEN = {
    "x.cuda()": "x.to(Accelerator.device())",
    "x.cuda(non_blocking=True)": "x.to(Accelerator.device(), non_blocking=True)",
    "x.cuda(device=d)": "x.to(device=Accelerator.device(d))",
    "x.cuda('cuda:1')": "x.to(Accelerator.device('cuda:1'))",
    "x.cuda((0))": "x.to((Accelerator.device(0)))",
    "f(x.cuda(), y.cuda(1))": "f(x.to(Accelerator.device()), y.to(Accelerator.device(1)))",
    "device = 'cuda:%d' % 1": "device = Accelerator.device('cuda:%d' % 1)",
    "device = 'cuda:' + str(1)": "device = Accelerator.device('cuda:' + str(1))",
    "device = 'cuda:{}'.format(1)": "device = Accelerator.device('cuda:{}'.format(1))",
    "torch.load(p, map_location='cuda')": "torch.load(p, map_location=Accelerator.device('cuda'))",
    "torch.cuda.synchronize('cuda:0')": "Accelerator.synchronize('cuda:0')",
    "later(torch.cuda.synchronize)": "later(Accelerator.synchronize)",
    "torch.amp.GradScaler('cuda')": "torch.amp.GradScaler(Accelerator.type())",
}


@pytest.mark.parametrize("before", REWRITTEN)
def test_rewritten(before: str, tmp_path: Path) -> None:
    after = fixed(tmp_path, f"import torch\n\n\n{before}  # kept\n")
    assert after.endswith(f"\n\n\n{REWRITTEN[before]}  # kept\n")


LEFT = {
    "the default of a parameter": "def f(device='cuda'): ...",
    "the default of an option": "parser.add_argument('--device', default='cuda')",
    "a field": "class A:\n    device: str = 'cuda'",
    "a decorator": "@torch.autocast('cuda')\ndef f(): ...",
    "a comparison": "if x.device.type == 'cuda': ...",
    "a table": "NAMES = {'cuda': 1}",
    "a list": "devices = ['cuda', 'cpu']",
    "a name for something else": "load('cuda')",
    "a storage": "torch.load(p, map_location=lambda storage, _: storage.cuda(0))",
    "the parent's method": "class A(B):\n    def f(self): return super().cuda()",
    "arguments that are not seen": "x.cuda(*where)",
    "what TorchScript compiles": "@torch.jit.script\ndef f(x): return x.cuda()",
    "what replaces a function": "torch.cuda.is_available = lambda: False",
    "more than is known": "x.cuda(0, True)",
}


@pytest.mark.parametrize("what", LEFT)
def test_left_as_it_is(what: str, tmp_path: Path) -> None:
    text = f"import torch\n\n\n{LEFT[what]}\n"
    assert fixed(tmp_path, text) == text
    assert scanned(tmp_path, text).findings


@pytest.mark.parametrize(
    "beside",
    [
        "def f(device='cuda:0'): ...",
        "devices = ['cuda:0', 'cuda:1']",
        "torch.cuda.set_device(0)",
        "s = torch.cuda.Stream()",
        "init_process_group('nccl')",
        "x.cuda(0, True)",
        "y = 'cuda:0'  # noqa: AC102",
    ],
)
def test_no_device_of_cuda_is_left_beside_a_test_for_any_accelerator(beside: str, tmp_path: Path) -> None:
    text = f"import torch\n\nif torch.cuda.is_available():\n    model.cuda()\n{beside}\n"
    file = scanned(tmp_path, text)
    assert file.plan is not None
    assert file.plan.fixed() == text.encode()
    assert "line 5" in file.plan.held_back
    assert {each.applies for each in file.findings if each.line < 5} == {"unsafe"}


def test_a_method_of_the_project_that_is_called_cuda_is_left(tmp_path: Path) -> None:
    scanned(tmp_path, "class Batch:\n    def cuda(self): ...\n", "batch.py")
    scanned(tmp_path, "import torch\nbatch.cuda()\n", "train.py")
    (file,) = [file for file in scan([tmp_path]).files if file.path.name == "train.py"]
    assert file.plan is not None
    assert file.plan.fixed() == file.source.data
    assert b"batch.to(" in file.plan.fixed(unsafe=True)


def test_a_library_keeps_its_default_device(tmp_path: Path) -> None:
    text = "import torch\n\n\ndef load(path, device='cuda:0'):\n    return torch.load(path).to(device)\n"
    after = fixed(tmp_path, text)
    module = types.ModuleType("library")
    exec(after, vars(module))
    assert inspect.signature(module.load).parameters["device"].default == "cuda:0"
    assert torch.get_default_device() == torch.device("cpu")
    everything = fixed(tmp_path, text, unsafe=True)
    assert "device=Accelerator.device('cuda:0')" in everything
    assert "set_default_device" not in everything


UNSAFE = {
    "def f(d='cuda'): ...": "def f(d=Accelerator.device('cuda')): ...",
    "if x.device.type == 'cuda': ...": "if x.device.type == Accelerator.type(): ...",
    "torch.cuda.empty_cache()": "Accelerator.module().empty_cache()",
    "torch.cuda.set_device(0)": "Accelerator.module().set_device(0)",
    "torch.cuda.amp.autocast(enabled=x)": "torch.amp.autocast(Accelerator.type(), enabled=x)",
    "torch.cuda.amp.GradScaler()": "torch.amp.GradScaler(Accelerator.type())",
}


@pytest.mark.parametrize("before", UNSAFE)
def test_unsafe_fixes(before: str, tmp_path: Path) -> None:
    text = f"import torch\n\n\n{before}\n"
    assert fixed(tmp_path, text) == text
    assert fixed(tmp_path, text, unsafe=True).endswith(f"\n\n\n{UNSAFE[before]}\n")


def test_where_the_helper_goes(tmp_path: Path) -> None:
    after = fixed(tmp_path, "import os\nimport torch as th\nfrom torch import nn\nx = 1\nx.cuda()\n")
    assert after.startswith("import os\nimport torch as th\nfrom torch import nn\n\n\nclass Accelerator:\n")
    assert "th.cuda.is_available()" in after
    assert after.endswith("\n\n\nx = 1\nx.to(Accelerator.device())\n")
    after = fixed(tmp_path, "from torch import nn\nnn.Linear(1, 1).cuda()\n")
    assert after.startswith("from torch import nn\nimport torch\n\n\nclass Accelerator:\n")
    exec(after, {})


@pytest.mark.parametrize(
    "text",
    [
        "try:\n    import torch\nexcept ImportError:\n    torch = None\nx.cuda()\n",
        "def f():\n    import torch\n    return torch.ones(1).cuda()\n",
        "x.cuda()\n",
        "from torch import nn\ntorch = 1\nx.cuda()\n",
    ],
)
def test_pytorch_is_not_imported_where_it_was_not(text: str, tmp_path: Path) -> None:
    assert fixed(tmp_path, text, unsafe=True) == text


def test_the_helper_takes_no_name_of_the_file(tmp_path: Path) -> None:
    after = fixed(tmp_path, "import torch\nfrom accelerate import Accelerator\nx.cuda()\n")
    name = helper_name("from accelerate import Accelerator")
    assert name is not None
    assert f"x.to({name}.device())" in after
    ast.parse(after)
