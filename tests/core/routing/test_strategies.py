"""The order of a route's upstreams under each strategy, and what open circuits leave (SPEC §14.4, §14.5)."""

from __future__ import annotations

from collections.abc import Mapping

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamgauge.core.errors import ErrorCode, GatewayError, RequestError
from streamgauge.core.pricing import Money, Price
from streamgauge.core.routing.plan import Asked, Candidate, Snapshot, explain, plan
from streamgauge.core.routing.ratios import Ratio
from streamgauge.core.routing.rules import Phase, Route, Strategy, Target
from streamgauge.core.routing.strategies import CALM, Live, Standing, blended

NAMES = ("a", "b", "c")
UNIT = 10**9


def snapshot(strategy: Strategy, most: Money | None = None, kind: str = "openai") -> Snapshot:
    to = tuple(Target(name) for name in NAMES)
    route = Route(Phase.DEFAULT, "default", to, strategy, most)
    return Snapshot(tuple(Candidate(name, kind) for name in NAMES), route)


def order(found: Snapshot, live: Live, session: str | None = None) -> str:
    asked = Asked("openai", "chat/completions", "m", session_id=session)
    return "".join(choice.upstream for choice in plan(found, asked, live).choices)


def standing(**by_name: Standing) -> Live:
    return Live(standing=lambda name: by_name.get(name, Standing()))


def priced(prices: Mapping[str, Price], ratio: Ratio | None = None) -> Live:
    return Live(price=lambda upstream, model: prices.get(upstream), ratio=lambda model: ratio)


def price(input: int, output: int | None, currency: str = "USD") -> Price:
    out = None if output is None else output * UNIT
    return Price(source="config", currency=currency, input=input * UNIT, output=out)


def test_first_keeps_the_order_and_asks_of_standings_only_whether_they_allow() -> None:
    live = standing(a=Standing(in_flight=9, latency=9.0))
    assert order(snapshot(Strategy.FIRST), live) == "abc"


def test_round_robin_begins_one_further_each_time() -> None:
    turns = iter(range(100))
    live = Live(turn=lambda route: next(turns))
    assert [order(snapshot(Strategy.ROUND_ROBIN), live) for _ in range(4)] == [
        "abc",
        "bca",
        "cab",
        "abc",
    ]


def test_least_busy_takes_the_fewest_calls_and_the_first_of_equals() -> None:
    live = standing(a=Standing(in_flight=2), b=Standing(in_flight=1), c=Standing(in_flight=1))
    assert order(snapshot(Strategy.LEAST_BUSY), live) == "bca"


def test_lowest_latency_tries_the_unmeasured_first() -> None:
    live = standing(a=Standing(latency=0.9), b=Standing(latency=0.1))
    assert order(snapshot(Strategy.LOWEST_LATENCY), live) == "cba"


@pytest.mark.parametrize(
    ("ratio", "expected"),
    [
        (Ratio(9, 1, 5), "cab"),  # a (9·1+1·2)/10 = 1.1, b 1.4, c 0.5
        (Ratio(1, 9, 5), "acb"),  # a 1.9, b 4.6, c 4.5
        (None, "acb"),  # half and half: a 1.5, b 3, c 2.5
    ],
)
def test_cheapest_blends_the_rates_as_the_model_was_learnt_to_write(
    ratio: Ratio | None, expected: str
) -> None:
    prices = {"a": price(1, 2), "b": price(1, 5), "c": price(0, 5)}
    assert order(snapshot(Strategy.CHEAPEST), priced(prices, ratio)) == expected


def test_unlike_currencies_and_the_unpriced_are_not_compared_and_go_behind() -> None:
    live = priced({"a": price(1, 1, "EUR"), "c": price(50, 50)})
    capped = snapshot(Strategy.CHEAPEST, Money(100 * UNIT, "USD"))
    assert order(capped, live) == "cab"
    # Without a cap the first that is priced sets the currency.
    assert order(snapshot(Strategy.CHEAPEST), live) == "abc"
    found = explain(capped, Asked("openai", "chat/completions", "m"), live)
    assert [c.reason for c in found.considered] == ["50 USD per 1M", "priced in EUR", "unpriced"]


def test_over_the_cap_is_left_out_and_when_all_are_there_is_no_route() -> None:
    live = priced({"a": price(9, 9), "b": price(3, 3), "c": price(4, 4)})
    assert order(snapshot(Strategy.CHEAPEST, Money(3 * UNIT, "USD")), live) == "b"
    with pytest.raises(RequestError, match="upstream b 3 USD per 1M, over 2 USD") as caught:
        order(snapshot(Strategy.CHEAPEST, Money(2 * UNIT, "USD")), live)
    assert (caught.value.status, caught.value.code) == (404, ErrorCode.NO_ROUTE)


def test_a_price_without_a_rate_for_output_is_none_where_output_is_expected() -> None:
    only_read = price(2, None)
    assert blended(only_read, None) is None
    assert blended(only_read, Ratio(10, 0, 1)) == Money(2 * UNIT, "USD")


def test_embeddings_are_compared_and_capped_by_what_is_read() -> None:
    live = priced({"a": price(3, None), "b": price(1, 90), "c": price(2, None)})
    asked = Asked("openai", "embeddings", "m")

    def choices(most: Money | None) -> str:
        found = plan(snapshot(Strategy.CHEAPEST, most), asked, live)
        return "".join(choice.upstream for choice in found.choices)

    assert choices(None) == "bca"
    assert choices(Money(2 * UNIT, "USD")) == "bc"
    with pytest.raises(RequestError, match="a 3 USD per 1M, over"):
        choices(Money(UNIT // 2, "USD"))
    assert order(snapshot(Strategy.CHEAPEST), live) == "bac", "a chat writes, too"


@given(st.integers(0, 10**15), st.integers(0, 10**15), st.integers(1, 10**9), st.integers(0, 10**9))
def test_a_blended_rate_lies_between_its_rates(read: int, written: int, i: int, o: int) -> None:
    money = blended(Price("config", "USD", read, written), Ratio(i, o, 1))
    assert money is not None
    assert min(read, written) <= money.nano <= max(read, written)


@pytest.mark.parametrize(
    "strategy", [Strategy.ROUND_ROBIN, Strategy.LEAST_BUSY, Strategy.LOWEST_LATENCY]
)
def test_a_llamacpp_that_served_the_session_last_goes_first_unless_it_is_busier(
    strategy: Strategy,
) -> None:
    group = snapshot(strategy, kind="llamacpp")
    warm = Live(warm={"s": "c"}.get)
    assert order(group, warm, "s") == "cab"
    assert order(group, warm, "t") == "abc"
    assert order(group, warm, None) == "abc"
    busy = Live(standing=standing(c=Standing(in_flight=1)).standing, warm={"s": "c"}.get)
    assert order(group, busy, "s")[0] != "c"
    assert order(snapshot(strategy), warm, "s") == "abc"  # others keep no prefix


def test_the_configured_order_of_first_is_not_changed_for_a_warm_prefix() -> None:
    assert order(snapshot(Strategy.FIRST, kind="llamacpp"), Live(warm={"s": "c"}.get), "s") == "abc"


def test_an_upstream_whose_circuit_is_open_is_left_out() -> None:
    live = standing(a=Standing(allows=False, reopens_in=4.2))
    assert order(snapshot(Strategy.FIRST), live) == "bc"
    found = explain(snapshot(Strategy.FIRST), Asked("openai", "chat/completions", "m"), live)
    assert [(c.upstream, c.place) for c in found.considered] == [("b", 1), ("c", 2), ("a", None)]
    assert found.considered[2].reason == "circuit open for another 5 s"


@pytest.mark.parametrize(
    ("waits", "seconds"), [((30.0, 4.2, 9.0), 5), ((None, 0.0, 7.0), 1), ((None, None, None), 1)]
)
def test_when_every_circuit_is_open_the_client_is_told_when_the_first_may_close(
    waits: tuple[float | None, ...], seconds: int
) -> None:
    shut = {n: Standing(allows=False, reopens_in=w) for n, w in zip(NAMES, waits, strict=True)}
    with pytest.raises(GatewayError) as caught:
        order(snapshot(Strategy.FIRST), standing(**shut))
    error = caught.value
    assert (error.status, error.code, error.retry_after) == (503, ErrorCode.UPSTREAM_ERROR, seconds)
    assert not isinstance(error, RequestError)


def test_an_upstream_that_an_admin_drained_is_left_out_and_said_to_be() -> None:
    live = standing(a=Standing(drained=True), b=Standing(allows=False, drained=True))
    assert order(snapshot(Strategy.FIRST), live) == "c"
    found = explain(snapshot(Strategy.FIRST), Asked("openai", "chat/completions", "m"), live)
    assert [(c.upstream, c.place) for c in found.considered] == [("c", 1), ("a", None), ("b", None)]
    assert [c.reason for c in found.considered[1:]] == ["drained by an admin"] * 2


def test_an_upstream_that_wants_a_wait_is_left_out_and_said_to_want_it() -> None:
    live = standing(a=Standing(allows=False, reopens_in=4.2, cooling=True))
    found = explain(snapshot(Strategy.FIRST), Asked("openai", "chat/completions", "m"), live)
    assert [(c.upstream, c.place) for c in found.considered] == [("b", 1), ("c", 2), ("a", None)]
    assert found.considered[2].reason == "wants no call for another 5 s"


@pytest.mark.parametrize(
    ("others", "seconds", "words"),
    [
        (Standing(drained=True), None, "a (drained by an admin), b (drained by an admin)"),
        (
            Standing(allows=False, reopens_in=8.5),
            9,
            "a (drained by an admin), b (failures of late)",
        ),
        (
            Standing(allows=False, reopens_in=8.5, cooling=True),
            9,
            "a (drained by an admin), b (wants no call just now)",
        ),
    ],
)
def test_when_all_are_drained_or_failing_the_wait_is_that_of_circuits_alone(
    others: Standing, seconds: int | None, words: str
) -> None:
    with pytest.raises(GatewayError) as caught:
        order(snapshot(Strategy.FIRST), standing(a=Standing(drained=True), b=others, c=others))
    error = caught.value
    assert (error.status, error.code, error.retry_after) == (503, ErrorCode.UPSTREAM_ERROR, seconds)
    assert words in error.message


def test_one_open_circuit_among_the_unfit_is_no_matter_of_the_request() -> None:
    claude = Candidate("claude", "anthropic")
    route = Route(Phase.DEFAULT, "default", (Target("claude"), Target("a")))
    found = Snapshot((claude, Candidate("a", "openai")), route)
    embeddings = Asked("openai", "embeddings", "m")
    with pytest.raises(GatewayError) as caught:
        plan(found, embeddings, standing(a=Standing(allows=False, reopens_in=2.0)))
    assert caught.value.status == 503
    assert [c.upstream for c in plan(found, embeddings, CALM).choices] == ["a"]


def test_cost_is_the_phase_of_a_default_route_that_takes_the_cheapest() -> None:
    route = Route(Phase.COST, "default", (Target("a"), Target("b")), Strategy.CHEAPEST)
    found = Snapshot(tuple(Candidate(name, "openai", ("x",)) for name in NAMES), route)
    live = priced({"a": price(2, 2), "b": price(1, 1)})
    assert order(found, live) == "ba"
    assert explain(found, Asked("openai", "chat/completions", "m"), live).phase is Phase.COST
