"""`count_tokens`: asked of the upstream that a message would go to now, else estimated (SPEC §13.5)."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Protocol

import msgspec

from streamgauge.core.chat import ChatRequest, read_chat_request, upstream_body
from streamgauge.core.errors import GatewayError
from streamgauge.core.routing.breaker import Circuit
from streamgauge.core.usage import MAX_COUNT
from streamgauge.gateway.admission import asked_of
from streamgauge.gateway.callers import Caller, check_model
from streamgauge.gateway.endpoints import beta_query
from streamgauge.gateway.fetch import FetchError, fetch
from streamgauge.gateway.generation import Generation
from streamgauge.gateway.http import Header, Request
from streamgauge.gateway.pages import count_estimate, encoded
from streamgauge.gateway.pool import Pool
from streamgauge.gateway.response_headers import JSON_HEADERS
from streamgauge.gateway.upstreams import UpstreamRuntime

__all__ = ["CountingHost", "count_answer"]

_ESTIMATED: Header = (b"x-streamgauge-count", b"estimated")
_COUNTING = frozenset({"anthropic", "llamacpp", "sim", "vllm"})
"""Kinds that may count tokens themselves; what of theirs is no count gives way to an estimate."""


class CountingHost(Protocol):
    """What a count needs of the gateway."""

    pool: Pool

    @property
    def generation(self) -> Generation:
        """The configuration in use."""


class _Count(msgspec.Struct):
    """What is read of an upstream's count."""

    input_tokens: int


async def count_answer(
    host: CountingHost, request: Request, caller: Caller | None
) -> tuple[Sequence[Header], bytes]:
    """Return headers and body of a count. Raises GatewayError for what is no request of `caller`."""
    chat = read_chat_request("messages", request.body, request.head.header)
    check_model(caller, chat.model)
    if (told := await _upstreams_own(host, chat, request, caller)) is not None:
        return JSON_HEADERS, told
    return (*JSON_HEADERS, _ESTIMATED), encoded(count_estimate(chat.fields))


async def _upstreams_own(
    host: CountingHost, chat: ChatRequest, request: Request, caller: Caller | None
) -> bytes | None:
    """Return what the upstream says, None where there is none that can be asked."""
    now, head = host.generation, request.head
    try:
        decision = now.forecast(asked_of(chat, head, None if caller is None else caller.label))
    except GatewayError:
        return None  # nobody serves it: that is for the message itself to be told
    choice = decision.choices[0]
    upstream = now.upstreams[choice.upstream]
    if upstream.kind not in _COUNTING or not _is_well(upstream):
        return None
    path = f"/v1/messages/count_tokens{beta_query(head.query)}"
    body = upstream_body(chat, model=choice.model)
    try:
        page = await fetch(host.pool, upstream, "POST", path, body, client=head.headers)
        count = msgspec.json.decode(page.body, type=_Count).input_tokens
    except (FetchError, msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return None
    return page.body if page.status == 200 and 0 <= count <= MAX_COUNT else None


def _is_well(upstream: UpstreamRuntime) -> bool:
    """Whether a count may be asked for: of a circuit that waits for its probe none is."""
    now = time.monotonic()
    return upstream.admits(now) and upstream.breaker.state(now) is Circuit.CLOSED
