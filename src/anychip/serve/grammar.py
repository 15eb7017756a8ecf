"""Answers that keep a form: JSON by a schema, or any grammar of llguidance. Flows in: a schema or a grammar,
a tokenizer. Flows out: constraints, which say before each token of one answer what may come, and checks of
finished documents."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from ..packages import require
from .errors import RequestError, ServeError
from .tokenizer import Tokenizer

OPTIONS = {"lenient": True, "whitespace_flexible": False}
"""Of llguidance: keywords that it does not know are told instead of refused; JSON without spaces that a model
could go on with for ever."""


@dataclass(frozen=True, slots=True)
class Grammar:
    """`text` is in llguidance's language; `unenforced` are keywords of a schema that it does not hold an
    answer to."""

    text: str
    unenforced: tuple[str, ...] = ()


class Grammars:
    """Makes grammars and constraints for one tokenizer, which is prepared at the first question."""

    def __init__(self, tokenizer: Tokenizer):
        self._tokenizer = tokenizer
        self._prepared: Any = None

    def of_schema(self, schema: Mapping[str, Any], field: str) -> Grammar:
        """A document that the schema describes. Raises RequestError, which names `field`, for what is no
        schema, and MissingPackage."""
        require("forms of answers", ["llguidance", "jsonschema"])
        from llguidance import LLMatcher

        require_schema(schema, field)
        return self.checked(LLMatcher.grammar_from_json_schema(dict(schema), overrides=OPTIONS), field)

    def checked(self, text: str, field: str) -> Grammar:
        """A grammar that is one. Raises RequestError."""
        require("forms of answers", ["llguidance"])
        from llguidance import LLMatcher

        wrong, said = LLMatcher.validate_grammar_with_warnings(text, self._words())
        if wrong:
            raise RequestError(field, " ".join(said))
        return Grammar(text, tuple(word for one in said for word in _keywords(one)))

    def constraint(self, grammar: Grammar) -> FollowedGrammar:
        """For one answer."""
        from llguidance import LLMatcher

        return FollowedGrammar(LLMatcher(self._words(), grammar.text, log_level=0))

    def hides(self, word: str) -> bool:
        """Whether texts of the model never show this word, since it is a control token."""
        return self._tokenizer.hides(word)

    def _words(self) -> Any:
        if self._prepared is None:
            from llguidance import LLTokenizer

            ends = sorted(self._tokenizer.end_tokens)
            self._prepared = LLTokenizer(self._tokenizer.as_json(), eos_token=ends or None)
        return self._prepared


def _keywords(warning: str) -> list[str]:
    """Keywords in quotes, or a warning without any as it is."""
    return re.findall(r'"([^"]+)"', warning) or [warning]


class FollowedGrammar:
    """How far one answer has come in its grammar. See `Constraint`."""

    def __init__(self, matcher: Any):
        self._matcher = matcher

    def restrict(self, logits: torch.Tensor) -> torch.Tensor:
        """See `Constraint.restrict`. Raises ServeError where nothing may follow."""
        bits = np.unpackbits(np.frombuffer(self._matcher.compute_bitmask(), np.uint8), bitorder="little")
        allowed = torch.zeros(len(logits), dtype=torch.bool)
        count = min(len(bits), len(logits))
        allowed[:count] = torch.from_numpy(bits[:count].astype(bool))
        if self._matcher.is_error() or not bool(allowed.any()):
            raise ServeError(f"the grammar lets nothing follow: {self._matcher.get_error()}")
        return logits.masked_fill(~allowed, -torch.inf)

    def accept(self, token: int) -> None:
        """See `Constraint.accept`."""
        if not self._matcher.consume_token(token):
            raise ServeError(f"the grammar has no place for token {token}: {self._matcher.get_error()}")


# ---- finished documents ---------------------------------------------------------------------------

LEFT_OUT = frozenset({"pattern", "patternProperties", "additionalProperties"})
"""Keywords with regular expressions, or that go by those of others: the grammar alone holds an answer to
them, as Python's own engine for expressions can be made to run for ever."""


def require_schema(schema: Mapping[str, Any], field: str) -> None:
    """Raise RequestError for what is no JSON schema."""
    from jsonschema import Draft202012Validator
    from jsonschema.exceptions import SchemaError

    try:
        Draft202012Validator.check_schema(schema)
    except (SchemaError, RecursionError) as error:
        text = error.message if isinstance(error, SchemaError) else "it is nested too deeply"
        raise RequestError(field, f"this is no JSON schema: {text}") from None


def violation(schema: Mapping[str, Any], document: str) -> str:
    """What of a finished document is not as its schema has it; "" where all is. Nothing is fetched for a
    reference."""
    from jsonschema import Draft202012Validator
    from jsonschema.exceptions import best_match
    from jsonschema.validators import create
    from referencing import Registry

    kept = {name: check for name, check in Draft202012Validator.VALIDATORS.items() if name not in LEFT_OUT}
    checks = create(Draft202012Validator.META_SCHEMA, kept)(schema, registry=Registry())
    try:
        found = best_match(checks.iter_errors(json.loads(document)))
    except (ValueError, RecursionError) as error:
        return str(error)
    return "" if found is None else f"{found.json_path}: {found.message}"
