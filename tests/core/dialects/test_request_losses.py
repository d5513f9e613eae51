"""docs/wire.md names what requests lose in translation, and the code loses just that."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import pytest

from streamgauge.core.conversation import (
    Conversation,
    Message,
    Reasoning,
    RedactedThought,
    Sampling,
    Text,
    Thought,
    sealed_by,
)
from streamgauge.core.dialects.losses import Loss

from .request_cases import full_anthropic, full_openai, read, write

PAGE = (Path(__file__).parents[3] / "docs" / "wire.md").read_text()
READERS = {
    "Anthropic client": ("/v1/messages", full_anthropic),
    "OpenAI client": ("/v1/chat/completions", full_openai),
}
TARGETS = {
    "openai, thinking model": "openai (thinking model)",
    "anthropic, since 4.7": "anthropic (since 4.7)",
}
HIDDEN = RedactedThought(sealed_by("google-gemini-v1", "R"))
SAID = Message("assistant", (Thought("hm"), HIDDEN, Text("a")))
HARD = Conversation(
    messages=(Message("user", (Text("hi"),)), SAID),
    sampling=Sampling(4000, temperature=1.5, top_p=0.5, top_k=3, stop=("\n",)),
    reasoning=Reasoning(effort="low"),
)
QUIET = replace(HARD, reasoning=Reasoning(enabled=False))


def table(heading: str) -> dict[str, set[str]]:
    """Return column to the names that have a × in it, of the table under `heading`."""
    section = PAGE.split(f"### {heading}\n")[1].split("\n##")[0]
    rows = [line.strip("|").split("|") for line in section.splitlines() if line.startswith("|")]
    head, _, *body = [[cell.strip() for cell in row] for row in rows]
    return {
        column: {row[0].strip("`") for row in body if row[index] == "×"}
        for index, column in enumerate(head)
        if index > 1
    }


LOST_BY_ALL = table("What no other dialect has")
LOST_TOWARDS = table("What an upstream cannot be told")


@pytest.mark.parametrize("client", READERS)
def test_the_page_has_what_each_clients_requests_lose(client: str) -> None:
    path, full = READERS[client]
    lost = {re.sub(r"^field:.*", "field:NAME", name) for name in read(path, full()).lost}
    assert lost == LOST_BY_ALL[client]


@pytest.mark.parametrize("column", LOST_TOWARDS)
def test_the_page_has_what_each_upstream_cannot_be_told(column: str) -> None:
    said = [*(read(path, full()) for path, full in READERS.values()), HARD, QUIET]
    target = TARGETS.get(column, column)
    lost = {name for each in said for name in write(target, replace(each, lost=())).lost}
    assert lost == LOST_TOWARDS[column]


def test_every_name_is_on_the_page_and_every_name_on_the_page_is_one() -> None:
    named = set().union(*LOST_BY_ALL.values(), *LOST_TOWARDS.values())
    assert named - {"field:NAME"} == set(map(str, Loss))


def test_both_tables_name_all_their_columns() -> None:
    assert set(LOST_BY_ALL) == set(READERS)
    assert len(LOST_TOWARDS) == 8
