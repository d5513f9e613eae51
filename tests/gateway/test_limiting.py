"""What a call that may not begin leaves behind: nothing held, and its name free."""

from __future__ import annotations

import msgspec
import pytest

from streamgauge.core.attempt import Attempt
from streamgauge.core.chat import read_chat_request
from streamgauge.core.dialects.codecs import CLIENTS
from streamgauge.core.errors import GatewayError
from streamgauge.core.keys import Caller, KeyLimits
from streamgauge.gateway.legs import Made
from streamgauge.gateway.limiting import Call, Limiting

BODY = b'{"model": "m", "messages": []}'
BOUNDED = b'{"model": "m", "messages": [], "max_tokens": 5}'


def broken() -> int | None:
    raise LookupError("broken")


def call(number: int, limits: KeyLimits, *, whole: bool = True) -> Call:
    """Return a call of one key; one that is not `whole` fails when its context is asked for."""
    chat = read_chat_request("chat/completions", BODY, lambda name: None)
    caller = Caller("key", "ann", (), limits)
    attempts = (Attempt("up", "sim", "m"),)
    return Call(f"id-{number}", 1, caller, chat, attempts, (lambda: 10) if whole else broken)


def test_a_fault_of_our_own_takes_neither_name_nor_place() -> None:
    limiting, limits = Limiting({}), KeyLimits(max_streams=1, tpm=1000)
    with pytest.raises(LookupError):
        limiting.admit(call(1, limits, whole=False), "a name", 1.0)
    assert limiting.holds == 0
    limiting.admit(call(2, limits), "a name", 1.0)
    assert limiting.holds == 1
    with pytest.raises(GatewayError, match="in progress as id-2"):
        limiting.admit(call(3, limits), "a name", 1.0)


def test_a_fallback_is_not_made_for_the_sake_of_a_hold() -> None:
    def made(place: int) -> Attempt:
        raise LookupError("made")

    one = call(1, KeyLimits(tpm=1000))
    several = Made(one.attempts[0], made, 2)
    limiting = Limiting({})
    limiting.admit(msgspec.structs.replace(one, attempts=several), None, 1.0)
    assert limiting.holds == 1
    # The first one is told no bound, whatever the others are told.
    bounding = msgspec.structs.replace(one, id="id-2", attempts=several, bounds_output=True)
    limiting.admit(bounding, None, 1.0)
    assert limiting.holds == 2
    stated = read_chat_request("chat/completions", BOUNDED, lambda name: None)
    with pytest.raises(LookupError, match="made"):  # its upstream may be asked for less
        limiting.admit(msgspec.structs.replace(bounding, request=stated), None, 1.0)
    first = Attempt("up", "anthropic", "m", "anthropic")
    said = CLIENTS["openai"].read({"messages": [{"role": "user", "content": "hi"}]})
    translated = msgspec.structs.replace(one, conversation=said, attempts=Made(first, made, 2))
    with pytest.raises(LookupError, match="made"):  # and here the first one's dialect bounds it
        limiting.admit(translated, None, 1.0)
