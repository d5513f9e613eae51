"""What is worked out once for requests alike decides as a walk through all phases does, each time."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamgauge.core.routing.asked import Asked, Candidate, Globs
from streamgauge.core.routing.plan import Snapshot, explain, plan
from streamgauge.core.routing.rules import ModelMap, Phase, Route, Rule, Strategy, Target, When
from streamgauge.core.routing.scenarios import Scenario, ScenarioName
from streamgauge.core.routing.signals import Signals
from streamgauge.core.routing.strategies import Live, Standing

from ...work import functions_entered

NAMES = ("a", "b", "c")
MODELS = st.sampled_from([None, "", "x", "y-1", "a/x", "b/", "/x", "q/x", "fast-haiku-3", "a"])
GLOBS = st.sampled_from(["x", "y-*", "*", "a/*", "[xq]*", "fast*"])
KINDS = st.sampled_from(["openai", "anthropic", "llamacpp", "ollama"])
WORDS = st.sampled_from(["one", "two three", "Ünï"])
CANDIDATES = st.tuples(
    *(
        st.builds(Candidate, st.just(n), KINDS, st.lists(GLOBS, max_size=2).map(tuple))
        for n in NAMES
    )
)
TARGETS = st.lists(
    st.builds(Target, st.sampled_from((*NAMES, "gone")), st.none() | st.just("m")), min_size=1
)
WHENS = st.builds(
    When,
    headers=st.lists(st.tuples(st.just(b"x-team"), GLOBS.map(lambda g: Globs((g,)))), max_size=1),
    keys=st.lists(GLOBS, max_size=1).map(tuple).map(Globs),
    models=st.lists(GLOBS, max_size=1).map(tuple).map(Globs),
    min_input_chars=st.none() | st.integers(0, 12),
    keywords=st.lists(WORDS.map(str.lower), max_size=2).map(tuple),
).map(lambda when: replace(when, headers=tuple(when.headers)))
PART = st.sampled_from(
    [{"type": "text", "text": "two three"}, {"type": "image_url", "image_url": {"url": "u"}}]
)
CONTENTS = st.none() | WORDS | st.lists(PART, max_size=2)
FIELDS = st.fixed_dictionaries(
    {"messages": st.lists(st.builds(lambda c: {"role": "user", "content": c}, CONTENTS))},
    optional={
        "tools": st.lists(st.sampled_from([{"type": "web_search_preview"}, {"type": "x"}, 1])),
        "reasoning_effort": st.sampled_from(["none", "high"]),
        "thinking": st.sampled_from([None, {"type": "enabled"}, {"type": "disabled"}]),
        "plugins": st.just([{"id": "web"}]),
        "max_tokens": st.just(3),
    },
)


def route(phase: Phase, name: str, targets: list[Target]) -> Route:
    return Route(phase, name, tuple(targets))


@st.composite
def snapshots(draw: st.DrawFn) -> Snapshot:
    maps = draw(st.lists(st.tuples(GLOBS, TARGETS), max_size=2))
    rules = draw(st.lists(st.tuples(WHENS, TARGETS), max_size=3))
    kinds = draw(st.lists(st.sampled_from(ScenarioName), unique=True))
    default = draw(st.none() | TARGETS)
    return Snapshot(
        draw(CANDIDATES),
        None if default is None else route(Phase.DEFAULT, "default", default),
        tuple(
            ModelMap(Globs((glob,)), route(Phase.MODELS, f"map:{n}", to))
            for n, (glob, to) in enumerate(maps)
        ),
        tuple(
            Rule(when, route(Phase.RULE, f"rule:{n}", to)) for n, (when, to) in enumerate(rules)
        ),
        tuple(
            Scenario(
                name, route(Phase.SCENARIO, f"scenario:{name}", draw(TARGETS)),
                threshold_tokens=draw(st.integers(0, 40)),
            )
            for name in ScenarioName if name in kinds
        ),
    )  # fmt: skip


@st.composite
def requests(draw: st.DrawFn) -> Asked:
    fields: dict[str, Any] = draw(FIELDS)
    header, tokens = draw(st.none() | st.sampled_from(["x", "y-2"])), draw(st.integers(0, 60))
    return Asked(
        draw(st.sampled_from(["openai", "anthropic", "simple"])),
        draw(st.sampled_from(["chat/completions", "messages", "embeddings"])),
        draw(MODELS),
        draw(st.booleans()),
        draw(st.none() | st.sampled_from(["x", "nightly"])),
        size=len(str(fields)),
        fields=fields,
        header=lambda name: header,
        estimate=lambda: tokens,
    )


def is_of(scenario: Scenario, asked: Asked) -> bool:
    """Whether a request is of a scenario's kind, looked at for this one alone."""
    signals = Signals(asked)
    match scenario.name:
        case ScenarioName.IMAGE:
            return signals.has_image
        case ScenarioName.WEB_SEARCH:
            return signals.wants_web_search
        case ScenarioName.LONG_CONTEXT:
            return signals.is_longer_than(scenario.threshold_tokens)
        case ScenarioName.THINKING:
            return signals.wants_thinking
        case ScenarioName.BACKGROUND:
            return scenario.models.fit(asked.model)


def walked(snapshot: Snapshot, asked: Asked) -> str | None:
    """Return the name of the route that a walk through all phases finds (SPEC §14.1)."""
    first, slash, rest = (asked.model or "").partition("/")
    if slash and rest and first in NAMES:
        return "explicit"
    for item in snapshot.models:
        if item.match.fit(asked.model):
            return item.route.name
    for rule in snapshot.rules:
        if rule.when.holds(Signals(asked)):
            return rule.route.name
    for scenario in snapshot.scenarios:
        if is_of(scenario, asked):
            return scenario.route.name
    reached = [c for c in snapshot.candidates if c.reached(asked)]
    for candidate in reached:
        if candidate.serves(asked.model):
            return f"models:{candidate.name}"
    open_to_all = any(not candidate.models for candidate in reached)
    return "default" if snapshot.default is not None or open_to_all else None


@given(snapshots(), st.lists(requests(), min_size=1, max_size=6))
def test_a_decision_is_that_of_a_walk_through_all_phases_however_often_it_was_asked(
    snapshot: Snapshot, asked: list[Asked]
) -> None:
    for one in [*asked, *asked]:
        assert explain(snapshot, one).route == walked(snapshot, one)


@given(snapshots(), requests(), st.sets(st.sampled_from(NAMES)))
def test_whether_calls_may_begin_is_asked_of_all_at_once_or_of_each_and_decides_the_same(
    snapshot: Snapshot, asked: Asked, shut: set[str]
) -> None:
    by_each = Live(standing=lambda name: Standing(allows=name not in shut))
    at_once = replace(by_each, admit=shut.isdisjoint)
    told = explain(snapshot, asked, by_each)
    tried = tuple(c.upstream for c in told.considered if c.place is not None)
    if told.error is None:
        for live in (by_each, at_once):
            decision = plan(snapshot, asked, live)
            assert tuple(choice.upstream for choice in decision.choices) == tried
            assert (decision.route, decision.phase) == (told.route, told.phase)


def test_a_whole_route_is_decided_on_without_asking_how_each_upstream_stands() -> None:
    def never(name: str) -> Standing:
        raise AssertionError("that a call may begin is known already")

    to = route(Phase.DEFAULT, "default", [Target("a"), Target("b")])
    snapshot = Snapshot((Candidate("a", "openai"), Candidate("b", "openai")), to)
    live = Live(standing=never, admit=lambda names: True)
    assert len(plan(snapshot, Asked("openai", "chat/completions", "x"), live).choices) == 2


def test_turns_are_taken_though_all_upstreams_are_well() -> None:
    to = replace(route(Phase.DEFAULT, "default", [Target("a"), Target("b")]),
                 strategy=Strategy.ROUND_ROBIN)  # fmt: skip
    snapshot = Snapshot((Candidate("a", "openai"), Candidate("b", "openai")), to)
    turns = iter(range(9))
    live = Live(turn=lambda name: next(turns), admit=lambda names: True)
    asked = Asked("openai", "chat/completions", "x")
    assert [plan(snapshot, asked, live).choices[0].upstream for _ in range(3)] == ["a", "b", "a"]


@pytest.mark.parametrize(
    ("other", "tried"),
    [
        ({"model": "special"}, [("b", None)]),
        ({"key": "nightly"}, [("c", None)]),
        ({"dialect": "anthropic", "endpoint": "messages"}, [("a", "openai"), ("c", None)]),
        ({"endpoint": "embeddings"}, [("a", None)]),
        ({"as_is": False}, [("a", "openai"), ("c", "anthropic")]),
    ],
)
@pytest.mark.parametrize("first", [0, 1])
def test_requests_that_differ_in_what_decides_are_not_taken_for_alike(
    other: dict[str, Any], tried: list[tuple[str, str | None]], first: int
) -> None:
    default = route(Phase.DEFAULT, "default", [Target("a"), Target("c")])
    to_b, to_c = (route(Phase.RULE, f"rule:{n}", [Target(n)]) for n in "bc")
    kinds = {"a": "openai", "b": "openai", "c": "anthropic"}
    snapshot = Snapshot(
        tuple(Candidate(name, kind) for name, kind in kinds.items()), default,
        rules=(Rule(When(models=Globs(("special",))), to_b), Rule(When(keys=Globs(("n*",))), to_c)),
    )  # fmt: skip
    usual = Asked("openai", "chat/completions", "x")
    if other == {"key": "nightly"}:
        tried = [("c", "anthropic")]
    both = [
        (usual, [("a", None), ("c", "anthropic")]),
        (replace(usual, **other), tried),
    ]
    for asked, expected in (both[first], both[1 - first]):
        choices = plan(snapshot, asked).choices
        assert [(choice.upstream, choice.dialect) for choice in choices] == expected


TEXT = [{"role": "user", "content": "hello"}]
LONG = [{"role": "user", "content": "x" * 204}]
IMAGE = [{"role": "user", "content": [{"type": "image_url"}]}]


@pytest.mark.parametrize(
    ("fields", "size", "expected"),
    [
        ({"messages": TEXT}, 100, None),
        ({"messages": TEXT, "max_tokens": 5, "temperature": 0}, 100, None),
        ({"messages": LONG}, 240, ScenarioName.LONG_CONTEXT),
        ({"messages": IMAGE}, 100, ScenarioName.IMAGE),
        ({"messages": [*TEXT, *IMAGE, *TEXT]}, 100, ScenarioName.IMAGE),
        ({"input": IMAGE}, 100, ScenarioName.IMAGE),
        ({"messages": TEXT, "web_search_options": {}}, 100, ScenarioName.WEB_SEARCH),
        ({"messages": TEXT, "tools": [{"type": "web_search"}]}, 100, ScenarioName.WEB_SEARCH),
        ({"messages": TEXT, "plugins": [{"id": "web"}]}, 100, ScenarioName.WEB_SEARCH),
        ({"messages": TEXT, "thinking": {"type": "enabled"}}, 100, ScenarioName.THINKING),
        ({"messages": TEXT, "reasoning": {"effort": "low"}}, 100, ScenarioName.THINKING),
        ({"messages": TEXT, "reasoning_effort": "low"}, 100, ScenarioName.THINKING),
        ({"chat_template_kwargs": {"enable_thinking": True}}, 100, ScenarioName.THINKING),
    ],
)
def test_one_look_passes_over_the_scenarios_of_a_plain_request_and_of_no_other(
    fields: dict[str, Any], size: int, expected: ScenarioName | None
) -> None:
    scenarios = tuple(
        Scenario(name, route(Phase.SCENARIO, name, [Target("a")]), threshold_tokens=50)
        for name in ScenarioName
    )
    snapshot = Snapshot((Candidate("a", "openai"),), scenarios=scenarios)
    asked = Asked("openai", "chat/completions", "x", size=size, fields=fields)
    found = explain(snapshot, asked).route
    assert found == ("default" if expected is None else expected)
    assert Signals(asked).is_plain(50) is (expected is None)


def test_only_the_lower_bound_of_a_length_is_told_by_the_size_of_a_body() -> None:
    asked = Asked("openai", "chat/completions", "x", size=102, fields={"messages": TEXT})
    assert Signals(asked).is_plain(51)
    assert not Signals(asked).is_plain(50)
    assert not Signals(asked).is_longer_than(50)


def test_names_that_clients_make_up_are_not_kept_without_bound() -> None:
    snapshot = Snapshot((Candidate("a", "openai"),))

    def asked(model: str) -> Asked:
        return Asked("openai", "chat/completions", model)

    first = snapshot.alike(asked("m"))
    assert snapshot.alike(asked("m")) is first
    assert snapshot.alike(asked("m" * 1000)) is not snapshot.alike(asked("m" * 1000))
    for number in range(1000):
        snapshot.alike(asked(f"made-up-{number}"))
    assert snapshot.alike(asked("m")) is not first


def test_a_decision_by_rules_and_scenarios_enters_few_functions() -> None:
    """The price of routing (issue 5) in a form that no busy machine changes; it was 110 once."""
    named = Globs(("nightly*",))
    whens = (When(headers=((b"x-team", named),)), When(keys=named), When(keywords=("a", "b")),
             When(min_input_chars=1000))  # fmt: skip
    snapshot = Snapshot(
        (Candidate("a", "openai"), Candidate("b", "openai")),
        route(Phase.DEFAULT, "default", [Target("a"), Target("b")]),
        rules=tuple(Rule(w, route(Phase.RULE, f"rule:{n}", [Target("b")])) for n, w in enumerate(whens)),
        scenarios=tuple(
            Scenario(name, route(Phase.SCENARIO, name, [Target("b")])) for name in ScenarioName
        ),
    )  # fmt: skip
    asked = Asked("openai", "chat/completions", "x", size=99, fields={"messages": TEXT})
    live = Live(admit=lambda names: True)
    assert plan(snapshot, asked, live).route == "default"
    assert functions_entered(lambda: plan(snapshot, asked, live)) <= 20


@given(requests(), st.integers(0, 60))
def test_a_plain_request_is_of_no_scenario_that_looks_into_it(asked: Asked, tokens: int) -> None:
    signals = Signals(asked)
    if signals.is_plain(tokens):
        assert not signals.has_image
        assert not signals.wants_web_search
        assert not signals.wants_thinking
        assert not Signals(replace(asked, estimate=lambda: None)).is_longer_than(tokens)
