"""Which dialects there are, and which one an endpoint speaks."""

from __future__ import annotations

from collections.abc import Mapping

from streamgauge.core.chat import ENDPOINTS, DialectName
from streamgauge.core.dialects.anthropic.dialect import AnthropicDialect
from streamgauge.core.dialects.base import ClientDialect, Dialect
from streamgauge.core.dialects.openai.dialect import OpenAIDialect
from streamgauge.core.dialects.plain import frames_dialect, simple_dialect

__all__ = ["DIALECTS", "SPOKEN", "dialect_of"]

_OPENAI, _ANTHROPIC = OpenAIDialect(), AnthropicDialect()

DIALECTS: Mapping[str, Dialect] = {"openai": _OPENAI, "anthropic": _ANTHROPIC}

SPOKEN: Mapping[DialectName, ClientDialect] = {
    "openai": _OPENAI,
    "anthropic": _ANTHROPIC,
    "simple": simple_dialect(_OPENAI),
    "frames": frames_dialect(_OPENAI),
}
"""What clients are spoken to in."""


def dialect_of(endpoint: str) -> Dialect:
    """Return the dialect of a metered endpoint. Raises KeyError for an unknown one."""
    return DIALECTS[ENDPOINTS[endpoint]]
