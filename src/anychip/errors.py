"""The base of every error that Anychip raises on purpose."""


class AnychipError(Exception):
    """Base class: catch it to catch whatever Anychip refuses."""


class AdvisedError(AnychipError):
    """What was wrong and, on a line below, what to do next where that is known."""

    def __init__(self, message: str, advice: str = ""):
        super().__init__(message + (f"\n  {advice}" if advice else ""))
