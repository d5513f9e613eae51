"""Any order of inputs, also impossible ones, gives an exchange exactly one legal end."""

from __future__ import annotations

import inspect
import os
from typing import Any

import hypothesis.strategies as st
from hypothesis import given, settings
from hypothesis.stateful import initialize

from streamgauge.core.exchange import Exchange
from streamgauge.core.record import Status

from .any_order import AnyOrder
from .machine_checks import check_count, check_grammar, check_metadata
from .machine_inputs import ATTEMPTS, FACTS, TRANSLATED, WHOLE_TRANSLATED, stream_of
from .playbook import (
    Play,
    chat_request,
)

FULL = os.environ.get("STREAMGAUGE_FULL") == "1"


class AnyOrderTranslated(AnyOrder):
    """The same of an exchange that is translated, and its client's grammar beside."""

    @initialize(
        asked=st.one_of(TRANSLATED, TRANSLATED, TRANSLATED, WHOLE_TRANSLATED),
        attempt=ATTEMPTS,
        facts=FACTS,
        kind=st.sampled_from(["openai", "llamacpp", "ollama"]),
    )
    def begin(self, asked: Any, attempt: dict[str, Any], facts: dict[str, Any], kind: str) -> None:
        request, dialect = asked
        self.play = Play(request, kind=kind, attempt={**attempt, "dialect": dialect}, **facts)
        self.give("start")

    def teardown(self) -> None:
        super().teardown()
        if self.play.log:
            check_grammar(self.play)


def test_every_input_of_an_exchange_is_among_those_that_are_tried() -> None:
    names = [name for name, _ in inspect.getmembers(Exchange, inspect.isfunction)]
    inputs = {name for name in names if not name.startswith("_")}
    source = inspect.getsource(AnyOrder)
    assert {name for name in inputs if f'"{name}"' not in source} == set()


@given(
    endpoint=st.sampled_from(["chat/completions", "messages"]),
    count=st.integers(0, 5),
    whole=st.booleans(),
    end=st.sampled_from(["complete", "cut", "reset"]),
)
def test_a_stream_by_itself_is_counted_and_told(
    endpoint: str, count: int, whole: bool, end: str
) -> None:
    play = Play(chat_request(endpoint), metadata="comment")
    frames = stream_of(play, count, whole)
    play.stream(*frames, end=end)
    play.do("stop")
    check_count(play, b"".join(frames))
    check_metadata(play)
    assert (play.row.status is Status.COMPLETED) is whole
    assert (b": streamgauge " in play.body) is whole


AnyOrder.TestCase.settings = settings(
    max_examples=2000 if FULL else 200, stateful_step_count=14, deadline=None
)
TestAnyOrder = AnyOrder.TestCase
AnyOrderTranslated.TestCase.settings = AnyOrder.TestCase.settings
TestAnyOrderTranslated = AnyOrderTranslated.TestCase
