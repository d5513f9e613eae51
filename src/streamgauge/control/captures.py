"""Reads an order for captures from a request's body (SPEC §12.4). It captures nothing."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from streamgauge.config.globs import glob_fault
from streamgauge.control.guard import Refused
from streamgauge.gateway.capturing import Order

__all__ = ["order_of"]

_MOST = 100_000
_LONGEST = 86_400.0
"""A day: who wants more wants `capture.routes`."""


def order_of(fields: Mapping[str, Any]) -> Order:
    """Return the order that a body gives: `count`, `seconds`, `route`. Raises Refused."""
    if unknown := sorted(fields.keys() - {"count", "seconds", "route"}):
        raise Refused(400, f"unknown field {unknown[0]}; known: count, seconds, route")
    count, seconds, route = fields.get("count"), fields.get("seconds"), fields.get("route")
    if count is None and seconds is None:
        raise Refused(400, "count or seconds is needed: how much is to be captured")
    if count is not None and not (_is_number(count, int) and 0 <= count <= _MOST):
        raise Refused(400, f"count must be a whole number up to {_MOST}")
    if seconds is not None and not (_is_number(seconds, int | float) and 0 < seconds <= _LONGEST):
        raise Refused(400, f"seconds must be above 0 and at most {_LONGEST:g}")
    if route is not None and not (isinstance(route, str) and route):
        raise Refused(400, "route must be text: a route as in the column `route`, or a glob")
    if route is not None and (fault := glob_fault(route)) is not None:
        raise Refused(400, f"route must be a glob; {fault}")
    return Order(count, None if seconds is None else float(seconds), route)


def _is_number(value: Any, kind: Any) -> bool:
    return isinstance(value, kind) and not isinstance(value, bool)
