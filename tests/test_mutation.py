"""The command that counts how many planted faults the core's tests notice still runs."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]


@pytest.mark.timeout(900)
@pytest.mark.skipif(
    os.environ.get("STREAMGAUGE_FULL") != "1",
    reason="two minutes, as it first runs the core's tests unmutated: by --full",
)
def test_two_planted_faults_are_noticed() -> None:
    done = subprocess.run(
        [ROOT / "scripts" / "mutation", "--sample", "2", "src/streamgauge/core/nano.py"],
        cwd=ROOT, capture_output=True, text=True, timeout=850, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    assert "2 killed" in done.stdout
