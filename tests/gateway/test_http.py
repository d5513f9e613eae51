"""A request's head, as those who serve it look into it."""

from __future__ import annotations

from dataclasses import replace

import pytest

from streamgauge.gateway.http import RequestHead

HEAD = RequestHead("POST", "/v1/messages", "", ((b"a", b"1"), (b"b", b"\xfc"), (b"a", b"2")), "-")


@pytest.mark.parametrize(("name", "value"), [(b"a", "1"), (b"b", "ü"), (b"c", None)])
def test_of_a_field_that_came_twice_the_first_counts(name: bytes, value: str | None) -> None:
    assert HEAD.header(name) == value


def test_a_changed_head_has_the_fields_it_was_given() -> None:
    changed = replace(HEAD, headers=((b"a", b"3"),))
    assert (changed.header(b"a"), changed.header(b"b")) == ("3", None)
    assert changed != HEAD
