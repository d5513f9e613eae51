"""What YAML's and TOML's parsers complain of, in words that name the cure. Knows no values."""

from __future__ import annotations

import re

__all__ = ["toml_words", "yaml_words"]

_SIGN = re.compile(r"'(.|<[a-z ]+>)'")
_QUOTED = re.compile(r"'[^']*'|\"[^\"]*\"")
_QUOTED_WORDS = re.compile(r"(['\"]).{2,}\1", re.DOTALL)

_YAML = (
    (r"found character '\\t'", "a tab cannot stand here; indent with spaces"),
    (
        r"found character ('.') that cannot start any token",
        r"a text cannot begin with \1; put it in quotes",
    ),
    (
        r"mapping values are not allowed here",
        "there is one ': ' too many, or the line above is not complete; "
        "put text that holds ': ' in quotes",
    ),
    (
        r"expected <block end>, but found '(<block.*|\?)'",
        "this line stands further left or right than its neighbours; give them the same indent",
    ),
    (r"expected <block end>, but found ('.')", r"there is one \1 too many; take it out"),
    (r"found unexpected end of stream", "a quote is open at the end of the file; close it"),
    (
        r"expected ',' or ('.'), but got '<stream end>'",
        r"a bracket is open at the end of the file; close it with \1",
    ),
    (r"expected ',' or ('.'), but got .*", r"there must be ',' or \1 before this"),
    (r"could not find expected ':'", "a key without ':' behind it; write key: value"),
    (r"but found another document", "a second document begins here; keep one"),
    (
        r"found undefined alias",
        "an alias (*name) that no anchor (&name) stands before; put a glob in quotes",
    ),
    (
        r"expected alphabetic or numeric character",
        "a text cannot begin with '*' or '&'; put it in quotes",
    ),
    (r"mapping keys are not allowed here", "a text cannot begin with '? '; put it in quotes"),
    (r"sequence entries are not allowed here", "a list cannot begin here; write it on lines below"),
    (
        r"expected <block end>, but found '<scalar>'",
        "this text belongs to nothing before it; "
        "put the whole value in one pair of quotes, or give it its neighbours' indent",
    ),
    (
        r"expected '<document start>'",
        "what stands before this is whole already; write key: value in each line, "
        "and for TOML end the file's name in .toml",
    ),
)
_TOML = (
    (r"Invalid value", "this is no TOML value; put text in quotes"),
    (
        r"Expected newline or end of document after a statement",
        "the value ended before this; put text in quotes, and one setting on a line",
    ),
    (r"Expected '=' after a key", "there must be '=' behind the key; write key = value"),
    (r"Cannot overwrite a value", "duplicate key; keep one"),
    (r"Duplicate inline table key", "duplicate key; keep one"),
    (r"Cannot (declare|mutate|redefine)", "this table was written before; keep one"),
    (r"(Unterminated string|Expected (\"'\"|'\"'))", "a quote is not closed; close it"),
    (r"Illegal character '\\n'", "a quote is not closed; close it"),
    (r"Expected '\]'|Unclosed array", "there must be ']' before this"),
    (
        r"Invalid initial character for a key part",
        "a key must stand here; an inline table { } is one line without a final comma",
    ),
)


def yaml_words(problem: str) -> str:
    """Return our words for the YAML parser's `problem`; words it quotes from the file are cut."""
    line = problem.split("\n", 1)[0]
    return _in_our_words(line, _YAML) or _QUOTED.sub(_sign_only, line)


def toml_words(problem: str) -> str:
    """Return our words for the TOML parser's `problem`; words it quotes from the file are cut."""
    return _in_our_words(problem, _TOML) or _QUOTED_WORDS.sub("'…'", problem)


def _in_our_words(problem: str, table: tuple[tuple[str, str], ...]) -> str | None:
    for pattern, words in table:
        if found := re.match(pattern, problem):
            return found.expand(words)
    return None


def _sign_only(found: re.Match[str]) -> str:
    """Signs of the grammar, such as ',' and '}', stay; quoted words may be secrets."""
    return found[0] if _SIGN.fullmatch(found[0]) else "'…'"
