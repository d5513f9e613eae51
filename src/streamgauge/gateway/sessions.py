"""Ends the older stream of a session before a newer one begins (SPEC §11.3). It knows no upstream.

Which one is the older, `core.sessions` knows; how a stream ends, its exchange.
"""

from __future__ import annotations

from collections.abc import Mapping

from streamgauge.core.sessions import Lane, Sessions
from streamgauge.gateway.relay import Relay

__all__ = ["SessionRegistry"]


class SessionRegistry:
    """The streams with a lane of their own, among the gateway's `relays` by their ids."""

    __slots__ = ("_relays", "_sessions")

    def __init__(self, relays: Mapping[str, Relay]) -> None:
        self._relays = relays
        self._sessions = Sessions()

    def __len__(self) -> int:
        return len(self._sessions)

    def __repr__(self) -> str:
        return f"<SessionRegistry {self._sessions!r}>"

    def vacate(self, lane: Lane) -> bool:
        """End what lives in `lane`; return whether something did.

        On return its client was told, its upstream closed, and its row is on its way. To tell a
        client can let its next request begin, in this lane too: so the lane is looked at again.
        """
        ended = False
        while (older := self._sessions.vacate(lane)) is not None:
            ended = True
            relay = self._relays.get(older)
            if relay is not None:
                relay.supersede()
        return ended

    def begin(self, lane: Lane, stream_id: str) -> None:
        """Let a stream live in `lane`, whose older one is ended first."""
        self.vacate(lane)
        self._sessions.begin(lane, stream_id)

    def ended(self, stream_id: str) -> None:
        """Forget a stream, whoever lives in its lane by now."""
        self._sessions.ended(stream_id)
