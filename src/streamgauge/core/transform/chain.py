"""The transformers of one upstream, put together once and never changed (SPEC §14.6)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from streamgauge.core.conversation import Conversation
from streamgauge.core.transform.body import (
    BodyTransformer,
    Form,
    Members,
    PromptTransformer,
    changed_body,
)

__all__ = ["NO_TRANSFORMERS", "Chain", "OutputBound", "TextTransform"]


class OutputBound(BodyTransformer, Protocol):
    """Bounds how long an answer may become."""

    def bound(self, stated: int | None) -> int | None:
        """Return how many tokens are asked for, None for any number."""


class TextTransform(Protocol):
    """Changes the visible text on its way out, and may hold some of it back."""

    def feed(self, text: str) -> str:
        """Return what `text` completes."""

    def end(self) -> str:
        """Return what was held back; what comes after is a text of its own."""


@dataclass(frozen=True, slots=True)
class Chain:
    """What is done to requests and answers of one upstream.

    `prompt` works on conversations that are translated, `written` on the bodies made of them,
    `body` on requests that pass as they are. `model` gives a model's name there. `think_tags` and
    `tool_call_repair` work on answers; `text` makes what changes the text for `frames` clients.
    `output`: the step that bounds the length of answers.
    """

    prompt: tuple[PromptTransformer, ...] = ()
    written: tuple[BodyTransformer, ...] = ()
    body: tuple[BodyTransformer, ...] = ()
    model: Callable[[str], str] | None = None
    think_tags: bool = False
    tool_call_repair: bool = False
    text: Callable[[], TextTransform] | None = None
    output: OutputBound | None = None

    @property
    def reads_answers(self) -> bool:
        """Whether answers are changed, whoever asked."""
        return self.think_tags or self.tool_call_repair

    def conversation(self, conversation: Conversation) -> Conversation:
        """Return the conversation that is to be written."""
        for step in self.prompt:
            conversation = step.converse(conversation)
        return conversation

    def body_written(self, raw: bytes, form: Form) -> bytes:
        """Return the body of a translated request as it goes upstream."""
        return changed_body(raw, self.written, form) if self.written else raw

    def body_as_is(
        self, raw: bytes, form: Form, body: Members, also: tuple[BodyTransformer, ...] = ()
    ) -> bytes:
        """Return the body of a request of the upstream's dialect as it goes there.

        `body`: what the client sent, read. `also`: what is done behind the chain.
        """
        steps = self.body + also
        return changed_body(raw, steps, form, body) if steps else raw


NO_TRANSFORMERS = Chain()
