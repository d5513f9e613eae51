"""The admin API's captures: which there are, one as it was written, its proof, away with it. Reads none."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from dataclasses import asdict, dataclass
from typing import Any, BinaryIO, Protocol

from starlette.requests import Request
from starlette.responses import Response, StreamingResponse

from streamgauge.control.bodies import json_answer, read_object
from streamgauge.control.books import BooksThread
from streamgauge.control.guard import Refused
from streamgauge.control.routes import ApiRoute
from streamgauge.control.schemas import array, record, ref

__all__ = [
    "CaptureFile",
    "CaptureUnproved",
    "Captures",
    "CapturesApi",
    "CapturesRefused",
    "NoCaptures",
]

_PIECE = 1 << 16
_KIND = "application/x-ndjson"
_BY_HAND = "`streamgauge verify FILE` checks any"
_PROOF_SECONDS = 20.0
"""Twice what the largest capture that is proved here takes on a slow machine; others wait for it."""


class CapturesRefused(Exception):
    """The folder of captures cannot be used; the message says why."""


class CaptureUnproved(Exception):
    """A capture that cannot be proved here; the message says why, and what can be done."""


@dataclass(frozen=True, slots=True)
class CaptureFile:
    """A capture: the exchange's id, its size, and when it was last written to (µs, epoch)."""

    id: str
    bytes: int
    at: int


class Captures(Protocol):
    """The captures of a gateway. Every method may block, and raise CapturesRefused."""

    @property
    def enabled(self) -> bool:
        """Whether there is a folder for them."""

    def listed(self) -> list[CaptureFile]:
        """Return all of them, the newest first."""

    def open(self, id: str) -> BinaryIO | None:
        """Return an open file, or None where there is none."""

    def delete(self, id: str) -> bool:
        """Delete one; return whether it was there."""

    def prove(self, id: str, row: Mapping[str, Any] | None) -> Mapping[str, Any] | None:
        """Check what the client was sent, `row` the witness; None where there is no such capture.

        Returns it as JSON, within seconds. Raises CaptureUnproved.
        """


class NoCaptures:
    """Implements Captures for a gateway that makes none."""

    enabled = False

    def listed(self) -> list[CaptureFile]:
        """None are there."""
        return []

    def open(self, id: str) -> BinaryIO | None:
        """None is there."""
        return None

    def delete(self, id: str) -> bool:
        """None was there."""
        return False

    def prove(self, id: str, row: Mapping[str, Any] | None) -> Mapping[str, Any] | None:
        """None is there."""
        return None


class CapturesApi:
    """Four routes. One capture is proved at a time: that takes the processor from running streams."""

    def __init__(self, captures: Captures, books: BooksThread) -> None:
        self._captures = captures
        self._books = books
        self._proving = asyncio.Lock()

    def routes(self) -> list[ApiRoute]:
        """Return what is served here."""
        file = record(id="string", bytes="integer", at="integer")
        listed, gone = (
            record(enabled="boolean", captures=array(file)),
            record(id="string", deleted="boolean"),
        )
        one, text = "/captures/{id}", {"type": "string"}
        return [
            ApiRoute("GET", "/captures", self.listed, "Captures, newest first.", listed),
            ApiRoute("GET", one, self.download, "A capture as it was written.", text, kind=_KIND),
            ApiRoute("DELETE", one, self.delete, "Delete a capture.", gone, body=record()),
            ApiRoute("GET", f"{one}/proof", self.proof, "What verify says of it.", ref("Proof")),
        ]

    async def listed(self, request: Request) -> Response:
        """Return which there are."""
        try:
            found = await asyncio.to_thread(self._captures.listed)
        except CapturesRefused as error:
            raise Refused(503, str(error)) from None
        files = [asdict(each) for each in found]
        return json_answer(200, {"enabled": self._captures.enabled, "captures": files})

    async def download(self, request: Request) -> Response:
        """Send a capture."""
        id: str = request.path_params["id"]
        try:
            file = await asyncio.to_thread(self._captures.open, id)
        except CapturesRefused as error:
            raise Refused(503, str(error)) from None
        if file is None:
            raise Refused(404, "there is no such capture")
        headers = {"content-disposition": f'attachment; filename="{id}.jsonl"'}
        return StreamingResponse(_pieces(file), 200, headers, _KIND)

    async def proof(self, request: Request) -> Response:
        """Check what the client was sent, held against its row in the ledger."""
        id: str = request.path_params["id"]
        found = await self._books.ask(lambda books: books.reads.exchange(id))
        row = None if found is None else found[0]
        try:
            async with asyncio.timeout(_PROOF_SECONDS), self._proving:
                proof = await asyncio.to_thread(self._captures.prove, id, row)
        except TimeoutError:
            raise Refused(503, f"not proved within {_PROOF_SECONDS:g} s: {_BY_HAND}") from None
        except CapturesRefused as error:
            raise Refused(503, str(error)) from None
        except CaptureUnproved as error:
            raise Refused(422, f"{error}: {_BY_HAND}") from None
        if proof is None:
            raise Refused(404, "there is no such capture")
        return json_answer(200, proof)

    async def delete(self, request: Request) -> Response:
        """Delete a capture."""
        await read_object(request)
        id: str = request.path_params["id"]
        try:
            gone = await asyncio.to_thread(self._captures.delete, id)
        except CapturesRefused as error:
            raise Refused(503, str(error)) from None
        if not gone:
            raise Refused(404, "there is no such capture")
        return json_answer(200, {"id": id, "deleted": True})


async def _pieces(file: BinaryIO) -> AsyncIterator[bytes]:
    with file:
        while piece := await asyncio.to_thread(file.read, _PIECE):
            yield piece
