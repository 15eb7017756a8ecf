"""Answers that keep a form: JSON by a schema, and calls of functions."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest
from tests.serve.http import echo

openai = pytest.importorskip("openai")
jsonschema = pytest.importorskip("jsonschema")
pytest.importorskip("llguidance")
pytest.importorskip("fastapi")
pytest.importorskip("uvicorn")
pytest.importorskip("prometheus_client")

POINT = {
    "type": "object",
    "properties": {"x": {"type": "integer"}, "y": {"enum": ["left", "right"]}},
    "required": ["x", "y"],
    "additionalProperties": False,
}


@pytest.fixture(scope="module")
def client() -> Iterator[Any]:
    with echo.served(context_length=2048, pages=1024) as model, echo.running(model) as url:
        yield openai.OpenAI(base_url=f"{url}/v1", api_key="none", max_retries=0)


def ask(client: Any, text: str, **more: Any) -> Any:
    given: dict[str, Any] = {"model": "echo", "temperature": 0, "max_tokens": 200, **more}
    return client.chat.completions.create(messages=[{"role": "user", "content": text}], **given)


def by(schema: dict[str, Any], **more: Any) -> dict[str, Any]:
    return {"type": "json_schema", "json_schema": {"name": "answer", "schema": schema, **more}}


def function(name: str, parameters: dict[str, Any], **more: Any) -> dict[str, Any]:
    return {"type": "function", "function": {"name": name, "parameters": parameters, **more}}


def call(name: str, arguments: dict[str, Any]) -> str:
    given = json.dumps(arguments, separators=(",", ":"))
    return f'<tool_call>\n{{"name": "{name}", "arguments": {given}}}\n</tool_call>'


TOOLS = [function("move", POINT), function("stop", {"type": "object", "properties": {}})]

# ---- documents ------------------------------------------------------------------------------------


def test_a_document_keeps_its_schema(client) -> None:
    good = '{"x":-12,"y":"left"}'
    assert ask(client, good, response_format=by(POINT, strict=True)).choices[0].message.content == good
    for text in ('{"y":"left","x":1}', "no JSON at all", '{"x": 1, "y": "up"}', '{"x":"1","y":"right"}'):
        found = ask(client, text, response_format=by(POINT)).choices[0]
        if found.finish_reason == "stop":
            jsonschema.validate(json.loads(found.message.content), POINT)
    found = ask(client, '{"anything":[1,null]}', response_format={"type": "json_object"})
    assert found.choices[0].message.content == '{"anything":[1,null]}'
    found = ask(client, "[1]", response_format={"type": "json_object"}, max_tokens=1)
    assert (found.choices[0].message.content, found.choices[0].finish_reason) == ("{", "length")


def test_models_of_pydantic(client) -> None:
    pydantic = pytest.importorskip("pydantic")
    Point = pydantic.create_model("Point", x=(int, ...), name=(str, ...))
    found = client.chat.completions.parse(
        model="echo",
        messages=[{"role": "user", "content": '{"x":3,"name":"ünd"}'}],
        response_format=Point,
        temperature=0,
    )
    assert (found.choices[0].message.parsed.x, found.choices[0].message.parsed.name) == (3, "ünd")


@pytest.mark.parametrize("stream", [False, True])
def test_what_is_not_enforced_is_said_and_checked(client, stream: bool) -> None:
    schema = {"type": "array", "items": {"type": "integer"}, "uniqueItems": True}
    raw = client.chat.completions.with_raw_response.create(
        model="echo", temperature=0, messages=[{"role": "user", "content": "[1,2]"}], stream=stream,
        response_format=by(schema),
    )  # fmt: skip
    assert raw.headers["x-anychip-unenforced"] == "uniqueItems"
    with pytest.raises(openai.APIError, match=r"not as its schema has it.*non-unique") as refused:
        list(ask(client, "[1,1]", response_format=by(schema), stream=stream))
    assert refused.value.code == "schema_mismatch"
    with pytest.raises(openai.BadRequestError, match="uniqueItems") as refused:
        ask(client, "[1,2]", response_format=by(schema, strict=True))
    assert refused.value.param == "response_format"


def test_regular_expressions_are_searched_for_and_do_not_run_for_ever(client) -> None:
    schema = {"type": "string", "pattern": "^(a+)+$"}
    text = '"' + "a" * 40 + '"'
    assert ask(client, text, response_format=by(schema)).choices[0].message.content == text
    found = ask(client, '"abc"', response_format=by({"type": "string", "pattern": "b"}))
    assert found.choices[0].message.content == '"abc"'


@pytest.mark.parametrize(
    ("field", "given"),
    [
        ("response_format", {"response_format": by({"type": "strin"})}),
        ("response_format", {"response_format": by({"$ref": "https://example.org/a.json"})}),
        ("response_format", {"response_format": by({"type": "string", "pattern": "("})}),
        ("response_format.json_schema", {"response_format": {"type": "json_schema"}}),
        ("response_format.type", {"response_format": {"type": "yaml"}}),
        ("response_format", {"response_format": by(POINT), "tools": TOOLS}),
        ("ignore_eos", {"response_format": by(POINT), "extra_body": {"ignore_eos": True}}),
        ("tools", {"tools": [TOOLS[0], TOOLS[0]]}),
        ("tools", {"tools": [function("f", {"type": "number", "minimum": "x"})]}),
        ("tools.0.function.name", {"tools": [function("a b", {})]}),
        ("tools.0.type", {"tools": [{"type": "web_search"}]}),
        ("tool_choice", {"tools": TOOLS, "tool_choice": {"type": "function", "function": {"name": "fly"}}}),
        ("tool_choice", {"tools": TOOLS, "tool_choice": "perhaps"}),
        ("tool_choice", {"tool_choice": "required"}),
    ],
)
def test_errors_name_the_field(client, field: str, given: dict[str, Any]) -> None:
    with pytest.raises(openai.BadRequestError) as refused:
        ask(client, "x", **given)
    assert refused.value.param == field


# ---- functions ------------------------------------------------------------------------------------


def streamed(chunks: Any) -> tuple[str, list[dict[str, str]], str]:
    """Text, calls and reason out of a stream."""
    text, calls, reason = "", [], ""
    for chunk in chunks:
        choice = chunk.choices[0]
        text += choice.delta.content or ""
        for one in choice.delta.tool_calls or []:
            if one.function.name:
                assert one.index == len(calls)
                calls.append({"name": one.function.name, "id": one.id, "arguments": ""})
            calls[one.index]["arguments"] += one.function.arguments
        reason = choice.finish_reason or reason
    return text, calls, reason


@pytest.mark.parametrize("stream", [False, True])
def test_text_and_calls_side_by_side(client, stream: bool) -> None:
    text = f"I go <now>. {call('move', {'x': 1, 'y': 'left'})}\n{call('stop', {})}"
    found = ask(client, text, tools=TOOLS, stream=stream)
    if stream:
        said, calls, reason = streamed(found)
    else:
        message, reason = found.choices[0].message, found.choices[0].finish_reason
        said = message.content
        calls = [
            {"name": c.function.name, "id": c.id, "arguments": c.function.arguments}
            for c in message.tool_calls
        ]
    assert (said, reason) == ("I go <now>. ", "tool_calls")
    assert [(one["name"], json.loads(one["arguments"])) for one in calls] == [
        ("move", {"x": 1, "y": "left"}),
        ("stop", {}),
    ]
    assert len({one["id"] for one in calls}) == 2


def test_arguments_keep_their_schema(client) -> None:
    found = ask(client, call("move", {"x": "far", "y": "up"}), tools=TOOLS).choices[0]
    if found.finish_reason == "tool_calls":
        jsonschema.validate(json.loads(found.message.tool_calls[0].function.arguments), POINT)
    else:
        assert found.finish_reason == "length"


def test_choices(client) -> None:
    plain = ask(client, "no call", tools=TOOLS).choices[0]
    assert (plain.message.content, plain.message.tool_calls, plain.finish_reason) == ("no call", None, "stop")
    text = call("stop", {})
    none = ask(client, text, tools=TOOLS, tool_choice="none").choices[0]
    assert (none.message.content, none.message.tool_calls) == (text, None)
    must = ask(client, text, tools=TOOLS, tool_choice="required").choices[0]
    assert must.message.tool_calls[0].function.name == "stop"
    named = ask(client, text, tools=TOOLS, tool_choice={"type": "function", "function": {"name": "stop"}})
    assert [one.function.name for one in named.choices[0].message.tool_calls] == ["stop"]
    alone = ask(client, f"{text}\n{text}", tools=TOOLS, parallel_tool_calls=False).choices[0]
    assert len(alone.message.tool_calls) == 1


def test_a_conversation_with_results(client) -> None:
    found = client.chat.completions.create(
        model="echo",
        temperature=0,
        messages=[
            {"role": "user", "content": "go"},
            {
                "role": "assistant",
                "content": None,
                "tool_calls": [
                    {"id": "call_1", "type": "function", "function": {"name": "stop", "arguments": "{}"}}
                ],
            },
            {"role": "tool", "tool_call_id": "call_1", "content": "done"},
            {"role": "user", "content": "thanks"},
        ],
        tools=TOOLS,
    )
    assert found.choices[0].message.content == "thanks"


def test_what_templates_are_told() -> None:
    from anychip.serve.http import tools

    offered = [tools.Function("f", "does it", {"type": "object"})]
    said = [
        {"role": "user", "content": "go"},
        {
            "role": "assistant",
            "content": "",
            "tool_calls": [{"function": {"name": "f", "arguments": {"a": 1}}}],
        },
        {"role": "tool", "content": "done"},
    ]
    told = tools.told(said, offered)
    assert [one["role"] for one in told] == ["system", "user", "assistant", "user"]
    assert '"name": "f"' in told[0]["content"]
    assert told[2]["content"] == '<tool_call>\n{"name": "f", "arguments": {"a": 1}}\n</tool_call>'
    assert "done" in told[3]["content"]
    assert not tools.is_native(echo.TEMPLATE)
    words = echo.tokenizer()
    words.template = "{% for t in tools %}{{ t | tojson }}{% endfor %}<tool_call>"
    assert tools.is_native(words.template)
    prompt = words.chat_prompt([], tools=[{"a": "<b> ü"}])
    assert words.text(prompt) == '{"a": "<b> ü"}<tool_call>'
