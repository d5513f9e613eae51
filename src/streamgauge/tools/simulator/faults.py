"""Every fault by name, as a change of an answer's frames (FAULTS.md §2). No socket here."""

from __future__ import annotations

import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

from streamgauge.tools.simulator.script import End, Frame, Kind, Wait

__all__ = [
    "FAULTS",
    "FRAME_FAULTS",
    "PLAIN_ENDS",
    "REFUSALS",
    "SHORTER",
    "WIRE_FAULTS",
    "Setting",
    "faulty",
    "gzip_frames",
]

AFTER = 3
"""Content frames before a fault when the request does not say."""


@dataclass(frozen=True, slots=True)
class Setting:
    """What a fault needs to know: `after` content frames; the dialect's error and ping frames.

    `tail`: what this server sends behind an error frame. `gap`: seconds between pings. `garbage`:
    a frame by its ends, whose JSON is none.
    """

    after: int
    error: bytes
    ping: Frame
    gap: float
    tail: tuple[Frame, ...] = ()
    garbage: bytes = b'data: {"choices":[{"delta":{"content":\n\n'


Played = Iterator[Frame | Wait | End]
FrameFault = Callable[[Iterator[Frame], Setting], Played]


def faulty(name: str | None, frames: Iterator[Frame], setting: Setting) -> Played:
    """Return the frames with the fault `name`; one that is no frame fault changes none of them."""
    fault = None if name is None else FRAME_FAULTS.get(name)
    return iter(frames) if fault is None else fault(frames, setting)


def _marked(frames: Iterator[Frame], after: int) -> Iterator[tuple[Frame, bool]]:
    """Yield each frame and whether the fault stands right before it: once, at the latest
    before the finish.
    """
    seen, pending = 0, True
    for frame in frames:
        content = frame.kind is Kind.CONTENT
        here = pending and ((content and seen == after) or frame.kind in (Kind.FINISH, Kind.MARK))
        pending = pending and not here
        seen += content
        yield frame, here


def _ending(end: End) -> FrameFault:
    def fault(frames: Iterator[Frame], setting: Setting) -> Played:
        for frame, here in _marked(frames, setting.after):
            if here:
                yield end
                return
            yield frame

    return fault


def _cut_before_done(frames: Iterator[Frame], _: Setting) -> Played:
    for frame in frames:
        yield End.CLOSE if frame.kind is Kind.MARK else frame


def _first_token_stall(frames: Iterator[Frame], _: Setting) -> Played:
    for frame in frames:
        if frame.kind not in (Kind.START, Kind.PING):
            break
        yield frame
    yield End.HOLD


def _without(kind: Kind) -> FrameFault:
    def fault(frames: Iterator[Frame], _: Setting) -> Played:
        return (frame for frame in frames if frame.kind is not kind)

    return fault


def _duplicate(frames: Iterator[Frame], setting: Setting) -> Played:
    for frame, here in _marked(frames, setting.after):
        yield frame
        if here and frame.kind is Kind.CONTENT:
            yield replace(frame, kind=Kind.OTHER, tokens=0)


def _garbage(frames: Iterator[Frame], setting: Setting) -> Played:
    for frame, here in _marked(frames, setting.after):
        if here:
            yield Frame(setting.garbage, Kind.OTHER)
        yield frame


def _error_first(_: Iterator[Frame], setting: Setting) -> Played:
    yield Frame(setting.error, Kind.ERROR)
    yield from setting.tail


def _error_mid(frames: Iterator[Frame], setting: Setting) -> Played:
    for frame, here in _marked(frames, setting.after):
        if here:
            yield Frame(setting.error, Kind.ERROR)
            yield from setting.tail
            return
        yield frame


def _double_done(frames: Iterator[Frame], _: Setting) -> Played:
    for frame in frames:
        yield frame
        if frame.kind is Kind.MARK:
            yield frame


def _ping_only(_: Iterator[Frame], setting: Setting) -> Played:
    while True:
        yield setting.ping
        yield Wait(setting.gap)


FRAME_FAULTS: dict[str, FrameFault] = {
    "cut": _ending(End.CLOSE),
    "cut_before_done": _cut_before_done,
    "reset": _ending(End.RESET),
    "stall": _ending(End.HOLD),
    "first_token_stall": _first_token_stall,
    "no_done": _without(Kind.MARK),
    "no_finish": _without(Kind.FINISH),
    "duplicate": _duplicate,
    "garbage": _garbage,
    "error_first": _error_first,
    "error_mid": _error_mid,
    "double_done": _double_done,
    "ping_only": _ping_only,
}
REFUSALS = {
    "http_400": (400, "Invalid value for 'messages'."),
    "http_401": (401, "Incorrect API key provided: {key}"),
    "http_429": (429, "Rate limit reached."),
    "http_500": (500, "The server had an error."),
    "http_503": (503, "The server is overloaded."),
}
"""Status and message; `{key}` becomes the key that came with the request."""
PLAIN_ENDS = {
    "cut": End.CLOSE,
    "cut_before_done": End.CLOSE,
    "reset": End.RESET,
    "stall": End.HOLD,
    "first_token_stall": End.HOLD,
    "ping_only": End.HOLD,
}
"""What these faults do to an answer that is no stream: half of it, then this end."""
WIRE_FAULTS = frozenset({"gzip", "hold_open", "no_last_chunk", "split_bytes", "stall_head"})
_OTHER = frozenset({"html", "redirect", "refuse_usage_option", "slow", "usage_none"})
FAULTS = frozenset(FRAME_FAULTS) | frozenset(REFUSALS) | WIRE_FAULTS | _OTHER
"""Every name that `sim.fault` and `/fault/NAME/` take, beside the shorter ones."""
SHORTER = {str(status): name for name, (status, _) in REFUSALS.items()}
"""A status alone is the refusal with it."""


def gzip_frames(frames: Played) -> Played:
    """Yield the frames as pieces of one gzip body, each flushed so that it can be read at once."""
    deflater = zlib.compressobj(wbits=31)
    for frame in frames:
        if not isinstance(frame, Frame):
            yield frame
            continue
        data = deflater.compress(frame.data) + deflater.flush(zlib.Z_SYNC_FLUSH)
        yield replace(frame, data=data)
    yield Frame(deflater.flush(), Kind.PING)
