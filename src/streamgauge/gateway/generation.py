"""One configuration in use: what a reload swaps as a whole (SPEC §2.6). Knows no stream and no file."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from streamgauge.config.prices import PriceBook
from streamgauge.config.schema import Config
from streamgauge.config.upstream import Upstream
from streamgauge.core.routing.plan import Candidate, Snapshot
from streamgauge.gateway.client_application import ClientSettings
from streamgauge.gateway.upstreams import UpstreamRuntime

__all__ = ["Generation", "generation_of"]


@dataclass(frozen=True, slots=True)
class Generation:
    """Everything that new connections and new exchanges are given. It is never changed, only replaced.

    An exchange takes what it needs when it begins and keeps it, whatever is swapped in later.
    `version` is the rows' `config_version`.
    """

    config: Config
    version: str
    prices: PriceBook
    upstreams: Mapping[str, UpstreamRuntime]
    snapshot: Snapshot
    clients: ClientSettings


def generation_of(
    config: Config, version: str, prices: PriceBook, before: Generation | None = None
) -> Generation:
    """Build the generation of `config`; upstreams that are as they were `before` stay the same object.

    So they keep their connections and what was learnt. Raises TlsSettingsError, with nothing changed.
    """
    known = {} if before is None else before.upstreams
    return Generation(
        config=config,
        version=version,
        prices=prices,
        upstreams={u.name: _runtime(u, known.get(u.name)) for u in config.upstreams},
        snapshot=Snapshot(
            tuple(
                Candidate(u.name, u.kind.value, u.models, u.messages_api == "native")
                for u in config.upstreams
            ),
            default=next(iter(config.routing.default.to), None),
        ),
        clients=_client_settings(config),
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
