"""Whose stream ends whose: lanes by header, key and tools, and epochs that no late clean-up crosses."""

from __future__ import annotations

import json
import os
from typing import Any

import hypothesis.strategies as st
import pytest
from hypothesis import settings
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from streamgauge.core.chat import read_chat_request
from streamgauge.core.sessions import Lane, Sessions, Supersede, lane_of

FULL = os.environ.get("STREAMGAUGE_FULL") == "1"
OURS, FRONT_END = b"x-streamgauge-session", b"x-session-id"
TOOL = {"type": "function", "function": {"name": "f"}}


def lane(
    mode: str, headers: dict[bytes, str], *, key_id: str | None = None, **body: Any
) -> Lane | None:
    """Return the lane of a stream with these headers and further members of its body."""
    raw = json.dumps({"model": "m", "stream": True, "messages": [], **body}).encode()
    request = read_chat_request("chat/completions", raw, headers.get)
    return lane_of(Supersede(mode), key_id, request, headers.get)


@pytest.mark.parametrize(
    ("mode", "header", "session"),
    [
        ("explicit", OURS, "s"),
        ("explicit", FRONT_END, None),
        ("session", OURS, "s"),
        ("session", FRONT_END, "s"),
        ("session", b"x-claude-code-session-id", None),
        ("off", OURS, None),
        ("off", FRONT_END, None),
    ],
)
def test_only_the_headers_of_the_mode_supersede(
    mode: str, header: bytes, session: str | None
) -> None:
    found = lane(mode, {header: "s"})
    assert (None if found is None else found.session) == session


def test_a_session_that_is_only_in_the_body_supersedes_nothing() -> None:
    assert lane("session", {}, metadata={"user_id": "user_1_session_abc"}) is None


def test_ours_is_taken_before_the_front_ends_and_an_empty_one_is_none() -> None:
    both = lane("session", {OURS: "ours", FRONT_END: "theirs"})
    empty = lane("session", {OURS: " ", FRONT_END: "theirs"})
    assert both is not None
    assert empty is not None
    assert (both.session, empty.session) == ("ours", "theirs")


def test_keys_and_sessions_have_lanes_of_their_own() -> None:
    lanes = {lane("explicit", {OURS: s}, key_id=key) for s in ("a", "b") for key in (None, "k")}
    assert len(lanes) == 4


def test_names_that_differ_behind_what_a_row_shows_are_two_sessions() -> None:
    long = "s" * 300
    assert lane("explicit", {OURS: long}) == lane("explicit", {OURS: f" {long} "})
    assert lane("explicit", {OURS: f"{long}1"}) != lane("explicit", {OURS: f"{long}2"})


@pytest.mark.parametrize("tools", [{"tools": [TOOL]}, {"functions": [{"name": "f"}]}])
def test_calls_with_tools_have_another_lane_than_the_title_call_beside_them(
    tools: dict[str, Any],
) -> None:
    main, title = lane("session", {OURS: "s"}, **tools), lane("session", {OURS: "s"}, tools=[])
    assert main != title == lane("session", {OURS: "s"})
    assert lane("explicit", {OURS: "s"}, **tools) == lane("explicit", {OURS: "s"}, tools=[])


def test_what_is_no_stream_has_no_lane() -> None:
    assert lane("session", {OURS: "s"}, stream=False) is None


# --- epochs ---------------------------------------------------------------------------------------

LANE = Lane(None, "s")


def test_the_late_clean_up_of_an_old_stream_leaves_the_newer_one_alone() -> None:
    sessions = Sessions()
    first = sessions.begin(LANE, "a")
    assert sessions.vacate(LANE) == "a"
    assert sessions.begin(LANE, "b") > first
    assert sessions.ended("a") is False
    assert sessions.living(LANE) == "b"
    assert sessions.ended("b") is True
    assert (sessions.living(LANE), len(sessions)) == (None, 0)


def test_a_lane_that_is_taken_is_refused_and_so_is_a_stream_that_has_one() -> None:
    sessions = Sessions()
    sessions.begin(LANE, "a")
    for where, who in ((LANE, "b"), (Lane("k", "s"), "a")):
        with pytest.raises(ValueError, match="taken"):
            sessions.begin(where, who)
    assert len(sessions) == 1


def test_its_repr_tells_who_lives_and_who_is_cleaned_up() -> None:
    sessions = Sessions()
    sessions.begin(LANE, "a")
    sessions.vacate(LANE)
    sessions.begin(LANE, "b")
    assert repr(sessions) == "<Sessions living=1 known=2>"


def test_nothing_is_ended_twice_and_nothing_unknown_is_an_error() -> None:
    sessions = Sessions()
    assert sessions.vacate(LANE) is None
    sessions.begin(LANE, "a")
    assert [sessions.ended("a"), sessions.ended("a"), sessions.ended("z")] == [True, False, False]


class AnyOrder(RuleBasedStateMachine):
    """Starts, ends and clean-ups however late. The model: who began last in each lane, if he lives."""

    def __init__(self) -> None:
        super().__init__()
        self.sessions = Sessions()
        self.last: dict[Lane, str] = {}
        self.uncleaned: list[str] = []
        self.epochs: list[int] = []

    @rule(session=st.sampled_from("ab"), tools=st.sampled_from([None, True, False]))
    def starts(self, session: str, tools: bool | None) -> None:
        where, who = Lane(None, session, tools), f"stream-{len(self.epochs)}"
        assert self.sessions.vacate(where) == self.last.pop(where, None)
        self.epochs.append(self.sessions.begin(where, who))
        self.last[where] = who
        self.uncleaned.append(who)

    @precondition(lambda self: self.uncleaned)
    @rule(data=st.data())
    def is_cleaned_up(self, data: st.DataObject) -> None:
        who = self.uncleaned.pop(data.draw(st.integers(0, len(self.uncleaned) - 1)))
        lives = who in self.last.values()
        assert self.sessions.ended(who) is lives
        self.last = {where: other for where, other in self.last.items() if other != who}

    @invariant()
    def the_last_one_lives_and_nobody_is_forgotten(self) -> None:
        assert self.epochs == sorted(set(self.epochs))
        assert len(self.sessions) == len(self.uncleaned)
        lanes = [Lane(None, s, tools) for s in "ab" for tools in (None, True, False)]
        assert {w: self.sessions.living(w) for w in lanes} == {w: self.last.get(w) for w in lanes}

    def teardown(self) -> None:
        for who in self.uncleaned:
            self.sessions.ended(who)
        assert len(self.sessions) == 0


TestAnyOrder = AnyOrder.TestCase
TestAnyOrder.settings = settings(
    max_examples=2000 if FULL else 100, stateful_step_count=30, deadline=None
)
