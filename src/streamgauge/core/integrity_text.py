"""Reads the text that a frame to the client adds, by its protocol (SPEC §12.1). It knows no stamp."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType

import msgspec

from streamgauge.core.dialects.registry import dialect_of
from streamgauge.core.dialects.simple import SIGNS_OF_LIFE
from streamgauge.core.events import ReasoningDelta, TextDelta, ToolCallDelta
from streamgauge.core.integrity import Integrity, Marker, Stamper, Style
from streamgauge.core.integrity_proof import Proof
from streamgauge.core.integrity_stamp import UNCHANGED, AddedText
from streamgauge.core.pings import is_ping
from streamgauge.core.sse import Frame, FrameKind

__all__ = [
    "PROTOCOLS",
    "Protocol",
    "added_texts",
    "new_stamper",
    "protocol_of",
    "protocol_of_client",
]

# Off its class an Enum's member takes a look-up each time.
_OFF, _LEDGER = Integrity.OFF, Integrity.LEDGER
_COMMENT, _FIELD = Integrity.COMMENT, Integrity.FIELD
_UNREADABLE = (msgspec.MsgspecError, UnicodeError, RecursionError)
_members = msgspec.json.Decoder(dict[str, msgspec.Raw]).decode


class _Call(msgspec.Struct, gc=False):
    arguments: str = ""


class _Stamped(msgspec.Struct, gc=False):
    content: str = ""
    reasoning: str = ""
    tool_call: _Call | None = None


_decode_stamped = msgspec.json.Decoder(_Stamped).decode


@dataclass(frozen=True, slots=True)
class Protocol:
    """What clients are sent on one endpoint. `texts` makes a reader of the text in its frames.

    `lines`: of JSON, no server-sent events. `stamps`: its frames have stamps of their own. `alive`:
    payloads that only say that somebody is there, beside the pings that all have.
    """

    marker: Marker
    texts: Callable[[], AddedText]
    lines: bool = False
    stamps: bool = False
    alive: tuple[bytes, ...] = ()

    def counts(self, frame: Frame) -> bool:
        """Return whether a frame has a number: one with data that is no sign of life (SPEC §4.4)."""
        if frame.kind is not FrameKind.DATA or is_ping(frame.payload, frame.event):
            return False
        return frame.payload not in self.alive


def added_texts(endpoint: str) -> AddedText:
    """Return what reads the frames of one stream of `endpoint`, in order: it keeps state.

    It gives reasoning, text and arguments in the order of the frame, "" where there is none, and
    None for a frame that is no JSON object.
    """
    decoder = dialect_of(endpoint).decoder(endpoint, "")

    def added(payload: bytes, event: bytes) -> str | None:
        if not _is_object(payload):
            return None
        texts: list[str] = []
        for told in decoder.decode(payload, event):
            if isinstance(told, TextDelta | ReasoningDelta):
                texts.append(told.text)
            elif isinstance(told, ToolCallDelta):
                texts.append(told.arguments)
        return "".join(texts)

    return added


def _frames_texts() -> AddedText:
    def added(payload: bytes, event: bytes) -> str | None:
        if event:
            return None  # our record, which is no part of the answer and has no number
        try:
            frame = _decode_stamped(payload)
        except _UNREADABLE:
            return None
        arguments = "" if frame.tool_call is None else frame.tool_call.arguments
        return f"{frame.reasoning}{frame.content}{arguments}"

    return added


def _is_object(payload: bytes) -> bool:
    if payload[:1] != b"{":
        return False
    try:
        _members(payload)
    except _UNREADABLE:
        return False
    return True


def _messages(name: str) -> tuple[bytes, ...]:
    return (f'{{"type":"{name}"'.encode(), f'{{"type": "{name}"'.encode())


_RESPONSE_ENDS = ("response.completed", "response.incomplete", "response.failed")
_CHAT = Marker((b"[DONE]",), alone=True)  # as its decoder reads it

PROTOCOLS: Mapping[str, Protocol] = MappingProxyType(
    {
        "openai": Protocol(_CHAT, lambda: added_texts("chat/completions")),
        "anthropic": Protocol(
            Marker(_messages("message_stop"), frozenset((b"message_stop",))),
            lambda: added_texts("messages"),
        ),
        "responses": Protocol(
            Marker(
                tuple(begin for name in _RESPONSE_ENDS for begin in _messages(name)),
                frozenset(name.encode() for name in _RESPONSE_ENDS),
            ),
            lambda: added_texts("responses"),
        ),
        "simple": Protocol(
            Marker(_messages("done")),
            lambda: added_texts("chat/completions"),
            lines=True,
            alive=SIGNS_OF_LIFE,
        ),
        "frames": Protocol(Marker((b'{"done":true',)), _frames_texts, stamps=True),
    }
)
"""By name, what a client may be sent."""


def protocol_of_client(dialect: str, endpoint: str) -> Protocol:
    """Return what clients of `dialect` are sent on `endpoint`, named without `/v1/`."""
    return PROTOCOLS["responses" if endpoint == "responses" else dialect]


def new_stamper(stream_id: str, dialect: str, endpoint: str, proof: Proof) -> Stamper | None:
    """Return what proves a client's stream as `proof` asks, or None where that asks for nothing."""
    mode = proof.mode
    if mode is _OFF and not proof.ids:
        return None
    told = protocol_of_client(dialect, endpoint)
    style = UNCHANGED
    if mode is not _LEDGER or proof.ids or told.lines:
        # Else nothing of ours fits, or stands there already.
        written = not told.lines and not told.stamps
        style = Style(
            comments=written and mode is _COMMENT,
            fields=written and mode is _FIELD,
            ids=proof.ids and not told.lines,
            lines=told.lines,
        )
    texts = told.texts() if told.stamps or style.fields else None
    return Stamper(stream_id, told.marker, style, proof.emitted, texts)


def protocol_of(head: bytes) -> str | None:
    """Return the name of the protocol that a stream's first bytes look like; None: too few."""
    lines = [line for line in head.replace(b"\r", b"\n").split(b"\n")[:-1] if line.strip()]
    for line in lines:
        if line.startswith(b"{"):
            return "simple"
        name, _, value = line.partition(b":")
        if name == b"event" and value.strip() not in (b"error", b"streamgauge"):
            return "responses" if value.strip().startswith(b"response.") else "anthropic"
        if name == b"data":
            return _protocol_of_payload(value.strip())
    return None


def _protocol_of_payload(payload: bytes) -> str:
    begin = payload[:40].replace(b" ", b"")
    if begin.startswith(b'{"done":'):
        return "frames"
    if begin.startswith(b'{"type":"response.'):
        return "responses"
    return "anthropic" if begin.startswith(b'{"type":"') else "openai"
