"""Errors of the link between a robot and its server."""

from __future__ import annotations

from ..errors import AdvisedError


class LinkError(AdvisedError):
    """The link was set up with something that it cannot work with."""


class FrameError(LinkError):
    """Bytes of a peer are no frame of this protocol. The peer is dropped; nothing of the frame was used."""


class PlanError(LinkError):
    """No placement of a policy's stages meets the deadline, or a profile that it needs is missing."""


class LogError(LinkError):
    """A log cannot be written or read."""
