"""Calls of functions in answers. Flows in: functions that a client offers, text that a model writes. Flows
out: what the model is told of them, a grammar that calls keep, and the calls.

A call is written `<tool_call>`, a line of JSON with `name` and `arguments`, `</tool_call>`, as many models
learned it. Others are told of it by a message."""

from __future__ import annotations

import json
import re
import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ..grammar import OPTIONS

BEGIN, END = "<tool_call>", "</tool_call>"
HEAD = re.compile(r'\s*\{"name": "([A-Za-z0-9_-]+)", "arguments": ')
LAST = "}\n" + END
"""What ends the arguments of a call. JSON without spaces has no line break, so it stands nowhere inside."""


@dataclass(frozen=True, slots=True)
class Function:
    """What a client offers: arguments are an object by the schema `parameters`."""

    name: str
    description: str
    parameters: Mapping[str, Any]

    def as_json(self) -> dict[str, Any]:
        """As models are told."""
        told = {"name": self.name, "description": self.description, "parameters": dict(self.parameters)}
        return {"type": "function", "function": told}


@dataclass(frozen=True, slots=True)
class Call:
    """More of a call: the first part of each has its `name` and an identifier."""

    place: int
    arguments: str
    name: str = ""
    identifier: str = ""


# ---- what a model is told -------------------------------------------------------------------------


def is_native(template: str) -> bool:
    """Whether a chat template tells of functions itself, in this form."""
    return BEGIN in template and "tools" in template


def told(messages: Sequence[Mapping[str, Any]], functions: Sequence[Function]) -> list[dict[str, Any]]:
    """Messages for a template that knows of no functions: these, calls and their results are text."""
    said = [_as_text(message) for message in messages]
    if not functions:
        return said
    offered = "\n".join(json.dumps(one.as_json(), ensure_ascii=False) for one in functions)
    text = (
        f"These functions can be called:\n{offered}\nTo call one, write {BEGIN}, then on a line of its own "
        '{"name": NAME, "arguments": ARGUMENTS} as JSON, then ' + END + "."
    )
    if said and said[0]["role"] == "system":
        return [{**said[0], "content": f"{said[0]['content']}\n\n{text}"}, *said[1:]]
    return [{"role": "system", "content": text}, *said]


def _as_text(message: Mapping[str, Any]) -> dict[str, Any]:
    if message["role"] == "tool":
        return {"role": "user", "content": f"<tool_response>\n{message['content']}\n</tool_response>"}
    calls = [
        f"{BEGIN}\n" + json.dumps({key: one["function"][key] for key in ("name", "arguments")}) + f"\n{END}"
        for one in message.get("tool_calls", ())
    ]
    if not calls:
        return dict(message)
    return {"role": message["role"], "content": "\n".join([message["content"], *calls]).strip()}


# ---- the grammar ----------------------------------------------------------------------------------


def grammar(functions: Sequence[Function], must: bool, parallel: bool) -> str:
    """In llguidance's language: calls alone (`must`), or text with calls in it; one call or several."""
    rules = [
        f"arguments_{k}: %json {json.dumps({**one.parameters, 'x-guidance': OPTIONS})}"
        for k, one in enumerate(functions)
    ]
    bodies = [
        json.dumps('\n{"name": "' + one.name + '", "arguments": ') + f" arguments_{k} " + json.dumps(LAST)
        for k, one in enumerate(functions)
    ]
    rules.append("body: " + " | ".join(bodies))
    if must:
        start = f'"{BEGIN}" body' + (f' ("\\n{BEGIN}" body)*' if parallel else "")
    else:
        rules += ["tail: TEXT", "TEXT: /(.|\\n)*/", f'begun[lazy]: TEXT "{BEGIN}"']
        start = "(begun body)* tail" if parallel else "tail | begun body"
    return "\n".join([f"start: {start}", *rules])


# ---- calls in a text ------------------------------------------------------------------------------


class Calls:
    """Takes a text apart as it is written: what is said, and calls."""

    def __init__(self) -> None:
        self._held = ""
        self._count = 0
        self._inside = self._named = False

    @property
    def any(self) -> bool:
        """Whether there was a call."""
        return self._count > 0

    def add(self, text: str) -> tuple[str, list[Call]]:
        """What may be told after more of the text."""
        self._held += text
        said: list[str] = []
        calls: list[Call] = []
        while self._step(said, calls):
            pass
        return "".join(said), calls

    def rest(self) -> tuple[str, list[Call]]:
        """What was held back, at the end."""
        held, self._held = self._held, ""
        if not self._inside:
            return (held if not self.any else held.rstrip()), []
        return "", [Call(self._count - 1, held)] if self._named and held else []

    def _step(self, said: list[str], calls: list[Call]) -> bool:
        """Go on by one mark; False where more text is needed."""
        if not self._inside:
            return self._outside(said)
        if not self._named:
            found = HEAD.match(self._held)
            if found is None:
                return False
            self._named, self._held = True, self._held[found.end() :]
            calls.append(Call(self._count, "", found[1], f"call_{secrets.token_hex(12)}"))
            self._count += 1
            return True
        before, mark, after = self._held.partition(LAST)
        kept = "" if mark else _begun(before, LAST)
        ready = before[: len(before) - len(kept)]
        if ready:
            calls.append(Call(self._count - 1, ready))
        self._held = after if mark else kept
        if mark:
            self._inside = self._named = False
        return bool(mark)

    def _outside(self, said: list[str]) -> bool:
        if self.any:
            self._held = self._held.lstrip()
        before, mark, after = self._held.partition(BEGIN)
        if mark:
            said.append(before)
            self._held, self._inside = after, True
            return True
        kept = _begun(before, BEGIN)
        said.append(before[: len(before) - len(kept)])
        self._held = kept
        return False


def _begun(text: str, mark: str) -> str:
    """The end of the text that the mark may begin with."""
    return next((text[-n:] for n in range(len(mark) - 1, 0, -1) if text.endswith(mark[:n])), "")
