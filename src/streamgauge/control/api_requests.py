"""The admin API's rows: pages of them, and one explained. It reads what the ledger tells."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from streamgauge.control import params
from streamgauge.control.bodies import json_answer
from streamgauge.control.books import Books, BooksThread
from streamgauge.control.guard import Refused
from streamgauge.control.routes import ApiRoute, Query
from streamgauge.control.schemas import array, nullable, record, ref
from streamgauge.core.record import Status
from streamgauge.ledger.explaining import explained
from streamgauge.ledger.questions import Place, RequestFilter

__all__ = ["RequestsApi", "with_labels"]

_STATUSES = tuple(status.value for status in Status)
_PAGE, _MOST = 50, 500
_TEXT = {"type": "string", "maxLength": 300}
_MOMENT = {"type": "integer", "minimum": 0}
_FILTERS = (
    Query("status", "how it ended", {"enum": list(_STATUSES)}, many=True),
    Query("model", "glob: asked for, sent or answered", _TEXT),
    Query("upstream", "glob of the upstream's name", _TEXT),
    Query("key", "a client key's id", _TEXT),
    Query("session", "a session's id", _TEXT),
    Query("since", "begun at or after, µs since the epoch", _MOMENT),
    Query("until", "begun before, µs since the epoch", _MOMENT),
    Query("text", "found in ids, names or the error", _TEXT),
    Query("limit", "rows of a page", {"type": "integer", "minimum": 1, "maximum": _MOST}),
    Query("after", "the `next` of the page before", _TEXT),
)


def with_labels(
    rows: Iterable[Mapping[str, Any]], labels: Mapping[str, str]
) -> list[dict[str, Any]]:
    """Return rows with the label of each one's key beside it."""
    return [{**row, "key_label": labels.get(row["key_id"] or "")} for row in rows]


class RequestsApi:
    """Two routes."""

    def __init__(self, books: BooksThread) -> None:
        self._books = books

    def routes(self) -> list[ApiRoute]:
        """Return what is served here."""
        page = record(rows=array(ref("Row")), next="string?", scanned_to=nullable("integer"))
        return [
            ApiRoute(
                "GET", "/requests", self.page, "Rows, newest first, by pages.", page, _FILTERS
            ),
            ApiRoute(
                "GET", "/requests/{id}", self.one, "One exchange, explained.", ref("Exchange")
            ),
        ]

    async def page(self, request: Request) -> Response:
        """Return one page of rows."""
        wanted, limit = _filter(request), params.number(request, "limit", _PAGE, _MOST)
        after = _place(request)

        def ask(books: Books) -> dict[str, Any]:
            found = books.reads.requests(wanted, limit, after)
            return {
                "rows": with_labels(found.rows, books.reads.labels()),
                "next": None if found.next is None else str(found.next),
                "scanned_to": found.scanned_to,
            }

        return json_answer(200, await self._books.ask(ask))

    async def one(self, request: Request) -> Response:
        """Return one exchange with what can be said of it."""
        id: str = request.path_params["id"]

        def ask(books: Books) -> dict[str, Any] | None:
            found = books.reads.exchange(id)
            if found is None:
                return None
            (row,) = with_labels([found[0]], books.reads.labels())
            return explained(row, found[1])

        page = await self._books.ask(ask)
        if page is None:
            raise Refused(404, "there is no such exchange")
        return json_answer(200, page)


def _filter(request: Request) -> RequestFilter:
    since, until = params.span(request)
    return RequestFilter(
        statuses=params.choices(request, "status", _STATUSES),
        model=params.glob(request, "model"),
        upstream=params.glob(request, "upstream"),
        key=params.text(request, "key"),
        session=params.text(request, "session"),
        since=since,
        until=until,
        text=params.text(request, "text"),
    )


def _place(request: Request) -> Place | None:
    text = params.text(request, "after")
    if text is None:
        return None
    try:
        return Place.read(text)
    except ValueError:
        raise Refused(422, "after must be the `next` of a page") from None
