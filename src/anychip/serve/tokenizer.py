"""The tokenizer that a GGUF file's metadata describe, and text out of tokens that come one by one. Flows in:
metadata. Flows out: tokens of a text, text of tokens, the file's chat template applied."""

from __future__ import annotations

import functools
import json
from collections.abc import Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

from .errors import ModelError, RequestError
from .gguf_file import GgufFile

GPT2 = r"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+"
LLAMA3 = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+"
    r"|\s+(?!\S)|\s+"
)
QWEN2 = LLAMA3.replace(r"\p{N}{1,3}", r"\p{N}")
PATTERNS: dict[str, tuple[str, ...]] = {
    "default": (GPT2,),
    "gpt-2": (GPT2,),
    "smollm": (r"\p{N}", GPT2),
    "llama-bpe": (LLAMA3,),
    "qwen2": (QWEN2,),
}
"""How each pre-tokenizer (`tokenizer.ggml.pre`) cuts a text before pairs are merged, one pattern after the
other."""

CONTROL, USER_DEFINED = 3, 4
"""Types of tokens in GGUF files."""


class Tokenizer:
    """`end_tokens` end an answer; `begin` is put before a text that is completed, or None; `template` is the
    file's chat template, or "" ."""

    def __init__(
        self,
        tokenizer: Any,
        end_tokens: frozenset[int],
        begin: int | None,
        template: str = "",
        names: Mapping[str, str] | None = None,
    ):
        self._tokenizer = tokenizer
        self.end_tokens, self.begin, self.template = end_tokens, begin, template
        self._names = dict(names or {})
        self.vocabulary: int = tokenizer.get_vocab_size()
        self._added: dict[int, Any] = tokenizer.get_added_tokens_decoder()
        self._of_bytes = "ByteLevel" in repr(tokenizer.decoder)

    def tokens(self, text: str, special: bool = False) -> list[int]:
        """The tokens of a text; with `special`, names of control tokens in it are those tokens."""
        self._tokenizer.encode_special_tokens = not special
        return self._tokenizer.encode(text, add_special_tokens=False).ids

    def completion_prompt(self, text: str) -> tuple[int, ...]:
        """Tokens of a text that is to be completed as it is, the beginning token first where the file has
        one."""
        begin = [] if self.begin is None else [self.begin]
        return (*begin, *self.tokens(text))

    def text(self, tokens: Sequence[int]) -> str:
        """The text of tokens, control tokens left out. Bytes that are no character become U+FFFD."""
        return self._tokenizer.decode(list(tokens), skip_special_tokens=True)

    def piece(self, token: int) -> bytes:
        """The bytes that a token stands for, a control token's name among them. A character may be spread
        over several tokens."""
        word: str = self._tokenizer.id_to_token(token) or ""
        if token in self._added:
            return word.encode()
        if self._of_bytes:
            return bytes(number for letter in word if (number := _letter_bytes().get(letter)) is not None)
        if len(word) == 6 and word.startswith("<0x") and word.endswith(">"):
            return bytes([int(word[3:5], 16)])
        return word.replace("▁", " ").encode()

    def shown_bytes(self, token: int) -> bytes:
        """The same as `text` shows it: nothing for control tokens."""
        return b"" if token in self._added and self._added[token].special else self.piece(token)

    def hides(self, word: str) -> bool:
        """Whether a word is a control token, which `text` leaves out."""
        token: int | None = self._tokenizer.token_to_id(word)
        return token is not None and not self.shown_bytes(token)

    def as_json(self) -> str:
        """The whole tokenizer as the `tokenizers` package writes it."""
        return self._tokenizer.to_str()

    def chat_prompt(self, messages: Sequence[Mapping[str, Any]], **variables: Any) -> tuple[int, ...]:
        """Tokens of messages (`role`, `content`) by the file's own template, ready for an answer. The
        template runs in Jinja's sandbox. Raises RequestError where it refuses the messages, or there is
        none."""
        from jinja2.exceptions import TemplateError
        from jinja2.sandbox import ImmutableSandboxedEnvironment

        if not self.template:
            raise RequestError("messages", "the model's file has no chat template.", "Use completions.")

        def refuse(message: str) -> None:
            raise TemplateError(message)

        environment = ImmutableSandboxedEnvironment(
            trim_blocks=True, lstrip_blocks=True, extensions=["jinja2.ext.loopcontrols"]
        )
        environment.filters["tojson"] = _to_json
        environment.globals["raise_exception"] = refuse
        environment.globals["strftime_now"] = lambda form: datetime.now().strftime(form)
        try:
            text = environment.from_string(self.template).render(
                messages=list(messages), add_generation_prompt=True, **self._names, **variables
            )
        except TemplateError as error:
            raise RequestError("messages", f"the model's template refuses them: {error}") from error
        return tuple(self.tokens(text, special=True))


def _to_json(value: Any, indent: int | None = None) -> str:
    """JSON as it is, where Jinja's own filter escapes what HTML would take for tags."""
    return json.dumps(value, ensure_ascii=False, indent=indent)


@functools.cache
def _letter_bytes() -> dict[str, int]:
    """Byte of each letter that stands for one in tokenizers of byte pairs: printable characters of Latin-1
    for themselves, all other bytes for characters from 256 on, in order (Radford et al., 2019)."""
    printable = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    others = [number for number in range(256) if number not in printable]
    return {chr(k): k for k in printable} | {chr(256 + k): number for k, number in enumerate(others)}


def from_gguf(file: GgufFile) -> Tokenizer:
    """Raises ModelError for kinds of tokenizers that are not served."""
    from tokenizers import AddedToken

    kind, words = file.value("tokenizer.ggml.model"), file.value("tokenizer.ggml.tokens")
    types = file.value("tokenizer.ggml.token_type", [1] * len(words))
    if kind not in _KINDS:
        raise ModelError(
            f"{file.path}: a tokenizer of the kind {kind} is not served; {', '.join(_KINDS)} are."
        )
    made = _KINDS[kind](file, words)
    control = [AddedToken(w, normalized=False, special=True) for w, t in zip(words, types) if t == CONTROL]
    made.add_special_tokens(control)
    made.add_tokens(
        [AddedToken(w, normalized=False, special=False) for w, t in zip(words, types) if t == USER_DEFINED]
    )
    ends = {
        file.metadata[f"tokenizer.ggml.{name}_token_id"]
        for name in ("eos", "eot", "eom")
        if f"tokenizer.ggml.{name}_token_id" in file.metadata
    }
    ends |= {number for number, word in enumerate(words) if word in END_WORDS and types[number] == CONTROL}
    begin = file.metadata.get("tokenizer.ggml.bos_token_id")
    with_begin = file.metadata.get("tokenizer.ggml.add_bos_token", kind == "llama")
    names = {
        f"{name}_token": words[file.metadata[f"tokenizer.ggml.{name}_token_id"]]
        for name in ("bos", "eos")
        if f"tokenizer.ggml.{name}_token_id" in file.metadata
    }
    template = file.metadata.get("tokenizer.chat_template", "")
    return Tokenizer(made, frozenset(ends), begin if with_begin else None, template, names)


END_WORDS = frozenset({"<|im_end|>", "<|eot_id|>", "<end_of_turn>", "<|end|>", "<|endoftext|>"})
"""Control tokens that end a turn whatever the metadata say."""


def _byte_pairs(file: GgufFile, words: list[str]) -> Any:
    """Byte pairs as GPT-2 has them."""
    from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers

    name = file.value("tokenizer.ggml.pre", "default")
    if name not in PATTERNS:
        raise ModelError(
            f"{file.path}: the pre-tokenizer {name} is not served; {', '.join(PATTERNS)} are.",
        )
    merges = [tuple(merge.split(" ", 1)) for merge in file.value("tokenizer.ggml.merges")]
    made = Tokenizer(models.BPE({word: k for k, word in enumerate(words)}, merges, ignore_merges=False))
    cuts = [pre_tokenizers.Split(Regex(pattern), "isolated") for pattern in PATTERNS[name]]
    made.pre_tokenizer = pre_tokenizers.Sequence(
        [*cuts, pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)]
    )
    made.decoder = decoders.ByteLevel()
    return made


def _sentence_pieces(file: GgufFile, words: list[str]) -> Any:
    """SentencePiece's byte pairs: of all pairs that make a known word, the word with the best score first."""
    from tokenizers import Tokenizer, decoders, models, normalizers

    scores = file.value("tokenizer.ggml.scores")
    known = {word: k for k, word in enumerate(words)}
    merges = []
    for word, k in known.items():
        for cut in range(1, len(word)):
            left, right = word[:cut], word[cut:]
            if left in known and right in known:
                merges.append((-scores[k], known[left], known[right], left, right))
    merges.sort()
    made = Tokenizer(
        models.BPE(
            known,
            [(left, right) for *_, left, right in merges],
            unk_token=words[file.value("tokenizer.ggml.unknown_token_id", 0)],
            fuse_unk=True,
            byte_fallback=True,
        )
    )
    prefix = file.metadata.get("tokenizer.ggml.add_space_prefix", True)
    first = [normalizers.Prepend("▁")] if prefix else []
    made.normalizer = normalizers.Sequence([*first, normalizers.Replace(" ", "▁")])
    strip = [decoders.Strip(" ", 1, 0)] if prefix else []
    made.decoder = decoders.Sequence(
        [decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse(), *strip]
    )
    return made


_KINDS = {"gpt2": _byte_pairs, "llama": _sentence_pieces}


def from_folder(folder: Path, config: Any) -> Tokenizer:
    """The tokenizer that lies beside a model's safetensors. Raises ModelError."""
    from transformers import AutoTokenizer

    try:
        given: Any = AutoTokenizer.from_pretrained(folder, local_files_only=True)
    except (OSError, ValueError) as error:
        raise ModelError(
            f"{folder} holds no tokenizer that the transformers library loads: {error}"
        ) from error
    ends = config.eos_token_id if config.eos_token_id is not None else given.eos_token_id
    many = ends if isinstance(ends, list) else [ends]
    begins = given.bos_token_id is not None and given("x").input_ids[:1] == [given.bos_token_id]
    names = {"bos_token": given.bos_token or "", "eos_token": given.eos_token or ""}
    return Tokenizer(
        given.backend_tokenizer,
        frozenset(end for end in many if end is not None),
        given.bos_token_id if begins else None,
        given.chat_template or "",
        names,
    )
