"""The second upstream serves while nothing was shown, and never afterwards: F20–F39 where a route has two."""

from __future__ import annotations

import asyncio
import random
import ssl
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import trustme

from streamgauge.tools.simulator.script import Kind

from ..e2e.fallback import Pair, pair
from ..e2e.fallback_checks import check_only_first, check_served
from ..e2e.fallback_failures import FAILURES, Failure, whole
from .trial import dice_of, seeded
from .upstream import End, Script, absent, deaf, head, in_chunks, scripted, split
from .wires import Wire, wire_of

pytestmark = pytest.mark.asyncio
AT_ONCE = 4
LAST = b"0\r\n\r\n"
WAITS = ("86400", "0", "99999999999999", "soon", "1", "-5")


async def serves(folder: Path, dice: random.Random, failure: Failure, **keys: Any) -> Pair:
    """Ask on a few ways at once; each must be served by the second alone."""
    ways = dice.sample(failure.ways(), AT_ONCE)
    async with pair(folder, failure, **keys) as to:
        answers = await asyncio.gather(*(to.it.ask(way.path, way.request()) for way in ways))
        await check_served(to, failure, list(zip(ways, answers, strict=True)))
    return to


def in_pieces(dice: random.Random, script: Script) -> Script:
    """Return the same with its bytes cut anywhere."""
    steps: list[bytes | float | End] = []
    for step in script:
        steps += split(step, lambda: dice.choice((1, 7, 60))) if isinstance(step, bytes) else [step]
    return steps


def by_wire(
    seed: str, outcome: str, made: Callable[[random.Random, Wire], Script], only: bool | None = True
) -> Failure:
    """Return a failure whose answers are made anew of the seed for each dialect."""

    def script(dialect: str, stream: bool) -> Script:
        dice = random.Random(f"{seed}/{dialect}/{stream}")
        return in_pieces(dice, made(dice, wire_of(dice, dialect)))

    return Failure(outcome, True, script, only=only)


@pytest.mark.fault("F20")
@seeded
async def test_one_that_is_not_there_is_followed(seed: int, tmp_path: Path) -> None:
    await serves(tmp_path, dice_of("F20/next", seed), Failure("upstream_error", False, url=absent))


@pytest.mark.fault("F21")
@seeded
async def test_one_that_does_not_accept_is_followed_at_the_deadline(
    seed: int, tmp_path: Path
) -> None:
    dice = dice_of("F21/next", seed)
    limits = {"connect": dice.choice((0.1, 0.2, 0.3))}
    fails = Failure("upstream_timeout", False, url=deaf)
    await serves(tmp_path, dice, fails, timeouts=limits)


@pytest.mark.fault("F22")
@seeded
async def test_one_with_a_bad_certificate_is_told_nothing_and_followed(
    seed: int, tmp_path: Path
) -> None:
    dice = dice_of("F22/next", seed)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    trustme.CA().issue_cert("127.0.0.1").configure_cert(context)
    async with scripted(lambda n: [head(), End.HOLD], context) as stranger:
        there = stranger.url

        def url() -> Any:
            return _Named(there)

        await serves(tmp_path, dice, Failure("upstream_error", False, url=url))
        assert stranger.heard == [], "nothing was said to it"


class _Named:
    """A URL as a context, like those of the ports that nobody answers on."""

    def __init__(self, url: str) -> None:
        self._url = url

    def __enter__(self) -> str:
        return self._url

    def __exit__(self, *error: object) -> None:
        """Nothing to close."""


@pytest.mark.fault("F23")
@seeded
async def test_a_death_before_the_headers_is_followed(seed: int, tmp_path: Path) -> None:
    dice = dice_of("F23/next", seed)
    started = head()[: dice.choice((0, 1, 9, 40))]
    steps = [*([started] if started else []), 0.02, End.RESET]
    fails = Failure("upstream_error", True, lambda dialect, stream: steps)
    await serves(tmp_path, dice, fails)


@pytest.mark.fault("F25")
@seeded
async def test_a_hang_before_the_first_token_is_followed(seed: int, tmp_path: Path) -> None:
    dice = dice_of("F25/next", seed)
    names = ("hangs before the head", "hangs behind role and pings")
    limits = {"first_token": dice.uniform(0.2, 0.4)}
    await serves(tmp_path, dice, FAILURES[names[seed % 2]], timeouts=limits)


@pytest.mark.fault("F31")
@seeded
async def test_an_error_object_first_is_followed(seed: int, tmp_path: Path) -> None:
    def made(dice: random.Random, wire: Wire) -> Script:
        return [head() + in_chunks(wire.failure()) + LAST, End.CLOSE]

    await serves(
        tmp_path, dice_of("F31/next", seed), by_wire(f"F31/{seed}", "upstream_error", made)
    )


@pytest.mark.fault("F33")
@seeded
async def test_one_that_wants_a_wait_is_followed_and_cooled_within_the_cap(
    seed: int, tmp_path: Path
) -> None:
    dice = dice_of("F33/next", seed)
    wait, cap = WAITS[seed % len(WAITS)], dice.choice((1, 20, 60))
    steps = whole("429 Too Many Requests", b'{"error":{"message":"slow"}}', retry_after=wait)
    fails = Failure("upstream_error", False, lambda dialect, stream: steps)
    to = await serves(tmp_path, dice, fails, routing={"retries": {"max_retry_after": cap}})
    now = time.monotonic()
    left = [up.breaker.cooling(now) for up in to.it.gateway.upstreams.values()]
    assert all(each is None or 0 < each <= cap for each in left)
    if wait in ("0", "-5", "soon"):
        assert not any(left)
    elif cap > 1 and wait != "1":
        assert any(left)


@pytest.mark.fault("F34")
@seeded
async def test_what_is_no_answer_is_followed(seed: int, tmp_path: Path) -> None:
    dice = dice_of("F34/next", seed)
    odd: list[Script] = [
        whole("200 OK", b"<html>Sign in</html>", "text/html"),
        [b"HTTP/1.1 204 No Content\r\n\r\n", End.CLOSE],
        [b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\n\r\n", End.HOLD],
        [b"SSH-2.0-OpenSSH_9.6\r\n\r\n", End.CLOSE],
        whole("200 OK", b'{"choices": [', "application/json"),
    ]
    steps = in_pieces(dice, odd[seed % len(odd)])
    fails = Failure("upstream_protocol_error", True, lambda dialect, stream: steps)
    await serves(tmp_path, dice, fails)


@pytest.mark.fault("F39")
@seeded
async def test_one_that_dies_behind_role_or_ping_is_followed_and_there_is_one_start(
    seed: int, tmp_path: Path
) -> None:
    def made(dice: random.Random, wire: Wire) -> Script:
        begun = wire.data(until=Kind.CONTENT)
        shown = b"".join(begun[: dice.randint(0, len(begun))])
        pings = b": ping\n\n" * dice.randint(not shown, 3)
        return [head() + in_chunks(pings, shown), 0.01, End.CLOSE]

    fails = by_wire(f"F39/{seed}", "stream_incomplete", made)
    await serves(tmp_path, dice_of("F39", seed), fails)


@pytest.mark.fault("F38", "F26", "F27", "F32")
@seeded
async def test_behind_content_nobody_else_is_called(seed: int, tmp_path: Path) -> None:
    dice = dice_of("F38", seed)
    end = ("cut", "reset", "half", "error", "stall")[seed % 5]

    def made(dice: random.Random, wire: Wire) -> Script:
        first = wire.contents[0]
        shown = in_chunks(*wire.data()[: dice.randint(first + 1, wire.contents[-1] + 1)])
        ends: dict[str, Script] = {
            "cut": [End.CLOSE],
            "reset": [End.RESET],
            "half": [End.HALF],
            "error": [in_chunks(wire.failure()) + LAST, End.CLOSE],
            "stall": [End.HOLD],
        }
        return [head() + shown, 0.05, *ends[end]]

    outcome = {"error": "upstream_error", "stall": "upstream_timeout"}.get(end, "stream_incomplete")
    fails = by_wire(f"F38/{seed}", outcome, made)
    ways = dice.sample(fails.ways(), AT_ONCE)
    async with pair(tmp_path, fails, timeouts={"first_token": 30, "idle": 0.5}) as to:
        answers = await asyncio.gather(*(to.it.ask(way.path, way.request()) for way in ways))
        books = await to.books()
        for way, answer in zip(ways, answers, strict=True):
            check_only_first(to, way, outcome, answer, *books[answer.id])
        assert to.second.begun == []
