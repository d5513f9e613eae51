"""Sends closed rows to InfluxDB: v1 /write, v2 /api/v2/write, v3 (SPEC §16.1). Knows no ledger.

A point that is sent again is the same point: equal tags and an equal time overwrite, so that no
repetition counts twice.
"""

from __future__ import annotations

import base64
import http.client
import json
import socket
import ssl
from collections.abc import Mapping, Sequence
from contextlib import suppress
from operator import itemgetter
from urllib.parse import urlencode, urlsplit

from streamgauge.config.exporters import Influxdb
from streamgauge.core.record import ExchangeRecord
from streamgauge.sinks.cursor import Closed, Refused, Unavailable
from streamgauge.sinks.labels import NONE, Labels
from streamgauge.sinks.line_protocol import PointShape
from streamgauge.sinks.numbers import numbers_of

__all__ = ["FIELDS", "SOURCE_COLUMNS", "TAGS", "InfluxDestination"]

TAGS = ("upstream", "model", "dialect", "status", "streaming")
"""SPEC §16.2. All of them closed lists or configured names, else `other`."""

_TEXTS = ("id", "currency", "usage_source", "input_source")
"""What the numbers cannot be read without: whose they are, in which money, how sure."""

FIELDS = (*numbers_of(ExchangeRecord), *_TEXTS)
_NAMES = ("upstream_model", "response_model", "requested_model")
SOURCE_COLUMNS = (*FIELDS, "upstream", "dialect", "status", "streaming", *_NAMES)
"""The columns that `send` needs of a row."""

_FIELDS_OF, _NAMES_OF = itemgetter(*FIELDS), itemgetter(*_NAMES)

_TIMEOUT_SECONDS = 10.0
_MOST_ANSWER = 65_536
_REFUSALS = frozenset({400, 413, 422})
_STREAMING: Mapping[object, str] = {None: NONE, 0: "false", 1: "true"}

_FORGOTTEN = "beyond retention policy"
"""InfluxDB says so of points that it would delete at once, after it has written the others."""


class InfluxDestination:
    """Implements Destination. One connection a batch: batches are seconds apart."""

    def __init__(self, settings: Influxdb, labels: Labels) -> None:
        self._labels = labels
        self._shape = PointShape(settings.measurement, TAGS, FIELDS)
        self._url = urlsplit(settings.url)
        self._target = self._url.path.rstrip("/") + _path(settings)
        self._headers = {"content-type": "text/plain; charset=utf-8", **_credentials(settings)}
        self._tls = ssl.create_default_context() if self._url.scheme == "https" else None
        self._connection: http.client.HTTPConnection | None = None
        self._closed = False

    def send(self, rows: Sequence[Closed]) -> None:
        """Write the rows as points of one request."""
        body = "\n".join([self.shown(row) for row in rows]).encode("utf-8", "replace")
        status, reason, answer, after = self._post(body)
        if 200 <= status < 300:
            return
        message = f"HTTP {status}: {_message(answer) or reason}"
        if status in _REFUSALS:
            if _FORGOTTEN in message:
                return
            raise Refused(message)
        raise Unavailable(message, after)

    def conclude(self, rows: Sequence[Closed], state: str | None) -> str | None:
        """Nothing is made of a batch as a whole."""
        return state

    def shown(self, row: Closed) -> str:
        """Return the row's line."""
        _, time_ns, values = row
        labels = self._labels
        tags = (
            labels.upstream(values["upstream"]),
            labels.model(*_NAMES_OF(values)),
            labels.dialect(values["dialect"]),
            values["status"],
            _STREAMING[values["streaming"]],
        )
        return self._shape.line(tags, _FIELDS_OF(values), time_ns)

    def close(self) -> None:
        """Cut a request that is under way."""
        self._closed = True
        connection = self._connection
        if connection is not None and connection.sock is not None:
            with suppress(OSError):
                connection.sock.shutdown(socket.SHUT_RDWR)

    def _post(self, body: bytes) -> tuple[int, str, bytes, float | None]:
        if self._closed:
            raise Unavailable("closed")
        self._connection = connection = self._connected()
        try:
            connection.request("POST", self._target, body, self._headers)
            response = connection.getresponse()
            answer = response.read(_MOST_ANSWER)
            after = response.getheader("retry-after", "")
        except (OSError, http.client.HTTPException) as error:
            raise Unavailable(f"{type(error).__name__}: {error}") from error
        finally:
            connection.close()
        return response.status, response.reason, answer, _seconds(after)

    def _connected(self) -> http.client.HTTPConnection:
        host, port = str(self._url.hostname), self._url.port
        if self._tls is not None:
            return http.client.HTTPSConnection(
                host, port, timeout=_TIMEOUT_SECONDS, context=self._tls
            )
        return http.client.HTTPConnection(host, port, timeout=_TIMEOUT_SECONDS)


def _path(settings: Influxdb) -> str:
    match settings.version:
        case 1:
            return "/write?" + urlencode({"db": settings.database, "precision": "ns"})
        case 2:
            place = {"org": settings.org, "bucket": settings.bucket, "precision": "ns"}
            return "/api/v2/write?" + urlencode({k: v for k, v in place.items() if v is not None})
        case 3:
            place = {"db": settings.database, "precision": "nanosecond"}
            return "/api/v3/write_lp?" + urlencode(place)


def _credentials(settings: Influxdb) -> dict[str, str]:
    if settings.token is not None:
        scheme = "Bearer" if settings.version == 3 else "Token"
        return {"authorization": f"{scheme} {settings.token.get_secret_value()}"}
    if settings.username is None:
        return {}
    password = settings.password.get_secret_value() if settings.password is not None else ""
    pair = base64.b64encode(f"{settings.username}:{password}".encode()).decode()
    return {"authorization": f"Basic {pair}"}


def _message(answer: bytes) -> str:
    """Return what a server says of itself, in one line and in bounds."""
    text = answer.decode("utf-8", "replace")
    try:
        told = json.loads(text)
    except ValueError:
        told = None
    if isinstance(told, dict):
        text = str(told.get("error") or told.get("message") or text)
    return " ".join(text.split())[:300]


def _seconds(after: str) -> float | None:
    return float(after) if after.isascii() and after.isdigit() else None
