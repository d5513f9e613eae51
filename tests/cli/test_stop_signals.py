"""A signal that comes the moment the ready line is written is a signal like any other (SPEC §18.0)."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from .books import ENVIRONMENT, RUN

PROGRAM = """
import os, signal, sys
from streamgauge.cli.main import main

class Impatient:
    def __init__(self, stream): self.stream = stream
    def __getattr__(self, name): return getattr(self.stream, name)
    def write(self, text):
        written = self.stream.write(text)
        if text.startswith("ready "):
            self.stream.flush()
            os.kill(os.getpid(), getattr(signal, sys.argv[1]))
        return written

sys.stderr = Impatient(sys.stderr)
main(["serve", "--upstream", "llamacpp=http://127.0.0.1:9", "--port", "0"])
"""


@pytest.mark.parametrize("name", ["SIGINT", "SIGTERM"])
def test_a_signal_that_follows_the_ready_line_at_once_is_a_drain(tmp_path: Path, name: str) -> None:
    done = subprocess.run(
        [RUN[0], "-c", PROGRAM, name],
        cwd=tmp_path, env={**ENVIRONMENT, "STREAMGAUGE_CONTROL__PORT": "0",
                           "STREAMGAUGE_LEDGER__SPOOL_MB": "1"},
        capture_output=True, text=True, check=False, timeout=30,
    )  # fmt: skip
    assert "ready data=" in done.stderr
    assert done.returncode == 0, done.stderr
