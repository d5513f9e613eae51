"""A key's limits over real sockets: in streams, requests, tokens and money (SPEC §15.2–15.4, S22)."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import random
import re
import time
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path
from typing import Any, NoReturn

import anthropic
import openai
import pytest

from streamgauge.core.keys import Caller, ClientKey, KeyLimits, KeyRing, digest_of
from streamgauge.core.price import Money
from streamgauge.core.verdict import State
from streamgauge.gateway.capturing import Capturing
from streamgauge.gateway.runtime import runtime_of
from streamgauge.ledger.spent import spent_this_month

from ..faults.upstream import deaf
from .stand import Answer, Client, Stand, frames_of, stand, until

CHAT, MESSAGES = "/v1/chat/completions", "/v1/messages"
FULL = bool(os.environ.get("STREAMGAUGE_FULL"))
SECRET = b"secret of the test"
TOKEN_NANO = 1000
PRICES = {"prices": [{"input": 0, "output": 1, "currency": "USD"}]}
"""A token written costs 1000 nano-dollars, one that is read nothing: each sum can be done in the head."""


def usd(nano: int) -> Money:
    return Money(nano, "USD")


def chat(stream: bool = True, max_tokens: int | None = 50, **sim: Any) -> dict[str, Any]:
    """Return a request that asks `sim` of the simulator, in its text, which is translated too."""
    messages = [{"role": "user", "content": f"sim: {json.dumps(sim)}"}]
    body = {"model": "sim", "stream": stream, "messages": messages}
    return body if max_tokens is None else {**body, "max_tokens": max_tokens}


class Keyed:
    """A stand whose clients have keys. `give` makes or changes one."""

    def __init__(self, it: Stand) -> None:
        self.it = it
        self._keys: dict[str, ClientKey] = {}

    def give(self, limits: KeyLimits, text: str = "sk-sg-one") -> str:
        """Let the key `text` have `limits`; return its text."""
        caller = Caller(f"id-of-{text}", text, (), limits)
        self._keys[text] = ClientKey(caller, digest_of(SECRET, text.encode()))
        self.it.gateway.callers.apply(KeyRing.of(SECRET, self._keys.values()))
        return text

    async def ask(
        self, body: dict[str, Any], path: str = CHAT, key: str = "sk-sg-one", **headers: str
    ) -> Answer:
        return await self.it.ask(path, body, authorization=f"Bearer {key}", **headers)

    @property
    def holds(self) -> int:
        return runtime_of(self.it.gateway, None).holds

    async def spent(self, key: str = "sk-sg-one") -> int:
        """Return what the ledger says that a key has spent, in nano-units."""
        rows = await self.it.rows()
        return sum(row["cost_nano"] or 0 for row in rows if row["key_id"] == f"id-of-{key}")


@contextlib.asynccontextmanager
async def keyed(folder: Path, limits: KeyLimits, **more: Any) -> AsyncIterator[Keyed]:
    """Give a gateway with one key."""
    async with stand(folder, **{"config": PRICES, **more}) as it:
        made = Keyed(it)
        made.give(limits)
        yield made


# --- refusals -----------------------------------------------------------------------------------


@pytest.mark.parametrize("path", [CHAT, MESSAGES])
@pytest.mark.asyncio
async def test_one_request_too_many_is_429_in_its_dialect_with_a_row_and_without_a_call(
    path: str, tmp_path: Path
) -> None:
    async with keyed(tmp_path, KeyLimits(rpm=1, tpm=5000)) as it:
        first = await it.ask(chat(tokens=2), path)
        second = await it.ask(chat(tokens=2), path)
        row = await it.it.row(second.id)
        calls = len(it.it.simulator.begun)
    assert (first.status, second.status, calls) == (200, 429, 1)
    error = second.json()["error"]
    assert (error["type"], error["code"]) == ("rate_limit_error", "limit_reached")
    assert 1 <= int(second.headers["retry-after"]) <= 61
    for answer in (first, second):
        told = {name: value for name, value in answer.headers.items() if "ratelimit" in name}
        if path == CHAT:
            assert told["x-ratelimit-limit-requests"] == "1"
            assert told["x-ratelimit-remaining-requests"] == "0"
            assert told["x-ratelimit-reset-requests"] in ("1m0s", "1m1s")
            assert told["x-ratelimit-limit-tokens"] == "5000"
        else:
            assert told["anthropic-ratelimit-requests-limit"] == "1"
            assert told["anthropic-ratelimit-requests-remaining"] == "0"
            assert told["anthropic-ratelimit-requests-reset"].endswith("Z")
            assert told["anthropic-ratelimit-tokens-limit"] == "5000"
        assert len(told) == 6
    assert (row["status"], row["error_code"]) == ("rejected", "limit_reached")
    assert (row["http_status"], row["key_id"], row["attempts"]) == (429, "id-of-sk-sg-one", 0)
    assert row["bytes_out"] == len(second.body)


@pytest.mark.asyncio
async def test_a_call_whose_worst_case_is_not_left_is_402_and_one_that_fits_goes_on(
    tmp_path: Path,
) -> None:
    async with keyed(tmp_path, KeyLimits(per_day=usd(20 * TOKEN_NANO))) as it:
        refused = await it.ask(chat(max_tokens=21, tokens=1))
        messages = await it.ask(chat(max_tokens=21, tokens=1), MESSAGES)
        served = await it.ask(chat(max_tokens=20, tokens=30))
        row = await it.it.row(served.id)
        gone = await it.ask(chat(max_tokens=1, tokens=1))
    assert (refused.status, messages.status) == (402, 402)
    assert refused.json()["error"]["code"] == "limit_reached"
    assert messages.json()["error"]["type"] == "billing_error"
    assert (row["status"], row["finish_reason"], row["cost_nano"]) == (
        "completed",
        "length",
        20_000,
    )
    assert gone.status == 402
    assert 0 < int(gone.headers["retry-after"]) <= 86_400
    assert refused.headers["x-should-retry"] == "false"
    assert "retry-after" not in refused.headers


@pytest.mark.asyncio
async def test_vendors_libraries_read_the_refusal_and_do_not_repeat_what_cannot_be_paid(
    tmp_path: Path,
) -> None:
    async with keyed(tmp_path, KeyLimits(per_day=usd(TOKEN_NANO), rpm=9)) as it:
        body: dict[str, Any] = {
            "model": "sim", "max_tokens": 5, "messages": [{"role": "user", "content": "hi"}]
        }  # fmt: skip
        ours = openai.AsyncOpenAI(api_key="sk-sg-one", base_url=it.it.url + "/v1")
        theirs = anthropic.AsyncAnthropic(api_key="sk-sg-one", base_url=it.it.url)
        async with ours, theirs:
            with pytest.raises(openai.APIStatusError) as first:
                await ours.chat.completions.create(**body)
            with pytest.raises(anthropic.APIStatusError) as second:
                await theirs.messages.create(**body)
        rows = await it.it.rows()
    assert first.value.status_code == second.value.status_code == 402
    assert first.value.code == "limit_reached"
    assert first.value.response.headers["x-ratelimit-remaining-requests"] == "9"
    assert len(rows) == 2


@pytest.mark.asyncio
async def test_under_a_money_limit_an_unpriced_call_is_refused(tmp_path: Path) -> None:
    async with keyed(tmp_path, KeyLimits(per_day=usd(10**12)), config={}) as it:
        refused = await it.ask(chat(tokens=1))
        it.give(KeyLimits(max_streams=1, rpm=5, tpm=500))
        served = await it.ask(chat(tokens=1))
    assert (refused.status, served.status) == (402, 200)
    assert "nothing states what this model costs" in refused.json()["error"]["message"]


@pytest.mark.asyncio
async def test_who_has_no_limits_sees_no_limits_and_those_of_the_upstream_pass(
    tmp_path: Path,
) -> None:
    async with keyed(tmp_path, KeyLimits()) as it:
        answer = await it.ask(chat(tokens=1))
        assert answer.status == 200
        assert not [name for name in answer.headers if "ratelimit" in name]
        assert it.holds == 0


# --- streams at once ----------------------------------------------------------------------------


@pytest.mark.asyncio
async def test_two_hundred_at_once_at_a_limit_of_ten_are_never_eleven(tmp_path: Path) -> None:
    async with keyed(tmp_path, KeyLimits(max_streams=10), config={}) as it:
        simulator, relays = it.it.simulator, it.it.gateway.relays
        upstream, streams = [0], [0]

        async def watch() -> None:
            while True:
                # One that has written its usage is as good as over: its marker follows, which frees
                # a place here before the simulator knows its last write to be taken.
                upstream.append(sum(not call.usage_sent for call in simulator.begun))
                states = [relay.exchange.state for relay in relays.values()]
                streams.append(sum(state is not State.DRAINING for state in states))
                await asyncio.sleep(0)

        async with asyncio.TaskGroup() as group:
            watching = group.create_task(watch())
            asking = [it.ask(chat(tokens=4, gap_ms=20)) for _ in range(200)]
            answers = await asyncio.gather(*asking)
            watching.cancel()
        served = [answer for answer in answers if answer.status == 200]
        refused = [answer for answer in answers if answer.status == 429]
        rows = await it.it.rows()
        await until(lambda: it.holds == 0)
        again = await it.ask(chat(tokens=1))
    assert len(served) + len(refused) == 200
    assert len(served) >= 10
    assert refused  # so ten were counted, which on a busy machine no look need have met
    assert 1 <= max(upstream) <= 10
    assert 1 <= max(streams) <= 10
    assert all(call.usage_sent for call in simulator.begun)
    assert {answer.headers["retry-after"] for answer in refused} == {"1"}
    assert sum(row["status"] == "completed" for row in rows) == len(served)
    assert sum(row["status"] == "rejected" for row in rows) == len(refused)
    assert again.status == 200


@pytest.mark.asyncio
async def test_one_after_the_other_finds_its_place_at_once_also_with_all_money_held(
    tmp_path: Path,
) -> None:
    limits = KeyLimits(max_streams=1, per_day=usd(100 * TOKEN_NANO), tpm=1000)
    async with keyed(tmp_path, limits) as it:
        for _ in range(10):
            # The upstream leaves its connection open behind the end, so that the row closes late.
            answer = await it.ask(chat(max_tokens=None, tokens=3, fault="hold_open"))
            assert answer.status == 200, answer.body
        await until(lambda: it.holds == 0)
        assert await it.spent() == 30 * TOKEN_NANO


# --- inside a stream ----------------------------------------------------------------------------

ENDS = {CHAT: b"[DONE]", MESSAGES: b"message_stop"}


@pytest.mark.parametrize("gap_ms", [0, 2])
@pytest.mark.parametrize(("path", "kind"), [(CHAT, "sim"), (CHAT, "anthropic"), (MESSAGES, "sim")])
@pytest.mark.asyncio
async def test_a_stream_that_has_used_up_its_money_ends_legally_with_the_right_row(
    path: str, kind: str, gap_ms: int, tmp_path: Path
) -> None:
    async with keyed(tmp_path, KeyLimits(per_day=usd(7 * TOKEN_NANO)), kind=kind) as it:
        # Without a gap many frames come in one read. The stand's client checks the grammar.
        answer = await it.ask(chat(max_tokens=None, tokens=200, gap_ms=gap_ms), path)
        row = await it.it.row(answer.id)
        await until(lambda: it.holds == 0)
        after = await it.ask(chat(max_tokens=1, tokens=1), path)
    told_of_limit(answer, row, path)
    assert pieces(answer) == row["output_tokens"] == 7
    assert (row["usage_source"], row["cost_nano"], row["currency"]) == ("counted", 7_000, "USD")
    assert after.status == 402


@pytest.mark.parametrize(("path", "kind"), [(CHAT, "sim"), (MESSAGES, "openai")])
@pytest.mark.asyncio
async def test_an_upstream_that_writes_more_than_was_asked_of_it_is_stopped_one_frame_later(
    path: str, kind: str, tmp_path: Path
) -> None:
    limit = 7 * TOKEN_NANO
    async with keyed(tmp_path, KeyLimits(per_day=usd(limit)), kind=kind) as it:
        # What is held for seven tokens is not enough for seven and one that comes twice.
        body = chat(max_tokens=7, tokens=7, fault="duplicate", after=3)
        answer = await it.ask(body, path)
        row = await it.it.row(answer.id)
        await until(lambda: it.holds == 0)
        spent = await it.spent()
    told_of_limit(answer, row, path)
    assert pieces(answer) == row["output_tokens"] == 8
    assert spent == limit + TOKEN_NANO


def pieces(answer: Answer) -> int:
    """Return how many pieces of text a client was sent."""
    return len(re.findall(rb'"(?:content|text)": ?"[^"]', answer.body))


def told_of_limit(answer: Answer, row: dict[str, Any], path: str) -> None:
    """Check the end that a stream gets at its limit, and its row."""
    assert (answer.status, answer.clean) == (200, True)
    assert ENDS[path] not in answer.body
    error = json.loads(frames_of(answer.body)[-1])["error"]
    assert error["code"] == "limit_reached"
    assert (row["status"], row["success"]) == ("limit_reached", False)
    assert (row["error_code"], row["http_status"]) == ("limit_reached", 200)
    assert (row["delivered"], row["disposition"]) == ("part", "cancelled")


@pytest.mark.asyncio
async def test_a_stream_that_has_used_up_the_minute_s_tokens_ends_too(tmp_path: Path) -> None:
    async with keyed(tmp_path, KeyLimits(tpm=100), config={}) as it:
        answer = await it.ask(chat(max_tokens=None, tokens=200))
        row = await it.it.row(answer.id)
        refused = await it.ask(chat(max_tokens=9, tokens=1))
    assert json.loads(frames_of(answer.body)[-1])["error"]["code"] == "limit_reached"
    assert row["status"] == "limit_reached"
    # A request of some 110 bytes is taken for a third as many tokens.
    assert 50 < row["output_tokens"] < 80
    assert (refused.status, refused.json()["error"]["code"]) == (429, "limit_reached")


@pytest.mark.asyncio
async def test_a_stream_whose_client_has_left_is_read_no_further_than_its_money_goes(
    tmp_path: Path,
) -> None:
    limits = KeyLimits(per_day=usd(20 * TOKEN_NANO))
    async with keyed(tmp_path, limits, kind="openai") as it:
        async with it.it.client() as client:
            asked = chat(max_tokens=None, tokens=400, gap_ms=2)
            await client.post(CHAT, asked, authorization="Bearer sk-sg-one")
            _, headers = await client.head()
            await client.chunk()
            await client.chunk()
        row = await it.it.row(headers["x-request-id"])
        await until(lambda: it.holds == 0)
    assert (row["status"], row["disposition"]) == ("client_disconnected", "drain_capped")
    assert (row["output_tokens"], row["cost_nano"]) == (20, 20 * TOKEN_NANO)


@pytest.mark.asyncio
async def test_the_money_limit_holds_with_many_streams_at_once(tmp_path: Path) -> None:
    limit = 60 * TOKEN_NANO
    async with keyed(tmp_path, KeyLimits(per_day=usd(limit))) as it:
        answers = await asyncio.gather(
            *(it.ask(chat(max_tokens=9, tokens=6, gap_ms=1)) for _ in range(60)),
        )
        await it.it.rows()
        while (last := await it.ask(chat(max_tokens=9, tokens=6))).status == 200:
            await it.it.row(last.id)
        spent = await it.spent()
        assert it.holds == 0
    statuses = {answer.status for answer in answers}
    assert statuses == {200, 402}
    assert limit - 9 * TOKEN_NANO < spent <= limit


# --- nothing stays held -------------------------------------------------------------------------


@pytest.mark.asyncio
@pytest.mark.timeout(120)
async def test_after_a_thousand_aborts_at_random_moments_nothing_is_held(tmp_path: Path) -> None:
    limits = KeyLimits(max_streams=1000, rpm=10**6, tpm=10**9, per_day=usd(10**15))
    count, lanes = (5000 if FULL else 1000), 10
    seed = random.randrange(1 << 32)
    print(f"seed {seed}")
    chance = random.Random(seed)
    async with keyed(tmp_path, limits, on_disconnect="cancel") as it:

        async def lane() -> None:
            for _ in range(count // lanes):
                path = chance.choice((CHAT, MESSAGES))
                async with it.it.client() as client:
                    client.odd = True
                    body = chat(chance.random() < 0.8, tokens=20, gap_ms=1)
                    await client.post(path, body, authorization="Bearer sk-sg-one")
                    with contextlib.suppress(asyncio.TimeoutError):
                        async with asyncio.timeout(chance.random() * 0.03):
                            await client.answer()
                    client.abort()

        await asyncio.gather(*(lane() for _ in range(lanes)))
        await until(lambda: not it.it.gateway.relays, 20)
        rows = await it.it.rows()
        assert it.holds == 0
        free = KeyLimits(per_day=usd(0))
        left = it.it.gateway.limiting.left("id-of-sk-sg-one", free, time.time_ns() // 1000)
    assert len(rows) > count // 2
    assert left is not None
    known = sum(row["cost_nano"] or 0 for row in rows)
    unknown = sum(row["cost_nano"] is None for row in rows)
    assert known <= -left <= known + unknown * 50 * TOKEN_NANO


@pytest.mark.asyncio
async def test_what_cannot_begin_gives_its_holds_and_its_name_back(tmp_path: Path) -> None:
    limits = KeyLimits(max_streams=1, per_day=usd(10**9))
    async with keyed(tmp_path, limits, kind="anthropic") as it:
        # n above 1 has no words in the upstream's dialect.
        body = {**chat(tokens=1), "n": 2}
        for _ in range(3):
            assert (await it.ask(body, idempotency_key="a")).status == 400
        assert it.holds == 0
        assert (await it.ask(chat(tokens=1), idempotency_key="a")).status == 200


# --- through a restart --------------------------------------------------------------------------


@pytest.mark.asyncio
async def test_what_was_spent_today_is_known_after_a_restart(tmp_path: Path) -> None:
    limits = KeyLimits(per_day=usd(20 * TOKEN_NANO))
    async with keyed(tmp_path, limits) as it:
        assert (await it.ask(chat(max_tokens=12, tokens=12))).status == 200
        await it.it.rows()
    async with keyed(tmp_path, limits) as it:
        spent = spent_this_month(tmp_path / "ledger.db", time.time_ns() // 1000)
        it.it.gateway.limiting.remember(spent)
        refused = await it.ask(chat(max_tokens=9, tokens=1))
        served = await it.ask(chat(max_tokens=8, tokens=1))
    assert [(each.key_id, each.money) for each in spent] == [("id-of-sk-sg-one", usd(12_000))]
    assert (refused.status, served.status) == (402, 200)


@pytest.mark.asyncio
async def test_a_key_that_is_given_a_limit_late_has_spent_what_it_has_spent(tmp_path: Path) -> None:
    async with keyed(tmp_path, KeyLimits()) as it:
        assert (await it.ask(chat(max_tokens=12, tokens=12))).status == 200
        await it.it.rows()
        it.give(KeyLimits(per_month=usd(20 * TOKEN_NANO)))
        assert (await it.ask(chat(max_tokens=9, tokens=1))).status == 402


@pytest.mark.asyncio
async def test_streams_that_began_before_their_key_had_a_limit_count_too(tmp_path: Path) -> None:
    async with keyed(tmp_path, KeyLimits()) as it, contextlib.AsyncExitStack() as open_ones:
        running: list[Client] = []

        async def begin() -> None:
            client = await open_ones.enter_async_context(it.it.client())
            await client.post(CHAT, chat(tokens=5000, gap_ms=20), authorization="Bearer sk-sg-one")
            await client.head()
            running.append(client)

        for _ in range(2):  # a limit that was taken away for a while is as one that is new
            await begin()
            it.give(KeyLimits(max_streams=len(running)))
            assert (await it.ask(chat(tokens=1))).status == 429
            it.give(KeyLimits())
        it.give(KeyLimits(max_streams=2, tpm=10_000))
        assert (await it.ask(chat(tokens=1))).status == 429
        for client in running:
            client.abort()
        await until(lambda: not it.it.gateway.relays)
        assert it.it.gateway.limiting.holds == 0
        assert (await it.ask(chat(tokens=1))).status == 200


# --- names --------------------------------------------------------------------------------------


@pytest.mark.asyncio
async def test_the_same_idempotency_key_makes_one_upstream_call(tmp_path: Path) -> None:
    async with keyed(tmp_path, KeyLimits()) as it, it.it.client() as client:
        other = it.give(KeyLimits(), "sk-sg-two")
        body = chat(tokens=5, gap_ms=30)
        auth = {"authorization": "Bearer sk-sg-one", "idempotency_key": "n-1"}
        await client.post(CHAT, body, **auth)
        _, headers = await client.head()
        in_flight = await it.ask(body, idempotency_key="n-1")
        foreign = await it.ask(chat(tokens=1), idempotency_key="n-1")
        mine = await it.ask(chat(tokens=1), key=other, idempotency_key="n-1")
        finished = headers["x-request-id"]
        await it.it.row(finished)
        later = await it.ask(body, idempotency_key="n-1")
        row = await it.it.row(later.id)
        calls = len(it.it.simulator.begun)
    assert (in_flight.status, foreign.status, mine.status, later.status) == (409, 422, 200, 409)
    for answer in (in_flight, foreign, later):
        assert finished in answer.json()["error"]["message"]
        assert answer.json()["error"]["code"] == "bad_request"
    assert later.headers["x-should-retry"] == "false"
    assert (row["status"], row["http_status"]) == ("rejected", 409)
    assert calls == 2


@pytest.mark.asyncio
async def test_a_name_whose_call_the_upstream_refused_is_free_for_the_next_try(
    tmp_path: Path,
) -> None:
    """As the vendors' libraries do it: a 429 is repeated with the very same headers."""
    async with stand(tmp_path) as it:
        body = chat(tokens=1)
        refused = await it.ask(CHAT, {**body, "sim": {"fault": "http_429"}}, idempotency_key="a")
        await it.row(refused.id)
        other = await it.ask(CHAT, body, idempotency_key="a")
        await it.row(other.id)
        again = await it.ask(CHAT, body, idempotency_key="a")
    assert (refused.status, other.status, again.status) == (429, 200, 409)


@pytest.mark.asyncio
async def test_a_name_whose_call_reached_no_upstream_is_free_for_the_next_try(
    tmp_path: Path,
) -> None:
    nowhere = {"name": "nowhere", "kind": "sim", "base_url": "http://127.0.0.1:1"}
    async with stand(tmp_path, also=[nowhere]) as it:
        failed = await it.ask(CHAT, {**chat(tokens=1), "model": "nowhere/m"}, idempotency_key="a")
        await it.row(failed.id)
        again = await it.ask(CHAT, chat(tokens=1), idempotency_key="a")
    assert (failed.status, again.status) == (502, 200)


@pytest.mark.asyncio
async def test_without_keys_all_callers_share_the_idempotency_keys(tmp_path: Path) -> None:
    async with stand(tmp_path) as it:
        first = await it.ask(CHAT, chat(tokens=1), idempotency_key="a")
        await it.row(first.id)
        second = await it.ask(CHAT, chat(tokens=1), idempotency_key="a")
        bad = await it.ask(CHAT, chat(tokens=1), idempotency_key="x" * 256)
        assert (first.status, second.status, bad.status) == (200, 409, 400)


@pytest.mark.asyncio
async def test_who_was_refused_for_a_limit_may_use_the_same_name_again(tmp_path: Path) -> None:
    async with keyed(tmp_path, KeyLimits(rpm=0)) as it:
        assert (await it.ask(chat(tokens=1), idempotency_key="a")).status == 429
        it.give(replace(KeyLimits(), rpm=5))
        assert (await it.ask(chat(tokens=1), idempotency_key="a")).status == 200


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.asyncio
async def test_a_call_that_reached_no_upstream_uses_up_nothing(
    stream: bool, tmp_path: Path
) -> None:
    limits = KeyLimits(per_day=usd(60 * TOKEN_NANO))
    with deaf() as url:
        silent = {"name": "silent", "kind": "sim", "base_url": url, "timeouts": {"connect": 0.1}}
        async with keyed(tmp_path, limits, also=[silent]) as it:
            body = chat(stream=stream, max_tokens=60, tokens=2)
            nowhere = await it.ask({**body, "model": "silent/m"})
            await it.it.row(nowhere.id)
            served = await it.ask({**body, "model": "sim/m"})
            again = await it.ask({**body, "model": "sim/m"})
    assert (nowhere.status, served.status, again.status) == (504, 200, 402)


class Broken(Capturing):
    """Fails as an error of our own would, behind the admission."""

    def tapped(self, *told: Any) -> NoReturn:
        raise LookupError("broken")


@pytest.mark.asyncio
async def test_a_call_that_a_fault_of_our_own_ends_before_it_began_holds_nothing(
    tmp_path: Path,
) -> None:
    async with keyed(tmp_path, KeyLimits(max_streams=1, per_day=usd(10**9))) as it:
        gateway, whole = it.it.gateway, it.it.gateway.capturing
        gateway.capturing = Broken(lambda: gateway.generation.config)
        failed = await it.ask(chat(tokens=2), idempotency_key="one")
        gateway.capturing = whole
        assert (failed.status, it.holds) == (500, 0)
        again = await it.ask(chat(tokens=2), idempotency_key="one")
    assert again.status == 200


@pytest.mark.parametrize("path", [CHAT, MESSAGES])
@pytest.mark.asyncio
async def test_what_is_held_is_what_the_upstream_is_asked_for(path: str, tmp_path: Path) -> None:
    limits = KeyLimits(per_day=usd(10 * TOKEN_NANO))
    async with keyed(tmp_path, limits, transformers=[{"max_tokens": {"cap": 10}}]) as it:
        assert (await it.ask(chat(max_tokens=5000, tokens=4), path)).status == 200


@pytest.mark.asyncio
async def test_an_unbounded_call_holds_what_we_ask_an_anthropic_upstream_for(
    tmp_path: Path,
) -> None:
    limits = KeyLimits(per_day=usd(9000 * TOKEN_NANO))
    async with keyed(tmp_path, limits, kind="anthropic") as it:
        body = chat(max_tokens=None, tokens=2, fault="hold_open")
        both = await asyncio.gather(it.ask(body), it.ask(body))
        assert [answer.status for answer in both] == [200, 200]
        # It ends by itself, as there was enough for all that it may write.
        it.give(KeyLimits(tpm=100_000))
        full = await it.ask(chat(max_tokens=None, tokens=9000))
        row = await it.it.row(full.id)
    assert (row["status"], row["finish_reason"], row["output_tokens"]) == (
        "completed",
        "max_tokens",
        4096,
    )
