"""`ledger export` of a long ledger: whole, in flat memory, and on a terminal it says how far it is."""

from __future__ import annotations

import os
import pty
import re
import subprocess
from pathlib import Path

import pytest

from ..ledger.large_ledger import make_large
from .books import ENVIRONMENT, RUN
from .test_terminal import read

FULL = os.environ.get("STREAMGAUGE_FULL") == "1"
ROWS = 500_000 if FULL else 20_000
MOST_MIB = 24 * 5
PROGRAM = """
import sys
from streamgauge.cli.main import main
try:
    main(sys.argv[1:])
finally:
    # Not getrusage: its peak includes that of the process before the exec.
    print(open("/proc/self/status").read().split("VmHWM:")[1].split()[0])
"""


@pytest.mark.timeout(600)
def test_every_row_is_there_and_memory_stays_flat(tmp_path: Path) -> None:
    make_large(tmp_path / "l.db", ROWS)
    ours, theirs = pty.openpty()
    process = subprocess.Popen(
        [RUN[0], "-c", PROGRAM, "ledger", "export", "csv", "-o", "out.csv", "--ledger", "l.db"],
        cwd=tmp_path, env=ENVIRONMENT, stdout=subprocess.PIPE, stderr=theirs, text=True,
    )  # fmt: skip
    os.close(theirs)
    told = b"".join(read(ours)).decode()
    os.close(ours)
    resident, _ = process.communicate(timeout=20)
    assert process.returncode == 0, told
    with (tmp_path / "out.csv").open("rb") as out:
        assert sum(1 for _ in out) == 1 + ROWS
    assert int(resident) / 1024 < MOST_MIB
    counts = [int(count) for count in re.findall(rf"\r(\d+) of {ROWS} rows", told)]
    assert counts == sorted(counts)
    # A short export needs no word, and a fast machine makes a short one of the default's rows.
    assert counts or not FULL
    assert not counts or told.endswith("\r\x1b[K")
