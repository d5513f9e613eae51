"""Brings the ledger's client keys to a gateway that starts, and their use back. Knows no request."""

from __future__ import annotations

from pathlib import Path
from types import TracebackType
from typing import Self

from streamgauge.config.listeners import is_loopback
from streamgauge.gateway.callers import Callers
from streamgauge.ledger.base import LedgerOpenError, Notice, Post
from streamgauge.ledger.key_watch import KeyUse, KeyWatch
from streamgauge.ledger.upkeep import Later, Maintain

__all__ = ["ClientKeys", "KeysRefused"]

_CONFIGURATION, _CANNOT_START = 3, 4


class KeysRefused(Exception):
    """A gateway must not start with these keys, or with none; `exit_code` as in SPEC §18.0."""

    def __init__(self, message: str, exit_code: int) -> None:
        super().__init__(message)
        self.exit_code = exit_code


class ClientKeys:
    """The keys of a ledger that is open already. Construction raises KeysRefused.

    `host`: where a gateway must not listen without any key, beyond loopback; None: it may anywhere
    (SPEC §1.1).
    """

    def __init__(self, path: Path, host: str | None, *, post: Post, notice: Notice) -> None:
        try:
            self._watch = KeyWatch(path, post, notice)
        except LedgerOpenError as error:
            raise KeysRefused(str(error), _CANNOT_START) from error
        if host is not None and not is_loopback(host) and not self._watch.ring.count:
            self._watch.stop()
            raise KeysRefused(
                f"server.host {host} is not loopback, and ledger {path} holds no "
                "client key: make one with `streamgauge keys create --label NAME`, "
                "listen on 127.0.0.1, or give --insecure-no-auth",
                _CONFIGURATION,
            )
        self._use: KeyUse | None = None

    def attach(self, callers: Callers, maintain: Maintain, later: Later) -> None:
        """Give `callers` the keys, now and whenever they change; on the loop, before it listens."""
        callers.apply(self._watch.ring)
        self._watch.start(callers.apply)
        self._use = KeyUse(callers.taken_uses, maintain, later)
        self._use.start()

    def changed(self) -> None:
        """Somebody in this process has changed keys: return when `callers` know; in no loop."""
        self._watch.look()

    def stop(self) -> None:
        """Note the last uses and look no more; the ledger must still be open."""
        if self._use is not None:
            self._use.stop()
        self._watch.stop()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.stop()
