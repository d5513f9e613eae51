"""Reads the pages in which Ollama tells of its models (WIRE §7.1). It asks nobody."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from streamgauge.core.usage import MAX_COUNT

__all__ = ["listed_models", "running_context", "shown_context", "stated_size"]

_LATEST = ":latest"
_NUM_CTX = re.compile(r"^\s*num_ctx\s+(\d{1,12})\s*$", re.MULTILINE)


def listed_models(tags: Any) -> tuple[str, ...] | None:
    """Return the names on `/api/tags`; None where it is no such page."""
    if not isinstance(tags, dict) or not isinstance(tags.get("models"), list):
        return None
    names = (entry.get("name", entry.get("model")) for entry in _entries(tags))
    return tuple(name for name in names if isinstance(name, str))


def running_context(ps: Any, model: str) -> int | None:
    """Return the context in tokens that a loaded model runs with, by `/api/ps`; None if unknown."""
    for entry in _entries(ps):
        names = (entry.get("name"), entry.get("model"))
        if any(isinstance(name, str) and _full(name) == _full(model) for name in names):
            return stated_size(entry.get("context_length"))
    return None


def shown_context(shown: Any) -> int | None:
    """Return the context in tokens that `/api/show` tells of a model that is not loaded.

    That is its own `num_ctx`, which it will be loaded with, else the length it was made for: with
    what the server's default cuts it down to, only `/api/ps` knows.
    """
    if not isinstance(shown, dict):
        return None
    parameters = shown.get("parameters")
    found = _NUM_CTX.search(parameters) if isinstance(parameters, str) else None
    if found is not None and int(found[1]) > 0:
        return int(found[1])
    info = shown.get("model_info")
    if not isinstance(info, dict):
        return None
    architecture = info.get("general.architecture")
    return stated_size(info.get(f"{architecture}.context_length"))


def _entries(page: Any) -> Iterator[dict[str, Any]]:
    models = page.get("models") if isinstance(page, dict) else None
    for entry in models if isinstance(models, list) else ():
        if isinstance(entry, dict):
            yield entry


def _full(name: str) -> str:
    """Return the name with its tag, as Ollama completes it."""
    return name if ":" in name.rpartition("/")[2] else name + _LATEST


def stated_size(value: Any) -> int | None:
    """Return `value` where it is a size that can be believed, as for counts (SPEC §6.3), else None."""
    return value if type(value) is int and 0 < value <= MAX_COUNT else None
