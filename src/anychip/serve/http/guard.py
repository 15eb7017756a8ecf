"""What stands before the application: the key, how many requests are open, the size of bodies, the time of
each. Flows in: connections as ASGI has them. Flows out: the same, or an error in OpenAI's form."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import hmac
import json
from collections.abc import Awaitable, Callable, MutableMapping
from dataclasses import dataclass
from typing import Any

from starlette.responses import JSONResponse, Response

from .errors import ApiError

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
Asgi = Callable[[Scope, Receive, Send], Awaitable[None]]

OPEN_TO_ALL = frozenset({"/health"})
"""Paths that ask for no key and count as no request."""


@dataclass(frozen=True, slots=True)
class Bounds:
    """`key` must be shown where it is not empty; `body_bytes` of one request, `seconds` from its head to the
    end of its answer, `open_requests` at once."""

    key: str = ""
    body_bytes: int = 4 << 20
    seconds: float = 600.0
    open_requests: int = 288


class Guard:
    """ASGI around ASGI."""

    def __init__(self, inner: Asgi, bounds: Bounds):
        self._inner, self._bounds = inner, bounds
        self._digest = _digest(f"Bearer {bounds.key}".encode())
        self._open = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """See the ASGI specification."""
        if scope["type"] != "http" or scope["path"] in OPEN_TO_ALL:
            await self._inner(scope, receive, send)
            return
        refused = self._refusal(scope)
        if refused is not None:
            await response_to(refused)(scope, receive, send)
            return
        self._open += 1
        try:
            await self._within_time(scope, _limited(receive, self._bounds.body_bytes), send)
        finally:
            self._open -= 1

    def _refusal(self, scope: Scope) -> ApiError | None:
        headers = dict(scope["headers"])
        if self._bounds.key:
            shown = _digest(headers.get(b"authorization", b""))
            if not hmac.compare_digest(shown, self._digest):
                return ApiError(
                    401, "A valid key is needed: Authorization: Bearer KEY.", None, "invalid_api_key"
                )
        if self._open >= self._bounds.open_requests:
            return ApiError(
                429, f"{self._open} requests are open already. Try again later.", code="queue_full"
            )
        length = headers.get(b"content-length", b"0")
        if length.isdigit() and int(length[:20]) > self._bounds.body_bytes:
            return _too_large(self._bounds.body_bytes)
        return None

    async def _within_time(self, scope: Scope, receive: Receive, send: Send) -> None:
        kind = ""

        async def noting(message: Message) -> None:
            nonlocal kind
            if message["type"] == "http.response.start":
                kind = dict(message["headers"]).get(b"content-type", b"?").decode("latin-1")
            await send(message)

        try:
            async with asyncio.timeout(self._bounds.seconds):
                await self._inner(scope, receive, noting)
        except TimeoutError:
            late = ApiError(503, f"This took more than {self._bounds.seconds:g} s.", code="time_limit")
            if not kind:
                await response_to(late)(scope, receive, send)
            elif kind.startswith("text/event-stream"):
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(1.0):
                        await send({"type": "http.response.body", "body": server_sent(late.body())})


def response_to(error: ApiError) -> Response:
    """The response that tells an error."""
    return JSONResponse(error.body(), error.status, headers=error.headers)


def server_sent(data: Any, name: str = "") -> bytes:
    """One event of a stream."""
    head = f"event: {name}\n".encode() if name else b""
    return head + b"data: " + json.dumps(data, ensure_ascii=False, separators=(",", ":")).encode() + b"\n\n"


def _too_large(limit: int) -> ApiError:
    return ApiError(413, f"The body is larger than {limit} bytes.", None, "body_too_large")


def _digest(data: bytes) -> bytes:
    """So that keys are compared at one length."""
    return hashlib.sha256(data).digest()


def _limited(receive: Receive, limit: int) -> Receive:
    """Raises ApiError once more than so many bytes of a body came."""
    seen = 0

    async def limited() -> Message:
        nonlocal seen
        message = await receive()
        seen += len(message.get("body", b""))
        if seen > limit:
            raise _too_large(limit)
        return message

    return limited
