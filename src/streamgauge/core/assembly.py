"""Puts the events of one answer together into the message they tell of. It knows no dialect.

The blocks are the neutral parts of a conversation, in the order in which they were begun.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

from streamgauge.core.conversation import RedactedThought, Refusal, Text, Thought, ToolUse
from streamgauge.core.events import (
    Event,
    Finished,
    ReasoningDelta,
    TextDelta,
    ThoughtRedacted,
    ThoughtSigned,
    ToolCallDelta,
    ToolCallStarted,
)

__all__ = ["AssembledMessage", "Assembly", "Block"]

Block = Text | Refusal | Thought | RedactedThought | ToolUse


@dataclass(frozen=True, slots=True)
class AssembledMessage:
    """One choice of an answer. A call without an id has an empty one, one without arguments `{}`.

    `finishes`: every finish reason of the choice, in order. `others`: the answer's further choices.
    """

    blocks: tuple[Block, ...]
    finishes: tuple[Finished, ...] = ()
    choice: int = 0
    others: tuple[AssembledMessage, ...] = ()

    @property
    def finish(self) -> str | None:
        """The first finish reason as sent, None where there was none."""
        return self.finishes[0].reason if self.finishes else None

    @property
    def stop_sequence(self) -> str | None:
        """The text that stopped the answer, where it was told."""
        return self.finishes[0].stop_sequence if self.finishes else None

    @property
    def refusal(self) -> bool:
        """Whether the model said instead of an answer that it gives none."""
        return any(isinstance(block, Refusal) for block in self.blocks)


class _Draft:
    """A block in the making: `kind` is its class, `pieces` its text as it came."""

    __slots__ = ("id", "kind", "name", "pieces", "served", "signature")

    def __init__(self, kind: type[Block], piece: str = "") -> None:
        self.kind = kind
        self.pieces = [piece] if piece else []
        self.id: str | None = None
        self.name = ""
        self.served = False
        self.signature: str | None = None

    def block(self, names: Mapping[str, str]) -> Block:
        text = "".join(self.pieces)
        if self.kind is ToolUse:
            return ToolUse(self.id or "", names.get(self.name, self.name), text or "{}")
        if self.kind is Thought:
            return Thought(text, self.signature)
        if self.kind is RedactedThought:
            return RedactedThought(text)
        return Refusal(text) if self.kind is Refusal else Text(text)


class _Choice:
    """What came of one choice. A call stands where it was named, a nameless one at the end."""

    __slots__ = ("calls", "drafts", "finishes", "signature")

    def __init__(self) -> None:
        self.calls: dict[int, _Draft] = {}
        self.drafts: list[_Draft] = []
        self.finishes: list[Finished] = []
        self.signature: str | None = None

    def say(self, kind: type[Block], text: str) -> None:
        """Add text to the last block, or as a new one where that is of another kind."""
        if not text:
            return
        last = self.drafts[-1] if self.drafts else None
        if last is not None and last.kind is kind and last.signature is None:
            last.pieces.append(text)
        else:
            self.drafts.append(_Draft(kind, text))

    def sign(self, signature: str) -> None:
        """Sign the thought before, or an empty one; some servers repeat a signature."""
        if signature == self.signature:
            return
        self.signature = signature
        last = self.drafts[-1] if self.drafts else None
        if last is None or last.kind is not Thought or last.signature is not None:
            last = _Draft(Thought)
            self.drafts.append(last)
        last.signature = signature

    def name(self, event: ToolCallStarted) -> None:
        call = self.calls.setdefault(event.index, _Draft(ToolUse))
        call.served = call.served or event.served
        if event.name and not call.name and not call.served:
            self.drafts.append(call)
        call.id = call.id or event.id
        call.name += event.name or ""

    def message(
        self, choice: int, others: tuple[AssembledMessage, ...], names: Mapping[str, str]
    ) -> AssembledMessage:
        nameless = [call for call in self.calls.values() if not (call.name or call.served)]
        blocks = tuple(draft.block(names) for draft in (*self.drafts, *nameless))
        return AssembledMessage(blocks, tuple(self.finishes), choice, others)


class Assembly:
    """One answer coming together. Events may come one by one or many at a time.

    `names`: the client's names of tools that the upstream knows by others.
    """

    __slots__ = ("_choices", "_names")

    def __init__(self, names: Mapping[str, str] | None = None) -> None:
        self._names = names or {}
        self._choices: dict[int, _Choice] = {}

    def add(self, events: Iterable[Event]) -> None:
        """Take in what a frame or a whole answer says; events that are no content change nothing."""
        for event in events:
            self._add(event)

    def _add(self, event: Event) -> None:
        match event:
            case TextDelta():
                self._at(event.choice).say(Refusal if event.refusal else Text, event.text)
            case ReasoningDelta():
                self._at(event.choice).say(Thought, event.text)
            case ToolCallDelta():
                calls = self._at(event.choice).calls
                calls.setdefault(event.index, _Draft(ToolUse)).pieces.append(event.arguments)
            case ToolCallStarted():
                self._at(event.choice).name(event)
            case ThoughtSigned():
                self._at(event.choice).sign(event.signature)
            case ThoughtRedacted():
                redacted = _Draft(RedactedThought, event.data)
                self._at(event.choice).drafts.append(redacted)
            case Finished():
                self._at(event.choice).finishes.append(event)
            case _:
                pass  # the meter's, and the exchange's

    def _at(self, choice: int) -> _Choice:
        found = self._choices.get(choice)
        if found is None:
            found = self._choices[choice] = _Choice()
        return found

    @property
    def message(self) -> AssembledMessage:
        """The answer so far: choice 0, or the lowest there is, with the others behind it."""
        numbers = sorted(self._choices)
        if not numbers:
            return AssembledMessage(())
        others = tuple(self._others(numbers[1:]))
        return self._choices[numbers[0]].message(numbers[0], others, self._names)

    def _others(self, numbers: list[int]) -> Iterator[AssembledMessage]:
        return (self._choices[number].message(number, (), self._names) for number in numbers)
