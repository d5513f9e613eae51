"""A control listener that tells what a test has put into it, and a terminal to look at it from."""

from __future__ import annotations

import fcntl
import json
import os
import pty
import re
import select
import signal
import struct
import subprocess
import termios
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from .books import ENVIRONMENT, NOW, RUN

DEADLINE = 20.0
_SGR = re.compile(r"\x1b\[[0-9;]*m")
_NOTHING = {"exact": None, "estimated": None, "unknown": 0}


def a_stream(id: str, **values: Any) -> dict[str, Any]:
    """Return a row of the live page (docs/api.md)."""
    plain: dict[str, Any] = {
        "id": id, "state": "streaming", "started_at": NOW, "age_ms": 1500.0, "client_app": "curl/8",
        "key_id": None, "key_label": None, "session_id": None, "dialect": "anthropic",
        "upstream_dialect": "openai", "endpoint": "messages", "streaming": True,
        "requested_model": "claude", "upstream_model": "qwen", "response_model": None,
        "upstream": "local", "route": "map", "attempt": 1, "latency_ms": 5.0, "first_byte_ms": 6.0,
        "ttft_ms": 41.0, "input_tokens": None, "input_source": "none", "output_tokens": 17,
        "usage_source": "counted", "generation_tps": 52.0, "tps_source": "measured",
        "context_used": 1024, "context_total": 2048, "context_percent": 50.0, "bytes_in": 9,
        "bytes_out": 11, "frames_in": 3, "frames_out": 4, "last_frame_ms": 12.0,
    }  # fmt: skip
    return {**plain, **values}


def a_summary(**values: Any) -> dict[str, Any]:
    """Return the page of the strip (docs/api.md)."""
    cost = {"exact": "0.5", "exact_nano": 500_000_000, "estimated": "0.1", "estimated_nano": 1,
            "exchanges": 3}  # fmt: skip
    names = ("input", "output", "cache_read", "cache_write", "reasoning")
    today = {"exchanges": 9, "successes": 8, "failures": 1, "unpriced": 2, "costs": {"USD": cost},
             **dict.fromkeys(names, _NOTHING)}  # fmt: skip
    return {
        "at": NOW, "streams": 1, "requests_last_minute": 12, "tokens_per_second": 81.5,
        "today": today, "ledger": {"healthy": True, "reason": None, "queue": 0, "spool": 0},
        "config": {"version": "v", "state": "ok", "error": None, "problems": 0},
        "drained": [], "stopping": False, "version": "0.1.0", **values,
    }  # fmt: skip


class FakeControl:
    """`streams`, `ended` and `summary` are told; `refusals`: a status by the last word of the path."""

    def __init__(self) -> None:
        self.streams: list[dict[str, Any]] = []
        self.ended: list[dict[str, Any]] = []
        self.summary = a_summary()
        self.refusals: dict[str, int] = {}
        self.shown_tokens: list[str | None] = []
        self.looks = 0
        self.url = ""

    def answer(self, path: str) -> tuple[int, dict[str, Any]]:
        """Return status and page."""
        word = path.partition("?")[0].rpartition("/")[2]
        if word in self.refusals:
            return self.refusals[word], {"error": {"message": f"{word} is refused"}}
        if word == "live":
            self.looks += 1
        pages = {
            "summary": self.summary,
            "requests": {"rows": self.ended, "next": None, "scanned_to": None},
            "live": {"at": NOW, "streams": len(self.streams), "rows": self.streams},
        }
        return 200, pages[word]


@contextmanager
def fake_control() -> Iterator[FakeControl]:
    """Listen on a free port."""
    fake = FakeControl()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            fake.shown_tokens.append(self.headers["Authorization"])
            status, page = fake.answer(self.path)
            body = json.dumps(page).encode()
            self.send_response(status)
            self.send_header("content-length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    fake.url = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield fake
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


class Terminal:
    """A verb on a terminal of its own, which is its controlling one."""

    def __init__(self, process: subprocess.Popen[bytes], descriptor: int) -> None:
        self.process = process
        self.seen = b""
        self._descriptor = descriptor

    def until(self, words: str, after: int = 0) -> int:
        """Read until a screen has `words` that was drawn behind byte `after`; return where reading is."""
        deadline = time.monotonic() + DEADLINE
        while words not in "\n".join(self.screen(after)):
            assert time.monotonic() < deadline, (words, self.screen(after))
            if not self.read(1.0) and self.process.poll() is not None:
                raise AssertionError((words, self.seen[-2000:]))
        return len(self.seen)

    def screen(self, after: int = 0) -> list[str]:
        """Return the lines of the newest screen drawn behind byte `after`, colours left out."""
        text = self.seen[after:].decode(errors="replace")
        home = text.rfind("\x1b[H")
        return [] if home < 0 else _SGR.sub("", text[home + 3 :]).splitlines()

    def press(self, keys: bytes) -> None:
        """Type `keys`."""
        os.write(self._descriptor, keys)

    def resize(self, columns: int, lines: int) -> None:
        """Give the terminal another size; the kernel tells the program."""
        set_size(self._descriptor, columns, lines)

    def modes(self) -> list[Any]:
        """Return the terminal's modes."""
        return termios.tcgetattr(self._descriptor)

    def read(self, seconds: float) -> bool:
        """Read what it shows next, waiting for at most `seconds`; return whether there was any."""
        if not select.select([self._descriptor], [], [], seconds)[0]:
            return False
        try:
            piece = os.read(self._descriptor, 1 << 16)
        except OSError:  # Linux says EIO when the other end is closed
            return False
        self.seen += piece
        return bool(piece)


def set_size(descriptor: int, columns: int, lines: int) -> None:
    """Set a terminal's size."""
    fcntl.ioctl(descriptor, termios.TIOCSWINSZ, struct.pack("HHHH", lines, columns, 0, 0))


@contextmanager
def on_a_terminal(
    *arguments: str, cwd: Path, columns: int = 150, lines: int = 30, **environment: str
) -> Iterator[Terminal]:
    """Run a verb on a terminal; kill what is left of it."""
    ours, theirs = pty.openpty()
    set_size(theirs, columns, lines)
    # The terminal must be the program's own, or it is not told of another size.
    shell = 'exec "$@" <"$0" >"$0" 2>&1'
    process = subprocess.Popen(
        ["/bin/sh", "-c", shell, os.ttyname(theirs), *RUN, *arguments],
        env={**ENVIRONMENT, "TERM": "xterm-256color", **environment},
        cwd=cwd,
        start_new_session=True,
    )
    try:
        yield Terminal(process, ours)
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait(DEADLINE)
        os.close(theirs)
        os.close(ours)
