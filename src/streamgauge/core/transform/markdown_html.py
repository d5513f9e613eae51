"""Turns markdown that comes in pieces into HTML, block by block (SPEC §13.6). It knows no protocol.

CommonMark with GitHub's tables and strikethrough. Needs the extra `markdown`; imported only where
it is asked for. A block leaves as soon as no later line can change it, once, and is never revised.
Two departures follow: HTML in the text is shown as text, so that a model cannot put a script into a
page; and reference definitions (`[1]: https://…`) stay visible text, since a link to one may have
left before it came.
"""

from __future__ import annotations

import re

from markdown_it import MarkdownIt
from markdown_it.token import Token

from streamgauge.core.transform.markdown_keep import keep_all_text

__all__ = ["MarkdownHtml"]

_AT_ONCE = frozenset(("heading_open", "hr"))
"""Blocks that are whole with their last line."""
_AT_BLANK = frozenset(("paragraph_open", "blockquote_open", "table_open"))
"""Blocks that a blank line ends. Lists and indented code go on behind one."""
_FENCE_LINE = re.compile(r" {0,3}(`{3,}|~{3,})[ \t]*")
SMALL = 32
"""Lines up to which each new one is looked at. Beyond, the block must have grown by an eighth:
looking costs as much as the block is long, so that the whole stays linear."""


def _parser() -> MarkdownIt:
    parser = MarkdownIt("commonmark", {"html": False}).enable(["table", "strikethrough"])
    return keep_all_text(parser.disable("reference"))


class MarkdownHtml:
    """Markdown in, HTML out. What it says does not depend on how the text was cut."""

    __slots__ = ("_fence", "_line", "_lines", "_looked", "_parser", "_returned")

    def __init__(self) -> None:
        self._parser = _parser()
        self._line: list[str] = []  # the pieces of the line that has not ended
        self._returned = False  # whether it ends with a carriage return
        self._lines: list[str] = []  # those whose block may yet change
        self._looked = 0  # how many of them were there at the last look
        self._fence: str | None = None  # the opening marks of a code block that is open

    def feed(self, text: str) -> str:
        """Return the HTML of the blocks that `text` completes, "" when it completes none."""
        text = text.replace("\0", "")  # HTML has no NUL
        if "\n" not in text and "\r" not in text and not self._returned:
            self._line.append(text)
            return ""
        text = "".join((*self._line, text))
        self._returned = text.endswith("\r")  # its line feed may follow
        *lines, rest = _unified(text[:-1] if self._returned else text).split("\n")
        self._line = [rest, "\r"] if self._returned else [rest]
        return "".join([self._take(line) for line in lines])

    def _take(self, line: str) -> str:
        self._lines.append(line)
        if not self._is_due(line):
            return ""
        self._looked = len(self._lines)
        count = self._whole_lines()
        if not count:
            return ""
        done, self._lines = self._lines[:count], self._lines[count:]
        self._looked = len(self._lines)
        return self._html("\n".join(done) + "\n")

    def _is_due(self, line: str) -> bool:
        if self._fence is not None:
            return _closes(line, self._fence)
        grown = len(self._lines) - self._looked
        return len(self._lines) <= SMALL or grown * 8 >= len(self._lines)

    def _whole_lines(self) -> int:
        """Return how many of the lines make blocks that nothing can change any more."""
        tokens: list[Token] = []
        self._parser.block.parse("\n".join(self._lines), self._parser, {}, tokens)
        blocks = [t for t in tokens if t.level == 0 and t.nesting >= 0 and t.map is not None]
        self._fence = None
        if not blocks:
            return len(self._lines)  # blank lines
        last = blocks[-1]
        start, end = last.map or (0, 0)
        if self._is_whole(last, start, end):
            return len(self._lines)
        if last.type == "fence" and end - start > 1:
            self._fence = last.markup
        return start

    def _is_whole(self, block: Token, start: int, end: int) -> bool:
        if block.type == "fence":
            return end - start > 1 and _closes(self._lines[end - 1], block.markup)
        if end < len(self._lines):
            return block.type in _AT_ONCE or block.type in _AT_BLANK
        # A line with a bar may turn out to be the head of a table.
        return block.type in _AT_ONCE and "|" not in self._lines[start]

    def _html(self, text: str) -> str:
        html: str = self._parser.render(text)
        return html

    def end(self) -> str:
        """Return the HTML of what is left, its last block ended. Then a new text may begin."""
        text = "\n".join([*self._lines, _unified("".join(self._line))])
        self._line, self._lines, self._fence = [], [], None
        self._looked, self._returned = 0, False
        return self._html(text)


def _unified(text: str) -> str:
    return text.replace("\r\n", "\n").replace("\r", "\n")


def _closes(line: str, fence: str) -> bool:
    """Whether `line` closes a code block that was opened with `fence`."""
    marks = _FENCE_LINE.fullmatch(line)
    return marks is not None and marks[1][0] == fence[0] and len(marks[1]) >= len(fence)
