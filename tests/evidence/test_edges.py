"""Inputs at the edges, and the table of exceptions: each kind is what it is called, and an exception is for
entries that exist."""

from __future__ import annotations

import re

import pytest
import torch

from anychip.evidence import opinfo
from anychip.evidence.comparison import Terms, difference
from anychip.evidence.edges import SPECIAL, edges
from anychip.evidence.exceptions import EXEMPTIONS, exemption
from anychip.evidence.inputs import weights_like
from anychip.evidence.outcome import KINDS

pytest.importorskip("expecttest", reason="PyTorch's OpInfo needs the package expecttest")


def test_each_kind_is_what_it_is_called() -> None:
    x, y, bias = torch.arange(24.0).view(4, 6), torch.ones(4, 6), torch.ones(3, 2)
    found: dict[str, list[torch.Tensor]] = {}
    for kind, (arguments, keywords) in edges(([x, 2, y], {"bias": bias})):
        found.setdefault(kind, []).append(arguments[0])
        assert arguments[1] == 2
        if kind in ("empty", "0-d"):
            assert arguments[2].shape == arguments[0].shape
            assert keywords["bias"] is bias
    assert set(found) <= set(KINDS)
    assert [t.shape for t in found["empty"]] == [(0, 6)]
    assert [t.shape for t in found["0-d"]] == [()]
    assert [t.stride() for t in found["expanded"]] == [(0, 1)]
    (transposed,) = found["transposed"]
    assert transposed.stride() == (1, 4)
    assert torch.equal(transposed, x)
    for changed, values in zip(found["special"], SPECIAL, strict=True):
        kept = torch.isclose(changed, x, equal_nan=True)
        assert 24 - int(kept.sum()) <= len(values)
        assert sorted(map(str, values)) == sorted(
            str(v) for v in changed.flatten()[:: 24 // len(values)].tolist()
        )
    assert torch.equal(x, torch.arange(24.0).view(4, 6))


def test_lists_of_tensors_change_too() -> None:
    x = torch.ones(2, 3)
    (empty,) = [inputs for kind, inputs in edges(([[x, torch.ones(2, 3)], 1], {})) if kind == "empty"]
    assert [t.shape for t in empty[0][0]] == [(0, 3), (0, 3)]


def test_what_has_no_dimension_or_no_tensor_has_no_edges() -> None:
    assert not list(edges(([torch.tensor(1.0)], {})))
    assert not list(edges(([1, 2], {})))


@pytest.mark.parametrize("number", range(len(EXEMPTIONS)))
def test_an_exception_is_about_entries_and_kinds_that_exist(number: int) -> None:
    found = EXEMPTIONS[number]
    assert any(re.fullmatch(found.entries, name) for name in opinfo.entries())
    assert set(found.kinds) <= set(KINDS)
    assert found.reason


def test_a_skipped_kind_is_not_tried() -> None:
    kinds = {trial.kind for trial in opinfo.trials("fft.fft", torch.float32, 2)}
    assert "special" not in kinds
    assert {"sample", "transposed", "expanded"} <= kinds
    assert exemption("skipped", "fft.fft", "special", torch.float32)
    assert not exemption("skipped", "fft.fftshift", "special", torch.float32)


def test_where_pytorch_is_undefined_its_nan_alone_is_no_answer() -> None:
    native = torch.tensor([float("nan"), 1.0])
    terms = Terms(undefined=True)
    assert difference(torch.tensor([5.0, 1.0]), native, None, terms) is None
    assert difference(torch.tensor([5.0, 2.0]), native, None, terms) is not None
    assert difference(torch.tensor([5.0, 1.0]), native, None) is not None


def test_a_sample_does_not_depend_on_what_was_tried_before() -> None:
    alone = [trial.inputs for trial in opinfo.trials("nn.functional.dropout", torch.float32, 3, ["sample"])]
    among = [trial for trial in opinfo.trials("clamp", torch.float32, 2) if trial.kind == "sample"]
    again = list(opinfo.trials("clamp", torch.float32, 2, ["sample"]))
    assert len(alone) == 3
    for first, second in zip(among, again, strict=True):
        torch.testing.assert_close(first.native, second.native, rtol=0, atol=0, equal_nan=True)


@pytest.mark.parametrize(
    "dtype", [torch.float64, torch.float32, torch.float16, torch.bfloat16, torch.complex64, torch.complex128]
)
def test_weights_are_the_same_numbers_in_every_type(dtype: torch.dtype) -> None:
    exact = weights_like(torch.empty(3, 5, dtype=torch.float64))
    found = weights_like(torch.empty(3, 5, dtype=dtype))
    assert found.dtype == dtype
    assert torch.equal(found.to(torch.complex128).real, exact)
    assert exact.abs().max() <= 1
    assert len(exact.unique()) > 5
