"""`streamgauge tail --log`: a verdict on each stream of a debug log (SPEC §12.5). Asks no gateway."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterator
from typing import IO, TYPE_CHECKING

import click

if TYPE_CHECKING:
    from streamgauge.tools.pairing import Verdict

__all__ = ["judge_log"]

_INTERVAL = 0.25
"""Seconds between two looks at a file that grows."""
_NOTHING = (
    "no EMIT line was read: streams are judged by a log of level debug, in format logfmt or json"
)


def judge_log(log: IO[bytes], *, follow: bool, as_json: bool) -> int:
    """Print a verdict when a stream ends, and at the log's end on the rest; return the exit code.

    1: a stream's frames were not all written, in order, once, or the log names none.
    """
    from streamgauge.tools.pairing import Pairing, event_of

    pairing, code, seen = Pairing(), 0, False
    try:
        for line in _lines(log, follow):
            found = event_of(line)
            if found is None:
                continue
            seen = seen or found[0] == "EMIT"
            verdict = pairing.take(*found)
            if verdict is not None:
                _show(verdict, as_json)
                code |= not verdict.holds
    except KeyboardInterrupt:
        return code
    for verdict in pairing.rest():
        _show(verdict, as_json)
        code = 1
    if not seen:
        click.echo(_NOTHING, err=True)
        return 1
    return code


def _lines(log: IO[bytes], follow: bool) -> Iterator[str]:
    begun, newer = b"", None
    while True:
        piece = log.readline()
        if piece.endswith(b"\n"):
            yield (begun + piece).decode("utf-8", "replace")
            begun = b""
        elif piece:
            begun += piece
        elif newer is not None or not follow:
            if begun:
                yield begun.decode("utf-8", "replace")
                begun = b""
            if newer is None:
                return
            log.close()
            log, newer = newer, None
        else:
            newer = _rotated(log)  # what came to the older one meanwhile is read before it
            if newer is None:
                time.sleep(_INTERVAL)  # the looks are the purpose: a file has no event to wait for


def _rotated(log: IO[bytes]) -> IO[bytes] | None:
    """Return what to read on where another file has the log's name, or it was cut short; else None."""
    try:
        there = os.stat(log.name)
    except OSError:
        return None  # between two names
    if not os.path.samestat(there, os.fstat(log.fileno())):
        return open(log.name, "rb") if there.st_size else None
    if there.st_size < log.tell():
        return open(log.name, "rb")
    return None


def _show(verdict: Verdict, as_json: bool) -> None:
    if not as_json:
        click.echo(str(verdict))
        return
    numbers = {"made": verdict.made, "written": verdict.written, "status": verdict.status}
    told = {"trace": verdict.trace, "holds": verdict.holds, **numbers, "faults": verdict.faults}
    click.echo(json.dumps(told))
