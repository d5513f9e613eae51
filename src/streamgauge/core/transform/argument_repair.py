"""Repairs the arguments of one tool call as they come, piece by piece. It knows no dialect.

Two faults of models are repaired (SPEC §14.6): a key that is no proper JSON key (without quotes,
with too many, with marks of a template around it, or followed by nothing) and a member that is
said twice with one value. Text that has no such fault leaves as it came.
"""

from __future__ import annotations

import io
import re
from collections.abc import Callable
from typing import assert_never

from streamgauge.core.tool_arguments import KEPT_CHARACTERS
from streamgauge.core.transform.argument_keys import Key, NoKey, is_same, read_key

__all__ = ["ArgumentRepair"]

_BLANKS = re.compile(r"[ \t\r\n]*")
_IN_STRING = re.compile(r'(?:[^"\\]|\\.)*', re.DOTALL)
_LITERAL = re.compile(r"[-+.0-9A-Za-z]+")

_Level = dict[str, tuple[int, int]] | list[None]
"""An open bracket. Of an object: where the value of each key stands in what was said."""


class ArgumentRepair:
    """One call's arguments. `changed`: something was repaired; `failed`: something could not be.

    What it says does not depend on how the text was cut. Beyond KEPT_CHARACTERS, and behind a key
    that is longer than any is meant to be, it looks no more.
    """

    __slots__ = (
        "_fresh",
        "_key",
        "_levels",
        "_muted",
        "_muted_level",
        "_over",
        "_pending",
        "_said",
        "_said_length",
        "_state",
        "_value_start",
        "changed",
        "failed",
    )

    def __init__(self) -> None:
        self._pending = ""
        self._levels: list[_Level] = []
        self._state: Callable[[ArgumentRepair, int, bool], int | None] = ArgumentRepair._value
        # What has left, and what is muted: read at any place, as often as a member is said again.
        self._said = io.StringIO()
        self._said_length = 0
        self._fresh: list[str] = []  # what the state at work has said
        self._key: list[str | None] = []  # of each level the member that is being said
        self._value_start: list[int] = []
        self._muted: list[str] | None = None  # a member said again, until its value is whole
        self._muted_level = 0
        self._over = False
        self.changed = False
        self.failed = False

    @property
    def waiting(self) -> bool:
        """Whether some of the text has not left yet."""
        return bool(self._pending) or self._muted is not None

    def feed(self, text: str) -> str:
        """Return what may leave now."""
        return self._take(text, final=False)

    def end(self) -> str:
        """Return what is left at the end of the call."""
        told = self._take("", final=True)
        if self._over:
            return told
        rest, self._pending = self._pending, ""
        if self._state is not ArgumentRepair._behind and (self._said_length or rest):
            self.failed = True  # it was cut
        self._over = True
        muted, self._muted = self._muted or [], None
        return "".join((told, *muted, rest))

    def _take(self, text: str, *, final: bool) -> str:
        if self._over:
            return text
        self._pending += text
        out: list[str] = []
        at = 0
        while not self._over and at < len(self._pending):
            self._fresh = []
            then = self._state(self, at, final)
            self._share(out)
            if then is None:
                break
            at = then
        self._pending = self._pending[at:]
        if self._over or self._said_length > KEPT_CHARACTERS:
            out += [*(self._muted or ()), self._pending]
            self._over, self._muted, self._pending = True, None, ""
        return "".join(out)

    def _share(self, out: list[str]) -> None:
        """Hand on what has just been said, unless it is muted."""
        fresh = self._fresh
        if self._muted is None:
            out += fresh
        elif self._muted_is_whole():
            out += self._unmuted(fresh)
        else:
            self._muted += fresh

    def _say(self, text: str) -> None:
        self._fresh.append(text)
        self._said.write(text)
        self._said_length += len(text)

    def _between(self, start: int, end: int) -> str:
        """Return what was said from `start` to `end`."""
        self._said.seek(start)
        said = self._said.read(end - start)
        self._said.seek(self._said_length)
        return said

    def _fail(self) -> None:
        self.failed = self._over = True

    # -- states: each reads at `at` and returns where to go on, None where more must come first

    def _value(self, at: int, final: bool) -> int | None:
        start = _end(_BLANKS, self._pending, at)
        if start == len(self._pending):
            return self._all(at)
        sign = self._pending[start]
        if sign == "]" and isinstance(self._level, list) and not self._level:
            self._state = ArgumentRepair._behind
            return at
        if not self._levels and sign != "{":
            self._over = True  # no object: nothing of ours
            return None
        self._say(self._pending[at : start + (sign in '{["')])
        if self._key:
            self._value_start[-1] = self._said_length - (sign in '{["')
        if sign in "{[":
            self._levels.append({} if sign == "{" else [])
            self._key.append(None)
            self._value_start.append(0)
            self._state = ArgumentRepair._first_key if sign == "{" else ArgumentRepair._value
            return start + 1
        if sign == '"':
            self._state = ArgumentRepair._string
            return start + 1
        self._state = ArgumentRepair._literal
        if _LITERAL.match(sign) is None:
            self._fail()
        return start

    def _string(self, at: int, final: bool) -> int | None:
        end = _end(_IN_STRING, self._pending, at)
        closed = self._pending.startswith('"', end)
        if end == at and not closed:
            return None  # half an escape
        self._say(self._pending[at : end + closed])
        if closed:
            self._value_ended()
        return end + closed

    def _literal(self, at: int, final: bool) -> int | None:
        end = _end(_LITERAL, self._pending, at)
        self._say(self._pending[at:end])
        if end < len(self._pending):
            self._value_ended()
        return end

    def _behind(self, at: int, final: bool) -> int | None:
        """Behind a value: more of the same, or the end of what it stands in."""
        start = _end(_BLANKS, self._pending, at)
        if start == len(self._pending):
            return self._all(at)
        sign = self._pending[start]
        if not self._levels:
            self._fail()
            return None
        if sign == "," and isinstance(self._level, dict):
            self._say(self._pending[at:start])
            self._state = ArgumentRepair._next_key
            return start
        if sign == "," and isinstance(self._level, list):
            self._state = ArgumentRepair._value
        elif sign == ("}" if isinstance(self._level, dict) else "]"):
            self._levels.pop()
            self._key.pop()
            self._value_start.pop()
        else:
            self._fail()
            return None
        self._say(self._pending[at : start + 1])
        if sign != ",":
            self._value_ended()
        return start + 1

    def _all(self, at: int) -> int:
        self._say(self._pending[at:])
        return len(self._pending)

    def _first_key(self, at: int, final: bool) -> int | None:
        start = _end(_BLANKS, self._pending, at)
        if self._pending.startswith("}", start):
            self._state = ArgumentRepair._behind
            return at
        return self._next_key(at, final)

    def _next_key(self, at: int, final: bool) -> int | None:
        """Read a comma, a key and its colon: they leave together, or not at all."""
        found = read_key(self._pending, at, top=len(self._levels) == 1, final=final)
        match found:
            case Key():
                self.changed = self.changed or found.changed
                if found.name is None:
                    self._state = ArgumentRepair._behind
                else:
                    self._begin_member(found.name, found.text)
                return found.end
            case NoKey.NOT_YET:
                return None
            case NoKey.TOO_LONG:
                self._over = True
                return None
            case NoKey.NONE:
                self._fail()
                return None
            case unreachable:
                assert_never(unreachable)

    # -- members

    @property
    def _level(self) -> _Level | None:
        return self._levels[-1] if self._levels else None

    def _begin_member(self, key: str, text: str) -> None:
        level = self._level
        if isinstance(level, dict) and key in level and self._muted is None:
            self._muted, self._muted_level = [], len(self._levels)
        self._key[-1] = key
        self._say(text)
        self._state = ArgumentRepair._value

    def _value_ended(self) -> None:
        self._state = ArgumentRepair._behind
        level = self._level
        key = self._key[-1] if self._key else None
        if self._muted is None and isinstance(level, dict) and key is not None:
            level[key] = (self._value_start[-1], self._said_length)

    def _muted_is_whole(self) -> bool:
        whole = self._state is ArgumentRepair._behind
        return whole and len(self._levels) == self._muted_level

    def _unmuted(self, fresh: list[str]) -> list[str]:
        """Return the member that was said again where it says another thing, nothing else."""
        muted, self._muted = [*(self._muted or ()), *fresh], None
        level, key = self._levels[-1], self._key[-1]
        assert isinstance(level, dict)
        assert key is not None
        again = self._value_start[-1]
        if is_same(self._between(*level[key]), self._between(again, self._said_length)):
            self._said_length -= sum(map(len, muted))
            self._said.seek(self._said_length)
            self._said.truncate()
            self.changed = True
            return []
        self.failed = True
        level[key] = (again, self._said_length)
        return muted


def _end(pattern: re.Pattern[str], text: str, at: int) -> int:
    found = pattern.match(text, at)
    return at if found is None else found.end()
