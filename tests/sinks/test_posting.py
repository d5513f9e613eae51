"""A server that answers strangely costs an exporter a while and no more."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, suppress

import pytest

from streamgauge.sinks.cursor import Unavailable
from streamgauge.sinks.posting import Posting

WITHIN = 10.0


@contextmanager
def serving(answer: Callable[[socket.socket, threading.Event], None]) -> Iterator[str]:
    """Let `answer` speak to whoever connects, until it is told that the test is over."""
    over = threading.Event()

    def serve() -> None:
        with suppress(OSError):
            while not over.is_set():
                to, _ = listener.accept()
                with to, suppress(OSError):
                    to.recv(65_536)
                    answer(to, over)

    with closing(socket.create_server(("127.0.0.1", 0))) as listener:
        thread = threading.Thread(target=serve)
        thread.start()
        try:
            yield f"http://127.0.0.1:{listener.getsockname()[1]}"
        finally:
            over.set()
            with suppress(OSError):
                listener.shutdown(socket.SHUT_RDWR)
            thread.join(WITHIN)


def dripping(begin: bytes, drop: bytes) -> Callable[[socket.socket, threading.Event], None]:
    def answer(to: socket.socket, over: threading.Event) -> None:
        to.sendall(begin)
        while not over.wait(0.01):
            to.sendall(drop)

    return answer


@pytest.mark.parametrize(
    ("begin", "drop"),
    [
        (b"", b"H"),
        (b"", b"HTTP/1.1 100 Continue\r\n\r\n"),
    ],
)
def test_who_never_comes_to_an_answer_is_left(begin: bytes, drop: bytes) -> None:
    with serving(dripping(begin, drop)) as url, pytest.raises(Unavailable, match=r"within 0\.2 s"):
        Posting(url, {}, whole_seconds=0.2).post("/write", b"x")


@pytest.mark.parametrize("framing", [b"content-length: 60000", b"connection: close"])
def test_a_body_that_never_ends_does_not_undo_its_status(framing: bytes) -> None:
    begin = b"HTTP/1.1 200 OK\r\n" + framing + b"\r\n\r\n"
    with serving(dripping(begin, b"x")) as url:
        answer = Posting(url, {}, whole_seconds=0.2).post("/write", b"x")
    assert answer.accepted
    assert answer.body.strip(b"x") == b""


@pytest.mark.parametrize(
    "said",
    [
        b"",
        b"\0" * 60_000,
        b"SSH-2.0-x\r\n",
        b"HTTP/1.1 2\r\n\r\n",
        b"HTTP/1.1 200 OK\r\n" + b"x" * 99_999,
    ],
)
def test_what_is_no_answer_is_an_outage(said: bytes) -> None:
    with serving(lambda to, _: to.sendall(said)) as url, pytest.raises(Unavailable) as raised:
        Posting(url, {}).post("/write", b"x")
    assert len(str(raised.value)) <= 300
