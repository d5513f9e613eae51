"""What the control plane may ask of a gateway. It knows no gateway, no loop and no socket."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from streamgauge.gateway.runtime import ConfigState, Runtime
from streamgauge.ledger.base import LedgerStats

__all__ = ["Applied", "NotNow", "Plane", "PlaneError", "ReloadRefused", "Vitals"]


class PlaneError(Exception):
    """The gateway did not do or tell what it was asked for; the message says why."""


class NotNow(PlaneError):
    """The gateway cannot do this at present: it is stopping, or its loop does not answer."""


class ReloadRefused(PlaneError):
    """The new configuration cannot be used, the old one stays. `problems`: a line each, no secret."""

    def __init__(self, problems: Sequence[str]) -> None:
        super().__init__("the configuration cannot be used")
        self.problems = tuple(problems)


@dataclass(frozen=True, slots=True)
class Applied:
    """A reload that took effect. `needs_restart`: keys whose new values were left aside."""

    config_version: str
    changed: bool
    needs_restart: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Vitals:
    """Numbers that can be read at any time, whatever the data loop is doing.

    `exchanges`: ended ones by (status, dialect, upstream). `unrecorded`: refusals without a row, by
    error code. `upstreams`: whether each is usable. `reloads`: by their result.
    """

    exchanges: Mapping[tuple[str, str, str], int]
    unrecorded: Mapping[str, int]
    ledger: LedgerStats
    ledger_healthy: bool
    upstreams: Mapping[str, bool]
    config: ConfigState
    reloads: Mapping[str, int]
    stopping: bool


class Plane(Protocol):
    """Asked from the control plane's own loop; no answer costs the data loop more than a moment."""

    async def runtime(self) -> Runtime:
        """Return the numbers of this moment. Raises NotNow when the data loop does not answer."""

    async def reload(self) -> Applied:
        """Read the configuration again and use it. Raises ReloadRefused or NotNow."""

    def vitals(self) -> Vitals:
        """Return what needs no answer of the data loop."""
