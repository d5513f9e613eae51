"""The admin API's sessions: which there are, what they used, who was cut by whom."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from streamgauge.control import params
from streamgauge.control.api_requests import with_labels
from streamgauge.control.bodies import json_answer
from streamgauge.control.books import Books, BooksThread
from streamgauge.control.guard import Refused
from streamgauge.control.routes import ApiRoute, Query
from streamgauge.control.schemas import array, record, ref
from streamgauge.control.sums import sum_of
from streamgauge.ledger.questions import Session
from streamgauge.ledger.rollup_sums import UsageSum

__all__ = ["SessionsApi"]

_PAGE, _MOST = 25, 100
_LIMIT = Query("limit", "sessions of a page", {"type": "integer", "minimum": 1, "maximum": _MOST})
_AFTER = Query("after", "the `next` of the page before", {"type": "string"})
_ID = Query("id", "the session, where the path says `-`", {"type": "string"})
_ANY = "-"
"""In place of a name that no path can carry: to clients `.` and `..` lead up, escaped or not."""


class SessionsApi:
    """Two routes."""

    def __init__(self, books: BooksThread) -> None:
        self._books = books

    def routes(self) -> list[ApiRoute]:
        """Return what is served here."""
        page = record(sessions=array(ref("Session")), next="string?")
        cut = array(record(id="string", by="string", ms="number"))
        sums = {"anyOf": [ref("Sum"), {"type": "null"}]}
        one = record(
            session_id="string", turns="integer", rows=array(ref("Row")), sums=sums, supersedes=cut
        )
        what = "Sessions, the one heard of last first."
        return [
            ApiRoute("GET", "/sessions", self.page, what, page, (_LIMIT, _AFTER)),
            ApiRoute(
                "GET", "/sessions/{id:path}", self.one, "One session with its rows.", one, (_ID,)
            ),
        ]

    async def page(self, request: Request) -> Response:
        """Return one page of sessions."""
        limit = params.number(request, "limit", _PAGE, _MOST)
        before = params.moment(request, "after")

        def ask(books: Books) -> dict[str, Any]:
            found, labels = books.reads.sessions(limit, before), books.reads.labels()
            sessions = [
                _session(each, books.reads.session_usage(each.session_id, each.turns), labels)
                for each in found.sessions
            ]
            return {"sessions": sessions, "next": None if found.next is None else str(found.next)}

        return json_answer(200, await self._books.ask(ask))

    async def one(self, request: Request) -> Response:
        """Return one session."""
        id: str = request.path_params["id"]
        if id == _ANY:
            id = params.text(request, "id") or id

        def ask(books: Books) -> dict[str, Any] | None:
            found = books.reads.session(id)
            if found is None:
                return None
            sums = books.reads.session_usage(id, found.turns)
            return {
                "session_id": id,
                "turns": found.turns,
                "rows": with_labels(found.rows, books.reads.labels()),
                "sums": None if sums is None else sum_of(sums),
                "supersedes": [asdict(each) for each in found.supersedes],
            }

        page = await self._books.ask(ask)
        if page is None:
            raise Refused(404, "there is no such session")
        return json_answer(200, page)


def _session(session: Session, sums: UsageSum | None, labels: Mapping[str, str]) -> dict[str, Any]:
    last = session.last
    model = last["response_model"] or last["upstream_model"] or last["requested_model"]
    return {
        "session_id": session.session_id,
        "first_started_at": session.first_started_at,
        "last_started_at": last["started_at"],
        "turns": session.turns,
        "client_app": last["client_app"],
        "key_id": last["key_id"],
        "key_label": labels.get(last["key_id"] or ""),
        "model": model,
        "upstream": last["upstream"],
        "status": last["status"],
        "in_flight": list(session.in_flight),
        "sums": None if sums is None else sum_of(sums),
    }
