"""The base of every error that Anychip raises on purpose."""


class AnychipError(Exception):
    """Base class: catch it to catch whatever Anychip refuses."""
