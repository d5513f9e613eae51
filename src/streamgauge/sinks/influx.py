"""Sends closed rows to InfluxDB: v1 /write, v2 /api/v2/write, v3 (SPEC §16.1). Knows no ledger.

A point that is sent again is the same point: equal tags and an equal time overwrite, so that no
repetition counts twice.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping, Sequence
from operator import itemgetter
from urllib.parse import urlencode

from streamgauge.config.exporters import Influxdb
from streamgauge.core.record import ExchangeRecord
from streamgauge.sinks.cursor import Closed, Refused, Unavailable
from streamgauge.sinks.dropped import Dropped
from streamgauge.sinks.labels import NONE, Labels
from streamgauge.sinks.line_protocol import PointShape
from streamgauge.sinks.numbers import numbers_of
from streamgauge.sinks.posting import Answer, Posting

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

_REFUSALS = frozenset({400, 413, 422})
_STREAMING: Mapping[object, str] = {None: NONE, 0: "false", 1: "true"}

_FORGOTTEN = "beyond retention policy"
"""InfluxDB says so of points that it would delete at once, after it has written the others."""


class InfluxDestination:
    """Implements Destination."""

    def __init__(self, settings: Influxdb, labels: Labels) -> None:
        self._labels = labels
        self._shape = PointShape(settings.measurement, TAGS, FIELDS)
        self._target = _path(settings)
        headers = {"content-type": "text/plain; charset=utf-8", **_credentials(settings)}
        self._posting = Posting(settings.url, headers, _secrets(settings, headers))

    def send(self, rows: Sequence[Closed]) -> None:
        """Write the rows as points of one request."""
        body = "\n".join([self.shown(row) for row in rows]).encode("utf-8", "replace")
        answer = self._posting.post(self._target, body)
        if answer.accepted:
            return
        message = f"HTTP {answer.status}: {self._said(answer)}"
        if answer.status in _REFUSALS:
            if _FORGOTTEN in message:
                return
            raise Refused(message)
        raise Unavailable(message, answer.after)

    def _said(self, answer: Answer) -> str:
        return self._posting.repeatable(_message(answer.body) or answer.reason)

    def conclude(self, rows: Sequence[Closed], state: str | None) -> str | None:
        """Nothing is made of a batch as a whole."""
        return state

    def dropped(self) -> Sequence[Dropped]:
        """Nothing that it tells of: what it does not write, it refuses."""
        return ()

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
        self._posting.close()


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


def _secrets(settings: Influxdb, headers: Mapping[str, str]) -> set[str]:
    """Return token and password, also as they are sent."""
    found = {headers.get("authorization", "").rpartition(" ")[2]}
    told = (settings.token, settings.password)
    return found | {secret.get_secret_value() for secret in told if secret is not None}


def _message(answer: bytes) -> str:
    """Return what a server says of itself."""
    text = answer.decode("utf-8", "replace")
    try:
        told = json.loads(text)
    except ValueError:
        told = None
    if isinstance(told, dict):
        text = str(told.get("error") or told.get("message") or text)
    return text.strip()
