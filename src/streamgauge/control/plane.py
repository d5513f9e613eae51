"""What the control plane may ask of a gateway. It knows no gateway, no loop and no socket."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from streamgauge.config.effective import Setting
from streamgauge.gateway.capturing import CaptureState, Order
from streamgauge.gateway.live import Live, UpstreamDetail
from streamgauge.gateway.runtime import ConfigState, Runtime
from streamgauge.ledger.base import LedgerStats

if TYPE_CHECKING:
    from prometheus_client import Metric

__all__ = [
    "Applied",
    "Configuration",
    "ExporterState",
    "NotNow",
    "Plane",
    "PlaneError",
    "Probed",
    "ReloadRefused",
    "Vitals",
]


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
class Configuration:
    """The settings in force, secrets masked; `file`: where they were read from, if anywhere."""

    file: str | None
    version: str
    warnings: tuple[str, ...]
    settings: tuple[Setting, ...]


@dataclass(frozen=True, slots=True)
class ExporterState:
    """One exporter: closed rows not sent yet, and what it waits for, None while it does not."""

    name: str
    behind: int
    error: str | None


@dataclass(frozen=True, slots=True)
class Probed:
    """What came of asking an upstream whether it is there; `error` None: it answered."""

    error: str | None
    took_ms: float


@dataclass(frozen=True, slots=True)
class Vitals:
    """Numbers that can be read at any time, whatever the data loop is doing.

    `exchanges`: ended ones by (status, dialect, upstream). `unrecorded`: refusals without a row, by
    error code. `upstreams`: whether each is usable. `drained`: those that an admin drained.
    `reloads`: by their result. `ledger_reason`: why the database cannot be written, also while the
    spool takes its part. `families`: what else the sinks have counted, as `/metrics` shows it.
    """

    exchanges: Mapping[tuple[str, str, str], int]
    unrecorded: Mapping[str, int]
    ledger: LedgerStats
    ledger_healthy: bool
    upstreams: Mapping[str, bool]
    config: ConfigState
    reloads: Mapping[str, int]
    stopping: bool
    families: Sequence[Metric] = ()
    ledger_reason: str | None = None
    exporters: Sequence[ExporterState] = ()
    drained: Sequence[str] = ()


class Plane(Protocol):
    """Asked from the control plane's own loop; no answer costs the data loop more than a moment."""

    async def runtime(self) -> Runtime:
        """Return the numbers of this moment. Raises NotNow when the data loop does not answer."""

    async def captures(self, order: Order | None) -> CaptureState:
        """Return what is captured, after giving `order`. Raises CaptureRefused or NotNow."""

    async def reload(self) -> Applied:
        """Read the configuration again and use it. Raises ReloadRefused or NotNow."""

    async def stop_stream(self, stream_id: str) -> bool:
        """End a stream, whoever's it is; return whether it was there. Raises NotNow."""

    def vitals(self) -> Vitals:
        """Return what needs no answer of the data loop."""

    async def live(self) -> Live:
        """Return the streams of this moment. Raises NotNow. To be asked once a second at most."""

    async def upstreams(self) -> tuple[UpstreamDetail, ...]:
        """Return how each upstream stands. Raises NotNow."""

    async def probe(self, name: str) -> Probed | None:
        """Ask an upstream now; None where none has the name. Raises NotNow."""

    async def drain(self, name: str, *, drained: bool) -> bool:
        """Let no new attempt begin at an upstream, or let them again; return whether it is there.

        Raises NotNow.
        """

    async def configuration(self) -> Configuration:
        """Return the settings in force with their origins. Raises NotNow."""
