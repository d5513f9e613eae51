"""The bench's load client, a process of its own: opens streams, reads events, prints what it saw as JSON.

Started as `python -m streamgauge.tools.bench.client`. It knows nothing of the target but address and path.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import json
import signal
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from streamgauge.tools.bench.callers import Caller, RequestCaller, StreamCaller
from streamgauge.tools.bench.tally import Seen, quantile
from streamgauge.tools.bench.wire import request

__all__ = ["Load", "main", "run"]

_AT_ONCE = 50
"""Connections opened at once: a target's backlog may be 128, or less."""


@dataclass(frozen=True, slots=True)
class Load:
    """What to ask of 127.0.0.1:`port`: `streams` streams of `events` each.

    With `events` 0 it is `requests` short ones, not streamed, over `streams` connections; at least one
    each. All must be over in `seconds`.
    """

    port: int
    path: str
    model: str
    headers: tuple[tuple[str, str], ...]
    streams: int
    events: int
    requests: int
    seconds: float


async def run(load: Load) -> dict[str, Any]:
    """Do all of it and return the figures.

    Prints `open` when every stream has had its first event, and on SIGUSR1 how many events have come.
    """
    seen = Seen()
    callers: list[Caller] = []
    waiting = load.streams if load.events else 0

    def begun() -> None:
        nonlocal waiting
        waiting -= 1
        if waiting == 0:
            print("open", flush=True)

    def tell() -> None:
        print("events", len(seen.delays_ns), time.time(), flush=True)

    asyncio.get_running_loop().add_signal_handler(signal.SIGUSR1, tell)
    began = time.monotonic()
    try:
        async with asyncio.timeout(load.seconds):
            await _open_all(load, seen, begun, callers)
            await asyncio.gather(*(caller.over for caller in callers))
    except TimeoutError:
        seen.fail(f"not over after {load.seconds:g} s")
        for caller in callers:
            caller.finish("cut by the deadline")
    return _figures(seen, time.monotonic() - began)


async def _open_all(
    load: Load, seen: Seen, begun: Callable[[], None], callers: list[Caller]
) -> None:
    loop = asyncio.get_running_loop()
    data = request(load.path, events=load.events, model=load.model, headers=load.headers)
    kind = StreamCaller if load.events else RequestCaller

    async def open_one(number: int) -> None:
        count = load.events or len(range(number, load.requests, load.streams))
        try:
            _, caller = await loop.create_connection(
                lambda: kind(seen, data, count, begun), "127.0.0.1", load.port
            )
        except OSError as error:
            seen.fail(f"cannot connect: {error}")
            seen.lost += load.events
        else:
            callers.append(caller)

    for first in range(0, load.streams, _AT_ONCE):
        last = min(first + _AT_ONCE, load.streams)
        await asyncio.gather(*(open_one(number) for number in range(first, last)))


def _figures(seen: Seen, elapsed: float) -> dict[str, Any]:
    delays, answers = ([ns / 1e6 for ns in each] for each in (seen.delays_ns, seen.answers_ns))
    return {
        "requests": seen.requests,
        "events": len(seen.delays_ns),
        "reads": seen.reads,
        "lost": seen.lost,
        "reordered": seen.reordered,
        "failed": seen.failed,
        "first_failure": seen.first_failure,
        "elapsed_s": elapsed,
        "delay_p50_ms": quantile(delays, 0.5),
        "delay_p99_ms": quantile(delays, 0.99),
        "answer_p50_ms": quantile(answers, 0.5),
        "answer_p99_ms": quantile(answers, 0.99),
    }


def main(arguments: Sequence[str] | None = None) -> None:
    """Read the load from the command line, run it, print the figures."""
    parser = argparse.ArgumentParser(prog="bench-client", description="The bench's load client.")
    for name in ("--port", "--streams", "--events", "--requests"):
        parser.add_argument(name, type=int, required=True)
    parser.add_argument("--path", default="/v1/chat/completions")
    parser.add_argument("--model", default="bench")
    parser.add_argument("--header", action="append", nargs=2, default=[])
    parser.add_argument("--seconds", type=float, default=60.0)
    given = parser.parse_args(arguments)
    headers = tuple((name, value) for name, value in given.header)
    load = Load(
        given.port,
        given.path,
        given.model,
        headers,
        given.streams,
        given.events,
        given.requests,
        given.seconds,
    )
    gc.disable()  # a pause here would count as the target's delay; the process is short
    json.dump(asyncio.Runner(loop_factory=_loop_factory()).run(run(load)), sys.stdout)


def _loop_factory() -> Any:
    try:
        import uvloop
    except ImportError:
        return None
    return uvloop.Loop


if __name__ == "__main__":
    main()
