"""Every client's dialect to every upstream's: the answer, the grammar, the row (SPEC §13)."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import pytest
import pytest_asyncio

from streamgauge.tools.simulator.journal import Ending

from ..grammar_check import OURS, legal
from .matrix import CASES, CLIENTS, LIKE_OPENAI, UPSTREAMS, Case, Said
from .pairing import Pair, paired

pytestmark = [pytest.mark.asyncio(loop_scope="module")]


@pytest_asyncio.fixture(loop_scope="module", scope="module", params=UPSTREAMS)
async def pair(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[Pair]:
    async with paired(request.param, tmp_path_factory.mktemp("matrix")) as built:
        yield built


def is_translated(client: str, upstream: str) -> bool:
    """Return whether the answer is written by us."""
    if client == "openai":
        return upstream not in LIKE_OPENAI
    return client != upstream


@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
@pytest.mark.parametrize("client", CLIENTS)
async def test_a_client_assembles_what_the_upstream_sent(
    pair: Pair, client: str, case: Case
) -> None:
    streamed = await pair.clients.ask(client, case, stream=True)
    whole = await pair.clients.ask(client, case, stream=False)
    check_stream(pair, client, case, streamed)
    for said in (streamed, whole):
        if case.fails:
            assert said.error
        else:
            check_answer(case, said)
    rows = [await checked_row(pair, client, case, said) for said in (streamed, whole)]
    same: tuple[str, ...] = ("status", "success", "upstream_model", "dialect", "error_code")
    if not case.fails:
        same += (
            "response_model",
            "finish_normal",
            "finish_reason",
            "input_tokens",
            "output_tokens",
            "reasoning_tokens",
            "usage_source",
        )
        same += ("cache_read_tokens", "input_source", "cost_nano", "anomalies")
    assert {k: rows[0][k] for k in same} == {k: rows[1][k] for k in same}


def check_answer(case: Case, said: Said) -> None:
    """Check a whole answer against what the simulator was told to send."""
    assert said.error is None
    assert said.text == case.text
    assert said.reasoning == case.reasoning
    assert said.calls == case.calls
    assert len(set(said.ids)) == len(case.calls)
    assert all(said.ids)
    assert said.finish == case.finish


def check_stream(pair: Pair, client: str, case: Case, said: Said) -> None:
    """Check the bytes of a stream, and what stands before its error."""
    if case.name == "error_first":
        assert said.status >= 500
        return
    assert said.status == 200
    legal(client, said.raw, OURS if is_translated(client, pair.upstream) else None)
    if case.fails:
        assert said.text == case.partial
    if case.name == "slow":
        assert said.times[-1] - said.times[0] > 0.02, "not at once, but as it came"


async def checked_row(pair: Pair, client: str, case: Case, said: Said) -> dict[str, Any]:
    """Return the row, checked against the journal and what the client was told."""
    row, entry = await pair.books(said.request_id)
    assert row["status"] == case.status
    assert row["success"] is (not case.fails)
    assert row["dialect"] == client
    assert row["http_status"] == said.status
    assert said.headers.get("x-streamgauge-lossy") is None
    if case.fails:
        return row
    assert row["delivered"] == "all"
    assert row["anomalies"] == []
    assert entry.ending is Ending.COMPLETE
    assert row["usage_source"] == "provider"
    assert entry.prompt_tokens == case.tokens
    booked = (row["input_tokens"], row["output_tokens"])
    assert booked == (entry.prompt_tokens, entry.completion_tokens)
    if said.usage is not None:
        assert said.usage == booked
    return row
