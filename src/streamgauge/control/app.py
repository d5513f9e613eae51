"""The control listener's pages: runtime, reload, metrics. They compute no number of their own."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.routing import Route
from starlette.types import ASGIApp

from streamgauge.control.guard import Access, Guard, Refused, refusal
from streamgauge.control.metrics import exposition
from streamgauge.control.plane import NotNow, Plane, ReloadRefused

__all__ = ["control_app"]

_MAX_BODY = 64 * 1024
"""No page of this listener reads more than a few fields."""
_BODY_SECONDS = 10.0


def control_app(plane: Plane, access: Access) -> ASGIApp:
    """Return the ASGI application that shows `plane` to whom `access` lets in."""
    pages = _Pages(plane)
    routes = [
        Route("/admin/runtime", pages.runtime, methods=["GET"]),
        Route("/admin/reload", pages.reload, methods=["POST"]),
        Route("/metrics", pages.metrics, methods=["GET"]),
    ]
    handlers: Mapping[Any, Any] = {HTTPException: _http_error, Refused: _refused}
    return Guard(Starlette(routes=routes, exception_handlers=handlers), access)


class _Pages:
    """One method a page."""

    def __init__(self, plane: Plane) -> None:
        self._plane = plane

    async def runtime(self, request: Request) -> Response:
        """The numbers of this moment (SPEC §11.4)."""
        try:
            return _json(200, asdict(await self._plane.runtime()))
        except NotNow as error:
            raise Refused(503, str(error)) from None

    async def reload(self, request: Request) -> Response:
        """Read the configuration again: 422 with the problems when it cannot be used."""
        await _read_object(request)
        try:
            applied = await self._plane.reload()
        except ReloadRefused as error:
            version = self._plane.vitals().config.version
            page = {"config_version": version, "problems": list(error.problems)}
            return _json(422, {"reloaded": False, **page})
        except NotNow as error:
            raise Refused(409, str(error)) from None
        return _json(200, {"reloaded": True, **asdict(applied)})

    async def metrics(self, request: Request) -> Response:
        """The page for Prometheus; without the data loop's gauges while that loop is busy."""
        try:
            runtime = await self._plane.runtime()
        except NotNow:
            runtime = None
        page = exposition(self._plane.vitals(), runtime, request.headers.get("accept", ""))
        return Response(page.body, headers={"content-type": page.content_type})


async def _read_object(request: Request) -> dict[str, Any]:
    """Return the JSON object of the body; an empty body is an empty object. Raises Refused."""
    body = bytearray()
    try:
        async with asyncio.timeout(_BODY_SECONDS):
            async for piece in request.stream():
                body += piece
                if len(body) > _MAX_BODY:
                    raise Refused(413, "the body is larger than 64 KiB", connection="close")
    except TimeoutError:
        raise Refused(408, "the body did not come in time", connection="close") from None
    except ClientDisconnect:
        raise Refused(400, "the body ended early", connection="close") from None
    try:
        found = json.loads(body or b"{}")
    except (ValueError, RecursionError):
        raise Refused(400, "the body is no JSON") from None
    if not isinstance(found, dict):
        raise Refused(400, "the body must be a JSON object")
    return found


def _json(status: int, page: Any) -> Response:
    return Response(json.dumps(page), status, media_type="application/json")


def _http_error(request: Request, error: HTTPException) -> Response:
    """What Starlette itself refuses: unknown paths and methods."""
    answer = refusal(Refused(error.status_code, error.detail))
    answer.headers.update(error.headers or {})
    return answer


def _refused(request: Request, error: Refused) -> Response:
    return refusal(error)
