"""What is needed to rewrite single frames of a stream that passes as it is. It knows no dialect."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any, Protocol

from streamgauge.core.json_text import json_of, patch_keys
from streamgauge.core.sse import encode_frame

__all__ = ["FrameRewriter", "frame_with", "object_in"]


class FrameRewriter(Protocol):
    """Rewrites what it must of one stream, in order. Other frames leave as they came."""

    def rewrite(self, raw: bytes, payload: bytes, event: bytes) -> Sequence[bytes]:
        """Return the frames to send now, `[raw]` for one that is no business of its own."""

    def end(self) -> Sequence[bytes]:
        """Return what was held: the stream's end marker comes, or a frame that cannot be read."""


def object_in(payload: bytes) -> dict[str, Any] | None:
    """Return the JSON object that a frame holds, or None."""
    try:
        value = json.loads(payload.decode())
    except (ValueError, RecursionError):
        return None
    return value if isinstance(value, dict) else None


def frame_with(payload: bytes, event: bytes, **members: Any) -> bytes:
    """Return the frame of `payload` with these top-level members; its other bytes stay.

    `payload` must hold a JSON object.
    """
    told = {key: json_of(value) for key, value in members.items()}
    return encode_frame(patch_keys(payload, told), event)
