"""A source gives its items to one reader, once; a second one is told so before it gets anything."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from streamgauge.core.once import IteratedTwice, Once


def test_the_items_come_once() -> None:
    source = Once([1, 2, 3])
    assert not source.taken
    assert list(source) == [1, 2, 3]
    assert source.taken


def test_a_second_iteration_raises_at_once() -> None:
    source = Once([1, 2], "the capture")
    list(source)
    with pytest.raises(IteratedTwice, match="the capture can be iterated once"):
        iter(source)


def test_two_at_a_time_are_refused_and_the_first_goes_on() -> None:
    source = Once(iter("abc"))
    first = iter(source)
    assert next(first) == "a"
    with pytest.raises(IteratedTwice):
        next(iter(source))
    assert list(first) == ["b", "c"]


def test_nothing_is_begun_before_the_first_asks() -> None:
    begun: list[int] = []

    def items() -> Iterator[int]:
        begun.append(1)
        yield 1

    source = Once(items())
    assert (begun, repr(source)) == ([], "<Once the source fresh>")
    assert list(source) == [1]
    assert (begun, repr(source)) == ([1], "<Once the source taken>")


def test_a_source_that_failed_is_not_begun_again() -> None:
    def items() -> Iterator[int]:
        yield 1
        raise OSError("torn")

    source = Once(items())
    with pytest.raises(OSError, match="torn"):
        list(source)
    with pytest.raises(IteratedTwice):
        iter(source)
