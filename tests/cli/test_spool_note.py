"""`ls` says when rows wait in the spool, and its data stays clean."""

from __future__ import annotations

from pathlib import Path

from click.testing import CliRunner

from streamgauge.cli.ls import ls
from streamgauge.ledger.spool import SpoolFile, spool_path

from .books import an_attempt, an_exchange, write


def test_rows_that_wait_in_the_spool_are_noted_on_stderr(tmp_path: Path) -> None:
    path = tmp_path / "books.db"
    record = an_exchange("aaaaaaaa-completed-1")
    write(path, (record, [an_attempt(record)]))
    without = CliRunner().invoke(ls, ["--json", "--ledger", str(path)])
    spool = SpoolFile(spool_path(path))
    spool.allocate(1 << 16)
    spool.append([b"a row"])
    spool.close()
    noted = CliRunner().invoke(ls, ["--json", "--ledger", str(path)])
    assert without.stderr == ""
    assert f"wait in the spool of {path}" in noted.stderr
    assert (noted.exit_code, noted.stdout) == (0, without.stdout)
