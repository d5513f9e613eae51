"""What the simulator sent, one JSON line a call (SPEC §18.1). It books; it does not send."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import BinaryIO

import msgspec

__all__ = ["Ending", "Entry", "Journal"]


class Ending(StrEnum):
    """`complete`: flushed whole, end marker included; `cut`: ended short by the simulator."""

    COMPLETE = "complete"
    CUT = "cut"
    CLIENT_CLOSED = "client_closed"


class Entry(msgspec.Struct):
    """One call. Counts are of what was flushed to the socket; None is unknown, or not (yet) so.

    `completion_tokens` and `prompt_tokens` are what the sent usage states; while none was sent,
    the tokens flushed so far and the tokens read. `frames`: SSE frames with data, end marker
    included. `bytes`: body bytes before transfer framing. `close_seen_ms`: from the last write to
    the moment the peer's FIN or reset was seen; `closed_at`: that moment, `began_at` and
    `ended_at` likewise, in seconds since the epoch.
    """

    call_id: str
    path: str
    model: str | None
    stream: bool
    prompt_tokens: int | None
    completion_tokens: int | None = 0
    frames: int = 0
    bytes: int = 0
    ending: Ending | None = None
    close_seen_ms: float | None = None
    closed_at: float | None = None
    fault: str | None = None
    usage_sent: bool = False
    began_at: float | None = None
    ended_at: float | None = None


class Journal:
    """Entries in the order in which they ended, each written to the file, if any, at its end."""

    def __init__(self, path: Path | None) -> None:
        self.begun: list[Entry] = []
        self.entries: list[Entry] = []
        self._file: BinaryIO | None = None if path is None else path.open("ab", buffering=0)

    def begin(self, entry: Entry) -> None:
        """Note that a call was read; its line comes at its end."""
        self.begun.append(entry)

    def end(self, entry: Entry) -> None:
        """Write the line of a call whose `ending` is known."""
        self.entries.append(entry)
        if self._file is not None:
            self._file.write(msgspec.json.encode(entry) + b"\n")

    def lines(self, *, begun: bool = False) -> bytes:
        """Return the ended calls as JSON lines, or all begun ones; an open one has no ending."""
        chosen = self.begun if begun else self.entries
        return b"".join(msgspec.json.encode(entry) + b"\n" for entry in chosen)

    def close(self) -> None:
        """Close the file; entries stay readable."""
        if self._file is not None:
            self._file.close()
            self._file = None
