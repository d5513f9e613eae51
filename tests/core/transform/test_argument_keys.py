"""Whether two values of a call are one."""

from __future__ import annotations

import pytest

from streamgauge.core.transform.argument_keys import Key, is_same, read_key

DEEP = "[" * 100_000


@pytest.mark.parametrize(
    ("first", "second", "same"),
    [
        ('{"a":1,"b":[2]}', '{ "b": [2], "a": 1 }', True),
        ('"\\u00fc"', '"u\u0308"', True),
        ("1", "1.0", False),
        ("true", "1", False),
        ("tru", "tru", True),
        ("tru", "true", False),
        ("tru", " tru", False),
        (DEEP, DEEP, True),
        (DEEP, DEEP + " ", False),
    ],
)
def test_values_are_compared_as_json_means_them_else_by_the_letter(
    first: str, second: str, same: bool
) -> None:
    assert is_same(first, second) is same


def test_a_key_with_a_raw_control_character_is_read_for_what_it_says() -> None:
    text = '"file\tPath":"a"'
    assert read_key(text, 0, top=False, final=True) == Key(
        "file\tPath", text[:-3], 12, changed=False
    )
