"""Reads the bodies of requests to the control listener and writes its answers. Knows no page."""

from __future__ import annotations

import asyncio
import json
from typing import Any

from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response

from streamgauge.control.guard import Refused

__all__ = ["json_answer", "read_object"]

_MAX_BODY = 64 * 1024
"""No page of this listener reads more than a few fields."""
_BODY_SECONDS = 10.0


async def read_object(request: Request) -> dict[str, Any]:
    """Return the JSON object of the body; an empty body is an empty object. Raises Refused."""
    body = bytearray()
    try:
        async with asyncio.timeout(_BODY_SECONDS):
            async for piece in request.stream():
                body += piece
                if len(body) > _MAX_BODY:
                    raise Refused(413, "the body is larger than 64 KiB", connection="close")
    except TimeoutError:
        raise Refused(408, "the body did not come in time", connection="close") from None
    except ClientDisconnect:
        raise Refused(400, "the body ended early", connection="close") from None
    try:
        found = json.loads(body or b"{}")
    except (ValueError, RecursionError):
        raise Refused(400, "the body is no JSON") from None
    if not isinstance(found, dict):
        raise Refused(400, "the body must be a JSON object")
    return found


def json_answer(status: int, page: Any) -> Response:
    """Return `page` as JSON."""
    return Response(json.dumps(page), status, media_type="application/json")
