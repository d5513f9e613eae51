"""Timers ring late behind what waits in the sockets, in time otherwise, and never once cancelled."""

from __future__ import annotations

import asyncio
import socket
import time
from collections.abc import Callable

import pytest

from streamgauge.gateway.timers import FairTimer

uvloop = pytest.importorskip("uvloop", reason="uvloop runs timers before it reads sockets")
STOOD_STILL = 0.4
"""Seconds: longer than what counts as late."""


def told(play: Callable[[asyncio.AbstractEventLoop, list[str], asyncio.Event], None]) -> list[str]:
    """Run `play`, which sets the event at its end, on uvloop; return what it noted."""

    async def run() -> list[str]:
        notes: list[str] = []
        over = asyncio.Event()
        play(asyncio.get_running_loop(), notes, over)
        async with asyncio.timeout(5):
            await over.wait()
        return notes

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        return runner.run(run())


def test_what_came_while_the_loop_stood_still_is_read_before_it_rings() -> None:
    ours, theirs = socket.socketpair()
    other, far = socket.socketpair()

    def play(loop: asyncio.AbstractEventLoop, notes: list[str], over: asyncio.Event) -> None:
        def ring() -> None:
            notes.append("rang")
            over.set()

        def stand_still() -> (
            None
        ):  # among the sockets: behind it the loop comes to its timers first
            other.recv(9)
            theirs.send(b"in time")
            time.sleep(STOOD_STILL)

        loop.add_reader(ours, lambda: notes.append(ours.recv(9).decode()))
        loop.add_reader(other, stand_still)
        FairTimer(loop, 0.05, ring)
        far.send(b"now")

    with ours, theirs, other, far:
        assert told(play) == ["in time", "rang"]


def test_it_rings_once_and_in_time() -> None:
    def play(loop: asyncio.AbstractEventLoop, notes: list[str], over: asyncio.Event) -> None:
        FairTimer(loop, 0.02, lambda: notes.append("rang"))
        loop.call_later(0.2, over.set)

    assert told(play) == ["rang"]


@pytest.mark.parametrize("late", [False, True])
def test_once_cancelled_it_never_rings(late: bool) -> None:
    def play(loop: asyncio.AbstractEventLoop, notes: list[str], over: asyncio.Event) -> None:
        timer = FairTimer(loop, 0.05, lambda: notes.append("rang"))
        if late:  # between the moment that it is due and the one at which it would ring
            loop.call_later(0.051, timer.cancel)
            loop.call_soon(time.sleep, STOOD_STILL)
        else:
            timer.cancel()
        loop.call_later(0.2, over.set)

    assert told(play) == []
