"""`streamgauge tail`: the ledger's rows as lines of the log, as they come (SPEC §12.5)."""

from __future__ import annotations

import json
import os
import signal
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from streamgauge.cli.tail import tail
from streamgauge.core.record import Status
from streamgauge.ledger.rows import REQUESTS

from .books import ENVIRONMENT, NOW, RUN, an_exchange, write

LINE = (
    "model=gemma-3 tokens=1000/100 tps=52.0/-ms ctx:N/A stream finish=stop status=completed "
    "upstream=sim ttft=42ms dur=1400ms cost=0.003200000EUR usage=provider id="
)


def live(id: str) -> object:
    return an_exchange(id, status=Status.IN_FLIGHT, success=None, finished_at=None)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "books.db"
    done = [an_exchange(f"done-{n}", 10 - n) for n in range(5)]
    write(path, *((record, []) for record in [*done, live("live-1")]))
    return path


def once(path: Path, *arguments: str) -> Result:
    return CliRunner().invoke(tail, ["--no-follow", "--ledger", str(path), *arguments])


def test_the_last_rows_are_lines_of_the_log(path: Path) -> None:
    result = once(path, "-n", "2")
    assert (result.exit_code, result.stderr) == (0, "")
    assert result.stdout.splitlines() == [f"{LINE}done-3", f"{LINE}done-4"]


def test_its_help_says_that_it_follows_by_itself() -> None:
    told = " ".join(CliRunner().invoke(tail, ["--help"]).stdout.split())
    assert "Go on until Ctrl-C, as it does by itself" in told
    assert "[default: f]" not in told


def test_begun_rows_have_the_line_of_their_start(path: Path) -> None:
    lines = once(path, "-n", "1", "--begun").stdout.splitlines()
    assert lines == [f"{LINE}done-4", "stream_start trace=live-1 session=-"]


def test_json_is_whole_rows(path: Path) -> None:
    (row,) = map(json.loads, once(path, "-n", "1", "--json").stdout.splitlines())
    assert tuple(row) == REQUESTS.names
    assert row["id"] == "done-4"


def test_the_other_formats_show_when_it_ended(path: Path) -> None:
    pretty = once(path, "-n", "1", "--format", "pretty").stdout
    assert pretty.split()[1:3] == ["✓", "completed"]
    assert "\x1b" not in pretty
    assert once(path, "-n", "1", "--format", "compact").stdout.startswith("✓ completed gemma-3 ")


def test_a_status_of_a_later_release_is_shown_as_it_is(path: Path) -> None:
    write(path, (an_exchange("later", status="dissolved"), []))
    assert "status=dissolved" in once(path, "-n", "1").stdout


def test_without_a_ledger_there_is_nothing_to_end_with(tmp_path: Path) -> None:
    result = once(tmp_path / "none.db")
    assert result.exit_code == 1
    assert f"there is no ledger at {tmp_path / 'none.db'}" in result.stderr


def test_a_file_that_is_no_ledger_exits_with_1(tmp_path: Path) -> None:
    (tmp_path / "l.db").write_text("not a database, but long enough to be read as one " * 50)
    result = CliRunner().invoke(tail, ["--ledger", str(tmp_path / "l.db")])
    assert result.exit_code == 1
    assert "damaged or no SQLite database" in result.stderr


@contextmanager
def running(arguments: Sequence[str], **more: object) -> Iterator[subprocess.Popen[str]]:
    with subprocess.Popen(
        [*RUN, "tail", *arguments],
        env=ENVIRONMENT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        **more,  # type: ignore[call-overload]
    ) as process:
        try:
            yield process
        finally:
            process.kill()


def test_it_waits_for_a_ledger_follows_it_and_ends_well_at_ctrl_c(tmp_path: Path) -> None:
    path = tmp_path / "later.db"
    with running(["-f", "--ledger", str(path)]) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        assert process.stderr.readline() == f"waiting for a ledger at {path}; Ctrl-C ends\n"
        write(path, (an_exchange("first"), []), (live("second"), []))
        assert process.stdout.readline() == f"{LINE}first\n"
        write(path, (an_exchange("third"), []))  # this start also closes what was left open
        after = sorted(process.stdout.readline() for _ in range(2))
        assert after[0] == f"{LINE}third\n"
        assert "status=gateway_crash" in after[1]
        process.send_signal(signal.SIGINT)
        assert process.wait(20) == 0
        assert process.stderr.read() == ""


def test_the_default_ledger_is_followed_also_where_it_appears_later(tmp_path: Path) -> None:
    with running(["--json"], cwd=tmp_path) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        assert "waiting for a ledger at streamgauge.db" in process.stderr.readline()
        write(tmp_path / "streamgauge.db", (an_exchange("here", started_at=NOW), []))
        assert json.loads(process.stdout.readline())["id"] == "here"


def test_a_reader_that_leaves_ends_it_quietly(path: Path) -> None:
    reader, writer = os.pipe()
    with subprocess.Popen(
        [*RUN, "tail", "--no-follow", "--ledger", str(path)],
        env=ENVIRONMENT, stdout=writer, stderr=subprocess.PIPE, text=True,
    ) as process:  # fmt: skip
        os.close(reader)
        os.close(writer)
        assert process.stderr is not None
        assert process.stderr.read() == ""
        assert process.wait(20) in (0, 1)
