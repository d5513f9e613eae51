"""The client keys of a demo's ledger, from when its scripted clients, which show none, are done."""

from __future__ import annotations

import asyncio
from pathlib import Path

from streamgauge.cli.client_keys import ClientKeys
from streamgauge.cli.demo_control import say_nothing
from streamgauge.gateway.server import Gateway
from streamgauge.ledger.base import Post
from streamgauge.ledger.upkeep import Maintain

__all__ = ["DemoKeys"]


class DemoKeys:
    """Follows the keys of the ledger at `path` from `ask` to `stop`; before, nobody is asked for one."""

    def __init__(self, path: Path, maintain: Maintain, post: Post) -> None:
        self._path = path
        self._maintain = maintain
        self._post = post
        self._keys: ClientKeys | None = None

    def ask(self, gateway: Gateway) -> None:
        """Let `gateway` ask for the ledger's keys as `serve` does. Raises KeysRefused."""
        keys = ClientKeys(self._path, None, post=self._post, notice=say_nothing)
        keys.attach(gateway.callers, self._maintain, asyncio.get_running_loop().call_later)
        self._keys = keys

    def changed(self) -> None:
        """The dashboard has changed keys: return when the gateway knows; in no loop."""
        if self._keys is not None:
            self._keys.changed()

    def stop(self) -> None:
        """Note the last uses; the ledger must still be open."""
        if self._keys is not None:
            self._keys.stop()
