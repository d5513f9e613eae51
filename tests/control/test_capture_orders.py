"""An order for captures, as a request's body gives it: what is refused, and by which words."""

from __future__ import annotations

from typing import Any

import pytest

from streamgauge.control.captures import order_of
from streamgauge.control.guard import Refused
from streamgauge.gateway.capturing import Order


@pytest.mark.parametrize("route", [None, "default", "models:llama[[]q4]*", "rule:batch"])
def test_a_route_is_a_name_or_a_glob(route: str | None) -> None:
    assert order_of({"count": 1, "route": route}) == Order(1, None, route)


WRONG: tuple[tuple[dict[str, Any], str], ...] = (
    ({}, "count or seconds is needed"),
    ({"count": True}, "count must be a whole number"),
    ({"seconds": 0}, "seconds must be above 0"),
    ({"count": 1, "route": ""}, "route must be text"),
    ({"count": 1, "route": "models:["}, r"route must be a glob; a \[ is not closed"),
    ({"count": 1, "rute": "x"}, "unknown field rute"),
)


@pytest.mark.parametrize(("body", "words"), WRONG)
def test_a_wrong_order_is_refused_by_name(body: dict[str, Any], words: str) -> None:
    with pytest.raises(Refused, match=words) as refused:
        order_of(body)
    assert refused.value.status == 400
