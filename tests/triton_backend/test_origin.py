"""A launched kernel's TTIR: from Triton's cache, and made anew where the cache is gone."""

from __future__ import annotations

import shutil

import torch
from tests.triton_backend.kernels import add
from triton import knobs

from anychip.runtime import launches


def origin():
    with launches.record() as seen:
        add(torch.rand(100), torch.rand(100), block=32)
    return seen[-1].origin


def test_the_text_is_the_compiled_one():
    found = origin()
    text = found.ttir()
    assert "tt.func public @add_kernel" in text
    assert "tensor<32xf32>" in text
    assert found.signature["x_ptr"] == "*fp32"


def test_the_text_is_made_anew_without_the_cache(tmp_path, monkeypatch):
    found = origin()
    text = found.ttir()
    folder = tmp_path / "cache"
    shutil.copytree(knobs.cache.dir, folder)
    for path in folder.rglob("*.ttir"):
        path.unlink()
    monkeypatch.setattr(knobs.cache, "dir", str(folder))
    anew = found.ttir()
    assert anew.splitlines()[0].split("loc")[0] == text.splitlines()[0].split("loc")[0]
    assert [line.split(" loc(")[0] for line in anew.splitlines() if "tt." in line] == [
        line.split(" loc(")[0] for line in text.splitlines() if "tt." in line
    ]
