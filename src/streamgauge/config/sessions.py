"""The `sessions` section: who ends an older stream, who may come back. Knows no stream (SPEC §11)."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from streamgauge.config.fields import Off, Seconds, Section
from streamgauge.core.sessions import Supersede

__all__ = ["Sessions"]


class Sessions(Section):
    """What a session is to the gateway; docs/sessions.md."""

    supersede: Annotated[Supersede, Off] = Field(
        default=Supersede.EXPLICIT,
        description="Whose newer stream ends the older one of its session: explicit, requests with "
        "x-streamgauge-session; session, also those with x-session-id; off, nobody's.",
    )
    resume_seconds: Annotated[Seconds, Field(le=3600)] = Field(
        default=0.0,
        description="How long a stream asked for with x-streamgauge-resume waits for a client that "
        "lost its connection; 0 waits for nobody. See docs/resume.md.",
    )
