"""What verbs say to a user who may not enter the directory that they are pointed at."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from .books import an_attempt, an_exchange, write

SOURCES = Path(__file__).parents[2] / "src"

# Each verb runs once where it may, so that all it needs is loaded before another user runs it.
PROGRAM = """
import contextlib, io, json, os, sys
from streamgauge.cli.main import main

def run(*arguments):
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        try:
            main(arguments)
        except SystemExit as end:
            return end.code, err.getvalue()
    return 0, err.getvalue()

arguments = json.loads(sys.argv[1])
run(*(text.replace("DIR", sys.argv[2]) for text in arguments))
if os.getuid() == 0:
    os.setgid(65534); os.setuid(65534)
print(json.dumps(run(*(text.replace("DIR", sys.argv[3]) for text in arguments))))
"""


@pytest.fixture
def places() -> Iterator[tuple[Path, Path]]:
    """Two directories with a ledger and a configuration each; the second one nobody may enter."""
    base = Path(tempfile.mkdtemp(prefix="streamgauge-test-"))
    base.chmod(0o755)
    for folder in (base / "open", base / "shut"):
        folder.mkdir()
        record = an_exchange("one")
        write(folder / "books.db", (record, [an_attempt(record)]))
        (folder / "gauge.yaml").write_text("server: {port: 0}\n")
    (base / "shut").chmod(0)
    yield base / "open", base / "shut"
    (base / "shut").chmod(0o755)
    shutil.rmtree(base)


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (["ls", "--ledger", "DIR/books.db"], 1, "cannot be read (permission denied)"),
        (["show", "one", "--ledger", "DIR/books.db"], 1, "cannot be read (permission denied)"),
        (["tail", "--no-follow", "--ledger", "DIR/books.db"], 1, "cannot be read (permission"),
        (["top", "--once", "--ledger", "DIR/books.db"], 1, "cannot be read (permission denied)"),
        (["keys", "ls", "--ledger", "DIR/books.db"], 4, "cannot be read (permission denied)"),
        (["keys", "revoke", "k", "--ledger", "DIR/books.db"], 4, "cannot be read (permission"),
        (["ledger", "rollup", "--ledger", "DIR/books.db"], 1, "cannot be read (permission denied)"),
        (["ledger", "vacuum", "--ledger", "DIR/books.db"], 4, "cannot be read (permission denied)"),
        (["ledger", "backup", "DIR/copy.db", "--ledger", "books.db"], 1, "cannot write in"),
        (["ledger", "export", "csv", "-o", "DIR/rows.csv", "--ledger", "books.db"], 1, "cannot write in"),
        (["ls", "--ledger", "."], 1, "ledger . is a directory: name a file"),
        (["keys", "create", "--label", "a", "--ledger", "."], 4, "ledger . is a directory"),
        (["ls", "--config", "DIR/gauge.yaml"], 3, "Permission denied"),
        (["config", "check", "DIR/gauge.yaml"], 3, "Permission denied"),
        (["config", "init", "-o", "DIR/new.yaml"], 2, "Permission denied"),
    ],
)  # fmt: skip
def test_a_directory_that_is_shut_or_no_ledger_is_told(
    places: tuple[Path, Path], arguments: list[str], code: int, words: str
) -> None:
    there, shut = places
    environment = {**os.environ, "PYTHONPATH": str(SOURCES), "HOME": str(there)}
    process = subprocess.run(
        [sys.executable, "-c", PROGRAM, json.dumps(arguments), str(there), str(shut)],
        capture_output=True, text=True, timeout=50, cwd=there, env=environment, check=False,
    )  # fmt: skip
    assert process.returncode == 0, process.stderr
    ended, said = json.loads(process.stdout)
    assert (ended, words in said) == (code, True), said
