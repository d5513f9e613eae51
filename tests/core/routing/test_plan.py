"""Where a request goes: explicit, globs, default, and what has no route (SPEC §14.1)."""

from __future__ import annotations

import pytest

from streamgauge.core.chat import UpstreamDialect
from streamgauge.core.errors import ErrorCode, RequestError
from streamgauge.core.routing.plan import (
    Asked,
    Candidate,
    Choice,
    Decision,
    Snapshot,
    explain,
    plan,
)
from streamgauge.core.routing.rules import Phase, Route, Target

LOCAL = Candidate("local", "llamacpp", ("qwen3-*", "tiny"))
CLOUD = Candidate("cloud", "openai", ("gpt-*", "qwen3-max"))
CLAUDE = Candidate("claude", "anthropic", ("claude-*",))
ANY = Candidate("any", "openrouter")
TO_LOCAL = Route(Phase.DEFAULT, "default", (Target("local"),))
ALL = Snapshot((LOCAL, CLOUD, CLAUDE, ANY))
CHATS = {"openai": "chat/completions", "anthropic": "messages", "simple": "chat/completions"}


def asked(dialect: str, model: str | None, endpoint: str | None = None) -> Asked:
    return Asked(dialect, endpoint or CHATS[dialect], model)


def decided(
    upstream: str, model: str | None, route: str, dialect: UpstreamDialect | None = None
) -> Decision:
    return Decision((Choice(upstream, model, dialect),), route)


@pytest.mark.parametrize(
    ("snapshot", "dialect", "model", "expected"),
    [
        (ALL, "openai", "cloud/gpt-5", decided("cloud", "gpt-5", "explicit")),
        (ALL, "openai", "any/meta/llama-4", decided("any", "meta/llama-4", "explicit")),
        (ALL, "openai", "local/anything", decided("local", "anything", "explicit")),
        (ALL, "openai", "qwen3-8b", decided("local", "qwen3-8b", "models:local")),
        (ALL, "openai", "qwen3-max", decided("local", "qwen3-max", "models:local")),
        (ALL, "openai", "gpt-5", decided("cloud", "gpt-5", "models:cloud")),
        (ALL, "anthropic", "claude-4", decided("claude", "claude-4", "models:claude")),
        (ALL, "anthropic", "tiny", decided("local", "tiny", "models:local", "openai")),
        (ALL, "openai", "claude-4", decided("claude", "claude-4", "models:claude", "anthropic")),
        (ALL, "anthropic", "gpt-5", decided("cloud", "gpt-5", "models:cloud", "openai")),
        (ALL, "openai", "claude/x", decided("claude", "x", "explicit", "anthropic")),
        (ALL, "anthropic", "any", decided("any", "any", "default", "openai")),
        (ALL, "openai", "meta/llama-4", decided("any", "meta/llama-4", "default")),
        (ALL, "openai", "cloud/", decided("any", "cloud/", "default")),
        (ALL, "openai", "/gpt-5", decided("any", "/gpt-5", "default")),
        (ALL, "openai", "QWEN3-8b", decided("any", "QWEN3-8b", "default")),
        (ALL, "openai", None, decided("any", None, "default")),
        (Snapshot((LOCAL, ANY), TO_LOCAL), "openai", "x", decided("local", "x", "default")),
        (Snapshot((LOCAL, ANY), TO_LOCAL), "openai", None, decided("local", None, "default")),
        (Snapshot((LOCAL, CLOUD), TO_LOCAL), "openai", "gpt-5", decided("cloud", "gpt-5", "models:cloud")),
        (Snapshot((LOCAL, ANY), TO_LOCAL), "openai", "any/x", decided("any", "x", "explicit")),
    ],
)  # fmt: skip
def test_the_first_phase_that_fits_decides(
    snapshot: Snapshot, dialect: str, model: str | None, expected: Decision
) -> None:
    assert plan(snapshot, asked(dialect, model)) == expected


@pytest.mark.parametrize(
    ("snapshot", "dialect", "model", "words"),
    [
        (Snapshot(()), "openai", "m", "'m'"),
        (Snapshot(()), "openai", None, "without a model"),
        (Snapshot((LOCAL,)), "openai", "gpt-5", "'gpt-5'"),
        (Snapshot((LOCAL,)), "openai", None, "without a model"),
        (Snapshot((CLAUDE,)), "openai", "gpt-5", "'gpt-5'"),
    ],
)
def test_what_has_no_route_is_a_404(
    snapshot: Snapshot, dialect: str, model: str | None, words: str
) -> None:
    with pytest.raises(RequestError) as caught:
        plan(snapshot, asked(dialect, model))
    error = caught.value
    assert (error.status, error.code, error.param) == (404, ErrorCode.NO_ROUTE, "model")
    assert words in error.message


@pytest.mark.parametrize("endpoint", ["completions", "responses", "embeddings"])
def test_only_chat_is_translated(endpoint: str) -> None:
    for model, words in (("claude-4", "serves"), ("claude/claude-4", f"has no {endpoint}")):
        with pytest.raises(RequestError, match=words) as caught:
            plan(Snapshot((CLAUDE,)), asked("openai", model, endpoint))
        assert caught.value.status == 404
    decision = plan(ALL, asked("openai", "claude-4", endpoint))
    assert decision.choices == (Choice("any", "claude-4"),)


@pytest.mark.parametrize(
    ("kind", "to", "native"),
    [
        ("llamacpp", {"openai": None, "anthropic": "openai", "simple": "openai"}, None),
        ("vllm", {"openai": None, "anthropic": "openai", "simple": "openai"}, None),
        ("ollama", {"openai": None, "anthropic": "ollama", "simple": "ollama"}, None),
        ("openai", {"openai": None, "anthropic": "openai", "simple": "openai"}, "openai"),
        ("openrouter", {"openai": None, "anthropic": "openai", "simple": "openai"}, "openai"),
        ("anthropic", {"openai": "anthropic", "anthropic": None, "simple": "anthropic"}, None),
        ("sim", {"openai": None, "anthropic": None, "simple": "openai"}, None),
    ],
)
def test_a_request_goes_as_it_is_where_it_can_and_else_in_the_kinds_own_dialect(
    kind: str, to: dict[str, str | None], native: str | None
) -> None:
    candidate = Candidate("up", kind)
    assert {name: candidate.translation(asked(name, "m")) for name in to} == to
    both = Candidate("up", kind, native_messages=True)
    assert both.translation(asked("anthropic", "m")) == native


@pytest.mark.parametrize(
    ("globs", "model", "serves"),
    [
        (("a*",), "abc", True),
        (("a?c", "x"), "abc", True),
        (("[ab]c",), "bc", True),
        (("a*",), "xabc", False),
        (("A*",), "abc", False),
        ((), "abc", False),
        (("*",), None, False),
        (("*",), "a/b/c", True),
    ],
)
def test_globs_are_matched_whole_and_in_their_case(
    globs: tuple[str, ...], model: str | None, serves: bool
) -> None:
    assert Candidate("up", "openai", globs).serves(model) is serves


def test_a_target_that_no_upstream_has_is_passed_over() -> None:
    route = Route(Phase.DEFAULT, "default", (Target("gone"), Target("any")))
    assert plan(Snapshot((ANY,), route), asked("openai", "m")) == decided("any", "m", "default")


def test_a_try_that_a_models_name_makes_of_two_targets_is_made_once() -> None:
    to = (Target("any"), Target("cloud"), Target("any", "m"), Target("any", "other"))
    found = Snapshot((ANY, CLOUD), Route(Phase.DEFAULT, "default", to))
    tried = [
        (choice.upstream, choice.model) for choice in plan(found, asked("openai", "m")).choices
    ]
    assert tried == [("any", "m"), ("cloud", "m"), ("any", "other")]
    *_, last = explain(found, asked("openai", "m")).considered
    assert (last.model, last.place) == ("m", None)
    assert last.reason == "stands before it already, with this model"
    assert len(plan(found, asked("openai", "x")).choices) == 4


def test_where_there_is_no_route_that_is_what_is_explained() -> None:
    told = explain(Snapshot(()), asked("openai", "m"))
    assert (told.phase, told.route, told.strategy, told.considered) == (None, None, None, ())
    assert told.error is not None
    assert told.error.code is ErrorCode.NO_ROUTE
