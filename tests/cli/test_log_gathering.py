"""Log lines of one turn of the loop leave together, and none is lost or late."""

from __future__ import annotations

import io
import threading
from collections.abc import Callable

import pytest

from streamgauge.cli.log import LogWriter


class Counted(io.StringIO):
    """A stream that counts its writes."""

    writes = 0

    def write(self, text: str) -> int:
        """Count, and write."""
        self.writes += 1
        return super().write(text)


@pytest.fixture
def stream() -> Counted:
    return Counted()


@pytest.fixture
def turn() -> list[Callable[[], None]]:
    return []


@pytest.fixture
def writer(stream: Counted, turn: list[Callable[[], None]]) -> LogWriter:
    writer = LogWriter("logfmt", "info", stream)
    writer.gather(turn.append)
    return writer


def events(stream: Counted) -> list[str]:
    return [line.split()[-1] for line in stream.getvalue().splitlines()]


def say(writer: LogWriter, level: str, word: str) -> None:
    writer(level, "said", [("word", word)])


def test_lines_of_one_turn_leave_in_one_write(
    writer: LogWriter, stream: Counted, turn: list[Callable[[], None]]
) -> None:
    for word in "abc":
        say(writer, "info", word)
    assert (stream.writes, len(turn)) == (0, 1)
    turn.pop()()
    assert (stream.writes, events(stream)) == (1, ["word=a", "word=b", "word=c"])
    say(writer, "info", "d")
    assert len(turn) == 1


@pytest.mark.parametrize("level", ["warning", "error"])
def test_what_is_urgent_does_not_wait_and_what_came_before_it_goes_first(
    writer: LogWriter, stream: Counted, turn: list[Callable[[], None]], level: str
) -> None:
    say(writer, "info", "a")
    say(writer, level, "b")
    assert events(stream) == ["word=a", "word=b"]
    turn.pop()()
    assert events(stream) == ["word=a", "word=b"]


def test_another_threads_line_does_not_wait(
    writer: LogWriter, stream: Counted, turn: list[Callable[[], None]]
) -> None:
    other = threading.Thread(target=say, args=(writer, "info", "b"))
    other.start()
    other.join()
    assert (events(stream), turn) == (["word=b"], [])


def test_at_the_end_what_waits_is_written_and_later_lines_at_once(
    writer: LogWriter, stream: Counted
) -> None:
    say(writer, "info", "a")
    writer.gather(None)
    assert events(stream) == ["word=a"]
    say(writer, "info", "b")
    assert events(stream) == ["word=a", "word=b"]
