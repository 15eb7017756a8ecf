"""What form an answer must have, by a request's `tools` and `response_format`. Flows in: a body. Flows out: a
grammar for the engine, what the template is told, and how the finished answer is checked."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ..grammar import Grammar, Grammars, require_schema, violation
from . import tools
from .bodies import ChatBody, OfferedTool
from .errors import ApiError

NOTHING: Mapping[str, Any] = {"type": "object", "properties": {}}
"""Parameters of a function that says nothing of them."""


@dataclass(frozen=True, slots=True)
class AnswerRules:
    """`schemas` are by a function's name, or "" for the whole answer."""

    functions: Sequence[tools.Function] = ()
    grammar: Grammar | None = None
    schemas: Mapping[str, Mapping[str, Any]] | None = None
    with_calls: bool = False

    def _violation(self, text: str) -> str:
        schemas = self.schemas or {}
        if "" in schemas:
            return violation(schemas[""], text)
        calls = tools.Calls()
        parts = [*calls.add(text)[1], *calls.rest()[1]]
        arguments: list[list[str]] = []
        for part in parts:
            if part.name:
                arguments.append([part.name, ""])
            else:
                arguments[-1][1] += part.arguments
        found = (violation(schemas.get(name, {}), given) for name, given in arguments)
        return next((wrong for wrong in found if wrong), "")

    def require(self, text: str) -> None:
        """Raise ApiError where a finished answer is not as its schemas have it."""
        wrong = self._violation(text)
        if wrong:
            told = f"The model's answer is not as its schema has it: {wrong}"
            raise ApiError(422, told, None, "schema_mismatch")

    def told(self, said: Sequence[Mapping[str, Any]], template: str) -> tuple[list[Any], dict[str, Any]]:
        """Messages and variables for a chat template."""
        if tools.is_native(template):
            offered = [function.as_json() for function in self.functions]
            return list(said), {"tools": offered} if offered else {}
        return list(tools.told(said, self.functions)), {}


def rules_of(body: ChatBody, grammars: Grammars) -> AnswerRules:
    """Raises ApiError and RequestError, which name the field."""
    wanted = None if body.response_format is None else body.response_format.wanted
    offered = body.tools or []
    choice = body.tool_choice or ("auto" if offered else "none")
    if choice != "none" and not offered:
        raise ApiError(400, "tool_choice: there are no tools.", "tool_choice", "invalid_value")
    if wanted is not None and choice != "none" and offered:
        raise ApiError(
            400,
            "response_format: this is not served together with tools.",
            "response_format",
            "invalid_value",
        )
    if (wanted is not None or offered) and body.ignore_eos:
        raise ApiError(
            400, "ignore_eos: a grammar decides where an answer ends.", "ignore_eos", "invalid_value"
        )
    if wanted is not None:
        field = "response_format"
        grammar = grammars.of_schema(wanted, field)
        assert body.response_format is not None
        _require_enforced(grammar, body.response_format.json_schema, field)
        return AnswerRules(grammar=grammar, schemas={"": wanted})
    return _with_tools(body, offered, choice, grammars) if offered else AnswerRules()


def _with_tools(
    body: ChatBody, offered: Sequence[OfferedTool], choice: Any, grammars: Grammars
) -> AnswerRules:
    functions = [
        tools.Function(one.function.name, one.function.description or "", one.function.parameters or NOTHING)
        for one in offered
    ]
    names = [function.name for function in functions]
    if len(set(names)) < len(names):
        raise ApiError(400, "tools: two functions have one name.", "tools", "invalid_value")
    if choice == "none":
        return AnswerRules()
    if isinstance(choice, list) and choice[0] not in names:
        raise ApiError(400, f"tool_choice: there is no tool {choice[0]!r}.", "tool_choice", "invalid_value")
    if grammars.hides(tools.BEGIN):
        raise ApiError(400, f"tools: this model's texts leave {tools.BEGIN} out.", "tools", "invalid_value")
    for function in functions:
        require_schema(function.parameters, "tools")
    called = [one for one in functions if not isinstance(choice, list) or one.name in choice]
    parallel = body.parallel_tool_calls is not False and not isinstance(choice, list)
    grammar = grammars.checked(tools.grammar(called, choice != "auto", parallel), "tools")
    for one in offered:
        _require_enforced(grammar, one.function, "tools")
    schemas = {function.name: function.parameters for function in called}
    return AnswerRules(functions, grammar, schemas, with_calls=True)


def _require_enforced(grammar: Grammar, asked: Any, field: str) -> None:
    """A strict schema has no keyword that answers are not held to."""
    if grammar.unenforced and asked is not None and asked.strict:
        words = ", ".join(grammar.unenforced)
        raise ApiError(
            400, f"{field}: strict, but this is not enforced: {words}.", field, "unsupported_keyword"
        )
