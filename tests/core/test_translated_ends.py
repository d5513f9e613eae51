"""How a translated exchange ends: with an error, cut, without a marker, with nothing said."""

from __future__ import annotations

import json

import pytest

from streamgauge.core.attempt import Limits
from streamgauge.core.deadlines import MARKER_WAIT
from streamgauge.core.passage import COMMENT_LIMIT
from streamgauge.core.record import Anomaly, Delivered, Disposition, Status

from ..grammar_check import OURS, legal
from .playbook import DONE, FINISH, ROLE, USAGE, Play, chunk, request_of, text
from .translated_play import CUT, EMPTY, NO_MARKER, answering, frames_of
from .upstream_wires import CLIENTS, PAIRS, UPSTREAMS, heard

FINISHED = ("openai", "anthropic")  # Ollama's finish, usage and end marker are one line


@pytest.mark.parametrize("begun", [True, False])
@pytest.mark.parametrize(("client", "upstream"), PAIRS)
def test_an_error_in_the_stream_is_the_last_thing_told(
    client: str, upstream: str, begun: bool
) -> None:
    wire = UPSTREAMS[upstream]
    said = (wire.start, *wire.text[:2]) if begun else ()
    play = answering(client, upstream, *said, wire.error, *wire.text, *wire.end.values())
    play.do("upstream_end", "complete")
    row = play.row
    assert (row.status, row.error_message) == (Status.UPSTREAM_ERROR, "broke")
    if begun:
        assert heard(client, play.body).error == "broke"
        assert not heard(client, play.body).ended
        assert play.told.endswith("data end")
        assert row.frames_out == frames_of(client, play.body)
        return
    assert play.whole.status == {"openai": 503, "anthropic": 500, "ollama": 502}[upstream]
    assert json.loads(play.whole.body)["error"]["message"] == "broke"
    assert ("request_id" in json.loads(play.whole.body)) is (client == "anthropic")


@pytest.mark.parametrize("end", ["cut", "complete", "reset"])
@pytest.mark.parametrize(("client", "upstream"), PAIRS)
def test_a_cut_stream_ends_with_an_error_and_no_end_marker(
    client: str, upstream: str, end: str
) -> None:
    wire = UPSTREAMS[upstream]
    play = answering(client, upstream, wire.start, *wire.text[:2])
    play.do("upstream_end", end)
    told, row = heard(client, play.body), play.row
    assert (told.error, told.ended) == (CUT, False)
    assert (row.status, row.error_message) == (Status.STREAM_INCOMPLETE, CUT)
    assert (row.delivered, row.frames_out) == (Delivered.PART, frames_of(client, play.body))


@pytest.mark.parametrize("end", ["cut", "complete", "reset"])
@pytest.mark.parametrize("upstream", FINISHED)
@pytest.mark.parametrize("client", CLIENTS)
def test_a_cut_behind_the_finish_closes_the_grammar_and_the_row_says_so(
    client: str, upstream: str, end: str
) -> None:
    wire = UPSTREAMS[upstream]
    play = answering(client, upstream, wire.start, *wire.text, wire.finish["stop"])
    play.do("upstream_end", end)
    legal(client, play.body, OURS)
    told, row = heard(client, play.body), play.row
    assert (told.text, told.error, told.ended) == ("ab", None, True)
    assert (row.status, row.success, row.anomalies) == (Status.STREAM_INCOMPLETE, False, NO_MARKER)
    assert (row.error_code, row.frames_out) == (None, frames_of(client, play.body))


@pytest.mark.parametrize("upstream", FINISHED)
@pytest.mark.parametrize("client", CLIENTS)
def test_what_a_finish_alone_makes_the_client_be_told_is_counted(
    client: str, upstream: str
) -> None:
    wire = UPSTREAMS[upstream]
    play = answering(client, upstream, wire.start, wire.finish["stop"])
    play.do("upstream_end", "complete")
    row = play.row
    assert (row.status, row.frames_out) == (Status.STREAM_INCOMPLETE, frames_of(client, play.body))
    assert row.delivered == "part"


@pytest.mark.parametrize("upstream", FINISHED)
@pytest.mark.parametrize("client", CLIENTS)
def test_a_missing_marker_is_awaited_for_two_seconds(client: str, upstream: str) -> None:
    wire = UPSTREAMS[upstream]
    play = answering(client, upstream, wire.start, *wire.text)
    play.do("upstream_data", wire.finish["stop"], at=5.0)
    play.do("tick", at=5.0 + MARKER_WAIT)
    assert not heard(client, play.body).ended
    play.do("tick", at=5.1 + MARKER_WAIT)
    legal(client, play.body, OURS)
    assert heard(client, play.body).ended
    row = play.row
    assert (row.status, row.anomalies) == (Status.STREAM_INCOMPLETE, NO_MARKER)
    assert (play.closes, row.disposition) == (1, Disposition.CANCELLED)


def test_neither_usage_nor_keep_alives_make_the_wait_for_the_marker_longer() -> None:
    play = answering("anthropic", "openai", ROLE, text("a"), FINISH)
    play.do("upstream_data", USAGE, at=1.5)
    play.do("upstream_data", b": ping\n\n", at=1.9)
    play.do("tick", at=2.1)
    assert heard("anthropic", play.body).usage == (9, 4)
    assert play.row.anomalies == NO_MARKER


@pytest.mark.parametrize("wire", ["openai", "anthropic", "ollama"])
@pytest.mark.parametrize("client", CLIENTS)
def test_an_empty_answer_with_a_marker_ends_in_an_error(client: str, wire: str) -> None:
    play = answering(client, wire, UPSTREAMS[wire].start, UPSTREAMS[wire].bare_end)
    play.do("upstream_end", "complete")
    row = play.row
    assert (row.status, row.success, row.error_message) == (Status.UPSTREAM_ERROR, False, EMPTY)
    if play.body:
        assert (heard(client, play.body).error, play.told) == (EMPTY, "head data data end")
    else:
        assert play.whole.status == 502


def test_a_mark_behind_content_without_a_finish_completes() -> None:
    play = answering("anthropic", "openai", ROLE, text("a"), DONE)
    play.do("upstream_end", "complete")
    assert heard("anthropic", play.body).finish == "end_turn"
    assert (play.row.status, play.row.finish_reason) == (Status.COMPLETED, None)


@pytest.mark.parametrize("client", CLIENTS)
def test_a_call_without_arguments_or_a_finish_is_an_answer(client: str) -> None:
    call = {"index": 0, "id": "c", "type": "function", "function": {"name": "ls", "arguments": ""}}
    play = answering(
        client, "openai", chunk(choices=[{"index": 0, "delta": {"tool_calls": [call]}}]), DONE
    )
    play.do("upstream_end", "complete")
    legal(client, play.body, OURS)
    told, row = heard(client, play.body), play.row
    assert (told.error, told.ended) == (None, True)
    assert (row.status, row.anomalies) == (Status.COMPLETED, [])


@pytest.mark.parametrize("client", CLIENTS)
def test_a_frame_beyond_the_cap_ends_the_stream_with_an_error(client: str) -> None:
    play = answering(client, "openai", ROLE, text("a"))
    play.data(b"data: " + b"x" * (32 * 1024 * 1024 + 1))
    assert (heard(client, play.body).error or "").endswith("larger than 32 MiB")
    assert play.row.status is Status.UPSTREAM_PROTOCOL_ERROR
    assert Anomaly.OVERSIZE_FRAME in play.row.anomalies


def test_nothing_but_comments_is_a_protocol_error() -> None:
    play = answering("anthropic", "openai")
    megabyte = b":" + b"x" * (1024 * 1024 - 3) + b"\n\n"
    play.data(*[megabyte] * (COMMENT_LIMIT // len(megabyte) + 1))
    assert "nothing but comments" in json.loads(play.whole.body)["error"]["message"]


@pytest.mark.parametrize("client", CLIENTS)
def test_a_deadline_that_passes_in_the_stream_is_told(client: str) -> None:
    limits = Limits(first_token=9, idle=3, total=0)
    play = answering(client, "openai", ROLE, text("a"), attempt={"limits": limits})
    play.do("tick", at=3.5)
    assert "next token" in (heard(client, play.body).error or "")
    assert play.row.status is Status.UPSTREAM_TIMEOUT


def test_without_metering_a_translation_is_read_all_the_same() -> None:
    for client in CLIENTS:
        play = answering(client, "openai", ROLE, text("a"), FINISH, USAGE, DONE, metering=False)
        play.do("upstream_end", "complete")
        assert (heard(client, play.body).text, heard(client, play.body).usage) == ("a", (9, 4))
        row = play.row
        assert (row.status, row.frames_in, row.stalls) == (Status.COMPLETED, 5, 0)
        assert row.frames_out == frames_of(client, play.body)
        assert b"include_usage" in play.requests[0]
    empty = answering("openai", "openai", ROLE, FINISH, DONE, metering=False)
    empty.do("upstream_end", "complete")
    assert empty.row.anomalies == [Anomaly.EMPTY_ANSWER]


def test_a_picture_alone_has_no_counterpart_and_is_told_as_an_empty_answer() -> None:
    shown = {"images": [{"type": "image_url"}]}
    picture = chunk(choices=[{"index": 0, "delta": shown}])
    play = answering("anthropic", "openai", ROLE, picture, FINISH, DONE)
    play.do("upstream_end", "complete")
    assert play.row.anomalies == [Anomaly.EMPTY_ANSWER]
    whole = Play(request_of("anthropic", stream=False), attempt={"dialect": "openai"})
    whole.answer(200, json.dumps({"choices": [{"message": shown}], "usage": {}}).encode())
    assert (whole.row.status, whole.whole.status) == (Status.UPSTREAM_ERROR, 502)
