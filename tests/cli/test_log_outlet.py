"""A log that nobody reads: nothing waits for it, and what was lost is told."""

from __future__ import annotations

import fcntl
import gc
import os
import pty
import socket
import termios
import threading
from collections.abc import Callable, Iterator
from datetime import datetime
from pathlib import Path
from typing import TextIO

import pytest

from streamgauge.cli.log import LogWriter

LINE = [("reason", "x" * 500)]
PIPE = 64 * 1024


@pytest.fixture
def pipe() -> Iterator[tuple[int, TextIO]]:
    """A pipe: where it is read, and where it is written."""
    read, write = os.pipe()
    fcntl.fcntl(write, fcntl.F_SETPIPE_SZ, PIPE)
    with os.fdopen(write, "w", closefd=False) as stream:
        yield read, stream
    for descriptor in (read, write):
        try:
            os.close(descriptor)
        except OSError:
            continue


def read_all(descriptor: int) -> list[str]:
    """Return the lines that wait in a pipe."""
    os.set_blocking(descriptor, False)
    pieces = []
    try:
        while piece := os.read(descriptor, 1 << 20):
            pieces.append(piece)
    except BlockingIOError:
        pass
    return b"".join(pieces).decode().splitlines()


def test_a_pipe_that_nobody_reads_keeps_no_one_waiting(pipe: tuple[int, TextIO]) -> None:
    read, stream = pipe
    write = LogWriter("logfmt", "info", stream)
    for number in range(10_000):  # 5 MB, where a pipe takes 64 KiB
        write("info", f"line_{number}", LINE)
    lines = read_all(read)
    assert len(lines) > 100
    assert lines[0].startswith("line_0 ")


def test_what_was_kept_comes_in_its_order_and_what_was_lost_is_told(
    pipe: tuple[int, TextIO],
) -> None:
    read, stream = pipe
    write = LogWriter("logfmt", "info", stream)
    for number in range(10_000):
        write("info", f"line_{number}", LINE)
    told: list[str] = []
    while not any(line.startswith("log_lost ") for line in told):
        told += read_all(read)
        write("info", "later", [])
    told += read_all(read)
    names = [line.partition(" ")[0] for line in told if line]
    kept = [name for name in names if name.startswith("line_")]
    [lost] = [line for line in told if line.startswith("log_lost ")]
    assert kept == [f"line_{number}" for number in range(len(kept))]
    assert int(lost.split("lines=")[1].split()[0]) >= 10_000 - len(kept) > 1000


class Hurry:
    """A clock. At its second look in one write, which is for the lost lines, others write first."""

    def __init__(self, others: Callable[[], None]) -> None:
        self.others: Callable[[], None] | None = others
        self.looks = 0

    def __call__(self) -> datetime:
        self.looks += 1
        if self.looks == 2 and self.others is not None:
            others, self.others = self.others, None
            others()
        return datetime.now()


def test_no_lost_line_is_forgotten_where_others_take_the_room_just_then(
    pipe: tuple[int, TextIO],
) -> None:
    read, stream = pipe
    clock = Hurry(lambda: many("line"))
    write = LogWriter("pretty", "info", stream, clock=clock, environ={"NO_COLOR": "1"})

    def many(name: str) -> None:
        for _ in range(4000):
            clock.looks = 0
            write("info", name, LINE)

    others, clock.others = clock.others, None
    many("line")
    clock.others = others
    told, number = read_all(read), 0
    while (
        clock.others is not None
        or f" room_{number} " not in told[-1]
        or " log_lost " not in told[-2]
    ):
        number, clock.looks = number + 1, 0
        write("info", f"room_{number}", LINE)
        told += read_all(read)
    assert clock.others is None
    kept = sum(" line " in line or " room_" in line for line in told)
    lost = [int(line.split("lines=")[1]) for line in told if " log_lost " in line]
    assert kept + sum(lost) == 4000 + 4000 + number


def test_a_slow_reader_gets_the_last_lines(pipe: tuple[int, TextIO]) -> None:
    read, stream = pipe
    write = LogWriter("logfmt", "info", stream)
    for number in range(1000):
        write("info", f"line_{number}", LINE)
    told: list[bytes] = []

    def read_to_the_end() -> None:
        while b"line_999 " not in (piece := os.read(read, 1 << 20)):
            told.append(piece)

    reader = threading.Thread(target=read_to_the_end)
    reader.start()
    write.gather(None)
    reader.join(5)
    assert not reader.is_alive()
    assert b"".join(told).startswith(b"line_0 ")


def test_a_reader_that_has_left_ends_nothing(pipe: tuple[int, TextIO]) -> None:
    read, stream = pipe
    write = LogWriter("json", "info", stream)
    os.close(read)
    for _ in range(3):
        write("error", "ledger_away", LINE)


def test_a_socket_that_nobody_reads_keeps_no_one_waiting() -> None:
    read, write = socket.socketpair()  # as a service's stderr is one to its journal
    with read, write, os.fdopen(os.dup(write.fileno()), "w") as stream:
        log = LogWriter("logfmt", "info", stream)
        for number in range(10_000):
            log("info", f"line_{number}", LINE)
        assert read.recv(1 << 16).startswith(b"line_0 ")


def test_a_stopped_terminal_keeps_no_one_waiting() -> None:
    leader, follower = pty.openpty()
    with os.fdopen(follower, "w") as terminal:
        termios.tcflow(follower, termios.TCOOFF)  # Ctrl-S
        write = LogWriter("pretty", "info", terminal)
        for _ in range(1000):
            write("warning", "slow", LINE)
        termios.tcflow(follower, termios.TCOON)
        write("warning", "again", [])
        assert b"slow" in os.read(leader, 1 << 16)
        os.close(leader)


def test_a_file_gets_each_line_at_once(tmp_path: Path) -> None:
    file = tmp_path / "log"
    with file.open("w") as stream:
        write = LogWriter("logfmt", "info", stream)
        write("info", "first", [])
        assert file.read_text() == "first\n"


def test_nothing_stays_open_behind_a_log(pipe: tuple[int, TextIO]) -> None:
    read, stream = pipe
    write = LogWriter("logfmt", "info", stream)
    write("info", "line", [])
    os.close(stream.fileno())
    assert read_all(read) == ["line"]
    with pytest.raises(BlockingIOError):  # it is still open: by the log
        os.read(read, 1)
    del write
    gc.collect()
    assert os.read(read, 1) == b""
