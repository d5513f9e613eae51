"""What operators' programs ask of the control listener: runtime, reload, stop, captures, metrics."""

from __future__ import annotations

from dataclasses import asdict

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from streamgauge.control.bodies import json_answer, read_object
from streamgauge.control.captures import order_of
from streamgauge.control.guard import Refused
from streamgauge.control.metrics import exposition
from streamgauge.control.plane import NotNow, Plane, ReloadRefused
from streamgauge.gateway.capturing import CaptureRefused

__all__ = ["OperationPages"]


class OperationPages:
    """One method a page, each at an address of its own."""

    def __init__(self, plane: Plane) -> None:
        self._plane = plane

    def routes(self) -> list[BaseRoute]:
        """Return what is served here."""
        return [
            Route("/admin/runtime", self.runtime, methods=["GET"]),
            Route("/admin/reload", self.reload, methods=["POST"]),
            Route("/admin/streams/{stream_id}/stop", self.stop, methods=["POST"]),
            Route("/admin/captures", self.captures, methods=["GET", "POST"]),
            Route("/metrics", self.metrics, methods=["GET"]),
        ]

    async def runtime(self, request: Request) -> Response:
        """The numbers of this moment (SPEC §11.4)."""
        try:
            return json_answer(200, asdict(await self._plane.runtime()))
        except NotNow as error:
            raise Refused(503, str(error)) from None

    async def reload(self, request: Request) -> Response:
        """Read the configuration again: 422 with the problems when it cannot be used."""
        await read_object(request)
        try:
            applied = await self._plane.reload()
        except ReloadRefused as error:
            version = self._plane.vitals().config.version
            page = {"config_version": version, "problems": list(error.problems)}
            return json_answer(422, {"reloaded": False, **page})
        except NotNow as error:
            raise Refused(409, str(error)) from None
        return json_answer(200, {"reloaded": True, **asdict(applied)})

    async def stop(self, request: Request) -> Response:
        """End a stream, whoever's it is (SPEC §11.2)."""
        await read_object(request)
        stream_id: str = request.path_params["stream_id"]
        try:
            found = await self._plane.stop_stream(stream_id)
        except NotNow as error:
            raise Refused(503, str(error)) from None
        if not found:
            raise Refused(404, "there is no such stream")
        return json_answer(200, {"id": stream_id, "stopped": True})

    async def captures(self, request: Request) -> Response:
        """What is captured, and what was; by POST, capture what comes (SPEC §12.4).

        409 where there is no folder that can be used.
        """
        orders = request.method == "POST"
        order = order_of(await read_object(request)) if orders else None
        try:
            return json_answer(200, asdict(await self._plane.captures(order)))
        except CaptureRefused as error:
            raise Refused(409, str(error)) from None
        except NotNow as error:
            raise Refused(503, str(error)) from None

    async def metrics(self, request: Request) -> Response:
        """The page for Prometheus; without the data loop's gauges while that loop is busy."""
        try:
            runtime = await self._plane.runtime()
        except NotNow:
            runtime = None
        page = exposition(self._plane.vitals(), runtime, request.headers.get("accept", ""))
        return Response(page.body, headers={"content-type": page.content_type})
