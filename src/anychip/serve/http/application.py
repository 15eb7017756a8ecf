"""The application: paths, and what happens at each. Flows in: HTTP requests. Flows out: their answers,
computed by the engine."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

from fastapi import FastAPI, Request
from prometheus_client import CONTENT_TYPE_LATEST
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect
from starlette.responses import JSONResponse, Response

from ..grammar import Grammar, Grammars
from ..loading import Served
from ..requests import Request as Asked
from .answers import Answers
from .bodies import ChatBody, CompletionBody, DetokenizeBody, Drawn, EmbeddingsBody, TokenizeBody, read
from .embeddings import EmbeddingForm
from .errors import ApiError, api_error, too_long
from .forms import AnswerForm, ChatForm, CompletionForm
from .guard import Asgi, Bounds, Guard, Receive, Scope, Send, response_to, server_sent
from .metrics import Metrics
from .responses import ResponseForm, ResponsesBody, renamed
from .rules import AnswerRules, rules_of

COMPLETION_TOKENS = 16
"""Tokens of a completion whose request says nothing, as OpenAI has it."""
Given = TypeVar("Given")


def application(served: Served, bounds: Bounds) -> Asgi:
    """An ASGI application over a model that is served."""
    return Guard(Api(served).application, bounds)


class EventStream(Response):
    """Pieces of answers as server-sent events; a client that leaves ends the answers."""

    media_type = "text/event-stream"

    def __init__(self, pieces: AsyncIterator[Any], answers: Answers, named: bool):
        super().__init__(headers={"Cache-Control": "no-cache", "X-Accel-Buffering": "no"})
        del self.headers["content-length"]
        self._pieces, self._answers, self._named = pieces, answers, named

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """See the ASGI specification."""
        gone = _when_gone(receive, self._answers)
        try:
            await send({"type": "http.response.start", "status": 200, "headers": self.raw_headers})
            last = b"" if self._named else b"data: [DONE]\n\n"
            place = 0
            try:
                async for piece in self._pieces:
                    place += 1
                    sent = server_sent(piece, piece["type"] if self._named else "")
                    await send({"type": "http.response.body", "body": sent, "more_body": True})
            except Exception as error:
                last = self._failed(api_error(error), place)
            await send({"type": "http.response.body", "body": last})
        finally:
            gone.cancel()
            self._answers.cancel()

    def _failed(self, error: ApiError, place: int) -> bytes:
        if not self._named:
            return server_sent(error.body())
        told = {"code": error.code, "message": str(error), "param": error.param}
        return server_sent({"type": "error", "sequence_number": place, **told}, "error")


def _when_gone(receive: Receive, answers: Answers) -> asyncio.Task[None]:
    """Ends answers when their client leaves."""

    async def wait() -> None:
        while (await receive())["type"] != "http.disconnect":
            pass
        answers.cancel()

    return asyncio.create_task(wait())


class Api:
    """What the paths do."""

    def __init__(self, served: Served):
        self._served, self._engine, self._tokenizer = served, served.engine, served.tokenizer
        self._metrics = Metrics(served.engine, served.name)
        self._grammars = Grammars(served.tokenizer)
        self._created = int(time.time())
        self._reader = ThreadPoolExecutor(1, "anychip-prompts")
        made = FastAPI(openapi_url=None, docs_url=None, redoc_url=None)
        for path, method, handle in (
            ("/health", "GET", self.health),
            ("/metrics", "GET", self.metrics),
            ("/v1/models", "GET", self.models),
            ("/v1/models/{name:path}", "GET", self.model),
            ("/v1/chat/completions", "POST", self.chat),
            ("/v1/completions", "POST", self.completions),
            ("/v1/responses", "POST", self.responses),
            ("/v1/embeddings", "POST", self.embeddings),
            ("/tokenize", "POST", self.tokenize),
            ("/detokenize", "POST", self.detokenize),
        ):
            made.add_api_route(path, handle, methods=[method], response_model=None)
        made.add_exception_handler(ApiError, _failed)
        made.add_exception_handler(HTTPException, _not_there)
        made.add_exception_handler(ClientDisconnect, _failed)
        self.application: Asgi = made

    # ---- small questions --------------------------------------------------------------------------

    async def health(self) -> Response:
        """Whether the server answers."""
        return JSONResponse({})

    async def metrics(self) -> Response:
        """Counts for Prometheus."""
        return Response(self._metrics.text(), headers={"Content-Type": CONTENT_TYPE_LATEST})

    async def models(self) -> Response:
        """The model that is served, and its adapters."""
        names = [self._served.name, *self._served.adapters]
        return JSONResponse({"object": "list", "data": [self._model(name) for name in names]})

    async def model(self, name: str) -> Response:
        """The same by its name."""
        self._require_model(name)
        return JSONResponse(self._model(name))

    async def tokenize(self, request: Request) -> Response:
        """Tokens of a text, or of messages by the model's template."""
        body = read(TokenizeBody, await self._json(request))
        self._require_model(body.model)
        text, messages = body.prompt, body.messages
        if (text is None) == (messages is None):
            raise ApiError(400, "prompt: either this or messages is needed.", "prompt", "invalid_value")

        def tokens() -> list[int]:
            if messages is not None:
                return list(self._tokenizer.chat_prompt([one.for_template() for one in messages]))
            assert text is not None
            if body.add_special_tokens:
                return list(self._tokenizer.completion_prompt(text))
            return self._tokenizer.tokens(text)

        found = await self._off_loop(tokens)
        names = [self._tokenizer.piece(token).decode("utf-8", errors="replace") for token in found]
        return JSONResponse(
            {
                "count": len(found),
                "max_model_len": self._engine.context_length,
                "tokens": found,
                "token_strs": names if body.return_token_strs else None,
            }
        )

    async def detokenize(self, request: Request) -> Response:
        """The text of tokens."""
        body = read(DetokenizeBody, await self._json(request))
        self._require_model(body.model)
        if not all(0 <= token < self._tokenizer.vocabulary for token in body.tokens):
            raise ApiError(400, "tokens: the model does not have all of these.", "tokens", "invalid_value")
        return JSONResponse({"prompt": await self._off_loop(lambda: self._tokenizer.text(body.tokens))})

    # ---- answers ----------------------------------------------------------------------------------

    async def chat(self, request: Request) -> Response:
        """The next message of a conversation."""
        body = read(ChatBody, await self._json(request))
        rules, asked = await self._conversation(body)
        form = ChatForm(self._tokenizer, body.model or self._served.name, asked, rules)
        return _with_rules(await self._answer(request, body, asked, form), rules)

    async def responses(self, request: Request) -> Response:
        """The same by OpenAI's newer interface."""
        given = read(ResponsesBody, await self._json(request))
        body = given.as_chat()
        try:
            rules, asked = await self._conversation(body)
        except ApiError as error:
            raise renamed(error) from error
        form = ResponseForm(given, body.model or self._served.name, rules)
        return _with_rules(await self._answer(request, body, asked, form), rules)

    async def _conversation(self, body: ChatBody) -> tuple[AnswerRules, list[Asked]]:
        """What is asked of the engine for the next message. Raises ApiError."""
        adapter = self._require_model(body.model)
        said = [message.for_template() for message in body.messages]
        most, logprobs = body.max_completion_tokens or body.max_tokens, body.wanted_logprobs

        def asked() -> tuple[AnswerRules, list[Asked]]:
            rules = rules_of(body, self._grammars)
            told, variables = rules.told(said, self._tokenizer.template)
            prompt = self._tokenizer.chat_prompt(told, **variables, **body.chat_template_kwargs)
            field, grammar = "messages", rules.grammar
            return rules, self._asked(body, [prompt], most, None, logprobs, field, adapter, grammar)

        return await self._off_loop(asked, "messages")

    async def completions(self, request: Request) -> Response:
        """Texts gone on with."""
        body = read(CompletionBody, await self._json(request))
        adapter = self._require_model(body.model)
        if len(body.prompt) * body.n > MOST_ANSWERS:
            raise ApiError(400, f"prompt: at most {MOST_ANSWERS} answers at once.", "prompt", "invalid_value")
        prompts = await self._off_loop(lambda: self._prompts(body.prompt))
        most = body.max_tokens
        asked = self._asked(body, prompts, most, COMPLETION_TOKENS, body.logprobs, "prompt", adapter)
        form = CompletionForm(self._tokenizer, body.model or self._served.name, asked, len(prompts))
        return await self._answer(request, body, asked, form)

    async def embeddings(self, request: Request) -> Response:
        """A vector of length 1 for each text: the hidden state after its last token."""
        body = read(EmbeddingsBody, await self._json(request))
        adapter = self._require_model(body.model)
        if len(body.input) > MOST_EMBEDDED:
            raise ApiError(400, f"input: at most {MOST_EMBEDDED} texts.", "input", "invalid_value")
        prompts = await self._off_loop(lambda: self._prompts(body.input), "input")
        form = EmbeddingForm(body.model or self._served.name, body.encoding_format == "base64")
        found: Any = None
        for first in range(0, len(prompts), EMBEDDED_AT_ONCE):
            some = prompts[first : first + EMBEDDED_AT_ONCE]
            asked = [Asked(prompt, embeds=True, adapter=adapter) for prompt in some]
            found = await self._whole(request, asked, form.add, "input")
        return JSONResponse(found)

    def _prompts(self, given: list[Any]) -> list[tuple[int, ...]]:
        return [
            self._tokenizer.completion_prompt(one) if isinstance(one, str) else tuple(one) for one in given
        ]

    def _asked(
        self,
        body: Drawn,
        prompts: list[tuple[int, ...]],
        most: int | None,
        usual: int | None,
        logprobs: int | None,
        field: str,
        adapter: int,
        grammar: Grammar | None = None,
    ) -> list[Asked]:
        """Requests for the engine, prompt by prompt."""
        limit = self._engine.context_length
        made = []
        for prompt in prompts:
            if len(prompt) + (most or 1) > limit:
                raise too_long(len(prompt), most or 1, limit, field)
            tokens = most or min(usual or limit, limit - len(prompt))
            for choice in range(body.n):
                try:
                    asked = Asked(
                        prompt,
                        tokens,
                        body.sampling(choice, logprobs),
                        tuple(body.stop),
                        tuple(body.stop_token_ids),
                        body.ignore_eos,
                        None if grammar is None else self._grammars.constraint(grammar),
                        adapter=adapter,
                    )
                except Exception as error:
                    raise api_error(error, field) from error
                made.append(asked)
        return made

    async def _answer(self, request: Request, body: Drawn, asked: list[Asked], form: AnswerForm) -> Response:
        with_usage = body.with_usage
        if not body.stream:
            return JSONResponse(await self._whole(request, asked, form.whole))
        answers = self._begun(asked)
        return EventStream(form.pieces(answers, with_usage), answers, form.has_named_events)

    async def _whole(
        self,
        request: Request,
        asked: list[Asked],
        tell: Callable[[Answers], Awaitable[Given]],
        field: str = "prompt",
    ) -> Given:
        """What is told when all is there; a client that leaves ends it. Raises ApiError."""
        answers = self._begun(asked, field)
        gone = _when_gone(request.receive, answers)
        try:
            return await tell(answers)
        except Exception as error:
            raise api_error(error, field) from error
        finally:
            gone.cancel()
            answers.cancel()

    def _begun(self, asked: list[Asked], field: str = "prompt") -> Answers:
        answers = Answers(self._engine, asked, self._metrics.finished)
        try:
            answers.submit()
        except Exception as error:
            raise api_error(error, field) from error
        return answers

    # ---- what is common ---------------------------------------------------------------------------

    def _model(self, name: str) -> dict[str, Any]:
        base = {} if name == self._served.name else {"parent": self._served.name}
        return {
            **base,
            "id": name,
            "object": "model",
            "created": self._created,
            "owned_by": "anychip",
            "max_model_len": self._engine.context_length,
        }

    def _require_model(self, name: str | None) -> int:
        """The number of the adapter that a name asks for, 0 for the model itself. Raises ApiError."""
        names = [self._served.name, *self._served.adapters]
        if name is None:
            return 0
        if name not in names:
            told = f"{', '.join(map(repr, names))} {'are' if names[1:] else 'is'}"
            raise ApiError(404, f"The model {name!r} is not served here; {told}.", "model", "model_not_found")
        return names.index(name)

    async def _json(self, request: Request) -> Any:
        kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
        if kind != "application/json":
            raise ApiError(415, "The body must have Content-Type: application/json.", None, "invalid_type")
        try:
            data = json.loads(await request.body())
            json.dumps(data, ensure_ascii=False).encode()
        except (ValueError, RecursionError) as error:
            raise ApiError(400, f"The body is not JSON in UTF-8: {error}", None, "invalid_json") from error
        return data

    async def _off_loop(self, read_prompt: Callable[[], Given], field: str = "prompt") -> Given:
        """Prompts are read one after another on a thread of their own, so that a long one keeps no stream
        waiting."""
        try:
            return await asyncio.get_running_loop().run_in_executor(self._reader, read_prompt)
        except Exception as error:
            raise api_error(error, field) from error


def _with_rules(answer: Response, rules: AnswerRules) -> Response:
    """Says which keywords of a schema no answer is held to."""
    if rules.grammar is not None and rules.grammar.unenforced:
        answer.headers["X-Anychip-Unenforced"] = ", ".join(rules.grammar.unenforced)
    return answer


MOST_EMBEDDED, EMBEDDED_AT_ONCE = 2048, 16
"""Texts of one HTTP request that asks for embeddings, and how many of them the engine has at once."""
MOST_ANSWERS = 64
"""Answers that one HTTP request may ask for."""


async def _failed(request: Request, error: Exception) -> Response:
    return response_to(api_error(error))


async def _not_there(request: Request, error: Any) -> Response:
    told = ApiError(error.status_code, f"{request.method} {request.url.path}: {error.detail}.")
    return response_to(told)
