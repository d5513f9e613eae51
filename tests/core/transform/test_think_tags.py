"""Reasoning in `<think>` tags: told apart without the loss of a character, however it is cut."""

from __future__ import annotations

import json
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamgauge.core.transform.think_tags import ThinkTags

from .chains import chunk, played

THINK = [{"reasoning": {"think_tags": True}}]
TEXTS = st.lists(
    st.sampled_from(["<think>", "</think>", "<thi", "nk>", "<", "</", "\n", " ", "a", "é"]),
    max_size=16,
).map("".join)


def apart(pieces: list[str]) -> tuple[str, str]:
    tags = ThinkTags()
    told = [said for piece in pieces for said in tags.feed(piece)] + tags.end()
    assert not tags.waiting
    return (
        "".join(text for thought, text in told if not thought),
        "".join(text for thought, text in told if thought),
    )


@pytest.mark.parametrize(
    ("whole", "text", "thought"),
    [
        ("<think>a</think>b", "b", "a"),
        (" \n <think>a\n</think>\n\nb", " \n \n\nb", "a\n"),
        ("<think>a</think><think>b</think>c", "c", "ab"),
        ("first\n<think>a</think>second", "first\nsecond", "a"),
        ("the tag <think> is", "the tag <think> is", ""),
        ("a</think>b", "a</think>b", ""),
        ("<think>never closed", "", "never closed"),
        ("<think", "<think", ""),
        ("<think>a</thi", "", "a</thi"),
        ("<<think>a", "<<think>a", ""),
    ],
)
def test_a_tag_opens_where_a_line_begins(whole: str, text: str, thought: str) -> None:
    assert apart([whole]) == apart(list(whole)) == (text, thought)


@given(TEXTS, st.data())
def test_cuts_anywhere_change_nothing(text: str, data: st.DataObject) -> None:
    cuts = sorted(data.draw(st.lists(st.integers(0, len(text)), max_size=6)))
    pieces = [text[a:b] for a, b in zip([0, *cuts], [*cuts, len(text)], strict=True)]
    assert apart(pieces) == apart([text])


@pytest.mark.parametrize("client", ["anthropic", "simple", "frames"])
def test_a_translated_answer_has_the_reasoning_as_its_dialect_says_it(client: str) -> None:
    said = [chunk({"content": sign}) for sign in "<think>why</think>yes <"]
    play = played(client, THINK, [*said, chunk({}, "stop"), b"data: [DONE]\n\n"], dialect="openai")
    told = [
        json.loads(line.removeprefix("data: "))
        for line in play.body.decode().splitlines()
        if line.startswith(("data: ", "{"))
    ]
    match client:
        case "anthropic":
            deltas = [one["delta"] for one in told if one["type"] == "content_block_delta"]
            thought = "".join(delta.get("thinking", "") for delta in deltas)
            text = "".join(delta.get("text", "") for delta in deltas)
        case "simple":
            thought = "".join(one["content"] for one in told if one["type"] == "reasoning")
            text = "".join(one["content"] for one in told if one["type"] == "delta")
        case _:
            thought = "".join(one.get("reasoning", "") for one in told)
            text = "".join(one["content"] for one in told)
    assert (thought, text) == ("why", "yes <")
    assert play.row.status == "completed"


def test_text_that_may_be_a_tag_is_not_lost_when_the_answer_fails() -> None:
    play = played("anthropic", THINK, [chunk({"content": "a\n<thi"})], dialect="openai")
    assert b'"<thi"' in play.body
    assert b'"text":"a\\n"' in play.body
    assert play.body.index(b"<thi") < play.body.index(b"event: error")


def test_a_model_that_repeats_a_tag_in_a_line_costs_no_more_the_longer_it_does() -> None:
    """Its cost once grew with the square: 64 KB held the whole gateway up for seconds."""
    text = "x<think>" * 8000
    began = time.process_time()
    assert apart([text]) == (text, "")
    assert time.process_time() - began < 2
