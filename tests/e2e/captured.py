"""Captures of real exchanges, and ways to spoil them."""

from __future__ import annotations

import contextlib
import random
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from streamgauge.core.ndjson import NdjsonSplitter
from streamgauge.core.pings import is_ping
from streamgauge.core.sse import FrameKind, FrameSplitter
from streamgauge.gateway.capture.format import Closing, Line, Opening, Side, Way, encode_line
from streamgauge.tools.capture.reading import CaptureReader, message_of

from .stand import Stand, stand, until

CHAT = "/v1/chat/completions"
WAYS = {
    "openai": CHAT,
    "anthropic": "/v1/messages",
    "frames": f"{CHAT}?protocol=frames",
    "simple": f"{CHAT}?protocol=simple",
}


def asking(stream: bool = True, **sim: Any) -> dict[str, Any]:
    """Return a request that asks `sim` of the simulator."""
    messages = [{"role": "user", "content": "hi"}]
    return {"model": "sim", "stream": stream, "max_tokens": 4000, "messages": messages, "sim": sim}


@contextlib.asynccontextmanager
async def capturing(
    folder: Path, capture: dict[str, Any] | None = None, **more: Any
) -> AsyncIterator[Stand]:
    """Run a stand that captures every route."""
    folder.mkdir(exist_ok=True)
    settings = {"dir": str(folder / "captures"), "routes": ["*"], **(capture or {})}
    config = {"capture": settings, **more.pop("config", {})}
    async with stand(folder, config=config, **more) as it:
        yield it


async def file_of(it: Stand, exchange_id: str) -> Path:
    """Wait until a capture is whole, and return its file."""
    await until(lambda: exchange_id in it.gateway.capturing.state().last)
    return it.folder / "captures" / f"{exchange_id}.jsonl"


@dataclass
class Captured:
    """A capture in memory: what the client was sent, frame by frame as it stands on the wire."""

    opening: Opening
    head: Line
    frames: list[bytes]
    payloads: list[bytes]
    rest: bytes
    closing: Closing

    @classmethod
    def read(cls, path: Path) -> Captured:
        """Read a file."""
        with path.open("rb") as file:
            reader = CaptureReader(file)
            lines = list(reader.lines())
        told = message_of(lines, Side.CLIENT, Way.OUT)
        splitter: Any = NdjsonSplitter() if reader.opening.protocol == "simple" else FrameSplitter()
        frames: list[bytes] = []
        payloads: list[bytes] = []
        waiting = b""
        for frame in splitter.feed(told.body):
            waiting += frame.raw
            if frame.kind is FrameKind.DATA and not is_ping(frame.payload, frame.event):
                frames.append(waiting)
                payloads.append(frame.payload)
                waiting = b""
        head = Line(t=0, side=Side.CLIENT, dir=Way.OUT, head=told.head)
        assert reader.closing is not None
        return cls(reader.opening, head, frames, payloads, waiting, reader.closing)

    def lines(self, frames: list[bytes] | None = None) -> list[Line]:
        """Return the lines of a client that was sent `frames`."""
        told = [*(self.frames if frames is None else frames), self.rest]
        bodies = [data for data in told if data]
        side = {"side": Side.CLIENT, "dir": Way.OUT}
        return [self.head, *(Line(t=n, b64=data, **side) for n, data in enumerate(bodies))]

    def write(self, path: Path, lines: list[Line]) -> None:
        """Write a capture with these lines."""
        parts = [self.opening, *lines, self.closing]
        path.write_bytes(b"".join(encode_line(part) for part in parts))


Spoil = Callable[[Captured, random.Random], tuple[list[bytes], set[int]]]
"""Returns what the client is said to have been sent, and the seqs of which one must be named."""


def flip(it: Captured, chance: random.Random) -> tuple[list[bytes], set[int]]:
    """Change one bit of a payload: of its text, or of what stands beside it."""
    at = chance.randrange(len(it.frames))
    begin = it.frames[at].index(it.payloads[at])
    place = chance.randrange(begin, begin + len(it.payloads[at]))
    frame = bytearray(it.frames[at])
    frame[place] ^= 1 << chance.randrange(8)
    return [*it.frames[:at], bytes(frame), *it.frames[at + 1 :]], {at + 1}


def drop(it: Captured, chance: random.Random) -> tuple[list[bytes], set[int]]:
    """Leave a frame out."""
    at = chance.randrange(len(it.frames))
    return [*it.frames[:at], *it.frames[at + 1 :]], {at + 1}


def duplicate(it: Captured, chance: random.Random) -> tuple[list[bytes], set[int]]:
    """Send a frame twice. Behind the end marker any frame is the one too many."""
    at = chance.randrange(len(it.frames))
    last = at == len(it.frames) - 1
    return [*it.frames[: at + 1], *it.frames[at:]], {at + 2} if last else {at + 1}


def reorder(it: Captured, chance: random.Random) -> tuple[list[bytes], set[int]]:
    """Let two frames change places."""
    first, second = sorted(chance.sample(range(len(it.frames)), 2))
    frames = list(it.frames)
    frames[first], frames[second] = frames[second], frames[first]
    return frames, {first + 1, second + 1}


def cut(it: Captured, chance: random.Random) -> tuple[list[bytes], set[int]]:
    """End somewhere before the last byte of the last frame."""
    body = b"".join(it.frames)
    at, whole = chance.randrange(len(body)), 0
    while at >= sum(map(len, it.frames[: whole + 1])):
        whole += 1
    return [body[:at]], {whole + 1}


SPOILS: dict[str, Spoil] = {
    "flip": flip, "drop": drop, "duplicate": duplicate, "reorder": reorder, "cut": cut,
}  # fmt: skip
