"""Streams of every upstream through every client's passage: however they are cut, they say the same."""

from __future__ import annotations

import itertools
import os
from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from streamgauge.core.attempt import Attempt, Facts
from streamgauge.core.errors import ErrorCode, GatewayError
from streamgauge.core.meter import Meter
from streamgauge.core.passage import Hold, Passage, Turn
from streamgauge.core.passages import new_passage

from .golden_streams import GOLDENS, SAID, Golden
from .playbook import request_of
from .upstream_wires import CLIENTS, heard

FULL = os.environ.get("STREAMGAUGE_FULL") == "1"
SMALL = 1300
"""Bytes of a stream that is cut at its every byte in the short run too."""
MODES = ("off", "comment")
BROKE = GatewayError(502, ErrorCode.UPSTREAM_ERROR, "broke")
REQUESTS: dict[str, Any] = {client: request_of(client) for client in CLIENTS}
PAIRS = [(client, name) for name in GOLDENS for client in CLIENTS]
CUT_EVERYWHERE = [pair for pair in PAIRS if FULL or len(GOLDENS[pair[1]].body) <= SMALL]


def passage(client: str, golden: Golden, hold: Hold = Hold.NOTHING) -> Passage:
    """Return the passage of a golden stream to a client; nothing in it depends on a clock."""
    attempt = Attempt("up", "openai", "m", dialect=golden.upstream)
    facts = Facts("id", "boot", 1, REQUESTS[client], (attempt,), "r", metadata="comment")
    return passage_of(facts, attempt, hold)


def passage_of(facts: Facts, attempt: Attempt, hold: Hold = Hold.NOTHING) -> Passage:
    """Return the passage of `facts`, whose metadata is always the same."""
    simple = facts.request.dialect == "simple"
    return new_passage(
        facts,
        attempt,
        Meter(0.0),
        hide_usage=False,
        metadata=lambda: b'{"type":"metadata"}\n' if simple else b": streamgauge {}\n",
        hold=hold,
    )


def played(it: Passage, pieces: Iterable[bytes]) -> tuple[bytes, Sequence[object]]:
    """Return every byte that the client gets of a stream in `pieces`, and all that was counted."""
    out, turns = [], []
    for piece in pieces:
        turn, said = it.feed(piece, 1.0)
        out.append(said)
        turns += [turn] if turn is not Turn.NOTHING else []
    out += it.take_held()
    out.append(it.fail(BROKE) or b"" if Turn.ERROR in turns else it.close())
    meter = it.meter
    counted = (turns, it.frames_out, it.parsed, it.over, it.released, *_numbers(meter))
    return b"".join(out), counted


def _numbers(meter: Meter) -> tuple[object, ...]:
    names = set(Meter.__slots__) - {"_arguments"}
    return tuple(getattr(meter, name) for name in sorted(names))


def cut(body: bytes, places: Iterable[int]) -> list[bytes]:
    """Return `body` cut at these places."""
    bounds = sorted({0, *places, len(body)})
    return [body[a:b] for a, b in itertools.pairwise(bounds)]


@pytest.mark.parametrize(("asked", "told"), [("asked", "asked"), (None, "m")])
def test_an_answer_names_the_model_that_was_asked_for_else_the_attempts(
    asked: str | None, told: str
) -> None:
    request = replace(REQUESTS["openai"], model=asked)
    attempt = Attempt("up", "openai", "m", dialect="anthropic")
    facts = Facts("id", "boot", 1, request, (attempt,), "r")
    out, _ = played(passage_of(facts, attempt), [GOLDENS["anthropic text"].body])
    assert out.count(f'"model":"{told}"'.encode()) == out.count(b'"model"') > 0


def test_there_are_goldens_of_every_sort() -> None:
    assert len(GOLDENS) >= 40
    assert {golden.upstream for golden in GOLDENS.values()} == {"openai", "anthropic", "ollama"}
    assert len({name for _, name in CUT_EVERYWHERE}) >= 20
    spoken = [heard("openai", played(passage("openai", g), [g.body])[0]) for g in GOLDENS.values()]
    assert sum(told.text == SAID for told in spoken) >= 8
    assert sum(len(told.calls) > 1 for told in spoken) >= 7
    assert sum(bool(told.thought) for told in spoken) >= 12
    assert sum(told.error is not None or not told.ended for told in spoken) >= 8


@pytest.mark.timeout(300)  # in the long run the largest are cut at twenty thousand places
@pytest.mark.parametrize(("client", "name"), CUT_EVERYWHERE)
def test_a_translated_stream_cut_in_two_at_any_byte_says_the_same(client: str, name: str) -> None:
    golden = GOLDENS[name]
    whole = played(passage(client, golden), [golden.body])
    for at in range(1, len(golden.body)):
        assert played(passage(client, golden), cut(golden.body, [at])) == whole, at


@pytest.mark.parametrize(("client", "name"), PAIRS)
def test_a_translated_stream_that_comes_byte_by_byte_says_the_same(client: str, name: str) -> None:
    golden = GOLDENS[name]
    whole = played(passage(client, golden), [golden.body])
    assert played(passage(client, golden), cut(golden.body, range(len(golden.body)))) == whole


@pytest.mark.parametrize("client", CLIENTS)
@settings(max_examples=4000 if FULL else 150)
@given(data=st.data())
def test_a_translated_stream_cut_at_several_bytes_says_the_same(
    client: str, data: st.DataObject
) -> None:
    golden = GOLDENS[data.draw(st.sampled_from(sorted(GOLDENS)), label="golden")]
    hold = data.draw(st.sampled_from(Hold), label="hold")
    places = data.draw(st.sets(st.integers(1, len(golden.body)), max_size=9), label="places")
    whole = played(passage(client, golden, hold), [golden.body])
    assert played(passage(client, golden, hold), cut(golden.body, places)) == whole


@pytest.mark.parametrize(("client", "name"), PAIRS)
def test_no_character_is_replaced_that_came_as_itself(client: str, name: str) -> None:
    golden = GOLDENS[name]
    out, _ = played(passage(client, golden), [golden.body])
    told = out.decode()
    assert told.count("\ufffd") + told.lower().count("\\ufffd") == golden.replaced
