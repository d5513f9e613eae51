"""Makes an exchange of one whole request: read, routed, priced. It calls no upstream."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import partial
from typing import Protocol

from streamgauge.core.attempt import Attempt, Facts
from streamgauge.core.chat import ChatRequest
from streamgauge.core.dialects.codecs import CLIENTS
from streamgauge.core.errors import GatewayError
from streamgauge.core.exchange import Exchange
from streamgauge.core.integrity_proof import Proof
from streamgauge.core.repeats import Repeats
from streamgauge.core.routing.plan import Asked, Choice, Decision, plan
from streamgauge.core.sessions import Lane, lane_of
from streamgauge.gateway.admission import Origin, asked_of, facts_of, read_chat
from streamgauge.gateway.callers import Caller, check_model
from streamgauge.gateway.capturing import Capturing
from streamgauge.gateway.discovery import Discovery
from streamgauge.gateway.endpoints import Endpoint, upstream_path
from streamgauge.gateway.generation import Generation
from streamgauge.gateway.http import Request, RequestHead, Responder
from streamgauge.gateway.ids import IdSource
from streamgauge.gateway.legs import Leg
from streamgauge.gateway.limiting import Admission, Limiting
from streamgauge.gateway.relay import Relay
from streamgauge.gateway.relay_owner import RelayOwner
from streamgauge.gateway.request_headers import translated_headers
from streamgauge.gateway.resuming import Resuming, with_ids
from streamgauge.gateway.retrying import Retrying
from streamgauge.gateway.sessions import SessionRegistry
from streamgauge.gateway.stream_log import FrameLog, LoggedResponder, StreamLog
from streamgauge.gateway.upstreams import UpstreamRuntime

__all__ = ["Opening", "OpeningHost"]


class OpeningHost(RelayOwner, Protocol):
    """What is needed of the gateway, beside what its relays need."""

    capturing: Capturing
    discovery: Discovery
    limiting: Limiting
    sessions: SessionRegistry
    repeats: Repeats
    resuming: Resuming

    @property
    def stream_log(self) -> StreamLog:
        """Where lines of running streams go."""

    @property
    def generation(self) -> Generation:
        """What new exchanges are given."""

    @property
    def upstreams(self) -> Mapping[str, UpstreamRuntime]:
        """The upstreams of the configuration in use."""


class Opening:
    """Opens exchanges for one gateway. `boot_id` is the rows' `owner`, `now_us` the wall clock."""

    def __init__(
        self, host: OpeningHost, ids: IdSource, boot_id: str, now_us: Callable[[], int]
    ) -> None:
        self._host = host
        self._ids = ids
        self._boot_id = boot_id
        self._now_us = now_us
        self._retrying = Retrying()

    def open(
        self, endpoint: Endpoint, request: Request, responder: Responder, caller: Caller | None
    ) -> Relay:
        """Return the relay of a request, not yet started. Raises GatewayError.

        The older stream of its session has ended by then (SPEC §11.3), unless this one is refused.
        """
        head = request.head
        chat = read_chat(head, endpoint.name, request.body)
        check_model(caller, chat.model)
        now, label = self._host.generation, None if caller is None else caller.label
        decision = plan(now.snapshot, asked_of(chat, head, label), now.live)
        legs = [self._leg(endpoint, head, choice) for choice in decision.choices]
        facts = self._facts(head, chat, decision, legs, caller)
        for leg, choice in zip(legs, decision.choices, strict=True):
            self._host.discovery.refresh(leg.upstream, choice.model)
        key_id, mode = facts.key_id, now.config.sessions.supersede
        lane = lane_of(mode, key_id, chat, head.header)
        admission = self._admit(facts, caller, request, lane)
        repeats = self._host.repeats.find(key_id, chat, request.received_at)
        frames = self._host.stream_log.frames(facts.id)
        proof = self._proof(facts, frames)
        facts = replace(facts, allowance=admission.allowance, repeats=repeats, proof=proof)
        kept = self._host.resuming.keep(head, facts, now.config.sessions, responder)
        if kept is not None:
            facts, responder = with_ids(facts), kept
        if frames is not None:
            responder = LoggedResponder(responder, frames)
        try:
            exchange = Exchange(facts, request.received_at)
        except GatewayError:
            self._host.limiting.withdrawn(facts)
            raise
        owner, responder = self._host.capturing.tapped(self._host, responder, request, facts)
        relay = Relay(owner, exchange, responder, legs, admission.headers)
        if kept is not None:
            kept.bind(relay)
        if lane is not None:
            self._host.sessions.begin(lane, facts.id)
        return relay

    def _proof(self, facts: Facts, frames: FrameLog | None) -> Proof:
        suspected = partial(self._host.stream_log.suspected, facts.id)
        emitted = None if frames is None else frames.made
        return replace(facts.proof, emitted=emitted, suspected=suspected)

    def _admit(
        self, facts: Facts, caller: Caller | None, request: Request, lane: Lane | None
    ) -> Admission:
        """Hold what the call may use of its key's limits. Raises GatewayError.

        The older stream of its session ends for it already here, where it holds what is missing.
        """
        limiting, sessions = self._host.limiting, self._host.sessions
        name, now = request.head.header(b"idempotency-key"), request.received_at
        if lane is None:
            return limiting.admit(facts, caller, name, now)
        return limiting.admit(facts, caller, name, now, partial(sessions.vacate, lane))

    def decide(self, dialect: str, model: str | None) -> UpstreamRuntime:
        """Return the upstream that a message for `model` would go to first. Raises GatewayError."""
        decision = plan(self._host.generation.snapshot, Asked(dialect, "messages", model))
        return self._host.upstreams[decision.choices[0].upstream]

    def _leg(self, endpoint: Endpoint, head: RequestHead, choice: Choice) -> Leg:
        return Leg(
            self._host.upstreams[choice.upstream],
            upstream_path(endpoint.name, choice.dialect, head.query),
            translated_headers(head.headers, choice.dialect),
        )

    def _facts(
        self,
        head: RequestHead,
        chat: ChatRequest,
        decision: Decision,
        legs: list[Leg],
        caller: Caller | None,
    ) -> Facts:
        now, now_us = self._host.generation, self._now_us()
        pairs = zip(legs, decision.choices, strict=True)
        attempts = tuple(self._attempt(leg.upstream, choice, now_us) for leg, choice in pairs)
        conversation = None
        if any(choice.dialect is not None for choice in decision.choices):
            conversation = CLIENTS[chat.dialect].read(chat.fields)
        retries = self._retrying.begin(now, time.monotonic())
        key_id = None if caller is None else caller.key_id
        origin = Origin(self._ids.next(), self._boot_id, now.version, now_us, key_id)
        return facts_of(
            head, chat, attempts, conversation, decision.route, now.config, origin, retries
        )

    def _attempt(self, upstream: UpstreamRuntime, choice: Choice, now_us: int) -> Attempt:
        kind, model = upstream.config.kind.value, upstream.model_there(choice.model)
        price = self._host.generation.prices.price_for(upstream.name, kind, model, now_us)
        context = partial(self._host.discovery.context_of, upstream, choice.model)
        return upstream.attempt(choice, price, context)
