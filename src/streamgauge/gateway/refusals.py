"""Turns an error into the client's answer and its row, and tells the sinks. Knows no socket."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Callable, Sequence

from streamgauge.core.errors import ErrorCode, GatewayError
from streamgauge.core.record import ExchangeRecord
from streamgauge.gateway.callers import Caller, Unauthenticated
from streamgauge.gateway.http import Header, Responder
from streamgauge.gateway.ids import IdSource
from streamgauge.gateway.rejections import refusal, rejected_row
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
    ) -> tuple[int, Sequence[Header], bytes]:
        """Return status, headers and body of the answer; write the row where there is to be one.

        Broken framing never makes a row, nor does a path that is not metered, nor a caller whom
        nobody knows. `caller`: whose row it is.
        """
        request_id = self._ids.next()
        status, headers, body = refusal(path, error, request_id)
        record = None
        unheard = error.code is ErrorCode.BAD_HTTP or isinstance(error, Unauthenticated)
        if row and not unheard:
            record = rejected_row(path, error, status, request_id, self._boot_id, self._now_us())
        if record is not None and caller is not None:
            record.key_id = caller.key_id
        if record is None:
            self.unrecorded[error.code.value] += 1
        else:
            self._ledger.insert(record)
            self.tell(record)
        return status, headers, body

    def answer(
        self, responder: Responder, path: str, error: GatewayError, caller: Caller | None
    ) -> None:
        """Answer a whole request with its refusal."""
        status, headers, body = self.refuse(path, error, caller=caller)
        responder.send_head(status, headers, len(body))
        responder.send(body)
        responder.end()

    def tell(self, record: ExchangeRecord, *, start: bool = False) -> None:
        """Hand `record` to every sink."""
        for sink, tell in self._starts if start else self._writes:
            try:
                tell(record)
            except Exception:
                # A failing sink harms neither streams nor other sinks (DESIGN §3).
                _log.exception("sink %r failed", sink)
