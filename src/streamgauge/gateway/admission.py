"""What a request's head decides before its exchange begins. It calls nothing and keeps nothing."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from functools import partial

from streamgauge.core.chat import ChatRequest, DialectName, read_chat_request
from streamgauge.core.dialects.codecs import CLIENTS
from streamgauge.core.errors import ErrorCode, RequestError
from streamgauge.core.estimate import estimate_tokens
from streamgauge.core.routing.plan import Asked
from streamgauge.gateway.endpoints import Endpoint, Route, check_method, find_endpoint
from streamgauge.gateway.hop import check_hop
from streamgauge.gateway.http import RequestHead

__all__ = [
    "asked_of",
    "check_content_type",
    "client_request_id",
    "endpoint_of",
    "label_of",
    "metadata_mode",
    "read_chat",
]

_META = ("off", "comment", "chunk", "event", "after_done")
_MAX_LABEL = 256
_BYTES_A_TOKEN = 4
_PROTOCOL = re.compile(r"(?:^|&)protocol=([^&]*)")
_PROTOCOLS: Mapping[str, DialectName] = {"openai": "openai", "simple": "simple", "frames": "frames"}
_ONE_ANSWER = frozenset({"simple", "frames"})
_WEIGHT = re.compile(r"q=(0(?:\.[0-9]{0,3})?|1(?:\.0{0,3})?)")
_LINES, _EVENTS = "application/x-ndjson", "text/event-stream"


def endpoint_of(head: RequestHead, is_there: Callable[[Endpoint, str], bool]) -> Endpoint:
    """Return what is asked for. `is_there`: whether a page is. Raises RequestError."""
    endpoint = find_endpoint(head.path)
    metered = endpoint is not None and endpoint.route is Route.METERED
    if endpoint is None or not (metered or is_there(endpoint, head.method)):
        raise RequestError(_nothing_at(head.path), status=404, code=ErrorCode.NO_ROUTE)
    check_method(endpoint, head.method)
    check_hop(head)
    return endpoint


def _nothing_at(path: str) -> str:
    twice = path.startswith("/v1/v1/")  # Anthropic's clients add /v1, OpenAI's do not
    why = ": /v1 stands in it twice, so leave it out of the client's base URL" if twice else ""
    return f"there is nothing at this path{why}"


def client_request_id(head: RequestHead) -> str | None:
    """Return what the client calls its request, None where it does not (SPEC §8.3)."""
    return label_of(head.header(b"x-request-id") or head.header(b"x-client-request-id"))


def metadata_mode(head: RequestHead) -> str | None:
    """Return what the client asks for in `x-streamgauge-meta` (§10.1). Raises RequestError."""
    wanted = head.header(b"x-streamgauge-meta")
    if wanted is None:
        return None
    for mode in _META:
        if wanted == mode:
            return mode
    raise RequestError(f"x-streamgauge-meta is one of {', '.join(_META)}")


def label_of(text: str | None) -> str | None:
    """Return what of a header's text goes into a row: what can be printed, within a bound."""
    if text is None:
        return None
    if not text.isprintable():
        text = "".join([c for c in text if c.isprintable()])
    return text[:_MAX_LABEL] or None


def read_chat(head: RequestHead, endpoint: str, body: bytes) -> ChatRequest:
    """Return the request that head and body are. Raises RequestError, also if it was here before."""
    chat = read_chat_request(endpoint, body, head.header, _asked_protocol(head, endpoint))
    if chat.n > 1 and chat.dialect in _ONE_ANSWER:
        raise RequestError(f"n must be 1: {chat.dialect} carries one answer", param="n")
    return chat


def asked_of(
    chat: ChatRequest, head: RequestHead | None = None, key_label: str | None = None
) -> Asked:
    """Return what routing looks at of a request. `key_label`: of the key that it came with."""
    return Asked(
        chat.dialect,
        chat.endpoint,
        chat.model,
        chat.as_is,
        key_label,
        chat.session_id,
        len(chat.raw),
        chat.fields,
        _no_header if head is None else head.header,
        partial(_input_tokens, chat),
    )


def _no_header(name: bytes) -> str | None:
    return None


def _input_tokens(chat: ChatRequest) -> int:
    """Return the input tokens as estimated; of what is no chat, a quarter of the body's bytes."""
    try:
        return estimate_tokens(CLIENTS[chat.dialect].read(chat.fields))
    except RequestError:  # whether it is a chat is for the upstream to say
        return len(chat.raw) // _BYTES_A_TOKEN


def _asked_protocol(head: RequestHead, endpoint: str) -> DialectName | None:
    """Return the protocol asked for by the query, else by `Accept`; None for the endpoint's own.

    Raises RequestError for an unknown one, and for any on an endpoint that is no chat (SPEC §13.1).
    """
    found = _PROTOCOL.search(head.query)
    if endpoint != "chat/completions":
        if found is not None:
            raise RequestError("protocol is only for /v1/chat/completions", param="protocol")
        return None
    if found is not None:
        if (protocol := _PROTOCOLS.get(found[1])) is None:
            raise RequestError(f"protocol is one of {', '.join(_PROTOCOLS)}", param="protocol")
        return protocol
    # Several fields are one list (RFC 9110 §5.3).
    fields = [value for name, value in head.headers if name == b"accept"]
    accepted = b",".join(fields).decode("latin-1").lower()
    if _LINES not in accepted:
        return None
    wished = _weight(accepted, _LINES)
    return "simple" if wished and wished > _weight(accepted, _EVENTS) else None


def _weight(accepted: str, media: str) -> float:
    """Return how much a lower-case Accept wishes for `media` by its name, 0 for not at all.

    The greatest of several; what is no weight is 1 (RFC 9110 §12.4.2, §12.5.1).
    """
    weights = [0.0]
    for member in accepted.split(","):
        name, *parameters = (part.strip() for part in member.split(";"))
        if name == media:
            found = (_WEIGHT.fullmatch(parameter) for parameter in parameters)
            weights.append(next((float(q[1]) for q in found if q), 1.0))
    return max(weights)


def check_content_type(head: RequestHead) -> None:
    """Raise RequestError 415 where a content type, of several any one, is not JSON's."""
    for name, value in head.headers:
        if name != b"content-type" or value == b"application/json":
            continue
        media = value.partition(b";")[0].strip().lower()
        if media and media != b"application/json" and not media.endswith(b"+json"):
            raise RequestError("the body must be application/json", status=415)
