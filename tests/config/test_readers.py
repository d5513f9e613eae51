"""YAML and TOML as read: values, places, and text of any kind."""

from __future__ import annotations

import contextlib
import tomllib
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from streamgauge.config.problems import ConfigError
from streamgauge.config.toml_positions import scan_positions
from streamgauge.config.toml_reader import read_toml
from streamgauge.config.yaml_reader import read_yaml


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("on", "on"),
        ("off", "off"),
        ("yes", "yes"),
        ("NO", "NO"),
        ("true", True),
        ("FALSE", False),
        ("010", 10),
        ("0o10", 8),
        ("0x1F", 31),
        ("1_000", "1_000"),
        ("12:30", "12:30"),
        ("0.1", Decimal("0.1")),
        ("1e3", Decimal("1e3")),
        (".5", Decimal("0.5")),
        ("-3", -3),
        ("~", None),
        ("", None),
        ("'5'", "5"),
        ('"true"', "true"),
        ("!!str 5", "5"),
        ("2025-01-01", "2025-01-01"),
        ("1.2.3", "1.2.3"),
    ],
)
def test_a_yaml_scalar_is_what_version_1_2_says(text: str, value: object) -> None:
    read = read_yaml(f"a: {text}", "f").root["a"]
    assert read == value
    assert type(read) is type(value)


def test_yaml_places_are_those_of_keys_and_items() -> None:
    document = read_yaml("a:\n  - b: 1\n    c: [x, {d: 2}]\n", "f")
    places = {path: str(place) for path, place in document.places.items()}
    assert places == {
        ("a",): "f:1:1",
        ("a", 0): "f:2:5",
        ("a", 0, "b"): "f:2:5",
        ("a", 0, "c"): "f:3:5",
        ("a", 0, "c", 0): "f:3:9",
        ("a", 0, "c", 1): "f:3:12",
        ("a", 0, "c", 1, "d"): "f:3:13",
    }


TOML = '''\
# "a" = 1
title = """
[not.a.table]
x = 1 \\""" "quotes" """""
lit = \'\'\'it's [ok] ''\'\'\' # comment = 1
  a . "b.c" . 'd' = [ [1, 2], # two
    {x = 1, y.z = "],}"}, "#",
  ]
when = 1979-05-27 07:32:00
[table]
"" = {}
[[list]]
[[list.inner]]
k = true
[[list.inner]]
[list.deep.er]
k = 'C:\\\\'
[[list]]
k = -1.5e3
'''


def test_toml_places_are_those_of_keys_and_items() -> None:
    document = read_toml(TOML, "f")
    assert document.root == tomllib.loads(TOML, parse_float=Decimal)
    places = {path: str(place).removeprefix("f:") for path, place in document.places.items()}
    assert places == {
        ("title",): "2:1",
        ("lit",): "5:1",
        ("a",): "6:3",
        ("a", "b.c"): "6:7",
        ("a", "b.c", "d"): "6:15",
        ("a", "b.c", "d", 0): "6:23",
        ("a", "b.c", "d", 0, 0): "6:24",
        ("a", "b.c", "d", 0, 1): "6:27",
        ("a", "b.c", "d", 1): "7:5",
        ("a", "b.c", "d", 1, "x"): "7:6",
        ("a", "b.c", "d", 1, "y"): "7:13",
        ("a", "b.c", "d", 1, "y", "z"): "7:15",
        ("a", "b.c", "d", 2): "7:27",
        ("when",): "9:1",
        ("table",): "10:2",
        ("table", ""): "11:1",
        ("list",): "12:3",
        ("list", 0): "12:3",
        ("list", 0, "inner"): "13:8",
        ("list", 0, "inner", 0): "13:8",
        ("list", 0, "inner", 0, "k"): "14:1",
        ("list", 0, "inner", 1): "15:8",
        ("list", 0, "deep"): "16:7",
        ("list", 0, "deep", "er"): "16:12",
        ("list", 0, "deep", "er", "k"): "17:1",
        ("list", 1): "18:3",
        ("list", 1, "k"): "19:1",
    }


def test_toml_lines_may_end_in_cr_lf() -> None:
    document = read_toml("a = 1\r\n[b]\r\nc = '''x\r\ny'''\r\nd = 2\r\n", "f")
    assert str(document.places[("b", "d")]) == "f:5:1"


def paths_of(value: Any, path: tuple[str | int, ...] = ()) -> set[tuple[str | int, ...]]:
    items = value.items() if isinstance(value, dict) else enumerate(value)
    found = {path} if path else set()
    if isinstance(value, (dict, list)):
        for key, item in items:
            found |= (
                paths_of(item, (*path, key)) if isinstance(item, (dict, list)) else {(*path, key)}
            )
    return found


KEYS = st.sampled_from(["a", "b-1", '"x y"', "'q\"'", '"\\u0041"', '""'])
VALUES = st.recursive(
    st.sampled_from(
        ["1", "-2.5", "true", '"#]"', "'},'", '""', "'''\n'x'''", '"""\\""""', "1979-05-27"]
    ),
    lambda inner: st.one_of(
        st.lists(inner, max_size=3).map(lambda items: "[" + " , # c\n".join(items) + "\n]"),
        st.dictionaries(st.sampled_from(["a", "b", "c.d"]), inner, max_size=3).map(
            lambda pairs: "{" + ", ".join(f"{k} = {v}" for k, v in pairs.items()) + "}"
        ),
    ),
    max_leaves=6,
)


@given(st.lists(st.one_of(
    st.tuples(KEYS, VALUES).map(lambda pair: f"{pair[0]} = {pair[1]}"),
    st.lists(KEYS, min_size=1, max_size=3).map(lambda keys: f"[{' . '.join(keys)}]"),
    st.lists(KEYS, min_size=1, max_size=3).map(lambda keys: f"[[{'.'.join(keys)}]] # t"),
    st.just("# a = 1"),
), max_size=8).map("\n".join))  # fmt: skip
@settings(deadline=None, max_examples=400)
def test_every_toml_value_has_a_place_and_nothing_else_has(text: str) -> None:
    try:
        root = tomllib.loads(text)
    except ValueError:
        return
    assert set(scan_positions(text)) == paths_of(root)


@given(
    st.text(
        alphabet=st.sampled_from(list("ab:-[]{}\"'#,&*!|>%@?\n \t\\xuU09~\x00\r\ud7ff")),
        max_size=40,
    )
)
@settings(deadline=None, max_examples=500)
def test_any_text_is_read_or_refused_and_never_a_crash(text: str) -> None:
    for read in (read_yaml, read_toml):
        with contextlib.suppress(ConfigError):
            assert isinstance(read(text, "f").root, dict)


@pytest.mark.parametrize("read", [read_yaml, read_toml])
def test_endless_nesting_is_refused(read: Any) -> None:
    lead = "a: " if read is read_yaml else "a = "
    with pytest.raises(ConfigError, match=r"nested too deeply|not"):
        read(lead + "[" * 20_000, "f")
