"""Errors as OpenAI's interface has them: a status, and a body that names the field. Flows in: whatever a
request ran into. Flows out: an `ApiError`."""

from __future__ import annotations

from typing import Any

from ...packages import MissingPackage
from ..errors import ClosedError, ContextLengthError, QueueFullError, RequestError, ServeError

KINDS = {401: "authentication_error", 404: "not_found_error", 429: "rate_limit_error"}
"""Types of errors by status; others are `invalid_request_error` below 500, else `server_error`."""


class ApiError(ServeError):
    """What a client is told. `param` is the field at fault, `code` a word for programs."""

    def __init__(self, status: int, message: str, param: str | None = None, code: str | None = None):
        super().__init__(" ".join(message.split()))
        self.status, self.param, self.code = status, param, code

    def body(self) -> dict[str, Any]:
        """The body of the response."""
        kind = KINDS.get(self.status, "invalid_request_error" if self.status < 500 else "server_error")
        return {"error": {"message": str(self), "type": kind, "param": self.param, "code": self.code}}

    @property
    def headers(self) -> dict[str, str]:
        """Headers of the response: when to try again, or how to show a key."""
        if self.status in (429, 503):
            return {"Retry-After": "1"}
        return {"WWW-Authenticate": "Bearer"} if self.status == 401 else {}


def too_long(asked: int, answer: int, limit: int, field: str) -> ApiError:
    """A prompt of `asked` tokens, with `answer` more, for a context of `limit`."""
    return ApiError(
        400,
        f"This model's maximum context length is {limit} tokens. However, you requested {asked + answer} "
        f"tokens ({asked} in the {field}, {answer} in the completion). Please reduce the length of the "
        f"{field} or completion.",
        field,
        "context_length_exceeded",
    )


def api_error(error: BaseException, field: str = "prompt") -> ApiError:
    """What a client is told of an error; `field` is what its prompt is called."""
    if isinstance(error, ApiError):
        return error
    if isinstance(error, ContextLengthError):
        return too_long(error.asked, 1, error.limit, field)
    if isinstance(error, RequestError):
        name = error.field.partition("[")[0]
        return ApiError(400, str(error), field if name == "prompt" else name, "invalid_value")
    if isinstance(error, QueueFullError):
        return ApiError(429, str(error), code="queue_full")
    if isinstance(error, ClosedError):
        return ApiError(503, "The server is shutting down.", code="shutting_down")
    if isinstance(error, MissingPackage):
        return ApiError(501, str(error), code="not_installed")
    return ApiError(500, "The server failed to answer this request; its log says why.", code="internal")
