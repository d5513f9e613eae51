"""The log: one line an exchange (SPEC §9). Never a prompt, an answer or a key."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping

import msgspec

from streamgauge.core.record import Anomaly, ExchangeRecord, Status

__all__ = ["LEVELS", "LogLine", "encode_json", "encode_logfmt", "exchange_fields", "start_fields"]

_encode = msgspec.json.Encoder().encode

LEVELS = ("debug", "info", "warning", "error")
Fields = list[tuple[str, str]]

_REASONS = {
    Status.CLIENT_DISCONNECTED: "client_disconnected",
    Status.CANCELLED: "stop_endpoint",
    Status.SUPERSEDED: "registry_new_stream",
    Status.LIMIT_REACHED: "limit_reached",
    Status.SHUTDOWN: "shutdown",
}


def _number(value: float | None, digits: int) -> str:
    return "-" if value is None else f"{value:.{digits}f}"


def _cost(record: ExchangeRecord) -> str:
    if record.cost_nano is None:
        return "-"
    sign = "-" if record.cost_nano < 0 else ""
    whole, part = divmod(abs(record.cost_nano), 10**9)
    return f"{sign}{whole}.{part:09d}{record.currency or '-'}"


_MODES: Mapping[bool | None, str] = {True: "stream", False: "sync", None: "-"}
"""A request that was refused before it was read asked for neither (SPEC §6.4)."""


def exchange_fields(record: ExchangeRecord) -> Fields:
    """Return the line's fields in SPEC §9.1's order; a name of "" stands for a bare word."""
    context = "N/A" if record.context_percent is None else f"{record.context_percent:.1f}%"
    read, written = record.input_tokens, record.output_tokens
    speed = f"{_number(record.generation_tps, 1)}/{_number(record.generation_ms, 0)}ms"
    return [
        (
            "model",
            record.response_model or record.upstream_model or record.requested_model or "-",
        ),
        ("tokens", f"{'-' if read is None else read}/{'-' if written is None else written}"),
        ("tps", speed),
        ("ctx", context),
        ("mode", _MODES[record.streaming]),
        ("finish", record.finish_reason or "-"),
        ("status", str(record.status)),
        ("upstream", record.upstream or "-"),
        ("ttft", f"{_number(record.ttft_ms, 0)}ms"),
        ("dur", f"{_number(record.stream_duration_ms, 0)}ms"),
        ("cost", _cost(record)),
        ("usage", record.usage_source or "-"),
        ("id", record.id),
    ]


def start_fields(record: ExchangeRecord) -> Fields:
    """Return the fields of the line at an exchange's start (SPEC §9.3)."""
    return [("trace", record.id), ("session", record.session_id or "-")]


def encode_logfmt(fields: Iterable[tuple[str, str]]) -> str:
    """Return one line; `ctx:` and the mode have §9.1's own form. Control bytes are escaped."""
    words = []
    for name, value in fields:
        if name == "mode":
            words.append(value)
        else:
            words.append(f"{name}{':' if name == 'ctx' else '='}{_quoted(value)}")
    return " ".join(words)


def _quoted(value: str) -> str:
    if value and value.isprintable() and value.isascii() and not set(value) & set(' "=\\'):
        return value
    return json.dumps(value)


def encode_json(level: str, event: str, fields: Iterable[tuple[str, str]]) -> str:
    """Return one JSON object on one line, with the same names; what is not ASCII is escaped."""
    line = dict((("level", level), ("event", event), *fields))
    try:
        text = _encode(line).decode()
    except UnicodeEncodeError:
        text = "\x7f"  # a lone surrogate
    # json's own way takes four times as long, and is wanted only for what it alone escapes.
    return (
        text if text.isascii() and "\x7f" not in text else json.dumps(line, separators=(",", ":"))
    )


def _all(_level: str) -> bool:
    return True


def _lacks_marker(record: ExchangeRecord) -> bool:
    """Whether its stream ended, or was given up in a silence behind its finish, without the end marker."""
    cut = record.status is Status.STREAM_INCOMPLETE
    return cut or Anomaly.FINISHED_WITHOUT_MARKER in record.anomalies


class LogLine:
    """Implements Sink by writing lines through `emit(level, event, fields)`."""

    def __init__(
        self, emit: Callable[[str, str, Fields], None], shows: Callable[[str], bool] = _all
    ) -> None:
        """`shows` tells whether lines of a level are wanted: others are not made."""
        self._emit = emit
        self._shows = shows

    def started(self, record: ExchangeRecord) -> None:
        """One line at DEBUG."""
        if self._shows("debug"):
            self._emit("debug", "stream_start", start_fields(record))

    def write(self, record: ExchangeRecord) -> None:
        """The exchange's line, and the one of its stream's life (SPEC §9.3)."""
        trace = ("trace", record.id)
        if (reason := _REASONS.get(record.status)) is not None:
            self._emit("info", "stream_cancelled", [trace, ("reason", reason)])
        elif record.streaming and record.status is Status.COMPLETED:
            self._emit("debug", "stream_complete", [trace, ("marker", "true")])
        elif record.streaming and _lacks_marker(record):
            self._emit("warning", "stream_without_marker", [trace])
        if self._shows("info"):
            self._emit("info", "exchange", exchange_fields(record))
