"""Autotuned kernels written for GPUs: configurations that are equal here are tried once, few are tried at
all, and the result is right. Compilations are counted; nothing is timed."""

import math
from types import SimpleNamespace
from typing import Any

import pytest
import torch
import triton
import triton.language as tl
from triton import Config, knobs
from triton.errors import TritonError

from anychip.compiler import pipeline
from anychip.triton_backend import autotuning, choosing, compiler, timing

N = 5000
GRID = lambda meta: (triton.cdiv(N, meta["BLOCK"]),)  # noqa: E731


@pytest.fixture
def compiled(tmp_path, monkeypatch):
    """The block sizes of the kernels that were compiled, in order; the cache on disk starts empty."""
    sizes = []
    compile_ttir = pipeline.compile_ttir

    def counted(text, *arguments, **options):
        sizes.append(max(int(word.split("x")[0]) for word in text.split("tensor<")[1:]))
        return compile_ttir(text, *arguments, **options)

    monkeypatch.setattr(pipeline, "compile_ttir", counted)
    monkeypatch.setattr(compiler, "compiler_fingerprint", lambda: "the same while sources are edited")
    monkeypatch.setattr(knobs.cache, "dir", str(tmp_path / "kernels"))
    monkeypatch.delenv(autotuning.TRIALS_VARIABLE, raising=False)
    return sizes


def scale_kernel():
    """A kernel that no other test has compiled."""

    @triton.jit
    def scale(x_ptr, out_ptr, n, BLOCK: tl.constexpr):
        offsets = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
        mask = offsets < n
        tl.store(out_ptr + offsets, tl.load(x_ptr + offsets, mask=mask) * 3, mask=mask)

    return scale


def run(tuned) -> None:
    x, out = torch.rand(N), torch.full((N,), float("nan"))
    tuned[GRID](x, out, N)
    assert torch.equal(out, x * 3)


def gpu_configs(*blocks: int) -> list[Config]:
    return [
        Config({"BLOCK": block, "waves_per_eu": waves}, num_warps=warps, num_stages=stages, maxnreg=registers)
        for block in blocks
        for waves in (0, 2)
        for warps in (2, 4, 8)
        for stages in (1, 3)
        for registers in (None, 128)
    ]


def test_configurations_that_differ_in_gpu_options_alone_are_one(compiled):
    tuned = triton.autotune(gpu_configs(256), ["n"])(scale_kernel())
    run(tuned)
    run(tuned)
    assert compiled == [256]


def test_few_of_many_tiles_are_compiled(compiled):
    tuned = triton.autotune(gpu_configs(16, 64, 512, 2048, 1 << 15), ["n"])(scale_kernel())
    run(tuned)
    assert sorted(compiled) == [512, 2048]
    assert tuned.best_config.kwargs["BLOCK"] in compiled
    assert sum(math.isinf(times[0]) for times in tuned.configs_timings.values()) == 3


@pytest.mark.parametrize(("value", "count"), [("1", 1), ("3", 3), ("all", 4)])
def test_the_user_says_how_many_are_tried(compiled, monkeypatch, value, count):
    monkeypatch.setenv(autotuning.TRIALS_VARIABLE, value)
    run(triton.autotune(gpu_configs(32, 64, 128, 256), ["n"])(scale_kernel()))
    assert len(compiled) == count


@pytest.mark.parametrize("value", ["0", "-1", "many"])
def test_a_number_of_trials_that_is_none_is_refused(monkeypatch, value):
    monkeypatch.setenv(autotuning.TRIALS_VARIABLE, value)
    with pytest.raises(autotuning.TrialsError, match=r"1 or more, or 'all'"):
        autotuning.trials()


def test_a_configuration_that_the_kernel_refuses_is_not_counted(compiled):
    @triton.jit
    def scale(x_ptr, out_ptr, n, BLOCK: tl.constexpr):
        tl.static_assert(BLOCK < 1024)
        offsets = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
        mask = offsets < n
        tl.store(out_ptr + offsets, tl.load(x_ptr + offsets, mask=mask) * 3, mask=mask)

    tuned = triton.autotune(gpu_configs(64, 128, 1024, 2048, 4096), ["n"])(scale)
    run(tuned)
    assert sorted(compiled) == [64, 128]


def test_an_option_that_is_a_parameter_of_the_kernel_tells_configurations_apart(compiled):
    @triton.jit
    def scale(x_ptr, out_ptr, n, BLOCK: tl.constexpr, num_warps: tl.constexpr):
        offsets = tl.program_id(0) * BLOCK * num_warps + tl.arange(0, BLOCK * num_warps)
        mask = offsets < n
        tl.store(out_ptr + offsets, tl.load(x_ptr + offsets, mask=mask) * 3, mask=mask)

    configs = [Config({"BLOCK": 64}, num_warps=warps, num_stages=s) for warps in (1, 4) for s in (1, 2)]
    tuned = triton.autotune(configs, ["n"])(scale)
    x, out = torch.rand(N), torch.full((N,), float("nan"))
    tuned[lambda meta: (triton.cdiv(N, meta["BLOCK"] * meta["num_warps"]),)](x, out, N)
    assert torch.equal(out, x * 3)
    assert sorted(compiled) == [64, 256]


def test_heuristics_below_the_tuner(compiled):
    kernel = triton.heuristics({"BLOCK": lambda args: triton.next_power_of_2(args["n"]) // 8})(scale_kernel())
    tuned = triton.autotune([Config({}, num_warps=w, num_stages=s) for w in (1, 2, 4) for s in (1, 2)], ["n"])
    run(tuned(kernel))
    assert compiled == [1024]


def test_heuristics_above_the_tuner(compiled):
    @triton.jit
    def scale(x_ptr, out_ptr, n, EVEN: tl.constexpr, BLOCK: tl.constexpr):
        offsets = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
        if EVEN:
            tl.store(out_ptr + offsets, tl.load(x_ptr + offsets) * 3)
        else:
            mask = offsets < n
            tl.store(out_ptr + offsets, tl.load(x_ptr + offsets, mask=mask) * 3, mask=mask)

    tuned = triton.autotune([Config({"BLOCK": 8}, num_warps=w) for w in (1, 2, 4)], ["n"])(scale)
    run(triton.heuristics({"EVEN": lambda args: args["n"] % 8 == 0})(tuned))
    assert compiled == [8]


def test_what_a_trial_writes_is_taken_back(compiled):
    @triton.jit
    def add_one(x_ptr, n, BLOCK: tl.constexpr):
        offsets = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
        mask = offsets < n
        tl.store(x_ptr + offsets, tl.load(x_ptr + offsets, mask=mask) + 1, mask=mask)

    tuned = triton.autotune(gpu_configs(64, 256), ["n"], restore_value=["x_ptr"])(add_one)
    x = torch.zeros(N)
    tuned[GRID](x, N)
    assert torch.equal(x, torch.ones(N))
    assert sorted(compiled) == [64, 256]


def test_the_users_own_pruning_comes_first(compiled):
    keep = {
        "early_config_prune": lambda configs, arguments, **_: [c for c in configs if c.kwargs["BLOCK"] == 32]
    }
    run(triton.autotune(gpu_configs(32, 512, 2048), ["n"], prune_configs_by=keep)(scale_kernel()))
    assert compiled == [32]


@pytest.mark.parametrize(
    ("values", "expected"), [({"BLOCK": 256}, [256]), ({"BLOCK": 2}, None), (None, None)]
)
def test_a_configuration_that_was_tuned_is_taken_without_a_trial(compiled, monkeypatch, values, expected):
    asked = []

    def constants(kernel, class_):
        asked.append((kernel.__name__, class_))
        return values

    monkeypatch.setattr(choosing, "constants", constants)
    tuned = triton.autotune(gpu_configs(64, 128, 256, 512), key=["n"])(scale_kernel())
    run(tuned)
    assert asked == [("scale", "n:i32 out_ptr:*fp32 x_ptr:*fp32 n=2^13")]
    assert compiled == expected if expected else len(compiled) == autotuning.TRIALS


def test_hooks_tell_configurations_apart():
    hooks = [lambda arguments: None, lambda arguments: None]
    configs = [Config({"BLOCK": 64}, num_warps=w, pre_hook=hook) for hook in hooks for w in (1, 2)]
    assert autotuning.distinct(configs, ("BLOCK",)) == [configs[0], configs[2]]


@pytest.mark.parametrize(
    ("tiles", "best"),
    [
        ([(16, 16, 16), (256, 256, 128), (128, 64, 64)], 2),
        ([(16, 16), (64, 64), (256, 256)], 1),
        ([(16,), (1 << 17,), (1024,)], 2),
    ],
)
def test_absurd_tiles_come_last(tiles, best):
    configs = [Config({f"BLOCK_{i}": side for i, side in enumerate(tile)} | {"GROUP": 8}) for tile in tiles]
    assert autotuning.likely_first(configs)[0] is configs[best]


def test_another_device_tries_what_it_wants(monkeypatch):
    monkeypatch.setattr("anychip.triton_backend.is_active", lambda: False)
    configs = gpu_configs(64, 128)
    tuned = triton.autotune(configs, ["n"])(scale_kernel())
    tuned.nargs = {}
    assert tuned.prune_configs({}) == configs


def test_the_watch_waits_for_triton(monkeypatch):
    class Autotuner:
        def prune_configs(self, kwargs):
            return []

        def _bench(self, *args, config, **meta):
            return [1.0]

    stock: Any = Autotuner.prune_configs
    modules = {}
    monkeypatch.setattr(autotuning, "sys", SimpleNamespace(modules=modules, meta_path=[]))
    autotuning.install.__wrapped__()
    watch: Any
    (watch,) = autotuning.sys.meta_path
    assert watch.find_spec("something") is None
    assert autotuning.sys.meta_path == [watch]
    modules["triton.runtime.autotuner"] = SimpleNamespace(Autotuner=Autotuner)
    assert watch.find_spec("something.else") is None
    assert autotuning.sys.meta_path == []
    watched: Any = Autotuner.prune_configs
    assert watched.__wrapped__ is stock


def test_a_trial_is_a_few_runs():
    calls = []
    times = timing.benchmark(lambda: calls.append(None), quantiles=(0.5, 0.2, 0.8))
    assert len(calls) <= timing.TRIAL_RUNS + 1
    assert times[1] <= times[0] <= times[2]


undefined_name: Any  # which has no value


def test_errors_of_a_trial_reach_the_user():
    @triton.jit
    def wrong(x_ptr, out_ptr, n, BLOCK: tl.constexpr):
        tl.store(out_ptr, undefined_name)  # noqa: F821

    with pytest.raises(TritonError, match="undefined_name"):
        run(triton.autotune(gpu_configs(64, 128), ["n"])(wrong))
