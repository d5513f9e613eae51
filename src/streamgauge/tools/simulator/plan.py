"""What one answer says: its words, calls and counts, before any dialect. It knows no frame."""

from __future__ import annotations

import re
from base64 import b64encode
from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import sha256
from typing import Any

import msgspec

from streamgauge.tools.simulator.control import Control, ToolAsked
from streamgauge.tools.simulator.prompt import Prompt

__all__ = ["SIGNED", "Call", "Plan", "plan_answer", "signature_of"]

_SIGNER = b"sim-signature:"  # 14 bytes, and one of padding: its base64 is a prefix of its own
SIGNED = b64encode(_SIGNER + b" ").decode()
"""What every signature of ours begins with."""


_TOKENS = 16
_REASONING_TOKENS = 8
_WORD = re.compile(r"\s*\S+\s*$|\s*\S+|\s+")
_PIECE = re.compile(r".{1,5}", re.DOTALL)
_NOMINAL_MS = 0.5
"""Milliseconds a token is said to have taken when the answer is not paced."""
_LIMITS = ("max_completion_tokens", "max_tokens", "max_output_tokens")


@dataclass(frozen=True, slots=True)
class Call:
    """A tool call: `pieces` make up its argument JSON."""

    id: str
    name: str
    pieces: tuple[str, ...]

    @property
    def arguments(self) -> str:
        """The argument JSON as one text."""
        return "".join(self.pieces)


@dataclass(frozen=True, slots=True)
class Plan:
    """One answer. Each piece of text, reasoning or arguments is one token of one choice."""

    call: str
    model: str
    created: int
    reasoning: Sequence[str]
    text: Sequence[str]
    calls: tuple[Call, ...]
    choices: int
    cut_short: bool
    prompt: int
    cached: int
    no_usage: bool
    stated: dict[str, Any]
    ms_per_token: float
    prompt_ms: float
    redacted: str | None = None
    service_tier: str = "default"

    @property
    def signature(self) -> str:
        """The signature of the whole reasoning, for servers that sign it."""
        return signature_of("".join(self.reasoning))

    @property
    def each(self) -> int:
        """Output tokens of one choice."""
        return len(self.reasoning) + len(self.text) + sum(len(c.pieces) for c in self.calls)

    @property
    def total(self) -> int:
        """Output tokens of all choices."""
        return self.each * self.choices

    def words(self, choice: int) -> Sequence[str]:
        """Return the text pieces of `choice`; the same text, told apart by its first letter."""
        if choice == 0:
            return self.text
        return [piece.replace("w", "wxyzabcd"[choice % 8], 1) for piece in self.text]

    @property
    def finish(self) -> str:
        """The finish reason in OpenAI's words."""
        if self.cut_short:
            return "length"
        return "tool_calls" if self.calls else "stop"


def signature_of(thinking: str) -> str:
    """Return what signs `thinking`: base64, and never the same for another text."""
    return b64encode(_SIGNER + b" " + sha256(thinking.encode()).hexdigest()[:16].encode()).decode()


def plan_answer(
    control: Control, prompt: Prompt, body: dict[str, Any], *, call: str, created: int
) -> Plan:
    """Return what `control` asks for, cut at the request's token limit. `created`: seconds."""
    control = _this_turn(control, prompt)
    calls = tuple(_call(asked, call, i) for i, asked in enumerate(control.tools))
    reasoning = _reasoning(control.reasoning)
    text = _text(control, alone=not calls)
    limit = _limit(body)
    kept_text = text if limit is None else text[: max(limit - len(reasoning), 0)]
    kept_reasoning = reasoning if limit is None else reasoning[:limit]
    gap = control.gap_ms
    model = body.get("model")
    tokens = prompt.tokens
    return Plan(
        call=call,
        model=model if isinstance(model, str) and model else "sim",
        created=created,
        reasoning=kept_reasoning,
        text=kept_text,
        calls=calls,
        choices=_choices(control, body),
        cut_short=len(kept_text) < len(text) or len(kept_reasoning) < len(reasoning),
        prompt=tokens,
        cached=0 if control.cached is None else min(max(control.cached, 0), tokens),
        no_usage=control.no_usage,
        stated=control.usage if isinstance(control.usage, dict) else {},
        ms_per_token=gap if gap else _NOMINAL_MS,
        prompt_ms=control.first_ms if control.first_ms else _NOMINAL_MS * tokens,
        service_tier=_service_tier(body.get("service_tier")),
        redacted=b64encode(f"sim-redacted {call}".encode()).decode() if control.redacted else None,
    )


def _service_tier(asked: object) -> str:
    """Return the tier that the answer is served as: the one asked for, as OpenAI does when it can."""
    return asked if isinstance(asked, str) and asked != "auto" else "default"


def _this_turn(control: Control, prompt: Prompt) -> Control:
    """Return what is asked of this turn: a call that was answered is not made again."""
    received = prompt.received
    called = prompt.called or (received.answered and bool(control.tools))
    if called:
        control = msgspec.structs.replace(control, tool=None)
    asked = any(x is not None for x in (control.text, control.tokens, control.tool))
    echo = (called or received.attached) and not asked if control.echo is None else control.echo
    if not echo or not received.lines:
        return control
    return msgspec.structs.replace(control, text="\n".join(received.lines))


def _limit(body: dict[str, Any]) -> int | None:
    """Return the most tokens that the request allows, by whichever name it has in a dialect."""
    options = body.get("options")
    native = options.get("num_predict") if isinstance(options, dict) else None
    asked = (*(body.get(key) for key in _LIMITS), native)
    return next((n for n in asked if type(n) is int and n > 0), None)


def _choices(control: Control, body: dict[str, Any]) -> int:
    asked = control.n if control.n is not None else body.get("n")
    return asked if type(asked) is int and 1 <= asked <= 8 else 1


def _text(control: Control, *, alone: bool) -> Sequence[str]:
    if control.text is not None:
        return _WORD.findall(control.text)
    if control.tokens is None and not alone:
        return ()
    count = _TOKENS if control.tokens is None else max(control.tokens, 0)
    return tuple(f"w{k}" if k == 0 else f" w{k}" for k in range(count))


def _reasoning(asked: bool | int | str | None) -> Sequence[str]:
    if isinstance(asked, str):
        return _WORD.findall(asked)
    if asked is None or asked is False:
        return ()
    count = _REASONING_TOKENS if asked is True else max(asked, 0)
    return tuple(f"r{k}" if k == 0 else f" r{k}" for k in range(count))


def _call(asked: ToolAsked, call: str, index: int) -> Call:
    arguments = asked.arguments
    text = arguments if isinstance(arguments, str) else msgspec.json.encode(arguments).decode()
    return Call(f"call_{call}_{index}", asked.name, tuple(_PIECE.findall(text)))
