"""Patterns over names in the ledger as SQLite's GLOB takes them. Knows no table."""

from __future__ import annotations

from collections.abc import Sequence

from streamgauge.ledger.rows import storable_text

__all__ = ["fits_glob"]


def fits_glob(columns: Sequence[str], pattern: str) -> tuple[str, list[str | int]]:
    """Return the term that one of `columns` fits `pattern`, and its values.

    Signs are `*`, `?` and `[…]`, as in settings. A bracket may also be a letter of a name such as
    `llama[q4]`, which is meant as often as a choice of letters: both fit.
    """
    pattern = storable_text(pattern)
    patterns = [pattern.replace("[", "[[]")]
    if "[" in pattern:
        patterns.append(pattern.replace("[!", "[^"))
    terms = [f"{name} GLOB ?" for _ in patterns for name in columns]
    return f"({' OR '.join(terms)})", [each for each in patterns for _ in columns]
