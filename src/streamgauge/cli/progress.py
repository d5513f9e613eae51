"""Says on stderr that long work goes on, on a terminal and only there. Knows no work."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import TextIO, TypeVar

__all__ = ["counted", "portion"]

T = TypeVar("T")

_PATIENCE = 1.0
"""Seconds without a word: what is done by then needs none."""
_EVERY = 0.2
_BATCH = 256
"""Items between two looks at the clock."""


def counted(
    items: Iterable[T],
    noun: str,
    stream: TextIO | None = None,
    clock: Callable[[], float] = time.monotonic,
    total: Callable[[], int] | None = None,
) -> Iterator[T]:
    """Yield `items`; when that takes longer, show on a terminal how many there have been.

    The line is taken away at the end. `clock`: monotonic seconds. `total`: how many there are in
    all, asked for once, and only when there is something to show.
    """
    out = sys.stderr if stream is None else stream
    if not out.isatty():
        yield from items
        return
    due, shown, count = clock() + _PATIENCE, False, 0
    whole = ""
    try:
        for item in items:
            yield item
            count += 1
            if count % _BATCH == 0 and clock() >= due:
                if total is not None and not shown:
                    whole = f"of {total()} "
                print(f"\r{count} {whole}{noun}", end="", file=out, flush=True)
                due, shown = clock() + _EVERY, True
    finally:
        if shown:
            print("\r\x1b[K", end="", file=out, flush=True)


@contextmanager
def portion(
    noun: str, stream: TextIO | None = None, clock: Callable[[], float] = time.monotonic
) -> Iterator[Callable[[int, int], None]]:
    """Yield a call that takes how much is done and of how much; on a terminal it shows percents.

    As `counted`: nothing in the first second, and the line is taken away at the end.
    """
    out = sys.stderr if stream is None else stream
    terminal, due, shown = out.isatty(), clock() + _PATIENCE, False

    def show(done: int, total: int) -> None:
        nonlocal due, shown
        if terminal and total and (now := clock()) >= due:
            print(f"\r{noun} {100 * done // total}%", end="", file=out, flush=True)
            due, shown = now + _EVERY, True

    try:
        yield show
    finally:
        if shown:
            print("\r\x1b[K", end="", file=out, flush=True)
