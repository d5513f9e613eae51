"""Tells reasoning from text where a model writes both in one, in `<think>` tags. It knows no wire."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

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

__all__ = ["ThinkEvents", "ThinkTags"]

_OPEN, _CLOSE = "<think>", "</think>"


class ThinkTags:
    """One text in pieces. A tag opens only where a line begins: in a sentence it is a word.

    No character but the tags is lost, and what it says does not depend on how the text was cut.
    """

    __slots__ = ("_held", "_inside", "_line")

    def __init__(self) -> None:
        self._inside = False
        self._held = ""  # what may be a tag
        self._line = ""  # blanks since the line began, or a sign that it goes on

    @property
    def waiting(self) -> bool:
        """Whether some of the text has not left yet."""
        return bool(self._held)

    def feed(self, text: str) -> list[tuple[bool, str]]:
        """Return the pieces that are certain now: whether each is reasoning, and its text."""
        told: list[tuple[bool, str]] = []
        rest, start = self._held + text, 0
        self._held = ""
        while start < len(rest):
            tag = _CLOSE if self._inside else _OPEN
            at = self._tag_at(rest, tag, start)
            self._tell(rest[start:at], told)
            if not rest.startswith(tag, at):
                self._held = rest[at:]
                break
            self._inside = not self._inside
            self._line = ""
            start = at + len(tag)
        return told

    def end(self) -> list[tuple[bool, str]]:
        """Return what was held: it was no tag."""
        told: list[tuple[bool, str]] = []
        held, self._held = self._held, ""
        self._tell(held, told)
        return told

    def _tag_at(self, text: str, tag: str, start: int) -> int:
        """Return where `tag` begins, or a part of it at the end; the text's length for nowhere."""
        at = text.find("<", start)
        while at >= 0:
            candidate = text[at : at + len(tag)]
            if tag.startswith(candidate) and (self._inside or self._begins_line(text, start, at)):
                return at
            at = text.find("<", at + 1)
        return len(text)

    def _begins_line(self, text: str, start: int, at: int) -> bool:
        """Return whether only blanks stand between the line's beginning and `at`."""
        while at > start and text[at - 1] in " \t":
            at -= 1
        return text[at - 1] == "\n" if at > start else not self._line

    def _tell(self, text: str, told: list[tuple[bool, str]]) -> None:
        if not text:
            return
        told.append((self._inside, text))
        line = text.rpartition("\n")[2]
        if "\n" not in text:
            line = self._line + line
        self._line = "" if not line.strip(" \t") else "x"


_FOLLOWS = (
    ReasoningDelta,
    ThoughtSigned,
    ThoughtRedacted,
    ToolCallStarted,
    ToolCallDelta,
    Finished,
)
"""Events before which a text has ended."""


class ThinkEvents:
    """The events of one answer, each choice's text told apart."""

    __slots__ = ("_tags",)

    def __init__(self) -> None:
        self._tags: dict[int, ThinkTags] = {}

    def feed(self, events: Sequence[Event]) -> Sequence[Event]:
        """Return the events that are certain now."""
        return [told for event in events for told in self._told(event)]

    def _told(self, event: Event) -> Iterator[Event]:
        if isinstance(event, TextDelta) and not event.refusal:
            tags = self._tags.setdefault(event.choice, ThinkTags())
            yield from _events(tags.feed(event.text), event.choice)
            return
        if isinstance(event, _FOLLOWS) and (tags_before := self._tags.get(event.choice)):
            yield from _events(tags_before.end(), event.choice)
        yield event

    def end(self) -> Sequence[Event]:
        """Return what was held."""
        return [told for choice, tags in self._tags.items() for told in _events(tags.end(), choice)]


def _events(pieces: list[tuple[bool, str]], choice: int) -> Iterator[Event]:
    for reasoning, text in pieces:
        yield ReasoningDelta(text, choice) if reasoning else TextDelta(text, choice)
