"""The admin API's doctor: an examination when it is asked for, and the last one. It examines nothing."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping
from typing import Any, Protocol

from starlette.requests import Request
from starlette.responses import Response

from streamgauge.control.bodies import json_answer, read_object
from streamgauge.control.guard import Refused
from streamgauge.control.plane import NotNow
from streamgauge.control.routes import ApiRoute
from streamgauge.control.schemas import record, ref

__all__ = ["Doctor", "DoctorApi"]


class Doctor(Protocol):
    """Examines a gateway's house and its upstreams."""

    async def examine(self) -> Mapping[str, Any]:
        """Return findings, what is well and what was left out, as JSON, within 30 s.

        Nothing is spent. To be asked once at a time. Raises NotNow.
        """


class DoctorApi:
    """Two routes. Holds: one examination runs at most; who asks meanwhile is told of that one."""

    def __init__(self, doctor: Doctor) -> None:
        self._doctor = doctor
        self._running: asyncio.Task[dict[str, Any]] | None = None
        self._last: dict[str, Any] | None = None

    def routes(self) -> list[ApiRoute]:
        """Return what is served here."""
        last = {"anyOf": [ref("Report"), {"type": "null"}]}
        told = record(running="boolean", report=last)
        what = "Examine this machine and each upstream, for nothing."
        return [
            ApiRoute("GET", "/doctor", self.last, "The last examination.", told),
            ApiRoute("POST", "/doctor", self.examine, what, ref("Report"), body=record()),
        ]

    async def last(self, request: Request) -> Response:
        """Return the report of the last examination since the start, if there was one."""
        return json_answer(200, {"running": self._running is not None, "report": self._last})

    async def examine(self, request: Request) -> Response:
        """Examine now, and wait for the report."""
        await read_object(request)
        if self._running is None:
            self._running = asyncio.create_task(self._examine(), name="doctor")
        try:
            # Its own task: one who leaves takes it from nobody who waits for the same.
            return json_answer(200, await asyncio.shield(self._running))
        except NotNow as error:
            raise Refused(503, str(error)) from None

    async def _examine(self) -> dict[str, Any]:
        at, began = time.time_ns() // 1000, time.monotonic()
        try:
            found = await self._doctor.examine()
        finally:
            self._running = None
        took_ms = round((time.monotonic() - began) * 1000, 1)
        self._last = {"at": at, "took_ms": took_ms, **found}
        return self._last
