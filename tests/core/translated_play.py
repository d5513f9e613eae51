"""Plays one translated exchange by hand, for each pair of client and upstream."""

from __future__ import annotations

from typing import Any

from streamgauge.core.record import Anomaly

from .playbook import Play, request_of
from .upstream_wires import UPSTREAMS

__all__ = ["CUT", "EMPTY", "NO_MARKER", "answering", "frames_of", "translated"]

CUT = "the upstream ended the stream before it was finished"
EMPTY = "the upstream's answer was empty"
NO_MARKER = [Anomaly.FINISHED_WITHOUT_MARKER.value]


def translated(client: Any, upstream: Any, *, attempt: Any = None, **facts: Any) -> Play:
    """Return an exchange that is translated between the two; `request` where it is a special one."""
    request = facts.pop("request", None) or request_of(client)
    return Play(request, attempt={"dialect": upstream, **(attempt or {})}, **facts)


def answering(client: Any, upstream: Any, *frames: bytes, **more: Any) -> Play:
    """Return such an exchange whose upstream has said `frames` so far."""
    play = translated(client, upstream, **more)
    play.head(content_type=UPSTREAMS[upstream].media)
    play.data(*frames)
    return play


def frames_of(client: str, body: bytes) -> int:
    """Return the frames with data in `body`, but for signs of life."""
    lines = body.split(b"\n")
    if client == "simple":
        return len([each for each in lines if each])
    pings = body.count(b"event: ping\n")
    return len([each for each in lines if each.startswith(b"data:")]) - pings
