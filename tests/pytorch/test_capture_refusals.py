"""What cannot be a Program is refused, with the operator or kernel, the reason, and what to do."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from tests.pytorch import kernels
from tests.pytorch.kernels import BLOCK, add, double_

import anychip
from anychip.pytorch.errors import CaptureError
from anychip.pytorch.policy import policy
from anychip.runtime import launches

N = 200
CONSTANT = torch.ones(N)


def through_numpy(x):
    return add(x, torch.from_numpy(np.sort(add(x, x).numpy())))


def read_uninitialised(x):
    return add(x, torch.empty(N))


class Address:
    """Memory that is no tensor, as other libraries pass it."""

    dtype = torch.float32

    def __init__(self, address: int):
        self.address = address

    def data_ptr(self) -> int:
        return self.address


def by_address(x):
    out = torch.empty(N)
    kernels.add_kernel[(4,)](out, Address(x.data_ptr()), x, N, BLOCK=BLOCK)
    return out


def by_table_of_addresses(x):
    out = torch.empty(N)
    kernels.add_from_addresses[(4,)](out, torch.tensor([x.data_ptr()]), N, BLOCK=BLOCK)
    return out


def write_python_values(x):
    return add(x, double_(torch.tensor([1.0] * N)))


def branch_on_values(x):
    return add(x, x) if (x > 0).any() else x


def dropout_in_training(x):
    return torch.nn.functional.dropout(x, 0.5, training=True)


REFUSED: dict[str, tuple[Callable[[Any], Any], str]] = {
    "item": (lambda x: add(x, x)[0].item(), "item hands values of a tensor computed"),
    "input item": (lambda x: x[0].item(), "values of the input argument 0"),
    "branch": (branch_on_values, "values of a tensor computed from the inputs to Python"),
    "tolist": (lambda x: add(x, x).tolist(), "Tensor.tolist hands values"),
    "numpy": (through_numpy, "Tensor.numpy hands values"),
    "array": (lambda x: np.asarray(x), "hands values of the input argument 0"),
    "input written by a kernel": (double_, "kernel double_in_place writes the input argument 0"),
    "input written by an operator": (lambda x: x.add_(1), r"add_.*writes the input argument 0"),
    "view of an input written": (lambda x: double_(x[10:20]), "writes the input argument 0"),
    "constant written": (
        lambda x: add(x, x, out=CONSTANT),
        "writes a tensor that existed before the capture",
    ),
    "python values written": (write_python_values, "writes a tensor made of Python values"),
    "input resized": (lambda x: add(x, x) if x.resize_(10, 20) is x else x, "changed in place"),
    "uninitialised": (read_uninitialised, "no recorded launch has written"),
    "uninitialised result": (lambda x: torch.empty(3), "was written by no recorded launch"),
    "address": (by_address, "was given the address"),
    "addresses in memory": (by_table_of_addresses, "makes addresses from integers"),
    "random": (lambda x: torch.rand(N), r"rand.*draws random numbers"),
    "dropout": (dropout_in_training, "draws random numbers"),
    "PyTorch computes": (
        lambda x: torch.logcumsumexp(torch.complex(x, x), 0).real,
        r"PyTorch itself would compute aten::\w+",
    ),
    "sparse": (lambda x: x.to_sparse(), "PyTorch itself would compute|sparse|hands values"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_refused(case):
    function, message = REFUSED[case]
    x = torch.linspace(-1, 1, N)
    before = x.clone()
    with pytest.raises(CaptureError, match=message):
        anychip.capture(function, x)
    assert torch.equal(x, before)
    assert CONSTANT.eq(1).all()


def test_after_a_refusal_all_is_as_before():
    with pytest.raises(CaptureError, match="item"):
        anychip.capture(lambda x: x.sum().item(), torch.ones(N))
    assert policy() is None
    assert not launches.is_recording()
    assert not torch.compiler.is_compiling()
    assert torch.ones(3).sum().item() == 3
    assert anychip.capture(lambda x: add(x, x), torch.ones(N))(torch.ones(N)).eq(2).all()


def test_errors_of_the_function_come_through():
    with pytest.raises(KeyError, match="mine"):
        anychip.capture(lambda x: {}["mine"], torch.ones(N))


def test_the_policy_in_force_comes_back():
    with anychip.using("portable", exclude=["softmax"]):
        inside = policy()
        anychip.capture(lambda x: add(x, x), torch.ones(N))
        assert policy() == inside


def test_a_capture_inside_a_capture():
    inner = anychip.capture(lambda x: add(x, x), torch.ones(N))
    with pytest.raises(CaptureError, match="captured inside another capture"):
        anychip.capture(lambda x: anychip.capture(double_, x), torch.ones(N))
    with pytest.raises(CaptureError, match="called while another Program is captured"):
        anychip.capture(lambda x: inner(x), torch.ones(N))


def test_captures_of_two_threads_wait_for_each_other():
    programs = []

    def work() -> None:
        programs.append(anychip.capture(lambda x: add(add(x, x), x), torch.ones(N)))

    threads = [threading.Thread(target=work) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [len(program.launches.launches) for program in programs] == [2, 2, 2]
    assert all(program(torch.ones(N)).eq(3).all() for program in programs)


def test_arguments_that_are_no_tensors_and_no_values():
    with pytest.raises(CaptureError, match="argument 0 is a ndarray; pass a tensor"):
        anychip.capture(lambda x: x, np.ones(3))
    with pytest.raises(CaptureError, match=r"argument 0 is a torch\.sparse_coo tensor"):
        anychip.capture(lambda x: x, torch.ones(3).to_sparse())
    with pytest.raises(CaptureError, match=r"argument 0 is a torch\.strided tensor on meta"):
        anychip.capture(lambda x: x, torch.ones(3, device="meta"))
    with pytest.raises(CaptureError, match="`out`"):
        anychip.capture(lambda x, out: add(x, x, out), torch.ones(N), out=torch.ones(N))


def test_constants_may_be_read_by_python():
    def function(x):
        scale = torch.tensor([3, 4])
        return add(x, x)[: scale[0].item() + scale.tolist()[1] + int(CONSTANT[0])]

    program = anychip.capture(function, torch.ones(N))
    assert program(torch.ones(N)).tolist() == [2.0] * 8
