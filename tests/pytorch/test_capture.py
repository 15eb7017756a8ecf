"""Capture of functions that launch plain Triton kernels: replays equal the function's results."""

from __future__ import annotations

import gc
import threading
import weakref
from collections import OrderedDict

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.memory import least_growth
from tests.pytorch import kernels
from tests.pytorch.kernels import BLOCK, add, double_
from triton.tools.tensor_descriptor import TensorDescriptor

import anychip
from anychip.pytorch.errors import ProgramInputError
from anychip.runtime import launches, native
from anychip.runtime.errors import DeviceAssertion

N = 200
WEIGHT = torch.randn(N)


def chain(x):
    """((x + w) + x) + w through two temporaries."""
    return add(add(add(x, WEIGHT), x), WEIGHT)


def chain_reference(x):
    return ((x + WEIGHT) + x) + WEIGHT


def test_new_data_at_new_addresses():
    program = anychip.capture(chain, torch.randn(N))
    kept = [(x, program(x)) for x in torch.randn(5, N).unbind()]
    assert all(torch.equal(result, chain_reference(x)) for x, result in kept)


def test_a_replay_launches_the_recorded_kernels_and_no_python_runs():
    calls = []

    def counted(x):
        calls.append(1)
        return chain(x)

    program = anychip.capture(counted, torch.randn(N))
    before = launches.count("add_kernel")
    for _ in range(4):
        program(torch.randn(N))
    assert launches.count("add_kernel") == before + 12
    assert len(calls) == 1


def test_weights_are_followed_when_they_change_in_place():
    weight = torch.ones(N)
    program = anychip.capture(lambda x: add(x, weight), torch.zeros(N))
    weight.fill_(5)
    assert program(torch.zeros(N)).eq(5).all()


def test_weights_outlive_their_owner():
    def make():
        weight = torch.full((N,), 3.0)
        return anychip.capture(lambda x: add(x, weight), torch.zeros(N))

    program = make()
    gc.collect()
    torch.randn(100, N)
    assert program(torch.ones(N)).eq(4).all()


def test_examples_are_left_alone_and_may_go():
    x = torch.ones(N)
    program = anychip.capture(lambda x: double_(add(x, x)), x)
    assert x.eq(1).all()
    del x
    gc.collect()
    assert program(torch.ones(N)).eq(4).all()


def test_views_are_pointers_with_offsets():
    def halves(x):
        both = torch.empty(2 * N)
        add(x[0], x[1], out=both[N:])
        add(x[1], x[1], out=both[:N])
        return add(both[:N], both[N:])

    program = anychip.capture(halves, torch.randn(2, N))
    x = torch.randn(2, N)
    torch.testing.assert_close(program(x), x[1] * 2 + (x[0] + x[1]), rtol=0, atol=0)


@given(data=st.data())
@settings(max_examples=25, deadline=None)
def test_any_graph_of_additions(data):
    """Values are added in any order, in views of one buffer or of their own, in place or not."""
    size = BLOCK
    count = data.draw(st.integers(1, 12))
    plan = [
        (
            data.draw(st.integers(0, k)),
            data.draw(st.integers(0, k)),
            data.draw(st.sampled_from(["new", "view", "double"])),
        )
        for k in range(count)
    ]
    returned = sorted(data.draw(st.sets(st.integers(1, count), min_size=1, max_size=3)))

    def function(x):
        values = [x]
        for left, right, kind in plan:
            if kind == "view":
                values.append(add(values[left], values[right], out=torch.empty(3 * size)[size : 2 * size]))
            else:
                values.append(add(values[left], values[right]))
            if kind == "double":
                double_(values[-1])
        return [values[k] for k in returned]

    def reference(x):
        values = [x]
        for left, right, kind in plan:
            values.append((values[left] + values[right]) * (2 if kind == "double" else 1))
        return [values[k] for k in returned]

    program = anychip.capture(function, torch.randn(size))
    for seed in range(2):
        x = torch.randn(size, generator=torch.Generator().manual_seed(seed))
        for result, expected in zip(program(x), reference(x), strict=True):
            assert torch.equal(result, expected)


# ---- structure ------------------------------------------------------------------------------------


def test_structures_of_arguments_and_results_are_kept():
    def function(pair, *, scale, options):
        left, right = pair
        total = add(left, right)
        return OrderedDict(total=total, parts=(add(total, scale["by"]), None, 7), name=options)

    arguments = ((torch.ones(N), torch.ones(N)),)
    program = anychip.capture(function, *arguments, scale={"by": torch.ones(N)}, options="x")
    result = program((torch.full((N,), 2.0), torch.ones(N)), scale={"by": torch.ones(N)}, options="x")
    assert isinstance(result, OrderedDict)
    assert result["total"].eq(3).all()
    assert result["parts"][0].eq(4).all()
    assert result["parts"][1:] == (None, 7)
    assert result["name"] == "x"


def test_keywords_come_in_any_order():
    program = anychip.capture(lambda *, a, b: add(add(a, a), b), a=torch.ones(N), b=torch.ones(N))
    assert program(b=torch.full((N,), 5.0), a=torch.ones(N)).eq(7).all()
    nested = anychip.capture(lambda *, a, b: add(a[0], b), a=[torch.ones(N)], b=torch.ones(N))
    assert nested(b=torch.full((N,), 5.0), a=[torch.ones(N)]).eq(6).all()
    for wrong in ({"a": torch.ones(N)}, {"a": torch.ones(N), "c": torch.ones(N)}):
        with pytest.raises(ProgramInputError, match="structure"):
            program(**wrong)


def test_one_tensor_given_twice_is_two_inputs():
    x = torch.ones(N)
    program = anychip.capture(add, x, x)
    assert program(torch.full((N,), 5.0), torch.full((N,), 6.0)).eq(11).all()


def test_results_that_share_memory_still_do():
    def function(x):
        both = add(x, x)
        return both[: N // 2], both[N // 2 :], both

    program = anychip.capture(function, torch.randn(N))
    x = torch.randn(N)
    first, second, both = program(x)
    assert torch.equal(both, x + x)
    first.fill_(1)
    second.fill_(2)
    assert both.tolist() == [1.0] * (N // 2) + [2.0] * (N // 2)


def test_results_with_strides_offsets_and_other_dtypes():
    def function(x):
        total = add(x, x)
        return total.view(10, 20).t()[1:, ::2], total.view(torch.int32)[3:]

    program = anychip.capture(function, torch.randn(N))
    x = torch.randn(N)
    for _ in range(2):
        strided, bits = program(x)
        assert torch.equal(strided, (x + x).view(10, 20).t()[1:, ::2])
        assert strided.stride() == (1, 40)
        assert torch.equal(bits, (x + x).view(torch.int32)[3:])


def test_results_that_are_inputs_or_constants():
    program = anychip.capture(lambda x: (x, x.view(10, 20)[2:].t(), WEIGHT, add(x, x)), torch.randn(N))
    x = torch.randn(2 * N)[N // 2 : -(N // 2)]
    same, view, constant, total = program(x)
    assert same.data_ptr() == x.data_ptr()
    assert torch.equal(view, x.view(10, 20)[2:].t())
    assert view.untyped_storage().data_ptr() == x.untyped_storage().data_ptr()
    assert constant is WEIGHT
    assert torch.equal(total, x + x)


def test_empty_tensors_and_empty_grids():
    def function(x, nothing):
        out = torch.empty_like(nothing)
        kernels.add_kernel[(0,)](out, nothing, nothing, 0, BLOCK=BLOCK)
        return out, add(x, x)

    program = anychip.capture(function, torch.randn(N), torch.empty(0, 3))
    x = torch.randn(N)
    out, total = program(x, torch.empty(0, 3))
    assert out.shape == (0, 3)
    assert torch.equal(total, x + x)
    assert len(program.launches.launches) == 1


def test_a_function_without_launches():
    program = anychip.capture(lambda x: x.view(2, -1), torch.randn(N))
    x = torch.randn(N)
    assert torch.equal(program(x), x.view(2, -1))


# ---- inputs ---------------------------------------------------------------------------------------


def test_inputs_that_are_not_aligned():
    program = anychip.capture(chain, torch.randn(N))
    for shift in range(1, 5):
        x = torch.randn(N + shift)[shift:]
        assert torch.equal(program(x), chain_reference(x))


def test_inputs_with_gaps_and_repeats():
    def function(x):
        return add(x[0], x[1])

    program = anychip.capture(function, torch.randn(N).expand(2, N))
    x = torch.randn(N).expand(2, N)
    assert torch.equal(program(x), x[0] + x[1])
    program = anychip.capture(function, torch.randn(2, 3 * N)[:, N : 2 * N])
    x = torch.randn(2, 3 * N)[:, N : 2 * N]
    assert torch.equal(program(x), x[0] + x[1])


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: torch.randn(2, N + 1), r"argument 0: expected shape \[2, 200\], got \[2, 201\]"),
        (lambda: torch.randn(2, N).double(), r"argument 0: expected torch.float32, got torch.float64"),
        (lambda: torch.randn(N, 2).t(), r"argument 0: expected strides \[200, 1\], got \[1, 2\]"),
        (lambda: torch.randn(2, N, device="meta"), r"argument 0: .* on meta"),
        (lambda: [1, 2], r"argument 0: expected a tensor of shape \[2, 200\].*got list"),
        (lambda: 3, r"argument 0: expected a tensor of shape \[2, 200\].*got int"),
    ],
)
def test_wrong_inputs_are_refused(make, message):
    program = anychip.capture(lambda x: add(x[0], x[1]), torch.randn(2, N))
    with pytest.raises(ProgramInputError, match=message):
        program(make())


def test_strides_of_single_elements_do_not_matter():
    program = anychip.capture(lambda x: add(x[0], x[0]), torch.randn(1, N))
    x = torch.randn(N).as_strided((1, N), (7, 1))
    assert torch.equal(program(x), x[0] * 2)


def test_values_that_are_not_tensors_are_fixed():
    program = anychip.capture(lambda x, n: add(x, x) if n == 3 else None, torch.randn(N), 3)
    assert program(torch.ones(N), 3).eq(2).all()
    with pytest.raises(ProgramInputError, match="argument 1: expected 3, got 4"):
        program(torch.ones(N), 4)
    with pytest.raises(ProgramInputError, match=r"argument 1: expected 3, got 3\.0"):
        program(torch.ones(N), 3.0)
    with pytest.raises(ProgramInputError, match="structure"):
        program(torch.ones(N))


# ---- outputs given by the caller ------------------------------------------------------------------


def test_results_are_written_where_the_caller_wants():
    program = anychip.capture(lambda x: {"a": chain(x), "b": (add(x, x), None)}, torch.randn(N))
    x, a, b = torch.randn(N), torch.empty(N), torch.empty(N)
    for out in ([a, b], {"a": a, "b": (b, None)}):
        a.zero_(), b.zero_()
        result = program(x, out=out)
        assert result["a"] is a
        assert result["b"][0] is b
        assert torch.equal(a, chain_reference(x))
        assert torch.equal(b, x + x)


def test_out_may_lie_anywhere():
    program = anychip.capture(chain, torch.randn(N))
    x = torch.randn(N)
    expected = chain_reference(x)
    strided, shifted = torch.zeros(2 * N)[::2], torch.zeros(N + 1)[1:]
    for out in (strided, shifted):
        assert program(x, out=out) is out
        assert torch.equal(out, expected)
    own = x.clone()
    program(own, out=own)
    assert torch.equal(own, expected)
    wide = torch.cat([torch.zeros(4), x])
    program(wide[4:], out=wide[:N])
    assert torch.equal(wide[:N], expected)


def test_one_out_for_two_results_is_written_in_order():
    program = anychip.capture(lambda x: (add(x, x), add(x, WEIGHT)), torch.randn(N))
    x, out = torch.randn(N), torch.empty(N)
    program(x, out=[out, out])
    assert torch.equal(out, x + WEIGHT)


def test_out_for_results_that_are_inputs_constants_or_views():
    program = anychip.capture(lambda x: (x, WEIGHT, add(x, x)[10:20]), torch.randn(N))
    x = torch.randn(N)
    out = [torch.empty(N), torch.empty(N), torch.empty(10)]
    program(x, out=out)
    assert torch.equal(out[0], x)
    assert torch.equal(out[1], WEIGHT)
    assert torch.equal(out[2], (x + x)[10:20])


def test_wrong_out_is_refused():
    program = anychip.capture(chain, torch.randn(N))
    with pytest.raises(ProgramInputError, match="out holds 2 tensors, the result 1"):
        program(torch.randn(N), out=[torch.empty(N)] * 2)
    with pytest.raises(ProgramInputError, match=r"shape \[200\], torch.float32, got \[201\]"):
        program(torch.randn(N), out=torch.empty(N + 1))
    with pytest.raises(ProgramInputError, match=r"torch\.float64"):
        program(torch.randn(N), out=torch.empty(N, dtype=torch.float64))


# ---- what kernels do ------------------------------------------------------------------------------


def test_autotuning_is_not_recorded():
    def function(x):
        out = torch.empty_like(x)
        kernels.tuned_add[lambda meta: (-(-N // meta["BLOCK"]),)](out, x, x, N)
        return out

    program = anychip.capture(function, torch.randn(N))
    assert len(program.launches.launches) == 1
    x = torch.randn(N)
    assert torch.equal(program(x), x + x)


def test_a_seed_in_a_tensor_is_an_input():
    def noise(seed):
        out = torch.empty(N)
        kernels.random_from_seed[(4,)](out, seed, N, BLOCK=BLOCK)
        return out

    program = anychip.capture(noise, torch.tensor([1]))
    first, second = program(torch.tensor([2])), program(torch.tensor([3]))
    assert not torch.equal(first, second)
    assert torch.equal(first, noise(torch.tensor([2])))


def test_assertions_in_kernels_fail_at_a_replay():
    def function(x):
        out = torch.empty_like(x)
        kernels.positive_only[(4,)](out, x, N, BLOCK=BLOCK, debug=True)
        return out

    program = anychip.capture(function, torch.ones(N))
    bad = torch.ones(N)
    bad[100] = -1
    with pytest.raises(DeviceAssertion, match="every value is positive") as raised:
        program(bad)
    assert raised.value.program_id == (1, 0, 0)
    assert program(torch.ones(N)).eq(1).all()


def test_tensor_descriptors():
    def function(x):
        out = torch.empty_like(x)
        source, target = (TensorDescriptor.from_tensor(t, [8, 16]) for t in (x, out))
        kernels.scale_by_descriptor[(3,)](source, target, M=8, N=16)
        return out

    program = anychip.capture(function, torch.randn(24, 16))
    x = torch.randn(24, 16)
    assert torch.equal(program(x), x * 3)


# ---- memory, threads ------------------------------------------------------------------------------


def test_temporaries_of_the_capture_are_given_back():
    alive = []

    def function(x):
        temporary = add(x, x)
        alive.append(weakref.ref(temporary))
        return add(temporary, x)

    program = anychip.capture(function, torch.ones(N))
    gc.collect()
    assert alive[0]() is None
    assert program(torch.ones(N)).eq(3).all()


def replay_without_growth(times: int) -> None:
    program = anychip.capture(chain, torch.randn(N))
    x, out = torch.randn(N), torch.empty(N)

    def replay(number: int) -> None:
        for _ in range(number):
            program(x, out=out)
            program(x)

    replay(200)
    scratch = native.state().state.arena_bytes
    assert least_growth(lambda: replay(times // 5)) < times // 5 * 100
    assert native.state().state.arena_bytes == scratch


@pytest.mark.slow
def test_ten_thousand_replays_leak_nothing():
    replay_without_growth(10_000)


@pytest.mark.slow
def test_a_million_replays_leak_nothing():
    replay_without_growth(1_000_000)


def test_threads_call_one_program_at_once():
    program = anychip.capture(chain, torch.randn(N))
    wrong = []

    def work(seed: int) -> None:
        generator = torch.Generator().manual_seed(seed)
        for _ in range(100):
            x = torch.randn(N, generator=generator)
            if not torch.equal(program(x), chain_reference(x)):
                wrong.append(seed)

    threads = [threading.Thread(target=work, args=(seed,)) for seed in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong


def test_launches_of_other_threads_are_not_recorded():
    x = torch.randn(N)
    add(x, x)

    def function(x):
        other = threading.Thread(target=lambda: kernels.add_kernel[(4,)](noise, noise, noise, N, BLOCK=BLOCK))
        other.start()
        other.join()
        return add(x, x)

    noise = torch.zeros(N)
    assert len(anychip.capture(function, x).launches.launches) == 1


# ---- reports --------------------------------------------------------------------------------------


def test_a_program_describes_itself():
    program = anychip.capture(chain, torch.randn(N))
    report = program.report()
    assert report["name"] == "chain"
    assert report["launches"] == 3
    assert report["weight_bytes"] == report["input_bytes"] == report["output_bytes"] == 4 * N
    assert report["temporary_bytes"] == 2 * 4 * N
    assert report["arena_bytes"] == 2 * 832
    assert report["moved_bytes"] == 3 * 3 * 4 * N
    (row,) = report["kernels"]
    assert (row["kernel"], row["launches"], row["programs"], row["flops"]) == ("add_kernel", 3, 12, 12 * 64)
    assert report["flops"] == 12 * 64
    text = str(program)
    assert "Program chain: 3 launches" in text
    assert "add_kernel" in text
    assert "1.7 kB" in text
    assert "768 flop" in text


def test_every_launch_keeps_what_export_needs():
    program = anychip.capture(chain, torch.randn(N))
    for launch in program.launches.launches:
        assert "tt.func public @add_kernel" in launch.origin.ttir()
        assert launch.origin.signature["out"] == "*fp32"
