"""A fault of ours ends its exchange in one row, closes what was open and lets nobody wait."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from time import monotonic
from types import SimpleNamespace
from typing import Any

import pytest

from streamgauge.config.upstream import Upstream
from streamgauge.core.actions import Action, OpenUpstream
from streamgauge.core.integrity import Integrity
from streamgauge.core.integrity_proof import Proof
from streamgauge.core.record import ExchangeRecord
from streamgauge.core.verdict import Breaking
from streamgauge.gateway.http import EndKind
from streamgauge.gateway.legs import Leg
from streamgauge.gateway.relay import Relay
from streamgauge.gateway.upstreams import UpstreamRuntime

from ..core.playbook import DONE, FINISH, ROLE, SSE, Play, text

HEAD = ((b"content-type", SSE.encode()),)


class Fault(Exception):
    """Planted by a test."""


class Broken:
    """Raises at the call that is named, `at` its n-th time: `send`, `send 2`; `send 2+`: from then on."""

    def __init__(self, at: str) -> None:
        self._at, _, times = at.partition(" ")
        self._left, self._goes_on = int(times.rstrip("+") or 1), times.endswith("+")

    def reach(self, place: str) -> None:
        self._left -= place == self._at
        if place == self._at and (self._left == 0 or (self._left < 0 and self._goes_on)):
            raise Fault(place)


class Responder:
    """A client: what it got, and how it ended."""

    def __init__(self, broken: Broken) -> None:
        self.broken, self.said, self.over = broken, b"", ""

    def subscribe(self, events: Any) -> None:
        self.broken.reach("subscribe")

    def send_head(self, status: int, headers: Any, length: int | None) -> None:
        self.broken.reach("send_head")
        self.said += b"%d " % status

    def send(self, data: bytes) -> None:
        self.broken.reach("send")
        if not self.said:
            raise RuntimeError("a head comes first")
        self.said += data

    def end(self) -> None:
        self.broken.reach("end")
        if not self.said:
            raise RuntimeError("a head comes first")
        self.over = self.over or "ended"

    def abort(self) -> None:
        self.over = self.over or "aborted"


class Call:
    """An upstream's call."""

    def __init__(self, broken: Broken) -> None:
        self.broken, self.closed = broken, False

    def send(self, data: bytes) -> None:
        self.broken.reach("send_request")

    def pause(self) -> None: ...

    def resume(self) -> None: ...

    def close(self) -> None:
        self.closed = True


class Owner:
    """A server with its ledger."""

    def __init__(self, broken: Broken) -> None:
        self.broken = broken
        self.rows: list[ExchangeRecord] = []
        self.ended: list[str] = []
        self.calls: list[Call] = []

    @property
    def ledger(self) -> Any:
        return self

    def begin(self, record: Any, attempt: Any, done: Callable[[None], None]) -> None:
        self.broken.reach("begin")
        done(None)

    def close(self, record: ExchangeRecord, attempts: Any) -> None:
        self.rows.append(record)
        self.broken.reach("close")

    def open_upstream(self, upstream: Any, events: Any) -> Call:
        self.broken.reach("open_upstream")
        self.calls.append(Call(self.broken))
        return self.calls[-1]

    def call_later(self, delay: float, call: Any) -> asyncio.Handle:
        self.broken.reach("call_later")
        return asyncio.Handle(call, (), asyncio.new_event_loop())

    def relay_ended(self, exchange: Any, record: ExchangeRecord) -> None:
        self.ended.append(record.id)
        self.broken.reach("relay_ended")


class World:
    """One stream through a relay, with a fault planted `at` one place; `told`: what was logged."""

    def __init__(self, at: str, *, attempts: int = 1) -> None:
        broken = Broken(at)
        proof = Proof(Integrity.LEDGER, emitted=lambda _: broken.reach("observe"))
        context = {"context_total": lambda: broken.reach("book")}
        self.play = Play(proof=proof, metadata="off", attempt=context)
        self.owner, self.responder = Owner(broken), Responder(broken)
        upstream = Upstream(name="up", kind="openai", base_url="http://127.0.0.1:9")
        legs = [Leg(UpstreamRuntime(upstream), "/v1/chat/completions", ())]
        self.relay = Relay(self.owner, self.play.exchange, self.responder, legs)

    def run(self, *pieces: bytes) -> None:
        """Play all of it, or an answer that stands behind `pieces`, as its connections would."""
        relay = self.relay
        relay.start(monotonic())
        if self.owner.calls:
            relay.upstream_connected()
            relay.upstream_head(200, HEAD)
            for piece in pieces or (ROLE, text("a"), text("b"), FINISH, DONE):
                relay.upstream_data(piece)
            relay.tick()
            if not pieces:
                relay.upstream_end(EndKind.COMPLETE, "")


PLACES = {
    "begin": ("rejected", "ended"),
    "open_upstream": ("rejected", "ended"),
    "send_request": ("shutdown", "ended"),
    "send_head": ("shutdown", "aborted"),
    "send": ("shutdown", "ended"),
    "send 3": ("shutdown", "ended"),
    "observe": ("shutdown", "ended"),
    "observe 3": ("shutdown", "ended"),
    "book": ("shutdown", "ended"),
    "end": ("completed", "aborted"),
    "call_later": ("completed", "ended"),
    "close": ("completed", "ended"),
    "relay_ended": ("completed", "ended"),
}
"""Where a fault is planted: the row's status, and how the client's answer ends."""


@pytest.mark.parametrize("place", PLACES)
def test_wherever_we_fail_there_is_one_row_and_nobody_waits(
    place: str, caplog: pytest.LogCaptureFixture
) -> None:
    world = World(place)
    world.run()
    owner, responder = world.owner, world.responder
    [row] = owner.rows
    assert owner.ended == [row.id]
    assert (row.status, responder.over) == PLACES[place]
    assert row.success is (row.status == "completed")
    assert [call.closed for call in owner.calls if row.status == "shutdown"] in ([], [True])
    told = [record.getMessage() for record in caplog.records if record.exc_info]
    assert told[0].startswith(f"exchange_failed id={row.id} where=")


def test_who_has_part_of_an_answer_is_told_of_the_fault() -> None:
    world = World("observe 3")
    world.run()
    assert world.responder.said.startswith(b"200 data: ")
    assert b"the gateway failed on this answer" in world.responder.said
    assert world.responder.said.endswith(b"\n\n")
    [row] = world.owner.rows
    assert (row.error_code, row.error_message) == (
        "overloaded",
        "the gateway failed on this answer",
    )


def test_a_fault_behind_a_fault_still_writes_the_row_and_lets_the_client_go(
    caplog: pytest.LogCaptureFixture,
) -> None:
    world = World("observe 3+")  # its error end fails as well
    world.run()
    [row] = world.owner.rows
    assert (row.status, world.responder.over) == ("shutdown", "aborted")
    assert len([each for each in caplog.records if each.exc_info]) == 2


def test_where_not_even_its_row_can_be_filled_in_it_is_closed_as_it_stands(
    caplog: pytest.LogCaptureFixture,
) -> None:
    world = World("book 1+")
    world.run(ROLE, text("a"))
    world.relay.stop()
    owner = world.owner
    [row] = owner.rows
    assert owner.ended == [row.id], "else its place among the key's streams were taken for good"
    assert (row.status, row.success, row.error_code) == ("cancelled", False, "stream_cancelled")
    assert (row.usage_source, row.finished_at is None) == ("counted", False)
    assert [call.closed for call in owner.calls] == [True]
    assert world.responder.over == "aborted"
    assert len([each for each in caplog.records if each.exc_info]) == 3


class Lost:
    """A machine that fails, and with it what it wanted done."""

    facts, delivers = SimpleNamespace(id="exchange-id-00001"), False

    def start(self, now: float) -> list[Action]:
        return [OpenUpstream(0)]

    def tick(self, now: float) -> list[Action]:
        raise Fault("tick")

    def broken(self, now: float, way: Breaking) -> list[Action]:
        return []


def test_a_call_is_closed_though_the_machine_does_not_ask_for_it_any_more() -> None:
    world = World("nowhere")
    lost: Any = Lost()
    world.relay.exchange = lost
    world.relay.start(monotonic())
    world.relay.tick()
    assert [call.closed for call in world.owner.calls] == [True]
    assert world.responder.over == "aborted"
