"""Fetches one small whole answer from an upstream: pages, model lists, token counts. No streams."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass

from streamgauge.gateway.http import EndKind, FailKind, Header, UpstreamCall
from streamgauge.gateway.pool import Pool
from streamgauge.gateway.upstreams import UpstreamRuntime

__all__ = ["FetchError", "Fetched", "fetch"]

FETCH_LIMIT = 8 * 1024 * 1024
"""Bytes: the largest page that is read."""


class FetchError(Exception):
    """No whole answer came. The message holds nothing that the upstream said.

    `ours`: we had no descriptor left for the call, which says nothing of the upstream.
    """

    def __init__(self, message: str, *, ours: bool = False) -> None:
        super().__init__(message)
        self.ours = ours


@dataclass(frozen=True, slots=True)
class Fetched:
    """A whole answer."""

    status: int
    headers: tuple[Header, ...]
    body: bytes

    def header(self, name: bytes) -> bytes | None:
        """Return the first value of header `name` (lower case), or None."""
        return next((value for key, value in self.headers if key == name), None)


class _Collector:
    """Implements UpstreamEvents for one call."""

    def __init__(self, request: bytes) -> None:
        self.call: UpstreamCall | None = None
        self.done: asyncio.Future[Fetched] = asyncio.get_running_loop().create_future()
        self._request = request
        self._status = 0
        self._headers: tuple[Header, ...] = ()
        self._body = bytearray()

    def upstream_connected(self) -> None:
        if self.call is not None:
            self.call.send(self._request)

    def upstream_failed(self, kind: FailKind, message: str, sent: bool) -> None:
        self._fail(f"no answer: {kind.value}", ours=kind is FailKind.EXHAUSTED)

    def upstream_head(self, status: int, headers: tuple[Header, ...]) -> None:
        self._status, self._headers = status, headers

    def upstream_data(self, data: bytes) -> None:
        self._body += data
        if len(self._body) > FETCH_LIMIT:
            if self.call is not None:
                self.call.close()
            self._fail("the answer is too large")

    def upstream_end(self, kind: EndKind, message: str) -> None:
        if kind is not EndKind.COMPLETE:
            self._fail(f"the answer was not whole: {kind.value}")
        elif not self.done.done():
            self.done.set_result(Fetched(self._status, self._headers, bytes(self._body)))

    def _fail(self, message: str, *, ours: bool = False) -> None:
        if not self.done.done():
            self.done.set_exception(FetchError(message, ours=ours))


async def fetch(
    pool: Pool,
    upstream: UpstreamRuntime,
    method: str,
    path: str,
    body: bytes = b"",
    *,
    client: tuple[Header, ...] = (),
    seconds: float = 5.0,
) -> Fetched:
    """Return the answer to one request, whatever its status. Raises FetchError, also when late."""
    collector = _Collector(upstream.request(method, path, body, client=client))
    collector.call = pool.open(upstream.target, collector)
    try:
        async with asyncio.timeout(seconds):
            return await collector.done
    except TimeoutError:
        raise FetchError(f"no whole answer within {seconds:g} s") from None
    finally:
        collector.call.close()
