"""The admin API's client keys. A key is in one answer, the one that makes it; knows no secret else."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any, TypeVar

from starlette.requests import Request
from starlette.responses import Response

from streamgauge.control.bodies import json_answer, read_object
from streamgauge.control.books import Books, BooksThread, KeyGone
from streamgauge.control.guard import Refused
from streamgauge.control.key_values import (
    caller_of,
    changes_of,
    expiry_of,
    grace_of,
    warnings_of,
)
from streamgauge.control.routes import ApiRoute
from streamgauge.control.schemas import array, record, ref
from streamgauge.control.sums import sum_of
from streamgauge.ledger.rollup import Hours
from streamgauge.ledger.rollup_sql import DAY_US

__all__ = ["KeysApi"]

_LIMITS = {
    "models": {"type": ["array", "null"], "items": {"type": "string"}},
    "max_streams": {"type": ["integer", "null"]},
    "rpm": {"type": ["integer", "null"]},
    "tpm": {"type": ["integer", "null"]},
    "per_day": {"type": ["string", "null"], "examples": ["5 USD"]},
    "per_month": {"type": ["string", "null"]},
    "expires_at": {"type": ["integer", "null"]},
}
_WANTED = {"type": "object", "properties": {"label": {"type": "string"}, **_LIMITS}}
_NEW = {**_WANTED, "required": ["label"]}
_GRACE = {"type": "object", "properties": {"grace_seconds": {"type": "number"}}}

T = TypeVar("T")


class KeysApi:
    """Five routes."""

    def __init__(self, books: BooksThread) -> None:
        self._books = books

    def routes(self) -> list[ApiRoute]:
        """Return what is served here."""
        one, new = "/keys/{id}", ref("NewKey")
        warned = {"warnings": array({"type": "string"})}
        revoked = record(id="string", revoked="boolean")
        changed = record(id="string", changed="boolean", **warned)
        made = record(id="string", key="string", label="string", **warned)
        told = "Make a key. It is in this answer and nowhere else."
        return [
            ApiRoute("GET", "/keys", self.listed, "Client keys.", record(keys=array(ref("Key")))),
            ApiRoute("POST", "/keys", self.create, told, made, body=_NEW, status=201),
            ApiRoute("PATCH", one, self.change, "Change what is named.", changed, body=_WANTED),
            ApiRoute("POST", f"{one}/rotate", self.rotate, "A new text.", new, body=_GRACE),
            ApiRoute("POST", f"{one}/revoke", self.revoke, "For good.", revoked, body=record()),
        ]

    async def listed(self, request: Request) -> Response:
        """Return all keys with what was spent today and in this month, both by UTC."""

        def ask(books: Books) -> list[dict[str, Any]]:
            keys, now = books.keys(), books.now_us()
            day = _sums_since(books, now // DAY_US * DAY_US)
            month = _sums_since(books, _month_of(now))
            spent = ({"day": day.get(key["id"]), "month": month.get(key["id"])} for key in keys)
            return [{**key, **sums} for key, sums in zip(keys, spent, strict=True)]

        return json_answer(200, {"keys": await self._books.ask(ask)})

    async def create(self, request: Request) -> Response:
        """Make a key."""
        told = await read_object(request)
        caller = caller_of(told)

        def ask(books: Books) -> dict[str, Any]:
            made = books.create_key(caller, expiry_of(told, books.now_us()))
            return {**made, "warnings": warnings_of(told, books.currencies())}

        return json_answer(201, await self._books.ask(ask))

    async def rotate(self, request: Request) -> Response:
        """Give a key a new text."""
        grace = grace_of(await read_object(request))
        made = await self._changing(request, lambda books, id: books.rotate_key(id, grace))
        return json_answer(200, dict(made))

    async def revoke(self, request: Request) -> Response:
        """Let a key open nothing any more."""
        await read_object(request)
        await self._changing(request, lambda books, id: books.revoke_key(id))
        return json_answer(200, {"id": request.path_params["id"], "revoked": True})

    async def change(self, request: Request) -> Response:
        """Change limits or label of a key."""
        told = await read_object(request)

        def do(books: Books, id: str) -> list[str]:
            books.change_key(id, changes_of(told, books.now_us()))
            return warnings_of(told, books.currencies())

        warnings = await self._changing(request, do)
        id: str = request.path_params["id"]
        return json_answer(200, {"id": id, "changed": True, "warnings": warnings})

    async def _changing(self, request: Request, do: Callable[[Books, str], T]) -> T:
        id: str = request.path_params["id"]

        def ask(books: Books) -> T:
            listed = books.keys()
            if all(key["id"] != id for key in listed):
                raise Refused(404, "there is no such key")
            return do(books, id)

        try:
            return await self._books.ask(ask)
        except KeyGone as error:
            raise Refused(409, str(error)) from None


def _sums_since(books: Books, moment: int) -> dict[object, dict[str, Any]]:
    found = books.reads.usage(Hours.covering(moment), ["key_id"])
    return {each.group["key_id"]: sum_of(each) for each in found}


def _month_of(now_us: int) -> int:
    """Return when the month of `now_us` began, UTC; both in µs since the epoch."""
    now = datetime.fromtimestamp(now_us / 1_000_000, UTC)
    return round(datetime(now.year, now.month, 1, tzinfo=UTC).timestamp()) * 1_000_000
