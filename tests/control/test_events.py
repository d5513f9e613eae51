"""What keeps the events cheap: one question for all who ask, and a bound on what a slow reader holds."""

from __future__ import annotations

import asyncio

import pytest

from streamgauge.control.events import _Reader
from streamgauge.control.fresh import Fresh


@pytest.mark.asyncio
async def test_a_slow_reader_gets_the_newest_of_each_kind_and_is_told_of_rows_it_missed() -> None:
    reader = _Reader()
    for n in range(1000):
        reader.put("live", b"live %d;" % n)
        reader.put("closed", b"closed %d;" % n)
    taken = await reader.take()
    assert taken.startswith(b"live 999;closed 0;closed 1;")
    assert taken.count(b"closed") == 8
    assert taken.endswith(b'event: closed\ndata: {"rows": [], "more": true}\n\n')
    reader.put("live", b"next")
    assert await reader.take() == b"next"


class _Question:
    def __init__(self) -> None:
        self.asked = 0
        self.fails = False
        self.now = 100.0
        self.go = asyncio.Event()
        self.go.set()

    async def __call__(self) -> int:
        self.asked += 1
        await self.go.wait()
        if self.fails:
            raise OSError("gone")
        return self.asked

    def clock(self) -> float:
        return self.now


@pytest.mark.asyncio
async def test_those_who_ask_at_once_share_an_answer_and_a_failure_too() -> None:
    question = _Question()
    fresh = Fresh(question, 1.0, (OSError,), question.clock)
    question.go.clear()
    waiting = [asyncio.create_task(fresh.get()) for _ in range(20)]
    while not question.asked:
        await asyncio.sleep(0)
    question.go.set()
    assert await asyncio.gather(*waiting) == [1] * 20
    question.now += 0.99
    assert await fresh.get() == 1
    question.now, question.fails = question.now + 0.02, True
    for _ in range(3):
        with pytest.raises(OSError, match="gone"):
            await fresh.get()
    question.now, question.fails = question.now + 1.01, False
    assert await fresh.get() == question.asked == 3


@pytest.mark.asyncio
async def test_who_leaves_while_it_is_asked_takes_nobodys_answer_along() -> None:
    question = _Question()
    fresh = Fresh(question, 1.0, (OSError,), question.clock)
    question.go.clear()
    first = asyncio.create_task(fresh.get())
    while not question.asked:
        await asyncio.sleep(0)
    second = asyncio.create_task(fresh.get())
    first.cancel()
    await asyncio.wait({first})
    question.go.set()
    assert await second == 2
