"""Compiled graphs where caches are damaged, of another PyTorch or cannot be written, and the digest by which
PyTorch tells its own sources apart."""

from __future__ import annotations

import logging
import os
from pathlib import Path
from typing import Any

import pytest
import torch
from torch._inductor import codecache
from torch._inductor.utils import fresh_cache

from anychip.pytorch.compilation import backend, digest, folder
from anychip.runtime import launches


def torch_key() -> Any:
    """PyTorch's function of its digest, which keeps what it computed."""
    return codecache.torch_key


def soft(x: torch.Tensor) -> torch.Tensor:
    return (x.sin() * 2).softmax(-1)


def run() -> None:
    """Compile as a new process would, and compare the result with eager PyTorch's."""
    torch._dynamo.reset()
    x, before = torch.randn(4, 64), sum(launches.by_kernel().values())
    torch.testing.assert_close(torch.compile(soft, backend=backend)(x), soft(x))
    assert sum(launches.by_kernel().values()) > before


@pytest.fixture
def cache(tmp_path):
    with fresh_cache(dir=tmp_path):
        yield Path(os.environ[folder.VARIABLE])


@pytest.fixture
def digest_of_its_own():
    """PyTorch's digest as if it had not been computed in this process; afterwards, again so."""
    if not hasattr(codecache.torch_key, "set"):
        pytest.skip("this PyTorch takes no digest from others")
    torch_key().clear()
    digest.settle.cache_clear()
    yield
    torch_key().clear()
    digest.settle.cache_clear()


def test_the_digest_given_to_pytorch_is_its_own(digest_of_its_own):
    own = codecache.torch_key()
    for _ in range(2):  # computed and kept, then taken from what was kept
        torch_key().clear()
        digest.settle.cache_clear()
        digest.settle()
        assert codecache.torch_key() == own


def test_a_digest_that_pytorch_has_computed_stays(digest_of_its_own):
    own = codecache.torch_key()
    digest.settle()
    assert codecache.torch_key() == own


@pytest.mark.parametrize("damage", [lambda data: b"", lambda data: data[: len(data) // 2]])
def test_damaged_graphs_are_compiled_again(cache, damage):
    run()
    kept = [p for p in cache.rglob("*") if p.is_file() and {"fxgraph", "aotautograd"} & set(p.parts)]
    assert kept
    for path in kept:
        path.write_bytes(damage(path.read_bytes()))
    run()


def test_graphs_of_another_pytorch_are_not_taken(cache, digest_of_its_own):
    torch_key().set(b"an older one")
    run()
    before = len(list(cache.rglob("fxgraph/*/*")))
    torch_key().clear()
    run()
    assert len(list(cache.rglob("fxgraph/*/*"))) > before


def test_a_folder_that_cannot_be_written_gives_way_with_one_warning(cache, monkeypatch, caplog):
    torch._dynamo.reset()
    monkeypatch.setenv(folder.VARIABLE, "/proc")
    with caplog.at_level(logging.WARNING, folder.__name__):
        run()
        run()
    assert caplog.text.count("cannot be written") == 1
    assert folder.VARIABLE in caplog.text
    assert os.environ[folder.VARIABLE] != "/proc"
