"""What is refused where language models are served."""

from __future__ import annotations

from ..errors import AdvisedError


class ServeError(AdvisedError):
    """The base of this room's errors."""


class ModelError(ServeError):
    """A file of weights cannot be served: which file, tensor or value, and what to do."""


class RequestError(ServeError):
    """A request asks for what cannot be served. `field` names the field of `Request` or `Sampling`."""

    def __init__(self, field: str, message: str, advice: str = ""):
        super().__init__(f"{field}: {message}", advice)
        self.field = field


class ContextLengthError(RequestError):
    """The prompt and the tokens asked for do not fit into the context. `asked` and `limit` are in tokens."""

    def __init__(self, asked: int, limit: int):
        super().__init__(
            "prompt",
            f"{asked} tokens of prompt do not fit into a context of {limit} with room for one more.",
            "Shorten the prompt, or serve the model with a longer context.",
        )
        self.asked, self.limit = asked, limit


class QueueFullError(ServeError):
    """As many requests wait as the engine admits. Try again later."""


class ClosedError(ServeError):
    """The engine drains or is closed, and takes no more requests."""
