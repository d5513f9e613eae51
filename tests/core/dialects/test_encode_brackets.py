"""When JSON that comes in pieces is whole."""

from __future__ import annotations

import itertools
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamgauge.core.dialects.brackets import Brackets

_VALUES = st.recursive(
    st.none()
    | st.integers()
    | st.text(max_size=5)
    | st.sampled_from(['"', "\\", '\\"{', "}", "]["]),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3)
    ),
)


def closed(*pieces: str) -> bool:
    brackets = Brackets()
    for piece in pieces:
        brackets.add(piece)
    return brackets.closed


@pytest.mark.parametrize("text", ["{}", "[]", ' {"a":[1,{"b":"}"}]} ', '{"a":"\\\\"}', '{"\\"":1}'])
def test_a_whole_object_is_closed_however_it_is_cut(text: str) -> None:
    assert closed(text)
    assert closed(*text)
    assert not any(closed(text[:at]) for at in range(len(text.rstrip())))


@pytest.mark.parametrize(
    "text", ["", " ", "null", "1", '"{}"', "{", '{"', '{"}', '{"a":"\\"}', "}"]
)
def test_what_is_no_whole_object_is_not(text: str) -> None:
    assert not closed(text)
    assert not closed(*text)


@given(st.dictionaries(st.text(max_size=3), _VALUES), st.data())
def test_any_object_is_closed_by_its_last_letter_alone(
    value: dict[str, Any], data: st.DataObject
) -> None:
    text = json.dumps(value, ensure_ascii=data.draw(st.booleans()))
    places = sorted({0, *data.draw(st.lists(st.integers(0, len(text)))), len(text)})
    pieces = [text[a:b] for a, b in itertools.pairwise(places)]
    brackets = Brackets()
    for piece in pieces:
        assert not data.draw(st.booleans()) or not brackets.closed
        brackets.add(piece)
    assert brackets.closed


def test_pieces_are_not_kept() -> None:
    brackets = Brackets()
    brackets.add('{"a":"')
    for _ in range(10_000):
        brackets.add("x\\")
    assert len(brackets._pending) <= 64
