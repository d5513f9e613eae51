"""Turns an error into the client's answer and its row, and tells the sinks. Knows no socket."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Callable, Sequence

from streamgauge.core.chat import ChatRequest
from streamgauge.core.errors import ErrorCode, GatewayError
from streamgauge.core.record import ExchangeRecord, Status
from streamgauge.gateway.admission import client_request_id, label_of
from streamgauge.gateway.callers import Caller, Unauthenticated
from streamgauge.gateway.endpoints import asked_dialect
from streamgauge.gateway.http import Header, RequestHead, Responder
from streamgauge.gateway.ids import IdSource
from streamgauge.gateway.rejections import refusal, row_of
from streamgauge.ledger.base import Ledger
from streamgauge.sinks.base import Sink

__all__ = ["Refusals"]

_log = logging.getLogger(__name__)


class Refusals:
    """Refuses requests. `unrecorded`: refusals that leave no row, by error code (SPEC §8.1)."""

    def __init__(
        self,
        ledger: Ledger,
        sinks: Sequence[Sink],
        boot_id: str,
        now_us: Callable[[], int],
        ids: IdSource,
    ) -> None:
        self._ids = ids
        self._ledger = ledger
        self._starts = tuple((sink, sink.started) for sink in sinks)
        self._writes = tuple((sink, sink.write) for sink in sinks)
        self._boot_id = boot_id
        self._now_us = now_us
        self.unrecorded: Counter[str] = Counter()

    def refuse(
        self,
        path: str | None,
        error: GatewayError,
        *,
        row: bool = True,
        caller: Caller | None = None,
        head: RequestHead | None = None,
        chat: ChatRequest | None = None,
    ) -> tuple[int, Sequence[Header], bytes]:
        """Return status, headers and body of the answer; write the row where there is to be one.

        Broken framing never makes a row, nor does a path that is not metered, nor a caller whom
        nobody knows. `caller`: whose row it is. `head`, `chat`: what was read before the refusal.
        """
        request_id = self._ids.next()
        dialect = None if head is None else asked_dialect(head)
        status, headers, body = refusal(path, error, request_id, dialect)
        record = None
        unheard = error.code is ErrorCode.BAD_HTTP or isinstance(error, Unauthenticated)
        if row and not unheard:
            record = row_of(path, request_id, self._boot_id, self._now_us())
        if record is None:
            self.unrecorded[error.code.value] += 1
        else:
            record.error_code, record.error_message = error.code.value, error.message[:1000]
            record.http_status, record.bytes_out = status, len(body)
            self._write_row(record, caller, head, chat)
        return status, headers, body

    def lost(self, head: RequestHead, status: Status, caller: Caller | None) -> None:
        """Write the row of a request whose body never came whole: nobody is there to be answered."""
        record = row_of(head.path, self._ids.next(), self._boot_id, self._now_us())
        if record is not None:
            record.status = status
            self._write_row(record, caller, head, None)

    def _write_row(
        self,
        record: ExchangeRecord,
        caller: Caller | None,
        head: RequestHead | None,
        chat: ChatRequest | None,
    ) -> None:
        _tell_whose(record, caller, head, chat)
        self._ledger.insert(record)
        self.tell(record)

    def refuse_head(
        self, head: RequestHead, error: GatewayError, caller: Caller | None
    ) -> tuple[int, Sequence[Header], bytes]:
        """Return the answer to a request whose body is not read; only a POST leaves a row."""
        return self.refuse(head.path, error, row=head.method == "POST", caller=caller, head=head)

    def answer(
        self,
        responder: Responder,
        head: RequestHead,
        error: GatewayError,
        caller: Caller | None,
        chat: ChatRequest | None,
    ) -> None:
        """Answer a whole request with its refusal."""
        status, headers, body = self.refuse(head.path, error, caller=caller, head=head, chat=chat)
        responder.send_head(status, headers, len(body))
        responder.send(body)
        responder.end()

    def tell(self, record: ExchangeRecord, *, start: bool = False) -> None:
        """Hand `record` to every sink."""
        for sink, tell in self._starts if start else self._writes:
            try:
                tell(record)
            except Exception:  # a failing sink harms neither streams nor other sinks (DESIGN §3)
                _log.exception("sink %r failed", sink)


def _tell_whose(
    record: ExchangeRecord,
    caller: Caller | None,
    head: RequestHead | None,
    chat: ChatRequest | None,
) -> None:
    """Note who asked for what, as far as it was read: whoever was refused looks for it by that."""
    if caller is not None:
        record.key_id = caller.key_id
    if head is not None:
        record.client_request_id = client_request_id(head)
        record.client_app = label_of(head.header(b"user-agent"))
    if chat is not None:
        record.requested_model, record.streaming = chat.model, chat.stream
        record.session_id = chat.session_id
