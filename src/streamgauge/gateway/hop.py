"""The mark by which this gateway knows its own requests again (SPEC §14.7). Knows no configuration."""

from __future__ import annotations

import secrets
from typing import Final

from streamgauge.core.errors import RequestError
from streamgauge.gateway.http import RequestHead

__all__ = ["HOP_HEADER", "HOP_LINE", "check_hop"]

HOP_HEADER: Final = b"x-streamgauge-hop"
_ID: Final = secrets.token_hex(16).encode()
"""Of this process. It is no secret, and it is none of the ids in the ledger."""
HOP_LINE: Final = HOP_HEADER + b": " + _ID
"""Added to each request to an upstream, behind the marks of gateways that it came through."""


def check_hop(head: RequestHead) -> None:
    """Raise RequestError 400 for a request that has come through this gateway already."""
    if head.header(HOP_HEADER) is None:
        return
    for name, value in head.headers:
        if name == HOP_HEADER and _ID in value:
            raise RequestError(
                "the request has come through this gateway already: an upstream of the "
                "configuration leads back to it"
            )
