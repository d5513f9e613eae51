"""The admin API's present: live streams, the summary, the events, a stop. It measures nothing."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from starlette.requests import Request
from starlette.responses import Response, StreamingResponse

from streamgauge.control.bodies import json_answer, read_object
from streamgauge.control.events import Events
from streamgauge.control.guard import Refused
from streamgauge.control.moment import Moment
from streamgauge.control.plane import NotNow, Plane
from streamgauge.control.routes import ApiRoute
from streamgauge.control.schemas import array, record, ref

__all__ = ["LiveApi"]

_HEADERS: Mapping[str, str] = {"x-accel-buffering": "no"}
"""A proxy in between must not collect events."""


class LiveApi:
    """Four routes."""

    def __init__(self, plane: Plane, moment: Moment, events: Events) -> None:
        self._plane = plane
        self._moment = moment
        self._events = events

    def routes(self) -> list[ApiRoute]:
        """Return what is served here."""
        ledger = record(healthy="boolean", reason="string?", queue="integer", spool="integer")
        summary = record(
            at="integer",
            streams="integer?",
            requests_last_minute="integer",
            tokens_per_second="number?",
            today=ref("Sum"),
            ledger=ledger,
            config=ref("ConfigState"),
            drained=array({"type": "string"}),
            stopping="boolean",
            version="string",
        )
        stopped = record(id="string", stopped="boolean")
        events = ApiRoute(
            "GET",
            "/events",
            self.events,
            "Server-sent events: live, summary, closed, health, config, gone.",
            {"type": "string"},
            kind="text/event-stream",
        )
        return [
            ApiRoute("GET", "/summary", self.summary, "The strip of the Live screen.", summary),
            ApiRoute("GET", "/live", self.live, "The streams of this moment.", ref("Live")),
            events,
            ApiRoute(
                "POST", "/streams/{id}/stop", self.stop, "End a stream.", stopped, body=record()
            ),
        ]

    async def summary(self, request: Request) -> Response:
        """Return the numbers of the strip."""
        return json_answer(200, await self._moment.summary())

    async def live(self, request: Request) -> Response:
        """Return the live streams."""
        try:
            return json_answer(200, await self._moment.live())
        except NotNow as error:
            raise Refused(503, str(error)) from None

    async def events(self, request: Request) -> Response:
        """Send events until the reader leaves; who asks for the head alone gets no more."""
        if request.method == "HEAD":
            return Response(None, 200, _HEADERS, "text/event-stream")
        try:
            source = self._events.watch()
        except NotNow as error:
            raise Refused(503, str(error), retry_after="30") from None
        return StreamingResponse(source, 200, _HEADERS, "text/event-stream")

    async def stop(self, request: Request) -> Response:
        """End a stream, whoever's it is (SPEC §11.2)."""
        await read_object(request)
        id: str = request.path_params["id"]
        try:
            found = await self._plane.stop_stream(id)
        except NotNow as error:
            raise Refused(503, str(error)) from None
        if not found:
            raise Refused(404, "there is no such stream")
        page: dict[str, Any] = {"id": id, "stopped": True}
        return json_answer(200, page)
