"""The rules for one choice of an OpenAI chat stream: role, deltas, finish. It knows no other choice."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from streamgauge.core.grammar.finding import Rule, Sheet, error, oddity
from streamgauge.core.grammar.openai_calls import CALL_RULES, Calls
from streamgauge.core.grammar.values import is_text, named, shown, text_or_none

__all__ = ["CHOICE_RULES", "Choice"]

CHOICE_RULES: Mapping[str, Rule] = {
    **CALL_RULES,
    "delta_missing": oddity("a choice has a `delta`"),
    "delta_type": error(
        "`delta` is an object; `content`, `refusal` and reasoning are text or null"
    ),
    "logprobs_type": error("`logprobs` is an object or null"),
    "role_missing": error("`role` comes before the first content of a choice"),
    "role_repeated": oddity("`role` comes once in a choice"),
    "role_unknown": error("`role` is `assistant`"),
    "finish_type": error("`finish_reason` is text or null"),
    "finish_empty": oddity("`finish_reason` is not empty"),
    "finish_unknown": oddity("`finish_reason` is one that OpenAI names"),
    "finish_missing": error("every choice has a finish reason before the end marker"),
    "finish_repeated": oddity("a finish reason comes once in a choice"),
    "finish_changed": error("a choice has one finish reason"),
    "finish_without_call": oddity("a choice that finishes with `tool_calls` has a call"),
    "empty_delta_after_finish": oddity("no delta of a choice follows its finish reason"),
    "content_after_finish": error("no content of a choice follows its finish reason"),
}
_TEXTS = ("content", "refusal", "reasoning_content", "reasoning")
_FINISHES = frozenset(("stop", "length", "tool_calls", "content_filter", "function_call"))


class Choice:
    """One choice, as far as it has come. `finish`: its finish reason once it came."""

    __slots__ = ("_calls", "_has_role", "_index", "_sheet", "finish")

    def __init__(self, index: int, sheet: Sheet) -> None:
        self._index = index
        self._sheet = sheet
        self._calls = Calls(index, sheet)
        self._has_role = False
        self.finish: str | None = None

    def _note(self, rule: str, text: str) -> None:
        self._sheet.note(rule, f"choice {self._index}: {text}")

    def read(self, choice: Mapping[str, Any]) -> None:
        """Read what one chunk says of this choice."""
        finish = self._finish_of(choice)
        delta = choice.get("delta")
        if "delta" not in choice:
            self._note("delta_missing", f"there is no delta, but {', '.join(sorted(choice))}")
        elif not isinstance(delta, dict):
            self._note("delta_type", f"delta is {named(delta)}")
        else:
            self._delta(delta)
        if not isinstance(choice.get("logprobs"), dict | None):
            self._note("logprobs_type", f"logprobs is {named(choice['logprobs'])}")
        if finish:
            self._finished(finish)

    def _delta(self, delta: Mapping[str, Any]) -> None:
        self._role(delta.get("role"))
        content = bool(delta.get("tool_calls"))
        for key in _TEXTS:
            value = delta.get(key)
            if not text_or_none(value):
                self._note("delta_type", f"delta.{key} is {named(value)}")
            content = content or is_text(value)
        if content and not self._has_role:
            self._has_role = True
            self._note("role_missing", "content comes before any role")
        if self.finish is not None:
            if content:
                self._note("content_after_finish", f"content follows {shown(self.finish)}")
            else:
                self._note("empty_delta_after_finish", "an empty delta follows the finish reason")
        self._calls.read(delta.get("tool_calls"))

    def _role(self, role: object) -> None:
        if role is None:
            return
        if role not in ("assistant", ""):
            self._note("role_unknown", f"role is {shown(role)}")
        elif self._has_role:
            self._note("role_repeated", "role comes again")
        self._has_role = True

    def _finish_of(self, choice: Mapping[str, Any]) -> str:
        finish = choice.get("finish_reason")
        if finish is None:
            return ""
        if not isinstance(finish, str):
            self._note("finish_type", f"finish_reason is {named(finish)}")
            return ""
        if not finish:
            self._note("finish_empty", "finish_reason is an empty text")
        elif finish not in _FINISHES:
            self._note("finish_unknown", f"finish_reason is {shown(finish)}")
        return finish

    def _finished(self, finish: str) -> None:
        if self.finish is None:
            self.finish = finish
            self._calls.finished(finish)
        elif finish == self.finish:
            self._note("finish_repeated", f"finish_reason {shown(finish)} comes again")
        else:
            self._note("finish_changed", f"{shown(finish)} comes after {shown(self.finish)}")
