"""What a request's head decides before its exchange begins. It calls nothing and keeps nothing."""

from __future__ import annotations

from dataclasses import dataclass

from streamgauge.config.schema import Begin, Config
from streamgauge.core.attempt import Attempt, Facts
from streamgauge.core.chat import ChatRequest
from streamgauge.core.conversation import Conversation
from streamgauge.core.errors import RequestError
from streamgauge.gateway.http import RequestHead

__all__ = ["Origin", "check_content_type", "facts_of"]

_META = ("off", "comment", "chunk", "event", "after_done")
_MAX_LABEL = 256


@dataclass(frozen=True, slots=True)
class Origin:
    """The exchange's id, which gateway and configuration took it in, and when (µs, epoch)."""

    id: str
    boot_id: str
    config_version: str
    now_us: int


def facts_of(
    head: RequestHead,
    chat: ChatRequest,
    attempt: Attempt,
    conversation: Conversation | None,
    route: str,
    config: Config,
    origin: Origin,
) -> Facts:
    """Return what the exchange is told. Raises RequestError for an unknown metadata mode."""
    return Facts(
        id=origin.id,
        owner=origin.boot_id,
        started_at=origin.now_us,
        request=chat,
        attempts=(attempt,),
        route=route,
        conversation=conversation,
        client_request_id=_label(
            head.header(b"x-request-id") or head.header(b"x-client-request-id")
        ),
        client_app=_label(head.header(b"user-agent")),
        config_version=origin.config_version,
        metadata=_metadata_mode(head) or config.metadata.value,
        metering=config.metering,
        begin_first=config.ledger.begin is Begin.BEFORE_UPSTREAM,
        keepalive_seconds=config.server.keepalive_seconds,
    )


def _metadata_mode(head: RequestHead) -> str | None:
    """Return what the client asks for in `x-streamgauge-meta` (SPEC §10.1)."""
    wanted = head.header(b"x-streamgauge-meta")
    if wanted is None:
        return None
    for mode in _META:
        if wanted == mode:
            return mode
    raise RequestError(f"x-streamgauge-meta is one of {', '.join(_META)}")


def _label(text: str | None) -> str | None:
    if text is None:
        return None
    return "".join(c for c in text if c.isprintable())[:_MAX_LABEL] or None


def check_content_type(head: RequestHead) -> None:
    kind = head.header(b"content-type")
    if kind is None:
        return
    media = kind.partition(";")[0].strip().lower()
    if media and media != "application/json" and not media.endswith("+json"):
        raise RequestError("the body must be application/json", status=415)
