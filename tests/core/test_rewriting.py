"""A stream whose frames are rewritten: what no rewriter is shown, and what makes one give up."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from streamgauge.core.dialects.registry import dialect_of
from streamgauge.core.meter import Meter
from streamgauge.core.reading import PieceKind
from streamgauge.core.rewriting import RewritingReading

from .playbook import chunk, text

CHAT = "chat/completions"


class Holding:
    """Keeps every frame back until one says `last`, or the end; notes what it was shown."""

    def __init__(self) -> None:
        self.shown: list[bytes] = []
        self.held: list[bytes] = []

    def rewrite(self, raw: bytes, payload: bytes, event: bytes) -> Sequence[bytes]:
        self.shown.append(payload)
        self.held.append(raw)
        return self.end() if b"last" in payload else []

    def end(self) -> Sequence[bytes]:
        held, self.held = self.held, []
        return held


class GivingUp(Holding):
    """Cannot write what is nested to the limit."""

    def rewrite(self, raw: bytes, payload: bytes, event: bytes) -> Sequence[bytes]:
        raise RecursionError


def reading(*rewriters: Holding) -> RewritingReading:
    return RewritingReading(dialect_of(CHAT).decoder(CHAT, ""), Meter(0.0), rewriters)


def test_signs_of_life_pass_at_once_and_are_shown_to_nobody() -> None:
    rewriter = Holding()
    it = reading(rewriter)
    assert [piece.raw for piece in it.feed(text("a"), 1.0)] == [b""]
    (alive,) = it.feed(b": ping\n\n", 2.0)
    assert (alive.kind, alive.raw) == (PieceKind.KEEPALIVE, b": ping\n\n")
    assert len(rewriter.shown) == 1


def test_what_is_held_leaves_before_an_error() -> None:
    it = reading(Holding())
    it.feed(text("a") + text("b"), 1.0)
    error = chunk(error={"message": "broke"})
    told = it.feed(error, 2.0)
    assert [piece.raw for piece in told] == [text("a"), text("b"), error]
    assert [piece.kind is PieceKind.ERROR for piece in told] == [False, False, True]


def test_several_rewriters_work_one_behind_the_other_to_the_end() -> None:
    first, second = Holding(), Holding()
    it = reading(first, second)
    it.feed(text("a"), 1.0)
    assert second.shown == []
    told = it.feed(text("last"), 2.0)
    assert [piece.raw for piece in told] == [text("a"), text("last")]
    it.feed(text("b"), 3.0)
    error = chunk(error={"message": "broke"})
    assert [piece.raw for piece in it.feed(error, 4.0)] == [text("b"), error]


@pytest.mark.parametrize("frame", [b"data:\n\n", b"data\n\n", b"data: \n\n"])
def test_a_frame_without_a_word_passes_unseen(frame: bytes) -> None:
    rewriter = Holding()
    assert [piece.raw for piece in reading(rewriter).feed(frame, 1.0)] == [frame]
    assert rewriter.shown == []


def test_a_frame_that_cannot_be_written_again_passes_as_it_came() -> None:
    assert [piece.raw for piece in reading(GivingUp()).feed(text("a"), 1.0)] == [text("a")]
