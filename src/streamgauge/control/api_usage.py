"""The admin API's sums: exchanges, tokens, costs and times by group. It adds nothing up itself."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, cast

from starlette.requests import Request
from starlette.responses import Response

from streamgauge.control import params
from streamgauge.control.bodies import json_answer
from streamgauge.control.books import Books, BooksThread
from streamgauge.control.guard import Refused
from streamgauge.control.routes import ApiRoute, Query
from streamgauge.control.schemas import array, record, ref
from streamgauge.control.sums import sum_of, times_of
from streamgauge.ledger.rollup import By, Hours, Metric, TimesBy
from streamgauge.ledger.rollup_sql import BUCKETS, DAY_US
from streamgauge.ledger.rollup_sums import UsageSum, together

__all__ = ["UsageApi"]

_BY: dict[str, By] = {
    **{"model": "model", "upstream": "upstream", "key": "key_id", "day": "day", "hour": "hour"},
    **{"app": "client_app", "status": "status", "dialect": "dialect"},
}
_SESSION = "session"
_MOST_SESSIONS = 100
_MOST_HOURS_US = 14 * DAY_US
"""By hour there is a row for each hour and combination: more than two weeks take too long."""
_METRICS: tuple[Metric, ...] = ("ttft_ms", "stream_duration_ms")
_TIMES_BY: tuple[TimesBy, ...] = ("model", "upstream", "day", "hour", "dialect", "status")
_MOMENT = {"type": "integer", "minimum": 0}
_RANGE = (
    Query("since", "ended in this hour or later, µs since the epoch", _MOMENT),
    Query("until", "ended before, µs since the epoch", _MOMENT),
)
_USAGE_QUERIES = (
    Query("by", "what to group by", {"enum": [*_BY, _SESSION]}, many=True),
    *_RANGE,
)
_TIMES_QUERIES = (
    Query("metric", "which time", {"enum": list(_METRICS)}),
    Query("by", "what to group by", {"enum": list(_TIMES_BY)}, many=True),
    *_RANGE,
)

Page = dict[str, Any]


class UsageApi:
    """Two routes."""

    def __init__(self, books: BooksThread) -> None:
        self._books = books

    def routes(self) -> list[ApiRoute]:
        """Return what is served here."""
        group = {"allOf": [ref("Sum"), record(group={"type": "object"})]}
        usage = record(
            by=array({"type": "string"}),
            since="integer?",
            until="integer?",
            complete="boolean",
            groups=array(group),
            total=ref("Sum"),
        )
        times = record(
            metric="string",
            bounds_ms=array({"type": "number"}),
            groups=array({"type": "object"}),
        )
        what = "Exchanges, tokens and costs by group; exact, estimated and unpriced apart."
        return [
            ApiRoute("GET", "/usage", self.usage, what, usage, _USAGE_QUERIES),
            ApiRoute(
                "GET", "/times", self.times, "Response times by group.", times, _TIMES_QUERIES
            ),
        ]

    async def usage(self, request: Request) -> Response:
        """Return sums by group."""
        names = params.choices(request, "by", [*_BY, _SESSION])
        hours = _hours(request, by_hour="hour" in names)
        if _SESSION in names and len(names) > 1:
            raise Refused(422, "by=session cannot be combined with others")

        def ask(books: Books) -> Page:
            return _by_session(books, hours) if _SESSION in names else _by(books, names, hours)

        page = await self._books.ask(ask)
        return json_answer(200, {"by": names, "since": hours.since, "until": hours.until, **page})

    async def times(self, request: Request) -> Response:
        """Return one time by group."""
        metric = (params.choices(request, "metric", _METRICS) or ["ttft_ms"])[0]
        by = params.choices(request, "by", _TIMES_BY)
        hours = _hours(request, by_hour="hour" in by)
        found = await self._books.ask(lambda books: books.reads.times(metric, hours, by))
        groups = [{"group": dict(each.group), **times_of(each)} for each in found]
        return json_answer(200, {"metric": metric, "bounds_ms": list(BUCKETS), "groups": groups})


def _hours(request: Request, *, by_hour: bool) -> Hours:
    since, until = params.span(request)
    hours = Hours.covering(since, until)
    if by_hour and not _is_short(hours):
        raise Refused(422, "by=hour needs since and until, two weeks apart at most")
    return hours


def _is_short(hours: Hours) -> bool:
    if hours.since is None or hours.until is None:
        return False
    return hours.until - hours.since <= _MOST_HOURS_US


def _by(books: Books, names: Sequence[str], hours: Hours) -> Page:
    found = books.reads.usage(hours, [_BY[name] for name in names])
    labels = books.reads.labels() if "key" in names else {}
    groups = []
    for each in found:
        group = {name: each.group[_BY[name]] for name in names}
        if "key" in names:
            group["key_label"] = labels.get(cast("str", group["key"] or ""))
        groups.append({"group": group, **sum_of(each)})
    return {"complete": True, "groups": groups, "total": sum_of(together(found))}


def _by_session(books: Books, hours: Hours) -> Page:
    page = books.reads.sessions(_MOST_SESSIONS, hours.until, hours.since)
    found: list[tuple[str, UsageSum]] = []
    for session in page.sessions:
        sums = books.reads.session_usage(session.session_id, session.turns)
        if sums is not None:
            found.append((session.session_id, sums))
    groups = [{"group": {"session": name}, **sum_of(sums)} for name, sums in found]
    return {
        "complete": page.next is None and len(found) == len(page.sessions),
        "groups": groups,
        "total": sum_of(together([sums for _, sums in found])),
    }
