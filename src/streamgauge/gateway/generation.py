"""One configuration in use: what a reload swaps as a whole (SPEC §2.6). Knows no stream and no file."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

from streamgauge.config.prices import PriceBook
from streamgauge.config.schema import Config
from streamgauge.config.upstream import Upstream
from streamgauge.core.errors import GatewayError, RequestError
from streamgauge.core.routing.plan import Asked, Decision, Snapshot, plan
from streamgauge.core.routing.ratios import Ratios
from streamgauge.core.routing.strategies import CALM, Live
from streamgauge.gateway.client_application import ClientSettings
from streamgauge.gateway.snapshot import snapshot_of
from streamgauge.gateway.standings import Habits, live_of
from streamgauge.gateway.upstreams import UpstreamRuntime

__all__ = ["Generation", "generation_of"]


@dataclass(frozen=True, slots=True)
class Generation:
    """Everything that new requests and new exchanges are given. It is never changed, only replaced.

    An exchange takes what it needs when it begins and keeps it, whatever is swapped in later.
    `version` is the rows' `config_version`. `ratios` go on being learnt, through every reload, and
    so do routing's `habits`. `live`: how the upstreams stand, for core/routing. `bounds_output`:
    whether an upstream's transformers may ask for another length of an answer than the client does.
    """

    config: Config
    version: str
    prices: PriceBook
    upstreams: Mapping[str, UpstreamRuntime]
    snapshot: Snapshot
    clients: ClientSettings
    ratios: Ratios
    habits: Habits
    live: Live
    bounds_output: bool

    def forecast(self, asked: Asked) -> Decision:
        """Return where a request would go now, for those who only ask.

        Where no upstream of its route may be called just now, as if all might. Raises GatewayError.
        """
        live = self.live
        try:
            return plan(self.snapshot, asked, live)
        except RequestError:
            raise
        except GatewayError:
            return plan(self.snapshot, asked, replace(live, standing=CALM.standing, admit=None))

    def take_effect(self) -> None:
        """Give the upstreams' circuits this configuration's bounds, when it is swapped in."""
        routing = self.config.routing
        for upstream in self.upstreams.values():
            upstream.bound(
                routing.breaker.failures,
                routing.breaker.open_seconds,
                routing.retries.max_retry_after,
            )


def generation_of(
    config: Config, version: str, prices: PriceBook, before: Generation | None = None
) -> Generation:
    """Build the generation of `config`; upstreams that are as they were `before` stay the same object.

    So they keep their connections and what was learnt. Raises TlsSettingsError, with nothing changed.
    """
    known = {} if before is None else before.upstreams
    upstreams = {u.name: _runtime(u, known.get(u.name)) for u in config.upstreams}
    ratios = Ratios() if before is None else before.ratios
    habits = Habits() if before is None else before.habits
    return Generation(
        config=config,
        version=version,
        prices=prices,
        upstreams=upstreams,
        snapshot=snapshot_of(config),
        clients=_client_settings(config),
        ratios=ratios,
        habits=habits,
        live=live_of(upstreams, prices, ratios, habits),
        bounds_output=any(u.transformers.output is not None for u in upstreams.values()),
    )


def _runtime(config: Upstream, known: UpstreamRuntime | None) -> UpstreamRuntime:
    return known if known is not None and known.serves(config) else UpstreamRuntime(config)


def _client_settings(config: Config) -> ClientSettings:
    server = config.server
    return ClientSettings(
        allowed_hosts=server.allowed_hosts,
        max_body=server.max_body_mb * 1024 * 1024,
        header_seconds=server.header_seconds,
        body_seconds=server.body_seconds,
        write_seconds=server.write_seconds,
        half_close=server.half_close,
    )
