"""What an answer is made of, frames and steps, and when each is due. No socket here."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from enum import StrEnum

from streamgauge.core.usage import TokenUsage

__all__ = [
    "End",
    "Frame",
    "Kind",
    "Schedule",
    "Step",
    "Wait",
    "Write",
    "chunked",
    "plain_steps",
    "single_bytes",
    "stream_steps",
]

LAST_CHUNK = b"0\r\n\r\n"


class Kind(StrEnum):
    """What a frame says; faults and pacing go by it."""

    START = "start"
    CONTENT = "content"
    FINISH = "finish"
    USAGE = "usage"
    MARK = "mark"
    PING = "ping"
    ERROR = "error"
    OTHER = "other"


@dataclass(frozen=True, slots=True)
class Frame:
    """One SSE frame with its blank line. `tokens`: output tokens in it. `usage`: counts stated."""

    data: bytes
    kind: Kind
    tokens: int = 0
    usage: TokenUsage | None = None


@dataclass(frozen=True, slots=True)
class Write:
    """One write to the socket, due `at` seconds after the request.

    The rest is what the journal books once it is flushed: body bytes before transfer framing,
    frames with data, output tokens, stated counts, and whether the answer is whole with it.
    `last`: nothing that is booked follows, so that the entry is settled before this is written.
    """

    data: bytes
    at: float = 0.0
    size: int = 0
    frames: int = 0
    tokens: int = 0
    usage: TokenUsage | None = None
    whole: bool = False
    last: bool = False


@dataclass(frozen=True, slots=True)
class Wait:
    """Silence of `seconds` from the last write on."""

    seconds: float


class End(StrEnum):
    """What becomes of the connection after the last write."""

    KEEP = "keep"
    CLOSE = "close"
    RESET = "reset"
    HOLD = "hold"
    HALF = "half"
    """Close the writing side only, then hold."""


Step = Write | Wait | End


@dataclass(frozen=True, slots=True)
class Schedule:
    """When things are due, in seconds after the request's last byte; fixed, without drift.

    `head` ≤ `role` ≤ `first`; content frame k is due at `first + k * gap`, and every other frame
    as soon as the one before it is out.
    """

    head: float = 0.0
    role: float = 0.0
    first: float = 0.0
    gap: float = 0.0

    @classmethod
    def of_ms(
        cls, head: float | None, role: float | None, first: float | None, gap: float | None
    ) -> Schedule:
        """Return the schedule of these milliseconds; None falls together with its forerunner."""
        head_at = 0.0 if head is None else head
        role_at = head_at if role is None else max(role, head_at)
        first_at = role_at if first is None else max(first, role_at)
        every = 0.0 if gap is None else gap
        return cls(head_at / 1e3, role_at / 1e3, first_at / 1e3, every / 1e3)

    def content(self, k: int) -> float:
        """Return when content frame `k`, from 0, is due."""
        return self.first + k * self.gap


def chunked(data: bytes) -> bytes:
    """Return `data` as one chunk of a chunked body (RFC 9112 §7.1)."""
    return b"%x\r\n%b\r\n" % (len(data), data)


def stream_steps(
    head: bytes,
    frames: Iterable[Frame | Wait | End],
    schedule: Schedule,
    end: End,
    *,
    last_chunk: bool = True,
) -> Iterator[Step]:
    """Yield the steps of a chunked stream; an End among the frames stops it, unfinished."""
    yield Write(head, schedule.head)
    k = 0
    for frame in frames:
        if isinstance(frame, End):
            yield frame
            return
        if isinstance(frame, Wait):
            yield frame
            continue
        at = schedule.head
        if frame.kind is Kind.CONTENT:
            at = schedule.content(k)
            k += 1
        elif frame.kind is not Kind.PING:
            at = schedule.role
        yield Write(
            chunked(frame.data),
            at,
            len(frame.data),
            frame.kind is not Kind.PING,
            frame.tokens,
            frame.usage,
            frame.kind is Kind.MARK,
        )
    if last_chunk:
        yield Write(LAST_CHUNK, last=True)
    yield end


def plain_steps(
    head: bytes,
    body: bytes,
    at: float,
    end: End,
    *,
    tokens: int = 0,
    usage: TokenUsage | None = None,
) -> Iterator[Step]:
    """Yield the steps of an answer with a known length: one write, due `at` seconds, then `end`."""
    yield Write(head + body, at, len(body), 0, tokens, usage, whole=True)
    yield end


def single_bytes(steps: Iterable[Step]) -> Iterator[Step]:
    """Yield the same steps with each byte a write of its own; the last byte carries the books."""
    for step in steps:
        if not isinstance(step, Write):
            yield step
            continue
        for i in range(len(step.data) - 1):
            yield Write(step.data[i : i + 1], step.at)
        yield replace(step, data=step.data[-1:])
