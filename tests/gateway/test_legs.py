"""What a fallback may need is made when it is asked for, and once."""

from __future__ import annotations

import pytest

from streamgauge.gateway.legs import Made


def made(count: int) -> tuple[Made[str], list[int]]:
    asked: list[int] = []

    def make(place: int) -> str:
        asked.append(place)
        return f"item {place}"

    return Made("item 0", make, count), asked


def test_nothing_is_made_before_it_is_asked_for() -> None:
    items, asked = made(3)
    assert (len(items), items[0]) == (3, "item 0")
    assert asked == []


def test_each_item_is_made_once() -> None:
    items, asked = made(3)
    assert items[1] is items[1]
    assert items[-1] is items[2]
    assert list(items) == ["item 0", "item 1", "item 2"]
    assert items[1:] == ["item 1", "item 2"]
    assert asked == [1, 2]


def test_there_is_nothing_beyond_the_last() -> None:
    items, asked = made(2)
    for place in (2, -3):
        with pytest.raises(IndexError, match="2 items"):
            items[place]
    assert asked == []
