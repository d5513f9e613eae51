"""Milliseconds as people read them. Knows no row and no terminal."""

from __future__ import annotations

__all__ = ["duration"]


def duration(milliseconds: float | None) -> str | None:
    """Return `milliseconds` in a fitting unit with three digits or so, or None."""
    if milliseconds is None:
        return None
    if milliseconds < 1000:
        return f"{milliseconds:.1f} ms" if milliseconds < 10 else f"{milliseconds:.0f} ms"
    seconds = milliseconds / 1000
    return f"{seconds:.2f} s" if seconds < 60 else f"{int(seconds // 60)}m{seconds % 60:04.1f}s"
