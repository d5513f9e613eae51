"""Where stdout goes to a full disk a verb says so, in one line, and does not claim success."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from .books import ENVIRONMENT, RUN, an_exchange, write

FULL = Path("/dev/full")


@pytest.mark.skipif(not FULL.exists(), reason="no device that is always full")
@pytest.mark.parametrize("verb", [["ls", "--json"], ["ledger", "export", "csv"]])
def test_output_that_finds_no_room_is_an_error_and_no_trace(
    tmp_path: Path, verb: list[str]
) -> None:
    write(tmp_path / "books.db", (an_exchange("an-exchange-or-so"), []))
    with FULL.open("wb") as full:
        done = subprocess.run(
            [*RUN, *verb, "--ledger", str(tmp_path / "books.db")],
            stdout=full,
            stderr=subprocess.PIPE,
            env=ENVIRONMENT,
            timeout=30,
            check=False,
        )
    assert done.returncode == 1
    (line,) = done.stderr.decode().splitlines()
    assert line == "Error: cannot write: No space left on device"
