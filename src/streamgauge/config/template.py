"""A configuration to start from, in YAML or TOML. Knows where the schema is, and writes no file."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from streamgauge.config.checks import cross_problems
from streamgauge.config.document import Document
from streamgauge.config.explain import problems_of
from streamgauge.config.problems import ConfigError
from streamgauge.config.schema import Config
from streamgauge.config.upstream import Kind
from streamgauge.config.zero import (
    WELL_KNOWN_KEYS,
    add_upstream_flags,
    add_upstreams_from_keys,
)

__all__ = ["SCHEMA_FILE", "Starter", "starter_upstreams", "toml_template", "yaml_template"]

SCHEMA_FILE = Path(__file__).with_name("streamgauge.schema.json")
"""The schema that editors read. It is made from the model, and a test tells when it is old."""
_EXAMPLE = "llamacpp=http://127.0.0.1:8080"
_PLAIN = re.compile(r"[A-Za-z][A-Za-z0-9:/._-]*[A-Za-z0-9/]")


@dataclass(frozen=True, slots=True)
class Starter:
    """One upstream of the file to write. `key_variable`: where its key is, as far as is known."""

    name: str
    kind: str
    base_url: str
    key_variable: str | None
    key_is_set: bool

    @property
    def api_key(self) -> str:
        """What to write as its key: a variable that must be set, or one that may be empty."""
        variable = self.key_variable or re.sub(r"\W", "_", self.name).upper() + "_API_KEY"
        return "".join(("${", variable, "" if self.key_is_set else ":-", "}"))


def starter_upstreams(flags: Sequence[str], environ: Mapping[str, str]) -> list[Starter]:
    """Return the upstreams of `--upstream` flags, else of well-known keys, else an example.

    Raises ConfigError for a flag that `serve` would refuse.
    """
    document = Document("configuration")
    problems = add_upstream_flags(document, flags, {}, [kind.value for kind in Kind])
    if not flags:
        add_upstreams_from_keys(document, environ)
    if not flags and not document.root:
        add_upstream_flags(document, [_EXAMPLE], {}, [Kind.LLAMACPP.value])
    try:
        Config.model_validate(document.root)
    except ValidationError as error:
        problems += problems_of(error, document)
    problems += cross_problems(document, False, Path())
    if problems:
        raise ConfigError(problems)
    return [_starter(upstream, environ) for upstream in document.root["upstreams"]]


def _starter(upstream: Mapping[str, Any], environ: Mapping[str, str]) -> Starter:
    kind = str(upstream["kind"])
    variable = WELL_KNOWN_KEYS.get(kind)
    is_set = variable is not None and bool(environ.get(variable))
    return Starter(str(upstream["name"]), kind, str(upstream["base_url"]), variable, is_set)


def yaml_template(starters: Sequence[Starter]) -> str:
    """Return a valid streamgauge.yaml; its first line tells an editor where the schema is."""
    place = SCHEMA_FILE.as_uri() if " " in str(SCHEMA_FILE) else str(SCHEMA_FILE)
    lines = [f"# yaml-language-server: $schema={place}", *_INTRODUCTION, "upstreams:"]
    for starter in starters:
        lines += [f"  - {line}" if n == 0 else f"    {line}"
                  for n, line in enumerate(_upstream(starter, ": ", _yaml_text))]  # fmt: skip
    return "\n".join([*lines, "", *_YAML_REST]) + "\n"


def toml_template(starters: Sequence[Starter]) -> str:
    """Return a valid streamgauge.toml; its first line tells an editor where the schema is."""
    lines = [f"#:schema {SCHEMA_FILE.as_uri()}", *_INTRODUCTION]
    for starter in starters:
        lines += ["[[upstreams]]", *_upstream(starter, " = ", json.dumps), ""]
    return "\n".join([*lines, *_TOML_REST]) + "\n"


def _upstream(starter: Starter, sign: str, quoted: Callable[[str], str]) -> list[str]:
    """`api_key` is a comment where there is no well-known key: local servers rarely have one."""
    hidden = "# " if starter.key_variable is None else ""
    url = starter.base_url.replace("${", "$${")
    return [
        f"name{sign}{quoted(starter.name)}",
        f"kind{sign}{quoted(starter.kind)}",
        f"base_url{sign}{quoted(url)}",
        f"{hidden}api_key{sign}{quoted(starter.api_key)}",
    ]


def _yaml_text(text: str) -> str:
    return text if _PLAIN.fullmatch(text) else json.dumps(text)


_INTRODUCTION = (
    "#",
    "# streamgauge's configuration. What is left out has its default; docs/config.md has every key,",
    "# `streamgauge config check` finds mistakes, `streamgauge config show` tells what is in force.",
    "# A value may hold ${NAME}, ${NAME:-default} or file:/path: write keys in this way.",
    "",
    "# The model servers. The first one serves what no route sends elsewhere.",
)
_YAML_REST = (
    "# The data listener. Beyond loopback it needs a client key: streamgauge keys create --label NAME.",
    "# server:",
    "#   port: 8066",
    "#   max_streams: 0            # most requests at once; 0 is no limit",
    "",
    "# The control listener: dashboard, admin API, /metrics. Beyond loopback it needs a token.",
    "# control:",
    "#   port: 8067",
    "#   token: ${STREAMGAUGE_ADMIN_TOKEN:-}",
    "",
    "# Prices per million tokens, for models whose price is not known by itself; first match wins.",
    "# prices:",
    '#   - {model: "qwen3-*", input: 0.10, output: 0.40, currency: USD}',
    "",
    "# ledger:",
    "#   url: sqlite:///streamgauge.db",
    "#   retention_days: 0         # 0 keeps all rows",
    "",
    "# log:",
    "#   format: auto              # auto, logfmt, json, pretty, compact",
)
_TOML_REST = (
    "# The data listener. Beyond loopback it needs a client key: streamgauge keys create --label NAME.",
    "# [server]",
    "# port = 8066",
    "# max_streams = 0             # most requests at once; 0 is no limit",
    "",
    "# The control listener: dashboard, admin API, /metrics. Beyond loopback it needs a token.",
    "# [control]",
    "# port = 8067",
    '# token = "${STREAMGAUGE_ADMIN_TOKEN:-}"',
    "",
    "# Prices per million tokens, for models whose price is not known by itself; first match wins.",
    "# [[prices]]",
    '# model = "qwen3-*"',
    "# input = 0.10",
    "# output = 0.40",
    '# currency = "USD"',
    "",
    "# [ledger]",
    '# url = "sqlite:///streamgauge.db"',
    "# retention_days = 0          # 0 keeps all rows",
    "",
    "# [log]",
    '# format = "auto"             # auto, logfmt, json, pretty, compact',
)
