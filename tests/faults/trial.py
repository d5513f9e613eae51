"""One trial of a fault: a scripted upstream, a gateway, a client, and what each of them saw."""

from __future__ import annotations

import contextlib
import json
import os
import random
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest

from ..e2e.stand import Answer, Stand, frames_of, stand
from .upstream import Script, ScriptedUpstream, scripted
from .wires import Wire

__all__ = [
    "FULL",
    "check_error",
    "check_error_end",
    "check_marker_end",
    "check_quiet_end",
    "dice_of",
    "seeded",
    "seeded_seldom",
    "trial",
]

FULL = os.environ.get("STREAMGAUGE_FULL") == "1"
seeded = pytest.mark.parametrize("seed", range(20 if FULL else 2))
"""Each seed is a trial of its own: the seed is in the test's name, and makes it again."""
seeded_seldom = pytest.mark.parametrize("seed", range(20 if FULL else 1))
"""The same for trials that take a second or more, or come in many forms."""


def dice_of(row: str, seed: int) -> random.Random:
    """Return the dice of one trial."""
    return random.Random(f"{row}/{seed}")


@contextlib.asynccontextmanager
async def trial(
    folder: Path, script: Callable[[int], Script], **keys: Any
) -> AsyncIterator[tuple[Stand, ScriptedUpstream]]:
    """Run a gateway in front of an upstream that plays `script`; `keys` are for `stand`."""
    async with scripted(script) as upstream, stand(folder, base_url=upstream.url, **keys) as it:
        yield it, upstream


def check_marker_end(wire: Wire, answer: Answer) -> None:
    """The client got its end marker, once and last."""
    payloads = [p for p in frames_of(answer.body) if b'"type":"ping"' not in p]
    assert (answer.status, answer.clean) == (200, True), answer.body
    assert _is_marker(payloads[-1]), payloads[-1]
    assert sum(map(_is_marker, payloads)) == 1


def _is_marker(payload: bytes) -> bool:
    return payload == b"[DONE]" or json.loads(payload).get("type") == "message_stop"


def check_quiet_end(answer: Answer, sent: bytes) -> None:
    """The client got what was sent, and the end: no error, no marker, no finish of ours."""
    assert (answer.status, answer.clean) == (200, True)
    whole = sent[: sent.rfind(b"\n\n") + 2]
    assert answer.body == whole


def check_error_end(wire: Wire, answer: Answer, sent: bytes, code: str) -> None:
    """The client got the whole frames that were sent, then an error in its dialect, then the end."""
    assert (answer.status, answer.clean) == (200, True)
    whole = sent[: sent.rfind(b"\n\n") + 2]
    assert answer.body.startswith(whole)
    rest = answer.body[len(whole) :]
    check_error(wire, json.loads(frames_of(rest)[-1]), code)
    assert len(frames_of(rest)) == 1
    assert b"[DONE]" not in rest
    assert b"message_stop" not in rest


def check_error(wire: Wire, error: dict[str, Any], code: str) -> None:
    """The error has the shape of the client's dialect, and our code."""
    assert error.get("type") == ("error" if wire.anthropic else None)
    assert error["error"]["message"]
    assert error["error"]["code"] == code, error
