"""/v1/responses, text and functions, nothing stored: bodies become those of chat completions, answers have
the items and events of this interface. Flows in: a body, events of an engine. Flows out: a response, or its
events."""

from __future__ import annotations

import secrets
import time
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from typing import Annotated, Any, Literal

from pydantic import BaseModel, Field

from ..requests import FinishEvent, FinishReason, Usage
from .answers import Answers
from .bodies import STRICT, ChatBody, OfferedFunction, read
from .errors import ApiError
from .rules import AnswerRules
from .tools import Call, Calls

Json = dict[str, Any]


class FlatTool(OfferedFunction):
    """A function, whose fields stand beside its type here."""

    type: Literal["function"]


class TextOptions(BaseModel):
    """What form the text has: fields of a schema stand beside its type here."""

    model_config = STRICT
    format: dict[str, Any] = {"type": "text"}


class ResponsesBody(BaseModel):
    """/v1/responses."""

    model_config = STRICT
    model: str | None = None
    input: str | list[dict[str, Any]]
    instructions: str | None = None
    max_output_tokens: int | None = Field(None, ge=1)
    temperature: float | None = None
    top_p: float | None = None
    tools: list[FlatTool] = []
    tool_choice: Any = None
    parallel_tool_calls: bool | None = None
    text: Annotated[TextOptions, Field(default_factory=TextOptions)]
    stream: bool | None = None

    def as_chat(self) -> ChatBody:
        """The same as a chat completion's body. Raises ApiError, with this interface's names of fields."""
        given = {
            "model": self.model,
            "messages": self._messages(),
            "max_completion_tokens": self.max_output_tokens,
            "temperature": self.temperature,
            "top_p": self.top_p,
            "tools": [_nested(tool) for tool in self.tools] or None,
            "tool_choice": self.tool_choice,
            "parallel_tool_calls": self.parallel_tool_calls,
            "response_format": self._form(),
            "stream": self.stream,
        }
        try:
            return read(ChatBody, {name: value for name, value in given.items() if value is not None})
        except ApiError as error:
            raise renamed(error) from None

    def _form(self) -> Json | None:
        kind = self.text.format.get("type")
        if kind != "json_schema":
            return dict(self.text.format)
        return {"type": kind, kind: {name: x for name, x in self.text.format.items() if name != "type"}}

    def _messages(self) -> list[Json]:
        said: list[Json] = []
        if self.instructions:
            said.append({"role": "system", "content": self.instructions})
        items = [{"role": "user", "content": self.input}] if isinstance(self.input, str) else self.input
        for place, item in enumerate(items):
            kind = item.get("type", "message")
            if kind not in ITEMS:
                name = f"input.{place}.type"
                raise ApiError(
                    400, f"{name}: items of the type {kind} are not served.", name, "invalid_value"
                )
            made = {new: item[old] for old, new in ITEMS[kind].items() if old in item}
            if kind == "function_call":
                call = {"id": made.pop("id", None), "type": "function", "function": made}
                if said and said[-1].get("tool_calls"):
                    said[-1]["tool_calls"].append(call)
                else:
                    said.append({"role": "assistant", "content": "", "tool_calls": [call]})
            else:
                said.append({"role": "tool", **made} if kind == "function_call_output" else made)
        return said


ITEMS: dict[str, dict[str, str]] = {
    "message": {"role": "role", "content": "content"},
    "function_call": {"call_id": "id", "name": "name", "arguments": "arguments"},
    "function_call_output": {"call_id": "tool_call_id", "output": "content"},
}
"""Types of items, and what their fields are called in messages. Others of their fields say nothing new."""
NAMES = {"messages": "input", "max_completion_tokens": "max_output_tokens", "response_format": "text.format"}


def _nested(tool: FlatTool) -> Json:
    return {"type": "function", "function": tool.model_dump(exclude={"type"}, exclude_none=True)}


def renamed(error: ApiError) -> ApiError:
    """An error of a chat completion with the names that fields have here."""
    first, dot, rest = (error.param or "").partition(".")
    if first not in NAMES:
        return error
    name = NAMES[first] + dot + rest
    return ApiError(error.status, str(error).replace(str(error.param), name, 1), name, error.code)


class ResponseForm:
    """An answer as a response of items: a message where there is text, and calls."""

    has_named_events = True

    def __init__(self, body: ResponsesBody, model: str, rules: AnswerRules):
        self._rules, self._calls = rules, Calls()
        self._items: list[Json] = []
        self._open = False
        self._number = 0
        self._response: Json = {
            "id": f"resp_{secrets.token_hex(16)}",
            "object": "response",
            "created_at": int(time.time()),
            "status": "in_progress",
            "error": None,
            "incomplete_details": None,
            "instructions": body.instructions,
            "max_output_tokens": body.max_output_tokens,
            "metadata": {},
            "model": model,
            "output": [],
            "parallel_tool_calls": body.parallel_tool_calls is not False,
            "previous_response_id": None,
            "store": False,
            "temperature": 1.0 if body.temperature is None else body.temperature,
            "text": {"format": body.text.format},
            "tool_choice": body.tool_choice or "auto",
            "tools": [tool.model_dump() for tool in body.tools],
            "top_p": 1.0 if body.top_p is None else body.top_p,
            "truncation": "disabled",
            "usage": None,
        }

    async def whole(self, answers: Answers) -> Json:
        """The response when all of it is there."""
        async for _ in self.pieces(answers, False):
            pass
        return self._response

    async def pieces(self, answers: Answers, with_usage: bool) -> AsyncIterator[Json]:
        """The response's events; the last one always has the usage."""
        for kind in ("created", "in_progress"):
            yield self._event(f"response.{kind}", response=dict(self._response))
        text = ""
        async for _, event in answers.events():
            text += event.text
            parts = [self._calls.add(event.text) if self._rules.with_calls else (event.text, [])]
            if isinstance(event, FinishEvent):
                parts.append(self._calls.rest())
            for said, calls in parts:
                for made in self._more(said, calls):
                    yield made
            if isinstance(event, FinishEvent):
                for made in self._end(event, text):
                    yield made

    def _more(self, said: str, calls: Sequence[Call]) -> Iterator[Json]:
        if said:
            if not self._open or self._item["type"] != "message":
                yield from self._begin({"type": "message", "role": "assistant", "content": []}, "msg")
                self._item["content"].append(_text(""))
                yield self._at("content_part.added", content_index=0, part=_text(""))
            self._item["content"][0]["text"] += said
            yield self._at("output_text.delta", content_index=0, delta=said, logprobs=[])
        for call in calls:
            if call.name:
                made = {"call_id": call.identifier, "name": call.name, "arguments": ""}
                yield from self._begin({"type": "function_call", **made}, "fc")
            else:
                self._item["arguments"] += call.arguments
                yield self._at("function_call_arguments.delta", delta=call.arguments)

    @property
    def _item(self) -> Json:
        return self._items[-1]

    def _begin(self, item: Json, stem: str) -> Iterator[Json]:
        yield from self._close("completed")
        self._open = True
        self._items.append({"id": f"{stem}_{secrets.token_hex(12)}", "status": "in_progress", **item})
        shown = {**self._item, **({"content": []} if item["type"] == "message" else {})}
        yield self._event("response.output_item.added", output_index=len(self._items) - 1, item=shown)

    def _close(self, status: str) -> Iterator[Json]:
        if not self._open:
            return
        self._open = False
        item = self._item
        item["status"] = status
        if item["type"] == "message":
            part = item["content"][0]
            yield self._at("output_text.done", content_index=0, text=part["text"], logprobs=[])
            yield self._at("content_part.done", content_index=0, part=part)
        else:
            told = {"arguments": item["arguments"], "name": item["name"]}
            yield self._at("function_call_arguments.done", **told)
        yield self._event("response.output_item.done", output_index=len(self._items) - 1, item=item)

    def _end(self, event: FinishEvent, text: str) -> Iterator[Json]:
        if self._rules.schemas and isinstance(event.stopped_by, int):
            self._rules.require(text)
        status = "incomplete" if event.reason is FinishReason.LENGTH else "completed"
        yield from self._close(status)
        self._response |= {"status": status, "output": self._items, "usage": _usage(event.usage)}
        if status == "incomplete":
            self._response["incomplete_details"] = {"reason": "max_output_tokens"}
        yield self._event(f"response.{status}", response=self._response)

    def _at(self, kind: str, **fields: Any) -> Json:
        """An event of the open item."""
        place = {"item_id": self._item["id"], "output_index": len(self._items) - 1}
        return self._event(f"response.{kind}", **place, **fields)

    def _event(self, kind: str, **fields: Any) -> Json:
        self._number += 1
        return {"type": kind, "sequence_number": self._number - 1, **fields}


def _text(text: str) -> Json:
    return {"type": "output_text", "text": text, "annotations": []}


def _usage(usage: Usage) -> Mapping[str, Any]:
    return {
        "input_tokens": usage.prompt_tokens,
        "input_tokens_details": {"cached_tokens": usage.cached_tokens},
        "output_tokens": usage.completion_tokens,
        "output_tokens_details": {"reasoning_tokens": 0},
        "total_tokens": usage.prompt_tokens + usage.completion_tokens,
    }
