"""Why an exchange ended as it did, in words, from its row and its attempts. Reads no ledger."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType
from typing import Any

from streamgauge.core.errors import ErrorCode
from streamgauge.core.record import Anomaly, Delivered, Disposition, Status
from streamgauge.ledger.durations import duration

__all__ = ["ENDINGS", "why"]

Row = Mapping[str, Any]

_LONGEST = 300
"""An upstream's message may be a page; the row's own section has it in full."""


def why(request: Row, attempts: Sequence[Row]) -> str:
    """Return one to four sentences: what ended it, who was told, what became of the upstream."""
    ending = ENDINGS.get(request["status"])
    if ending is None:
        return f"This release does not know the status {request['status']!r}."
    parts = [ending(request), _after(request), _tries(attempts)]
    return " ".join(_sentence(part) for part in parts if part)


def _in_flight(_row: Row) -> str:
    return (
        "it has not ended: its gateway is at work on it, or died, and then the next start "
        "closes it as gateway_crash"
    )


def _completed(row: Row) -> str:
    if row["streaming"]:
        said = "the upstream sent its end marker, and the client was there to the end"
    else:
        said = "the upstream's whole answer came, and the client was there to take it"
    return f"{said}{_finish(row)}"


_FINISHES: Mapping[str, str] = MappingProxyType(
    {
        "length": "the model was cut off by a token limit",
        "tool_calls": "the model waits for the result of a tool",
        "content_filter": "a filter of the upstream ended the answer, or the model refused",
        "error": "the upstream itself calls it an error",
    }
)


def _finish(row: Row) -> str:
    meaning = _FINISHES.get(row["finish_normal"])
    return "" if meaning is None else f"; {meaning} ({row['finish_reason']})"


def _client_disconnected(row: Row) -> str:
    if Anomaly.SLOW_READER in row["anomalies"]:
        left = "the client stayed, but read nothing for write_seconds, so it was cut off"
    else:
        left = "the client closed its connection"
    return f"{left} {_got(row)}"


def _got(row: Row) -> str:
    """Return how far the client had come; what is read on for nobody is not its."""
    frames = row["frames_out"]
    if row["streaming"] and frames:
        return f"after {frames} frame{'s' if frames > 1 else ''}"
    if row["first_byte_ms"] is None:
        return "before the upstream had answered"
    return "before it was sent a frame" if row["streaming"] else "before it was sent the answer"


def _cancelled(row: Row) -> str:
    return f"somebody used the stop endpoint {_progress(row)}; {_told(row)}"


def _superseded(row: Row) -> str:
    return f"a newer stream of the same session took its place {_progress(row)}; {_told(row)}"


def _limit_reached(row: Row) -> str:
    return f"a limit of the client's key was reached{_message(row)}; {_told(row)}"


def _upstream_error(row: Row) -> str:
    if row["delivered"] == Delivered.PART:
        return f"the upstream reported an error {_progress(row)}{_message(row)}; {_told(row)}"
    return f"the upstream failed or refused the call{_message(row)}; {_told(row)}"


def _upstream_timeout(row: Row) -> str:
    if Anomaly.FINISHED_WITHOUT_MARKER in row["anomalies"]:
        return (
            f"the upstream gave a finish reason{_named(row['finish_reason'])}, then neither its end "
            f"marker nor an end before a deadline passed; the client's stream ended without an error"
        )
    return f"a deadline passed {_progress(row)}{_message(row)}; {_told(row)}"


def _stream_incomplete(row: Row) -> str:
    if Anomaly.FINISHED_WITHOUT_MARKER in row["anomalies"]:
        return (
            f"the upstream gave a finish reason{_named(row['finish_reason'])}, but closed the stream "
            f"without its end marker; the client's stream ended likewise, without an error"
        )
    if not row["streaming"]:
        return f"the upstream broke off its answer; {_told(row)}"
    what = "the upstream closed the stream without its end marker"
    return f"{what} {_progress(row)}; {_told(row)}"


def _upstream_protocol_error(row: Row) -> str:
    return f"the upstream's answer was not what was asked for{_message(row)}; {_told(row)}"


def _rejected(row: Row) -> str:
    said = (row["error_code"], _short(row["error_message"]))
    reason = ": ".join(text for text in said if text)
    return f"the gateway refused the request{_named(reason or None)}; nothing was sent upstream"


def _shutdown(row: Row) -> str:
    if row["error_code"] == ErrorCode.OVERLOADED:
        return f"the gateway failed {_progress(row)}, which its log tells; {_told(row)}"
    return f"the gateway was stopped {_progress(row)}; {_told(row)}"


def _gateway_crash(_row: Row) -> str:
    return (
        "the gateway died while it was at work on it, and the next start closed the row. "
        "How much the client got, and what the upstream counted, nobody knows"
    )


ENDINGS: Mapping[str, Callable[[Row], str]] = MappingProxyType(
    {
        Status.IN_FLIGHT: _in_flight,
        Status.COMPLETED: _completed,
        Status.CLIENT_DISCONNECTED: _client_disconnected,
        Status.CANCELLED: _cancelled,
        Status.SUPERSEDED: _superseded,
        Status.LIMIT_REACHED: _limit_reached,
        Status.UPSTREAM_ERROR: _upstream_error,
        Status.UPSTREAM_TIMEOUT: _upstream_timeout,
        Status.STREAM_INCOMPLETE: _stream_incomplete,
        Status.UPSTREAM_PROTOCOL_ERROR: _upstream_protocol_error,
        Status.REJECTED: _rejected,
        Status.SHUTDOWN: _shutdown,
        Status.GATEWAY_CRASH: _gateway_crash,
    }
)
"""Each status of SPEC §5.1 and what its end was."""


def _drained(row: Row) -> str:
    took = duration(row["drain_ms"])
    lasted = "" if took is None else f", for {took},"
    end = "to its end marker" if row["success"] else "until it ended"
    return f"the upstream was read on{lasted} {end}, for its final numbers"


def _drain_capped(_row: Row) -> str:
    until = "until `drain` or a limit of its key allowed no more"
    return f"the upstream was read on for its final numbers {until}"


def _closed(_row: Row) -> str:
    return "the upstream's connection was closed, its answer unfinished"


_AFTER: Mapping[str, Callable[[Row], str]] = MappingProxyType(
    {
        Disposition.READ_TO_END: lambda _row: "",
        Disposition.DRAINED: _drained,
        Disposition.DRAIN_CAPPED: _drain_capped,
        Disposition.CANCELLED: _closed,
    }
)
_QUIET = frozenset({Status.COMPLETED, Status.REJECTED, Status.GATEWAY_CRASH, Status.IN_FLIGHT})
"""Ends of which the first sentence has said all."""


def _after(row: Row) -> str:
    after = _AFTER.get(row["disposition"])
    return "" if after is None or row["status"] in _QUIET else after(row)


def _told(row: Row) -> str:
    """Return what the client saw of an error: a status of its own, or the stream's error end."""
    http = row["http_status"]
    if http is None:
        return "the client was told nothing"
    return f"the client got HTTP {http}" if http >= 400 else "the client got an error end"


def _progress(row: Row) -> str:
    frames = row["frames_in"]
    if row["streaming"] and frames:
        return f"after {frames} frame{'s' if frames > 1 else ''}"
    if row["first_byte_ms"] is None:
        return "before the upstream had answered"
    return "before the first frame" if row["streaming"] and frames == 0 else "during the answer"


def _message(row: Row) -> str:
    return _named(_short(row["error_message"]))


def _short(text: str | None) -> str | None:
    """Return `text` as a part of a sentence: its own full stop goes."""
    if not text:
        return None
    return (text if len(text) <= _LONGEST else f"{text[:_LONGEST]}…").rstrip(".")


def _named(word: str | None) -> str:
    return "" if word is None else f" ({word})"


def _tries(attempts: Sequence[Row]) -> str:
    """Return what became of each attempt, where there was more than one."""
    if len(attempts) < 2:
        return ""
    told = ", ".join(f"{each['n']} at {each['upstream']}: {_outcome(each)}" for each in attempts)
    return f"there were {len(attempts)} attempts: {told}"


def _outcome(attempt: Row) -> str:
    outcome = attempt["outcome"] or "not ended"
    http = attempt["http_status"]
    return f"{outcome} (HTTP {http})" if http is not None and http >= 400 else str(outcome)


def _sentence(text: str) -> str:
    return f"{text[:1].upper()}{text[1:]}."
