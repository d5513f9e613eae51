"""Answers by a seed, as real servers word them, and the requests that ask for them. No socket here."""

from __future__ import annotations

import random
from dataclasses import dataclass
from typing import Any

from streamgauge.tools.simulator.anthropic import MessageAnswer
from streamgauge.tools.simulator.control import Control, ToolAsked
from streamgauge.tools.simulator.flavours import Flavour, error_frame
from streamgauge.tools.simulator.openai import ChatAnswer
from streamgauge.tools.simulator.plan import plan_answer
from streamgauge.tools.simulator.prompt import read_prompt
from streamgauge.tools.simulator.script import Frame, Kind

__all__ = ["Wire", "wire_of"]

_SPOKEN = {
    "openai": (Flavour.LLAMACPP, Flavour.OPENAI, Flavour.VLLM, Flavour.OPENROUTER),
    "anthropic": (Flavour.LLAMACPP, Flavour.ANTHROPIC),
}
_PATHS = {"openai": "/v1/chat/completions", "anthropic": "/v1/messages"}


@dataclass(frozen=True, slots=True)
class Wire:
    """One answer. `frames`: all of them, the end marker last. `body`: the same answer, no stream."""

    dialect: str
    flavour: Flavour
    frames: tuple[Frame, ...]
    whole: bytes
    prompt: int
    tokens: int

    @property
    def path(self) -> str:
        """Where a client asks for it."""
        return _PATHS[self.dialect]

    @property
    def anthropic(self) -> bool:
        """Whether it is Anthropic's dialect."""
        return self.dialect == "anthropic"

    def request(self, *, stream: bool = True) -> dict[str, Any]:
        """Return a request that asks for usage too, so that every frame is the client's."""
        body: dict[str, Any] = {
            "model": "sim",
            "stream": stream,
            "messages": [{"role": "user", "content": "hi"}],
        }
        if self.anthropic:
            return body | {"max_tokens": 9000}
        return body | ({"stream_options": {"include_usage": True}} if stream else {})

    def data(self, *, until: Kind | None = None) -> list[bytes]:
        """Return the frames' bytes, up to the first of a kind and without it."""
        found = []
        for frame in self.frames:
            if frame.kind is until:
                break
            found.append(frame.data)
        return found

    @property
    def contents(self) -> list[int]:
        """Where the frames of content stand."""
        return [at for at, frame in enumerate(self.frames) if frame.kind is Kind.CONTENT]

    def failure(self, message: str = "Simulated failure.") -> bytes:
        """Return the error frame of this server."""
        return error_frame(self.flavour, message, anthropic=self.anthropic)


def wire_of(dice: random.Random, dialect: str | None = None, *, plain: bool = False) -> Wire:
    """Return an answer by the dice: text, reasoning and tools of any size; `plain`: text only."""
    spoken = dialect or dice.choice(("openai", "anthropic"))
    flavour = dice.choice(_SPOKEN[spoken])
    tokens = dice.randint(2, 30)
    control = Control(
        tokens=tokens,
        reasoning=None if plain or dice.random() < 0.6 else dice.randint(1, 6),
        tool=None
        if plain or dice.random() < 0.7
        else ToolAsked("look", {"at": "x" * dice.randint(1, 40)}),
    )
    said = [{"role": "user", "content": "word " * dice.randint(1, 500)}]
    asked: dict[str, Any] = {"model": "sim", "stream_options": {"include_usage": True}}
    prompt = read_prompt({"messages": said})
    plan = plan_answer(control, prompt, asked, call="sim000001", created=1_769_000_000)
    answer = (
        ChatAnswer(flavour, plan, asked) if spoken == "openai" else MessageAnswer(flavour, plan)
    )
    whole, _ = answer.body()
    return Wire(spoken, flavour, tuple(answer.frames()), whole, plan.prompt, plan.total)
