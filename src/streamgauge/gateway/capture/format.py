"""The lines of a capture file, docs/capture.md. Knows no exchange and no file."""

from __future__ import annotations

from collections.abc import Sequence
from enum import StrEnum
from typing import Any

import msgspec

__all__ = ["SUFFIX", "VERSION", "Closing", "Line", "Opening", "Side", "Way", "encode_line"]

VERSION = 1
"""Of the format. A reader takes this one and none that is newer."""
SUFFIX = ".jsonl"

_encode = msgspec.json.Encoder().encode


class Side(StrEnum):
    """Which of the two connections."""

    CLIENT = "client"
    UPSTREAM = "upstream"


class Way(StrEnum):
    """Into the gateway, or out of it."""

    IN = "in"
    OUT = "out"


class Opening(msgspec.Struct, frozen=True, kw_only=True):
    """The first line. `started_at`: µs since the epoch; every `t` behind it counts from there.

    `protocol`: what the client asked for, None where it is no stream of ours. `integrity`: the mode
    of its stamps. `attempts`: where it may go, in order.
    """

    streamgauge_capture: int
    id: str
    started_at: int
    dialect: str
    endpoint: str
    protocol: str | None
    streaming: bool
    integrity: str
    metadata: str
    requested_model: str | None
    route: str
    attempts: Sequence[dict[str, Any]]


class Line(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What passed at `t` µs. Exactly one of `head`, `data`, `b64` and `end` is there.

    `n`: the attempt, from 1, on the upstream's side. `data`: bytes that are UTF-8, `b64` others;
    bodies are without transfer framing and content coding. `end`: how that direction ended.
    """

    t: int
    side: Side
    dir: Way
    n: int | None = None
    head: str | None = None
    data: str | None = None
    b64: bytes | None = None
    end: str | None = None

    @property
    def body(self) -> bytes | None:
        """The bytes of a line with some, else None."""
        return self.b64 if self.data is None else self.data.encode()


class Closing(msgspec.Struct, frozen=True, kw_only=True):
    """The last line: without it, or with `complete` false, the capture is not whole.

    `frames` and `stream_sha1`: of what the client was sent, over the payloads as in mode `ledger`.
    `sha1s`: a stamp's sha1 of each, null where the frame holds something `masked` or was too large;
    without any where there were too many. `masked`: the numbers of those frames; what was masked
    outside frames is not in it. `row`: the closed row.
    """

    closed: int
    complete: bool
    dropped: int
    frames: int
    stream_sha1: str | None
    sha1s: Sequence[str | None]
    masked: Sequence[int]
    row: dict[str, Any]


def encode_line(value: Opening | Line | Closing) -> bytes:
    """Return one line with its LF."""
    return _encode(value) + b"\n"
