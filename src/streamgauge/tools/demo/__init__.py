"""Gateway, simulator and scripted clients in one loop, and an audit (SPEC §18.2). Opens no ledger."""

from __future__ import annotations

from streamgauge.tools.demo.audit import Audit, audit
from streamgauge.tools.demo.stage import Rows, Setting, Stage

__all__ = ["Audit", "Rows", "Setting", "Stage", "audit"]
