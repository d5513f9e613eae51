"""A shell in which the commands of a page are run as they stand there, but for their ports."""

from __future__ import annotations

import asyncio
import os
import shlex
import signal
import stat
import sys
from pathlib import Path

from .process import SOURCES

__all__ = ["Terminal", "interrupted", "lines_until"]

DEADLINE = 30.0


class Terminal:
    """A shell in `folder`, where `.venv/bin/streamgauge` is this interpreter's."""

    def __init__(self, folder: Path, ports: dict[str, str]) -> None:
        self.folder = folder
        self._ports = ports
        script = folder / ".venv" / "bin" / "streamgauge"
        if not script.exists():
            script.parent.mkdir(parents=True)
            script.write_text(
                f'#!/bin/sh\nexec {shlex.quote(sys.executable)} -m streamgauge "$@"\n'
            )
            script.chmod(script.stat().st_mode | stat.S_IXUSR)

    async def start(self, line: str, **more: str) -> asyncio.subprocess.Process:
        """Start `line` as it stands on the page, but for its ports.

        Before what is interrupted later stands `exec`: else the signal ends the shell, too.
        """
        for port, ours in self._ports.items():
            line = line.replace(port, ours)
        return await asyncio.create_subprocess_exec(
            "sh", "-c", line, cwd=self.folder, stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE, start_new_session=True,
            env={"PATH": f"{self.folder}/bin:{os.environ['PATH']}", "PYTHONPATH": str(SOURCES),
                 "HOME": str(self.folder), **more},
        )  # fmt: skip

    async def run(self, line: str, **more: str) -> str:
        """Run `line` to its good end and return what it printed."""
        process = await self.start(line, **more)
        out, err = await asyncio.wait_for(process.communicate(), DEADLINE)
        assert process.returncode == 0, (line, out, err)
        return out.decode()


async def interrupted(process: asyncio.subprocess.Process) -> int:
    """Press Ctrl-C and return the exit code; what it prints meanwhile is read, too."""
    if process.returncode is None:
        os.killpg(process.pid, signal.SIGINT)
    await asyncio.wait_for(process.communicate(), DEADLINE)
    assert process.returncode is not None
    return process.returncode


async def lines_until(stream: asyncio.StreamReader | None, words: str) -> str:
    """Read lines until one begins with `words`; return them all."""
    assert stream is not None
    text = ""
    while not text.splitlines()[-1:] or not text.splitlines()[-1].startswith(words):
        line = await asyncio.wait_for(stream.readline(), DEADLINE)
        assert line, text
        text += line.decode()
    return text
