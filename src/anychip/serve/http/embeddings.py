"""/v1/embeddings. Flows in: events of an engine with embeddings. Flows out: the JSON of all."""

from __future__ import annotations

import base64
from typing import Any

import numpy as np

from ..requests import FinishEvent
from .answers import Answers


class EmbeddingForm:
    """Vectors in the order of their texts, as numbers or as float32 in base64."""

    def __init__(self, model: str, in_base64: bool):
        self._model, self._in_base64 = model, in_base64
        self._data: list[dict[str, Any]] = []
        self._tokens = 0

    async def add(self, answers: Answers) -> dict[str, Any]:
        """The vectors of these requests after those before, and all so far."""
        first = len(self._data)
        found: dict[int, Any] = {}
        async for place, event in answers.events():
            if isinstance(event, FinishEvent) and event.embedding is not None:
                found[place] = self._told(event.embedding)
                self._tokens += event.usage.prompt_tokens
        self._data += [
            {"object": "embedding", "index": first + place, "embedding": found[place]}
            for place in sorted(found)
        ]
        usage = {"prompt_tokens": self._tokens, "total_tokens": self._tokens}
        return {"object": "list", "data": self._data, "model": self._model, "usage": usage}

    def _told(self, vector: tuple[float, ...]) -> Any:
        if not self._in_base64:
            return list(vector)
        return base64.b64encode(np.asarray(vector, "<f4").tobytes()).decode("ascii")
