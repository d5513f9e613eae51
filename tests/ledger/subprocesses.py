"""Programs for the tests of what only another process can show: kills, locks, rights, limits."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).parent
SOURCES = Path(__file__).parents[2] / "src"

HEAD = """
import os, sys
from streamgauge.core.record import AttemptRecord, ExchangeRecord, Status
from streamgauge.ledger.base import LedgerError
from streamgauge.ledger.sqlite import SqliteLedger

def say(*words):
    os.write(1, (" ".join(map(str, words)) + "\\n").encode())

def opened(path, **options):
    return SqliteLedger(path, owner=f"boot-{os.getpid()}", now_us=lambda: 2_000_000,
                        post=lambda call: call(), **options)

def rows(id):
    return (ExchangeRecord(id=id, owner="boot", started_at=1_000_000),
            AttemptRecord(request_id=id, n=1, upstream="sim", dialect="openai"))
"""


def start(program: str, *arguments: object, cwd: Path | None = None) -> subprocess.Popen[str]:
    """Start Python on `program`, after HEAD; its stdout is a pipe."""
    return subprocess.Popen(
        [sys.executable, "-c", HEAD + program, *map(str, arguments)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        cwd=cwd,
        env={"PYTHONPATH": str(SOURCES), "PATH": "/usr/bin:/bin"},
    )


def output_of(program: str, *arguments: object, cwd: Path | None = None) -> list[str]:
    """Run `program` to its end and return its lines; it must exit with 0."""
    process = start(program, *arguments, cwd=cwd)
    out, err = process.communicate(timeout=50)
    assert process.returncode == 0, err
    return out.splitlines()
