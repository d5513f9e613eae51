"""A newer stream of a session ends the older one, which is told so, and nothing of it goes on (F50)."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import pytest

from streamgauge.core.keys import Caller, KeyLimits

from ..timed import in_time
from .session_clients import CHAT, MESSAGES, SESSION_MODE, TOOLS, SlowClosing, begin, finish, talk
from .stand import Stand, stand, until
from .test_keys import bearer
from .test_keys_inside import knowing

WITHIN = 0.5 * 5  # SPEC §11.3, a loaded machine

pytestmark = pytest.mark.asyncio


def life(it: Stand) -> list[tuple[str, str, str | None]]:
    """Return the lines of streams' beginnings and cancellations, in order."""
    told = [(event, line) for _, event, line in it.lines]
    kept = [(e, x) for e, x in told if e in ("stream_start", "stream_cancelled")]
    return [(event, line["trace"], line.get("reason")) for event, line in kept]


@pytest.mark.parametrize("path", [CHAT, MESSAGES])
async def test_the_older_stream_ends_before_the_newer_one_begins(path: str, tmp_path: Path) -> None:
    async with stand(tmp_path, config=SESSION_MODE) as it, it.client() as a, it.client() as b:
        first = await begin(a, path, talk("old"), "s")
        asked = time.monotonic()
        second = await begin(b, path, talk("new", words=20), "s")
        old, new = await finish(first), await finish(second)
        row, newer = await it.row(first.id), await it.row(second.id)
        closed = next(e for e in it.simulator.journal if e.ending == "client_closed")
        registry = len(it.gateway.sessions)
    assert life(it) == [
        ("stream_start", first.id, None),
        ("stream_cancelled", first.id, "registry_new_stream"),
        ("stream_start", second.id, None),
    ]
    in_time(old.at - asked, WITHIN)
    assert (old.error, old.is_of("old")) == ("stream_cancelled", True)
    assert (new.error, new.is_of("new")) == (None, True)
    assert len(new.text.split()) == 20
    assert (row["status"], row["success"], row["http_status"]) == ("superseded", False, 200)
    assert (row["delivered"], row["disposition"]) == ("part", "cancelled")
    assert (row["error_code"], row["session_id"]) == ("stream_cancelled", "s")
    assert (newer["status"], newer["repeats"]) == ("completed", None)
    assert closed.frames < 400
    assert registry == 0


async def test_a_stream_that_has_no_head_yet_is_ended_by_an_http_error(tmp_path: Path) -> None:
    async with stand(tmp_path, config=SESSION_MODE) as it, it.client() as a, it.client() as b:
        slow = talk("old")
        slow["sim"]["head_ms"] = 30_000
        await a.post(CHAT, slow, x_session_id="s")
        await until(lambda: bool(it.simulator.begun))
        second = await begin(b, CHAT, talk("new", words=5), "s")
        answer = await a.answer()
        assert (await finish(second)).error is None
        row = await it.row(answer.id)
    assert (answer.status, answer.json()["error"]["code"]) == (499, "stream_cancelled")
    assert (row["status"], row["http_status"], row["delivered"]) == ("superseded", 499, "none")


@pytest.mark.parametrize(
    ("mode", "header", "ends"),
    [
        (None, "x_streamgauge_session", True),
        (None, "x_session_id", False),
        (None, "x_claude_code_session_id", False),
        ("session", "x_session_id", True),
        ("session", "x_claude_code_session_id", False),
        ("off", "x_streamgauge_session", False),
    ],
)
async def test_the_configuration_says_which_header_supersedes(
    mode: str | None, header: str, ends: bool, tmp_path: Path
) -> None:
    config = {} if mode is None else {"sessions": {"supersede": mode}}
    async with stand(tmp_path, config=config) as it, it.client() as a, it.client() as b:
        first = await begin(a, CHAT, talk("old", words=60), **{header: "s"})
        second = await begin(b, CHAT, talk("new", words=5), **{header: "s"})
        old, new = await finish(first), await finish(second)
        rows = [await it.row(each.id) for each in (first, second)]
    assert (old.error, new.error) == ("stream_cancelled" if ends else None, None)
    assert {row["session_id"] for row in rows} == {"s"}, "recorded, whatever it is used for"


async def test_sessions_keys_and_lanes_live_beside_each_other(tmp_path: Path) -> None:
    async with stand(tmp_path, config=SESSION_MODE) as it:
        keys = await knowing(it, Caller("", "ann"), Caller("", "bob"))
        told = []
        async with it.client() as a, it.client() as b, it.client() as c, it.client() as d:
            which = [(a, keys[0], "s", {}), (b, keys[1], "s", {}), (c, keys[0], "t", {})]
            which.append((d, keys[0], "s", {"tools": TOOLS[CHAT]}))
            streams = [
                await begin(x, CHAT, talk(f"w{n}", 60, **more), session, **bearer(key.text))
                for n, (x, key, session, more) in enumerate(which)
            ]
            for n, stream in enumerate(streams):
                told.append(await finish(stream))
                assert told[-1].is_of(f"w{n}")
    assert [each.error for each in told] == [None] * 4


@pytest.mark.parametrize("path", [CHAT, MESSAGES])
async def test_a_title_call_beside_the_main_call_lives_as_it_does(
    path: str, tmp_path: Path
) -> None:
    """As Claude Code and OpenCode ask: one session, the title without tools or with an empty list."""
    async with stand(tmp_path, config=SESSION_MODE) as it, it.client() as a, it.client() as b:
        title = await begin(a, path, talk("title", 60, tools=[]), "s")
        main = await begin(b, path, talk("main", 60, tools=TOOLS[path]), "s")
        told = [await finish(title), await finish(main)]
    assert [each.error for each in told] == [None, None]


async def test_a_call_that_is_no_stream_ends_nothing_and_is_not_ended(tmp_path: Path) -> None:
    async with stand(tmp_path, config=SESSION_MODE) as it, it.client() as a:
        first = await begin(a, CHAT, talk("old", words=60), "s")
        whole = await it.ask(CHAT, talk("w", 3, stream=False), x_session_id="s")
        assert (await finish(first)).error is None
    assert whole.status == 200


async def test_a_refused_request_ends_nothing(tmp_path: Path) -> None:
    async with stand(tmp_path, config=SESSION_MODE, models=["sim"]) as it, it.client() as a:
        first = await begin(a, CHAT, talk("old", words=60), "s")
        unknown = await it.ask(CHAT, talk("w", model="none"), x_session_id="s")
        wrong = await it.ask(CHAT, talk("w"), x_session_id="s", x_streamgauge_meta="what")
        assert (await finish(first)).error is None
    assert (unknown.status, wrong.status) == (404, 400)


async def test_a_keys_only_place_goes_to_its_newer_stream(tmp_path: Path) -> None:
    async with stand(tmp_path, config=SESSION_MODE) as it, it.client() as a, it.client() as b:
        (ann,) = await knowing(it, Caller("", "ann", limits=KeyLimits(max_streams=1)))
        first = await begin(a, CHAT, talk("old"), "s", **bearer(ann.text))
        other = await it.ask(CHAT, talk("w"), x_session_id="t", **bearer(ann.text))
        second = await begin(b, CHAT, talk("new", words=5), "s", **bearer(ann.text))
        old, new = await finish(first), await finish(second)
    assert other.status == 429, "another session's place it cannot take"
    assert (old.error, new.error) == ("stream_cancelled", None)


# --- clean-up -------------------------------------------------------------------------------------


async def test_a_clean_up_of_three_seconds_holds_up_no_newer_stream(tmp_path: Path) -> None:
    slow: list[SlowClosing] = []

    def around(ledger: Any) -> SlowClosing:
        slow.append(SlowClosing(ledger, 3.0))
        return slow[0]

    async with stand(tmp_path, config=SESSION_MODE, around=around) as it:
        async with it.client() as a, it.client() as b, it.client() as c:
            first = await begin(a, CHAT, talk("a"), "s")
            asked = time.monotonic()
            second = await begin(b, CHAT, talk("b"), "s")
            third = await begin(c, CHAT, talk("c", words=10), "s")
            told = [await finish(first), await finish(second), await finish(third)]
            took = time.monotonic() - asked
        assert slow[0].pending == 2, "the rows of the old ones are still open"
        await until(lambda: not slow[0].pending)
        rows = [await it.row(each.id) for each in (first, second, third)]
    in_time(took, WITHIN)
    assert [each.error for each in told] == ["stream_cancelled", "stream_cancelled", None]
    assert all(each.is_of(word) for each, word in zip(told, "abc", strict=True))
    assert [row["status"] for row in rows] == ["superseded", "superseded", "completed"]


async def test_a_drain_goes_on_beside_the_newer_stream(tmp_path: Path) -> None:
    """Whose client has left is read for its numbers; its late end touches nothing of the newer one."""
    async with stand(tmp_path, config=SESSION_MODE, on_disconnect="drain") as it:
        async with it.client() as a, it.client() as b, it.client() as c:
            first = await begin(a, CHAT, talk("old", words=100), "s")
            a.abort()
            await until(lambda: it.gateway.relays[first.id].exchange.draining)
            second = await begin(b, CHAT, talk("new"), "s")
            drained = await it.row(first.id)
            third = await begin(c, CHAT, talk("newest", words=5), "s")
            told = [await finish(second), await finish(third)]
        registry = len(it.gateway.sessions)
    assert (drained["status"], drained["disposition"]) == ("client_disconnected", "drained")
    assert drained["usage_source"] == "provider"
    assert [each.error for each in told] == ["stream_cancelled", None]
    assert told[0].is_of("new")
    assert registry == 0
