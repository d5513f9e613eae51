"""How many tokens a request can take at most, before it is called. Knows no limit."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from streamgauge.core.attempt import Attempt
from streamgauge.core.chat import ChatRequest, UpstreamDialect
from streamgauge.core.conversation import Conversation
from streamgauge.core.dialects.codecs import CLIENTS, UPSTREAMS
from streamgauge.core.errors import RequestError
from streamgauge.core.estimate import estimate_tokens
from streamgauge.core.limit_terms import Demand
from streamgauge.core.price import Price
from streamgauge.core.transform.body import REMOVED, Form

__all__ = ["CEILING", "LLAMA_CPP", "call_bounds"]

CEILING = 131_072
"""Tokens: no model of today writes a longer answer. For answers that nobody bounds otherwise."""

_BYTES_A_TOKEN = 3
"""In a body that is not read: one sign of Chinese, and a quarter more than English text needs."""
_MARGIN = 4
"""A quarter more than estimated: the estimate is right in the middle, and money needs a bound."""
_SMALL = 4096
"""Bytes: up to here a body is not read for its length alone, which takes longer than all the rest."""
_OPTIONS: Mapping[str, tuple[str, ...]] = {
    "chat/completions": ("max_completion_tokens", "max_tokens"),
    "completions": ("max_tokens",),
    "messages": ("max_tokens",),
    "responses": ("max_output_tokens",),
}
"""By endpoint; one that is not here has no output. Of two, the larger one counts."""
LLAMA_CPP = "n_predict"
"""Read by llama.cpp before the others, in whatever dialect; below zero it is no bound."""
_CHATS = frozenset({"chat/completions", "messages"})


def call_bounds(
    request: ChatRequest,
    conversation: Conversation | None,
    context: Callable[[], int | None],
    prices: tuple[Price | None, ...] = (),
    attempts: Sequence[Attempt] = (),
) -> Demand:
    """Return what a call may use. `conversation`: the request as read, where it was.

    `context`: how many tokens the planned models take at most, prompt and answer, None where that
    is not known; it is asked only for a request that bounds no answer. `prices`: as in Demand.
    `attempts`: what is planned; of what they would ask for, the largest counts. Without any, what
    the request asks for.
    """
    raw, options = request.raw, _OPTIONS.get(request.endpoint)
    if conversation is None and (
        (len(raw) <= _SMALL and b"url" not in raw) or request.endpoint not in _CHATS
    ):
        read = -(-len(raw) // _BYTES_A_TOKEN)
    else:
        read = _read(request, conversation)
    if options is None:
        return Demand(read, 0, 0, prices)
    answers = _answers(request) if request.endpoint == "completions" else request.n
    most, ours = _stated(request.fields, options), False
    if attempts:
        most, ours = _most_told(attempts, request, conversation, options, most)
    if most is not None and not ours:
        return Demand(read, most * answers, CEILING * answers, prices)
    total = context()
    ceiling = CEILING if total is None or total > CEILING else total
    if most is not None and most < ceiling:
        ceiling = most
    return Demand(read, None, ceiling * answers, prices)


def _stated(fields: Mapping[str, Any], options: tuple[str, ...]) -> int | None:
    stated = None
    for name in options:
        count = fields.get(name)
        if type(count) is int and count > 0 and (stated is None or count > stated):
            stated = count
    return stated


def _most_told(
    attempts: Sequence[Attempt],
    request: ChatRequest,
    conversation: Conversation | None,
    options: tuple[str, ...],
    stated: int | None,
) -> tuple[int | None, bool]:
    """Return the largest bound that one of the upstreams is told, None where one is told none.

    Also whether one of them is ours: nobody asked for it, and with less left the call may begin.
    """
    most, ours = 0, False
    for attempt in attempts:
        told = _told(attempt, request, conversation, options, stated)
        if told is None:
            told, ours = _room(attempt, conversation), True
            if told is None:
                return None, False  # no other has to be made for it
        most = max(most, told)
    return most, ours


def _room(attempt: Attempt, conversation: Conversation | None) -> int | None:
    """Return the bound that the dialect of an upstream makes us state, None where it makes none."""
    if attempt.dialect is None or conversation is None:
        return None
    room = UPSTREAMS[attempt.dialect].room
    return None if room is None else room(attempt.transformers.conversation(conversation))


def _told(
    attempt: Attempt,
    request: ChatRequest,
    conversation: Conversation | None,
    options: tuple[str, ...],
    stated: int | None,
) -> int | None:
    """Return the bound that the upstream of one attempt is told, None where it is told none."""
    output, fields = attempt.transformers.output, request.fields
    if attempt.dialect is not None:
        if conversation is not None and output is not None:
            return output.bound(conversation.sampling.max_tokens)
        return stated
    own = attempt.kind == "llamacpp" and fields.get(LLAMA_CPP) is not None
    if output is None and not own:
        return stated
    if output is not None:
        spoken: UpstreamDialect = "anthropic" if request.endpoint == "messages" else "openai"
        changes = output.change(fields, Form(spoken, attempt.kind, request.endpoint))
        fields = {**fields, **{k: v for k, v in changes.items() if v is not REMOVED}}
    if own and not _stated(fields, (LLAMA_CPP,)):
        return None
    return _stated(fields, (*options, LLAMA_CPP) if own else options)


def _answers(request: ChatRequest) -> int:
    """Return how many answers completions write: for each prompt, and also those not chosen as best."""
    prompt, best = request.fields.get("prompt"), request.fields.get("best_of")
    each = best if type(best) is int and best > request.n else request.n
    if isinstance(prompt, list) and prompt and type(prompt[0]) is not int:
        return each * len(prompt)
    return each  # one text, or one as numbers of tokens


def _read(request: ChatRequest, conversation: Conversation | None) -> int:
    """Return the tokens of a request whose length may tell little: pictures are long, or elsewhere."""
    if conversation is None:
        try:
            conversation = CLIENTS[request.dialect].read(request.fields)
        except RequestError:  # whether it is one, its upstream judges
            return -(-len(request.raw) // _BYTES_A_TOKEN)
    tokens = estimate_tokens(conversation)
    return tokens + tokens // _MARGIN
