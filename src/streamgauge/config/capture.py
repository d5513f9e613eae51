"""The `capture` section: whose bytes are kept in files, where, how many (SPEC §12.4). Opens no file."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from streamgauge.config.fields import Count, OptionalText, Section
from streamgauge.config.globs import Glob

__all__ = ["Capture"]


class Capture(Section):
    """What is captured; docs/capture.md. Without a folder nothing is, whoever asks."""

    dir: OptionalText = Field(
        default=None,
        description="The folder of captures, open to nobody else; without one there are none.",
    )
    max_mb: Annotated[Count, Field(ge=1, le=1_048_576)] = Field(
        default=256, description="MiB of captures at most; the oldest go first."
    )
    days: Annotated[Count, Field(le=36_500)] = Field(
        default=7, description="Captures older than this are deleted; 0 keeps all that fit."
    )
    routes: tuple[Glob, ...] = Field(
        default=(),
        description="Routes, as in the column `route`, all of whose requests are captured.",
    )
