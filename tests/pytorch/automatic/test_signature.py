"""Signatures: calls that a kernel treats alike share one, others do not."""

from __future__ import annotations

import torch

from anychip.pytorch.automatic.signature import class_of, exact, layout

NONE: frozenset[str] = frozenset()


def test_layouts_are_told_apart() -> None:
    x = torch.zeros(8, 16, 4)
    assert layout(x) == "c"
    assert layout(x[:, :3]) == "c2"
    assert layout(x.transpose(0, 2)) == "t"
    assert layout(x[..., ::2]) == "s"
    assert layout(x[:, :1].expand(8, 16, 4)) == "b"
    assert layout(torch.zeros(())) == "c"


def test_sizes_fall_together_by_powers_of_two() -> None:
    def of(*shape: int) -> str:
        return class_of((torch.zeros(shape),), {}, NONE)

    assert of(100, 70) == of(128, 128) == "float32[7,7]c"
    assert of(129, 70) != of(128, 70)
    assert of(2, 3, 4, 5, 6, 7, 8) == "float32[+1:2,2,3,3,3,3]c"
    assert of(0) == "float32[-1]c"


def test_parameters_and_dtypes_count() -> None:
    x, y = torch.zeros(4), torch.zeros(4, dtype=torch.float16)
    assert class_of((x, y, [0, -1], 1000, None, True, 0.1, 2.0), {"dtype": torch.float64}, NONE) == (
        "float32[2]c float16[2]c (0,-1) 2^10 None True float 2 dtype=float64"
    )


def test_results_that_are_given_do_not_count() -> None:
    x = torch.zeros(4)
    written = frozenset({"out"})
    assert class_of((x,), {"out": x}, written) == class_of((x,), {}, written)
    assert exact((x,), {"out": x, "alpha": 2}, written) == exact((x,), {"out": x[:2], "alpha": 2}, written)


def test_exact_signatures_hold_no_tensor_and_tell_strides() -> None:
    x = torch.zeros(4, 4)
    assert exact((x, [x, 3]), {}, NONE) == exact((x.clone(), [x.clone(), 3]), {}, NONE)
    assert exact((x,), {}, NONE) != exact((x.t(),), {}, NONE)
    assert exact((x, 0.1), {}, NONE) == exact((x, 0.7), {}, NONE) != exact((x, 2.0), {}, NONE)
    hash(exact((x, [x, 3], None, 0.1, torch.float32), {"generator": torch.Generator()}, NONE))
