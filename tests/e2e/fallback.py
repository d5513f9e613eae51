"""A gateway in front of first upstreams that fail, and of one behind them that serves. No test here."""

from __future__ import annotations

import contextlib
import itertools
from collections.abc import AsyncIterator, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from streamgauge.ledger.reader import LedgerReader
from streamgauge.tools.simulator import Simulator

from ..faults.upstream import Script, ScriptedUpstream, scripted
from .fallback_failures import Failure
from .fallback_ways import DIALECTS
from .stand import PATIENT, Stand, stand

__all__ = ["Pair", "pair", "started"]


@dataclass(frozen=True, slots=True)
class Pair:
    """A gateway, the two scripted first upstreams by dialect, and the simulator behind them."""

    it: Stand
    firsts: Mapping[str, ScriptedUpstream]
    second: Simulator

    async def books(self) -> dict[str, tuple[dict[str, Any], list[dict[str, Any]]]]:
        """Return every row by its id, with its attempts, once all are closed."""
        ids = [row["id"] for row in await self.it.rows()]
        with LedgerReader(self.it.folder / "ledger.db") as reader:
            found = {each: reader.exchange(each) for each in ids}
        return {each: book for each, book in found.items() if book is not None}

    def calls(self, request_id: str) -> list[str]:
        """Return the attempts of one exchange that reached an upstream: `1 first`, `2 second`."""
        heard = [key for first in self.firsts.values() for key in map(_key_of, first.heard)]
        keys = [(key, "first") for key in heard] + [
            (key, "second") for key in _keys_of(self.second)
        ]
        return sorted(f"{key[-1]} {place}" for key, place in keys if key[:-2] == request_id)


def _key_of(heard: Any) -> str:
    """Return the idempotency key of a request: the exchange's id and the attempt's number."""
    lines = heard.request.partition(b"\r\n\r\n")[0].split(b"\r\n")
    [key] = [line.partition(b": ")[2] for line in lines if line.startswith(b"idempotency-key")]
    return key.decode()


def _keys_of(simulator: Simulator) -> list[str]:
    """Return the idempotency keys of a simulator's calls."""
    return [r.header("idempotency-key") or "" for r in simulator.requests if r.method == "POST"]


@contextlib.asynccontextmanager
async def started(port: int = 0) -> AsyncIterator[Simulator]:
    """Run a simulator."""
    made = Simulator()
    await made.start(port=port)
    try:
        yield made
    finally:
        await made.aclose()


@contextlib.asynccontextmanager
async def _first(
    stack: contextlib.ExitStack, failure: Failure, dialect: str
) -> AsyncIterator[tuple[str, ScriptedUpstream]]:
    def script(n: int) -> Script:
        assert failure.script is not None
        return failure.script(
            dialect, b'"stream":true' in first.heard[n].request.replace(b" ", b"")
        )

    async with scripted(script) as first:
        yield first.url if failure.url is None else stack.enter_context(failure.url()), first


@contextlib.asynccontextmanager
async def pair(
    folder: Path,
    failure: Failure,
    *,
    timeouts: Mapping[str, float] | None = None,
    routing: Mapping[str, Any] | None = None,
    **config: Any,
) -> AsyncIterator[Pair]:
    """Run a gateway whose models go to a first upstream that fails, and to a second that serves.

    `timeouts`: of the first, in place of the failure's own; the second has all the time it wants.
    """
    with contextlib.ExitStack() as stack:
        async with (
            _first(stack, failure, "openai") as (chat_url, chat),
            _first(stack, failure, "anthropic") as (messages_url, messages),
            started() as second,
        ):
            urls = {"openai": chat_url, "anthropic": messages_url}
            limits = failure.timeouts if timeouts is None else dict(timeouts)
            ups = [_upstream("first", d, url, timeouts=limits) for d, url in urls.items()]
            ups += [_upstream("second", d, second.url) for d in DIALECTS]
            routes = {"models": list(_models()), **PATIENT, **(routing or {})}
            async with stand(folder, config={"upstreams": ups, "routing": routes, **config}) as it:
                yield Pair(it, {"openai": chat, "anthropic": messages}, second)


def _upstream(place: str, dialect: str, url: str, **more: Any) -> dict[str, Any]:
    return {"name": f"{place}-{dialect}", "kind": dialect, "base_url": url, **more}


def _models() -> Iterator[dict[str, Any]]:
    for first, second in itertools.product(DIALECTS, DIALECTS):
        yield {"match": f"{first}-{second}", "to": [f"first-{first}", f"second-{second}"]}
