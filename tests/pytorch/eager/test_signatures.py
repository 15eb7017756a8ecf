"""What a call's signature holds: each test records a signature, flips one fact about the call, and compares
with PyTorch on its own. A call that natively did what was recorded would give the result for the other
fact."""

from __future__ import annotations

import itertools
import os
import threading
from typing import Any

import pytest
import torch
import triton
from tests.pytorch.eager.calling import RECORDED_AFTER, agree, native_calls, own, record, site

import anychip
from anychip.ops.launching import launch_counts, launch_options, launching, set_for_process
from anychip.pytorch import using
from anychip.pytorch.eager import sites
from anychip.pytorch.errors import FallThroughError
from anychip.pytorch.policy import disabled
from anychip.runtime import launches
from anychip.runtime.errors import DeviceAssertion

pytestmark = pytest.mark.usefixtures("recording_anew")

# ---- tensors ----------------------------------------------------------------------------------------


def test_values_may_change() -> None:
    x, y = torch.randn(4, 5), torch.randn(4, 5)
    record(lambda: x * y, "mul.Tensor")
    x, y = torch.randn(4, 5), torch.randn(4, 5)
    before = native_calls("mul.Tensor")
    agree(lambda: x * y)
    assert native_calls("mul.Tensor") == before + 1


@pytest.mark.parametrize(
    "other",
    [
        torch.randn(5, 4),
        torch.randn(5, 4).T,
        torch.randn(4, 10)[:, ::2],
        torch.randn(4, 5, dtype=torch.float64),
        torch.arange(20).reshape(4, 5),
        torch.randn(1, 5),
        torch.randn(21)[1:].reshape(4, 5),
        torch.randn(0, 5),
        torch.randn(()),
    ],
    ids=["sizes", "strides", "steps", "dtype", "integers", "row", "alignment", "empty", "no dimensions"],
)
def test_another_layout_or_type(other: torch.Tensor) -> None:
    x = torch.randn(4, 5)
    record(lambda: torch.neg(x), "neg")
    agree(lambda: torch.neg(other))
    record(lambda: torch.neg(other), "neg") if other.numel() else None
    agree(lambda: torch.neg(other))
    agree(lambda: torch.neg(x))


def test_lazy_conjugation_and_sign() -> None:
    z, target = torch.randn(6, dtype=torch.complex64), torch.empty(6, dtype=torch.complex64)
    for _ in range(RECORDED_AFTER + 1):
        target.copy_(z)
    assert torch.equal(target.copy_(z.conj()).imag.resolve_neg(), -z.imag)
    part, real = z.imag, torch.empty(6)
    for _ in range(RECORDED_AFTER + 1):
        real.copy_(part)
    assert z.conj().imag.is_neg()
    torch.testing.assert_close(real.copy_(z.conj().imag), -part, rtol=0, atol=0)
    torch.testing.assert_close(torch.exp(z.conj().imag), torch.exp(-part))
    plain = torch.randn(6)
    record(lambda: torch.exp(plain), "exp")
    torch.testing.assert_close(torch.exp(z.conj().imag), torch.exp((-part).contiguous()))


def test_gradients() -> None:
    x = torch.randn(4, 5)
    record(lambda: torch.tanh(x), "tanh")
    assert torch.tanh(x).grad_fn is None
    leaf = x.clone().requires_grad_()
    result = torch.tanh(leaf)
    assert result.grad_fn is not None
    result.sum().backward()
    torch.testing.assert_close(leaf.grad, own(lambda: 1 - x.tanh() ** 2))
    assert torch.tanh(x).grad_fn is None
    with torch.no_grad():
        assert torch.tanh(leaf).grad_fn is None


def test_versions_of_tensors_changed_in_place() -> None:
    x, y = torch.randn(4, 5), torch.randn(4, 5)
    record(lambda: x.add_(y), "add_.Tensor")
    before = x._version
    x.add_(y)
    assert x._version == before + 1
    leaf = torch.randn(4, 5, requires_grad=True)
    saved = leaf * 2
    product = saved * saved
    saved.add_(y)
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        product.sum().backward()


def test_inference_mode() -> None:
    x = torch.randn(4, 5)
    record(lambda: torch.tanh(x), "tanh")
    with torch.inference_mode():
        assert torch.tanh(x).is_inference()
        agree(lambda: torch.tanh(x))
    assert not torch.tanh(x).is_inference()


def test_autocast() -> None:
    x, y = torch.randn(4, 4), torch.randn(4, 4)
    record(lambda: torch.mm(x, y), "mm")
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert torch.mm(x, y).dtype == torch.bfloat16
        agree(lambda: torch.mm(x, y))
    assert torch.mm(x, y).dtype == torch.float32


def test_functorch_levels() -> None:
    x = torch.randn(4, 5)
    record(lambda: torch.sin(x), "sin")
    agree(lambda: torch.func.vmap(torch.sin)(x))
    agree(lambda: torch.func.vmap(torch.func.grad(torch.sin))(x[:, 0]))
    agree(lambda: torch.func.jvp(torch.sin, (x,), (torch.ones_like(x),)))
    agree(lambda: torch.func.functionalize(lambda t: t.clone().add_(t))(x))


class Wrapped(torch.Tensor):
    """A subclass that counts what PyTorch dispatches to it."""

    seen = 0

    @classmethod
    def __torch_dispatch__(cls, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        cls.seen += 1
        with torch._C._DisableTorchDispatch():
            return func(*args, **(kwargs or {})) + 1


def test_subclasses() -> None:
    x = torch.randn(4, 5)
    record(lambda: torch.cos(x), "cos")
    before = native_calls("cos")
    wrapped = x.as_subclass(Wrapped)
    torch.testing.assert_close(torch.cos(wrapped), own(lambda: torch.cos(x) + 1))
    assert Wrapped.seen == 1
    parameter = torch.nn.Parameter(x)
    agree(lambda: torch.cos(parameter))
    assert native_calls("cos") > before

    class Named(torch.Tensor):
        """A subclass of which results are, too."""

    assert type(torch.cos(x.as_subclass(Named))) is Named


def test_modes_of_pytorch_see_calls() -> None:
    from torch.utils._python_dispatch import TorchDispatchMode

    class Seen(TorchDispatchMode):
        names: list[str]

        def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
            self.names.append(func.name())
            return func(*args, **(kwargs or {}))

    x = torch.randn(4, 5)
    record(lambda: torch.cos(x), "cos")
    with Seen() as mode:
        mode.names = []
        agree_result = torch.cos(x)
    assert mode.names == ["aten::cos"]
    torch.testing.assert_close(agree_result, own(lambda: torch.cos(x)))


# ---- memory that tensors share ----------------------------------------------------------------------


def test_tensors_that_overlap() -> None:
    x, y = torch.randn(8), torch.randn(7)
    part = x[1:]
    record(lambda: part.add_(y), "add_.Tensor")
    with pytest.raises(RuntimeError, match="single memory location"):
        x[1:].add_(x[:-1])
    agree(lambda: x.clone()[1:].add_(y))


def test_one_tensor_twice() -> None:
    x, y = torch.randn(6), torch.randn(6)
    record(lambda: torch.add(x, y), "add.Tensor")
    agree(lambda: torch.add(x, x))
    z, values = torch.randn(6), torch.randn(6)
    z.add_(values), z.add_(values), z.add_(values), z.add_(values)
    before = z.clone()
    assert torch.equal(z.add_(z), own(lambda: before * 2))


def test_results_given_by_the_caller() -> None:
    x, y, out = torch.randn(6), torch.randn(6), torch.empty(6)
    record(lambda: torch.add(x, y, out=out), "add.out")
    assert torch.add(x, y, out=out) is out
    torch.testing.assert_close(out, own(lambda: x + y))
    larger = torch.add(x, y, out=torch.empty(0))
    torch.testing.assert_close(larger, own(lambda: x + y))
    total = x.clone()
    torch.add(total, y, out=total)
    torch.testing.assert_close(total, own(lambda: x + y))
    with pytest.raises(RuntimeError, match="single memory location"):
        torch.add(x, y, out=torch.empty(1).expand(6))


def test_views_of_one_tensor() -> None:
    both = torch.randn(2, 6)
    first, second = both
    record(lambda: torch.mul(first, second), "mul.Tensor")
    agree(lambda: torch.mul(second, first))
    agree(lambda: torch.mul(first, first))
    others = torch.randn(2, 6)
    agree(lambda: torch.mul(*others))


# ---- numbers and other arguments --------------------------------------------------------------------


@pytest.mark.parametrize("number", [2.5, -0.0, float("nan"), 3, 1, True, 1 << 40])
def test_another_number(number: Any) -> None:
    x = torch.randn(4, 5)
    record(lambda: torch.mul(x, 1.5), "mul.Tensor")
    torch.testing.assert_close(
        torch.mul(x, number), own(lambda: torch.mul(x, number)), equal_nan=True, rtol=0, atol=0
    )


def test_an_argument_by_name() -> None:
    x, y = torch.randn(4, 5), torch.randn(4, 5)
    record(lambda: torch.add(x, y, alpha=2), "add.Tensor")
    agree(lambda: torch.add(x, y, alpha=3))
    agree(lambda: torch.add(x, y))
    gelu = torch.nn.functional.gelu
    record(lambda: gelu(x), "gelu")
    agree(lambda: gelu(x, approximate="tanh"))


def test_types_that_are_asked_for() -> None:
    x = torch.randn(4, 5)
    record(lambda: torch.sum(x, 0), "sum.dim_IntList")
    agree(lambda: torch.sum(x, 1))
    agree(lambda: torch.sum(x, 0, dtype=torch.float64))
    agree(lambda: torch.sum(x, 0, keepdim=True))


def test_lists_of_tensors() -> None:
    x, y = torch.randn(4, 5), torch.randn(4, 5)
    record(lambda: torch.cat([x, y]), "cat")
    agree(lambda: torch.cat([y, x, y]))
    agree(lambda: torch.cat([x, y], 1))
    agree(lambda: torch.cat([y, x]))


# ---- what cannot be recorded ------------------------------------------------------------------------


def test_shapes_that_depend_on_values() -> None:
    x = torch.tensor([0.0, 1.0, 0.0, 2.0])
    for _ in range(RECORDED_AFTER + 2):
        assert torch.nonzero(x).shape == (2, 1)
    x[0] = 5.0
    assert torch.nonzero(x).shape == (3, 1)
    assert native_calls("nonzero") == 0


def test_random_numbers_go_on() -> None:
    x = torch.ones(64)
    drawn = [torch.bernoulli(x, 0.5) for _ in range(RECORDED_AFTER + 3)]
    assert all(not torch.equal(a, b) for a, b in itertools.pairwise(drawn))
    dropped = [torch.nn.functional.dropout(x, 0.5) for _ in range(RECORDED_AFTER + 3)]
    assert all(not torch.equal(a, b) for a, b in itertools.pairwise(dropped))


def test_the_default_type() -> None:
    x = torch.arange(6)
    for _ in range(RECORDED_AFTER + 1):
        assert torch.true_divide(x, 2).dtype == torch.float32
    torch.set_default_dtype(torch.float64)
    try:
        own_type = own(lambda: torch.true_divide(x, 2)).dtype
        assert torch.true_divide(x, 2).dtype == own_type == torch.float64
    finally:
        torch.set_default_dtype(torch.float32)


# ---- surroundings -----------------------------------------------------------------------------------


def test_counts_go_on() -> None:
    x = torch.randn(4, 5)
    anychip.report(reset=True)
    before = launch_counts["flat_kernel[sqrt]"]
    for _ in range(10):
        torch.sqrt(x)
    assert native_calls("sqrt") >= 6
    (row,) = anychip.report().served
    assert (row.overload, row.calls, row.kernels) == ("sqrt", 10, (("flat_kernel[sqrt]", 10),))
    assert row.milliseconds > 0
    assert launch_counts["flat_kernel[sqrt]"] == before + 10
    anychip.report(reset=True)
    torch.sqrt(x)
    (row,) = anychip.report().served
    assert row.calls == 1


def test_options_of_a_context() -> None:
    x = torch.rand(64, 64)
    record(lambda: torch.sqrt(x), "sqrt")
    before = native_calls("sqrt")
    with launching(tile_class="simt"):
        agree(lambda: torch.sqrt(x))
        assert native_calls("sqrt") == before
    agree(lambda: torch.sqrt(x))
    assert native_calls("sqrt") == before + 1


def test_plans_that_are_made_anew() -> None:
    x = torch.rand(64, 64)
    record(lambda: torch.sqrt(x), "sqrt")
    before = launch_options().tile_class
    set_for_process(tile_class="simt" if before != "simt" else "simd")
    try:
        assert native_calls("sqrt") == 0
        agree(lambda: torch.sqrt(x))
        assert native_calls("sqrt") == 0
    finally:
        set_for_process(tile_class=before)
    record(lambda: torch.sqrt(x), "sqrt")


def test_a_forked_child_goes_on() -> None:
    x = torch.rand(4, 5)
    record(lambda: torch.sqrt(x), "sqrt")
    wanted = torch.sqrt(x)
    child = os.fork()
    if not child:
        os._exit(0 if torch.equal(torch.sqrt(x), wanted) else 1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0


def test_number_of_threads() -> None:
    x = torch.randn(64, 64)
    record(lambda: torch.sum(x, 0), "sum.dim_IntList")
    before, threads = native_calls("sum.dim_IntList"), torch.get_num_threads()
    torch.set_num_threads(threads + 1)
    try:
        agree(lambda: torch.sum(x, 0))
        assert native_calls("sum.dim_IntList") == before
    finally:
        torch.set_num_threads(threads)


def test_listeners_and_hooks_are_told() -> None:
    x = torch.randn(4, 5)
    record(lambda: torch.sqrt(x), "sqrt")
    with launches.record() as seen:
        torch.sqrt(x)
    assert len(seen) == 1
    told: list[Any] = []
    triton.knobs.runtime.launch_enter_hook.add(told.append)
    try:
        torch.sqrt(x)
    finally:
        triton.knobs.runtime.launch_enter_hook.remove(told.append)
    assert len(told) == 1


def test_a_capture_records_the_launches() -> None:
    x = torch.randn(4, 5)
    record(lambda: torch.sqrt(x), "sqrt")
    program = anychip.capture(torch.sqrt, x)
    assert program.report()["launches"] == 1


def test_policies() -> None:
    x = torch.rand(4, 5)
    record(lambda: torch.sqrt(x), "sqrt")
    before = native_calls("sqrt")
    with disabled():
        torch.sqrt(x)
    assert native_calls("sqrt") == before
    with using("strict", exclude=["sqrt"]), pytest.raises(FallThroughError):
        torch.sqrt(x)
    with using("portable", only=["sqrt"]):
        record(lambda: torch.sqrt(x), "sqrt")
        agree(lambda: torch.sqrt(x))


def test_failed_assertions() -> None:
    weights, numbers = torch.randn(4, 5), torch.tensor([0, 3])
    record(lambda: torch.nn.functional.embedding(numbers, weights), "embedding")
    numbers[1] = 7
    with pytest.raises((DeviceAssertion, IndexError)):
        torch.nn.functional.embedding(numbers, weights)
    numbers[1] = 2
    agree(lambda: torch.nn.functional.embedding(numbers, weights))


def test_several_threads() -> None:
    faults: list[str] = []

    def work(number: int) -> None:
        x = torch.full((number + 2, 5), float(number + 1))
        for _ in range(200):
            if not bool((torch.sqrt(x * x) == number + 1).all()):
                faults.append(f"thread {number}")

    threads = [threading.Thread(target=work, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not faults


def test_memory_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sites, "RECORDS_KEPT", 8)
    x = torch.randn(4)
    for number in range(20):
        for _ in range(RECORDED_AFTER + 1):
            wanted = torch.tensor([value * number for value in x.tolist()])
            torch.testing.assert_close(torch.mul(x, number), wanted)
    shared = sites.world()
    assert shared is not None
    assert all(len(each._seen) <= 8 for each in shared.sites)


def test_missing_symbols_leave_calls_to_python(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sites, "world", lambda: None)
    function = {"relu": torch.relu}
    assert sites.natively(function) == function


def test_numbers_that_are_others_each_time_are_recorded_seldom() -> None:
    x = torch.randn(4)
    for number in range(60):
        for _ in range(RECORDED_AFTER):
            torch.mul(x, 0.1 + number)
    assert 0 < site("mul.Tensor").served < 30


def test_running_statistics_that_the_schema_does_not_name_as_written() -> None:
    x, module = torch.randn(8, 4), torch.nn.BatchNorm1d(4)
    theirs = torch.nn.BatchNorm1d(4)
    for _ in range(RECORDED_AFTER + 1):
        module(x)
        own(lambda: theirs(x))
    got, wanted = module(x), own(lambda: theirs(x))
    assert native_calls("native_batch_norm") >= 1
    torch.testing.assert_close(got, wanted)
    torch.testing.assert_close(module.running_mean, theirs.running_mean)
    torch.testing.assert_close(module.running_var, theirs.running_var)
