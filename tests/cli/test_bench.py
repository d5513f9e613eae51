"""`streamgauge bench` as a process: its table, its JSON, its exit codes, and faults planted in a target."""

from __future__ import annotations

import json
import os
import shlex
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from streamgauge.tools.bench.profiles import PROFILES
from streamgauge.tools.bench.results import FIGURES

from .books import ENVIRONMENT, RUN

pytestmark = pytest.mark.xdist_group("sockets")

DEADLINE = 55.0
SMALL = ("--rounds", "1", "--streams", "5", "--events", "10")
WARM_UPS = 16
"""Streams before a target's first round."""
FAULTY = """
import asyncio, sys
from streamgauge.tools.bench.wire import COMPLETION, event_frame, first_frames, json_answer, last_frames

fault, port, warm_ups = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
orders = {"loses": [0, 1, 3], "swaps": [0, 2, 1, 3], "cuts": [0, 1], "none": [0, 1, 2, 3]}

async def serve(reader, writer):
    try:
        while head := await reader.readuntil(b"}]}"):
            if b'"stream": true' not in head:
                writer.write(json_answer(COMPLETION))
                continue
            # The first requests, before the first round, are answered as they should be.
            warm = serve.streams = getattr(serve, "streams", 0) + 1
            order = orders["none" if warm <= warm_ups else fault]
            writer.write(first_frames() + b"".join(event_frame(n, 1) for n in order))
            if warm <= warm_ups or fault != "cuts":
                writer.write(last_frames(4))
            else:
                break
    except (asyncio.IncompleteReadError, ConnectionError):
        pass
    writer.close()

async def main():
    server = await asyncio.start_server(serve, "127.0.0.1", port)
    await server.serve_forever()

asyncio.run(main())
"""


def bench(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*RUN, "bench", *arguments],
        env={**ENVIRONMENT, **environment},
        capture_output=True,
        text=True,
        timeout=DEADLINE,
        check=False,
    )


def test_json_holds_every_figure_and_a_missing_nginx_is_left_out(tmp_path: Path) -> None:
    names = PROFILES if os.environ.get("STREAMGAUGE_FULL") else ("short", "idle")
    profiles = [word for name in names for word in ("--profile", name)]
    load = ("--rounds", "1", "--scale", "0.01", "--events", "10", "--gap-ms", "20")
    missing = str(tmp_path / "nginx")
    done = bench(*profiles, *load, "--json", STREAMGAUGE_NGINX=missing)
    assert done.returncode == 0, done.stderr
    note, *progress = done.stderr.splitlines()
    assert "nginx is not installed" in note
    assert all(line.count(": ") == 2 for line in progress)
    whole = json.loads(done.stdout)
    assert whole["rounds"] == 1
    assert whole["machine"].keys() == {"cores", "cpu", "kernel", "python"}
    pairs = [(each["profile"], each["target"]) for each in whole["results"]]
    assert pairs == [(name, it) for name in names for it in ("streamgauge", "direct")]
    for each in whole["results"][::2]:
        assert set(FIGURES) <= each.keys()
        assert (each["ratio_to_nginx"], each["errors"]) == (None, 0)
        assert each["rss_mib"] > 1
        cost = "cpu_us_per_request" if each["profile"] == "short" else "cpu_us_per_event"
        assert 0 < each[cost] < 100_000


def test_an_nginx_that_was_asked_for_and_is_missing_is_a_usage_error(tmp_path: Path) -> None:
    done = bench("--target", "nginx", STREAMGAUGE_NGINX=str(tmp_path / "nginx"))
    assert (done.returncode, done.stdout) == (2, "")
    assert "nginx is not installed" in done.stderr


def test_the_table_compares_with_nginx_and_with_nothing_between(
    real_program: Callable[[str], Path],
) -> None:
    program = str(real_program("nginx"))
    done = bench(*SMALL, "--rounds", "2", "--against", "nginx", STREAMGAUGE_NGINX=program)
    assert done.returncode == 0, done.stderr
    order = [line.rpartition(": ")[2] for line in done.stderr.splitlines()]
    assert order == ["streamgauge", "nginx", "direct", "nginx", "direct", "streamgauge"]
    machine, load, titles, *rows = done.stdout.splitlines()
    assert "cores" in machine
    assert load == "paced: 5 streams of 10 events, one every 20 ms"
    assert "× nginx" in titles
    assert "more than nginx" in titles
    assert [row.split()[-2][0] for row in rows] == ["+", "–", "–"]
    assert [row.split()[0] for row in rows] == ["streamgauge", "nginx", "direct"]
    assert rows[1].split()[2] == "1.00"
    assert rows[2].split()[1] == "–"


@pytest.mark.parametrize(("against", "started"), [((), 1), (("--against", "it"), 3)])
def test_what_is_compared_with_another_is_started_anew_for_each_round(
    tmp_path: Path, against: tuple[str, ...], started: int
) -> None:
    noted = f"open({str(tmp_path / 'started')!r}, 'a').write('.')\n"
    command = shlex.join([sys.executable, "-c", noted + FAULTY, "none", "{port}", "0"])
    load = ("--rounds", "3", "--streams", "2", "--events", "4", "--json")
    done = bench(*load, "--target", f"it={command}", *against)
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "started").read_text() == "." * started


@pytest.mark.parametrize(
    ("fault", "lost", "reordered", "failed"),
    [("loses", 5, 0, 0), ("swaps", 5, 5, 0), ("cuts", 10, 0, 5)],
)
def test_a_target_that_loses_or_reorders_an_event_exits_1(
    fault: str, lost: int, reordered: int, failed: int
) -> None:
    command = shlex.join([sys.executable, "-c", FAULTY, fault, "{port}", str(WARM_UPS)])
    load = ("--rounds", "1", "--streams", "5", "--events", "4", "--json")
    done = bench(*load, "--target", f"bad={command}")
    assert done.returncode == 1, done.stderr
    found: dict[str, Any] = json.loads(done.stdout)["results"][0]
    assert (found["lost"], found["reordered"], found["failed"]) == (lost, reordered, failed)
    assert found["errors"] == lost + reordered + failed
    assert "bench: paced: bad: " in done.stderr


def test_a_target_is_asked_with_its_own_path_model_and_headers() -> None:
    program = (
        "import socket, sys\n"
        "listener = socket.create_server(('127.0.0.1', int(sys.argv[1])))\n"
        "while True:\n"
        "    peer, _ = listener.accept()\n"
        "    said = b''\n"
        "    while b'}]}' not in said and (more := peer.recv(65536)): said += more\n"
        "    print(said.decode(), flush=True)\n"
        "    answer = b'HTTP/1.1 400 No\\r\\ncontent-length: %d\\r\\n\\r\\n' % len(said) + said\n"
        "    peer.sendall(answer); peer.close()\n"
    )
    command = shlex.join([sys.executable, "-c", program, "{port}"])
    done = bench(
        *SMALL,
        *("--target", f"x={command}", "--path", "x=/v1/messages", "--model", "x=other"),
        *("--header", "x=x-api-key: k", "--header", "x=x-host:{upstream}"),
    )
    assert (done.returncode, done.stdout) == (4, "")
    assert "x: a first request failed: status 400: POST /v1/messages HTTP/1.1" in done.stderr
    for line in ("x-api-key: k\n", "x-host: http://127.0.0.1:", '"model": "other"'):
        assert line in done.stderr


@pytest.mark.parametrize(
    ("arguments", "code", "why"),
    [
        (["--target", "ngnix"], 2, "there is no target 'ngnix'"),
        (["--header", "x=a:b"], 2, "there is no target 'x'"),
        (["--against", "nignx"], 2, "'--against nignx': there is no target 'nignx'"),
        (["--path", "streamgauge"], 2, "NAME=PATH"),
        (["--profile", "fast"], 2, "paced-tenth"),
        (["--streams", "100000000"], 2, "open files"),
        (["--target", "x=false {port}"], 4, "it ended with 1"),
    ],
)
def test_what_cannot_be_measured_is_told_before_anything_is_printed(
    arguments: list[str], code: int, why: str
) -> None:
    done = bench(*arguments)
    assert (done.returncode, done.stdout) == (code, "")
    assert why in done.stderr
    assert "Traceback" not in done.stderr
