"""The JSON schema and docs/config.md: made from the model, current, and of one mind with `config check`."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from streamgauge.cli.main import cli
from streamgauge.config import Loaded
from streamgauge.config.json_schema import json_schema
from streamgauge.config.problems import ConfigError
from streamgauge.config.reference import reference
from streamgauge.config.reload import restart_keys
from streamgauge.config.template import SCHEMA_FILE
from streamgauge.config.toml_reader import read_toml
from streamgauge.config.yaml_reader import read_yaml

from .mistakes import MISTAKES, Mistake
from .schema_checker import KEYWORDS, accepts
from .whole import WHOLE, WHOLE_TOML

PAGE = Path(__file__).parents[2] / "docs" / "config.md"
SEEN_BY_AN_EDITOR = {
    "a number out of range", "a negative number", "a number in quotes", "a number with a unit",
    "zero where there must be some", "a switch that is a word", "more workers than are served",
    "a price that is no number", "a price without a currency", "an address without a scheme", "a mistyped section", "a mistyped key", "a mistyped word", "a mistyped kind",
    "a setting that is missing", "no spool", "one value where a list is due", "a date that is none",
    "a mistyped strategy", "a mistyped scenario", "a model map without a target",
    "a rule without conditions", "a cap without a currency", "a threshold that is no number",
    "one upstream where a list is due", "what is not served yet", "a default that is not served yet",
}  # fmt: skip


def root_of(mistake: Mistake) -> dict[str, Any]:
    read = read_toml if mistake.suffix == "toml" else read_yaml
    return read(mistake.text, "file").root


def test_the_packaged_schema_is_current() -> None:
    assert json.loads(SCHEMA_FILE.read_text()) == json_schema(), "run scripts/config-page"


def test_config_schema_prints_the_packaged_schema() -> None:
    result = CliRunner().invoke(cli, ["config", "schema"])
    assert (result.exit_code, result.output) == (0, SCHEMA_FILE.read_text())
    assert json.loads(result.output)["$schema"] == "https://json-schema.org/draft/2020-12/schema"


def test_the_schema_names_no_place_but_its_own_standard() -> None:
    assert re.findall(r"https?://[^\"\s]+", SCHEMA_FILE.read_text()) == [json_schema()["$schema"]]


@pytest.mark.parametrize("root", [read_yaml(WHOLE, "f").root, read_toml(WHOLE_TOML, "f").root, {}])
def test_the_schema_accepts_what_the_gateway_accepts(root: dict[str, Any]) -> None:
    assert accepts(json_schema(), root)


def test_variables_and_files_may_stand_for_any_type(load_text: Callable[..., Loaded]) -> None:
    text = """\
server: {port: "${A}", half_close: "${B:-true}", header_seconds: "${A}"}
upstreams: [{name: "${C:-x}", kind: "${D}", base_url: "http://h:${A}", inject_usage: "${B:-true}",
             api_key: "file:/dev/null", headers: {X: "Bearer file:/dev/null"}, expose: ["${E:-/}"]}]
prices: [{input: "${A}", currency: "${C:-USD}", valid_from: "${F:-2025-01-01}"}]
metadata: "${G:-off}"
metering: "${H:-on}"
"""
    load_text(text, {"A": "1", "D": "sim"})
    assert accepts(json_schema(), read_yaml(text, "file").root)


CHARGING = (
    "{input: 0.15}",
    '{input: "0.15"}',
    "{input: 1e-6}",
    "{input: 0, fee: 0.01}",
    "{input: 0.15, currency: }",
    "{input: 0, tiers: [{above: 9, input: 0}, {above: 10, input: 0, output: 2}]}",
    "{input: 0, service_tiers: [{name: flex, input: 0, reasoning: 1}]}",
    "{input: 0, service_tiers: [{name: flex, input: 0, tiers: [{above: 9, input: 1}]}]}",
)
FREE = (
    "{input: 0}",
    "{input: 0.0, output: 0e5}",
    '{input: "0.00"}',
    "{input: 0, tiers: [{above: 9, input: 0}], service_tiers: [{name: flex, input: 0}]}",
    "{input: 0, currency: EUR}",
    "{input: 0, currency: }",
)


@pytest.mark.parametrize("entry", CHARGING)
def test_editor_and_gateway_want_a_currency_of_what_is_not_free(
    entry: str, load_text: Callable[..., Loaded]
) -> None:
    text = f"prices: [{entry}]\n"
    assert not accepts(json_schema(), read_yaml(text, "file").root)
    with pytest.raises(ConfigError, match=r"prices\[0\]\.currency: is required"):
        load_text(text)


@pytest.mark.parametrize("entry", FREE)
def test_editor_and_gateway_want_no_currency_of_what_is_free(
    entry: str, load_text: Callable[..., Loaded]
) -> None:
    text = f"prices: [{entry}]\n"
    assert accepts(json_schema(), read_yaml(text, "file").root)
    assert load_text(text).config.prices[0].input == 0


def test_the_schema_promises_no_currency() -> None:
    assert "default" not in json_schema()["properties"]["prices"]["items"]["properties"]["currency"]


@pytest.mark.parametrize(
    "mistake",
    [mistake for mistake in MISTAKES if mistake.name in SEEN_BY_AN_EDITOR],
    ids=lambda mistake: mistake.id,
)
def test_an_editor_sees_mistakes_of_key_type_and_word(mistake: Mistake) -> None:
    assert not accepts(json_schema(), root_of(mistake))


def test_every_part_of_the_schema_is_described() -> None:
    for path, node in parts(json_schema()):
        assert set(node) <= KEYWORDS, path
        if path.endswith("}"):
            assert node.get("description"), path


def parts(node: dict[str, Any], path: str = "") -> Iterator[tuple[str, dict[str, Any]]]:
    yield path, node
    for name, part in node.get("properties", {}).items():
        yield from parts(part, f"{path}{{{name}}}")
    if "items" in node:
        yield from parts(node["items"], f"{path}[]")


def test_the_page_is_current() -> None:
    head, mark, tables = PAGE.read_text().partition(" scripts/config-page writes it")
    assert mark, head
    assert tables.partition("-->\n\n")[2] == reference(), "run scripts/config-page"
    assert CliRunner().invoke(cli, ["config", "reference"]).output == reference()


def test_the_page_says_no_to_a_reload_where_a_reload_leaves_the_key_alone() -> None:
    section, fixed = "", []
    for line in reference().splitlines():
        if line.startswith("## "):
            section = line.strip("# `[]")
        elif found := re.match(r"\| `(\S+)` \|.*\| no \| [^|]*\|$", line):
            fixed.append(f"{section}.{found[1].partition('.')[0]}")
    assert list(dict.fromkeys(fixed)) == list(restart_keys())
    assert set(fixed) == {
        "server.host", "server.port", "server.workers", "control.host", "control.port",
        "control.enabled", "control.token", "control.allowed_hosts", "ledger.url", "ledger.spool_mb",
        "exporters.influxdb", "exporters.otlp", "log.format",
    }  # fmt: skip
