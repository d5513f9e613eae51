"""Any order of inputs, also impossible ones, gives an exchange exactly one legal end."""

from __future__ import annotations

import inspect
import json
import os
from typing import Any

import hypothesis.strategies as st
from hypothesis import given, settings
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from streamgauge.core.actions import (
    BeginAttempt,
    BeginRecord,
    CloseUpstream,
    Commit,
    EndClient,
    OpenUpstream,
    SendAnswer,
    SendData,
    SendHead,
    SendRequest,
)
from streamgauge.core.attempt import Drain, Limits
from streamgauge.core.exchange import Exchange
from streamgauge.core.record import Anomaly, Delivered, Disposition, Status

from ..grammar_check import faults_of
from .playbook import (
    DONE,
    FINISH,
    PRICE,
    ROLE,
    SSE,
    USAGE,
    Play,
    chat_request,
    chunk,
    request_of,
    text,
)
from .upstream_wires import CLIENTS, UPSTREAMS

ENDED = frozenset(Status) - {Status.IN_FLIGHT, Status.GATEWAY_CRASH}
REFUSAL = b'{"error": {"message": "unknown field stream_options"}}'
MESSAGE = b'event: message_stop\ndata: {"type": "message_stop"}\n\n'
MESSAGE_PARTS = (
    b'event: message_start\ndata: {"type": "message_start", "message": {"id": "m", "model": "m", '
    b'"usage": {"input_tokens": 9, "output_tokens": 1}}}\n\n',
    b'event: content_block_delta\ndata: {"type": "content_block_delta", "index": 0, '
    b'"delta": {"type": "text_delta", "text": "a"}}\n\n',
    b'event: message_delta\ndata: {"type": "message_delta", "delta": {"stop_reason": "end_turn"}, '
    b'"usage": {"output_tokens": 4}}\n\n',
)
FULL = os.environ.get("STREAMGAUGE_FULL") == "1"

REQUESTS = st.sampled_from(
    [
        chat_request(),
        chat_request(stream_options={"include_usage": True}),
        chat_request(stream=False),
        chat_request("messages", max_tokens=1),
        chat_request("completions", prompt="x"),
        chat_request("responses", input="x"),
    ]
)
ATTEMPTS = st.fixed_dictionaries(
    {
        "on_disconnect": st.sampled_from(["auto", "cancel", "drain"]),
        "price": st.sampled_from([None, PRICE]),
        "inject_usage": st.sampled_from(["true", "false", "force"]),
        "limits": st.sampled_from([Limits(), Limits(2, 2, 0), Limits(0, 0, 9)]),
        "drain": st.sampled_from([Drain(), Drain(3, 2)]),
        "running_usage": st.booleans(),
    }
)
FACTS = st.fixed_dictionaries(
    {
        "metadata": st.sampled_from("off comment chunk event after_done".split()),
        "metering": st.sampled_from([True, True, True, False]),
        "begin_first": st.sampled_from([True, True, False]),
        "keepalive_seconds": st.sampled_from([0.0, 1.0]),
    }
)
TRANSLATED = st.tuples(
    st.sampled_from([request_of(client) for client in CLIENTS]),
    st.sampled_from(sorted(UPSTREAMS)),
)
WHOLE_TRANSLATED = st.tuples(
    st.sampled_from([request_of(client, stream=False) for client in CLIENTS]),
    st.sampled_from(sorted(UPSTREAMS)),
)
SAID = tuple(
    frame
    for wire in UPSTREAMS.values()
    for frame in (*wire.stream("text"), *wire.stream("call"), *wire.stream("thought"), wire.alive)
)
ENDS = {
    "openai": (b"data: [DONE]\n", b'data: {"error":'),
    "anthropic": (b"event: message_stop\n", b"event: error\n"),
    "simple": (b'{"type":"done"',),
    "frames": (b'{"done":true',),
}
FRAMES = (
    ROLE,
    text("a"),
    FINISH,
    USAGE,
    DONE,
    MESSAGE,
    *MESSAGE_PARTS,
    chunk(error={"message": "broke"}),
    b": ping\n\n",
    b"\n",
    b"data: {broken\n\n",
    b'{"choices": [{"message": {"content": "x"}}]}',
    REFUSAL,
    b"data: " + b"x" * 66_000,
    chunk(choices=[{"index": 1, "delta": {"content": "b"}, "finish_reason": "stop"}]),
    chunk(choices=[{"index": 0, "delta": {"content": "b"}, "finish_reason": "error"}]),
    *dict.fromkeys(SAID),
)
FRAME = st.integers(0, len(FRAMES) - 1).map(lambda number: FRAMES[number])
DATA = st.one_of(
    FRAME,
    st.lists(FRAME, min_size=1, max_size=4).map(b"".join),
    st.tuples(FRAME, st.integers(1, 40)).map(lambda cut: cut[0][: cut[1]]),
)
HEADS = st.sampled_from(
    [
        (200, SSE, None),
        (200, SSE, None),
        (200, "application/json", None),
        (200, None, None),
        (200, "text/html", None),
        (400, "application/json", "9"),
        (500, "text/html", None),
        (302, None, None),
        (204, None, None),
        (200, "application/x-ndjson", None),
    ]
)


def stream_of(play: Play, count: int, whole: bool) -> list[bytes]:
    """Return a stream of `count` frames of text, with its usage and its end where it is whole."""
    if (dialect := play.facts.attempts[0].dialect) is not None:
        wire = UPSTREAMS[dialect]
        opened, said, *closed = wire.text if dialect == "anthropic" else (b"", wire.text[0])
        ended = [*closed[-1:], wire.finish["stop"], wire.usage, wire.end["stop"]]
        frames = [wire.start, opened, *[said] * count, *(ended if whole else [])]
        return [frame for frame in frames if frame]
    if play.facts.request.endpoint == "messages":
        start, text_delta, stop = MESSAGE_PARTS
        return [start, *[text_delta] * count, *([stop, MESSAGE] if whole else [])]
    return [*[text("a")] * count, *([FINISH, USAGE, DONE] if whole else [])]


class AnyOrder(RuleBasedStateMachine):
    """Feeds one exchange; the invariants look at all of its actions after each input."""

    def __init__(self) -> None:
        super().__init__()
        self.play = Play()
        self.gone = False
        self.dead = False
        self.begun = 0
        self.given = b""

    @initialize(
        request=REQUESTS,
        attempt=ATTEMPTS,
        facts=FACTS,
        kind=st.sampled_from(["openai", "llamacpp"]),
    )
    def begin(
        self, request: Any, attempt: dict[str, Any], facts: dict[str, Any], kind: str
    ) -> None:
        self.play = Play(request, kind=kind, attempt=attempt, **facts)
        self.give("start")

    def give(self, name: str, *args: Any, **named: Any) -> None:
        over = bool(self.play.of(Commit))
        self.dead = self.dead or name in ("attempt_failed", "upstream_end")
        self.begun += name == "begun"
        self.given += args[0] if name == "upstream_data" else b""
        actions = self.play.do(name, *args, **named)
        assert not (over and actions), "in DONE every input answers with no action"

    @rule(seconds=st.sampled_from([0.0, 0.005, 0.5, 1.1, 3.0, 20.0]))
    def tick(self, seconds: float) -> None:
        self.play.now += seconds
        self.give("tick")

    @rule(name=st.sampled_from(["begun", "connected", "begun", "connected", "begin_failed"]))
    def begins(self, name: str) -> None:
        self.give(name)

    @rule()
    def connects(self) -> None:
        self.give("begun")
        self.give("connected")

    @rule(
        kind=st.sampled_from(
            ["refused", "dns", "tls", "connect_timeout", "protocol", "reset", "closed"]
        )
    )
    def fails(self, kind: str) -> None:
        self.give("attempt_failed", kind)

    @rule(head=HEADS)
    def head(self, head: tuple[int, str | None, str | None]) -> None:
        self.give("attempt_head", *head)

    @rule(data=DATA)
    def data(self, data: bytes) -> None:
        self.give("upstream_data", data)

    @rule(data=DATA, more=DATA)
    def streams(self, data: bytes, more: bytes) -> None:
        self.connects()
        self.give("attempt_head", 200, self.media, None)
        self.give("upstream_data", data)
        self.give("upstream_data", more)

    @property
    def media(self) -> str:
        """What a stream of this upstream is declared as."""
        return UPSTREAMS[self.play.facts.attempts[0].dialect or "openai"].media

    @rule(count=st.integers(0, 4), whole=st.booleans())
    def answers(self, count: int, whole: bool) -> None:
        self.connects()
        self.give("attempt_head", 200, self.media, None)
        for frame in stream_of(self.play, count, whole):
            self.give("upstream_data", frame)

    @rule(kind=st.sampled_from(["complete", "cut", "reset", "protocol"]))
    def ends(self, kind: str) -> None:
        self.give("upstream_end", kind)

    @rule(may_drain=st.booleans(), slow=st.booleans())
    def leaves(self, may_drain: bool, slow: bool) -> None:
        self.gone = self.gone or not self.play.of(EndClient, SendAnswer)
        self.give("client_gone", may_drain=may_drain, slow_reader=slow)

    @rule(name=st.sampled_from(["client_blocked", "client_writable"]))
    def waits(self, name: str) -> None:
        self.give(name)

    @rule(name=st.sampled_from(["stop", "shutdown"]))
    def ends_from_outside(self, name: str) -> None:
        self.give(name)

    # --- what must hold --------------------------------------------------------------------------

    @invariant()
    def the_client_is_told_in_order(self) -> None:
        words = self.play.told.split()
        if not words:
            return
        if words[0] == "answer":
            assert words == ["answer"]
        else:
            assert words[0] == "head"
            assert words.count("head") == 1
            assert words.count("end") <= 1
            assert "end" not in words[:-1]
            assert "answer" not in words

    @invariant()
    def the_upstream_is_opened_and_closed_in_turn(self) -> None:
        is_open = False
        for action in self.play.log:
            if isinstance(action, OpenUpstream):
                assert not is_open or self.dead
                is_open = True
            elif isinstance(action, CloseUpstream):
                assert is_open
                is_open = False
        assert len(self.play.of(BeginRecord)) == 1
        assert self.play.opens <= 2
        assert len(self.play.requests) <= self.play.opens
        assert len(self.play.of(BeginAttempt)) == self.play.opens - 1

    @invariant()
    def nothing_is_sent_upstream_before_the_row(self) -> None:
        if self.play.facts.begin_first:
            assert len(self.play.of(SendRequest)) <= self.begun

    @invariant()
    def an_empty_piece_is_never_sent(self) -> None:
        assert all(action.data for action in self.play.of(SendData))

    @invariant()
    def it_ends_once_and_with_everything_said(self) -> None:
        commits = self.play.of(Commit)
        if not commits:
            assert self.play.exchange.record.status in (Status.IN_FLIGHT, Status.COMPLETED)
            return
        assert len(commits) == 1
        assert self.play.log[-1] is commits[0]
        check_row(self.play, self.gone)

    def teardown(self) -> None:
        """Whatever came, the upstream's end and time bring it to its end."""
        if not self.play.log:
            return  # it ran out of data before it had begun
        self.play.now += 1.0
        for kind in ("complete", "cut"):
            self.give("upstream_end", kind)
        self.give("stop")
        assert len(self.play.of(Commit)) == 1
        self.the_client_is_told_in_order()
        self.it_ends_once_and_with_everything_said()
        check_count(self.play, self.given)
        check_metadata(self.play)


class AnyOrderTranslated(AnyOrder):
    """The same of an exchange that is translated, and its client's grammar beside."""

    @initialize(
        asked=st.one_of(TRANSLATED, TRANSLATED, TRANSLATED, WHOLE_TRANSLATED),
        attempt=ATTEMPTS,
        facts=FACTS,
        kind=st.sampled_from(["openai", "llamacpp", "ollama"]),
    )
    def begin(self, asked: Any, attempt: dict[str, Any], facts: dict[str, Any], kind: str) -> None:
        request, dialect = asked
        self.play = Play(request, kind=kind, attempt={**attempt, "dialect": dialect}, **facts)
        self.give("start")

    def teardown(self) -> None:
        super().teardown()
        if self.play.log:
            check_grammar(self.play)


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


def test_every_input_of_an_exchange_is_among_those_that_are_tried() -> None:
    names = [name for name, _ in inspect.getmembers(Exchange, inspect.isfunction)]
    inputs = {name for name in names if not name.startswith("_")}
    source = inspect.getsource(AnyOrder)
    assert {name for name in inputs if f'"{name}"' not in source} == set()


@given(
    endpoint=st.sampled_from(["chat/completions", "messages"]),
    count=st.integers(0, 5),
    whole=st.booleans(),
    end=st.sampled_from(["complete", "cut", "reset"]),
)
def test_a_stream_by_itself_is_counted_and_told(
    endpoint: str, count: int, whole: bool, end: str
) -> None:
    play = Play(chat_request(endpoint), metadata="comment")
    frames = stream_of(play, count, whole)
    play.stream(*frames, end=end)
    play.do("stop")
    check_count(play, b"".join(frames))
    check_metadata(play)
    assert (play.row.status is Status.COMPLETED) is whole
    assert (b": streamgauge " in play.body) is whole


def check_row(play: Play, gone: bool) -> None:
    row = play.row
    assert row.status in ENDED
    assert row.success is not None
    assert row.delivered in set(Delivered)
    assert row.disposition in set(Disposition)
    assert set(row.anomalies) <= {anomaly.value for anomaly in Anomaly}
    assert row.finished_at is not None
    assert row.started_at <= row.finished_at
    assert row.attempts == len(play.of(Commit)[0].attempts) == play.opens
    assert all(attempt.outcome is not None for attempt in play.of(Commit)[0].attempts)
    ended = play.of(EndClient, SendAnswer)
    assert len(ended) == (0 if gone else 1), "who is there is told the end, once"
    if gone:
        assert row.status is Status.CLIENT_DISCONNECTED
    check_numbers(play)


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


AnyOrder.TestCase.settings = settings(
    max_examples=2000 if FULL else 200, stateful_step_count=14, deadline=None
)
TestAnyOrder = AnyOrder.TestCase
AnyOrderTranslated.TestCase.settings = AnyOrder.TestCase.settings
TestAnyOrderTranslated = AnyOrderTranslated.TestCase
