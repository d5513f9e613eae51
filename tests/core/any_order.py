"""A state machine that feeds one exchange its inputs in any order, impossible ones among them."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import hypothesis.strategies as st
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
    SendRequest,
)
from streamgauge.core.record import Status

from .machine_checks import check_count, check_integrity, check_metadata, check_row
from .machine_inputs import ATTEMPTS, DATA, FACTS, HEADS, REQUESTS, WHOLES, stream_of
from .playbook import (
    Play,
)
from .upstream_wires import UPSTREAMS

__all__ = ["AnyOrder"]


class AnyOrder(RuleBasedStateMachine):
    """Feeds one exchange; the invariants look at all of its actions after each input."""

    most_opens = 2

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
        reads = name in ("upstream_data", "passes")
        actions = self.play.read(*args) if reads else self.play.do(name, *args, **named)
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

    @rule(body=WHOLES, declared=st.booleans())
    def answers_at_once(self, body: bytes, declared: bool) -> None:
        self.connects()
        self.give("attempt_head", 200, "application/json" if declared else self.media, None)
        self.give("upstream_data", body)
        self.give("upstream_end", "complete")

    @rule(kind=st.sampled_from(["complete", "cut", "reset", "protocol"]))
    def ends(self, kind: str) -> None:
        self.give("upstream_end", kind)

    @rule(may_drain=st.booleans(), slow=st.booleans())
    def leaves(self, may_drain: bool, slow: bool) -> None:
        self.gone = self.gone or not self.play.of(EndClient, SendAnswer)
        self.give("client_gone", may_drain=may_drain, slow_reader=slow)

    @rule(name=st.sampled_from(["client_blocked", "client_writable", "client_away", "client_back"]))
    def waits(self, name: str) -> None:
        self.give(name)

    @rule(name=st.sampled_from(["stop", "supersede", "shutdown", "broken"]))
    def ends_from_outside(self, name: str) -> None:
        self.give(name)

    @rule()
    def is_looked_at(self) -> None:
        """Who asks how it stands changes nothing, whenever he does."""
        exchange = self.play.exchange
        self.play.look("so_far")  # what has passed is counted when somebody asks
        before = replace(exchange.record)
        row = self.play.look("so_far")
        assert exchange.record == before
        assert (row.status is Status.IN_FLIGHT) is not bool(self.play.of(Commit))

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
        assert self.play.opens <= self.most_opens
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
        check_integrity(self.play)

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
