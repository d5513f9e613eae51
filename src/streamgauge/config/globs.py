"""The type of patterns with `*`, `?` and `[…]` in settings. Knows nothing of what they are matched with."""

from __future__ import annotations

import re
from typing import Annotated

from pydantic import AfterValidator

from streamgauge.config.fields import Text, refuse

__all__ = ["Glob", "is_closed"]

_CLASS = re.compile(r"\[!?+\]?+[^\]]*\]")


def is_closed(pattern: str) -> bool:
    """Return whether each bracket ends: an open one would stand for itself, which nobody means."""
    return "[" not in _CLASS.sub("", pattern)


def _glob(pattern: str) -> str:
    if not is_closed(pattern):
        raise refuse("must be a glob; a [ is not closed")
    return pattern


Glob = Annotated[Text, AfterValidator(_glob)]
