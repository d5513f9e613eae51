"""Which dialects there are, and which one an endpoint speaks."""

from __future__ import annotations

from collections.abc import Mapping

from streamgauge.core.chat import ENDPOINTS
from streamgauge.core.dialects.anthropic.dialect import AnthropicDialect
from streamgauge.core.dialects.base import Dialect
from streamgauge.core.dialects.openai.dialect import OpenAIDialect

__all__ = ["DIALECTS", "dialect_of"]

DIALECTS: Mapping[str, Dialect] = {"openai": OpenAIDialect(), "anthropic": AnthropicDialect()}


def dialect_of(endpoint: str) -> Dialect:
    """Return the dialect of a metered endpoint. Raises KeyError for an unknown one."""
    return DIALECTS[ENDPOINTS[endpoint]]
