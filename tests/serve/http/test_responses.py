"""/v1/responses as the `openai` package sees it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest
from tests.serve.http import echo

pytest.importorskip("llguidance")
pytest.importorskip("fastapi")
pytest.importorskip("uvicorn")
pytest.importorskip("prometheus_client")
pytest.importorskip("jsonschema")

from tests.serve.http.test_forms import POINT, call

openai = pytest.importorskip("openai")

TOOLS = [{"type": "function", "name": "move", "parameters": POINT, "strict": True}]


@pytest.fixture(scope="module")
def client() -> Iterator[Any]:
    with echo.served(context_length=2048, pages=1024) as model, echo.running(model) as url:
        yield openai.OpenAI(base_url=f"{url}/v1", api_key="none", max_retries=0)


def ask(client: Any, given: Any, **more: Any) -> Any:
    return client.responses.create(**{"model": "echo", "input": given, "temperature": 0, **more})


def test_a_text(client) -> None:
    found = ask(client, "Grüße", instructions="be brief", store=False)
    assert found.output_text == "Grüße"
    assert (found.status, found.instructions, found.store) == ("completed", "be brief", False)
    assert found.usage.output_tokens == 8
    assert found.usage.total_tokens == found.usage.input_tokens + 8
    short = ask(
        client, [{"role": "user", "content": [{"type": "input_text", "text": "abc"}]}], max_output_tokens=2
    )
    assert (short.output_text, short.status) == ("ab", "incomplete")
    assert short.incomplete_details.reason == "max_output_tokens"


def test_events_come_in_order(client) -> None:
    text = f"so: {call('move', {'x': 1, 'y': 'left'})}"
    events = list(ask(client, text, tools=TOOLS, stream=True))
    assert [event.sequence_number for event in events] == list(range(len(events)))
    kinds = [event.type.removeprefix("response.") for event in events]
    once = [kind for k, kind in enumerate(kinds) if kind != "output_text.delta" or kinds[k - 1] != kind]
    once = [
        kind for k, kind in enumerate(once) if kind != "function_call_arguments.delta" or once[k - 1] != kind
    ]
    assert once == [
        "created", "in_progress", "output_item.added", "content_part.added", "output_text.delta",
        "output_text.done", "content_part.done", "output_item.done", "output_item.added",
        "function_call_arguments.delta", "function_call_arguments.done", "output_item.done", "completed",
    ]  # fmt: skip
    last = events[-1].response
    assert [item.type for item in last.output] == ["message", "function_call"]
    assert last.output[0].content[0].text == "so: "
    deltas = "".join(event.delta for event in events if event.type.endswith("arguments.delta"))
    assert json.loads(deltas) == json.loads(last.output[1].arguments) == {"x": 1, "y": "left"}


def test_results_of_calls_and_documents(client) -> None:
    first = ask(client, call("move", {"x": 1, "y": "left"}), tools=TOOLS, tool_choice="required").output[0]
    found = ask(
        client,
        [
            {"role": "user", "content": "go"},
            first.model_dump(),
            {"type": "function_call_output", "call_id": first.call_id, "output": "done"},
            {"role": "user", "content": "thanks"},
        ],
        tools=TOOLS,
    )
    assert found.output_text == "thanks"
    form = {"type": "json_schema", "name": "point", "schema": POINT, "strict": True}
    document = ask(client, '{"x":1,"y":"right"}', text={"format": form})
    assert json.loads(document.output_text) == {"x": 1, "y": "right"}


@pytest.mark.parametrize(
    ("field", "given"),
    [
        ("previous_response_id", {"previous_response_id": "resp_1"}),
        ("store", {"store": True}),
        ("max_output_tokens", {"max_output_tokens": 0}),
        ("max_output_tokens", {"max_output_tokens": "many"}),
        ("input", {"input": "x" * 3000}),
        ("input.0.type", {"input": [{"type": "item_reference", "id": "a"}]}),
        ("input.0.role", {"input": [{"role": "ghost", "content": "x"}]}),
        ("tools.0.type", {"tools": [{"type": "web_search"}]}),
        ("text.format", {"text": {"format": {"type": "json_schema", "name": "a", "schema": {"type": "x"}}}}),
    ],
)
def test_errors_name_the_field(client, field: str, given: dict[str, Any]) -> None:
    with pytest.raises(openai.BadRequestError) as refused:
        ask(client, **{"given": "x", **given}) if "input" not in given else ask(client, given["input"])
    assert refused.value.param == field


def test_an_error_is_a_streams_last_event(client) -> None:
    form = {"type": "json_schema", "name": "a", "schema": {"type": "array", "uniqueItems": True}}
    *events, last = ask(client, "[1,1]", text={"format": form}, stream=True)
    assert (last.type, last.code, last.sequence_number) == ("error", "schema_mismatch", len(events))
    assert "non-unique" in last.message
