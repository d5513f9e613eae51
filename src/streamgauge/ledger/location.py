"""From `ledger.url` to a file. Opens nothing."""

from __future__ import annotations

from pathlib import Path

__all__ = ["DEFAULT_URL", "ledger_url", "sqlite_path"]

DEFAULT_URL = "sqlite:///streamgauge.db"
"""SPEC §2: a file in the working directory."""

_SCHEME = "sqlite:///"


def ledger_url(text: str) -> str:
    """Return a plain path as the URL of its file; whatever else is said, as it is."""
    return text if not text or "://" in text else f"{_SCHEME}{text}"


def sqlite_path(url: str) -> Path:
    """Return the file of a `sqlite:///` URL (three slashes and a path, SPEC §2) or a plain path.

    Raises ValueError for another scheme, for an empty path and for `:memory:`.
    """
    scheme, separator, _ = url.partition("://")
    if separator and not url.startswith(_SCHEME):
        cure = "three slashes, then the path" if scheme == "sqlite" else "only sqlite is supported"
        # Another database's URL may hold a password.
        named = url if scheme == "sqlite" else f"{scheme}://…"
        raise ValueError(f"not a ledger URL: {named!r}: {cure} (such as {DEFAULT_URL})")
    path = url.removeprefix(_SCHEME)
    if not path:
        raise ValueError(f"ledger URL {url!r} names no file (such as {DEFAULT_URL})")
    if path == ":memory:":
        raise ValueError("a ledger is a file: what is in memory does not survive a crash")
    return Path(path)
