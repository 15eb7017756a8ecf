"""SentencePiece tokenizers in GGUF files, against the `sentencepiece` package."""

from __future__ import annotations

import io
import random
from pathlib import Path
from typing import Any

import pytest

spm = pytest.importorskip("sentencepiece")
gguf = pytest.importorskip("gguf")
pytest.importorskip("tokenizers")

TEXTS = [
    "the quick brown fox jumps over the lazy dog",
    "Grüße aus Köln, 世界, Grüße",
    "hello world, hello you all",
    "numbers 123 456 and (brackets) [too]",
]
NORMAL, UNKNOWN, CONTROL, BYTE = 1, 2, 3, 6


@pytest.fixture(scope="module")
def trained() -> Any:
    """Byte pairs of SentencePiece, trained here."""
    out = io.BytesIO()
    spm.SentencePieceTrainer.train(
        sentence_iterator=iter(TEXTS * 100),
        model_writer=out,
        model_type="bpe",
        vocab_size=400,
        byte_fallback=True,
        character_coverage=0.98,
        normalization_rule_name="identity",
        remove_extra_whitespaces=False,
        minloglevel=2,
    )
    return spm.SentencePieceProcessor(model_proto=out.getvalue())


@pytest.fixture(scope="module")
def made(trained: Any, tmp_path_factory: pytest.TempPathFactory) -> Any:
    from anychip.serve.gguf_file import GgufFile
    from anychip.serve.tokenizer import from_gguf

    path = Path(tmp_path_factory.mktemp("words")) / "words.gguf"
    writer = gguf.GGUFWriter(path, "llama")
    numbers = range(trained.get_piece_size())
    asked = ((trained.is_unknown, UNKNOWN), (trained.is_control, CONTROL), (trained.is_byte, BYTE))
    kinds = [next((kind for is_it, kind in asked if is_it(k)), NORMAL) for k in numbers]
    writer.add_tokenizer_model("llama")
    writer.add_token_list([trained.id_to_piece(k) for k in numbers])
    writer.add_token_scores([trained.get_score(k) for k in numbers])
    writer.add_token_types(kinds)
    writer.add_bos_token_id(trained.bos_id())
    writer.add_eos_token_id(trained.eos_id())
    writer.add_unk_token_id(trained.unk_id())
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.close()
    return from_gguf(GgufFile(path))


def texts() -> list[str]:
    rng = random.Random(0)
    letters = "abehlotuz Gßü,(1 世界👩\n\té"
    drawn = ["".join(rng.choice(letters) for _ in range(rng.randrange(1, 40))) for _ in range(200)]
    words = " ".join(TEXTS).split(" ")
    return [
        *TEXTS,
        *drawn,
        *(" ".join(rng.choices(words, k=6)) for _ in range(100)),
        "",
        " a",
        "a  b",
        "<s>a",
    ]


def test_tokens_are_those_of_the_package(trained: Any, made: Any) -> None:
    for text in texts():
        assert made.tokens(text) == trained.encode(text), text
    assert made.completion_prompt("a")[0] == trained.bos_id()
    assert made.end_tokens == {trained.eos_id()}


def test_texts_come_back(trained: Any, made: Any) -> None:
    for text in texts():
        tokens = trained.encode(text)
        assert made.text(tokens) == trained.decode(tokens) == text


def test_bytes_of_tokens(trained: Any, made: Any) -> None:
    for text in texts():
        tokens = made.tokens(text)
        assert b"".join(made.piece(token) for token in tokens) == (" " + text if text else "").encode()
    assert made.piece(trained.bos_id()) == b"<s>"
    assert made.shown_bytes(trained.bos_id()) == b""
