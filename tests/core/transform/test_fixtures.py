"""Every transformer before and after, as `tests/data/transform` has it: requests and streams."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from streamgauge.config.transformers import Transformer
from streamgauge.core.transform.body import Form

from .chains import chain, played

DATA = Path(__file__).parents[2] / "data" / "transform"
REQUESTS = sorted(DATA.glob("*/*.json"))
STREAMS = sorted(DATA.glob("*/*.before.sse"))
DIALECTS = {"messages": "anthropic", "chat": "ollama"}


def named(path: Path) -> str:
    return f"{path.parent.name}/{path.name.split('.')[0]}"


@pytest.mark.parametrize("path", REQUESTS, ids=named)
def test_a_request_is_changed_as_its_fixture_says(path: Path) -> None:
    told = json.loads(path.read_text())
    made = chain(told["kind"], told["transformers"])
    dialect: Any = DIALECTS.get(told["endpoint"], "openai")
    raw = json.dumps(told["before"], ensure_ascii=False).encode()
    form = Form(dialect, told["kind"], told["endpoint"])
    after = made.body_as_is(raw, form, told["before"])
    assert json.loads(after) == told["after"]
    if told["after"] == told["before"]:
        assert after is raw
    assert made.body_as_is(after, form, json.loads(after)) == after, "done twice is done once"


@pytest.mark.parametrize("path", STREAMS, ids=named)
def test_a_stream_is_changed_as_its_fixture_says_however_it_is_cut(path: Path) -> None:
    client, _, name = path.name.partition("_")
    tool = ["tool_call_repair"]
    transformers = tool if path.parent.name == "tool_call_repair" else [THINK]
    before = path.read_bytes()
    after = path.with_name(name_of_after(path)).read_bytes()
    assert played(client, transformers, [before]).body == after, name
    single = [before[at : at + 1] for at in range(len(before))]
    assert played(client, transformers, single).body == after


THINK = {"reasoning": {"think_tags": True}}


def name_of_after(path: Path) -> str:
    return path.name.replace(".before.", ".after.")


def test_every_transformer_that_changes_requests_or_streams_has_a_fixture() -> None:
    elsewhere = {"markdown_html", "openrouter_prefix"}  # text, and a name: see their own tests
    assert {path.name for path in DATA.iterdir()} >= set(Transformer.model_fields) - elsewhere
