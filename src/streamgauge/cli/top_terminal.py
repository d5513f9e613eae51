"""`top` on a terminal: keys, size, the looks each second. Knows neither where views come from nor pages."""

from __future__ import annotations

import asyncio
import os
import re
import signal
import sys
import termios
import tty
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from rich.console import Console, ConsoleDimensions, RenderableType
from rich.live import Live

from streamgauge.cli.admin_client import AdminError, NotLetIn
from streamgauge.cli.ledger_table import signs_of
from streamgauge.cli.top_screen import Frame, Speeds, page
from streamgauge.cli.top_sources import Source, View
from streamgauge.ledger.base import LedgerOpenError

__all__ = ["watch"]

_KEYS = "q quits"
_MOVES = {b"j": 1, b"k": -1, b"\x1b[B": 1, b"\x1b[A": -1, b"\x1bOB": 1, b"\x1bOA": -1}
_PAGES = {b" ": 1, b"\x1b[6~": 1, b"\x1b[5~": -1}
_QUIT = frozenset({b"q", b"Q", b"\x03", b"\x04", b"\x1b"})
_KEY = re.compile(rb"\x1b\[[0-9;]*[~A-Za-z]|\x1bO[A-Z]|.", re.DOTALL)
_MOST_INPUT = 64
_FALLBACK = (80, 24)
"""Of a terminal that does not tell its size."""


def watch(source: Source, first: View, console: Console, interval: float) -> None:
    """Show `source` every `interval` seconds, beginning with `first`, until the reader quits.

    Raises NotLetIn when the listener does not want to be asked any more.
    """
    descriptor = sys.stdin.fileno() if sys.stdin.isatty() else None
    with _keys_at_once(descriptor):
        asyncio.run(_Watch(source, first, console, interval).run(descriptor))


@contextmanager
def _keys_at_once(descriptor: int | None) -> Iterator[None]:
    """Have the terminal tell each key at once and echo none; afterwards it is as it was."""
    if descriptor is None:
        yield
        return
    before = termios.tcgetattr(descriptor)
    tty.setcbreak(descriptor)
    now = termios.tcgetattr(descriptor)
    # Ctrl-Z would leave the shell in our screen, without echo.
    now[6][termios.VSUSP] = os.fpathconf(descriptor, "PC_VDISABLE").to_bytes(1, "big")
    termios.tcsetattr(descriptor, termios.TCSANOW, now)
    try:
        yield
    finally:
        termios.tcsetattr(descriptor, termios.TCSADRAIN, before)


@dataclass(slots=True)
class _State:
    """What is shown. `trouble`: why the view is not of the last look."""

    view: View
    trouble: str | None = None
    offset: int = 0
    ended: bool = False


class _Watch:
    """One run, in one loop: everything but the looks happens there."""

    def __init__(self, source: Source, first: View, console: Console, interval: float) -> None:
        self._source = source
        self._console = console
        self._interval = interval
        self._state = _State(first)
        self._speeds = Speeds()
        self._speeds.note(first)
        self._changed = asyncio.Event()

    async def run(self, descriptor: int | None) -> None:
        """Draw whenever something has changed, until the reader quits."""
        loop = asyncio.get_running_loop()
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(number, self._quit)
        loop.add_signal_handler(signal.SIGWINCH, self._changed.set)
        if descriptor is not None:
            loop.add_reader(descriptor, self._read_key, descriptor)
        looking = asyncio.create_task(self._look(), name="looks")
        looking.add_done_callback(lambda _: self._changed.set())
        try:
            with Live(console=self._console, screen=True, auto_refresh=False) as live:
                while not self._state.ended and not looking.done():
                    live.update(self._drawn(), refresh=True)
                    await self._changed.wait()
                    self._changed.clear()
            if looking.done():
                looking.result()
        finally:
            looking.cancel()
            await asyncio.gather(looking, return_exceptions=True)

    def _drawn(self) -> RenderableType:
        state = self._state
        width, height = self._console.size = _size_of(sys.stdout.fileno())
        rows = 0 if state.view.live is None else len(state.view.live["rows"])
        state.offset = min(max(state.offset, 0), max(rows - 1, 0))
        frame = Frame(signs_of(self._console), width, height, state.offset, _KEYS)
        return page(state.view, frame, self._speeds, state.trouble)

    async def _look(self) -> None:
        while True:
            await asyncio.sleep(self._interval)  # the looks are the purpose: nothing is waited for
            try:
                self._state.view = await asyncio.to_thread(self._source.look)
                self._state.trouble = None
                self._speeds.note(self._state.view)
            except NotLetIn:
                raise
            except (AdminError, LedgerOpenError) as error:
                self._state.trouble = f"{error}; trying again"
            self._changed.set()

    def _read_key(self, descriptor: int) -> None:
        try:
            pressed = os.read(descriptor, _MOST_INPUT)
        except OSError:
            pressed = b""  # the terminal is gone
        half = max(self._console.size.height // 2, 1)
        keys = _KEY.findall(pressed)
        if not keys or any(key in _QUIT for key in keys):
            self._quit()
        self._state.offset += sum(_MOVES.get(key, 0) + _PAGES.get(key, 0) * half for key in keys)
        self._changed.set()

    def _quit(self) -> None:
        self._state.ended = True
        self._changed.set()


def _size_of(descriptor: int) -> ConsoleDimensions:
    """Return the terminal's size now; the variables COLUMNS and LINES are those of its start."""
    try:
        found = os.get_terminal_size(descriptor)
    except OSError:
        return ConsoleDimensions(*_FALLBACK)
    return ConsoleDimensions(found.columns or _FALLBACK[0], found.lines or _FALLBACK[1])
