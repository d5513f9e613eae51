"""The estimate of a caller with a key: its own ratio, and only models that it may use."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from streamgauge.config.load import LoadOptions, load
from streamgauge.config.prices import PriceBook
from streamgauge.core.errors import GatewayError
from streamgauge.core.keys import Caller
from streamgauge.gateway.costs import cost_answer, cost_page
from streamgauge.gateway.generation import Generation, generation_of
from streamgauge.gateway.http import Request, request_head
from streamgauge.gateway.ids import IdSource

NOW_US = 1_780_000_000_000_000
CONFIG: dict[str, Any] = {
    "upstreams": [{"name": "up", "kind": "sim", "base_url": "http://127.0.0.1:1"}],
    "prices": [
        {"input": 1, "output": 1, "currency": "EUR"},
        {"input": 9, "output": 9, "currency": "EUR", "valid_from": "2099-01-01"},
    ],
}


@dataclass
class Host:
    """A gateway of which only the configuration in use is there."""

    generation: Generation
    ids: IdSource = field(default_factory=IdSource)


@pytest.fixture
def host(tmp_path: Path) -> Host:
    return host_of(tmp_path)


def host_of(folder: Path, **upstream: Any) -> Host:
    file = folder / "streamgauge.yaml"
    upstreams = [{**CONFIG["upstreams"][0], **upstream}]
    file.write_text(json.dumps({**CONFIG, "upstreams": upstreams}))
    loaded = load(LoadOptions(config=file, environ={}))
    return Host(generation_of(loaded.config, loaded.version, PriceBook(loaded.config.prices)))


def request(model: str = "m") -> Request:
    body = {"model": model, "messages": [{"role": "user", "content": "abcd"}]}
    head = request_head("POST", "/v1/cost", "", (), "127.0.0.1")
    return Request(head, json.dumps(body).encode(), 0.0)


def test_a_key_is_told_by_its_own_ratio_and_others_by_everybody_s(host: Host) -> None:
    host.generation.ratios.learn("m", "a", 10, 30)
    host.generation.ratios.learn("m", "b", 10, 10)
    callers = (Caller("a", "a"), Caller("b", "b"), Caller("c", "c"), None)
    pages = [cost_page(host, "openai", request(), caller, NOW_US) for caller in callers]
    # 5 tokens read: 3, 1 and 2 times as many are written; all at 1 micro-euro
    assert [page["output_tokens"] for page in pages] == [15, 5, 10, 10]
    assert [page["cost_nano"] for page in pages] == [20_000, 10_000, 15_000, 15_000]
    assert {page["currency"] for page in pages} == {"EUR"}


def test_a_model_outside_the_key_s_globs_is_refused(host: Host) -> None:
    caller = Caller("a", "a", ("qwen*",))
    with pytest.raises(GatewayError) as refused:
        cost_page(host, "openai", request("gpt-5"), caller, NOW_US)
    assert refused.value.status == 403
    assert cost_answer(host, request("gpt-5"), caller, NOW_US)[0] == 403
    assert cost_answer(host, request("qwen3"), caller, NOW_US)[0] == 200


def test_the_price_is_that_of_its_moment(host: Host) -> None:
    host.generation.ratios.learn("m", None, 1, 1)
    later = 4_102_444_800_000_000  # 2100-01-01
    pages = [cost_page(host, "openai", request(), None, when) for when in (NOW_US, later)]
    assert [page["cost_nano"] for page in pages] == [10_000, 90_000]


@pytest.mark.parametrize("learnt", [True, False])
def test_no_more_is_expected_than_the_upstream_is_asked_for(learnt: bool, tmp_path: Path) -> None:
    host = host_of(tmp_path, transformers=[{"max_tokens": {"cap": 7}}])
    if learnt:
        host.generation.ratios.learn("m", None, 1, 100)
    page = cost_page(host, "openai", request(), None, NOW_US)
    assert (page["output_tokens"], page["output_from"]) == (7, "max_tokens")
