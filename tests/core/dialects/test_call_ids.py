"""Ids of tool calls as an upstream takes them: what fits stays, what does not is told apart."""

from __future__ import annotations

import pytest

from streamgauge.core.dialects.call_ids import CallIds


@pytest.mark.parametrize(("length", "stays"), [(39, True), (40, True), (41, False)])
def test_an_id_of_the_greatest_length_stays(length: int, stays: bool) -> None:
    ids, asked = CallIds(longest=40), "x" * length
    given = ids.call(asked)
    assert (given == asked) is stays
    assert len(given) <= 40
    assert ids.result(asked) == given
