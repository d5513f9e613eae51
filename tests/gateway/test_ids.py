"""Ids that say when they were made and nothing else, none twice."""

from __future__ import annotations

import re
from itertools import count

from hypothesis import given
from hypothesis import strategies as st

from streamgauge.gateway.ids import IdSource

FORM = re.compile(r"[0-9A-Za-z]{7}[0-9a-f]{24}")
NS_PER_MS = 1_000_000
LAST_MS = 62**7 - 1
"""In the year 2081."""


def test_an_id_has_the_form_of_the_rows_and_not_the_look_of_an_option() -> None:
    ids = IdSource()
    for _ in range(200):
        assert FORM.fullmatch(ids.next())


def test_none_comes_twice_in_one_instant_or_from_another_source() -> None:
    sources = [IdSource(lambda: 0) for _ in range(4)]
    made = [source.next() for source in sources for _ in range(2000)]
    assert len(set(made)) == len(made)


def test_what_is_not_the_time_is_chance() -> None:
    ids = IdSource(lambda: 0)
    seen = [int(ids.next()[7:], 16) for _ in range(400)]
    always = never = (1 << 96) - 1
    for number in seen:
        always &= number
        never &= ~number
    assert (always, never) == (0, 0)


@given(st.integers(0, LAST_MS), st.integers(0, LAST_MS))
def test_ids_sort_by_the_time_they_were_made_at(one: int, other: int) -> None:
    first, second = (IdSource(lambda at=at: at * NS_PER_MS).next()[:7] for at in (one, other))  # type: ignore[misc]
    assert (first < second) == (one < other)
    assert (first == second) == (one == other)


def test_the_ten_digits_that_people_see_tell_requests_apart() -> None:
    milliseconds = count(1_795_000_000_000)
    ids = IdSource(lambda: next(milliseconds) * NS_PER_MS)
    assert len({ids.next()[:10] for _ in range(5000)}) == 5000
