"""Pairs EMIT with SOCKET_WRITE in a debug log, and judges each stream (SPEC §12.5). Reads no file."""

from __future__ import annotations

import json
import re
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field

__all__ = ["Pairing", "Verdict", "event_of"]

_WORD = re.compile(r'([A-Za-z0-9_]+)[=:]("(?:[^"\\]|\\.)*"|[^ ]*)')
_NAME = re.compile(r"[A-Za-z_]+")
_FIVE = ("seq", "sha1", "done", "acc", "raw")
_FAULTS_KEPT = 20
_OVER_KEPT = 10_000
"""Ids of streams that are over, kept to know their late lines."""

Fields = Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Verdict:
    """What became of one stream's frames. `status`: the row's, None where the log ends before it.

    `made` and `written` count frames. `faults`: what is wrong, each with its seq.
    """

    trace: str
    made: int
    written: int
    status: str | None
    faults: tuple[str, ...]

    @property
    def holds(self) -> bool:
        """Whether every frame made was written, in order, once, and the end was seen."""
        return not self.faults

    def __str__(self) -> str:
        said = "ok" if self.holds else "; ".join(self.faults)
        status = self.status or "-"
        return (
            f"trace={self.trace} frames={self.made} written={self.written} status={status} {said}"
        )


def event_of(line: str) -> tuple[str, Fields] | None:
    """Return event and fields of a log line, logfmt or JSON; None for one that is neither.

    The line of an exchange has no event's name in logfmt: it is `exchange` (SPEC §9.1).
    """
    line = line.strip()
    if line.startswith("{"):
        try:
            found = json.loads(line)
        except (ValueError, RecursionError):
            return None
        if not isinstance(found, dict) or not isinstance(found.get("event"), str):
            return None
        return found["event"], {str(name): str(value) for name, value in found.items()}
    first = line.partition(" ")[0]
    fields = {name: _unquoted(value) for name, value in _WORD.findall(line)}
    if _NAME.fullmatch(first):
        return first, fields
    return ("exchange", fields) if first.startswith("model=") else None


def _unquoted(value: str) -> str:
    if not value.startswith('"'):
        return value
    try:
        return str(json.loads(value))
    except ValueError:
        return value


@dataclass(slots=True)
class _Stream:
    made: int = 0
    written: int = 0
    done: bool = False
    unwritten: deque[tuple[str | None, ...]] = field(default_factory=deque)
    seen: int = 0  # the last seq made
    faults: list[str] = field(default_factory=list)

    def note(self, fault: str) -> None:
        if len(self.faults) < _FAULTS_KEPT:
            self.faults.append(fault)

    def emit(self, fields: Fields) -> None:
        seq = _number(fields)
        if self.done:
            self.note(f"seq {seq}: made after the end")
        elif seq != self.seen + 1:
            what = "made twice" if seq <= self.seen else f"made after {self.seen}"
            self.note(f"seq {seq}: {what}")
        self.made += 1
        self.seen = max(self.seen, seq)
        self.done = self.done or fields.get("done") == "true"
        self.unwritten.append(_five(fields))

    def write(self, fields: Fields) -> None:
        five, seq = _five(fields), _number(fields)
        self.written += 1
        if self.unwritten and self.unwritten[0] == five:
            self.unwritten.popleft()
        elif five in self.unwritten:
            self.note(f"seq {seq}: written before {self.unwritten[0][0]}")
            self.unwritten.remove(five)
        elif any(made[0] == five[0] for made in self.unwritten):
            self.note(f"seq {seq}: written otherwise than it was made")
            kept = [made for made in self.unwritten if made[0] != five[0]]
            self.unwritten = deque(kept)
        else:
            self.note(f"seq {seq}: written {'twice' if seq <= self.seen else 'but never made'}")


class Pairing:
    """Follows a log. Memory goes by the streams that run, and the frames that wait in each."""

    def __init__(self) -> None:
        self._streams: dict[str, _Stream] = {}
        self._over: dict[str, None] = {}

    def take(self, event: str, fields: Fields) -> Verdict | None:
        """Take in a line; return the verdict on a stream that it ends."""
        if event == "exchange":
            return self._end(fields.get("id", "-"), fields.get("status"))
        if event not in ("EMIT", "SOCKET_WRITE"):
            return None
        trace = fields.get("trace", "-")
        if trace in self._over:
            return Verdict(trace, 0, 0, None, (f"seq {_number(fields)}: {event} after its end",))
        stream = self._streams.setdefault(trace, _Stream())
        if event == "EMIT":
            stream.emit(fields)
        else:
            stream.write(fields)
        return None

    def rest(self) -> list[Verdict]:
        """Return the verdicts on streams whose end the log does not have."""
        return [self._judge(trace, stream, None) for trace, stream in self._streams.items()]

    def _end(self, trace: str, status: str | None) -> Verdict | None:
        stream = self._streams.pop(trace, None)
        if stream is None:
            return None
        self._over[trace] = None
        if len(self._over) > _OVER_KEPT:
            del self._over[next(iter(self._over))]
        return self._judge(trace, stream, status)

    def _judge(self, trace: str, stream: _Stream, status: str | None) -> Verdict:
        for made in stream.unwritten:
            stream.note(f"seq {made[0]}: made and never written")
        if status is None:
            stream.note("the log ends before the stream")
        elif status == "completed" and not stream.done:
            stream.note(f"seq {stream.seen + 1}: no end marker was made")
        return Verdict(trace, stream.made, stream.written, status, tuple(stream.faults))


def _five(fields: Fields) -> tuple[str | None, ...]:
    return tuple(fields.get(name) for name in _FIVE)


def _number(fields: Fields) -> int:
    text = fields.get("seq", "")
    return int(text) if text.isascii() and text.isdigit() else -1
