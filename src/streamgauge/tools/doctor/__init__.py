"""Measures what is wrong on the way from upstream to client, and names the cure (SPEC §18.3)."""

from __future__ import annotations

from streamgauge.tools.doctor.address import Address
from streamgauge.tools.doctor.catalogue import CATALOGUE, Severity
from streamgauge.tools.doctor.gateway import Visit, examine_gateway
from streamgauge.tools.doctor.house import HouseFacts, examine_house
from streamgauge.tools.doctor.report import Finding, Report
from streamgauge.tools.doctor.upstream import examine_upstream

__all__ = [
    "CATALOGUE",
    "Address",
    "Finding",
    "HouseFacts",
    "Report",
    "Severity",
    "Visit",
    "examine_gateway",
    "examine_house",
    "examine_upstream",
]
