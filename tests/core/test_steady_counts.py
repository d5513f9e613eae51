"""Frames that pass are counted some at a time; who asks finds each of them counted all the same."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

import hypothesis.strategies as st
import pytest
from hypothesis import given

from streamgauge.core.actions import Commit
from streamgauge.core.attempt import Allowance, Limits
from streamgauge.core.errors import ErrorCode, GatewayError
from streamgauge.core.integrity import Integrity
from streamgauge.core.integrity_proof import Proof
from streamgauge.core.record import Status
from streamgauge.core.verdict import Breaking

from .playbook import DONE, FINISH, ROLE, USAGE, Play, text

BATCH = 32
ENDS: dict[str, tuple[Any, ...]] = {
    **dict.fromkeys(("client_gone", "stop", "supersede", "shutdown"), ()),
    "broken": (),
    "upstream_end": ("cut",),
    "attempt_failed": ("reset",),
}


def pair(**more: Any) -> tuple[Play, Play]:
    """Return two plays whose stream has begun: of the first one frames pass, the other's do not."""
    plays = tuple(Play(proof=Proof(mode=Integrity.LEDGER), **more) for _ in range(2))
    for play in plays:
        play.head()
        play.do("upstream_data", ROLE)
        play.do("upstream_data", text("first"))
    passing, decoded = plays
    return passing, decoded


def read(plays: tuple[Play, Play], said: str, step: float = 0.02) -> None:
    passing, decoded = plays
    for play in plays:
        play.now += step
    frame = text(said)
    assert passing.exchange.passes(frame, 1000.0 + passing.now) == frame
    decoded.do("upstream_data", frame)


def rows(plays: tuple[Play, Play], look: str) -> list[Any]:
    """Return what each play shows to one who looks."""
    if look == "so_far":
        return [asdict(play.look("so_far")) for play in plays]
    return [getattr(play.exchange, look) for play in plays]


@pytest.mark.parametrize("frames", [1, BATCH - 1, BATCH, BATCH + 1, 70])
@pytest.mark.parametrize("look", ["so_far", "parsed_frames", "last_content_at"])
def test_who_looks_finds_all_counted(look: str, frames: int) -> None:
    plays = pair()
    for number in range(frames):
        read(plays, f"word{number}")
    ours, decoded = rows(plays, look)
    assert ours == decoded
    assert plays[0].look("so_far").frames_in == frames + 2


@pytest.mark.parametrize("frames", [1, BATCH, 70])
@pytest.mark.parametrize("end", ENDS)
def test_however_it_ends_all_is_in_the_row(end: str, frames: int) -> None:
    plays = pair()
    for number in range(frames):
        read(plays, f"word{number}")
    for play in plays:
        play.do(end, *ENDS[end])
    ours, decoded = (asdict(play.row) for play in plays)
    assert ours == decoded
    assert ours["frames_in"] == frames + 2
    assert ours["bytes_out"] > frames * len(text(""))


@pytest.mark.parametrize("way", list(Breaking))
def test_so_it_is_when_a_fault_of_ours_ends_it(way: Breaking) -> None:
    plays = pair()
    for number in range(5):
        read(plays, f"word{number}")
    for play in plays:
        play.log += play.exchange.broken(1000.0 + play.now, way)
    ours, decoded = (asdict(play.row) for play in plays)
    assert ours == decoded
    assert ours["bytes_in"] == len(ROLE) + len(text("first")) + 5 * len(text("word0"))


def test_the_time_of_the_last_frame_is_what_a_deadline_begins_at() -> None:
    plays = pair(attempt={"limits": Limits(0, 2, 0)}, keepalive_seconds=1.5)
    for number in range(8):
        read(plays, f"word{number}", 1.4)
    for wait, dead in ((0.05, False), (1.0, False), (0.5, False), (0.4, False), (0.1, True)):
        actions = []
        for play in plays:
            play.now += wait
            actions.append(play.do("tick"))
        assert actions[0] == actions[1]
        assert bool(plays[0].of(Commit)) is dead


def test_a_pause_counts_for_no_deadline() -> None:
    plays = pair(attempt={"limits": Limits(0, 2, 0)})
    for number in range(3):
        read(plays, f"word{number}", 1.4)
    for name, wait in (("client_blocked", 1.0), ("client_writable", 30.0), ("tick", 0.9)):
        for play in plays:
            play.now += wait
            play.do(name)
            assert play.of(Commit) == []
    for play in plays:
        play.now += 0.2
        play.do("tick")
        assert play.row.status is Status.UPSTREAM_TIMEOUT


def test_what_waits_to_be_counted_is_bounded() -> None:
    plays = pair()
    most = 0
    for number in range(200):
        read(plays, f"word{number}")
        steady = plays[0].exchange._steady
        assert steady is not None
        most = max(most, len(steady._inside))
    assert most == BATCH - 1, "the next one has them counted"


def test_streams_that_run_together_are_counted_in_turns() -> None:
    counted: set[int] = set()
    for microseconds in range(BATCH):
        play = Play(proof=Proof(mode=Integrity.LEDGER))
        play.head()
        play.do("upstream_data", ROLE)
        play.exchange._books.meter.started += microseconds * 1e-6
        play.do("upstream_data", text("first"))
        steady = play.exchange._steady
        assert steady is not None
        passed = 0
        while steady._inside or not passed:
            play.read(text("more"))
            passed += 1
        counted.add(passed)
    assert len(counted) > BATCH * 3 // 4


@pytest.mark.parametrize("most", range(100, 100 + BATCH, 5))
def test_the_frame_that_reaches_a_bound_is_not_taken(most: int) -> None:
    allowance = Allowance(most, GatewayError(402, ErrorCode.LIMIT_REACHED, "no money"))
    passing, decoded = plays = pair(allowance=allowance)
    for number in range(most - 2):
        read(plays, f"word{number}")
    assert passing.exchange.passes(text("last"), 1000.0 + passing.now) is None
    for play in plays:
        play.do("upstream_data", text("last"))
        assert (play.row.status, play.row.output_tokens) == (Status.LIMIT_REACHED, most)
    assert asdict(passing.row) == asdict(decoded.row)


STEPS = st.one_of(
    st.integers(1, 80),  # frames that pass
    st.sampled_from([text('"'), text(""), b": ping\n\n", text("a") + text("b"), FINISH, USAGE]),
    st.sampled_from(["so_far", "parsed_frames", "last_content_at"]),
    st.sampled_from(["tick", "client_blocked", "client_writable", "client_away", "client_back"]),
)


@given(steps=st.lists(STEPS, max_size=25), end=st.sampled_from([*ENDS, "marker"]))
def test_whoever_looks_or_does_something_at_any_time(steps: list[Any], end: str) -> None:
    plays = pair(keepalive_seconds=2.0, attempt={"limits": Limits(0, 60, 0)})
    for step in steps:
        for play in plays:
            play.now += 0.7
        if isinstance(step, int):
            for number in range(step):
                for play in plays:
                    play.now += 0.02
                plays[0].read(text(f" w{number}"))
                plays[1].do("upstream_data", text(f" w{number}"))
        elif isinstance(step, bytes):
            assert plays[0].do("upstream_data", step) == plays[1].do("upstream_data", step)
        elif hasattr(Play, step) or step in ("so_far", "parsed_frames", "last_content_at"):
            ours, decoded = rows(plays, step)
            assert ours == decoded
        else:
            assert plays[0].do(step) == plays[1].do(step)
    for play in plays:
        if end == "marker":
            play.do("upstream_data", DONE)
            play.do("upstream_end", "complete")
        else:
            play.do(end, *ENDS[end])
        play.do("client_back")
        play.do("client_gone")
        play.do("tick", at=play.now + 100)
    ours, decoded = (asdict(play.row) for play in plays)
    assert ours == decoded
    assert plays[0].body == plays[1].body
