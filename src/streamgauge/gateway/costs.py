"""`POST /v1/cost`: what a chat request would cost, worked out without a call (SPEC §1.2, §6.8)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

from streamgauge.core.chat import ChatRequest, DialectName, UpstreamDialect, read_chat_request
from streamgauge.core.conversation import Conversation
from streamgauge.core.dialects.anthropic.read_request import read_conversation as read_messages
from streamgauge.core.dialects.codecs import CLIENTS, UPSTREAMS
from streamgauge.core.errors import GatewayError
from streamgauge.core.estimate import estimate_tokens
from streamgauge.core.json_text import read_object
from streamgauge.core.pricing import Price, book_cost
from streamgauge.core.routing.ratios import Ratio
from streamgauge.core.transform.chain import Chain
from streamgauge.core.usage import TokenUsage
from streamgauge.gateway.admission import asked_of
from streamgauge.gateway.callers import Caller, check_model
from streamgauge.gateway.generation import Generation
from streamgauge.gateway.http import Header, Request
from streamgauge.gateway.ids import IdSource
from streamgauge.gateway.pages import encoded
from streamgauge.gateway.rejections import refusal
from streamgauge.gateway.response_headers import JSON_HEADERS

__all__ = ["PricingHost", "cost_answer", "cost_page"]

_MESSAGES_ONLY = frozenset({"system", "stop_sequences", "thinking", "output_config"})
"""Fields of a body that only Anthropic's requests have."""


class PricingHost(Protocol):
    """What an estimate needs of the gateway."""

    ids: IdSource

    @property
    def generation(self) -> Generation:
        """The configuration in use."""


def cost_answer(
    host: PricingHost, request: Request, caller: Caller | None, now_us: int
) -> tuple[int, Sequence[Header], bytes]:
    """Return status, headers and body of the estimate, or of the refusal in the body's dialect."""
    anthropic = request.head.header(b"anthropic-version") is not None
    try:
        anthropic = anthropic or _is_messages(read_object(request.body))
        dialect: DialectName = "anthropic" if anthropic else "openai"
        page = cost_page(host, dialect, request, caller, now_us)
    except GatewayError as error:
        path = "/v1/messages" if anthropic else request.head.path
        return refusal(path, error, host.ids.next())
    return 200, JSON_HEADERS, encoded(page)


def _is_messages(fields: Mapping[str, Any]) -> bool:
    """Whether a body, whose path names no dialect, is a request in Anthropic's words."""
    tools = fields.get("tools")
    schemas = isinstance(tools, list) and any(
        isinstance(tool, dict) and "input_schema" in tool for tool in tools
    )
    return schemas or bool(_MESSAGES_ONLY & fields.keys())


def cost_page(
    host: PricingHost,
    dialect: DialectName,
    request: Request,
    caller: Caller | None,
    now_us: int,
) -> dict[str, Any]:
    """Return the estimate for a chat request, by the price of `now_us` (µs since the epoch).

    Numbers have the names of SPEC §8.3; what is unknown is None. Raises RequestError.
    """
    endpoint = "messages" if dialect == "anthropic" else "chat/completions"
    chat = read_chat_request(endpoint, request.body, request.head.header)
    check_model(caller, chat.model)
    conversation = _conversation(chat)
    now = host.generation
    label = None if caller is None else caller.label
    decision = now.forecast(asked_of(chat, request.head, label))
    choice = decision.choices[0]
    upstream = now.upstreams[choice.upstream]
    kind = upstream.config.kind.value
    price = now.prices.price_for(choice.upstream, kind, choice.model, now_us)
    ratio = now.ratios.ratio(choice.model, None if caller is None else caller.key_id)
    input_tokens = estimate_tokens(conversation)
    cap = _cap(conversation, choice.dialect, upstream.transformers)
    output_tokens, source = _output(input_tokens, chat.n, cap, ratio)
    return {
        "object": "cost_estimate",
        "estimated": True,
        "model": choice.model,
        "requested_model": chat.model,
        "upstream": choice.upstream,
        "route": decision.route,
        "input_tokens": input_tokens,
        "output_tokens": output_tokens,
        "output_from": source,
        "ratio": _ratio(ratio),
        **_cost(TokenUsage(input_tokens, output_tokens), _served(price, chat.fields)),
    }


def _conversation(chat: ChatRequest) -> Conversation:
    if chat.dialect == "anthropic":
        return read_messages(chat.fields, counting=True)
    return CLIENTS[chat.dialect].read(chat.fields)


def _cap(conversation: Conversation, dialect: UpstreamDialect | None, chain: Chain) -> int | None:
    """Return the most tokens that the upstream would be asked for, None for any number."""
    stated = conversation.sampling.max_tokens
    room = None if dialect is None or stated is not None else UPSTREAMS[dialect].room
    if room is not None:
        return room(chain.conversation(conversation))
    return stated if chain.output is None else chain.output.bound(stated)


def _output(
    input_tokens: int, answers: int, cap: int | None, ratio: Ratio | None
) -> tuple[int | None, str | None]:
    """Return the tokens expected of all answers, and what they are from. `cap`: of each, as asked.

    By the ratio that was learnt, but never more than is asked for; without one, that much.
    """
    most = None if cap is None else cap * answers
    if ratio is None:
        return most, None if most is None else "max_tokens"
    # A ratio is of whole exchanges: several answers to one prompt are in it as one sum.
    expected = ratio.expected_output(input_tokens)
    return (expected, "ratio") if most is None or expected <= most else (most, "max_tokens")


def _served(price: Price | None, fields: Mapping[str, Any]) -> Price | None:
    tier = fields.get("service_tier")
    return price and price.served_as(tier if isinstance(tier, str) else None)


def _ratio(ratio: Ratio | None) -> dict[str, Any] | None:
    if ratio is None:
        return None
    return {"value": ratio.per_million / 1_000_000, "samples": ratio.samples}


def _cost(usage: TokenUsage, price: Price | None) -> dict[str, Any]:
    cost = book_cost(usage, price)
    return {
        "cost_nano": None if cost.money is None else cost.money.nano,
        "currency": None if cost.money is None else cost.money.currency,
        "cost_source": cost.source,
        "cost_reason": cost.reason,
        "price": None if price is None else price.as_plain(),
    }
