"""`triton.testing` and the decorators around kernels, as users write them: benchmarks with their reports,
comparisons, tuning with hooks and kept results, hooks before a launch, kernels compiled without a launch."""

from __future__ import annotations

import pytest
import torch
import triton
import triton.language as tl
from tests.triton_backend.kernels import add, add_kernel
from triton import knobs
from triton.compiler import ASTSource

from anychip.runtime import launches


@triton.jit
def double_into(x_ptr, out_ptr, n, BLOCK: tl.constexpr):
    offsets = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    mask = offsets < n
    value = tl.load(x_ptr + offsets, mask=mask)
    tl.store(x_ptr + offsets, value * 2, mask=mask)
    tl.atomic_add(out_ptr + offsets, value, mask=mask)


@pytest.mark.parametrize(
    ("options", "count"),
    [({"quantiles": [0.5, 0.2, 0.8]}, 3), ({"return_mode": "min"}, 1), ({"return_mode": "all"}, None)],
)
def test_times_of_a_function(options: dict, count: int | None) -> None:
    x = torch.rand(100, requires_grad=True)
    x.grad = torch.zeros(100)
    times = triton.testing.do_bench(
        lambda: add(x.detach(), x.detach()), warmup=1, rep=2, grad_to_none=[x], **options
    )
    times = times if isinstance(times, list) else [times]
    assert count in (None, len(times))
    assert all(time > 0 for time in times)
    assert x.grad is None


def test_reports_of_benchmarks(tmp_path) -> None:
    pytest.importorskip("matplotlib")
    pytest.importorskip("pandas")

    @triton.testing.perf_report(
        triton.testing.Benchmark(
            x_names=["n"],
            x_vals=[64, 128],
            line_arg="provider",
            line_vals=["triton", "torch"],
            line_names=["Triton", "PyTorch"],
            ylabel="ms",
            plot_name="addition",
            args={"factor": 2},
        )
    )
    def benchmark(n: int, provider: str, factor: int):
        x = torch.rand(factor * n)
        function = (lambda: add(x, x)) if provider == "triton" else (lambda: x + x)
        return triton.testing.do_bench(function, warmup=1, rep=1, quantiles=[0.5, 0.2, 0.8])

    frame = benchmark.run(return_df=True, save_path=str(tmp_path))
    assert list(frame["n"]) == [64, 128]
    assert (frame["Triton (ms)"] > 0).all()
    assert (tmp_path / "addition.csv").exists()


def test_comparisons() -> None:
    x = torch.rand(33)
    triton.testing.assert_close(add(x, x), 2 * x)
    with pytest.raises(AssertionError):
        triton.testing.assert_close(add(x, x), 2 * x + 1)


@pytest.mark.parametrize("options", [{"restore_value": ["x_ptr"], "reset_to_zero": ["out_ptr"]}, None])
def test_tuning_puts_back_what_trials_wrote(options: dict[str, list[str]] | None) -> None:
    """By the names of the arguments, or by the user's own hooks."""
    x, out = torch.rand(500), torch.zeros(500)
    expected, kept = x.clone(), []

    def before(arguments, reset_only=False) -> None:
        arguments["out_ptr"].zero_()
        if not reset_only:
            kept.append(arguments["x_ptr"].clone())

    def after(arguments, exception) -> None:
        assert exception is None
        arguments["x_ptr"].copy_(kept.pop())

    tuned = triton.autotune(
        [triton.Config({"BLOCK": block}, num_warps=warps) for block in (64, 128) for warps in (1, 2)],
        key=["n"],
        **(options or {"pre_hook": before, "post_hook": after}),
    )(double_into)
    tuned[lambda meta: (triton.cdiv(500, meta["BLOCK"]),)](x, out, 500)
    assert torch.equal(out, expected)
    assert torch.equal(x, 2 * expected)
    assert kept == []


def test_a_model_of_speed_chooses_what_is_tried() -> None:
    rules = {"perf_model": lambda **arguments: arguments["BLOCK"], "top_k": 1}
    tuned = triton.autotune(
        [triton.Config({"BLOCK": block}) for block in (256, 32, 64)], key=["n"], prune_configs_by=rules
    )(add_kernel)
    x, out = torch.rand(500), torch.empty(500)
    tuned[lambda meta: (triton.cdiv(500, meta["BLOCK"]),)](x, x, out, 500)
    assert tuned.best_config.kwargs["BLOCK"] == 32
    assert torch.equal(out, x + x)


def test_what_tuning_found_is_kept_on_disk(tmp_path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(knobs.cache, "dir", str(tmp_path))
    configs = [triton.Config({"BLOCK": block}) for block in (64, 128)]
    x, out = torch.rand(500), torch.empty(500)
    trials = []
    for _ in range(2):
        tuned = triton.autotune(configs, key=["n"], cache_results=True)(add_kernel)
        before = launches.count("add_kernel")
        tuned[lambda meta: (triton.cdiv(500, meta["BLOCK"]),)](x, x, out, 500)
        trials.append(launches.count("add_kernel") - before)
        assert torch.equal(out, x + x)
    assert trials[1] == 1


def test_a_hook_before_each_launch() -> None:
    @triton.jit
    def fill(out_ptr, BLOCK: tl.constexpr):
        tl.store(out_ptr + tl.arange(0, BLOCK), 3.0)

    seen = []
    fill.add_pre_run_hook(lambda out, BLOCK, **options: seen.append((out.numel(), BLOCK)))
    out = torch.empty(16)
    fill[(1,)](out, BLOCK=16)
    assert seen == [(16, 16)]
    assert out.eq(3).all()


def test_a_kernel_is_compiled_without_memory_and_launched_later() -> None:
    x, y = torch.rand(2, 60)
    out = torch.empty(60)
    from_types = add_kernel.warmup(torch.float32, torch.float32, torch.float32, 60, BLOCK=64, grid=(1,))
    signature = {"x_ptr": "*fp32", "y_ptr": "*fp32", "out_ptr": "*fp32", "n": "i32", "BLOCK": "constexpr"}
    from_source = triton.compile(ASTSource(fn=add_kernel, signature=signature, constexprs={"BLOCK": 64}))
    for compiled in (from_types, from_source):
        out.fill_(float("nan"))
        compiled[(1, 1, 1)](x, y, out, 60, 64)
        assert torch.equal(out, x + y)


def test_names_that_kernels_give_themselves() -> None:
    @triton.jit(
        repr=lambda specialization: f"fill_{specialization.constants['BLOCK']}", do_not_specialize=["n"]
    )
    def fill(out_ptr, n, BLOCK: tl.constexpr):
        offsets = tl.arange(0, BLOCK)
        tl.store(out_ptr + offsets, offsets, mask=offsets < n)

    out = torch.zeros(8, dtype=torch.int32)
    names = [fill[(1,)](out, n, BLOCK=8).name for n in (1, 5)]
    assert names == ["fill_8", "fill_8"]
    assert out.tolist() == [0, 1, 2, 3, 4, 0, 0, 0]
    assert len(fill.device_caches[-1][0]) == 1
