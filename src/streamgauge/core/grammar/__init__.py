"""Says whether a stream of bytes is legal in a protocol. It knows no HTTP and no exchange.

`checker_of` reads a stream piece by piece; `check` a whole one. The rules, each with its level, are
in the tables of the protocols' modules (`RULES`); docs/grammar.md lists them.
"""

from __future__ import annotations

from streamgauge.core.grammar.checker import PROTOCOLS, StreamChecker, check, checker_of
from streamgauge.core.grammar.finding import Finding, Level, Rule

__all__ = ["PROTOCOLS", "Finding", "Level", "Rule", "StreamChecker", "check", "checker_of"]
