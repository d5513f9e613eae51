"""OpenTelemetry's own variables, for an `exporters.otlp` that names no receiver. Knows no schema."""

from __future__ import annotations

from collections.abc import Mapping
from urllib.parse import unquote

from streamgauge.config.document import Document
from streamgauge.config.expand import Expanded
from streamgauge.config.positions import Path, Place
from streamgauge.config.problems import Problem

__all__ = ["apply_otel_variables"]

_PREFIX = "OTEL_EXPORTER_OTLP_"
_ENDPOINT, _HEADERS, _PROTOCOL = (_PREFIX + name for name in ("ENDPOINT", "HEADERS", "PROTOCOL"))
_OTLP: Path = ("exporters", "otlp")


def apply_otel_variables(document: Document, environ: Mapping[str, str]) -> list[Problem]:
    """Give an `exporters.otlp` without `url` what the standard variables say; return the problems.

    An endpoint in the file is never mixed with headers from here: they belong to another receiver.
    An empty variable is as good as none (OpenTelemetry specification, environment variables).
    """
    otlp = document.get(_OTLP)
    endpoint = environ.get(_ENDPOINT, "").strip()
    if not endpoint or not isinstance(otlp, dict) or otlp.get("url") is not None:
        return []
    if environ.get(_PROTOCOL, "").strip() == "grpc":
        message = "is grpc, which is not spoken here; set http/protobuf and a receiver of it"
        return [Problem.at(Place.variable(_PROTOCOL), _OTLP, message)]
    _put(document, "url", _ENDPOINT, Expanded(endpoint))
    told = environ.get(_HEADERS, "").strip()
    if not told or otlp.get("headers"):
        return []
    headers = _headers_of(told)
    if headers is None:
        message = "must be NAME=VALUE pairs with commas between them"
        return [Problem.at(Place.variable(_HEADERS), (*_OTLP, "headers"), message)]
    _put(document, "headers", _HEADERS, headers)
    return []


def _headers_of(text: str) -> dict[str, Expanded] | None:
    """Return what is written as W3C baggage is, values percent-encoded; None if it is not."""
    headers: dict[str, Expanded] = {}
    for pair in text.split(","):
        name, equals, value = pair.partition("=")
        if pair.strip():
            if not equals or not name.strip():
                return None
            headers[name.strip()] = Expanded(unquote(value.strip()))
    return headers


def _put(document: Document, key: str, variable: str, value: object) -> None:
    document.get(_OTLP)[key] = value
    document.places[(*_OTLP, key)] = Place.variable(variable)
