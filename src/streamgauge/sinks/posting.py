"""Posts bodies to one HTTP server, a connection each. Knows neither rows nor what the bodies mean."""

from __future__ import annotations

import http.client
import socket
import ssl
import threading
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from urllib.parse import urlsplit

from streamgauge.core.refusal import redacted
from streamgauge.sinks.cursor import Unavailable

__all__ = ["Answer", "Posting"]

_TIMEOUT_SECONDS = 10.0
"""How long one read or write may take."""

_WHOLE_SECONDS = 30.0
"""How long all of them may take: who answers a byte at a time is as good as away."""

_MOST_ANSWER = 65_536
_MOST_TOLD = 300
"""Characters of what a stranger said: it goes into the log and on screens."""


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

    def __init__(
        self,
        url: str,
        headers: Mapping[str, str],
        secrets: Iterable[str] = (),
        whole_seconds: float = _WHOLE_SECONDS,
    ) -> None:
        """`url` may have a path of its own; what is posted goes below it.

        `secrets`: what the server knows from the headers and may repeat.
        """
        self._url = urlsplit(url)
        self._below = self._url.path.rstrip("/")
        self._headers = dict(headers)
        self._secrets = frozenset(secrets)
        self._tls = ssl.create_default_context() if self._url.scheme == "https" else None
        self._whole_seconds = whole_seconds
        self._socket: socket.socket | None = None
        self._closed = False

    def post(self, target: str, body: bytes) -> Answer:
        """Return what the server answers, whatever it is; raise Unavailable where nothing comes."""
        if self._closed:
            raise Unavailable("closed")
        connection, late = self._connected(), threading.Event()
        timer = threading.Timer(self._whole_seconds, self._give_up, [late])
        timer.daemon = True
        timer.start()
        try:
            connection.connect()
            # Kept beside: the connection forgets its socket before a body that ends with it.
            self._socket = connection.sock
            connection.request("POST", self._below + target, body, self._headers)
            response = connection.getresponse()
            answer = response.read(_MOST_ANSWER)
            after = response.getheader("retry-after", "")
        except (OSError, http.client.HTTPException) as error:
            told = f"{type(error).__name__}: {error}"
            if late.is_set():
                told = f"no answer within {self._whole_seconds:g} s"
            raise Unavailable(self.repeatable(told)) from error
        finally:
            timer.cancel()
            self._socket = None
            connection.close()
        return Answer(response.status, response.reason, answer, _seconds(after))

    def repeatable(self, text: str) -> str:
        """Return what the server said in one line, in bounds, without our secrets (FAULTS S11)."""
        return " ".join(redacted(text, self._secrets).split())[:_MOST_TOLD]

    def close(self) -> None:
        """Cut a request that is under way, and begin no other; from any thread."""
        self._closed = True
        self._cut()

    def _give_up(self, late: threading.Event) -> None:
        late.set()
        self._cut()

    def _cut(self) -> None:
        it = self._socket
        if it is not None:
            with suppress(OSError):
                it.shutdown(socket.SHUT_RDWR)

    def _connected(self) -> http.client.HTTPConnection:
        host, port = str(self._url.hostname), self._url.port
        if self._tls is not None:
            return http.client.HTTPSConnection(
                host, port, timeout=_TIMEOUT_SECONDS, context=self._tls
            )
        return http.client.HTTPConnection(host, port, timeout=_TIMEOUT_SECONDS)


def _seconds(after: str) -> float | None:
    return float(after) if after.isascii() and after.isdigit() else None
