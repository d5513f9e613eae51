"""The command that counts how many planted faults the core's tests notice still runs. By `--full` alone: two minutes."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]

if os.environ.get("STREAMGAUGE_FULL") == "1":

    @pytest.mark.timeout(900)
    def test_two_planted_faults_are_noticed() -> None:
        done = subprocess.run(
            [ROOT / "scripts" / "mutation", "--sample", "2", "src/streamgauge/core/nano.py"],
            cwd=ROOT, capture_output=True, text=True, timeout=850, check=False,
        )  # fmt: skip
        assert done.returncode == 0, done.stdout + done.stderr
        assert "2 killed" in done.stdout
