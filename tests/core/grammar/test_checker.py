"""The checkers as a whole: whatever comes, however large and however cut, they read it and say where."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamgauge.core.grammar import PROTOCOLS, check, checker_of
from streamgauge.core.grammar.arguments import ARGUMENT_RULES, KEPT, Arguments
from streamgauge.core.grammar.finding import Sheet
from streamgauge.core.grammar.values import named

from .streams import (
    ADDED,
    ANTHROPIC,
    DONE,
    OPENAI,
    OVER,
    ROLE,
    SIMPLE,
    STOP,
    TEXT_BLOCK,
    TOOL_BLOCK,
    TOOLS,
    chunk,
    delta,
    ending,
    event,
    framed,
    said,
    stamped,
    start,
)

LARGE = "x" * 100_000
STREAMS = {
    "openai": [*OPENAI, *TOOLS],
    "anthropic": [*ANTHROPIC, *TOOL_BLOCK],
    "simple": SIMPLE,
    "frames": framed(stamped(*ADDED)),
}
_SCALARS = st.none() | st.booleans() | st.integers(-2, 3) | st.floats() | st.sampled_from(["", "x"])
_ODD = st.recursive(
    _SCALARS,
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.text(max_size=2), inner),
    max_leaves=4,
)


def test_a_checker_counts_the_frames_with_data() -> None:
    checker = checker_of("openai")
    checker.feed(b": hi\n\n" + ROLE + STOP)
    assert checker.frames == 2
    checker.feed(DONE)
    checker.end()
    assert checker.frames == 3


@pytest.mark.parametrize("size", [1000, 70_000, 1 << 20])
def test_a_frame_that_comes_in_pieces_is_read_as_one(size: int) -> None:
    large = [TEXT_BLOCK[0], delta(0, "text_delta", text=LARGE), TEXT_BLOCK[2]]
    body = b"".join([start(), *large, event("news"), ending(), OVER])
    checker = checker_of("anthropic")
    found = [f for at in range(0, len(body), size) for f in checker.feed(body[at : at + size])]
    (finding,) = (*found, *checker.end())
    assert (finding.rule, finding.frame) == ("event_unknown", 5)
    assert body[finding.offset :].startswith(b"event: news\n")


def test_nothing_is_read_behind_a_frame_that_is_too_large() -> None:
    checker = checker_of("openai")
    found = [*checker.feed(ROLE), *checker.feed(b"data: " + b"x" * (33 << 20))]
    assert [f.rule for f in found] == ["frame_too_large"]
    assert checker.feed(chunk(said(content="a"), id="d") + DONE) == []
    assert {f.rule for f in checker.end()} == {"done_missing", "finish_missing"}


@pytest.mark.parametrize(("more", "rules"), [(0, ["arguments_bad_json"]), (1, [])])
def test_arguments_are_judged_up_to_a_length_no_model_writes(more: int, rules: list[str]) -> None:
    sheet, arguments = Sheet(ARGUMENT_RULES), Arguments()
    for piece in ("[", " " * (KEPT - 1 + more)):
        arguments.add(piece)
    arguments.judge(sheet, "call 0")
    assert [finding.rule for finding in sheet.take()] == rules
    assert not arguments.empty


@pytest.mark.parametrize(
    ("value", "name"),
    [
        (None, "null"),
        (True, "a boolean"),
        ("", "a string"),
        (0, "a number"),
        (0.5, "a number"),
        ([], "an array"),
        ({}, "an object"),
    ],
)
def test_a_value_is_named_as_json_names_it(value: object, name: str) -> None:
    assert named(value) == name


def _members(value: object, path: tuple[str | int, ...] = ()) -> list[tuple[str | int, ...]]:
    """Return the way to every member and item in a JSON value."""
    items: list[tuple[str | int, object]] = []
    if isinstance(value, dict):
        items = list(value.items())
    elif isinstance(value, list):
        items = list(enumerate(value))
    return [way for key, inner in items for way in ((*path, key), *_members(inner, (*path, key)))]


def _changed(pieces: list[bytes], at: int, odd: object) -> bytes:
    """Return a stream with its member number `at`, of all there are, put to `odd`."""
    places = [
        (number, way)
        for number, piece in enumerate(pieces)
        if (opening := piece.find(b"{")) >= 0
        for way in _members(json.loads(piece[opening:]))
    ]
    number, way = places[at % len(places)]
    head, _, text = pieces[number].partition(b"{")
    frame = inner = json.loads(b"{" + text)
    for key in way[:-1]:
        inner = inner[key]
    inner[way[-1]] = odd
    end = pieces[number][len(pieces[number].rstrip()) :]
    broken = head + json.dumps(frame).encode() + end
    return b"".join((*pieces[:number], broken, *pieces[number + 1 :]))


@pytest.mark.parametrize("protocol", STREAMS)
@given(at=st.integers(0, 10_000), odd=_ODD)
def test_a_member_of_any_value_makes_no_checker_raise(protocol: str, at: int, odd: object) -> None:
    for finding in check(protocol, _changed(STREAMS[protocol], at, odd)):
        assert finding.rule in PROTOCOLS[protocol]
