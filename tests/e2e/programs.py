"""Runs real client programs in a home of their own, with nothing to reach but loopback."""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import os
import pty
import signal
import struct
import termios
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

__all__ = ["Finished", "lonely_environment", "on_a_terminal", "run"]

_NOWHERE = "http://127.0.0.1:9"
"""A port where nobody listens: what a program would send elsewhere is refused at once."""
_LEAVE_SECONDS = 5.0


@dataclass(frozen=True, slots=True)
class Finished:
    """A program that has ended."""

    code: int
    out: str
    err: str


def lonely_environment(home: Path, **more: str) -> dict[str, str]:
    """Return an environment with an empty `home` in which only 127.0.0.1 is reached directly."""
    home.mkdir()
    return {
        "PATH": os.environ["PATH"],
        "HOME": str(home),
        "HTTP_PROXY": _NOWHERE,
        "HTTPS_PROXY": _NOWHERE,
        "NO_PROXY": "127.0.0.1,localhost",
        "GIT_ALLOW_PROTOCOL": "file",
        "npm_config_registry": _NOWHERE,
        **more,
    }


async def run(
    program: Path,
    *arguments: str,
    environment: dict[str, str],
    cwd: Path,
    text: str = "",
    seconds: float = 90.0,
) -> Finished:
    """Run `program` with `text` as its input. Raises TimeoutError after `seconds`."""
    pipe = asyncio.subprocess.PIPE
    process = await asyncio.create_subprocess_exec(
        program,
        *arguments,
        env=environment,
        cwd=cwd,
        stdin=pipe,
        stdout=pipe,
        stderr=pipe,
        start_new_session=True,
    )
    try:
        async with asyncio.timeout(seconds):
            out, err = await process.communicate(text.encode())
    finally:
        await _end(process)
    return Finished(process.returncode or 0, out.decode(), err.decode())


@contextlib.asynccontextmanager
async def on_a_terminal(
    program: Path, *arguments: str, environment: dict[str, str], cwd: Path
) -> AsyncIterator[bytearray]:
    """Run `program` on a terminal, and yield what it has shown so far. At the end it is ended."""
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 40, 120, 0, 0))
    process = await asyncio.create_subprocess_exec(
        program,
        *arguments,
        env={**environment, "TERM": "xterm-256color"},
        cwd=cwd,
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
        start_new_session=True,
    )
    os.close(theirs)
    loop, shown = asyncio.get_running_loop(), bytearray()

    def read() -> None:
        try:
            shown.extend(os.read(ours, 1 << 16))
        except OSError:  # Linux says EIO when the last holder of the other end has gone
            loop.remove_reader(ours)

    loop.add_reader(ours, read)
    try:
        yield shown
    finally:
        await _end(process)
        loop.remove_reader(ours)
        os.close(ours)


async def _end(process: asyncio.subprocess.Process) -> None:
    """End the program and whatever it has started: it leads a session of its own."""
    for sign in (signal.SIGTERM, signal.SIGKILL):
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, sign)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_LEAVE_SECONDS):
                await process.wait()
