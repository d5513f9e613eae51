"""An upstream for tests and demos that says what it sent (SPEC §18.1). It knows no gateway."""

from __future__ import annotations

from streamgauge.tools.simulator.faults import FAULTS
from streamgauge.tools.simulator.flavours import Flavour
from streamgauge.tools.simulator.journal import Ending, Entry
from streamgauge.tools.simulator.server import SeenRequest, Simulator

__all__ = ["FAULTS", "Ending", "Entry", "Flavour", "SeenRequest", "Simulator"]
