"""What must hold of an exchange that is over, whatever it was given."""

from __future__ import annotations

import json

from streamgauge.core.actions import (
    Commit,
    EndClient,
    SendAnswer,
    SendData,
    SendHead,
)
from streamgauge.core.integrity import Integrity
from streamgauge.core.integrity_check import Check, Expected, Kind
from streamgauge.core.record import Anomaly, Delivered, Disposition, Status

from ..grammar_check import faults_of
from .playbook import (
    Play,
)

__all__ = ["check_count", "check_grammar", "check_integrity", "check_metadata", "check_row"]

ENDED = frozenset(Status) - {Status.IN_FLIGHT, Status.GATEWAY_CRASH}
ENDS = {
    "openai": (b"data: [DONE]\n", b'data: {"error":'),
    "anthropic": (b"event: message_stop\n", b"event: error\n"),
    "simple": (b'{"type":"done"',),
    "frames": (b'{"done":true',),
}


def check_grammar(play: Play) -> None:
    """A stream that was ended was ended once, by its marker or an error, and a whole one is legal."""
    if not play.of(EndClient):
        return
    client, body = play.facts.request.dialect, play.body
    assert sum(body.count(end) for end in ENDS[client]) == 1, body
    if play.row.status is Status.COMPLETED and play.facts.metadata in ("off", "comment", "chunk"):
        # Arguments pass as the model wrote them, and here nobody writes them to their end.
        faults = faults_of(client, body)
        assert {fault.rule for fault in faults} <= {"arguments_bad_json"}, (faults, body)


def check_count(play: Play, given: bytes) -> None:
    """What was counted is at most what came (FAULTS I6)."""
    row = play.row
    if row.usage_source == "counted":
        assert row.output_tokens is not None
        told = (b'"content"', b'"text_delta"', b'"arguments"', b'"thinking', b'"reasoning_content"')
        assert row.output_tokens <= sum(map(given.count, (*told, b'"partial_json"')))


def check_metadata(play: Play) -> None:
    """What the client was told of its row is the row, but for usage behind the marker (FAULTS I16)."""
    _, found, rest = play.body.partition(b": streamgauge ")
    if not found or play.row.status is not Status.COMPLETED:
        return
    told = json.loads(rest.partition(b"\n")[0])
    assert told.pop("request_id") == play.row.id
    if Anomaly.USAGE_AFTER_MARKER not in play.row.anomalies:
        assert told == {name: getattr(play.row, name) for name in told}


def check_row(play: Play, gone: bool) -> None:
    row = play.row
    assert row.status in ENDED
    assert row.success is not None
    assert row.delivered in set(Delivered)
    assert row.disposition in set(Disposition)
    assert set(row.anomalies) <= {anomaly.value for anomaly in Anomaly}
    assert row.finished_at is not None
    assert row.started_at <= row.finished_at
    assert row.attempts == len(play.of(Commit)[0].attempts)
    never = row.error_code == "ledger_unavailable" and play.opens == 1
    assert row.attempts == (0 if never else play.opens)
    assert (row.upstream is None) == never
    assert all(attempt.outcome is not None for attempt in play.of(Commit)[0].attempts)
    ended = play.of(EndClient, SendAnswer)
    assert len(ended) == (0 if gone else 1), "who is there is told the end, once"
    if gone:
        assert row.status is Status.CLIENT_DISCONNECTED
    check_numbers(play)
    check_times(play)


def check_times(play: Play) -> None:
    """No attempt has a time behind its own end, and content has a last one where it has a first."""
    row, attempts = play.row, play.of(Commit)[0].attempts
    for attempt in attempts:
        ended = (attempt.finished_at - row.started_at) / 1000
        times = (attempt.connected_ms, attempt.last_token_ms, attempt.usage_ms)
        assert all(0 <= time <= ended for time in times if time is not None)
    first, last = row.ttft_ms, attempts[-1].last_token_ms if attempts else None
    assert (first is None) == (last is None)
    assert first is None or first <= last


def check_integrity(play: Play) -> None:
    """The row says how many frames were sent, and their hash; a stamp tells of each (FAULTS I13)."""
    mode, row = play.facts.proof.mode, play.row
    if not play.of(SendHead) or not play.facts.reads(play.exchange.attempt):
        return
    request = play.facts.request
    protocol = "responses" if request.endpoint == "responses" else request.dialect
    checker = Check(protocol, mode, Expected(row.frames_out, row.stream_sha1))
    checker.feed(play.body)
    harmless = {Kind.INCOMPLETE, Kind.AFTER_END}  # it may have been cut, and told something behind
    findings = [each for each in checker.findings() if each.kind not in harmless]
    # What is no JSON has no place for a stamp in it.
    findings = [each for each in findings if each.kind is not Kind.UNSTAMPED or mode != "field"]
    assert not findings, (findings, play.body)
    if mode is not Integrity.OFF:
        assert (row.stream_sha1 is None) == (not checker.frames)


def check_numbers(play: Play) -> None:
    row = play.row
    sent = sum(len(a.data) for a in play.of(SendData)) + sum(
        len(a.body) for a in play.of(SendAnswer)
    )
    assert (row.bytes_out or 0) == sent
    if row.ttft_ms is not None and row.stream_duration_ms is not None:
        assert 0 <= row.ttft_ms <= row.stream_duration_ms
    if row.usage_source == "none":
        assert row.output_tokens is None
    if play.of(SendHead):
        assert row.http_status == 200
    for answer in play.of(SendAnswer):
        assert row.http_status == answer.status
