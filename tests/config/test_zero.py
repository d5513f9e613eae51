"""Upstreams without a file."""

from __future__ import annotations

from pathlib import Path

import pytest

from streamgauge.config import ConfigError, LoadOptions, load

KEYS = {
    "OPENAI_API_KEY": "openai-canary",
    "ANTHROPIC_API_KEY": "anthropic-canary",
    "OPENROUTER_API_KEY": "openrouter-canary",
}


def test_nothing_at_all_is_legal_and_has_no_upstream(tmp_path: Path) -> None:
    loaded = load(LoadOptions(environ={}, cwd=tmp_path))
    assert loaded.origin is None
    assert loaded.config.upstreams == ()


@pytest.mark.parametrize(
    ("flag", "name", "kind", "base_url"),
    [
        ("http://127.0.0.1:8080", "llamacpp", "llamacpp", "http://127.0.0.1:8080"),
        ("http://127.0.0.1:11434", "ollama", "ollama", "http://127.0.0.1:11434"),
        ("https://api.openai.com/v1", "openai", "openai", "https://api.openai.com/v1"),
        (
            "https://openrouter.ai/api/v1",
            "openrouter",
            "openrouter",
            "https://openrouter.ai/api/v1",
        ),
        ("vllm=http://h:8000", "vllm", "vllm", "http://h:8000"),
        ("http://h/?a=b", None, None, None),
    ],
)
def test_a_flag_makes_an_upstream_and_its_kind_is_guessed(
    tmp_path: Path, flag: str, name: str | None, kind: str | None, base_url: str | None
) -> None:
    options = LoadOptions(upstreams=(flag,), environ={}, cwd=tmp_path)
    if name is None:
        with pytest.raises(ConfigError, match=r"^--upstream: upstreams\[0\]\.base_url: must hold"):
            load(options)
        return
    (upstream,) = load(options).config.upstreams
    assert (upstream.name, upstream.kind, upstream.base_url) == (name, kind, base_url)


def test_well_known_keys_make_upstreams_behind_those_of_flags(tmp_path: Path) -> None:
    flags = ("http://a", "http://b", "openai=http://proxy")
    config = load(LoadOptions(upstreams=flags, environ=KEYS, cwd=tmp_path)).config
    assert [(u.name, u.origin.host) for u in config.upstreams] == [
        ("llamacpp", "a"),
        ("llamacpp-2", "b"),
        ("openai", "proxy"),
        ("anthropic", "api.anthropic.com"),
        ("openrouter", "openrouter.ai"),
    ]
    assert config.secrets() == set(KEYS.values())
    assert config.default_upstream is config.upstreams[0]


def test_with_a_file_keys_make_no_upstream_but_flags_do(tmp_path: Path) -> None:
    (tmp_path / "streamgauge.yaml").write_text(
        "upstreams: [{name: llamacpp, kind: sim, base_url: 'http://h'}]"
    )
    options = LoadOptions(upstreams=("http://a",), environ=KEYS, cwd=tmp_path)
    config = load(options).config
    assert [upstream.name for upstream in config.upstreams] == ["llamacpp", "llamacpp-2"]


def test_a_wrong_kind_in_a_flag_is_an_error_with_a_suggestion(tmp_path: Path) -> None:
    with pytest.raises(ConfigError) as caught:
        load(LoadOptions(upstreams=("olama=http://a",), environ={}, cwd=tmp_path))
    assert str(caught.value) == (
        "--upstream: upstreams: KIND must be one of llamacpp, ollama, vllm, openai, "
        "openrouter, anthropic, sim (did you mean 'ollama'?)"
    )


def test_the_addresses_in_the_environment_are_never_used(tmp_path: Path) -> None:
    environ = {**KEYS, "OPENAI_BASE_URL": "http://evil", "ANTHROPIC_BASE_URL": "http://evil"}
    config = load(LoadOptions(environ=environ, cwd=tmp_path)).config
    assert not any("evil" in upstream.base_url for upstream in config.upstreams)
