"""What becomes of a verb whose output cannot be written: a full disk, a closed descriptor (FAULTS F10)."""

from __future__ import annotations

import errno
import http.client
import io
import json
import subprocess
from pathlib import Path

import pytest

from streamgauge.cli.log import LogWriter

from .books import ENVIRONMENT, RUN, an_exchange, write

FULL = Path("/dev/full")
TELLS_WHERE = """
import os, sys
from streamgauge.cli.main import main

class Telling:
    def __init__(self, stream): self.stream = stream
    def __getattr__(self, name): return getattr(self.stream, name)
    def write(self, text):
        if text.startswith("ready "):
            os.write(1, text.encode() + b"\\n")
        return self.stream.write(text)

sys.stderr = Telling(sys.stderr)
main(["serve", "--upstream", "llamacpp=http://127.0.0.1:9", "--port", "0", "--no-control"])
"""
NO_FULL = pytest.mark.skipif(not FULL.exists(), reason="only where there is such a device")


class Full(io.StringIO):
    """A stream on a disk without space."""

    def write(self, text: str) -> int:
        """Fail as the system does."""
        raise OSError(errno.ENOSPC, "No space left on device")


def test_a_log_on_a_full_disk_is_lost_without_a_word() -> None:
    LogWriter("json", "info", Full())("error", "ledger_away", [("reason", "disk full")])


@NO_FULL
@pytest.mark.fault("F10")
def test_a_gateway_whose_log_cannot_be_written_serves_on(tmp_path: Path) -> None:
    with FULL.open("w") as stderr:
        started = subprocess.Popen(
            [RUN[0], "-c", TELLS_WHERE],
            cwd=tmp_path, env={**ENVIRONMENT, "STREAMGAUGE_LEDGER__SPOOL_MB": "1"},
            stdout=subprocess.PIPE, stderr=stderr, text=True,
        )  # fmt: skip
    try:
        assert started.stdout is not None
        ready = dict(field.split("=", 1) for field in started.stdout.readline().split()[1:])
        connection = http.client.HTTPConnection(ready["data"].removeprefix("http://"), timeout=10)
        body = json.dumps({"model": "m", "messages": [{"role": "user", "content": "hi"}]})
        connection.request("POST", "/v1/chat/completions", body)
        assert connection.getresponse().status == 502
        connection.close()
        started.terminate()
        assert started.wait(15) == 0
    finally:
        started.kill()
        started.communicate()
    listed = subprocess.run(
        [*RUN, "ls", "--json"],
        cwd=tmp_path, env=ENVIRONMENT, capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert [json.loads(line)["status"] for line in listed.stdout.splitlines()] == ["upstream_error"]


@NO_FULL
@pytest.mark.parametrize(
    "verb", ["config schema", "ls --json --ledger books.db", "ledger export csv --ledger books.db"]
)
def test_data_that_cannot_be_written_is_a_failure_in_one_line(tmp_path: Path, verb: str) -> None:
    write(tmp_path / "books.db", (an_exchange("an-exchange-or-so"), []))
    with FULL.open("w") as stdout:
        done = subprocess.run(
            [*RUN, *verb.split()],
            cwd=tmp_path, env=ENVIRONMENT, stdout=stdout, stderr=subprocess.PIPE, text=True, check=False,
        )  # fmt: skip
    assert done.stderr == "Error: cannot write: No space left on device\n"
    assert done.returncode == 1


@pytest.mark.parametrize("closed", ["<&-", "2>&-", "<&- >&- 2>&-"])
def test_a_closed_descriptor_is_no_reason_to_fail(closed: str, tmp_path: Path) -> None:
    words = f'"$@" {closed}'
    arguments = ("serve", "--upstream", "sim=http://h", "--ledger", "sqlite:///no/such/folder/l.db")
    done = subprocess.run(
        ["/bin/sh", "-c", words, "sh", *RUN, *arguments],
        cwd=tmp_path, env=ENVIRONMENT, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert (done.returncode, "Traceback" in done.stderr) == (4, False)
