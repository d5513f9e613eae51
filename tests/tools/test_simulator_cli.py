"""`streamgauge sim` as a process: says where it listens, keeps its journal, ends on a signal."""

from __future__ import annotations

import json
import signal
import socket
import subprocess
import sys
from pathlib import Path
from urllib.request import Request, urlopen

import pytest
from click.testing import CliRunner

from streamgauge.cli.sim import sim

DEADLINE = 20.0
START = "from streamgauge.cli.sim import sim; sim()"


def post(url: str, body: dict[str, object]) -> bytes:
    request = Request(url, json.dumps(body).encode(), {"Content-Type": "application/json"})
    with urlopen(request, timeout=DEADLINE) as response:
        data: bytes = response.read()
        return data


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_it_says_ready_answers_and_ends_on_a_signal(tmp_path: Path, number: signal.Signals) -> None:
    journal = tmp_path / "journal.jsonl"
    command = [sys.executable, "-c", START, "--port", "0", "--journal", str(journal)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            word, _, place = process.stdout.readline().strip().partition(" ")
            assert word == "ready"
            url = place.removeprefix("sim=")
            asked = {"model": "m", "stream": True, "prompt": "one two", "sim": {"tokens": 4}}
            body = post(f"{url}/v1/completions", asked)
            line = json.loads(journal.read_text())
            process.send_signal(number)
            assert process.wait(DEADLINE) == 0
        finally:
            process.kill()
    assert body.endswith(b"data: [DONE]\n\n")
    assert (line["prompt_tokens"], line["completion_tokens"]) == (2, 4)
    assert (line["ending"], line["bytes"]) == ("complete", len(body))


@pytest.mark.parametrize(
    ("arguments", "word"),
    [
        (["--flavour", "no"], "no"),
        (["--cases", "/none"], "none"),
    ],
)
def test_what_cannot_be_played_is_a_usage_error(arguments: list[str], word: str) -> None:
    result = CliRunner().invoke(sim, ["--port", "0", *arguments])
    assert result.exit_code == 2
    assert word in result.output


def test_a_taken_port_is_said_and_exits_4() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        result = CliRunner().invoke(sim, ["--port", str(port)])
    assert result.exit_code == 4
    assert f"cannot listen on 127.0.0.1:{port}" in result.output


def test_a_journal_that_cannot_be_written_is_named_and_exits_4(tmp_path: Path) -> None:
    journal = tmp_path / "nowhere" / "journal.jsonl"
    result = CliRunner().invoke(sim, ["--port", "0", "--journal", str(journal)])
    assert result.output == f"cannot open {journal}: No such file or directory\n"
    assert result.exit_code == 4
