"""Tells a running gateway of changed keys, and the ledger of used ones. Knows no request."""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path

from streamgauge.core.keys import KeyRing
from streamgauge.ledger.base import LedgerError, LedgerOpenError, Notice, Post
from streamgauge.ledger.keys import RingReader
from streamgauge.ledger.upkeep import Later, Maintain, Timer

__all__ = ["POLL_SECONDS", "KeyUse", "KeyWatch"]

POLL_SECONDS = 0.25
"""A revoked key is refused within 1 s (FAULTS S2); a look costs some 20 µs."""
_TOLD_SECONDS = 2.0
"""How long who has changed a key waits for the owner: one that is blocked hears of it later."""
_USE_SECONDS = 1.0
"""`last used` is for people: a write for each request would be for nobody."""


class KeyWatch:
    """A thread that looks at the keys' version, and posts the whole ring when it has changed.

    The event loop never waits on disk (SPEC §8.2). Who changes keys in this process asks for a look
    at once; a change by another is seen at the next one. While the ledger cannot be read the last ring
    holds; that is noted once. `ring` is what the keys are at construction, which raises
    LedgerOpenError's kinds.
    """

    def __init__(self, path: Path, post: Post, notice: Notice) -> None:
        self._reader = RingReader(path)
        try:
            self._version, self.ring = self._reader.read()
        except BaseException:
            self._reader.close()
            raise
        self._post = post
        self._notice = notice
        self._stopping = threading.Event()
        self._troubled = False
        self._looking = threading.Lock()
        self._tell: Callable[[KeyRing], None] = lambda ring: None
        self._thread = threading.Thread(target=self._run, name="keys", daemon=True)

    def start(self, tell: Callable[[KeyRing], None]) -> None:
        """Call `tell` with each ring that is new, on the owner's thread, as `post` runs it."""
        self._tell = tell
        self._thread.start()

    def look(self) -> None:
        """Return when the owner has been told of the keys as they are now, or after 2 s.

        From any thread but the owner's, until `stop`.
        """
        told = threading.Event()
        self._look()
        self._post(told.set)
        told.wait(_TOLD_SECONDS)

    def stop(self) -> None:
        """End the thread and let the file go; waits for a look that is under way."""
        self._stopping.set()
        if self._thread.ident is not None:
            self._thread.join()
        self._reader.close()

    def _run(self) -> None:
        while not self._stopping.wait(POLL_SECONDS):
            self._look()

    def _look(self) -> None:
        with self._looking:
            try:
                self._tell_changes()
            except LedgerOpenError as error:
                self._note(error)
            else:
                self._troubled = False

    def _tell_changes(self) -> None:
        if self._reader.version() == self._version:
            return
        version, ring = self._reader.read()
        self._post(partial(self._tell, ring))
        self._version = version

    def _note(self, error: LedgerError) -> None:
        if not self._troubled:
            self._troubled = True
            fields = [("message", f"client keys cannot be read; the last ones hold: {error}")]
            self._post(partial(self._notice, "warning", "keys", fields))


class KeyUse:
    """Writes when keys were used, about once a second, between the writer's commits.

    `taken` gives what was used since it was asked last: key id to µs since the epoch. A write that
    fails is not repeated, as the next use tells more; so the last second before a stop may be lost.
    """

    def __init__(
        self, taken: Callable[[], Mapping[str, int]], maintain: Maintain, later: Later
    ) -> None:
        self._taken = taken
        self._maintain = maintain
        self._later = later
        self._timer: Timer | None = None

    def start(self) -> None:
        """Begin; on the owner's thread."""
        self._timer = self._later(_USE_SECONDS, self._go)

    def stop(self) -> None:
        """Queue what is left, and no more."""
        if self._timer is not None:
            self._timer.cancel()
        self._write()

    def _go(self) -> None:
        self._write()
        self.start()

    def _write(self) -> None:
        if used := self._taken():
            self._maintain("key use", partial(_note_use, dict(used)), None)


def _note_use(used: Mapping[str, int], connection: sqlite3.Connection) -> None:
    connection.executemany(
        "UPDATE client_keys SET last_used_at = max(ifnull(last_used_at, 0), ?) WHERE key_id = ?",
        [(at, key_id) for key_id, at in used.items()],
    )
