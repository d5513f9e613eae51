"""How an exchange begins: its open row, the rows of its attempts, and whether usage is asked for."""

from __future__ import annotations

from collections.abc import Mapping

from msgspec.structs import replace

from streamgauge.core.attempt import Attempt, Facts
from streamgauge.core.chat import ChatRequest, DialectName, UpstreamDialect, upstream_body
from streamgauge.core.dialects.base import Wish, Written
from streamgauge.core.dialects.codecs import UPSTREAMS
from streamgauge.core.dialects.losses import Loss
from streamgauge.core.record import AttemptRecord, ExchangeRecord
from streamgauge.core.refusal import names_option, names_signature
from streamgauge.core.transform.body import Form
from streamgauge.core.transform.unsigned import UNSIGNED, has_unsigned

__all__ = [
    "asks_usage",
    "new_attempt_record",
    "new_record",
    "plainer",
    "request_body",
    "running_option",
]

_TAKES_OPTION = frozenset({"chat/completions", "completions"})
_SPOKEN: Mapping[DialectName, UpstreamDialect] = {
    "openai": "openai",
    "anthropic": "anthropic",
    "simple": "openai",
    "frames": "openai",
}
"""What a request that goes upstream as it is was written in."""
_CHAT: Mapping[UpstreamDialect, str] = {
    "openai": "chat/completions",
    "anthropic": "messages",
    "ollama": "chat",
}
"""The endpoint that a translated request goes to, as transformers know it."""


def new_record(facts: Facts, first: Attempt) -> ExchangeRecord:
    """Return the row as it is written before the first byte goes upstream."""
    request = facts.request
    return ExchangeRecord(
        id=facts.id,
        owner=facts.owner,
        started_at=facts.started_at,
        client_request_id=facts.client_request_id,
        key_id=facts.key_id,
        session_id=request.session_id,
        repeats=facts.repeats,
        client_app=facts.client_app,
        dialect=request.dialect,
        endpoint=request.endpoint,
        streaming=request.stream,
        requested_model=request.model,
        upstream=first.upstream,
        upstream_model=first.model,
        route=facts.route,
        attempts=1,
        config_version=facts.config_version,
    )


def new_attempt_record(facts: Facts, n: int, attempt: Attempt, started_at: int) -> AttemptRecord:
    """Return the open row of attempt `n`, counted from 1; `started_at` in µs since the epoch."""
    return AttemptRecord(
        request_id=facts.id,
        n=n,
        upstream=attempt.upstream,
        dialect=attempt.dialect or facts.request.dialect,
        model=attempt.model,
        started_at=started_at,
    )


def asks_usage(attempt: Attempt, request: ChatRequest) -> bool:
    """Return whether we ask this upstream for a usage frame that the client did not (SPEC §3.1)."""
    if attempt.dialect is not None:
        taken = attempt.dialect == "openai" and request.stream
        return taken and attempt.inject_usage != "false" and not attempt.refuses_usage
    if not request.stream or request.endpoint not in _TAKES_OPTION:
        return False
    if attempt.inject_usage == "false" or attempt.refuses_usage or request.include_usage:
        return False
    return request.include_usage is None or attempt.inject_usage == "force"


def running_option(attempt: Attempt, request: ChatRequest) -> str | None:
    """Return whose option for counts on every frame is set (`llamacpp`, `vllm`), or None."""
    if not attempt.running_usage or attempt.refuses_usage or not request.stream:
        return None
    if attempt.kind == "llamacpp":
        return "llamacpp"
    return "vllm" if attempt.kind == "vllm" else None


def request_body(facts: Facts, attempt: Attempt, asks: bool) -> Written:
    """Return what goes upstream; `asks`: with our option for a usage frame (SPEC §3.1)."""
    request = facts.request
    if attempt.dialect is not None:
        return _translated(facts, attempt, attempt.dialect, asks)
    body = upstream_body(
        request,
        model=attempt.model,
        include_usage=asks,
        running_usage=running_option(attempt, request),
    )
    chain, lost = attempt.transformers, False
    if chain.body or attempt.refuses_unsigned:
        lost = attempt.refuses_unsigned and _says_unsigned(attempt, request)
        form = Form(_SPOKEN[request.dialect], attempt.kind, request.endpoint)
        body = chain.body_as_is(body, form, request.fields, (UNSIGNED,) if lost else ())
    return Written(body, (Loss.THINKING,) if lost else ())


def _says_unsigned(attempt: Attempt, request: ChatRequest) -> bool:
    """Return whether reasoning of another dialect's model would go to Anthropic's as its own."""
    if attempt.dialect is not None or request.endpoint != "messages":
        return False
    return has_unsigned(request.fields)


def plainer(facts: Facts, attempt: Attempt, body: bytes, *, asked_usage: bool) -> Attempt | None:
    """Return the try without what an upstream's 400 blames, of what the gateway has brought about.

    That is our option for usage (SPEC §3.2), and reasoning of other upstreams' models, which the
    client was told without a signature, since there was none. None: the refusal is the client's.
    """
    request = facts.request
    ours = asked_usage or running_option(attempt, request) is not None
    if ours and names_option(body):
        return attempt.without_usage_option()
    if attempt.refuses_unsigned or not names_signature(body):
        return None
    return attempt.without_unsigned() if _says_unsigned(attempt, request) else None


def _translated(facts: Facts, attempt: Attempt, dialect: UpstreamDialect, asks: bool) -> Written:
    conversation = facts.conversation
    if conversation is None:
        raise ValueError("a translation needs the conversation that was read")
    wish = Wish(
        kind=attempt.kind,
        model=attempt.model,
        stream=facts.request.stream,
        include_usage=asks,
        running_usage=running_option(attempt, facts.request) is not None,
    )
    chain = attempt.transformers
    told = UPSTREAMS[dialect].write(
        chain.conversation(conversation), wish
    )  # with its reader's losses
    form = Form(dialect, attempt.kind, _CHAT[dialect])
    return replace(told, body=chain.body_written(told.body, form)) if chain.written else told
