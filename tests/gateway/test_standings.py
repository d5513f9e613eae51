"""What routing is told of the upstreams, what it remembers, and what a configuration becomes for it."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from streamgauge.config.load import LoadOptions, load
from streamgauge.config.prices import PriceBook
from streamgauge.config.schema import Config
from streamgauge.core.pricing import Money
from streamgauge.core.record import ExchangeRecord
from streamgauge.core.routing.plan import Asked, Phase, plan
from streamgauge.core.routing.rules import Strategy
from streamgauge.gateway.generation import generation_of
from streamgauge.gateway.standings import Habits

TWO = """\
upstreams:
  - {name: a, kind: llamacpp, base_url: "http://127.0.0.1:1"}
  - {name: b, kind: openai, base_url: "http://127.0.0.1:1"}
routing:
  default: {to: [a, b/m2], strategy: %s}
  breaker: {failures: 1, open_seconds: 30}
prices: [{upstream: b, model: m2, input: 1, output: 3, currency: USD}]
"""
ASKED = Asked("openai", "chat/completions", "m")


def loaded(folder: Path, strategy: str = "first") -> Config:
    (folder / "streamgauge.yaml").write_text(TWO % strategy)
    return load(LoadOptions(config=Path("streamgauge.yaml"), environ={}, cwd=folder)).config


def record(session: str | None, upstream: str | None) -> ExchangeRecord:
    return ExchangeRecord(
        id=f"{session}", owner="o", started_at=0, dialect="openai", endpoint="chat/completions",
        session_id=session, upstream=upstream,
    )  # fmt: skip


def test_turns_are_counted_by_route_and_asking_takes_none() -> None:
    habits = Habits()
    for route in ("x", "x", "y"):
        habits.took_turn(route)
    assert [habits.turn(route) for route in ("x", "x", "y", "z")] == [2, 2, 1, 0]


def test_the_sessions_heard_of_last_are_remembered_and_no_more() -> None:
    habits = Habits(max_sessions=2)
    for session, upstream in (("s", "a"), ("t", "b"), ("s", "b"), ("u", "a")):
        habits.write(record(session, upstream))
    assert [habits.warm(session) for session in "stu"] == ["b", None, "a"]
    for nothing in (record(None, "a"), record("v", None)):
        habits.write(nothing)
    assert habits.warm("s") == "b"
    assert habits.warm("v") is None


def test_the_upstreams_own_state_is_what_routing_sees(tmp_path: Path) -> None:
    config = loaded(tmp_path)
    generation = generation_of(config, "v", PriceBook(config.prices))
    generation.take_effect()
    up, live = generation.upstreams["a"], generation.live
    assert live.standing("a").allows
    ticket = up.began(time.monotonic())
    up.answered(0.25)
    assert (live.standing("a").in_flight, live.standing("a").latency) == (1, 0.25)
    up.breaker.failed(time.monotonic(), ticket)
    standing = live.standing("a")
    assert (standing.allows, 25 < (standing.reopens_in or 0) <= 30) == (False, True)
    assert [choice.upstream for choice in plan(generation.snapshot, ASKED, live).choices] == ["b"]


def test_an_upstream_that_asked_for_a_wait_is_not_said_to_fail(tmp_path: Path) -> None:
    config = loaded(tmp_path)
    generation = generation_of(config, "v", PriceBook(config.prices))
    generation.take_effect()
    breaker, live = generation.upstreams["a"].breaker, generation.live
    breaker.cool(time.monotonic() + 9.0)
    standing = live.standing("a")
    assert (standing.allows, standing.cooling, 8 < (standing.reopens_in or 0) <= 9) == (
        False,
        True,
        True,
    )
    breaker.failed(time.monotonic())
    assert not live.standing("a").cooling  # its circuit is open now, whatever it asked for


def test_prices_and_learnt_ratios_are_asked_of_those_in_use(tmp_path: Path) -> None:
    config = loaded(tmp_path, "cheapest, max_per_1m: 2 usd")
    generation = generation_of(config, "v", PriceBook(config.prices))
    snapshot, live = generation.snapshot, generation.live
    assert snapshot.default is not None
    assert snapshot.default.phase is Phase.COST
    assert (snapshot.default.strategy, snapshot.default.most) == (
        Strategy.CHEAPEST,
        Money(2 * 10**9, "USD"),
    )
    assert [choice.upstream for choice in plan(snapshot, ASKED, live).choices] == ["b", "a"]
    generation.ratios.learn("m2", None, 1, 9)  # b would now be 2.8
    assert [choice.upstream for choice in plan(snapshot, ASKED, live).choices] == ["a"]


PREFIXED = """\
upstreams:
  - {name: a, kind: openrouter, base_url: "http://127.0.0.1:1", transformers: [openrouter_prefix]}
  - {name: b, kind: vllm, base_url: "http://127.0.0.1:1"}
routing: {default: {to: [b, a], strategy: cheapest}}
prices:
  - {upstream: a, model: "anthropic/claude-*", input: 1, output: 3, currency: USD}
  - {upstream: b, input: 2, output: 1.5, currency: USD}
"""


def test_a_model_that_is_renamed_is_priced_and_learnt_of_by_its_name_there(tmp_path: Path) -> None:
    (tmp_path / "streamgauge.yaml").write_text(PREFIXED)
    config = load(LoadOptions(config=Path("streamgauge.yaml"), environ={}, cwd=tmp_path)).config
    generation = generation_of(config, "v", PriceBook(config.prices))
    asked = Asked("openai", "chat/completions", "claude-x")

    def order() -> list[tuple[str, str | None]]:
        choices = plan(generation.snapshot, asked, generation.live).choices
        return [(choice.upstream, choice.model) for choice in choices]

    dear, other = ("a", "anthropic/claude-x"), ("b", "claude-x")
    assert order() == [other, dear]  # 2 USD and 1.75 while nothing is known
    generation.ratios.learn("anthropic/claude-x", None, 1000, 1)
    assert order() == [dear, other]  # it writes next to nothing: 1 USD


def test_a_reload_keeps_turns_and_sessions(tmp_path: Path) -> None:
    config = loaded(tmp_path, "round_robin")
    before = generation_of(config, "v", PriceBook(config.prices))
    before.habits.write(record("s", "a"))
    first = []
    for _ in range(3):
        decision = plan(before.snapshot, ASKED, before.live)
        before.habits.took_turn(decision.route)
        first.append(decision.choices[0].upstream)
    after = generation_of(config, "w", PriceBook(config.prices), before)
    assert first == ["a", "b", "a"]
    assert plan(after.snapshot, ASKED, after.live).choices[0].upstream == "b"
    assert after.habits.warm("s") == "a"


@pytest.mark.parametrize("strategy", ["first", "round_robin", "least_busy", "lowest_latency"])
def test_a_decision_takes_microseconds(strategy: str, tmp_path: Path) -> None:
    """25 µs for routing (issue 5); a shared machine gets five times that. The best of many counts."""
    config = loaded(tmp_path, strategy)
    generation = generation_of(config, "v", PriceBook(config.prices))

    def once() -> float:
        start = time.perf_counter()
        for _ in range(200):
            plan(generation.snapshot, ASKED, generation.live)
        return (time.perf_counter() - start) / 200

    assert min(once() for _ in range(20)) < 5 * 25e-6
