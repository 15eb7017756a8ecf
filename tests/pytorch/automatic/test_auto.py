"""The policy "auto": each call is served once, by the kernel that was found faster. Times are made up: a
clock says how long each of the two took."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest
import torch

import anychip
from anychip.measurements.database import Database
from anychip.measurements.defaults import Defaults
from anychip.measurements.entry import CHOICE
from anychip.ops.launching import launch_counts
from anychip.pytorch.automatic import judge as judges
from anychip.pytorch.automatic import registration
from anychip.pytorch.automatic.chooser import PATIENCE
from anychip.pytorch.automatic.judge import SMALL, Judge
from anychip.pytorch.automatic.registration import AutomaticRegistrations
from anychip.pytorch.automatic.trial import NATIVE, OURS
from anychip.pytorch.dispatch import selection

CHIP = "made-up-t2"


@dataclass
class Clock:
    """Seconds that pass only while one of the two kernels runs: `ours` is told by a launch."""

    ours: float = 1e-3
    native: float = 2e-3
    now: float = 0.0
    before: int = 0
    running: bool = False

    def __call__(self) -> float:
        total = launch_counts.total()
        if self.running:
            self.now += self.ours if total > self.before else self.native
        self.running, self.before = not self.running, total
        return self.now


@dataclass
class Bench:
    """The policy in force, with its clock and database."""

    folder: Path
    clock: Clock = field(default_factory=Clock)
    defaults: Defaults = field(default_factory=Defaults)

    def judge(self, device: str = "cpu") -> Judge:
        return Judge(Database(CHIP, self.folder), self.defaults)

    def choices(self, overload: str) -> dict[str, str]:
        found = {row.signature: row.choice for row in anychip.report().choices if row.overload == overload}
        return {signature: choice for signature, choice in found.items() if signature}

    def reason(self, overload: str) -> str:
        return next(row.reason for row in anychip.report().choices if row.overload == overload)


@pytest.fixture
def bench(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Bench]:
    """`anychip.enable("auto")` uses the made-up clock, and a database and defaults of its own."""
    anychip.disable()
    anychip.report(reset=True)
    made = Bench(tmp_path)
    monkeypatch.setattr(registration, "_clock", lambda device: made.clock)
    monkeypatch.setattr(registration, "crowded", lambda: False)
    monkeypatch.setattr(judges, "judge", made.judge)
    yield made
    anychip.disable()


def times(count: int, call: Callable[[], object]) -> None:
    for _ in range(count):
        call()


def test_ours_is_taken_where_it_is_faster(bench: Bench) -> None:
    x = torch.randn(64, 100)
    expected = torch.exp(x.double())
    with anychip.using("auto", only=["exp"]):
        for _ in range(10):
            torch.testing.assert_close(torch.exp(x).double(), expected, rtol=1e-6, atol=1e-6)
        assert bench.choices("exp") == {"float32[6,7]c": OURS}
        assert "measured" in bench.reason("exp")
        before = launch_counts["flat_kernel[exp]"]
        times(5, lambda: torch.exp(x))
        assert launch_counts["flat_kernel[exp]"] == before + 5


def test_pytorch_is_taken_where_it_is_faster(bench: Bench) -> None:
    bench.clock.ours = 3e-3
    x = torch.randn(64, 100)
    with anychip.using("auto", only=["exp"]):
        times(10, lambda: torch.exp(x))
        assert bench.choices("exp") == {"float32[6,7]c": NATIVE}
        before = launch_counts["flat_kernel[exp]"]
        times(5, lambda: torch.exp(x))
        assert launch_counts["flat_kernel[exp]"] == before


def test_each_call_runs_one_kernel_once(bench: Bench) -> None:
    counter = torch.zeros(SMALL + 1)
    with anychip.using("auto", only=["add"]):
        for k in range(1, 30):
            counter.add_(1.0)
            assert counter[0].item() == counter[-1].item() == k
    assert bench.judge().database.entries(CHOICE)[0].subject == "add.Tensor"


def test_small_tensors_go_to_pytorch_without_a_trial(bench: Bench) -> None:
    x = torch.randn(SMALL - 1)
    with anychip.using("auto", only=["exp"]):
        times(20, lambda: torch.exp(x))
        assert not bench.choices("exp")


def test_a_choice_is_kept_for_later_processes(bench: Bench) -> None:
    x = torch.randn(64, 100)
    with anychip.using("auto", only=["exp"]):
        times(10, lambda: torch.exp(x))
    bench.clock.ours = 1.0
    with anychip.using("auto", only=["exp"]):
        before = launch_counts["flat_kernel[exp]"]
        torch.exp(x)
        assert launch_counts["flat_kernel[exp]"] == before + 1
        assert bench.reason("exp").startswith("tuning database")


def test_a_small_tensor_is_ours_if_the_database_says_so(bench: Bench) -> None:
    x = torch.randn(64, 100)
    with anychip.using("auto", only=["exp"]):
        times(10, lambda: torch.exp(x))
    (entry,) = bench.judge().database.entries()
    small = torch.randn(100)
    judge = bench.judge()
    from anychip.ops.registry import overloads

    judge.keep("exp", overloads()["exp"][0], "float32[7]c", OURS, 100, dict(entry.seconds))
    with anychip.using("auto", only=["exp"]):
        before = launch_counts["flat_kernel[exp]"]
        torch.exp(small)
        assert launch_counts["flat_kernel[exp]"] == before + 1


def test_an_entry_of_changed_kernels_is_measured_again(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    x = torch.randn(64, 100)
    with anychip.using("auto", only=["exp"]):
        times(10, lambda: torch.exp(x))
    monkeypatch.setattr(judges.sources, "digest", lambda domain: "changed")
    bench.clock.ours = 1.0
    with anychip.using("auto", only=["exp"]):
        torch.exp(x)
        assert bench.choices("exp") == {"float32[6,7]c": "open"}
        times(10, lambda: torch.exp(x))
        assert bench.choices("exp") == {"float32[6,7]c": NATIVE}


def test_in_place_and_out_take_the_choice_of_the_functional_form(bench: Bench) -> None:
    x = torch.rand(64, 100)
    with anychip.using("auto", only=["sin"]):
        times(10, lambda: torch.sin(x))
        before = launch_counts["flat_kernel[sin]"]
        out = torch.empty_like(x)
        torch.sin(x, out=out)
        x.clone().sin_()
        assert launch_counts["flat_kernel[sin]"] == before + 2
        assert bench.choices("sin") == {"float32[6,7]c": OURS}
    torch.testing.assert_close(out, torch.sin(x))


def test_dtypes_and_sizes_have_choices_of_their_own(bench: Bench) -> None:
    with anychip.using("auto", only=["exp"]):
        for x in (torch.rand(64, 100), torch.rand(64, 1000), torch.rand(64, 100).double()):
            bench.clock.ours = 1e-3 if x.dtype == torch.float32 and x.shape[1] == 100 else 1.0
            times(10, lambda x=x: torch.exp(x))
        assert bench.choices("exp") == {
            "float32[6,7]c": OURS,
            "float32[6,10]c": NATIVE,
            "float64[6,7]c": NATIVE,
        }


def test_what_is_not_served_is_pytorchs(bench: Bench) -> None:
    z = torch.ones(SMALL, dtype=torch.complex64)
    expected = torch.atanh(z * 0.5)
    with anychip.using("auto", only=["atanh"]):
        for _ in range(6):
            assert torch.equal(torch.atanh(z * 0.5), expected)
    with anychip.using("auto", only=["bincount"]):
        x = torch.zeros(SMALL, dtype=torch.int64)
        times(6, lambda: torch.bincount(x))
        assert set(bench.choices("bincount").values()) <= {OURS, NATIVE, "open"}


def test_defaults_spare_trials_and_registrations(bench: Bench) -> None:
    bench.defaults = Defaults(
        "level", "machine", {"exp": {"float32": {13: 0.2, 20: 0.5}}, "sin": {"float32": {13: 0.2, 20: 3.0}}}
    )
    x = torch.rand(64, 100)
    with anychip.using("auto", only=["exp", "sin"]):
        times(5, lambda: (torch.exp(x), torch.sin(x)))
        assert not bench.choices("exp")
        assert "slower at every size" in bench.reason("exp")
        assert not bench.choices("sin"), "smaller than any size at which ours was worth a look"
    assert not anychip.report().choices


def test_numbers_in_place_of_tensors_promote_as_ever(bench: Bench) -> None:
    bench.clock.ours = 1.0
    tensors = [
        torch.arange(3),
        torch.tensor(3),
        torch.ones(3, dtype=torch.int8),
        torch.tensor(0.1).half(),
        torch.ones(2).half(),
        torch.ones(2, dtype=torch.bool),
        torch.tensor(True),
        torch.ones(2).double(),
    ]
    numbers = [2, 0.1, -0.0, float("nan"), True, 100, 1e-7]
    expected = [[x * n for n in numbers] + [torch.where(x > 1, x, n) for n in numbers] for x in tensors]
    with anychip.using("auto", only=["mul", "where"]):
        for _ in range(2):
            for x, row in zip(tensors, expected, strict=True):
                found = [x * n for n in numbers] + [torch.where(x > 1, x, n) for n in numbers]
                for a, b in zip(found, row, strict=True):
                    torch.testing.assert_close(a, b, rtol=0, atol=0, equal_nan=True)
                    assert torch.equal(torch.signbit(a), torch.signbit(b))


@pytest.mark.parametrize("kept", [True, False])
def test_random_numbers_are_one_stream(bench: Bench, kept: bool) -> None:
    def draw() -> list[torch.Tensor]:
        torch.manual_seed(5)
        return [torch.empty(SMALL + k).normal_() for k in range(8)]

    if kept:
        x = torch.empty(SMALL)
        from anychip.ops.registry import overloads
        from anychip.pytorch.automatic.signature import class_of

        operator = overloads()["normal_"][0]
        for k in (0, 1):
            y = torch.empty(SMALL + k)
            bench.judge().keep(
                "normal_",
                operator,
                class_of((y, 0.0, 1.0), {}, frozenset()),
                OURS,
                y.numel(),
                {OURS: 1e-6, NATIVE: 1e-3},
            )
            bench.judge().keep("normal_", operator, class_of((y,), {}, frozenset()), OURS, y.numel(), {})
        assert x.numel() == SMALL
        with anychip.using("strict"):
            expected = draw()
    else:
        expected = draw()
    before = launch_counts.total()
    with anychip.using("auto", only=["normal"] if "normal" in _names() else None):
        found = draw()
    assert all(torch.equal(a, b) for a, b in zip(found, expected, strict=True))
    assert (launch_counts.total() > before) == kept


def _names() -> set[str]:
    from anychip.ops.registry import operators

    return set(operators())


def test_dropout_in_training_is_not_tried(bench: Bench) -> None:
    x = torch.randn(64, 100)
    torch.manual_seed(0)
    expected = [torch.native_dropout(x, 0.5, True)[0] for _ in range(8)]
    torch.manual_seed(0)
    with anychip.using("auto", exclude=["memory"]):
        found = [torch.native_dropout(x, 0.5, True)[0] for _ in range(8)]
    assert all(torch.equal(a, b) for a, b in zip(found, expected, strict=True))


def test_gradients_are_right_while_choices_are_made(bench: Bench) -> None:
    weight = torch.randn(100, 64, dtype=torch.float64)
    x = torch.randn(80, 100, dtype=torch.float64)

    def gradient() -> torch.Tensor:
        w = weight.clone().requires_grad_()
        torch.softmax(torch.tanh(x @ w), -1).pow(2).sum().backward()
        assert w.grad is not None
        return w.grad

    expected = gradient()
    with anychip.using("auto"):
        for _ in range(10):
            torch.testing.assert_close(gradient(), expected)
    assert any(entry.values["choice"] == OURS for entry in bench.judge().database.entries())


def test_threads_share_choices(bench: Bench) -> None:
    x = torch.randn(64, 100)
    expected = torch.exp(x)
    faults: list[BaseException] = []

    def work() -> None:
        try:
            for _ in range(20):
                torch.testing.assert_close(torch.exp(x), expected)
        except BaseException as error:
            faults.append(error)

    with anychip.using("auto", only=["exp"]):
        threads = [threading.Thread(target=work) for _ in range(4)]
        times(1, lambda: [thread.start() for thread in threads])
        for thread in threads:
            thread.join()
        assert not faults
        (row,) = [row for row in anychip.report().choices if row.signature]
        assert row.calls >= 60


def test_a_failing_call_fails_alike(bench: Bench) -> None:
    a, b = torch.ones(SMALL), torch.ones(SMALL + 1)
    with anychip.using("auto", only=["add"]):
        for _ in range(8):
            with pytest.raises(RuntimeError, match="2048"):
                torch.add(a, b)
        assert torch.equal(torch.add(a, a), torch.full_like(a, 2.0))


def test_deterministic_algorithms_are_not_mixed(bench: Bench) -> None:
    x = torch.randn(64, 100)
    before = launch_counts.total()
    torch.use_deterministic_algorithms(True)
    try:
        with anychip.using("auto", only=["exp"]):
            times(10, lambda: torch.exp(x))
    finally:
        torch.use_deterministic_algorithms(False)
    assert launch_counts.total() == before


def test_what_always_goes_to_pytorch_is_given_back_and_taken_up_again(bench: Bench) -> None:
    small, large = torch.randn(4), torch.randn(64, 100)
    made = AutomaticRegistrations(selection(["exp", "mm"], ()), bench.judge, bench.clock)
    try:
        if threading.active_count() > 1:
            pytest.skip("other threads of this process may be inside a call")
        times(PATIENCE + 1, lambda: torch.exp(small))
        assert made.resting == ["exp"]
        assert torch.equal(torch.exp(torch.zeros(4)), torch.ones(4))
        times(1, lambda: large @ large.t())
        assert made.resting == []
        times(10, lambda: torch.exp(large))
        times(PATIENCE + 1, lambda: torch.exp(small))
        assert made.resting == [], "ours saved more than the small calls cost"
        times(PATIENCE + 1, lambda: torch.exp(small))
        assert made.resting == ["exp"], "it saved nothing lately"
    finally:
        made.remove()


def test_another_policy_takes_over(bench: Bench) -> None:
    x = torch.randn(64, 100)
    with anychip.using("auto"):
        times(3, lambda: torch.exp(x))
        before = launch_counts["flat_kernel[exp]"]
        with anychip.using("strict"):
            torch.exp(x)
        assert launch_counts["flat_kernel[exp]"] == before + 1
        torch.exp(x)
    current = anychip.report()
    assert not current.choices


def test_the_report_says_what_was_chosen_and_why(bench: Bench) -> None:
    x = torch.randn(64, 100)
    with anychip.using("auto", only=["exp"]):
        times(10, lambda: torch.exp(x))
        text = str(anychip.report())
    assert "auto: exp float32[6,7]c: ours x10 (measured: 1000.0 us ours, 2000.0 us PyTorch's)" in text
