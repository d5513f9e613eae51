"""How answers are framed, and in how many writes they leave."""

from __future__ import annotations

import pytest

from streamgauge.gateway.client_responder import ClientResponder
from streamgauge.gateway.http_text import BodyFraming, framing_of, render_head


class Paper:
    """Keeps what a responder does to its connection."""

    def __init__(self) -> None:
        self.writes: list[bytes] = []
        self.ends: list[bool | str] = []

    def write(self, data: bytes) -> None:
        self.writes.append(data)

    def answered(self, keep_alive: bool) -> None:
        self.ends.append(keep_alive)

    def abort(self) -> None:
        self.ends.append("abort")


class Owner:
    """Keeps what it is told."""

    def __init__(self) -> None:
        self.told: list[str] = []

    def client_gone(self) -> None:
        self.told.append("gone")

    def client_blocked(self) -> None:
        self.told.append("blocked")

    def client_writable(self) -> None:
        self.told.append("writable")


def responder_on(
    paper: Paper, method: str = "POST", minor: int = 1, *, keep_alive: bool = True
) -> ClientResponder:
    return ClientResponder(paper, method, minor, keep_alive)


def test_the_head_leaves_in_one_write_with_the_first_chunk() -> None:
    paper = Paper()
    responder = responder_on(paper)
    responder.send_head(200, [(b"content-type", b"text/plain")], None)
    assert paper.writes == []
    responder.send(b"hello")
    responder.send(b"x" * 16)
    responder.end()
    assert paper.writes == [
        b"HTTP/1.1 200 OK\r\ncontent-type: text/plain\r\ntransfer-encoding: chunked\r\n"
        b"connection: keep-alive\r\n\r\n5\r\nhello\r\n",
        b"10\r\n" + b"x" * 16 + b"\r\n",
        b"0\r\n\r\n",
    ]
    assert paper.ends == [True]


def test_a_whole_answer_with_a_length_is_one_write() -> None:
    paper = Paper()
    responder = responder_on(paper)
    responder.send_head(404, [], 2)
    responder.send(b"{}")
    responder.end()
    (written,) = paper.writes
    assert written.startswith(b"HTTP/1.1 404 Not Found\r\ncontent-length: 2\r\n")
    assert written.endswith(b"\r\n\r\n{}")


def test_an_empty_chunked_body_is_one_write_and_an_empty_send_none() -> None:
    paper = Paper()
    responder = responder_on(paper)
    responder.send_head(200, [], None)
    responder.send(b"")
    responder.end()
    assert len(paper.writes) == 1
    assert paper.writes[0].endswith(b"\r\n\r\n0\r\n\r\n")


def test_flush_sends_the_head_alone_and_once() -> None:
    paper = Paper()
    responder = responder_on(paper)
    responder.send_head(200, [], None)
    assert responder.unsent
    responder.flush()
    responder.flush()
    assert len(paper.writes) == 1
    assert not responder.unsent


@pytest.mark.parametrize(
    ("method", "status", "length"),
    [("HEAD", 200, 5), ("HEAD", 200, None), ("GET", 204, None), ("GET", 304, 5)],
)
def test_an_answer_without_body_sends_none(method: str, status: int, length: int | None) -> None:
    paper = Paper()
    responder = responder_on(paper, method)
    responder.send_head(status, [], length)
    responder.send(b"hello")
    responder.end()
    assert b"".join(paper.writes).endswith(b"\r\n\r\n")
    assert b"chunked" not in b"".join(paper.writes)
    assert paper.ends == [True]


def test_http_1_0_without_a_length_is_delimited_by_the_close() -> None:
    paper = Paper()
    responder = responder_on(paper, minor=0)
    responder.send_head(200, [], None)
    responder.send(b"hello")
    responder.end()
    (written,) = paper.writes
    assert b"connection: close" in written
    assert written.endswith(b"\r\n\r\nhello")
    assert paper.ends == [False]


def test_an_applications_close_is_honoured_and_its_framing_headers_are_not() -> None:
    paper = Paper()
    responder = responder_on(paper)
    ours = [(b"Connection", b"close"), (b"Content-Length", b"9"), (b"Transfer-Encoding", b"x")]
    responder.send_head(200, ours, 0)
    responder.end()
    assert paper.writes == [b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\nconnection: close\r\n\r\n"]
    assert paper.ends == [False]


@pytest.mark.parametrize(
    "bad", [b"a\r\nSet-Cookie: b", b"a\r\nConnection: close", b"a\nb", b"a\rb", b"a\0"]
)
def test_a_header_cannot_split_the_response(bad: bytes) -> None:
    responder = responder_on(Paper())
    with pytest.raises(ValueError, match="line end"):
        responder.send_head(200, [(b"x-a", bad)], None)


def test_a_status_without_a_name_is_written_without_one() -> None:
    head = render_head(529, b"", BodyFraming.LENGTH, 0, keep_alive=True)
    assert head.startswith(b"HTTP/1.1 529 \r\n")


def test_a_body_short_of_its_length_drops_the_connection() -> None:
    paper = Paper()
    responder = responder_on(paper)
    responder.send_head(200, [], 5)
    responder.send(b"hell")
    responder.end()
    assert paper.ends == ["abort"]


def test_a_body_beyond_its_length_is_cut_and_the_connection_not_reused() -> None:
    paper = Paper()
    responder = responder_on(paper)
    responder.send_head(200, [], 5)
    responder.send(b"hello!")
    responder.send(b"more")
    responder.end()
    assert b"".join(paper.writes).endswith(b"\r\n\r\nhello")
    assert paper.ends == [False]


def test_every_call_after_the_end_does_nothing() -> None:
    paper = Paper()
    responder = responder_on(paper)
    responder.send_head(200, [], 0)
    responder.end()
    written = list(paper.writes)
    responder.send_head(200, [], None)
    responder.send(b"late")
    responder.flush()
    responder.end()
    responder.abort()
    responder.lost()
    assert (paper.writes, paper.ends, responder.gone) == (written, [True], False)


def test_calls_out_of_order_are_mistakes() -> None:
    responder = responder_on(Paper())
    with pytest.raises(RuntimeError):
        responder.send(b"x")
    with pytest.raises(RuntimeError):
        responder.end()
    responder.send_head(200, [], None)
    with pytest.raises(RuntimeError):
        responder.send_head(200, [], None)


def test_a_lost_client_is_told_once_and_late_subscribers_at_once() -> None:
    responder, owner, late = responder_on(Paper()), Owner(), Owner()
    responder.subscribe(owner)
    responder.blocked()
    responder.writable()
    responder.lost()
    responder.lost()
    responder.blocked()
    responder.subscribe(late)
    assert owner.told == ["blocked", "writable", "gone"]
    assert late.told == ["gone"]


def test_a_subscriber_to_a_full_buffer_is_told_at_once() -> None:
    responder, owner = responder_on(Paper()), Owner()
    responder.blocked()
    responder.subscribe(owner)
    assert owner.told == ["blocked"]


def test_who_aborts_is_not_told_that_the_client_is_gone() -> None:
    paper, owner = Paper(), Owner()
    responder = responder_on(paper)
    responder.subscribe(owner)
    responder.abort()
    responder.lost()
    assert (owner.told, paper.ends) == ([], ["abort"])


def test_framing_follows_method_version_and_length() -> None:
    assert framing_of("GET", 1, 200, None) is BodyFraming.CHUNKED
    assert framing_of("GET", 0, 200, None) is BodyFraming.CLOSE
    assert framing_of("GET", 0, 200, 3) is BodyFraming.LENGTH
    assert framing_of("HEAD", 1, 200, 3) is BodyFraming.NONE


def test_repr_names_the_state() -> None:
    assert "waiting" in repr(responder_on(Paper()))
