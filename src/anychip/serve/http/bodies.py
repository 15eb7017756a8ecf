"""Bodies of requests, field by field as OpenAI's reference and vLLM's additions to it have them. Flows in:
JSON. Flows out: a checked body; what is wrong, unknown or not served is an error that names the field."""

from __future__ import annotations

import json
from typing import Annotated, Any, Literal, TypeVar

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError

from ..requests import Sampling
from .errors import ApiError

MOST_CHOICES = 16
"""Answers to one prompt at most."""
MOST_STOPS = 16
IGNORED = frozenset(
    {"user", "metadata", "service_tier", "safety_identifier", "prompt_cache_key", "prompt_cache_retention"}
)
"""Fields that say something to OpenAI's own service and ask for nothing here."""
NEUTRAL: dict[str, tuple[Any, ...]] = {
    "audio": (),
    "background": (False,),
    "conversation": (),
    "include": ([],),
    "max_tool_calls": (),
    "previous_response_id": (),
    "reasoning": ({},),
    "top_logprobs": (0,),
    "truncation": ("disabled",),
    "best_of": (1,),
    "dimensions": (),
    "echo": (False,),
    "function_call": ("none",),
    "functions": ([],),
    "modalities": (["text"],),
    "prediction": (),
    "store": (False,),
    "suffix": ("",),
    "web_search_options": (),
}
"""Fields that are not served, and their values that ask for nothing; null is one for all."""

Body = TypeVar("Body", bound=BaseModel)


def read(kind: type[Body], data: Any) -> Body:
    """A body of this kind out of JSON. Raises ApiError."""
    if not isinstance(data, dict):
        raise ApiError(400, "The body is not a JSON object.", code="invalid_type")
    kept = {}
    for name, value in data.items():
        if name in IGNORED:
            continue
        if name in NEUTRAL and name not in kind.model_fields:
            if value is None or value in NEUTRAL[name]:
                continue
            raise ApiError(400, f"{name}: this is not served here.", name, "unsupported_parameter")
        kept[name] = value
    try:
        return kind.model_validate(kept)
    except ValidationError as error:
        raise _told(error) from None


def _told(error: ValidationError) -> ApiError:
    wrong = error.errors(include_url=False, include_context=False)
    first = next((one for one in wrong if one["type"] == "literal_error"), wrong[0])
    name = ".".join(str(part) for part in first["loc"])
    if first["type"] == "extra_forbidden":
        return ApiError(400, f"{name}: this field is not served here.", name, "unknown_parameter")
    if first["type"] == "missing":
        return ApiError(400, f"{name}: this field is required.", name, "missing_required_parameter")
    return ApiError(400, f"{name}: {first['msg'].removeprefix('Value error, ')}.", name, "invalid_value")


# ---- values that come in several forms ------------------------------------------------------------


def _stops(value: Any) -> Any:
    return [value] if isinstance(value, str) else value or []


def _prompts(value: Any) -> Any:
    """One prompt or several, of text or of tokens, as a list of prompts."""
    if isinstance(value, str) or (isinstance(value, list) and value and isinstance(value[0], int)):
        value = [value]
    numbers = isinstance(value, list) and all(
        isinstance(one, str)
        or (isinstance(one, list) and all(type(token) is int for token in one) and one != [])
        for one in value
    )
    if not numbers or not value:
        raise ValueError("it is a text, a list of texts, a list of tokens, or a list of such lists")
    return value


def text_of(value: Any) -> Any:
    """The content of a message: a text, or parts of the type `text` put together."""
    if not isinstance(value, list):
        return value
    for part in value:
        if (
            not isinstance(part, dict)
            or part.get("type") not in TEXTS
            or not isinstance(part.get("text"), str)
        ):
            raise ValueError("only parts of the type text are served")
    return "".join(part["text"] for part in value)


TEXTS = ("text", "input_text", "output_text")
"""Types of parts that are text, in both of OpenAI's interfaces."""


def _said(value: Any) -> Any:
    """A message without fields that say nothing, as clients send answers back."""
    if not isinstance(value, dict):
        return value
    return {name: field for name, field in value.items() if name == "content" or field not in (None, [])}


Text = Annotated[str | None, BeforeValidator(text_of)]
Prompts = Annotated[list[Any], BeforeValidator(_prompts)]
Stops = Annotated[list[str], BeforeValidator(_stops), Field(max_length=MOST_STOPS)]
STRICT = ConfigDict(strict=True, extra="forbid")


class SaidFunction(BaseModel):
    """Which function was called, with which arguments, as JSON in a text."""

    model_config = STRICT
    name: str
    arguments: str


class SaidCall(BaseModel):
    """A call in a message that was said before."""

    model_config = STRICT
    id: str | None = None
    type: Literal["function"] = "function"
    function: SaidFunction


class Message(BaseModel):
    """What was said before."""

    model_config = STRICT
    role: Literal["system", "developer", "user", "assistant", "tool"]
    content: Text = None
    name: str | None = None
    tool_call_id: str | None = None
    tool_calls: list[SaidCall] | None = None

    def for_template(self) -> dict[str, Any]:
        """As chat templates want it: arguments of calls are objects. Raises ApiError."""
        made = self.model_dump(exclude_none=True)
        for call in made.get("tool_calls", ()):
            try:
                call["function"]["arguments"] = json.loads(call["function"]["arguments"] or "{}")
            except (ValueError, RecursionError):
                name = "messages.tool_calls.function.arguments"
                raise ApiError(400, f"{name}: this is not JSON.", name, "invalid_value") from None
        return {**made, "content": self.content or "", "role": ROLES.get(self.role, self.role)}


ROLES = {"developer": "system"}
"""What roles are called in templates, where they are called otherwise."""
Messages = list[Annotated[Message, BeforeValidator(_said)]]


class SchemaOfAnswer(BaseModel):
    """A schema by which an answer is written; a `strict` one must be enforced whole."""

    model_config = ConfigDict(strict=True, extra="forbid", populate_by_name=True)
    name: str
    description: str | None = None
    given: dict[str, Any] = Field({}, alias="schema")
    strict: bool | None = None


class ResponseFormat(BaseModel):
    """What form an answer has."""

    model_config = STRICT
    type: Literal["text", "json_object", "json_schema"]
    json_schema: SchemaOfAnswer | None = None

    @property
    def wanted(self) -> dict[str, Any] | None:
        """The schema of an answer; None for text. Raises ApiError."""
        if self.type == "json_schema" and self.json_schema is None:
            name = "response_format.json_schema"
            raise ApiError(400, f"{name}: this field is required.", name, "missing_required_parameter")
        if self.json_schema is not None and self.type == "json_schema":
            return self.json_schema.given
        return {"type": "object"} if self.type == "json_object" else None


class OfferedFunction(BaseModel):
    """A function that an answer may call."""

    model_config = STRICT
    name: str = Field(pattern=r"^[A-Za-z0-9_-]{1,64}$")
    description: str | None = None
    parameters: dict[str, Any] | None = None
    strict: bool | None = None


class OfferedTool(BaseModel):
    """A tool; functions alone are served."""

    model_config = STRICT
    type: Literal["function"]
    function: OfferedFunction


def _choice(value: Any) -> Any:
    """`none`, `auto`, `required`, or the name of a function in a list of one."""
    if isinstance(value, str) and value in ("none", "auto", "required"):
        return value
    if isinstance(value, dict) and value.get("type") == "function":
        named = value.get("function", value)
        if isinstance(named, dict) and isinstance(named.get("name"), str):
            return [named["name"]]
    raise ValueError("it is none, auto, required, or names a function")


ToolChoice = Annotated[Any, BeforeValidator(_choice)]


class StreamOptions(BaseModel):
    """What a stream tells besides the answer."""

    model_config = ConfigDict(strict=True, extra="ignore")
    include_usage: bool | None = None


class Drawn(BaseModel):
    """What all requests for text say of how tokens are chosen."""

    model_config = STRICT
    model: str | None = None
    temperature: float | None = None
    top_p: float | None = None
    top_k: int | None = None
    min_p: float | None = None
    repetition_penalty: float | None = None
    presence_penalty: float | None = None
    frequency_penalty: float | None = None
    seed: int | None = None
    logit_bias: dict[str, float] | None = None
    stop: Stops = []
    stop_token_ids: list[int] = []
    ignore_eos: bool = False
    max_tokens: int | None = Field(None, ge=1)
    n: int = Field(1, ge=1, le=MOST_CHOICES)
    stream: bool | None = None
    stream_options: StreamOptions | None = None

    def sampling(self, choice: int, logprobs: int | None) -> Sampling:
        """For one of the answers; each draws by a seed of its own. Raises RequestError."""
        given = {name: getattr(self, name) for name in SAMPLING}
        asked = {name: value for name, value in given.items() if value is not None}
        seed = None if self.seed is None else self.seed + choice
        return Sampling(**asked, seed=seed, logit_bias=self._biases(), logprobs=logprobs)

    def _biases(self) -> dict[int, float]:
        try:
            return {int(token): bias for token, bias in (self.logit_bias or {}).items()}
        except ValueError:
            raise ApiError(400, "logit_bias: its keys are numbers of tokens.", "logit_bias") from None

    @property
    def with_usage(self) -> bool:
        """Whether a stream ends with the numbers of tokens. Raises ApiError for options of no stream."""
        if self.stream_options is not None and not self.stream:
            raise ApiError(400, "stream_options: only a stream has them.", "stream_options", "invalid_value")
        return bool(self.stream_options and self.stream_options.include_usage)


SAMPLING = (
    "temperature",
    "top_p",
    "top_k",
    "min_p",
    "repetition_penalty",
    "presence_penalty",
    "frequency_penalty",
)
"""Fields that are called alike in `Sampling`."""


class ChatBody(Drawn):
    """/v1/chat/completions."""

    messages: Messages = Field(min_length=1)
    max_completion_tokens: int | None = Field(None, ge=1)
    logprobs: bool | None = None
    top_logprobs: int | None = Field(None, ge=0, le=20)
    tools: list[OfferedTool] | None = None
    tool_choice: ToolChoice = None
    parallel_tool_calls: bool | None = None
    response_format: ResponseFormat | None = None
    chat_template_kwargs: dict[str, Any] = {}

    @property
    def wanted_logprobs(self) -> int | None:
        """How many likeliest tokens are told with each token; None: nothing is. Raises ApiError."""
        if self.top_logprobs is not None and not self.logprobs:
            raise ApiError(
                400, "top_logprobs: this needs logprobs to be true.", "top_logprobs", "invalid_value"
            )
        return (self.top_logprobs or 0) if self.logprobs else None


class CompletionBody(Drawn):
    """/v1/completions."""

    prompt: Prompts
    logprobs: int | None = Field(None, ge=0, le=20)


class EmbeddingsBody(BaseModel):
    """/v1/embeddings."""

    model_config = STRICT
    model: str | None = None
    input: Prompts
    encoding_format: Literal["float", "base64"] | None = None


class TokenizeBody(BaseModel):
    """/tokenize, as vLLM has it: a text or messages."""

    model_config = STRICT
    model: str | None = None
    prompt: str | None = None
    messages: Messages | None = None
    add_special_tokens: bool = True
    return_token_strs: bool = False


class DetokenizeBody(BaseModel):
    """/detokenize, as vLLM has it."""

    model_config = STRICT
    model: str | None = None
    tokens: list[int]
