"""`streamgauge config show`: every setting, its origin, and no secret."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from streamgauge.cli.main import cli
from streamgauge.config.json_schema import strict_schema

from .mistakes import CANARY

YAML = f"""\
server:
  port: 9000
  allowed_hosts: [localhost, 127.0.0.1]
control: {{token: "${{TOKEN}}"}}
upstreams:
- name: a
  kind: sim
  base_url: http://127.0.0.1:${{PORT:-1}}
  api_key: {CANARY}
  headers: {{X-Team: {CANARY}}}
prices: [{{input: 0.15, valid_from: 2025-01-31T12:00:00Z, currency: USD}}]
"""
TOML = f"""\
[server]
port = 9000
allowed_hosts = ["localhost", "127.0.0.1"]
[control]
token = "${{TOKEN}}"
[[upstreams]]
name = "a"
kind = "sim"
base_url = "http://127.0.0.1:${{PORT:-1}}"
api_key = "{CANARY}"
headers.X-Team = "{CANARY}"
[[prices]]
input = 0.15
valid_from = 2025-01-31T12:00:00Z
currency = "USD"
"""


@pytest.fixture(autouse=True)
def _only_our_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for name in [name for name in os.environ if name.startswith("STREAMGAUGE_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.delenv("XDG_CONFIG_HOME", raising=False)
    monkeypatch.setenv("TOKEN", CANARY)


def shown(*arguments: str, env: dict[str, str] | None = None) -> dict[str, tuple[Any, str]]:
    result = CliRunner().invoke(cli, ["config", "show", "--json", *arguments], env=env)
    assert result.exit_code == 0, result.output
    assert CANARY not in result.output
    settings = json.loads(result.stdout)["settings"]
    return {row["path"]: (row["value"], row["origin"]) for row in settings}


@pytest.mark.parametrize(
    ("name", "text", "places"),
    [
        ("s.yaml", YAML, ("2:3", "3:3", "4:11", "9:3", "10:13", "11:11", "11:24")),
        ("s.toml", TOML, ("2:1", "3:1", "5:1", "10:1", "11:9", "13:1", "14:1")),
    ],
)
def test_each_value_has_its_origin(name: str, text: str, places: tuple[str, ...]) -> None:
    Path(name).write_text(text)
    port, hosts, token, key, header, rate, since = (f"{name}:{place}" for place in places)
    env = {
        "STREAMGAUGE_LOG__LEVEL": "debug",
        "STREAMGAUGE_SERVER__ALLOWED_HOSTS__1": "gauge.example",
        "STREAMGAUGE_UPSTREAMS__1": '{"name": "b", "kind": "sim", "base_url": "http://h"}',
    }
    settings = shown(name, "--host", "::1", "--upstream", "vllm=http://v", env=env)
    assert {path: settings[path] for path in (
        "server.port", "server.host", "server.allowed_hosts", "server.half_close", "control.token",
        "upstreams[0].base_url", "upstreams[0].api_key", "upstreams[0].headers.X-Team",
        "upstreams[0].tls.verify", "upstreams[1].kind", "prices[0].input", "prices[0].output",
        "prices[0].valid_from", "log.level", "log.format",
    )} == {
        "server.port": (9000, port),
        "server.host": ("::1", "--host"),
        "server.allowed_hosts": (["localhost", "gauge.example"],
                                 f"{hosts}, environment:STREAMGAUGE_SERVER__ALLOWED_HOSTS__1"),
        "server.half_close": (False, "default"),
        "control.token": ("********", token),
        "upstreams[0].base_url": ("http://127.0.0.1:1", settings["upstreams[0].base_url"][1]),
        "upstreams[0].api_key": ("********", key),
        "upstreams[0].headers.X-Team": ("********", header),
        "upstreams[0].tls.verify": (True, "default"),
        "upstreams[1].kind": ("sim", "environment:STREAMGAUGE_UPSTREAMS__1"),
        "prices[0].input": ("0.15", rate),
        "prices[0].output": (None, "default"),
        "prices[0].valid_from": ("2025-01-31T12:00:00Z", since),
        "log.level": ("debug", "environment:STREAMGAUGE_LOG__LEVEL"),
        "log.format": ("auto", "default"),
    }  # fmt: skip


@pytest.mark.parametrize("named", ["books/own.db", "sqlite:///books/own.db"])
def test_a_ledger_is_named_by_its_file_or_its_url_as_to_serve(named: str) -> None:
    assert shown("--ledger", named)["ledger.url"] == ("sqlite:///books/own.db", "--ledger")


def test_keys_of_the_environment_are_named_and_not_shown() -> None:
    settings = shown("--upstream", "http://h", env={"OPENAI_API_KEY": CANARY})
    assert settings["upstreams[0].base_url"] == ("http://h", "--upstream")
    assert settings["upstreams[1].api_key"] == ("********", "environment:OPENAI_API_KEY")
    assert settings["control.token"] == (None, "default")


def test_every_key_of_the_schema_is_shown() -> None:
    Path("streamgauge.yaml").write_text(YAML)
    known = strict_schema()["properties"]
    paths = shown().keys()
    for section in ("server", "control", "ledger", "log"):
        missing = {f"{section}.{key}" for key in known[section]["properties"]} - paths
        assert not missing
    keys = known["upstreams"]["items"]["properties"]
    assert all(any(path.startswith(f"upstreams[0].{key}") for path in paths) for key in keys)


def test_the_table_has_one_line_for_each_setting_and_no_secret() -> None:
    Path("streamgauge.yaml").write_text(YAML)
    result = CliRunner().invoke(cli, ["config", "show"])
    head, *lines = result.stdout.splitlines()
    assert head.startswith("# streamgauge.yaml, version ")
    assert len(lines) == len(shown())
    assert lines[1].split() == ["server.port", "9000", "streamgauge.yaml:2:3"]
    assert CANARY not in result.output
    assert result.stderr.startswith("warning: streamgauge.yaml:9:3: upstreams[0].api_key: a key")
