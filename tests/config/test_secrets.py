"""A canary in every place a secret may come from or stray to: no error and no repr shows it."""

from __future__ import annotations

import traceback
from pathlib import Path

import pytest

from streamgauge.config import ConfigError, LoadOptions, load

CANARY = "sk-canary-7f3a9c1e5b2d8064"
GOOD = "name: a\n  kind: sim\n  base_url: http://h\n"

STRAYED = [
    "name: ${S}\n  kind: ${S}\n  base_url: ${S}\n  timeouts: {connect: '${S}'}",
    f"name: '{CANARY}@'\n  kind: {CANARY}\n  base_url: http://u:{CANARY}@h",
    f"{GOOD}  api_key: [{CANARY}]",
    f"{GOOD}  api_key: {{{CANARY}: 1}}",
    f"{GOOD}  api_key: '{CANARY} x'",
    f"{GOOD}  headers: {{Host: {CANARY}}}",
    f"{GOOD}  headers: {{'{CANARY}:': 1}}",
    f'{GOOD}  headers: {{X: "{CANARY}\\x00"}}',
    f"{GOOD}  {CANARY}: 1",
    f"{GOOD}  api_key: '${{{CANARY}}}'",
    f"{GOOD}  api_key: '${{NO_SUCH}}{CANARY}'",
    f"{GOOD}  api_key: file:/nonexistent/${{S}}",
    f"{GOOD}  inject_usage: {CANARY}\n  expose: ['{CANARY}']\n  on_disconnect: {CANARY}",
    f"{GOOD}  forward_headers: ['{CANARY} ']\n  messages_api: {CANARY}",
    f"{GOOD}  api_key: *{CANARY}",
    f"{GOOD}  api_key: !{CANARY} x",
    f'{GOOD}  api_key: "{CANARY}',
    f"{GOOD}  api_key: @{CANARY}",
    f"{GOOD}  api_key: {CANARY}: x",
    f"{GOOD}  api_key: {CANARY}\n bad: [",
    f"{GOOD}  {CANARY}: 1\n  {CANARY}: 2",
]


@pytest.mark.parametrize("key", ["sk-1234", "key-abcdef", "0123456789abcdef0123", "p4ss word!"])
def test_a_short_key_in_the_place_of_a_word_or_name_is_not_shown(tmp_path: Path, key: str) -> None:
    (tmp_path / "streamgauge.yaml").write_text(f"metadata: '{key}'\nlog: {{'{key}': 1}}\n")
    with pytest.raises(ConfigError) as caught:
        load(LoadOptions(environ={}, cwd=tmp_path))
    assert len(caught.value.problems) == 2
    assert key not in str(caught.value)


@pytest.mark.parametrize("body", STRAYED)
def test_no_error_shows_a_secret(tmp_path: Path, body: str) -> None:
    (tmp_path / "streamgauge.yaml").write_text(f"upstreams:\n- {body}\nlog: {{level: x}}\n")
    with pytest.raises(ConfigError) as caught:
        load(LoadOptions(environ={"S": CANARY}, cwd=tmp_path))
    shown = "".join(traceback.format_exception(caught.value)) + repr(caught.value)
    assert CANARY not in shown
    assert CANARY.lower() not in shown.lower()


@pytest.mark.parametrize(
    "body",
    [
        f'api_key = "{CANARY}',
        f'"{CANARY}" = 1\n"{CANARY}" = 2',
        f'api_key = "{CANARY}\\q"',
        f"api_key = {CANARY}",
        f"['{CANARY}']\n['{CANARY}']",
        f"x = {{ {CANARY} = 1, {CANARY} = 2 }}",
        f'[[upstreams]]\n{CANARY} = "{CANARY}"',
    ],
)
def test_no_toml_error_shows_a_secret(tmp_path: Path, body: str) -> None:
    (tmp_path / "streamgauge.toml").write_text(body)
    with pytest.raises(ConfigError) as caught:
        load(LoadOptions(environ={}, cwd=tmp_path))
    assert CANARY not in "".join(traceback.format_exception(caught.value))


@pytest.mark.parametrize(
    "name",
    ["SERVER__PORT", "METADATA", "UPSTREAMS__0__KIND", "SERVER__ALLOWED_HOSTS", "KEYS", "LOG"],
)
def test_no_error_shows_what_a_variable_held(tmp_path: Path, name: str) -> None:
    for value in (CANARY, f"[{CANARY}", f"{{{CANARY}: 1}}", f"[{CANARY}: 1]"):
        with pytest.raises(ConfigError) as caught:
            load(LoadOptions(environ={f"STREAMGAUGE_{name}": value}, cwd=tmp_path))
        assert CANARY not in str(caught.value)


def test_no_repr_or_dump_of_a_valid_configuration_shows_a_secret(tmp_path: Path) -> None:
    (tmp_path / "streamgauge.yaml").write_text(
        f"upstreams:\n- {GOOD}  api_key: {CANARY}\n"
        f"  headers: {{X-Auth: 'Bearer {CANARY}'}}\n- {GOOD.replace('a', 'b', 1)}".replace(
            "- nbme: a", "- name: b"
        )
    )
    options = LoadOptions(environ={"OTHER": CANARY}, cwd=tmp_path)
    loaded = load(options)
    assert loaded.config.secrets() == {CANARY, f"Bearer {CANARY}"}
    shown = f"{loaded!r}{loaded.config!s}{options!r}{loaded.config.model_dump_json()}"
    assert CANARY not in shown


def test_placeholders_are_no_secrets(tmp_path: Path) -> None:
    (tmp_path / "streamgauge.yaml").write_text(f"upstreams:\n- {GOOD}  api_key: EMPTY\n")
    assert load(LoadOptions(environ={}, cwd=tmp_path)).config.secrets() == set()


def test_a_literal_secret_of_an_exporter_gives_a_warning_and_is_shown_nowhere(
    tmp_path: Path,
) -> None:
    (tmp_path / "streamgauge.yaml").write_text(
        f"exporters:\n  influxdb: {{url: http://h, database: d, token: {CANARY}}}\n"
        f"  otlp: {{url: http://h, headers: {{authorization: Bearer {CANARY}, x-team: a}}}}\n"
    )
    loaded = load(LoadOptions(environ={}, cwd=tmp_path))
    warned = [line.split(": ")[1] for line in loaded.warnings]
    assert warned == ["exporters.influxdb.token", "exporters.otlp.headers.authorization"]
    assert CANARY not in repr(loaded.config) + "".join(loaded.warnings)
    assert CANARY in loaded.config.secrets()
