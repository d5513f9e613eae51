"""A call's arguments repaired in pieces: what is legal stays, and cuts change nothing."""

from __future__ import annotations

import json
import time
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamgauge.core.transform.argument_repair import ArgumentRepair

REPAIRED = [
    ('{"filePath":"/a","filePath":"/a","x":1}', '{"filePath":"/a","x":1}'),
    ('{"filePath":"/ü.py","x":1,"filePath":"/\\u00fc.py"}', '{"filePath":"/ü.py","x":1}'),
    ('{"path":"/u\u0308","path":"/\u00fc"}', '{"path":"/u\u0308"}'),
    ('{"a":{"x":[1]} , "a" : {"x": [1]} }', '{"a":{"x":[1]}  }'),
    ('{filePath: "/a"}', '{"filePath": "/a"}'),
    ("{'filePath': \"/a\"}", '{"filePath": "/a"}'),
    ('{""filePath"": "/ä"}', '{"filePath": "/ä"}'),
    ('{"filePath: "/a", "n": 5}', '{"filePath": "/a", "n": 5}'),
    ('{filePath": "/a"}', '{"filePath": "/a"}'),
    ('{" filePath:": "/a"}', '{"filePath": "/a"}'),
    ('{"\\"filePath\\"": "/a"}', '{"filePath": "/a"}'),
    ('{"<arg_key>filePath</arg_key>": "/a"}', '{"filePath": "/a"}'),
    ('{"a": [{b: 1}], c: {}}', '{"a": [{"b": 1}], "c": {}}'),
    ('{"a": 1,}', '{"a": 1}'),
]
BEYOND = [
    '{"a": 1, "a": 2, "b": 3}',
    '{"a": true, "a": 1}',
    '{"a" 1}',
    '{"two words: 1}',
    '{"a": 1}}',
    '{"a": }',
    '{"a": [1}',
    '{"a": "cut',
    '{"a',
    '{"a": 1, "a": "cut',
]
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)
KEYS = st.from_regex(r"[A-Za-z_.$@/-]{1,8}", fullmatch=True)
OBJECTS = st.dictionaries(KEYS, VALUES, max_size=4)
ODD = st.lists(
    st.sampled_from([*"{}[],:\"'\\ \n", '"a"', '"a":', "1", "é", "a:", "true", '{"a":1', ","]),
    max_size=24,
).map("".join)


def through(pieces: list[str]) -> tuple[str, bool, bool]:
    repair = ArgumentRepair()
    told = "".join([*(repair.feed(piece) for piece in pieces), repair.end()])
    return told, repair.changed, repair.failed


@pytest.mark.parametrize(("before", "after"), REPAIRED)
def test_a_fault_is_repaired_and_the_rest_stays(before: str, after: str) -> None:
    assert through([before]) == through(list(before)) == (after, True, False)
    assert isinstance(json.loads(after), dict)
    assert through([after]) == (after, False, False)


@pytest.mark.parametrize("before", BEYOND)
def test_what_cannot_be_repaired_leaves_as_it_came(before: str) -> None:
    assert through([before]) == through(list(before)) == (before, False, True)


@given(OBJECTS, st.booleans(), st.sampled_from([None, 1]))
def test_legal_arguments_leave_as_they_came(
    given_object: dict[str, Any], ascii: bool, indent: int | None
) -> None:
    text = json.dumps(given_object, ensure_ascii=ascii, indent=indent)
    assert through([text]) == (text, False, False)


@given(ODD | OBJECTS.map(json.dumps), st.data())
def test_cuts_anywhere_change_nothing(text: str, data: st.DataObject) -> None:
    cuts = sorted(data.draw(st.lists(st.integers(0, len(text)), max_size=6)))
    pieces = [text[a:b] for a, b in zip([0, *cuts], [*cuts, len(text)], strict=True)]
    assert through(pieces) == through([text]) == through(list(text))


@pytest.mark.parametrize("text", ["", "null", "[1]", '"{}"', "no JSON"])
def test_what_is_no_object_is_none_of_ours(text: str) -> None:
    assert through([text]) == (text, False, False)


def test_behind_a_key_of_absurd_length_nothing_is_looked_at() -> None:
    text = '{"' + "k" * 2000 + '": 1, a: 2}'
    assert through([text]) == through(list(text)) == (text, False, False)


def test_only_a_key_waits_and_a_value_never_does() -> None:
    repair = ArgumentRepair()
    assert [repair.feed(piece) for piece in ('{"pa', 'th": ', '"/a', '/b", "n": 1', "}")] == [
        "{", '"path": ', '"/a', '/b", "n": 1', "}"
    ]  # fmt: skip


def test_a_member_said_again_waits_until_its_value_is_whole_and_the_next_does_not() -> None:
    repair = ArgumentRepair()
    assert repair.feed('{"a":"x"') == '{"a":"x"'
    assert repair.feed(',"a":"') == ""
    assert repair.feed('x"') == ""
    assert repair.feed(',"b":2}') == ',"b":2}'
    assert not repair.waiting


def test_a_key_that_is_said_again_and_again_costs_little_more_than_as_many_keys() -> None:
    """Its cost once grew with the square: 190 KB held the whole gateway up for ten seconds."""

    def cost(members: list[str]) -> float:
        text = "{" + ",".join(members) + "}"
        repair = ArgumentRepair()
        began = time.process_time()
        assert repair.feed(text) + repair.end() == text
        return time.process_time() - began

    distinct = cost([f'"k{number}":{number}' for number in range(10_000)])
    assert cost([f'"k":{number}' for number in range(10_000)]) < 6 * distinct
