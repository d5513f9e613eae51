"""Puts the control listener together: what is served where, and who is let in. It has no page itself."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route
from starlette.types import ASGIApp

from streamgauge.control.api_captures import Captures, CapturesApi, NoCaptures
from streamgauge.control.api_doctor import Doctor, DoctorApi
from streamgauge.control.api_health import HealthApi
from streamgauge.control.api_keys import KeysApi
from streamgauge.control.api_live import LiveApi
from streamgauge.control.api_requests import RequestsApi
from streamgauge.control.api_sessions import SessionsApi
from streamgauge.control.api_upstreams import UpstreamsApi
from streamgauge.control.api_usage import UsageApi
from streamgauge.control.bodies import json_answer
from streamgauge.control.books import BooksThread
from streamgauge.control.door import Door
from streamgauge.control.events import Events
from streamgauge.control.guard import Access, Guard, Refused, refusal, wants_page
from streamgauge.control.login import login_routes
from streamgauge.control.moment import Moment
from streamgauge.control.openapi import document, page
from streamgauge.control.operations import OperationPages
from streamgauge.control.pages.files import PageFile
from streamgauge.control.pages.routes import is_page_address, login_page, no_page, page_routes
from streamgauge.control.params import check_names
from streamgauge.control.plane import Plane
from streamgauge.control.routes import PREFIX, ApiRoute

__all__ = ["api_routes", "control_app"]

_NOTHING_HERE = (
    "there is nothing at this address: /admin/api lists the admin API's; models are asked on the "
    "data listener, not on this one"
)


def control_app(
    plane: Plane,
    access: Access,
    books: BooksThread | None = None,
    captures: Captures | None = None,
    doctor: Doctor | None = None,
) -> ASGIApp:
    """Return the ASGI application that shows `plane` and `books` to whom `access` lets in.

    Without books there is no admin API and no dashboard, only what programs ask; without a doctor
    nobody is examined.
    """
    door = Door(access.token)
    routes = OperationPages(plane).routes() + login_routes(door)
    if books is not None:
        api = api_routes(plane, books, NoCaptures() if captures is None else captures, doctor)
        routes += [*_served(api), *_described(api), *page_routes(login=access.token is not None)]
    handlers: Mapping[Any, Any] = {
        HTTPException: _http_error if books is None else _with_page(no_page()),
        Refused: _refused,
        Exception: _failed,
    }
    app = Starlette(routes=routes, exception_handlers=handlers)
    return Guard(app, access, door, login_page())


def api_routes(
    plane: Plane, books: BooksThread, captures: Captures, doctor: Doctor | None
) -> list[ApiRoute]:
    """Return every route of the admin API."""
    moment = Moment(plane, books)
    started_at = time.time_ns() // 1000
    return [
        *RequestsApi(books).routes(),
        *UsageApi(books).routes(),
        *LiveApi(plane, moment, Events(moment, books)).routes(),
        *KeysApi(books).routes(),
        *UpstreamsApi(plane, books).routes(),
        *SessionsApi(books).routes(),
        *HealthApi(plane, books, moment, started_at).routes(),
        *CapturesApi(captures, books).routes(),
        *([] if doctor is None else DoctorApi(doctor).routes()),
    ]


def _served(api: Sequence[ApiRoute]) -> list[BaseRoute]:
    """Return one route a path, so that a refused method is told all that are allowed (RFC 9110 §15.5.6)."""
    paths: dict[str, dict[str, ApiRoute]] = {}
    for each in api:
        paths.setdefault(PREFIX + each.path, {})[each.method] = each
    return [Route(path, _by_method(found), methods=list(found)) for path, found in paths.items()]


def _by_method(found: Mapping[str, ApiRoute]) -> Callable[[Request], Awaitable[Response]]:
    async def serve(request: Request) -> Response:
        route = found["GET" if request.method == "HEAD" else request.method]
        check_names(request, route.queries)
        return await route.serve(request)

    return serve


def _described(api: Sequence[ApiRoute]) -> list[BaseRoute]:
    told, shown = document(api), page(api)

    async def described(request: Request) -> Response:
        return json_answer(200, told)

    async def read(request: Request) -> Response:
        return Response(shown, media_type="text/html")

    return [
        Route("/admin/openapi.json", described, methods=["GET"]),
        Route("/admin/api", read, methods=["GET"]),
    ]


def _http_error(request: Request, error: HTTPException) -> Response:
    """What Starlette itself refuses: unknown paths and methods."""
    detail = _NOTHING_HERE if error.status_code == 404 else error.detail
    answer = refusal(Refused(error.status_code, detail))
    answer.headers.update(error.headers or {})
    return answer


def _with_page(page: PageFile) -> Callable[[Request, HTTPException], Response]:
    """The same where there are screens: who mistypes the address of one is shown `page`."""

    def answer(request: Request, error: HTTPException) -> Response:
        meant = wants_page(request.scope) and is_page_address(request.url.path)
        if error.status_code != 404 or not meant:
            return _http_error(request, error)
        return Response(page.body, 404, {"content-type": page.content_type})

    return answer


def _refused(request: Request, error: Refused) -> Response:
    return refusal(error)


def _failed(request: Request, error: Exception) -> Response:
    """A fault of ours. Starlette raises it again behind this answer, so that the log has it."""
    return refusal(Refused(500, "the gateway failed to answer this; its log has the cause"))
