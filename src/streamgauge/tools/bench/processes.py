"""Starts the bench's processes, waits for them and ends them. Does not know what they do."""

from __future__ import annotations

import asyncio
import os
import random
import resource
import signal
import socket
import sys
import tempfile
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path

from streamgauge.tools.bench.profiles import Profile
from streamgauge.tools.bench.targets import BadTarget, Target, TargetFailed

__all__ = ["Running", "last_words", "running", "sockets_allowed", "upstream_process"]

READY_SECONDS = 60.0
"""Until a target must listen: some Node and Python gateways take twenty to start."""
_END_SECONDS = 10.0
_POLL_SECONDS = 0.05
_LAST_WORDS = 2000
_SPARE_FILES = 100
_PORTS = range(20_000, 32_000)
_SOCKETS = (Path("/proc/net/tcp"), Path("/proc/net/tcp6"))
_LISTEN = "0A"


@dataclass(frozen=True, slots=True)
class Running:
    """A target that listens. `pid` leads the session of all its processes; None: there is none."""

    target: Target
    port: int
    pid: int | None
    log: Path | None


@contextmanager
def sockets_allowed(streams: int) -> Iterator[None]:
    """Raise the soft limit of open files, which all processes started meanwhile inherit. Raises BadTarget.

    A proxy needs two sockets a stream.
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    needed = 2 * streams + _SPARE_FILES
    if hard != resource.RLIM_INFINITY and hard < needed:
        raise BadTarget(
            f"{streams} streams need {needed} open files, and the hard limit is {hard}; "
            f"raise it (ulimit -Hn) or take fewer with --streams"
        )
    if soft != resource.RLIM_INFINITY and soft < needed:
        resource.setrlimit(resource.RLIMIT_NOFILE, (needed, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


@asynccontextmanager
async def upstream_process(profile: Profile) -> AsyncIterator[int]:
    """Run the bench's upstream; yield its port."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "streamgauge.tools.bench.upstream"),
        *("--streams", str(profile.streams), "--gap-ns", str(profile.gap_ns)),
        stdout=asyncio.subprocess.PIPE,
        start_new_session=True,
    )
    try:
        assert process.stdout is not None
        line = await asyncio.wait_for(process.stdout.readline(), READY_SECONDS)
        if not line.startswith(b"ready "):
            raise TargetFailed("the bench's own upstream did not start")
        yield int(line.split()[1])
    finally:
        await _end(process)


@asynccontextmanager
async def running(target: Target, upstream: int) -> AsyncIterator[Running]:
    """Run `target` in front of the upstream's port. Raises TargetFailed when it does not listen in time."""
    if not target.is_process:
        yield Running(target, upstream, None, None)
        return
    with tempfile.TemporaryDirectory(prefix="streamgauge-bench-") as name:
        folder = Path(name)
        port = _free_port()
        address = f"127.0.0.1:{upstream}"
        words = {
            "{port}": str(port),
            "{upstream}": f"http://{address}",
            "{address}": address,
            "{folder}": name,
        }
        for file, text in target.files.items():
            (folder / file).write_text(_filled(text, words))
        log = folder / "log"
        process = await _start(target, words, log)
        try:
            await _listening(process, target.name, port, log)
            headers = tuple((name, _filled(value, words)) for name, value in target.headers)
            yield Running(replace(target, headers=headers), port, process.pid, log)
        finally:
            await _end(process)


async def _start(target: Target, words: Mapping[str, str], log: Path) -> asyncio.subprocess.Process:
    environment = target.environment
    with log.open("wb") as file:
        try:
            return await asyncio.create_subprocess_exec(
                *(_filled(word, words) for word in target.command),
                stdin=asyncio.subprocess.DEVNULL,
                stdout=file,
                stderr=file,
                cwd=log.parent,
                env=None
                if environment is None
                else {key: _filled(value, words) for key, value in environment.items()},
                start_new_session=True,
            )
        except OSError as error:
            raise TargetFailed(
                f"{target.name}: cannot start {target.command[0]}: {error}"
            ) from error


async def _listening(process: asyncio.subprocess.Process, name: str, port: int, log: Path) -> None:
    loop = asyncio.get_running_loop()
    deadline = loop.time() + READY_SECONDS
    while not _listens(port):
        if process.returncode is not None:
            raise TargetFailed(f"{name}: it ended with {process.returncode}{last_words(log)}")
        if loop.time() > deadline:
            raise TargetFailed(
                f"{name}: nothing listens on port {port} after {READY_SECONDS:g} s{last_words(log)}"
            )
        await asyncio.sleep(_POLL_SECONDS)


def last_words(log: Path) -> str:
    text = log.read_bytes()[-_LAST_WORDS:].decode(errors="replace").strip()
    return f"; its last words:\n{text}" if text else ", without a word"


def _listens(port: int) -> bool:
    """Return whether anything listens on `port`, without troubling it with a connection."""
    return any(
        (fields := line.split())[3] == _LISTEN and int(fields[1].rpartition(":")[2], 16) == port
        for file in _SOCKETS
        if file.exists()  # without IPv6 there is but one
        for line in file.read_text().splitlines()[1:]
    )


def _free_port() -> int:
    """Return a port that was free a moment ago.

    Below those that Linux gives to clients: else one of them may take it before the target does.
    """
    for port in random.sample(_PORTS, len(_PORTS)):
        with suppress(OSError), socket.create_server(("127.0.0.1", port)):
            return port
    raise TargetFailed("there is no free port for a target to listen on")


def _filled(text: str, words: Mapping[str, str]) -> str:
    # Not str.format: a command may hold braces of its own.
    for word, value in words.items():
        text = text.replace(word, value)
    return text


async def _end(process: asyncio.subprocess.Process) -> None:
    """End the whole session that `process` leads; what does not go is killed."""
    for number in (signal.SIGTERM, signal.SIGKILL):
        with suppress(ProcessLookupError):
            os.killpg(process.pid, number)
        with suppress(TimeoutError):
            await asyncio.wait_for(process.wait(), _END_SECONDS)
            break
    with suppress(ProcessLookupError):  # children that outlived the first of them
        os.killpg(process.pid, signal.SIGKILL)
