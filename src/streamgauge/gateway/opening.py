"""Makes an exchange of one whole request: read, routed, priced. It calls no upstream."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Protocol

import msgspec

from streamgauge.config.schema import Begin
from streamgauge.core.attempt import Allowance, Attempt, Facts, Retries
from streamgauge.core.chat import ChatRequest
from streamgauge.core.conversation import Conversation
from streamgauge.core.dialects.codecs import CLIENTS
from streamgauge.core.errors import RequestError
from streamgauge.core.exchange import Exchange
from streamgauge.core.integrity_proof import Proof
from streamgauge.core.limit_terms import Standing
from streamgauge.core.repeats import Repeats
from streamgauge.core.routing.plan import Choice, Decision, plan
from streamgauge.core.routing.rules import Strategy
from streamgauge.core.sessions import Lane, lane_of
from streamgauge.gateway.admission import asked_of, client_request_id, label_of, metadata_mode
from streamgauge.gateway.callers import Caller, check_models
from streamgauge.gateway.capturing import Capturing
from streamgauge.gateway.discovery import Discovery
from streamgauge.gateway.endpoints import upstream_path
from streamgauge.gateway.generation import Generation
from streamgauge.gateway.http import Request, RequestHead, Responder
from streamgauge.gateway.idempotency import idempotency_key
from streamgauge.gateway.ids import IdSource
from streamgauge.gateway.legs import Leg, Made
from streamgauge.gateway.limiting import Admission, Call, Limiting
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
        self, chat: ChatRequest, request: Request, responder: Responder, caller: Caller | None
    ) -> Relay:
        """Return the relay of a request, not yet started; `chat`: what it says. Raises GatewayError.

        The older stream of its session has ended by then (SPEC §11.3), unless this one is refused.
        """
        host, head, now = self._host, request.head, self._host.generation
        check_models(caller, chat.model, chat.fields)
        key_id, label = (None, None) if caller is None else (caller.key_id, caller.label)
        decision = plan(now.snapshot, asked_of(chat, head, label), now.live)
        decision, conversation = _readable(chat, decision)
        call = self._call(now, chat, decision, caller, conversation)
        retries = self._retrying.begin(now, time.monotonic())
        mode = metadata_mode(head) or now.config.metadata.value
        for choice in decision.choices:
            host.discovery.refresh(now.upstreams[choice.upstream], choice.model)
        lane = lane_of(now.config.sessions.supersede, key_id, chat, head.header)
        admission = self._admit(call, request, lane)
        if decision.strategy is Strategy.ROUND_ROBIN:
            now.habits.took_turn(decision.route)
        try:
            frames = host.stream_log.frames(call.id)
            route, candidates = decision.route, decision.candidates
            told = _Told(route, candidates, mode, retries, admission.allowance, frames)
            facts = self._facts(now, request, call, told)
            legs = _legs(now, chat.endpoint, head, decision.choices)
            relay = self._relay(request, responder, facts, legs, told, admission.standing)
            if lane is not None:
                host.sessions.begin(lane, facts.id)
        except BaseException:  # a fault of our own, too: what it holds would be held for good
            host.limiting.withdrawn(call)
            raise
        return relay

    def _relay(
        self,
        request: Request,
        responder: Responder,
        facts: Facts,
        legs: Sequence[Leg],
        told: _Told,
        standing: Standing | None,
    ) -> Relay:
        """Return the relay of `facts`, with those between it and its client who were asked for."""
        host, sessions = self._host, self._host.generation.config.sessions
        kept = host.resuming.keep(request.head, facts, sessions, responder)
        if kept is not None:
            facts, responder = with_ids(facts), kept
        if told.frames is not None:
            responder = LoggedResponder(responder, told.frames)
        exchange = Exchange(facts, request.received_at)
        owner, responder = host.capturing.tapped(host, responder, request, facts)
        relay = Relay(owner, exchange, responder, legs, told.candidates, standing)
        if kept is not None:
            kept.bind(relay)
        return relay

    def _admit(self, call: Call, request: Request, lane: Lane | None) -> Admission:
        """Hold what the call may use of its key's limits. Raises GatewayError.

        The older stream of its session ends for it already here, where it holds what is missing.
        """
        limiting, sessions = self._host.limiting, self._host.sessions
        name, now = idempotency_key(request.head), request.received_at
        if lane is None:
            return limiting.admit(call, name, now)
        return limiting.admit(call, name, now, partial(sessions.vacate, lane))

    def _call(
        self,
        now: Generation,
        chat: ChatRequest,
        decision: Decision,
        caller: Caller | None,
        conversation: Conversation | None,
    ) -> Call:
        """Return the call that was decided on."""
        choices, now_us = decision.choices, self._now_us()
        first = self._attempt(now, now_us, choices, 0)
        attempts: Sequence[Attempt] = (first,)
        if len(choices) > 1:
            made = partial(self._attempt, now, now_us, choices)
            attempts = Made(first, made, len(choices))
        context = partial(self._context, now, choices)
        id, bounds = self._ids.next(), now.bounds_output
        return Call(id, now_us, caller, chat, attempts, context, conversation, bounds)

    def _context(self, now: Generation, choices: Sequence[Choice]) -> int | None:
        """Return the largest context of the planned models, None where one is not known."""
        most = 0
        for choice in choices:
            upstream = now.upstreams[choice.upstream]
            total = self._host.discovery.context_of(upstream, choice.model)
            if total is None:
                return None
            most = max(most, total)
        return most

    def _attempt(
        self, now: Generation, now_us: int, choices: Sequence[Choice], place: int
    ) -> Attempt:
        choice = choices[place]
        upstream = now.upstreams[choice.upstream]
        price = now.prices.price_for(upstream.name, upstream.kind, choice.model, now_us)
        context = partial(self._host.discovery.context_of, upstream, choice.model)
        return upstream.attempt(choice, price, context)

    def _facts(self, now: Generation, request: Request, call: Call, told: _Told) -> Facts:
        head, config, caller = request.head, now.config, call.caller
        key_id = None if caller is None else caller.key_id
        frames, log = told.frames, self._host.stream_log
        return Facts(
            id=call.id,
            owner=self._boot_id,
            started_at=call.started_at,
            request=call.request,
            attempts=call.attempts,
            route=told.route,
            conversation=call.conversation,
            client_request_id=client_request_id(head),
            client_app=label_of(head.header(b"user-agent")),
            key_id=key_id,
            config_version=now.version,
            metadata=told.metadata,
            metering=config.metering,
            begin_first=config.ledger.begin is Begin.BEFORE_UPSTREAM,
            keepalive_seconds=config.server.keepalive_seconds,
            retries=told.retries,
            allowance=told.allowance,
            repeats=self._host.repeats.find(key_id, call.request, request.received_at),
            proof=Proof(
                config.integrity,
                emitted=None if frames is None else frames.made,
                suspected=partial(log.suspected, call.id),
            ),
        )


class _Told(msgspec.Struct, frozen=True):
    """What else an exchange is told, beside its call and its configuration."""

    route: str
    candidates: bytes
    metadata: str
    retries: Retries
    allowance: Allowance | None
    frames: FrameLog | None


def _readable(chat: ChatRequest, decision: Decision) -> tuple[Decision, Conversation | None]:
    """Return what can be tried, and the request in no dialect's words where a try needs it.

    A request that only its own dialect can say is not translated: it goes to those that need not.
    Raises RequestError where each try would have to be translated.
    """
    choices = decision.choices
    for choice in choices:
        if choice.dialect is not None:
            break
    else:
        return decision, None
    try:
        return decision, CLIENTS[chat.dialect].read(chat.fields)
    except RequestError:
        kept = tuple(choice for choice in choices if choice.dialect is None)
        if not kept:
            raise
        return replace(decision, choices=kept), None


def _legs(
    now: Generation, endpoint: str, head: RequestHead, choices: Sequence[Choice]
) -> Sequence[Leg]:
    """Return where each attempt goes."""
    first = _leg(now, endpoint, head, choices, 0)
    if len(choices) == 1:
        return (first,)
    return Made(first, partial(_leg, now, endpoint, head, choices), len(choices))


def _leg(
    now: Generation, endpoint: str, head: RequestHead, choices: Sequence[Choice], place: int
) -> Leg:
    choice = choices[place]
    return Leg(
        now.upstreams[choice.upstream],
        upstream_path(endpoint, choice.dialect, head.query),
        translated_headers(head.headers, choice.dialect),
    )
