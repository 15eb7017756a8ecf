"""Damaged TTIR is parsed or refused with an error of our own, and never breaks anything else."""

from __future__ import annotations

import re
from functools import cache

from hypothesis import given, settings
from hypothesis import strategies as st
from tests.kernels.catalogue import CASES

from anychip.compiler.errors import CompileError
from anychip.compiler.ir.inline import inline_calls
from anychip.compiler.ir.lexer import TOKEN, tokenise
from anychip.compiler.ir.parser import parse
from anychip.compiler.ir.printer import print_module
from anychip.compiler.ir.verifier import verify

KERNELS = (
    "add",
    "casts",
    "softmax",
    "arg_max_min",
    "welford",
    "scans",
    "gather_rows",
    "matmul",
    "scaled_dot",
    "atomics",
    "spin_lock",
    "pointer_table",
    "shapes",
    "collatz",
    "early_return",
    "calls",
    "mapped",
    "effects",
)


@cache
def _texts() -> tuple[str, ...]:
    """Dumps with locations, and the same without: most damage would be in the locations otherwise."""
    with_locations = [CASES[name].ttir() for name in KERNELS]
    without = [print_module(parse(text), locations=False) for text in with_locations]
    pretty = [_without_locations(text) for text in with_locations]
    return (*with_locations, *without, *pretty)


def _without_locations(text: str) -> str:
    text = re.sub(r"(?m)^#loc.*\n", "", text)
    return re.sub(r' loc\((?:[^()"]|"[^"]*"|\((?:[^()]|\([^()]*\))*\))*\)', "", text)


@cache
def _tokens_by_kind() -> dict[str, list[str]]:
    found: dict[str, set[str]] = {}
    for text in _texts():
        for token in TOKEN.findall(text):
            if len(token) < 60:
                found.setdefault(_kind(token), set()).add(token)
    return {kind: sorted(tokens) for kind, tokens in found.items()}


def _kind(token: str) -> str:
    """Tokens of one kind can stand in for one another."""
    if token[0].isdigit() or token[0] == "-":
        return "number"
    if token[0].isalpha():
        return "operation" if "." in token else "word"
    return token[0]


def _compile(text: str) -> bool:
    """Whether the front of the compiler accepts `text`; any error but `CompileError` escapes."""
    try:
        module = parse(text)
        verify(module)
    except CompileError as error:
        return not str(error)
    printed = print_module(module)
    verify(parse(printed))
    try:
        inline_calls(module)
    except CompileError:
        return False
    verify(module)
    return True


def test_undamaged_texts_are_accepted() -> None:
    assert all(map(_compile, _texts()))


@given(st.data())
def test_truncated(data: st.DataObject) -> None:
    text = data.draw(st.sampled_from(_texts()))
    end = data.draw(st.integers(0, len(text)))
    _compile(text[:end])


@given(st.data())
def test_characters_replaced(data: st.DataObject) -> None:
    text = list(data.draw(st.sampled_from(_texts())))
    for _ in range(data.draw(st.integers(1, 4))):
        text[data.draw(st.integers(0, len(text) - 1))] = data.draw(st.characters(codec="utf-8"))
    _compile("".join(text))


@settings(max_examples=300)
@given(st.data())
def test_tokens_replaced_by_others_of_their_kind(data: st.DataObject) -> None:
    text = data.draw(st.sampled_from(_texts()))
    places = list(TOKEN.finditer(text))
    for _ in range(data.draw(st.integers(1, 2))):
        place = data.draw(st.sampled_from(places))
        others = _tokens_by_kind().get(_kind(place.group()), [""])
        text = f"{text[: place.start()]}{data.draw(st.sampled_from(others))}{text[place.end() :]}"
        places = list(TOKEN.finditer(text))
    _compile(text)


@given(st.data())
def test_lines_moved_removed_and_doubled(data: st.DataObject) -> None:
    lines = data.draw(st.sampled_from(_texts())).splitlines()
    source = data.draw(st.integers(0, len(lines) - 1))
    line = lines[source] if data.draw(st.booleans()) else lines.pop(source)
    if data.draw(st.booleans()):
        lines.insert(data.draw(st.integers(0, len(lines))), line)
    _compile("\n".join(lines))


@given(st.text())
def test_any_text(text: str) -> None:
    _compile(text)


@given(
    st.lists(
        st.sampled_from(
            [
                "module",
                "{",
                "}",
                "tt.func",
                "@f",
                "(",
                ")",
                "%a",
                ":",
                "i32",
                "tt.return",
                "scf.if",
                "=",
                "arith.addi",
                ",",
                "^bb1",
                "loc",
                "loc(#loc)",
                "#loc = loc(",
                "dense",
                "<",
                ">",
                "[",
                "]",
                "1",
                "0x",
                "\0",
                '"',
            ]
        )
    )
)
def test_any_tokens(tokens: list[str]) -> None:
    _compile(" ".join(tokens))


@given(st.text(alphabet='tensor<!p.8x>%^@#"-0 \n\\/('))
def test_tokens_are_all_of_the_text(text: str) -> None:
    """Nothing but white space and comments is lost between tokens."""
    joined = "".join(token for token in tokenise(text) if token != "\0")
    without = "".join(token for token in TOKEN.findall(text) if not token.startswith("//"))
    assert joined == without
    assert re.sub(r"\s", "", "".join(TOKEN.findall(text))) == re.sub(r"\s", "", text)
