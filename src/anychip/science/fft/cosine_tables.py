"""How cosine and sine transforms of four types become a Fourier transform: what is read into it and out of
it. Types II and III take one real transform of the same length (Makhoul, "A fast cosine transform in one and
two dimensions", 1980), type I one of the signal and its mirror image, type IV a complex one of half the
length, or of twice the length where that is odd. Tables are computed in double precision."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import torch


@dataclass(frozen=True, slots=True)
class Edges:
    """What the edge elements are multiplied by, going in and coming out. For type I the first and the last
    one (of cosines only), for II and III the first, or of sines the last."""

    given: float = 1.0
    made: float = 1.0


@dataclass(frozen=True, slots=True)
class Steps:
    """Three steps. `before`: index and weight (weigh), or two indices and four weights (join). `length`: of
    the Fourier transform, which is real to complex, complex to real or complex, by `kind`. `after`: index and
    weight (weigh), or index and two weights (project)."""

    kind: str
    before: tuple[torch.Tensor, ...]
    length: int
    after: tuple[torch.Tensor, ...]


Parts = tuple[str, list[np.ndarray], int, list[np.ndarray]]
"""The steps as arrays."""


def _weights(n: int, edge: float, places: list[int]) -> np.ndarray:
    weights = np.ones(n)
    weights[places] = edge
    return weights


def _edges(sine: bool, kind: int, n: int) -> list[int]:
    if kind == 4 or (kind == 1 and sine):
        return []
    if kind == 1:
        return [0, n - 1]
    return [n - 1 if sine else 0]


def _woven(n: int) -> np.ndarray:
    """The even elements, then the odd ones from the last."""
    return np.concatenate([np.arange(0, n, 2), np.arange(1, n, 2)[::-1]])


def _first(sine: bool, n: int, given: np.ndarray, made: np.ndarray) -> Parts:
    k = np.arange(n)
    if sine:
        index = np.concatenate([[0], k, [0], k[::-1]])
        weight = np.concatenate([[0.0], np.ones(n), [0.0], -np.ones(n)])
        return "half", [index, weight], 2 * n + 2, [k + 1, np.zeros(n), -made]
    index = np.concatenate([k, k[1:-1][::-1]])
    return "half", [index, given[index]], 2 * n - 2, [k, made, np.zeros(n)]


def _second(sine: bool, n: int, given: np.ndarray, made: np.ndarray) -> Parts:
    index = _woven(n)
    weight = given[index] * (1 - 2.0 * (index % 2)) if sine else given[index]
    k = np.arange(n)
    frequency = n - 1 - k if sine else k
    mirrored = frequency > n // 2
    source = np.where(mirrored, n - frequency, frequency)
    angle = np.pi * frequency / (2 * n)
    p, q = 2 * np.cos(angle) * made, 2 * np.sin(angle) * made
    return "half", [index, weight], n, [source, p, np.where(mirrored, -q, q)]


def _third(sine: bool, n: int, given: np.ndarray, made: np.ndarray) -> Parts:
    k = np.arange(n // 2 + 1)
    other = np.where(k == 0, 0, n - k)
    angle = np.pi * k / (2 * n)
    c, s = np.cos(angle), np.sin(angle)
    read, mirror = (n - 1 - k, np.where(k == 0, n - 1, k - 1)) if sine else (k, other)
    there = np.where(k == 0, 0.0, 1.0) * given[mirror]
    here = given[read]
    before = [read, mirror, c * here, s * here, s * there, -c * there]
    index = np.empty(n, dtype=np.int64)
    index[_woven(n)] = np.arange(n)
    sign = 1 - 2.0 * (np.arange(n) % 2) if sine else np.ones(n)
    return "real", before, n, [index, sign * made]


def _fourth(sine: bool, n: int) -> Parts:
    k = np.arange(n)

    def reverse(i: np.ndarray) -> np.ndarray:
        return n - 1 - i if sine else i

    sign = 1 - 2.0 * (k % 2) if sine else np.ones(n)
    if n % 2:
        t = np.arange(2 * n)
        inside = t < n
        angle = -np.pi * t / (2 * n)
        index = reverse(np.where(inside, t, 0))
        before = [index, index, np.cos(angle) * inside, np.sin(angle) * inside, 0.0 * t, 0.0 * t]
        angle = np.pi * (2 * k + 1) / (4 * n)
        return "complex", before, 2 * n, [k, 2 * np.cos(angle) * sign, 2 * np.sin(angle) * sign]
    t = np.arange(n // 2)
    angle = -np.pi * (4 * t + 1) / (4 * n)
    c, s = np.cos(angle), np.sin(angle)
    before = [reverse(2 * t), reverse(n - 1 - 2 * t), c, s, -s, c]
    even = k % 2 == 0
    source = np.where(even, k // 2, (n - 1 - k) // 2)
    angle = -np.pi * source / n
    p = np.where(even, 2 * np.cos(angle), -2 * np.sin(angle))
    q = np.where(even, -2 * np.sin(angle), -2 * np.cos(angle))
    return "complex", before, n // 2, [source, p * sign, q * sign]


@lru_cache(maxsize=256)
def steps(
    sine: bool, kind: int, n: int, edges: Edges, scale: float, dtype: torch.dtype, device: torch.device
) -> Steps:
    """The steps of `scale` times a transform of type `kind` (1 to 4) of n elements, at least 2 for cosines of
    type I."""
    places = _edges(sine, kind, n)
    given = _weights(n, edges.given, places)
    made = _weights(n, edges.made, places) * scale
    if kind == 4:
        name, before, length, after = _fourth(sine, n)
        after = [after[0], *(weight * scale for weight in after[1:])]
    else:
        name, before, length, after = {1: _first, 2: _second, 3: _third}[kind](sine, n, given, made)

    def table(values: np.ndarray) -> torch.Tensor:
        tensor = torch.from_numpy(np.ascontiguousarray(values))
        return tensor.to(torch.int64 if values.dtype.kind == "i" else dtype).to(device)

    return Steps(name, tuple(map(table, before)), length, tuple(map(table, after)))
