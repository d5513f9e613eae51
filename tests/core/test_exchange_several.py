"""Any order of inputs to an exchange with several attempts: one legal end, one answer shown (I10)."""

from __future__ import annotations

from typing import Any

import hypothesis.strategies as st
from hypothesis.stateful import initialize, invariant

from streamgauge.core.actions import AttemptOver, Commit, OpenUpstream
from streamgauge.core.attempt import Allowance, Attempt, Retries
from streamgauge.core.errors import ErrorCode, GatewayError

from .playbook import Play, request_of
from .test_exchange_machine import ATTEMPTS, FACTS, AnyOrder, check_grammar
from .upstream_wires import CLIENTS, UPSTREAMS

SPENT = GatewayError(402, ErrorCode.LIMIT_REACHED, "no money is left")


class SeveralAttempts(AnyOrder):
    """Three attempts in any dialects, with circuits and a budget that say yes and no."""

    most_opens = 8  # each of three, the last once more, each once without the usage option

    @initialize(
        client=st.sampled_from(CLIENTS),
        streaming=st.booleans(),
        dialects=st.lists(st.sampled_from([None, *UPSTREAMS]), min_size=3, max_size=3),
        attempt=ATTEMPTS,
        facts=FACTS,
        shut=st.sets(st.sampled_from(["second", "third"]), max_size=1),
        budget=st.booleans(),
        allowance=st.sampled_from([None, None, Allowance(2, SPENT)]),
    )
    def begin(
        self,
        client: Any,
        streaming: bool,
        dialects: list[Any],
        attempt: dict[str, Any],
        facts: dict[str, Any],
        shut: set[str],
        budget: bool,
        allowance: Allowance | None,
    ) -> None:
        # Passed on as it came, a request can only go where its own dialect is spoken.
        own = "anthropic" if client == "anthropic" else "openai"
        spoken = [each or (None if client == own else "openai") for each in dialects]
        others = [
            Attempt(name, "openai", "m", dialect=dialect)
            for name, dialect in zip(("second", "third"), spoken[1:], strict=True)
        ]
        retries = Retries(
            admits=lambda each: each.upstream not in shut,
            spend=lambda now: budget,
            chance=lambda: 1.0,
        )
        self.play = Play(
            request_of(client, stream=streaming),
            attempt={**attempt, "dialect": spoken[0]},
            others=others,
            retries=retries,
            allowance=allowance,
            **facts,
        )
        self.shut = shut
        self.give("start")

    @property
    def media(self) -> str:
        """What a stream of the current attempt's upstream is declared as."""
        own = "anthropic" if self.play.facts.request.dialect == "anthropic" else "openai"
        return UPSTREAMS[self.play.exchange.attempt.dialect or own].media

    @invariant()
    def attempts_are_opened_in_their_order_and_never_where_a_circuit_is_open(self) -> None:
        places = [action.place for action in self.play.of(OpenUpstream)]
        assert places == sorted(places)
        names = ("up", "second", "third")
        assert not self.shut & {names[place] for place in places}

    @invariant()
    def each_failed_attempt_is_closed_before_the_next_begins(self) -> None:
        over = [action.attempt for action in self.play.of(AttemptOver)]
        assert len(over) in (self.play.opens - 1, self.play.opens)
        assert all(attempt.finished_at is not None for attempt in over)

    def teardown(self) -> None:
        if not self.play.log:
            return
        self.play.now += 1.0
        self.give("stop")
        assert len(self.play.of(Commit)) == 1
        self.the_client_is_told_in_order()
        self.it_ends_once_and_with_everything_said()
        if self.play.exchange.attempt.dialect is not None:  # else it passes as it came
            check_grammar(self.play)


SeveralAttempts.TestCase.settings = AnyOrder.TestCase.settings
TestSeveralAttempts = SeveralAttempts.TestCase
