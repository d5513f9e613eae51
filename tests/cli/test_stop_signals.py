"""A signal that comes while `serve` is about to be ready is a signal like any other (SPEC §18.0, §18.4)."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from .books import ENVIRONMENT, RUN

PROGRAM = """
import os, signal, sys
from streamgauge.cli.main import main

moment, name = sys.argv[1:]

def send(which):
    os.kill(os.getpid(), getattr(signal, which))

def send_last():
    if moment == "ready": send(name)
    elif name != "SIGTERM": send("SIGTERM")

class Impatient:
    def __init__(self, stream): self.stream = stream
    def __getattr__(self, name): return getattr(self.stream, name)
    def write(self, text):
        written = self.stream.write(text)
        if text.startswith("ready "):
            self.stream.flush()
            send_last()
        return written

class ImportedAt:
    # The control listener's server is imported when the data listener listens already.
    def find_spec(self, module, path, target=None):
        if (module, moment) in {("uvicorn", "listening"), ("pydantic", "importing")}:
            send(name)

sys.stderr = Impatient(sys.stderr)
sys.meta_path.insert(0, ImportedAt())
main(["serve", "--upstream", "llamacpp=http://127.0.0.1:9", "--port", "0"])
"""


@pytest.mark.parametrize(
    ("moment", "name"),
    [
        ("ready", "SIGINT"),
        ("ready", "SIGTERM"),
        ("listening", "SIGTERM"),
        ("listening", "SIGHUP"),
        ("listening", "SIGUSR1"),
        ("importing", "SIGHUP"),
        ("importing", "SIGUSR1"),
    ],
)
def test_a_signal_before_it_is_ready_is_obeyed_and_the_end_is_a_drain(
    tmp_path: Path, moment: str, name: str
) -> None:
    done = subprocess.run(
        [RUN[0], "-c", PROGRAM, moment, name],
        cwd=tmp_path, env={**ENVIRONMENT, "STREAMGAUGE_CONTROL__PORT": "0",
                           "STREAMGAUGE_LEDGER__SPOOL_MB": "1"},
        capture_output=True, text=True, check=False, timeout=30,
    )  # fmt: skip
    assert "ready data=" in done.stderr
    assert ("most recent call" in done.stderr) == (name == "SIGUSR1")
    assert done.returncode == 0, done.stderr
