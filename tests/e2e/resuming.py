"""A client that loses its connection and reads on: what it has, and what a parser makes of it."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import Any

from .stand import Client, Stand

__all__ = ["CHAT", "RESUME", "Reading", "chat", "config"]

CHAT = "/v1/chat/completions"
RESUME = {"x_streamgauge_resume": "1"}


def chat(**sim: Any) -> dict[str, Any]:
    """Return a streaming request that asks `sim` of the simulator."""
    messages = [{"role": "user", "content": "hi"}]
    return {"model": "sim", "stream": True, "messages": messages, "sim": sim}


def config(seconds: float, **more: Any) -> dict[str, Any]:
    """Return a configuration in which streams wait `seconds` for their client."""
    return {"sessions": {"resume_seconds": seconds}, **more}


@dataclass
class Reading:
    """All that one client read of a stream, over however many connections.

    `events`: number and payload of each whole frame that has an id. `unnumbered`: the others.
    `blank`: blank lines that end neither, which some parsers take for an event.
    """

    stream_id: str = ""
    events: list[tuple[int, bytes]] = field(default_factory=list)
    unnumbered: list[bytes] = field(default_factory=list)
    ended: bool = False
    blank: int = 0
    _rest: bytes = b""

    @property
    def seq(self) -> int:
        """The last frame that is whole: what an EventSource would send as Last-Event-ID."""
        return self.events[-1][0] if self.events else 0

    @property
    def numbers(self) -> list[int]:
        """The numbers of the frames, as they came."""
        return [seq for seq, _ in self.events]

    @property
    def text(self) -> str:
        """What the deltas add up to."""
        said = ""
        for _, payload in self.events:
            if payload.startswith(b"{"):
                for choice in json.loads(payload).get("choices", ()):
                    said += choice["delta"].get("content") or ""
        return said

    def feed(self, data: bytes) -> None:
        """Take bytes, as a parser of server-sent events does."""
        *frames, self._rest = (self._rest + data).split(b"\n\n")
        for frame in frames:
            self._frame(frame.split(b"\n"))

    def _frame(self, lines: list[bytes]) -> None:
        ids = [line[4:] for line in lines if line.startswith(b"id: ")]
        data = [line.removeprefix(b"data:").strip() for line in lines if line.startswith(b"data:")]
        self.blank += not data
        if not ids:
            self.unnumbered += data
            return
        (named,) = ids
        stream_id, _, seq = named.decode().partition(":")
        assert stream_id == self.stream_id
        self.events.append((int(seq), b"\n".join(data)))

    async def begin(self, client: Client, body: Any, path: str = CHAT, **headers: str) -> None:
        """Ask for a stream that can be taken up again, and read its head."""
        await client.post(path, body, **RESUME, **headers)
        status, head = await client.head()
        assert status == 200
        self.stream_id = head["x-streamgauge-stream-id"]
        assert "x-streamgauge-resume" in head

    async def take_up(
        self, it: Stand, client: Client, *, by_header: bool = False, **headers: str
    ) -> int:
        """Go on on a new connection; return the status."""
        self._rest = b""
        path = f"/v1/streams/{self.stream_id}/events"
        lines = [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
        if by_header:
            lines.append(f"last-event-id: {self.stream_id}:{self.seq}")
        else:
            path += f"?after={self.seq}"
        top = [f"GET {path} HTTP/1.1", "host: 127.0.0.1", *lines, "", ""]
        client.writer.write("\r\n".join(top).encode())
        status, head = await client.head()
        if status == 200:
            assert head["content-type"].startswith("text/event-stream")
        self.ended = self.ended or status == 204
        return status

    async def read(self, client: Client, frames: int | None = None) -> None:
        """Read until `frames` are there, or to the end of the body."""
        while not self.ended and (frames is None or len(self.events) < frames):
            piece = await client.chunk()
            if not piece:
                self.ended = piece == b""
                return
            self.feed(piece)
