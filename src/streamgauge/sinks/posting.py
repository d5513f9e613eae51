"""Posts bodies to one HTTP server, a connection each. Knows neither rows nor what the bodies mean."""

from __future__ import annotations

import http.client
import socket
import ssl
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from urllib.parse import urlsplit

from streamgauge.sinks.cursor import Unavailable

__all__ = ["Answer", "Posting"]

_TIMEOUT_SECONDS = 10.0
_MOST_ANSWER = 65_536


@dataclass(frozen=True, slots=True)
class Answer:
    """What a server said. `after`: the seconds of its `retry-after`, or None."""

    status: int
    reason: str
    body: bytes
    after: float | None

    @property
    def accepted(self) -> bool:
        """Whether the body was taken."""
        return 200 <= self.status < 300


class Posting:
    """One connection a body: batches are seconds apart. No proxy is asked, no redirect followed."""

    def __init__(self, url: str, headers: Mapping[str, str]) -> None:
        """`url` may have a path of its own; what is posted goes below it."""
        self._url = urlsplit(url)
        self._below = self._url.path.rstrip("/")
        self._headers = dict(headers)
        self._tls = ssl.create_default_context() if self._url.scheme == "https" else None
        self._connection: http.client.HTTPConnection | None = None
        self._closed = False

    def post(self, target: str, body: bytes) -> Answer:
        """Return what the server answers, whatever it is; raise Unavailable where nothing comes."""
        if self._closed:
            raise Unavailable("closed")
        self._connection = connection = self._connected()
        try:
            connection.request("POST", self._below + target, body, self._headers)
            response = connection.getresponse()
            answer = response.read(_MOST_ANSWER)
            after = response.getheader("retry-after", "")
        except (OSError, http.client.HTTPException) as error:
            raise Unavailable(f"{type(error).__name__}: {error}") from error
        finally:
            connection.close()
        return Answer(response.status, response.reason, answer, _seconds(after))

    def close(self) -> None:
        """Cut a request that is under way, and begin no other; from any thread."""
        self._closed = True
        connection = self._connection
        if connection is not None and connection.sock is not None:
            with suppress(OSError):
                connection.sock.shutdown(socket.SHUT_RDWR)

    def _connected(self) -> http.client.HTTPConnection:
        host, port = str(self._url.hostname), self._url.port
        if self._tls is not None:
            return http.client.HTTPSConnection(
                host, port, timeout=_TIMEOUT_SECONDS, context=self._tls
            )
        return http.client.HTTPConnection(host, port, timeout=_TIMEOUT_SECONDS)


def _seconds(after: str) -> float | None:
    return float(after) if after.isascii() and after.isdigit() else None
