"""A visit to a gateway: where, with which key, what it may cost. It judges nothing."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from typing import Any

import msgspec

from streamgauge.core.record import Status
from streamgauge.tools.doctor.address import Address
from streamgauge.tools.doctor.asking import Wanted, chat_body, wants_newer_name
from streamgauge.tools.doctor.catalogue import Proxy
from streamgauge.tools.doctor.hearing import Heard, hear
from streamgauge.tools.doctor.report import Report
from streamgauge.tools.doctor.wire import Answer, Unanswered, fetch

__all__ = ["Visit", "has_ended"]

_LOOK_SECONDS = 0.05
_STREAM_SECONDS = 60.0
_OK = 200

Ask = Callable[[str, int | None], bool]
"""Asks for leave to spend: the model and the estimate in nano-units, None where it is unknown."""


def has_ended(row: Mapping[str, Any]) -> bool:
    """Return whether a stream's state is its last: no more row is to come."""
    return row.get("status") not in (None, Status.IN_FLIGHT)


def _refuse(_model: str, _nano: int | None) -> bool:
    return False


@dataclass(frozen=True, slots=True)
class Visit:
    """`free`: names of upstreams that are known to cost nothing. `keepalive_seconds`: the gateway's.

    `silence`: seconds for which a simulated stream falls silent, to see who cuts it; 0 for not.
    """

    address: Address
    subject: str
    report: Report
    key: str | None = field(default=None, repr=False)
    model: str | None = None
    spend: bool = False
    free: Collection[str] = ()
    ask: Ask = _refuse
    silence: float = 0.0
    keepalive_seconds: float = 15.0

    def say(self, text: str) -> None:
        """Tell what is done next."""
        self.report.progress(f"{self.subject}: {text}")

    def find(
        self,
        id: str,
        measured: str,
        proxy: Proxy | None = None,
        **figures: float | int | None,
    ) -> None:
        """Note a finding."""
        self.report.find(id, self.subject, measured, proxy, **figures)

    def note(self, text: str, **figures: float | int | None) -> None:
        """Note what is well."""
        self.report.note(self.subject, text, **figures)

    def _headers(self) -> list[tuple[str, str]]:
        return [] if self.key is None else [("authorization", f"Bearer {self.key}")]

    async def get(self, path: str) -> Answer:
        """Return a page. Raises Unanswered."""
        return await fetch(self.address, self.address.request("GET", path, b"", self._headers()))

    async def post(self, path: str, body: bytes, seconds: float = 5.0) -> Answer:
        """Return the answer to a request that is no stream. Raises Unanswered."""
        request = self.address.request("POST", path, body, self._headers())
        return await fetch(self.address, request, seconds)

    async def stream(
        self,
        model: str,
        wanted: Wanted,
        *,
        leave: Callable[[Heard], bool] = lambda _: False,
        seconds: float = _STREAM_SECONDS,
    ) -> tuple[Answer, Heard]:
        """Listen to a stream through the gateway, its record in a comment. Raises Unanswered."""
        newer = False
        while True:
            path, body = chat_body("openai", model, wanted, newer_name=newer)
            headers = [*self._headers(), ("x-streamgauge-meta", "comment")]
            request = self.address.request("POST", path, body, headers)
            answer, heard = await hear(
                self.address, request, "openai", seconds=seconds, leave=leave
            )
            if newer or not wants_newer_name(heard.refusal):
                return answer, heard
            newer = True

    async def state(
        self, stream_id: str, wanted: Callable[[dict[str, Any]], bool], seconds: float
    ) -> dict[str, Any] | None:
        """Look at a stream's state until it is `wanted` or `seconds` have passed; return the last.

        None: the gateway behind this URL does not know the stream.
        """
        deadline = time.monotonic() + seconds
        found: dict[str, Any] | None = None
        while True:
            try:
                page = await self.get(f"/v1/streams/{stream_id}")
                found = msgspec.json.decode(page.body) if page.status == _OK else None
            except (Unanswered, msgspec.DecodeError, UnicodeDecodeError):
                found = None
            if not isinstance(found, dict) or wanted(found) or time.monotonic() > deadline:
                return found if isinstance(found, dict) else None
            await asyncio.sleep(_LOOK_SECONDS)  # a page has no event to wait for
