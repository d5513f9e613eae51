"""`streamgauge ledger`: what its verbs print and how they end (SPEC §8.4, §18)."""

from __future__ import annotations

import csv
import io
import json
import sqlite3
import subprocess
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from queue import SimpleQueue
from typing import Any

import pytest
from click.testing import CliRunner, Result

from streamgauge.cli.ledger import ledger
from streamgauge.cli.progress import portion
from streamgauge.core.record import Status
from streamgauge.ledger.rows import REQUESTS
from streamgauge.ledger.schema import LATEST
from streamgauge.ledger.sqlite import SqliteLedger

from .books import COST, ENVIRONMENT, NOW, RUN, an_attempt, an_exchange, write

SCHEMA_1 = Path(__file__).parents[1] / "data" / "ledgers" / "schema_1.sql"


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "books.db"
    done = [an_exchange(f"done-{i}", age=60 * i) for i in range(4)]
    left = an_exchange(
        "left", age=7200, status=Status.CLIENT_DISCONNECTED, success=False, usage_source="counted",
        input_source="none", input_tokens=None, output_tokens=17, cost_nano=None, currency=None,
        requested_model="=evil()", upstream_model=None,
    )  # fmt: skip
    live = an_exchange("live", status=Status.IN_FLIGHT, success=None, finished_at=None)
    write(path, *((record, [an_attempt(record)]) for record in [*done, left, live]))
    return path


@pytest.fixture
def old(tmp_path: Path) -> Path:
    path = tmp_path / "old.db"
    with closing(sqlite3.connect(path)) as connection:
        connection.executescript(SCHEMA_1.read_text())
    return path


def run(*arguments: object) -> Result:
    return CliRunner().invoke(ledger, [str(argument) for argument in arguments])


def told(*arguments: object) -> str:
    result = run(*arguments)
    assert result.exit_code == 0, result.output
    return result.stdout


@contextmanager
def a_gateway(path: Path) -> Iterator[None]:
    posted: SimpleQueue[Any] = SimpleQueue()
    books = SqliteLedger(path, owner="boot-2", now_us=lambda: NOW, post=posted.put)
    yield
    books.stop(20)


def test_the_verbs_are_listed_and_explained() -> None:
    verbs = ("backup", "export", "migrate", "rollup", "vacuum")
    assert all(verb in told("-h") for verb in verbs)
    for verb in verbs:
        assert "--ledger" in told(verb, "-h")


# -- export


def test_json_lines_are_what_ls_prints_oldest_first(path: Path) -> None:
    rows = [json.loads(line) for line in told("export", "jsonl", "--ledger", path).splitlines()]
    assert [row["id"] for row in rows] == ["left", "done-3", "done-2", "done-1", "done-0", "live"]
    assert tuple(rows[0]) == REQUESTS.names
    assert rows[-1]["success"] is None


def test_csv_guards_what_clients_chose(path: Path, tmp_path: Path) -> None:
    file = tmp_path / "rows.csv"
    assert told("export", "csv", "--ledger", path, "-o", file, "--status",
                "client_disconnected") == ""  # fmt: skip
    (row,) = csv.DictReader(io.StringIO(file.read_bytes().decode()))
    assert (row["requested_model"], row["input_tokens"], row["success"]) == ("'=evil()", "", "0")
    again = run("export", "csv", "--ledger", path, "-o", file)
    assert again.exit_code == 1
    assert "--force" in again.stderr
    assert told("export", "csv", "--ledger", path, "-o", file, "--force") == ""
    assert len(file.read_text().splitlines()) == 7


@pytest.mark.parametrize(("arguments", "count"), [
    (["--model", "gemma*"], 5), (["--status", "completed", "--status", "in_flight"], 5),
    (["--upstream", "other"], 0), (["--since", "2025-10-09T08:00+00:00"], 5),
    (["--until", "2025-10-09T08:00+00:00"], 1), (["--since", "1h"], 0),
])  # fmt: skip
def test_filters(path: Path, arguments: list[str], count: int) -> None:
    assert len(told("export", "jsonl", "--ledger", path, *arguments).splitlines()) == count


@pytest.mark.parametrize("suffix", ["", "-wal", ".spool", ".keys-secret"])
def test_an_export_takes_the_place_of_nothing_of_the_ledgers(path: Path, suffix: str) -> None:
    before = told("export", "jsonl", "--ledger", path)
    own = path.with_name(path.name + suffix)
    result = run("export", "csv", "--ledger", path, "-o", own, "--force")
    assert (result.exit_code, str(own) in result.stderr) == (1, True)
    assert told("export", "jsonl", "--ledger", path) == before


def test_a_reader_that_leaves_early_is_no_error_to_talk_about(path: Path) -> None:
    with closing(sqlite3.connect(path)) as connection:
        columns = ", ".join(REQUESTS.names[1:])
        connection.execute(
            f"WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 3000) "
            f"INSERT INTO requests SELECT 'copy-' || i, {columns} FROM requests, n WHERE id = 'left'"
        )
        connection.commit()
    command = [*RUN, "ledger", "export", "csv", "--ledger", str(path)]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=ENVIRONMENT
    ) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        assert process.stdout.readline().startswith(b"id,owner,")
        process.stdout.close()
        assert process.stderr.read() == b""


# -- backup, migrate, vacuum


def test_a_backup_works_while_a_gateway_runs_and_the_others_refuse(
    path: Path, tmp_path: Path
) -> None:
    target = tmp_path / "backup.db"
    with a_gateway(path):
        assert told("backup", target, "--ledger", path) == ""
        for verb in (["migrate"], ["vacuum"], ["rollup", "--rebuild"]):
            refused = run(*verb, "--ledger", path)
            assert refused.exit_code == 4
            assert "in use by a gateway (pid" in refused.stderr
        assert told("rollup", "--check", "--ledger", path) == "roll-ups equal the rows\n"
        assert told("export", "jsonl", "--ledger", path) != ""
    assert "client_disconnected" in told("export", "jsonl", "--ledger", target)
    again = run("backup", target, "--ledger", path)
    assert (again.exit_code, "--force" in again.stderr) == (1, True)
    assert "MiB" in run("backup", target, "--force", "--ledger", path).stderr


def test_migrate_tells_from_and_to_and_where_the_backup_is(old: Path) -> None:
    backup = f"{old}.schema-1.backup"
    assert told("migrate", "--ledger", old) == f"{old}: schema 1 -> {LATEST}, backup {backup}\n"
    assert Path(backup).exists()
    assert told("migrate", "--ledger", old) == f"{old}: schema {LATEST}, nothing to do\n"
    assert json.loads(told("migrate", "--json", "--ledger", old)) == {
        "from": LATEST, "to": LATEST, "backup": None,
    }  # fmt: skip


def test_vacuum_tells_both_sizes(path: Path) -> None:
    sizes = json.loads(told("vacuum", "--json", "--ledger", path))
    assert sizes["after"] == path.stat().st_size
    assert "MiB ->" in told("vacuum", "--ledger", path)


@pytest.mark.parametrize("verb", [["migrate"], ["vacuum"], ["rollup"], ["export", "csv"],
                                  ["backup", "x.db"]])  # fmt: skip
def test_there_is_none(tmp_path: Path, verb: list[str]) -> None:
    missing = run(*verb, "--ledger", tmp_path / "none.db")
    assert missing.exit_code == 1
    assert "no ledger at" in missing.stderr
    assert list(tmp_path.iterdir()) == []


def test_a_damaged_file_cannot_be_migrated(tmp_path: Path) -> None:
    file = tmp_path / "books.db"
    file.write_bytes(b"something else" * 1000)
    for verb in ("migrate", "vacuum"):
        refused = run(verb, "--ledger", file)
        assert (refused.exit_code, ".recover" in refused.stderr) == (4, True)


# -- roll-ups


def test_sums_are_shown_by_what_was_asked(path: Path) -> None:
    lines = [json.loads(line) for line in
             told("rollup", "--by", "model", "--json", "--ledger", path).splitlines()]  # fmt: skip
    evil, gemma = lines
    assert (evil["group"], gemma["group"]) == ({"model": "=evil()"}, {"model": "gemma-3"})
    assert gemma["input"] == {"exact": 4000, "estimated": None, "unknown": 0}
    assert evil["output"] == {"exact": None, "estimated": 17, "unknown": 0}
    assert gemma["costs"] == {"EUR": {"exact": 4 * COST, "estimated": None, "exchanges": 4}}
    assert (evil["costs"], evil["unpriced"]) == ({}, 1)
    text = told("rollup", "--by", "hour", "--ledger", path)
    assert text.splitlines()[0] == (
        "hour=2025-10-09T06Z exchanges=1 failures=1 in=- out=- out~=17 unpriced=1"
    )
    assert "in=4000 out=400 cost=0.0128EUR unpriced=0" in told("rollup", "--by", "day", "--since",
                                                               "2025-10-09T08:30+00:00",
                                                               "--ledger", path)  # fmt: skip


def test_a_difference_is_a_finding(path: Path) -> None:
    told("rollup", "--rebuild", "--ledger", path)
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("UPDATE requests SET output_tokens = 1 WHERE id = 'left'")
        connection.commit()
    found = run("rollup", "--check", "--ledger", path)
    assert found.exit_code == 1
    assert "model==evil()" in found.stdout
    assert "output_tokens rows=1 rollups=17" in found.stdout
    assert "1 sums differ" in found.stderr
    (line,) = run("rollup", "--check", "--json", "--ledger", path).stdout.splitlines()
    assert json.loads(line)["column"] == "output_tokens"
    assert told("rollup", "--rebuild", "--ledger", path) == "roll-ups equal the rows\n"


def test_an_older_ledger_has_no_rollups_yet(old: Path) -> None:
    for arguments in ([], ["--check"]):
        refused = run("rollup", *arguments, "--ledger", old)
        assert (refused.exit_code, "ledger migrate" in refused.stderr) == (1, True)


# -- progress


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_long_work_shows_percents_on_a_terminal_only() -> None:
    for stream in (Terminal(), io.StringIO()):
        times = iter([0.0, 0.5, 1.2, 1.3, 2.0])
        with portion("copied", stream, lambda times=times: next(times)) as progress:
            for done in (1, 2, 3, 4):
                progress(done, 8)
        expected = "\rcopied 25%\rcopied 50%\r\x1b[K" if stream.isatty() else ""
        assert stream.getvalue() == expected
