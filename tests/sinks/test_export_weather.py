"""Outages, refusals, kills and restarts in any order: each row is delivered or a dead letter (F18, F19)."""

from __future__ import annotations

import os
import random
from collections.abc import Sequence
from contextlib import closing
from functools import partial
from pathlib import Path

import pytest

from streamgauge.sinks.cursor import Closed, CursorSink, Refused, Unavailable

from .test_cursor_sink import Books, FakeDestination

SEEDS = 200 if os.environ.get("STREAMGAUGE_FULL") == "1" else 20
STARTS = 4


class Stormy(FakeDestination):
    """Takes points by id, as InfluxDB does; fails by the dice, also behind what it has taken."""

    def __init__(self, dice: random.Random, bad: set[str]) -> None:
        super().__init__(bad)
        self.dice = dice
        self.held: dict[str, int] = {}
        self.calm = False

    def send(self, rows: Sequence[Closed]) -> None:
        """Take them, refuse them, or fail before or after."""
        with self.changed:
            self.changed.notify_all()
            if not self.calm and self.dice.random() < 0.3:
                raise Unavailable("HTTP 503: storm")
            good = [row for row in rows if row[2]["id"] not in self.refuses]
            if len(good) < len(rows) and self.dice.random() < 0.5:
                good = []  # some servers write what they can, others nothing
            for _, time_ns, values in good:
                assert self.held.setdefault(values["id"], time_ns) == time_ns, "the same point"
            if {values["id"] for _, _, values in rows} & self.refuses:
                raise Refused("HTTP 400: field type conflict")
            if not self.calm and self.dice.random() < 0.2:
                raise Unavailable("no answer")


@pytest.mark.fault("F18", "F19", seeds=SEEDS // 4)
@pytest.mark.parametrize("block", range(4))
def test_each_row_is_held_once_or_is_a_dead_letter_once(tmp_path: Path, block: int) -> None:
    for seed in range(block, SEEDS, 4):
        folder = tmp_path / str(seed)
        folder.mkdir()
        books = Books(folder)
        with closing(books.connection):
            _weather(books, random.Random(seed))


def _weather(books: Books, dice: random.Random) -> None:
    ids: list[str] = []
    bad: set[str] = set()
    to = Stormy(dice, bad)
    for start in range(STARTS):
        fresh = books.add(dice.randrange(5, 60))
        ids += fresh
        bad |= set(dice.sample(fresh[1:], dice.randrange(3)))
        to.refuses = bad
        to.calm = start == STARTS - 1
        books.writable = to.calm or dice.random() < 0.5  # else killed before the place was kept
        before = len(to.held)
        with books.exporting(to, batch=dice.choice([1, 7, 50]), retry_seconds=0.001) as sink:
            if to.calm:
                to.wait(partial(_is_done, to, set(ids) - bad, books, len(bad)))
            else:
                to.wait(partial(_has_moved, to, before, sink))
    assert to.held.keys() == set(ids) - bad
    assert sorted(letter["id"] for letter in books.dead()) == sorted(bad)


def _is_done(to: Stormy, wanted: set[str], books: Books, dead: int) -> bool:
    return wanted <= to.held.keys() and len(books.dead()) == dead


def _has_moved(to: Stormy, before: int, sink: CursorSink) -> bool:
    return len(to.held) > before or sink.state.failures > 3
