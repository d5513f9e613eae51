"""What a client of a soak may get, byte for byte, and what it did get less what the gateway added.

Two fields differ between answers of one script, the upstream's id and its second of creation: both
sides are brought to one form.
"""

from __future__ import annotations

import json
import re

from streamgauge.tools.simulator.anthropic import PING, MessageAnswer
from streamgauge.tools.simulator.faults import Setting, faulty
from streamgauge.tools.simulator.flavours import Flavour
from streamgauge.tools.simulator.openai import ChatAnswer
from streamgauge.tools.simulator.plan import plan_answer
from streamgauge.tools.simulator.prompt import read_prompt
from streamgauge.tools.simulator.script import Frame, Kind

from .calls import MODEL, Call

__all__ = ["Delivered", "dechunked", "emitted"]

_NUMBER = re.compile(rb"sim\d{6,}")
_CREATED = re.compile(rb'"created":\d+')
_OURS = re.compile(
    rb"^(?:: (?:keep-alive|streamgauge resumed|streamgauge(?:-frame)? \{.*\})|id: [\w-]+:\d+)\n",
    re.MULTILINE,
)
_OUR_FRAME = re.compile(rb"(?:^event: ping\n)?^data: \{.*\"streamgauge\":.*\}\n\n", re.MULTILINE)
_META = re.compile(rb'^(?:: streamgauge |data: .*?"streamgauge":)(\{.*?\})\}?\n', re.MULTILINE)
_SIM_ID = b"sim000000"
_MANY = 10_000
"""More pings than come until the first token is given up."""


class Delivered:
    """What the client got of one body: its end, what was added, and the rest in its one form."""

    __slots__ = ("bare", "code", "ending", "frames", "metadata")

    def __init__(self, body: bytes, stream: bool) -> None:
        self.metadata: bytes | None = None
        self.code: str | None = None
        self.frames = 0
        if not stream:
            self.bare, self.ending = _one_form(body), "answer"
            return
        if (found := _META.search(body)) is not None:
            self.metadata = found[1]
        bare = _OURS.sub(b"", body)
        if b'"streamgauge":' in bare:
            bare = _OUR_FRAME.sub(b"", bare)
        self.frames = body.count(b"\ndata:") + body.startswith(b"data:")
        self.ending = _ending_of(bare)
        if self.ending == "error":
            head, _, last = bare.rstrip(b"\n").rpartition(b"\n\n")
            self.code = _code_of(last)
            bare = head + b"\n\n" if head else b""
        self.bare = _one_form(bare)


def _ending_of(bare: bytes) -> str:
    last = bare.rstrip(b"\n").rpartition(b"\n\n")[2]
    if last.endswith(b"data: [DONE]") or last.startswith(b"event: message_stop"):
        return "marker"
    return "error" if b'"error"' in last else "open"


def _code_of(frame: bytes) -> str | None:
    data = frame.rpartition(b"data: ")[2]
    error = json.loads(data).get("error")
    code = error.get("code") if isinstance(error, dict) else None
    return None if code is None else str(code)


def _one_form(bare: bytes) -> bytes:
    found = _NUMBER.search(bare)
    if found is not None:
        bare = bare.replace(found[0], _SIM_ID)
    created = _CREATED.search(bare)
    return bare if created is None else bare.replace(created[0], b'"created":0')


def dechunked(raw: bytes) -> tuple[bytes, bool]:
    """Return the body in chunked `raw`, as far as it goes, and whether its last chunk is there."""
    pieces, at = [], 0
    while (line := raw.find(b"\r\n", at)) >= 0:
        size = int(raw[at:line], 16)
        if not size:
            return b"".join(pieces), raw[line : line + 4] == b"\r\n\r\n"
        pieces.append(raw[line + 2 : line + 2 + size])
        at = line + 4 + size
    return b"".join(pieces), False


def emitted(call: Call) -> bytes:
    """Return what the client of `call` may get of the answer, in its one form: a prefix of this.

    It is what the simulator's own code makes, less what SPEC §4.1 removes.
    """
    body = call.body() | {"model": MODEL}
    asks = call.dialect == "openai" and call.stream
    if asks:
        body["stream_options"] = {"include_usage": True}  # the client's wish, or the gateway's
    prompt = read_prompt(body)
    plan = plan_answer(prompt.control, prompt, body, call=_SIM_ID.decode(), created=0)
    flavour = Flavour.parse(call.flavour)
    answer = (
        ChatAnswer(flavour, plan, body)
        if call.dialect == "openai"
        else MessageAnswer(flavour, plan)
    )
    if not call.stream:
        return answer.body()[0]
    if call.fault == "ping_only":
        named = call.dialect == "anthropic" and flavour is not Flavour.LLAMACPP
        return (PING.data if named else b":\n\n") * _MANY
    # The error frame is the last thing that the client gets, and is looked at for itself.
    setting = Setting(after=call.after, error=b"", ping=Frame(b"", Kind.PING), gap=0.0)
    pieces = []
    for frame in faulty(call.fault, answer.frames(), setting):
        if not isinstance(frame, Frame):
            break
        if frame.kind is Kind.USAGE and asks and not call.asks_usage:
            continue
        pieces.append(frame.data)
        if frame.kind is Kind.MARK:
            break
    return b"".join(pieces)
