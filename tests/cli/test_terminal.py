"""What only a terminal gets: colour, short ids, progress; and that help is everywhere."""

from __future__ import annotations

import io
import os
import pty
import re
import select
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from streamgauge.cli.main import VERBS
from streamgauge.cli.progress import counted
from streamgauge.core.record import Status

from .books import ENVIRONMENT, RUN, an_exchange, write

# -- colour


def on_a_terminal(*arguments: str, **environment: str) -> str:
    """Return what a verb writes to a terminal of its own."""
    ours, theirs = pty.openpty()
    process = subprocess.Popen(
        [*RUN, *arguments],
        env={**ENVIRONMENT, "TERM": "xterm-256color", "COLUMNS": "150", **environment},
        stdout=theirs,
        stderr=theirs,
        stdin=subprocess.DEVNULL,
    )
    os.close(theirs)
    shown = b"".join(read(ours))
    os.close(ours)
    assert process.wait(20) == 0, shown
    return shown.decode()


def read(descriptor: int) -> Iterator[bytes]:
    while select.select([descriptor], [], [], 20)[0]:
        try:
            yield os.read(descriptor, 65536)
        except OSError:  # Linux says EIO when the other end is closed
            return


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "books.db"
    failed = an_exchange("ffff0000-failed", 1, status=Status.UPSTREAM_ERROR, success=False)
    write(path, (failed, []), (an_exchange("aaaa0000-done"), []))
    return path


VERBS_WITH_STATUS = [["ls"], ["show", "ffff"], ["tail", "--no-follow", "--format", "pretty"]]


@pytest.mark.parametrize("verb", VERBS_WITH_STATUS, ids=lambda verb: verb[0])
def test_a_status_is_icon_word_and_colour(path: Path, verb: list[str]) -> None:
    shown = on_a_terminal(*verb, "--ledger", str(path))
    assert re.search(r"\x1b\[(1;)?31m✗ upstream_error", shown)


@pytest.mark.parametrize("verb", VERBS_WITH_STATUS, ids=lambda verb: verb[0])
def test_no_color_is_obeyed(path: Path, verb: list[str]) -> None:
    shown = on_a_terminal(*verb, "--ledger", str(path), NO_COLOR="1")
    assert "✗ upstream_error" in shown
    assert "\x1b[3" not in shown


# -- plots


@pytest.mark.parametrize("more", [{}, {"NO_COLOR": "1"}], ids=["colour", "plain"])
def test_ls_draws_the_wait_and_the_answer_to_scale(tmp_path: Path, more: dict[str, str]) -> None:
    slow = an_exchange("aaaa0000-slow", 1, ttft_ms=6000.0, stream_duration_ms=7000.0)
    whole = an_exchange("bbbb0000-whole", ttft_ms=None, stream_duration_ms=3500.0)
    write(tmp_path / "l.db", (slow, []), (whole, []))
    shown = on_a_terminal("ls", "--ledger", str(tmp_path / "l.db"), **more)
    plain = re.sub(r"\x1b\[[0-9;]*m", "", shown)
    assert "░wait █answer" in plain
    assert f"{'░' * 12}{'█' * 2} " in plain
    assert f" {'░' * 7} " in plain, "what has no first token was waited for to the end"
    assert ("\x1b[33m░" in shown) == (not more)


def test_show_draws_each_step_to_scale(tmp_path: Path) -> None:
    record = an_exchange("aaaa0000", ttft_ms=700.0, stream_duration_ms=1400.0)
    write(tmp_path / "l.db", (record, []))
    shown = on_a_terminal("show", "aaaa", "--ledger", str(tmp_path / "l.db"), NO_COLOR="1")
    steps = {
        line.rstrip().split("  ")[-1].strip(): line.count("█")
        for line in re.sub(r"\x1b\[[0-9;]*m", "", shown).splitlines()
        if line.startswith("  +")
    }
    assert (steps["first token"], steps["end marker"]) == (11, 11)
    assert steps["headers"] == 1


@pytest.mark.parametrize("verb", [["ls"], ["show", "aaaa"]], ids=lambda verb: verb[0])
def test_off_a_terminal_nothing_is_drawn(path: Path, verb: list[str]) -> None:
    done = subprocess.run(
        [*RUN, *verb, "--ledger", str(path)], env=ENVIRONMENT, capture_output=True, text=True,
        check=True, timeout=20,
    )  # fmt: skip
    assert not {"█", "░", "\x1b"} & set(done.stdout)


# -- progress


class Terminal(io.StringIO):
    """A stream that says that it is a terminal."""

    def isatty(self) -> bool:
        return True


def test_long_work_shows_its_count_on_a_terminal_and_takes_it_away() -> None:
    out, now = Terminal(), iter(range(1000))
    assert list(counted(range(2000), "rows", out, lambda: next(now))) == list(range(2000))
    assert "\r256 rows\r512 rows" in out.getvalue()
    assert out.getvalue().endswith("\r\x1b[K")


def test_long_work_of_known_length_says_how_much_there_is_and_asks_once() -> None:
    out, now, asked = Terminal(), iter(range(1000)), iter([2000])
    assert (
        len(list(counted(range(2000), "rows", out, lambda: next(now), lambda: next(asked)))) == 2000
    )
    assert "\r256 of 2000 rows\r512 of 2000 rows" in out.getvalue()
    quiet = io.StringIO()
    assert list(counted(range(9), "rows", quiet, total=lambda: next(asked))) == list(range(9))


def test_short_work_and_other_streams_are_silent() -> None:
    for out, step in ((Terminal(), 0.0001), (io.StringIO(), 9.0)):
        now = iter(n * step for n in range(1000))
        assert len(list(counted(range(2000), "rows", out, lambda now=now: next(now)))) == 2000
        assert out.getvalue() == ""


# -- help


EVERY_HELP = """
from streamgauge.cli.main import VERBS, main

words = [[]]
for name, verb in VERBS.items():
    command = verb.load()
    words += [[name], *([name, each] for each in getattr(command, "commands", ()))]
for each in words:
    print("# ", *each)
    try:
        main([*each, "-h"])
    except SystemExit as ended:
        print("code", ended.code)
"""


def test_help_is_everywhere() -> None:
    # A process of its own: a command keeps the help options that it was first asked with.
    done = subprocess.run(
        [RUN[0], "-c", EVERY_HELP],
        env=ENVIRONMENT,
        capture_output=True,
        text=True,
        check=True,
        timeout=50,
    )
    pages = done.stdout.split("\n#  ")
    assert len(pages) > len(VERBS)
    for page in pages:
        words = page.removeprefix("# ").splitlines()[0].strip()
        assert " ".join(f"Usage: streamgauge {words}".split()) in page
        assert page.rstrip().endswith("code 0"), words
    assert done.stderr == ""


@pytest.mark.parametrize("words", [["lss"], ["tial"], ["config", "chek"], ["ls", "--jsno"]])
def test_a_mistyped_word_names_the_nearest(words: list[str]) -> None:
    done = subprocess.run(
        [*RUN, *words], env=ENVIRONMENT, capture_output=True, text=True, check=False, timeout=20
    )
    assert (done.returncode, done.stdout) == (2, "")
    assert "id you mean" in done.stderr


def test_no_word_at_all_is_answered_with_the_help() -> None:
    done = subprocess.run(
        [*RUN], env=ENVIRONMENT, capture_output=True, text=True, check=False, timeout=20
    )
    assert done.returncode == 2
    assert "Verbs:" in done.stdout + done.stderr
