"""What routing is told of a request, and of the upstreams it may go to. Knows no rule and no socket."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from fnmatch import translate
from typing import Any

from streamgauge.core.chat import UpstreamDialect

__all__ = ["NO_GLOBS", "Asked", "Candidate", "Globs"]

_SPEAK: Mapping[str, frozenset[str]] = {
    "anthropic": frozenset({"anthropic"}),
    "llamacpp": frozenset({"openai"}),
    "ollama": frozenset({"openai"}),
    "openai": frozenset({"openai"}),
    "openrouter": frozenset({"openai"}),
    "sim": frozenset({"anthropic", "openai"}),
    "vllm": frozenset({"openai"}),
}
"""The dialects in which a kind is spoken to as they are."""
_SPEAK_BOTH = frozenset({"llamacpp", "ollama", "vllm"})
"""Kinds that have Anthropic's endpoint too, where `messages_api: native` asks for it."""
_OWN: Mapping[str, UpstreamDialect] = {"anthropic": "anthropic", "ollama": "ollama"}
"""What a kind is spoken to in when a request is translated; OpenAI's where it is not named."""
_TRANSLATED = frozenset({"chat/completions", "messages"})


class Globs:
    """Patterns with `*`, `?` and `[…]`, compiled once. They are matched whole and in their case."""

    __slots__ = ("_fit", "patterns")

    def __init__(self, patterns: tuple[str, ...]) -> None:
        self.patterns = patterns
        self._fit = re.compile("|".join(map(translate, patterns))).match if patterns else None

    def __repr__(self) -> str:
        return f"Globs({self.patterns!r})"

    def __bool__(self) -> bool:
        return bool(self.patterns)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Globs) and self.patterns == other.patterns

    def __hash__(self) -> int:
        return hash(self.patterns)

    def fit(self, text: str | None) -> bool:
        """Return whether one of the patterns fits; no text, and no pattern, never do."""
        return text is not None and self._fit is not None and self._fit(text) is not None


NO_GLOBS = Globs(())
"""Where nothing is stated."""


def _no_header(name: bytes) -> str | None:
    return None


def _no_estimate() -> int | None:
    return None


@dataclass(frozen=True, slots=True)
class Asked:
    """What routing looks at of a request. `endpoint` without `/v1/`.

    `as_is`: an upstream of its dialect can read it. `key`: the label of the caller's key.
    `size`: of the body, in bytes. `fields` are its members. `header` gives a header by its
    lower-case name, and `estimate` the input tokens, guessed: neither is asked without need.
    """

    dialect: str
    endpoint: str
    model: str | None
    as_is: bool = True
    key: str | None = None
    session_id: str | None = None
    size: int = 0
    fields: Mapping[str, Any] = field(default_factory=dict, repr=False, compare=False)
    header: Callable[[bytes], str | None] = field(default=_no_header, repr=False, compare=False)
    estimate: Callable[[], int | None] = field(default=_no_estimate, repr=False, compare=False)


@dataclass(frozen=True, slots=True)
class Candidate:
    """An upstream as routing sees it. `models`: globs; empty serves any name.

    `native_messages`: Anthropic's clients reach it through its own messages endpoint. `name_there`:
    what it calls a model, where that is not what it was asked for.
    """

    name: str
    kind: str
    models: tuple[str, ...] = ()
    native_messages: bool = False
    name_there: Callable[[str], str] | None = field(default=None, repr=False, compare=False)
    _globs: Globs = field(init=False, repr=False, compare=False)
    _spoken: frozenset[str] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        spoken = _SPEAK.get(self.kind, frozenset())
        if self.native_messages and self.kind in _SPEAK_BOTH:
            spoken |= {"anthropic"}
        object.__setattr__(self, "_globs", Globs(self.models))
        object.__setattr__(self, "_spoken", spoken)

    def speaks(self, dialect: str) -> bool:
        """Return whether a request of `dialect` can go there as it is."""
        return dialect in self._spoken

    def reached(self, asked: Asked) -> bool:
        """Return whether a request can go there at all, as it is or translated."""
        return self.speaks(asked.dialect) or asked.endpoint in _TRANSLATED

    def translation(self, asked: Asked) -> UpstreamDialect | None:
        """Return the dialect to translate to; None where the request goes as it is."""
        return None if asked.as_is and self.speaks(asked.dialect) else _OWN.get(self.kind, "openai")

    def model_there(self, model: str | None) -> str | None:
        """Return a model's name as it is there (SPEC §14.6): by it there are price, ratio and row."""
        rename = self.name_there
        return model if rename is None or model is None else rename(model)

    def serves(self, model: str | None) -> bool:
        """Return whether one of the globs fits; without globs, False."""
        return self._globs.fit(model)
