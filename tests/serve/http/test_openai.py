"""The server as the `openai` package sees it."""

from __future__ import annotations

import base64
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from tests.serve.http import echo

openai = pytest.importorskip("openai")
pytest.importorskip("fastapi")
pytest.importorskip("uvicorn")
pytest.importorskip("prometheus_client")


@pytest.fixture(scope="module")
def client() -> Iterator[Any]:
    with echo.served() as model, echo.running(model, key="secret") as url:
        yield openai.OpenAI(base_url=f"{url}/v1", api_key="secret", max_retries=0)


def said(text: str) -> list[Any]:
    return [{"role": "user", "content": text}]


def test_models(client) -> None:
    assert [model.id for model in client.models.list()] == ["echo"]
    assert client.models.retrieve("echo").owned_by == "anychip"
    with pytest.raises(openai.NotFoundError, match="'other' is not served"):
        client.models.retrieve("other")


class Adapted(echo.Echo):
    """Notes which adapters prompts are read with."""

    def __init__(self) -> None:
        super().__init__(128)
        self.adapters: list[int] = []

    def read(self, tokens, start: int, pages, hidden_alone: bool = False, adapter: int = 0):
        self.adapters.append(adapter)
        return super().read(tokens, start, pages, hidden_alone)


def test_adapters_are_models_by_name() -> None:
    steps = Adapted()
    with echo.served(steps, ("poet", "clerk")) as model, echo.running(model) as url:
        client = openai.OpenAI(base_url=f"{url}/v1", api_key="none", max_retries=0)
        listed = {one.id: getattr(one, "parent", None) for one in client.models.list()}
        assert listed == {"echo": None, "poet": "echo", "clerk": "echo"}
        for name in ("clerk", "echo", "poet"):
            found = client.chat.completions.create(model=name, messages=said("hé"), temperature=0)
            assert (found.model, found.choices[0].message.content) == (name, "hé")
        client.completions.create(model="clerk", prompt="abc", max_tokens=2)
        client.embeddings.create(model="poet", input="abc")
        with pytest.raises(openai.NotFoundError, match=r"'other' is not served here; 'echo', 'poet'"):
            client.completions.create(model="other", prompt="abc")
    assert steps.adapters == [2, 0, 1, 2, 1]


def test_an_answer(client) -> None:
    found = client.chat.completions.create(model="echo", messages=said("Grüße, 世界"), temperature=0)
    assert found.choices[0].message.content == "Grüße, 世界"
    assert found.choices[0].finish_reason == "stop"
    tokens = len("Grüße, 世界".encode())
    assert found.usage.prompt_tokens == tokens + 2
    assert found.usage.completion_tokens == tokens + 1
    assert found.usage.total_tokens == 2 * tokens + 3


def test_a_stream_has_whole_characters_and_the_usage(client) -> None:
    text = "日本語 👩‍👩‍👧 ok"
    stream = client.chat.completions.create(
        model="echo", messages=said(text), temperature=0, stream=True, stream_options={"include_usage": True}
    )
    chunks = list(stream)
    assert chunks[0].choices[0].delta.role == "assistant"
    pieces = [chunk.choices[0].delta.content or "" for chunk in chunks[:-1]]
    assert "".join(pieces) == text
    assert not any("\ufffd" in piece for piece in pieces)
    assert len([piece for piece in pieces if piece]) > 3
    assert [chunk.choices[0].finish_reason for chunk in chunks[-3:-1]] == [None, "stop"]
    assert chunks[-1].choices == []
    assert chunks[-1].usage.completion_tokens == len(text.encode()) + 1


@pytest.mark.parametrize("stream", [False, True])
def test_nothing_of_a_stop_string_is_told(client, stream: bool) -> None:
    """Each letter is a token; logprobs do not tell either."""
    given = client.chat.completions.create(
        model="echo", messages=said("one STOX STOP two"), temperature=0, stop=["STOP", "never"],
        stream=stream, logprobs=True,
    )  # fmt: skip
    if stream:
        choices = [chunk.choices[0] for chunk in given]
        text = "".join(choice.delta.content or "" for choice in choices)
        tokens = [one.token for choice in choices if choice.logprobs for one in choice.logprobs.content]
    else:
        choices = given.choices
        text, tokens = choices[0].message.content, [one.token for one in choices[0].logprobs.content]
    assert text == "one STOX "
    assert "".join(tokens) == text
    assert choices[-1].finish_reason == "stop"


def test_logprobs(client) -> None:
    found = client.chat.completions.create(
        model="echo", messages=said("é!"), temperature=0, logprobs=True, top_logprobs=2
    )
    content = found.choices[0].logprobs.content
    assert b"".join(bytes(one.bytes) for one in content).decode() == "é!"
    assert all(one.logprob == one.top_logprobs[0].logprob for one in content)
    assert content[0].top_logprobs[0].logprob - content[0].top_logprobs[1].logprob == pytest.approx(2.0)
    old = client.completions.create(model="echo", prompt="ab", max_tokens=3, temperature=0, logprobs=1)
    told = old.choices[0].logprobs
    assert "".join(told.tokens) == old.choices[0].text
    assert told.text_offset == [0, 1, 2]
    assert told.top_logprobs[0] == {told.tokens[0]: told.token_logprobs[0]}


def test_several_answers_with_seeds(client) -> None:
    def ask(**more: Any) -> list[str]:
        found = client.chat.completions.create(
            model="echo", messages=said("abcdefghijklmnop"), temperature=3.0, n=4, max_completion_tokens=16,
            extra_body={"ignore_eos": True}, **more,
        )  # fmt: skip
        assert [choice.index for choice in found.choices] == [0, 1, 2, 3]
        assert found.usage.completion_tokens == 64
        return [choice.message.content for choice in found.choices]

    first = ask(seed=7)
    assert ask(seed=7) == first
    assert ask(seed=1000) != first
    assert len(set(first)) > 1


def test_bias_penalties_and_length(client) -> None:
    token = ord("b") - 33 + 2
    found = client.chat.completions.create(
        model="echo", messages=said("aaa"), temperature=0, logit_bias={str(token): 50}, max_tokens=2
    )
    assert len(found.choices[0].message.content) == 2
    assert set(found.choices[0].message.content) == {echo.tokenizer().text([token])}
    assert found.choices[0].finish_reason == "length"
    found = client.chat.completions.create(
        model="echo", messages=said("aaaa"), temperature=0, frequency_penalty=2.0, max_tokens=4
    )
    assert found.choices[0].message.content == "aaba"
    drawn = client.chat.completions.create(
        model="echo", messages=said("abcd" * 8), temperature=2.0, extra_body={"min_p": 0.9}
    )
    assert drawn.choices[0].message.content == "abcd" * 8


def test_prompts_of_texts_and_tokens(client) -> None:
    texts = client.completions.create(model="echo", prompt=["abc", "xyz"], max_tokens=4, temperature=0, n=2)
    assert [choice.index for choice in texts.choices] == [0, 1, 2, 3]
    assert texts.usage.prompt_tokens == 8
    tokens = echo.tokenizer().completion_prompt("abc")
    alone = client.completions.create(model="echo", prompt=list(tokens), max_tokens=4, temperature=0)
    assert alone.choices[0].text == texts.choices[0].text == texts.choices[1].text


@pytest.mark.parametrize("form", ["float", "base64", openai.NOT_GIVEN])
def test_embeddings(client, form: Any) -> None:
    texts = ["a" * (1 + k % 5) for k in range(40)]
    found = client.embeddings.create(model="echo", input=texts, encoding_format=form)
    assert [one.index for one in found.data] == list(range(40))
    assert found.usage.prompt_tokens == sum(len(text) + 1 for text in texts)
    vectors = [one.embedding for one in found.data]
    if form == "base64":
        vectors = [np.frombuffer(base64.b64decode(text), "<f4") for text in vectors]
    token = echo.tokenizer().tokens("a")[0]
    for text, vector in zip(texts, vectors, strict=True):
        wanted = np.array([len(text) + 1.0, token])
        assert np.allclose(vector, wanted / np.linalg.norm(wanted))
    with pytest.raises(openai.BadRequestError, match="256 tokens") as refused:
        client.embeddings.create(model="echo", input=["a", "b" * 300])
    assert refused.value.param == "input"
    with pytest.raises(openai.BadRequestError, match="dimensions"):
        client.embeddings.create(model="echo", input="a", dimensions=5)


@pytest.mark.parametrize(
    ("field", "given"),
    [
        ("temperature", {"temperature": -1}),
        ("temperature", {"temperature": "hot"}),
        ("top_p", {"top_p": 0.0}),
        ("n", {"n": 0}),
        ("n", {"n": True}),
        ("stop", {"stop": ["a"] * 17}),
        ("stop", {"stop": ""}),
        ("logit_bias", {"logit_bias": {"x": 1}}),
        ("logit_bias", {"logit_bias": {"5": 101}}),
        ("logit_bias", {"logit_bias": {"99999": 1}}),
        ("top_logprobs", {"top_logprobs": 3}),
        ("stream_options", {"stream_options": {"include_usage": True}}),
        ("audio", {"audio": {"voice": "a", "format": "wav"}}),
        ("messages.0.content", {"messages": [{"role": "user", "content": [{"type": "image_url"}]}]}),
        ("messages.0.role", {"messages": [{"role": "ghost", "content": "x"}]}),
        ("messages", {"messages": []}),
        ("colour", {"extra_body": {"colour": "red"}}),
    ],
)
def test_errors_name_the_field(client, field: str, given: dict[str, Any]) -> None:
    with pytest.raises(openai.BadRequestError) as refused:
        client.chat.completions.create(**{"model": "echo", "messages": said("x"), **given})
    assert refused.value.param == field
    assert field in str(refused.value)


def test_what_asks_for_nothing_is_taken(client) -> None:
    found = client.chat.completions.create(
        model="echo",
        messages=[
            {"role": "developer", "content": ""},
            {"role": "assistant", "content": "", "refusal": None, "tool_calls": []},
            {"role": "user", "content": [{"type": "text", "text": "a"}, {"type": "text", "text": "b"}]},
        ],
        temperature=0, user="me", store=False, modalities=["text"], metadata={"a": "b"},
    )  # fmt: skip
    assert found.choices[0].message.content == "ab"


def test_too_long_a_context_is_told_with_the_numbers(client) -> None:
    with pytest.raises(
        openai.BadRequestError, match=r"256 tokens.*302 tokens \(301 in the messages"
    ) as refused:
        client.chat.completions.create(model="echo", messages=said("x" * 299))
    assert refused.value.code == "context_length_exceeded"
    with pytest.raises(openai.BadRequestError, match=r"4 in the prompt, 300 in the completion"):
        client.completions.create(model="echo", prompt="abc", max_tokens=300)


def test_a_wrong_key_and_a_wrong_model(client) -> None:
    with pytest.raises(openai.AuthenticationError):
        client.with_options(api_key="secre").models.list()
    with pytest.raises(openai.NotFoundError):
        client.chat.completions.create(model="gpt-4o", messages=said("x"))
