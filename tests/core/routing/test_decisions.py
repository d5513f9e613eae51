"""One configuration, and where it sends each of many requests; `explain` tells the same (SPEC §14.1)."""

from __future__ import annotations

import pytest

from streamgauge.config.load import LoadOptions, load
from streamgauge.config.prices import PriceBook
from streamgauge.core.errors import GatewayError
from streamgauge.core.pricing import Price
from streamgauge.core.routing.asked import Asked
from streamgauge.core.routing.plan import Choice, Phase, explain, plan
from streamgauge.core.routing.strategies import Live
from streamgauge.gateway.admission import asked_of, read_chat
from streamgauge.gateway.http import request_head
from streamgauge.gateway.snapshot import snapshot_of

from .decisions import CASES, CONFIG, Case

LOADED = load(LoadOptions(config=CONFIG, environ={})).config
SNAPSHOT = snapshot_of(LOADED)
BOOK = PriceBook(LOADED.prices)


def price(upstream: str, model: str | None) -> Price | None:
    return BOOK.price_for(upstream, "openai", model, 0)


LIVE = Live(price=price)


def asked(case: Case) -> Asked:
    headers = tuple((n.lower().encode(), v.encode()) for n, v in case.header.items())
    head = request_head("POST", f"/v1/{case.endpoint}", "", headers, "")
    return asked_of(read_chat(head, case.endpoint, case.request), head, case.key)


def told(choice: Choice) -> str:
    model = "" if choice.model is None else f"/{choice.model}"
    return f"{choice.upstream}{model}" + (f">{choice.dialect}" if choice.dialect else "")


def test_the_table_is_large_and_has_every_phase_and_no_name_twice() -> None:
    assert len(CASES) >= 60
    assert len({case.name for case in CASES}) == len(CASES)
    phases = {explain(SNAPSHOT, asked(case), LIVE).phase for case in CASES}
    assert phases == set(Phase) - {Phase.COST}  # the default route of the file takes the first
    used = {case.route for case in CASES}
    routes = [*SNAPSHOT.models, *SNAPSHOT.rules, *SNAPSHOT.scenarios]
    assert {item.route.name for item in routes} <= used


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_each_request_of_the_table_goes_where_it_says(case: Case) -> None:
    if case.error is None:
        decision = plan(SNAPSHOT, asked(case), LIVE)
        assert (decision.route, [told(c) for c in decision.choices]) == (case.route, case.tried)
        return
    with pytest.raises(GatewayError) as caught:
        plan(SNAPSHOT, asked(case), LIVE)
    assert caught.value.status == case.error


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_what_is_explained_is_what_is_decided(case: Case) -> None:
    found = explain(SNAPSHOT, asked(case), LIVE)
    assert found.route == case.route
    tried = [c for c in found.considered if c.place is not None]
    assert [c.place for c in tried] == list(range(1, len(tried) + 1))
    assert [told(Choice(c.upstream, c.model, c.dialect)) for c in tried] == case.tried
    assert all(c.reason for c in found.considered)
    left_out = {c.upstream: c.reason for c in found.considered if c.place is None}
    assert left_out.keys() == case.out.keys()
    for upstream, reason in case.out.items():
        assert reason in left_out[upstream]
    assert (None if found.error is None else found.error.status) == case.error
