"""`tail --log`: a gateway's own debug log, judged; and the same log with a line taken out."""

from __future__ import annotations

import asyncio
import contextlib
import json
import signal
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from streamgauge.cli.tail import tail
from streamgauge.tools.simulator import Simulator

from .captured import WAYS, asking
from .process import serving


def judge(log: str, *more: str) -> Result:
    return CliRunner().invoke(tail, ["--log", "-", *more], input=log)


@pytest.mark.parametrize("style", ["json", "logfmt"])
@pytest.mark.asyncio
async def test_every_stream_of_a_gateway_gets_its_verdict(style: str, tmp_path: Path) -> None:
    config = {"log": {"level": "debug", "format": style}}
    async with Simulator() as simulator, serving(tmp_path, simulator, config=config) as gateway:
        answers = [await gateway.ask(path, asking(tokens=5)) for path in WAYS.values()]
        cut = await gateway.ask(WAYS["openai"], asking(tokens=5, fault="error_mid"))
        await gateway.ask(WAYS["openai"], asking(False, tokens=5))
        gateway.signal(2)
        assert await gateway.exit() == 0
        lines = gateway.lines
    done = judge("\n".join(lines), "--json")
    verdicts = {found["trace"]: found for found in map(json.loads, done.stdout.splitlines())}
    assert done.exit_code == 0, done.output
    assert set(verdicts) == {answer.id for answer in [*answers, cut]}
    assert all(found["made"] == found["written"] > 3 for found in verdicts.values())
    assert verdicts[cut.id]["status"] == "upstream_error"
    first = next(n for n, line in enumerate(lines) if "SOCKET_WRITE" in line)
    done = judge("\n".join([*lines[:first], *lines[first + 1 :]]))
    assert done.exit_code == 1
    assert "made and never written" in done.stdout or "written before" in done.stdout


def test_a_log_without_frames_is_no_proof() -> None:
    done = judge("ready data=http://127.0.0.1:1\n")
    assert done.exit_code == 1
    assert "log of level debug" in done.stderr


def test_a_file_is_read_to_its_end(tmp_path: Path) -> None:
    five = "seq=1 sha1=a done=true acc=1 raw=1 trace=t1"
    file = tmp_path / "log"
    file.write_text(f"EMIT {five}\nSOCKET_WRITE {five}\nmodel=m status=completed id=t1")
    done = CliRunner().invoke(tail, ["--no-follow", "--log", str(file)])
    assert (done.exit_code, done.stdout) == (0, "trace=t1 frames=1 written=1 status=completed ok\n")


def stream(trace: str) -> str:
    five = f"seq=1 sha1=a done=true acc=1 raw=1 trace={trace}"
    return f"EMIT {five}\nSOCKET_WRITE {five}\nmodel=m status=completed id={trace}\n"


@contextlib.asynccontextmanager
async def following(file: Path) -> AsyncIterator[asyncio.StreamReader]:
    """Run `tail --log` on `file`, and yield what it prints; it must end well with Ctrl-C."""
    command = (sys.executable, "-u", "-m", "streamgauge", "tail", "--log", str(file))
    tailing = await asyncio.create_subprocess_exec(*command, stdout=asyncio.subprocess.PIPE)
    assert tailing.stdout is not None
    try:
        yield tailing.stdout
        tailing.send_signal(signal.SIGINT)
        assert await asyncio.wait_for(tailing.wait(), 10) == 0
    finally:
        if tailing.returncode is None:
            tailing.kill()


async def verdict(told: asyncio.StreamReader) -> str:
    return (await asyncio.wait_for(told.readline(), 10)).decode()


@pytest.mark.asyncio
async def test_a_log_that_is_rotated_is_followed_under_its_name(tmp_path: Path) -> None:
    file, older = tmp_path / "log", tmp_path / "log.1"
    file.write_text(stream("t1") + stream("t2")[:20])
    async with following(file) as told:
        assert "trace=t1 " in await verdict(told)
        file.rename(older)
        with older.open("a") as late:
            late.write(stream("t2")[20:])
        file.write_text(stream("t3"))
        for trace in ("t2", "t3"):
            assert await verdict(told) == f"trace={trace} frames=1 written=1 status=completed ok\n"


@pytest.mark.asyncio
async def test_a_log_that_is_cut_to_nothing_is_followed_from_its_beginning(tmp_path: Path) -> None:
    file = tmp_path / "log"
    file.write_text(stream("t1") + stream("t2"))
    async with following(file) as told:
        assert "trace=t1 " in await verdict(told)
        assert "trace=t2 " in await verdict(told)
        file.write_text(stream("t3"))
        assert await verdict(told) == "trace=t3 frames=1 written=1 status=completed ok\n"
