"""What an upstream's response head promises, and the body of an answer that is no stream."""

from __future__ import annotations

from enum import Enum, auto

from streamgauge.core.errors import ErrorCode, GatewayError
from streamgauge.core.verdict import Verdict, protocol_error, refused

__all__ = ["UNASKED", "Answer", "AnswerKind", "answer_kind", "kind_by_body"]

UNASKED = protocol_error("the upstream answered with a stream that was not asked for")
BODY_LIMIT = 32 * 1024 * 1024
REFUSAL_LIMIT = 64 * 1024
"""An error page beyond this is not worth reading."""


_EVENTS, _LINES, _JSON = "text/event-stream", "application/x-ndjson", "application/json"


class AnswerKind(Enum):
    """What to do with the body."""

    STREAM = auto()
    WHOLE = auto()
    """One JSON document, asked for or not."""
    REFUSED = auto()
    """An error status: its body says why."""


class Answer:
    """One response of an upstream, its body collected where it is no stream.

    `judged`: bytes that tell its kind have come, be it another than the head promised.
    """

    __slots__ = ("_parts", "_room", "content_type", "judged", "kind", "retry_after", "status")

    def __init__(
        self, kind: AnswerKind, status: int, content_type: str | None, retry_after: str | None
    ) -> None:
        self.kind = kind
        self.judged = False
        self.status = status
        self.content_type = content_type
        self.retry_after = retry_after
        self._parts: list[bytes] = []
        self._room = REFUSAL_LIMIT if kind is AnswerKind.REFUSED else BODY_LIMIT

    @property
    def named_events(self) -> bool:
        """Whether the head calls it a stream of events, or lets it pass for one.

        A refusal never is one: its status says what it is, under whatever name its body comes.
        """
        if self.kind is AnswerKind.REFUSED:
            return False
        return self.kind is AnswerKind.STREAM or _EVENTS in (self.content_type or "").lower()

    @property
    def body(self) -> bytes:
        """What came so far."""
        parts = self._parts
        if len(parts) > 1:
            parts[:] = [b"".join(parts)]
        return parts[0] if parts else b""

    def collect(self, data: bytes) -> bool:
        """Keep `data`; return False when the body is larger than we read."""
        self._parts.append(data)
        self._room -= len(data)
        return self._room >= 0


def kind_by_body(data: bytes) -> AnswerKind | Verdict | None:
    """Return what an answer is that calls itself a stream of events, by its first bytes.

    No event begins with a brace: it is a JSON document, an error for the most part. Nor with an
    angle: it is a page. None: blanks say nothing, before either or before an event.
    """
    begin = data.lstrip(b"\xef\xbb\xbf \t\r\n")[:1]
    if not begin:
        return None
    if begin == b"{":
        return AnswerKind.WHOLE
    if begin == b"<":
        return protocol_error("the upstream answered with a page under the name of a stream")
    return AnswerKind.STREAM


def answer_kind(
    status: int, content_type: str | None, streaming: bool, *, lines: bool = False
) -> AnswerKind | Verdict:
    """Return what the head promises, or the verdict where it is nothing we asked for (F34, F35).

    `lines`: a stream of this upstream is lines of JSON, not server-sent events.
    """
    if status >= 400:
        return AnswerKind.REFUSED
    if 300 <= status < 400:
        error = GatewayError(502, ErrorCode.UPSTREAM_ERROR, "the upstream answered with a redirect")
        return refused(error)
    if not 200 <= status < 300 or status == 204:
        return protocol_error(f"the upstream answered with status {status}")
    media = content_type or ""
    if media != _JSON:
        media = media.partition(";")[0].strip().lower()
    if media == (_LINES if lines else _EVENTS):
        if streaming:
            return AnswerKind.STREAM
        # It may be JSON for all that, as under a stream's: `kind_by_body` tells.
        return UNASKED if lines else AnswerKind.WHOLE
    if media == _JSON or media.endswith("+json"):
        return AnswerKind.WHOLE
    if not media:
        return AnswerKind.STREAM if streaming else AnswerKind.WHOLE
    return protocol_error(f"the upstream answered with {media[:80]}, not with what was asked for")
