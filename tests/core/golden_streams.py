"""Whole upstream streams to cut: captures of a real server, the simulator's, and rare ones by hand."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import takewhile
from pathlib import Path
from typing import Any

from streamgauge.core.chat import UpstreamDialect
from streamgauge.tools.simulator.anthropic import MessageAnswer
from streamgauge.tools.simulator.control import Control, ToolAsked
from streamgauge.tools.simulator.flavours import Flavour, error_frame
from streamgauge.tools.simulator.ollama import NativeAnswer, error_line
from streamgauge.tools.simulator.openai import ChatAnswer
from streamgauge.tools.simulator.plan import Plan, plan_answer
from streamgauge.tools.simulator.prompt import read_prompt
from streamgauge.tools.simulator.script import Frame, Kind

from .playbook import DONE, FINISH, ROLE, USAGE, chunk, text
from .upstream_wires import UPSTREAMS, event, line

__all__ = ["GOLDENS", "Golden"]

CAPTURES = Path(__file__).parents[1] / "data" / "captures"
SAID = "Hé, 日本 😀 👩‍🚀!"
"""Of one, two, three and four bytes a character, and two that are joined to one sign."""
_ASKED = {"model": "m", "stream": True, "stream_options": {"include_usage": True}}


@dataclass(frozen=True)
class Golden:
    """A stream in the dialect of an upstream. `replaced`: U+FFFD that its client must see."""

    upstream: UpstreamDialect
    body: bytes
    replaced: int = 0


def _captures() -> dict[str, Golden]:
    found: dict[str, Golden] = {}
    for path in sorted(CAPTURES.glob("chat_stream_*.body")):
        found[path.stem] = Golden("openai", path.read_bytes())
    for path in sorted(CAPTURES.glob("messages_stream*.body")):
        found[path.stem] = Golden("anthropic", path.read_bytes())
    return found


def _plan(**asked: Any) -> Plan:
    prompt = read_prompt({"prompt": "hi"})
    return plan_answer(Control(**asked), prompt, _ASKED, call="sim1", created=1_700_000_000)


def _frames(flavour: Flavour, plan: Plan) -> list[Frame]:
    if flavour is Flavour.ANTHROPIC:
        return list(MessageAnswer(flavour, plan).frames())
    if flavour is Flavour.OLLAMA:
        return list(NativeAnswer(plan).frames())
    return list(ChatAnswer(flavour, plan, _ASKED).frames())


def _simulated(flavour: Flavour, **asked: Any) -> bytes:
    return b"".join(frame.data for frame in _frames(flavour, _plan(**asked)))


def _failing(flavour: Flavour) -> bytes:
    frames = _frames(flavour, _plan(text=SAID, reasoning="hm"))
    begun = takewhile(lambda frame: frame.kind not in (Kind.FINISH, Kind.MARK), frames)
    anthropic = flavour is Flavour.ANTHROPIC
    error = error_frame(flavour, "bröke 😀", anthropic=anthropic)
    if flavour is Flavour.OLLAMA:
        error = error_line("bröke 😀")
    return b"".join(frame.data for frame in list(begun)[:-2]) + error


_CALLS = [ToolAsked("ls", {"a": "é😀"}), ToolAsked("pwd", {})]
_DIALECTS: Mapping[Flavour, UpstreamDialect] = {
    Flavour.LLAMACPP: "openai",
    Flavour.VLLM: "openai",
    Flavour.OPENAI: "openai",
    Flavour.OPENROUTER: "openai",
    Flavour.ANTHROPIC: "anthropic",
    Flavour.OLLAMA: "ollama",
}


def _simulations() -> dict[str, Golden]:
    found: dict[str, Golden] = {}
    for flavour, dialect in _DIALECTS.items():
        told = {
            "text": _simulated(flavour, text=SAID),
            "thought and calls": _simulated(flavour, text="é", reasoning="h😀", tool=_CALLS),
            "failing": _failing(flavour),
        }
        found |= {f"{flavour} {name}": Golden(dialect, body) for name, body in told.items()}
    return found


def _delta(**delta: Any) -> bytes:
    return chunk(choices=[{"index": 0, "delta": delta}])


def _call(index: int | None, id: str | None = None, **function: str) -> dict[str, Any]:
    head = {} if index is None else {"index": index}
    return head | ({"id": id} if id else {}) | {"function": function}


_PIECES = (
    _delta(tool_calls=[_call(0, "x", name="l")]),
    _delta(tool_calls=[_call(0, name="s", arguments='{"a"')]),
    _delta(tool_calls=[_call(1, "y", name="pwd", arguments="{}")]),
    _delta(content="é", tool_calls=[_call(0, arguments=":1}")]),
)
_STOP = chunk(choices=[{"index": 0, "delta": {}, "finish_reason": "tool_calls"}])
_ENDED = (FINISH, USAGE, DONE)
_BY_HAND: Mapping[str, Golden] = {
    "interleaved calls, a name in pieces": Golden(
        "openai", b"".join((ROLE, *_PIECES, _STOP, USAGE, DONE))
    ),
    "lines that end with CR LF, and a mark of byte order": Golden(
        "openai", b"\xef\xbb\xbf" + b"".join((ROLE, text(SAID), *_ENDED)).replace(b"\n", b"\r\n")
    ),
    "lines that end with CR": Golden(
        "openai", b"".join((ROLE, text("a"), text(SAID), *_ENDED)).replace(b"\n", b"\r")
    ),
    "data in several lines, comments, an id": Golden(
        "openai",
        b"id: 7\n"
        + ROLE
        + b": ping\n\n: hi\n"
        + text(SAID).replace(b', "model"', b',\ndata:"model"')
        + b"".join(_ENDED),
    ),
    "what is no UTF-8, and half a pair": Golden(
        "openai",
        b"".join((ROLE, text("a?c").replace(b"?", b"\xff"), text("\ud83d"), text("\ufffd"), *_ENDED)),
        replaced=3,
    ),
    "an error behind content in one frame": Golden(
        "openai",
        ROLE
        + chunk(choices=[{"index": 0, "delta": {"content": SAID}, "finish_reason": "error"}]),
    ),
    "a finish and no marker": Golden("openai", ROLE + text(SAID) + FINISH),
    "two choices": Golden(
        "openai",
        b"".join(
            (
                ROLE,
                text("a"),
                chunk(choices=[{"index": 1, "delta": {"content": SAID}}]),
                chunk(choices=[{"index": 1, "delta": {}, "finish_reason": "length"}]),
                *_ENDED,
            )
        ),
    ),
    "nothing but a marker": Golden("openai", DONE),
    "pings between thinking, text and a call": Golden(
        "anthropic",
        b"".join(
            (
                UPSTREAMS["anthropic"].start,
                *(frame for each in UPSTREAMS["anthropic"].thought for frame in (each, event("ping"))),
                event("content_block_start", index=1, content_block={"type": "text", "text": ""}),
                event("content_block_delta", index=1, delta={"type": "text_delta", "text": SAID}),
                event("content_block_stop", index=1),
                *UPSTREAMS["anthropic"].stream("call")[1:],
            )
        ),
    ),
    "lines with blanks between, and CR LF": Golden(
        "ollama",
        b"\n"
        + line(message={"role": "assistant", "content": SAID}).replace(b"\n", b"\r\n\r\n")
        + b"".join(UPSTREAMS["ollama"].stream("call")),
    ),
    "an error with nothing before it": Golden("ollama", error_line("no 😀")),
}  # fmt: skip
GOLDENS: Mapping[str, Golden] = _captures() | _simulations() | _BY_HAND
