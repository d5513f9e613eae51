"""Answers that wait for an upstream or a thread: one task each, and each answers. Knows no page."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Coroutine
from typing import Any

from streamgauge.core.errors import ErrorCode, GatewayError
from streamgauge.gateway.endpoints import asked_dialect
from streamgauge.gateway.http import RequestHead, Responder
from streamgauge.gateway.ids import IdSource
from streamgauge.gateway.rejections import refusal

__all__ = ["LaterAnswers"]

_log = logging.getLogger(__name__)


class LaterAnswers:
    """The answers under way. One that fails becomes a refusal in the dialect of who asked."""

    __slots__ = ("_ids", "_tasks")

    def __init__(self, ids: IdSource) -> None:
        self._ids = ids
        self._tasks: set[asyncio.Task[None]] = set()

    def __repr__(self) -> str:
        return f"<LaterAnswers tasks={len(self._tasks)}>"

    async def aclose(self) -> None:
        """Drop what is under way."""
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def run(
        self, answer: Coroutine[Any, Any, None], head: RequestHead, responder: Responder
    ) -> None:
        """Run `answer`, which answers the request of `head` or raises."""
        name = f"answer {head.path[:80]}"
        task = asyncio.create_task(self._answer(answer, head, responder), name=name)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _answer(
        self, answer: Coroutine[Any, Any, None], head: RequestHead, responder: Responder
    ) -> None:
        try:
            await answer
        except GatewayError as error:
            self._refuse(error, head, responder)
        except Exception:  # a fault of ours must not leave the client waiting: logged, and a 500
            _log.exception("handler_failed where=%s client=%s", head.path[:80], head.peer)
            message = "the gateway failed on this request"
            self._refuse(GatewayError(500, ErrorCode.OVERLOADED, message), head, responder)

    def _refuse(self, error: GatewayError, head: RequestHead, responder: Responder) -> None:
        status, headers, body = refusal(head.path, error, self._ids.next(), asked_dialect(head))
        responder.send_head(status, headers, len(body))
        responder.send(body)
        responder.end()
