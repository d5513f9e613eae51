"""The type of patterns with `*`, `?` and `[…]` in settings. Knows nothing of what they are matched with."""

from __future__ import annotations

import re
from typing import Annotated

from pydantic import AfterValidator

from streamgauge.config.fields import Text, refuse

__all__ = ["Glob"]

_CLASS = re.compile(r"\[!?+\]?+[^\]]*\]")


def _glob(pattern: str) -> str:
    """An open bracket would stand for itself in a name, which nobody means who writes one."""
    if "[" in _CLASS.sub("", pattern):
        raise refuse("must be a glob; a [ is not closed")
    return pattern


Glob = Annotated[Text, AfterValidator(_glob)]
