"""JSON that typed decoding refuses, read as far as it can be."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest

from streamgauge.core.dialects.loose import (
    CONFLICT,
    MAX_LABEL,
    Loaded,
    LooseObject,
    clean_label,
    clean_text,
    dump,
    load,
)


@pytest.mark.parametrize(
    ("payload", "value", "legal"),
    [
        (b'{"a":1}', {"a": 1}, True),
        (b'\xef\xbb\xbf{"a":1}', {"a": 1}, True),
        (b'{"a":"\xff"}', {"a": "\ufffd"}, True),
        (b'{"a":1.50}', {"a": Decimal("1.50")}, True),
        (b'{"a":1e400}', {"a": Decimal("1e400")}, True),
        (b'{"a":1e9999999999999999999}', {"a": Decimal("Infinity")}, True),
        (b'{"a":-1e9999999999999999999}', {"a": Decimal("-Infinity")}, True),
        (b'{"a":' + b"9" * 40 + b"}", {"a": int("9" * 40)}, True),
        (b'{"a":' + b"9" * 41 + b"}", {"a": Decimal("9" * 41)}, True),
        (b'{"a":1,"a":1}', {"a": 1}, True),
        (b'{"a":1,"a":2}', {"a": CONFLICT}, True),
        (b'{"a":1,"a":2,"a":1}', {"a": CONFLICT}, True),
        (b'{"a":1,"b":2,"a":1}', {"a": 1, "b": 2}, True),
        (b'{"a":{"b":1,"b":2},"c":3}', {"a": {"b": CONFLICT}, "c": 3}, True),
        (b'{"a":"x\ny"}', {"a": "x\ny"}, False),
        (b'{"a":Infinity}', {"a": Decimal("Infinity")}, False),
        (b'{"a":1,"a":2,"b":-Infinity}', {"a": CONFLICT, "b": Decimal("-Infinity")}, False),
        (b'{"a":1.5,"b":"\t"}', {"a": Decimal("1.5"), "b": "\t"}, False),
        (b'{"a":' + b"9" * 41 + b',"b":"\t"}', {"a": Decimal("9" * 41), "b": "\t"}, False),
        (b"7", 7, True),
        (b' "a" ', "a", True),
    ],
)
def test_what_can_be_read_is_read(payload: bytes, value: Any, legal: bool) -> None:
    loaded = load(payload)
    assert loaded == Loaded(value, legal)
    assert repr(loaded) == repr(Loaded(value, legal)), "also the types of the numbers"


def test_not_a_number_is_read_and_is_not_legal() -> None:
    loaded = load(b'{"a":NaN}')
    assert loaded is not None
    assert loaded.value["a"].is_nan()
    assert not loaded.legal


@pytest.mark.parametrize(
    "payload", [b"", b"{", b"{'a':1}", b"[DONE]", b"[" * 50_000, b'"\n' + b"[" * 50_000]
)
def test_what_is_no_json_is_none(payload: bytes) -> None:
    assert load(payload) is None


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ({"a": [1, None, True]}, '{"a":[1,null,true]}'),
        ({"ü": "\ud800"}, '{"ü":"\ufffd"}'),
        ({"a": Decimal("1.50")}, '{"a":1.50}'),
        ([("\ud800", 1)], '[["\ufffd",1]]'),
        ({"a": CONFLICT}, '{"a":null}'),
    ],
)
def test_a_value_becomes_text_again(value: Any, text: str) -> None:
    assert dump(value) == text


@pytest.mark.parametrize(
    ("payload", "text"),
    [
        (b'{"a":1e400,"b":0.1234567890123456789}', '{"a":1E+400,"b":0.1234567890123456789}'),
        (b'{"a":' + b"9" * 50 + b"}", '{"a":' + "9" * 50 + "}"),
        (b'{"a":1e9999999999999999999,"b":-1e9999999999999999999}', '{"a":null,"b":null}'),
        (b'{"a":NaN,"b":Infinity,"c":-Infinity}', '{"a":null,"b":null,"c":null}'),
        (b'{"a":NaN,"b":"\\ud800"}', '{"a":null,"b":"\ufffd"}'),
    ],
)
def test_what_was_read_is_written_as_json_and_its_digits_stay(payload: bytes, text: str) -> None:
    loaded = load(payload)
    assert loaded is not None
    assert dump(loaded.value) == text


def test_a_value_as_deep_as_the_stack_is_null() -> None:
    deep: Any = 1
    for _ in range(100_000):
        deep = [deep]
    assert dump(deep) == "null"
    while isinstance(deep, list):  # taken apart by hand: to free it would go as deep
        deep = deep.pop()


@pytest.mark.parametrize(
    ("text", "cleaned"),
    [
        ("abc", "abc"),
        ("ü𝄞", "ü𝄞"),
        ("a\ud800b", "a\ufffdb"),
        ("\udc00", "\ufffd"),
        ("\ud834\udd1e", "𝄞"),
    ],
)
def test_lone_surrogates_are_replaced(text: str, cleaned: str) -> None:
    assert clean_text(text) == cleaned


@pytest.mark.parametrize(
    ("text", "label"),
    [
        ("a b", "a b"),
        ("a\nb\0", "ab"),
        ("x" * MAX_LABEL, "x" * MAX_LABEL),
        ("x" * (MAX_LABEL + 1), "x" * MAX_LABEL),
        ("\n" + "x" * MAX_LABEL, "x" * (MAX_LABEL - 1)),
        ("\ud800a", "a"),
    ],
)
def test_a_label_is_printable_and_bounded(text: str, label: str) -> None:
    assert MAX_LABEL == 256
    assert clean_label(text) == label


VALUES: list[Any] = [None, "a", 7, True, 1.5, {"k": 1}, [{"k": 1}], [], CONFLICT]


@pytest.mark.parametrize("value", VALUES)
def test_a_member_of_another_type_is_none_and_odd(value: Any) -> None:
    for ask, wanted in (("text", str), ("integer", int), ("object", dict)):
        members = LooseObject({"x": value})
        read = getattr(members, ask)("x")
        fits = type(value) is wanted
        if wanted is dict and fits:
            assert read.value("k") == 1
        else:
            assert read == (value if fits else None)
        assert members.odd is (not fits and value is not None)


def test_an_absent_member_is_none_and_not_odd() -> None:
    members = LooseObject({})
    assert (members.text("x"), members.integer("x"), members.object("x")) == (None, None, None)
    assert (members.value("x"), tuple(members.objects("x")), members.odd) == (None, (), False)


def test_an_oddity_is_remembered() -> None:
    for ask in ("text", "integer", "object", "objects"):
        members = LooseObject({"x": 1.5, "text": "a", "integer": 1, "object": {}, "objects": [{}]})
        getattr(members, ask)("x")
        getattr(members, ask)(ask)
        getattr(members, ask)("absent")
        assert members.odd


def test_a_text_has_no_lone_surrogate() -> None:
    assert LooseObject({"x": "\ud800"}).text("x") == "\ufffd"


@pytest.mark.parametrize(
    ("value", "keys", "odd"),
    [
        ([{"k": 1}, {"k": 2}], [1, 2], False),
        ([{"k": 1}, 7, {"k": 2}], [1, 2], True),
        ([7], [], True),
        ([], [], False),
        (None, [], False),
        ({"k": 1}, [], True),
        ("a", [], True),
    ],
)
def test_of_a_list_the_objects_are_read(value: Any, keys: list[int], odd: bool) -> None:
    members = LooseObject({"x": value})
    assert [each.value("k") for each in members.objects("x")] == keys
    assert members.odd is odd
