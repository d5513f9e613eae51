"""From rounds to figures: medians, paired ratios, and None where a figure does not apply."""

from __future__ import annotations

import random
from collections.abc import Sequence
from typing import Any

import pytest

from streamgauge.tools.bench.difference import Difference
from streamgauge.tools.bench.profiles import PROFILES, Profile
from streamgauge.tools.bench.results import FIGURES, Result, results
from streamgauge.tools.bench.rounds import Round

PACED, SHORT, IDLE = PROFILES["paced"], PROFILES["short"], PROFILES["idle"]


def a_round(target: str, cpu: float | None, **changed: Any) -> Round:
    """Return a round of 1 000 events or requests that took `cpu` seconds."""
    seen = {
        "requests": 1000,
        "events": 1000,
        "reads": 500,
        "lost": 0,
        "reordered": 0,
        "failed": 0,
        "first_failure": None,
        "elapsed_s": 2.0,
        "delay_p50_ms": 1.0,
        "delay_p99_ms": 3.0,
        "answer_p50_ms": 7.0,
        "answer_p99_ms": 9.0,
        **changed,
    }
    memory = (None, None) if cpu is None else (1 << 20, 3 << 20)
    return Round(target, seen, cpu, *memory)


def by_target(profile: Profile, *rounds: Round) -> dict[str, Result]:
    return {each.target: each for each in results(profile, rounds)}


def test_a_figure_is_the_median_of_its_rounds_with_least_and_most() -> None:
    it = by_target(PACED, *(a_round("a", cpu) for cpu in (0.050, 0.020, 0.030)))["a"]
    assert it.median["cpu_us_per_event"] == pytest.approx(30.0)
    assert it.spread["cpu_us_per_event"] == pytest.approx((20.0, 50.0))
    assert it.median["events_per_read"] == 2.0
    assert it.median["per_second"] == 500.0
    assert it.median["rss_mib"] == 3.0


def test_a_ratio_compares_rounds_that_stood_beside_each_other() -> None:
    quiet, busy = (0.030, 0.020), (0.300, 0.100)
    rounds = [
        a_round(name, cpu)
        for pair in (quiet, busy)
        for name, cpu in zip(("a", "nginx"), pair, strict=True)
    ]
    found = by_target(PACED, *rounds)
    assert found["a"].spread["ratio_to_nginx"] == pytest.approx((1.5, 3.0))
    assert found["nginx"].median["ratio_to_nginx"] == 1.0


def test_without_nginx_there_is_no_ratio_and_without_direct_nothing_added() -> None:
    it = by_target(PACED, a_round("a", 0.03))["a"]
    assert it.median["ratio_to_nginx"] is None
    assert it.median["added_p50_ms"] is None
    assert it.spread["ratio_to_nginx"] is None


def test_a_delay_is_what_is_added_to_the_median_without_a_proxy() -> None:
    direct = [a_round("direct", None, delay_p50_ms=ms) for ms in (0.25, 0.75)]
    found = by_target(PACED, a_round("a", 0.03), *direct)
    assert found["a"].median["added_p50_ms"] == pytest.approx(0.5)
    assert found["a"].median["added_p99_ms"] == pytest.approx(2.5)
    assert found["direct"].median["cpu_us_per_event"] is None
    assert found["direct"].median["rss_mib"] is None


def test_each_profile_has_the_figures_that_apply_to_it() -> None:
    none_of = {
        name: {
            key
            for key, value in by_target(
                PROFILES[name], a_round("nginx", 0.03), a_round("direct", None)
            )["nginx"].median.items()
            if value is None
        }
        for name in PROFILES
    }
    calls = "syscalls_per_event"
    assert (
        none_of["paced"]
        == none_of["paced-tenth"]
        == {"cpu_us_per_request", "kib_per_stream", calls}
    )
    assert none_of["flood"] == none_of["paced"] | {"added_p50_ms", "added_p99_ms"}
    assert none_of["short"] == {
        "cpu_us_per_event",
        "ttft_ms",
        "events_per_read",
        "kib_per_stream",
        calls,
    }
    assert none_of["idle"] == {"cpu_us_per_request", calls}


def test_short_requests_are_compared_by_request_and_held_streams_by_memory() -> None:
    short = by_target(SHORT, a_round("a", 0.06, events=0), a_round("nginx", 0.02, events=0))
    assert short["a"].median["cpu_us_per_request"] == pytest.approx(60.0)
    assert short["a"].median["ratio_to_nginx"] == pytest.approx(3.0)
    held = by_target(IDLE, a_round("a", 0.06), a_round("nginx", 0.02))
    assert held["a"].median["kib_per_stream"] == pytest.approx(2048 / IDLE.streams)
    assert held["a"].median["ratio_to_nginx"] == 1.0


def test_every_fault_is_an_error_and_the_first_reason_is_told() -> None:
    rounds = [
        a_round("a", 0.03, lost=2, reordered=1),
        a_round("a", 0.03, failed=1, first_failure="status 503"),
    ]
    it = by_target(PACED, *rounds)["a"]
    assert it.errors == 4
    assert it.fault == "paced: a: 2 lost, 1 out of order, 1 requests failed: status 503"


def test_no_events_give_no_cost() -> None:
    it = by_target(PACED, a_round("a", 0.03, events=0, reads=0, requests=0))["a"]
    assert it.median["cpu_us_per_event"] is None
    assert it.median["events_per_read"] is None


def test_json_holds_every_figure_and_its_spread() -> None:
    shown = by_target(PACED, a_round("a", 0.03))["a"].as_json()
    assert set(FIGURES) <= shown.keys()
    assert set(FIGURES) == shown["spread"].keys()
    assert (shown["profile"], shown["target"], shown["streams"], shown["gap_ms"]) == (
        "paced",
        "a",
        200,
        20.0,
    )


def test_system_calls_go_where_events_are_paced() -> None:
    paced, flood = (
        by_target(PROFILES[name], a_round("a", 0.03))["a"] for name in ("paced", "flood")
    )
    assert paced.with_system_calls(3.0).median["syscalls_per_event"] == 3.0
    assert flood.with_system_calls(3.0).median["syscalls_per_event"] is None


def test_a_smaller_load_keeps_its_pace() -> None:
    tenth = PACED.scaled(0.1)
    assert (tenth.streams, tenth.events, tenth.gap_ns) == (20, PACED.events, PACED.gap_ns)
    assert SHORT.scaled(0.1).requests == SHORT.requests // 10
    assert PACED.scaled(0.0001).streams == 1
    half = PACED.changed(streams=100, gap_ms=5, events=7)
    assert (half.streams, half.events, half.gap_ns) == (100, 7, 5_000_000)
    assert SHORT.changed(gap_ms=5, events=7) == SHORT
    assert SHORT.changed(streams=9_000).requests == 9_000, "each connection has a request"


def dearer(costs: Sequence[float | None], others: Sequence[float | None]) -> Difference | None:
    """Return how the rounds of `a` compare with those of `b`, in µs an event."""
    rounds = [
        a_round(name, None if us is None else us / 1000)
        for pair in zip(costs, others, strict=True)
        for name, us in zip("ab", pair, strict=True)
    ]
    found = {each.target: each.dearer for each in results(PACED, rounds, "b")}
    assert found["b"] is None
    return found["a"]


def test_a_difference_is_that_of_rounds_beside_each_other_whatever_the_machine_does() -> None:
    drifting = [40.0, 60.0, 90.0, 50.0, 45.0, 70.0]
    it = dearer([base + 2.0 for base in drifting], drifting)
    assert it is not None
    assert (it.against, it.median) == ("b", pytest.approx(2.0))
    assert (it.low, it.high) == (pytest.approx(2.0), pytest.approx(2.0))


@pytest.mark.parametrize(
    ("count", "left_out"), [(5, None), (6, 0), (8, 0), (9, 1), (12, 2), (15, 3), (25, 7)]
)
def test_between_what_a_difference_lies_is_told_by_the_sign_test(
    count: int, left_out: int | None
) -> None:
    its = [float(10 + n) for n in range(count)]
    it = dearer(random.sample(its, count), [10.0] * count)
    assert it is not None
    if left_out is None:
        assert (it.low, it.high) == (None, None)
    else:
        assert it.low == pytest.approx(left_out)
        assert it.high == pytest.approx(count - 1 - left_out)
    assert it.median == pytest.approx((count - 1) / 2)


def test_what_has_no_cost_is_compared_with_nothing() -> None:
    assert dearer([None, None], [10.0, 12.0]) is None
    some = dearer([None, 13.0], [10.0, 12.0])
    assert some is not None
    assert (some.median, some.low) == (pytest.approx(1.0), None)
    alone = by_target(PACED, a_round("a", 0.03))["a"]
    assert alone.as_json()["dearer"] is None
