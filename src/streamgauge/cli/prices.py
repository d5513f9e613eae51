"""`streamgauge prices lookup|list`: what would be charged, and who says so (SPEC §7.2, §18)."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from streamgauge.cli.config_show import loaded_or_exit
from streamgauge.core.nano import nano_text
from streamgauge.core.price import Price, Rates

if TYPE_CHECKING:
    from streamgauge.config.load import Loaded

__all__ = ["prices"]

_FINDING = 1
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_RATES = ("input", "output", "cache_read", "cache_write", "reasoning")
_Config = click.Path(path_type=Path)


@dataclass(frozen=True, slots=True)
class _Told:
    """One answer: the price for a model at an upstream, or None, and where it is written."""

    upstream: str
    kind: str
    model: str
    price: Price | None
    origin: str | None

    def as_plain(self) -> dict[str, Any]:
        return {
            "upstream": self.upstream,
            "kind": self.kind,
            "model": self.model,
            "cost_source": None if self.price is None else self.price.source,
            "origin": self.origin,
            "price": None if self.price is None else self.price.as_plain(),
        }


@click.group()
def prices() -> None:
    """Look at prices: the configuration's and the installed list's."""


@prices.command()
@click.argument("model")
@click.option("--upstream", "name", metavar="NAME", help="At this upstream only.")
@click.option("--kind", metavar="KIND", help="At upstreams of this kind: openai, anthropic, …")
@click.option("--at", "at_text", metavar="DATE", help="When, such as 2025-01-31; now if left out.")
@click.option("--config", "config", type=_Config, help="Configuration file.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object a line.")
def lookup(
    model: str,
    name: str | None,
    kind: str | None,
    at_text: str | None,
    config: Path | None,
    as_json: bool,
) -> None:
    """Show what MODEL costs at each upstream, as its name is there.

    Exit code 1 when no price is known at all.
    """
    from streamgauge.config.load import LoadOptions

    at_us = _moment(at_text)
    loaded = loaded_or_exit(LoadOptions(config=config))
    told = [_look(loaded, up, its, model, at_us) for up, its in _upstreams(loaded, name, kind)]
    for one in told:
        click.echo(json.dumps(one.as_plain(), ensure_ascii=False) if as_json else _page(one))
    if all(one.price is None for one in told):
        raise SystemExit(_FINDING)


@prices.command("list", short_help="List the configured prices and the price list.")
@click.option("--config", "config", type=_Config, help="Configuration file.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object a line.")
def list_(config: Path | None, as_json: bool) -> None:
    """List the configured prices in their order, then the price list behind them."""
    from streamgauge.config.load import LoadOptions
    from streamgauge.config.prices import LISTED_KINDS, list_version

    loaded = loaded_or_exit(LoadOptions(config=config))
    entries = [
        (_origin(loaded, index), entry.as_price())
        for index, entry in enumerate(loaded.config.prices)
    ]
    source, kinds = f"genai-prices {list_version()}", sorted(LISTED_KINDS)
    if as_json:
        for origin, price in entries:
            click.echo(json.dumps({"origin": origin, "price": price.as_plain()}))
        click.echo(json.dumps({"origin": source, "kinds": kinds}))
        return
    for origin, price in entries:
        click.echo(f"{origin}: {price.upstream} / {price.model}")
        click.echo("\n".join(_rate_lines(price)))
    click.echo(f"{source}: whatever no entry fits, at upstreams of kind {', '.join(kinds)}")


def _moment(text: str | None) -> int:
    """Return `text`, UTC where it says no zone, or now, in µs since the epoch."""
    if text is None:
        return time.time_ns() // 1000
    try:
        moment = datetime.fromisoformat(text)
        moment = moment.astimezone(UTC) if moment.tzinfo else moment.replace(tzinfo=UTC)
    except (ValueError, OverflowError):
        message = "must be a date or time such as 2025-01-31 or 2025-01-31T12:00:00Z"
        raise click.BadParameter(message, param_hint="--at") from None
    return (moment - _EPOCH) // timedelta(microseconds=1)


def _upstreams(loaded: Loaded, name: str | None, kind: str | None) -> list[tuple[str, str]]:
    """Return name and kind of the upstreams asked about; without any, one of each listed kind."""
    from streamgauge.config.prices import LISTED_KINDS
    from streamgauge.config.upstream import Kind

    if kind is not None and kind not in {known.value for known in Kind}:
        allowed = ", ".join(known.value for known in Kind)
        raise click.BadParameter(f"must be one of {allowed}", param_hint="--kind")
    there = [(up.name, up.kind.value) for up in loaded.config.upstreams]
    if name is not None:
        there = [(up, its) for up, its in there if up == name]
        if kind is not None:  # an upstream that is still to be configured, or looked at as another
            return [(name, kind)]
        if not there:
            known_names = ", ".join(up.name for up in loaded.config.upstreams) or "none"
            message = f"there is no such upstream; configured: {known_names}. With --kind any name"
            raise click.BadParameter(f"{message} will do.", param_hint="--upstream")
        return there
    if kind is not None:
        return [(up, its) for up, its in there if its == kind] or [(kind, kind)]
    return there or [(listed, listed) for listed in sorted(LISTED_KINDS)]


def _look(loaded: Loaded, upstream: str, kind: str, model: str, at_us: int) -> _Told:
    from streamgauge.config.prices import PriceBook

    found = PriceBook(loaded.config.prices).find(upstream, kind, model, at_us)
    if found is None:
        return _Told(upstream, kind, model, None, None)
    origin = found.price.source if found.entry is None else _origin(loaded, found.entry)
    return _Told(upstream, kind, model, found.price, origin)


def _origin(loaded: Loaded, entry: int) -> str:
    place = loaded.origins.get(("prices", entry))
    return f"prices[{entry}]" if place is None else str(place)


def _page(told: _Told) -> str:
    head = f"{told.model} at {told.upstream} ({told.kind})"
    if told.price is None:
        return f"{head}: unknown: no entry of `prices` fits, and no list has it"
    return "\n".join([f"{head}: from {told.origin}", *_rate_lines(told.price)])


def _rate_lines(price: Price) -> Iterator[str]:
    unit = f"{price.currency} / 1M tokens"
    yield from _rates(price.rates, unit, "")
    for tier in price.tiers:
        yield from _rates(tier.rates, unit, f", more than {tier.above} read")
    for service in price.service_tiers:
        yield from _rates(service.rates, unit, f", served as {service.name}")
        for tier in service.tiers:
            yield from _rates(
                tier.rates, unit, f", served as {service.name}, more than {tier.above} read"
            )
    if price.fee:
        yield f"  {'fee':<11}  {nano_text(price.fee)} {price.currency} / request"
    if price.valid_from is not None:
        moment = _EPOCH + timedelta(microseconds=price.valid_from)
        yield f"  {'valid_from':<11}  {moment.isoformat().replace('+00:00', 'Z')}"


def _rates(rates: Rates, unit: str, when: str) -> Iterator[str]:
    for name in _RATES:
        rate: int | None = getattr(rates, name)
        if rate is not None:
            yield f"  {name:<11}  {nano_text(rate)} {unit}{when}"
