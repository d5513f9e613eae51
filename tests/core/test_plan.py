"""Where a request goes: explicit, globs, default, and what has no route (SPEC §14.1)."""

from __future__ import annotations

import pytest

from streamgauge.core.errors import ErrorCode, RequestError
from streamgauge.core.routing.plan import Candidate, Decision, Snapshot, plan

LOCAL = Candidate("local", "llamacpp", ("qwen3-*", "tiny"))
CLOUD = Candidate("cloud", "openai", ("gpt-*", "qwen3-max"))
CLAUDE = Candidate("claude", "anthropic", ("claude-*",))
ANY = Candidate("any", "openrouter")
ALL = Snapshot((LOCAL, CLOUD, CLAUDE, ANY))


@pytest.mark.parametrize(
    ("snapshot", "dialect", "model", "expected"),
    [
        (ALL, "openai", "cloud/gpt-5", Decision("cloud", "gpt-5", "explicit")),
        (ALL, "openai", "any/meta/llama-4", Decision("any", "meta/llama-4", "explicit")),
        (ALL, "openai", "local/anything", Decision("local", "anything", "explicit")),
        (ALL, "openai", "qwen3-8b", Decision("local", "qwen3-8b", "models:local")),
        (ALL, "openai", "qwen3-max", Decision("local", "qwen3-max", "models:local")),
        (ALL, "openai", "gpt-5", Decision("cloud", "gpt-5", "models:cloud")),
        (ALL, "anthropic", "claude-4", Decision("claude", "claude-4", "models:claude")),
        (ALL, "anthropic", "tiny", Decision("local", "tiny", "models:local")),
        (ALL, "openai", "claude-4", Decision("any", "claude-4", "default")),
        (ALL, "openai", "meta/llama-4", Decision("any", "meta/llama-4", "default")),
        (ALL, "openai", "cloud/", Decision("any", "cloud/", "default")),
        (ALL, "openai", "/gpt-5", Decision("any", "/gpt-5", "default")),
        (ALL, "openai", "QWEN3-8b", Decision("any", "QWEN3-8b", "default")),
        (ALL, "openai", None, Decision("any", None, "default")),
        (Snapshot((LOCAL, ANY), "local"), "openai", "x", Decision("local", "x", "default")),
        (Snapshot((LOCAL, ANY), "local"), "openai", None, Decision("local", None, "default")),
        (Snapshot((LOCAL, CLOUD), "local"), "openai", "gpt-5", Decision("cloud", "gpt-5", "models:cloud")),
        (Snapshot((LOCAL, ANY), "local"), "openai", "any/x", Decision("any", "x", "explicit")),
    ],
)  # fmt: skip
def test_the_first_phase_that_fits_decides(
    snapshot: Snapshot, dialect: str, model: str | None, expected: Decision
) -> None:
    assert plan(snapshot, dialect, model) == expected


@pytest.mark.parametrize(
    ("snapshot", "dialect", "model", "words"),
    [
        (Snapshot(()), "openai", "m", "'m'"),
        (Snapshot(()), "openai", None, "without a model"),
        (Snapshot((LOCAL,)), "openai", "gpt-5", "'gpt-5'"),
        (Snapshot((LOCAL,)), "openai", None, "without a model"),
        (ALL, "anthropic", "gpt-5", "anthropic"),
        (ALL, "openai", "claude/claude-4", "claude (anthropic) does not speak the openai"),
        (ALL, "anthropic", "cloud/gpt-5", "cloud (openai) does not speak the anthropic"),
        (Snapshot((CLAUDE,), "claude"), "openai", "x", "does not speak the openai"),
    ],
)
def test_what_has_no_route_is_a_404(
    snapshot: Snapshot, dialect: str, model: str | None, words: str
) -> None:
    with pytest.raises(RequestError) as caught:
        plan(snapshot, dialect, model)
    error = caught.value
    assert (error.status, error.code, error.param) == (404, ErrorCode.NO_ROUTE, "model")
    assert words in error.message


@pytest.mark.parametrize(
    ("kind", "openai", "anthropic"),
    [
        *((kind, True, True) for kind in ("llamacpp", "ollama", "vllm", "sim")),
        *((kind, True, False) for kind in ("openai", "openrouter")),
        ("anthropic", False, True),
    ],
)
def test_each_kind_speaks_its_dialects(kind: str, openai: bool, anthropic: bool) -> None:
    candidate = Candidate("up", kind)
    assert (candidate.speaks("openai"), candidate.speaks("anthropic")) == (openai, anthropic)


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
