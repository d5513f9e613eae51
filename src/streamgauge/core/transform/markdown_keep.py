"""Keeps the text that a markdown renderer would drop. It knows no pieces and no protocol.

Two things vanish in ordinary HTML: cells of a table's row beyond its head's, and what follows the
language of a code block. The cells become cells, the words the attribute `data-info`.
"""

from __future__ import annotations

import re

from markdown_it import MarkdownIt
from markdown_it.rules_block.table import escapedSplit
from markdown_it.rules_core import StateCore
from markdown_it.token import Token

__all__ = ["keep_all_text"]

_QUOTE = re.compile(r"[> \t]*")


def keep_all_text(parser: MarkdownIt) -> MarkdownIt:
    """Return `parser`, taught to drop no text."""
    parser.core.ruler.after("block", "keep_all_text", _keep)
    return parser


def _keep(state: StateCore) -> None:
    lines = state.src.split("\n")
    kept: list[Token] = []
    columns = cells = 0
    row: Token | None = None
    for token in state.tokens:
        if token.type == "fence" and len(token.info.split()) > 1:
            token.attrSet("data-info", token.info.strip())
        elif token.type == "table_open":
            columns = 0
        elif token.type == "tr_open":
            row, cells = token, 0
        elif token.type in ("th_close", "td_close"):
            cells += 1
        elif token.type == "tr_close":
            columns = columns or cells
            if row is not None and row.map is not None and kept[-1].type == "td_close":
                kept += _cells_beyond(lines[row.map[0]], columns, kept[-1].level)
        kept.append(token)
    state.tokens = kept


def _cells_beyond(line: str, columns: int, level: int) -> list[Token]:
    """Return the tokens of the cells that `line` has beyond its table's columns."""
    cells = escapedSplit(_QUOTE.sub("", line, count=1).strip())
    if cells and cells[0] == "":
        cells.pop(0)
    if cells and cells[-1] == "":
        cells.pop()
    made: list[Token] = []
    for cell in cells[columns:]:
        text = Token("inline", "", 0, level=level + 1, content=cell.strip(), children=[])
        opened, closed = Token("td_open", "td", 1), Token("td_close", "td", -1)
        opened.level = closed.level = level
        opened.block = closed.block = True
        made += (opened, text, closed)
    return made
