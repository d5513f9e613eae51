"""The type of patterns with `*`, `?` and `[…]` in settings. Knows nothing of what they are matched with."""

from __future__ import annotations

import re
from typing import Annotated

from pydantic import AfterValidator

from streamgauge.config.fields import Text, refuse

__all__ = ["Glob", "glob_fault"]

_CLASS = re.compile(r"\[!?+\]?+[^\]]*\]")


def glob_fault(pattern: str) -> str | None:
    """Return why `pattern` can be no glob that somebody means, or None.

    An open bracket would stand for itself, and nothing fits an empty one.
    """
    if not pattern.strip():
        return "it is empty"
    return "a [ is not closed" if "[" in _CLASS.sub("", pattern) else None


def _glob(pattern: str) -> str:
    if (fault := glob_fault(pattern)) is not None:
        raise refuse(f"must be a glob; {fault}")
    return pattern


Glob = Annotated[Text, AfterValidator(_glob)]
