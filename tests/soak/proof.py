"""Reads the stamps and numbers of one saved stream, by SPEC §12.1 alone. It shares no code with them."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from hashlib import sha1

__all__ = ["Proved"]

_ID = re.compile(rb"^id: ([\w-]+):(\d+)$")
_STAMP = b": streamgauge-frame "
_PINGS = (b'{"type":"ping"', b'{"type": "ping"')


class Proved:
    """What a body says of itself. `fault`: the first thing that is wrong; `sha1`: of all that was sent."""

    def __init__(self, body: bytes) -> None:
        self.stamped = False
        self.frames = 0
        self._hash = sha1(usedforsecurity=False)
        self._stamps = 0
        self.fault = next(self._faults(body), None)

    @property
    def sha1(self) -> str | None:
        """The hash of the whole stream, None where nothing was sent."""
        return self._hash.hexdigest() if self.frames else None

    def _faults(self, body: bytes) -> Iterator[str]:
        for block in body.split(b"\n\n"):
            lines = block.split(b"\n")
            data = [line[5:].removeprefix(b" ") for line in lines if line.startswith(b"data:")]
            payload = b"\n".join(data)
            stamps = [line for line in lines if line.startswith(_STAMP)]
            if not data or payload.startswith(_PINGS):
                if stamps:
                    yield f"a stamp of no frame behind frame {self.frames}"
                continue
            self.frames += 1
            self._hash.update(payload + b"\n")
            yield from self._numbered(lines)
            yield from self._stamped(stamps, payload)

    def _numbered(self, lines: list[bytes]) -> Iterator[str]:
        for found in filter(None, map(_ID.match, lines)):
            if int(found[2]) != self.frames:
                yield f"frame {self.frames} has the id {int(found[2])}"

    def _stamped(self, stamps: list[bytes], payload: bytes) -> Iterator[str]:
        self._stamps += len(stamps)
        self.stamped = bool(self._stamps)
        if self._stamps not in (0, self.frames):
            yield f"{self._stamps} stamps of {self.frames} frames"
        for line in stamps:
            stamp = json.loads(line.removeprefix(_STAMP))
            if stamp["seq"] != self.frames:
                yield f"frame {self.frames} is stamped {stamp['seq']}"
            if stamp["sha1"] != sha1(payload, usedforsecurity=False).hexdigest()[:12]:
                yield f"frame {self.frames} was altered"
