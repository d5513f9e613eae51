"""`streamgauge ls`: the newest rows, as a table and as JSON lines (SPEC §18.0)."""

from __future__ import annotations

import io
import json
import subprocess
from datetime import UTC, datetime
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from rich.console import Console

from streamgauge.cli.ledger_table import print_rows
from streamgauge.cli.ls import ls, since_us
from streamgauge.core.record import Status
from streamgauge.ledger.reader import Filter, LedgerReader
from streamgauge.ledger.rows import REQUESTS

from .books import ENVIRONMENT, NOW, RUN, an_attempt, an_exchange, write


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "books.db"
    done = an_exchange("aaaaaaaa-completed-1", 30, session_id="s1", anomalies=["second_marker"])
    left = an_exchange(
        "aaaaaaaa-left-2", 20, status=Status.CLIENT_DISCONNECTED, success=False,
        usage_source="counted", input_source="none", input_tokens=None, output_tokens=17,
        cost_nano=None, currency=None, price=None, cost_reason="input_unknown",
        requested_model="other", upstream_model="other", ttft_ms=None, finish_reason=None,
    )  # fmt: skip
    live = an_exchange(
        "bbbbbbbb-live-3", 10, status=Status.IN_FLIGHT, success=None, finished_at=None,
        input_tokens=None, output_tokens=None, stream_duration_ms=None, streaming=None, price=None,
        usage_source=None, cost_nano=None,
    )  # fmt: skip
    write(path, *((record, [an_attempt(record)]) for record in (done, left, live)))
    return path


def run(*arguments: object) -> Result:
    return CliRunner().invoke(ls, [str(argument) for argument in arguments])


def shown(*arguments: object) -> list[str]:
    result = run("--json", *arguments)
    assert result.exit_code == 0, result.output
    return [json.loads(line)["id"].split("-")[1] for line in result.stdout.splitlines()]


def test_json_is_one_object_a_line_newest_first_with_the_contracts_keys(path: Path) -> None:
    result = run("--json", "--ledger", path)
    live, left, done = map(json.loads, result.stdout.splitlines())
    assert [row["id"] for row in (live, left, done)] == [
        "bbbbbbbb-live-3",
        "aaaaaaaa-left-2",
        "aaaaaaaa-completed-1",
    ]
    assert tuple(done) == REQUESTS.names
    assert (done["streaming"], live["streaming"], live["success"]) == (True, None, None)
    assert done["anomalies"] == ["second_marker"]
    assert left["anomalies"] == []
    assert done["price"]["currency"] == "EUR"
    assert (left["input_tokens"], left["output_tokens"]) == (None, 17)


@pytest.mark.parametrize(
    ("arguments", "ids"),
    [
        (["-n", "1"], ["live"]),
        (["-n", "0"], ["live", "left", "completed"]),
        (["--status", "completed"], ["completed"]),
        (["--status", "completed", "--status", "in_flight"], ["live", "completed"]),
        (["--model", "gemma-*"], ["live", "completed"]),
        (["--model", "other"], ["left"]),
        (["--session", "s1"], ["completed"]),
        (["--since", datetime.fromtimestamp(NOW / 1e6 - 25, UTC).isoformat()], ["live", "left"]),
        (["--since", "10m"], []),
    ],
)
def test_filters(path: Path, arguments: list[str], ids: list[str]) -> None:
    assert shown("--ledger", path, *arguments) == ids


def test_a_ledger_is_named_by_url_or_file(path: Path) -> None:
    assert shown("--ledger", f"sqlite:///{path}") == shown("--ledger", path)


def test_the_table_off_a_terminal_has_every_column_and_no_colour(path: Path) -> None:
    result = run("--ledger", path)
    assert result.exit_code == 0
    head, live, left, done, legend = result.stdout.splitlines()
    assert head.split() == ["time", "id", "status", "dialect", "model", "upstream", "in", "out",
                            "cost", "ttft", "duration", "tok/s", "finish"]  # fmt: skip
    assert done.split()[2:] == ["aaaaaaaa-completed-1", "✓", "completed", "openai", "gemma-3",
                                "sim", "1000", "100", "0.0032", "EUR", "42", "ms", "1.40", "s",
                                "52.0", "stop"]  # fmt: skip
    assert ("↩ client_disconnected" in left, "17~" in left) == (True, True)
    assert left.split().count("–") == 4
    assert "… in_flight" in live
    assert "~ not the upstream's final count" in legend
    assert "\x1b" not in result.stdout


def test_how_long_a_crashed_exchange_took_is_unknown(tmp_path: Path) -> None:
    path = tmp_path / "crashed.db"
    died = an_exchange("a-crashed-exchange", 30, status=Status.GATEWAY_CRASH, success=False,
                       finished_at=NOW + 3 * 86_400 * 10**6, stream_duration_ms=None,
                       generation_tps=None, finish_reason=None)  # fmt: skip
    write(path, (died, []))
    line = run("--ledger", path).stdout.splitlines()[1]
    assert line.split()[-5:] == ["42", "ms", "–", "–", "–"]


def on_terminal(path: Path, width: int) -> str:
    file = io.StringIO()
    console = Console(file=file, width=width, force_terminal=True, color_system=None, no_color=True)
    with LedgerReader(path) as reader:
        print_rows(list(reader.newest(Filter())), console)
    return file.getvalue()


def test_a_narrow_terminal_gets_fewer_columns_and_whole_lines(path: Path) -> None:
    for width in range(60, 220, 7):
        lines = on_terminal(path, width).splitlines()
        assert max(len(line) for line in lines[:4]) <= width
        assert lines[0].split()[0] in ("time", "id")
        assert len(lines) <= 6
    assert "finish" not in on_terminal(path, 100)


def test_short_ids_still_tell_rows_apart(path: Path) -> None:
    lines = on_terminal(path, 200).splitlines()
    assert [line.split()[2] for line in lines[1:4]] == ["bbbbbbbb-l", "aaaaaaaa-l", "aaaaaaaa-c"]


def test_a_name_with_control_bytes_does_not_reach_the_terminal(tmp_path: Path) -> None:
    evil = an_exchange("evil-evil-evil-evil", upstream_model="a\x1b[31mb\nc")
    write(tmp_path / "l.db", (evil, []))
    result = run("--ledger", tmp_path / "l.db")
    assert "a?[31mb?c" in result.stdout
    assert "\x1b" not in result.stdout


def test_no_rows(tmp_path: Path) -> None:
    write(tmp_path / "empty.db")
    assert run("--ledger", tmp_path / "empty.db").stdout == "no rows\n"
    write(tmp_path / "books.db", (an_exchange("aaaaaaaa-completed-1", 30), []))
    assert run("--ledger", tmp_path / "books.db", "--model", "x*").stdout == "no rows that fit\n"
    assert run("--json", "--ledger", tmp_path / "empty.db").stdout == ""


@pytest.mark.parametrize(
    "arguments",
    [
        ["--status", "finished"],
        ["-n", "-1"],
        ["--since", "yesterday"],
        ["--since", "999999w"],
        ["--ledger", "postgresql://host/db"],
        ["surplus"],
    ],
)
def test_usage_errors_exit_with_2(arguments: list[str]) -> None:
    assert run(*arguments).exit_code == 2


def test_no_ledger_exits_with_1_and_says_how_to_make_one(tmp_path: Path) -> None:
    result = run("--ledger", tmp_path / "none.db")
    assert result.exit_code == 1
    assert result.stdout == ""
    assert "streamgauge serve" in result.stderr
    assert not (tmp_path / "none.db").exists()


def test_no_database_exits_with_1(tmp_path: Path) -> None:
    (tmp_path / "l.db").write_text("not a database, but long enough to be read as one " * 50)
    result = run("--ledger", tmp_path / "l.db")
    assert result.exit_code == 1
    assert "Traceback" not in result.stderr


@pytest.mark.parametrize(
    ("text", "moment"),
    [
        ("90s", "2026-01-31T11:58:30+00:00"),
        ("10m", "2026-01-31T11:50:00+00:00"),
        ("2h", "2026-01-31T10:00:00+00:00"),
        ("3d", "2026-01-28T12:00:00+00:00"),
        ("2026-01-31T09:00:00+02:00", "2026-01-31T07:00:00+00:00"),
    ],
)
def test_since(text: str, moment: str) -> None:
    now = datetime(2026, 1, 31, 12, tzinfo=UTC)
    assert since_us(text, now) == datetime.fromisoformat(moment).timestamp() * 1_000_000


def test_an_ascii_terminal_gets_ascii(path: Path) -> None:
    write(path, (an_exchange("cccccccc-named", upstream_model="模型"), []))
    environment = {**ENVIRONMENT, "PYTHONIOENCODING": "ascii", "PYTHONUTF8": "0"}
    result = subprocess.run(
        [*RUN, "ls", "--ledger", str(path)],
        env=environment,
        check=True,
        capture_output=True,
        timeout=30,
    )
    assert b"+ completed" in result.stdout
    assert result.stdout.isascii()


def test_the_default_ledger_is_in_the_working_directory(path: Path, tmp_path: Path) -> None:
    path.rename(tmp_path / "streamgauge.db")
    result = subprocess.run(
        [*RUN, "ls", "--json", "-n", "1"],
        env=ENVIRONMENT, cwd=tmp_path, check=True, capture_output=True, text=True, timeout=30,
    )  # fmt: skip
    assert json.loads(result.stdout)["id"] == "bbbbbbbb-live-3"


def test_the_table_is_not_loaded_for_json_or_help() -> None:
    program = (
        "import sys, streamgauge.cli.ls, streamgauge.cli.show; "
        "print(sorted({'rich', 'sqlite3', 'asyncio'} & set(sys.modules)))"
    )
    result = subprocess.run(
        [RUN[0], "-c", program],
        env=ENVIRONMENT,
        check=True,
        capture_output=True,
        text=True,
        timeout=30,
    )
    assert result.stdout == "[]\n"
