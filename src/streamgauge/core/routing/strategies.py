"""In which order a route's upstreams are tried, by how they stand now. Knows no request and no clock."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import assert_never

from streamgauge.core.chat import UpstreamDialect
from streamgauge.core.nano import nano_text
from streamgauge.core.pricing import Money, Price
from streamgauge.core.routing.ratios import Ratio
from streamgauge.core.routing.rules import Route, Strategy

__all__ = [
    "CALM",
    "COOLING",
    "DRAINED",
    "Choice",
    "Live",
    "Place",
    "Standing",
    "blended",
    "in_order",
]

DRAINED = "drained by an admin"
COOLING = "wants no call"
_EVEN = Ratio(input_tokens=1, output_tokens=1, samples=0)
"""Taken while nothing has been learnt of a model: it prefers neither cheap input nor cheap output."""
_ONLY_READ = Ratio(input_tokens=1, output_tokens=0, samples=0)
"""Embeddings: nothing is written, and an answer says nothing from which that could be learnt."""


@dataclass(frozen=True, slots=True)
class Standing:
    """How one upstream stands at this moment.

    `allows`: a call may begin; else in `reopens_in` seconds it may, if that is known. `cooling`: it
    may not since the upstream itself asked for a wait (`retry-after`), and not for its circuit.
    `in_flight`: calls that run. `latency`: seconds to an answer of late, None is unknown.
    `drained`: an admin wants no call to begin, for as long as an admin likes.
    """

    allows: bool = True
    reopens_in: float | None = None
    in_flight: int = 0
    latency: float | None = None
    drained: bool = False
    cooling: bool = False

    @property
    def bar(self) -> str | None:
        """Why no call may begin; None where one may."""
        if self.drained:
            return DRAINED
        if self.allows:
            return None
        return COOLING if self.cooling else "circuit open"


_WELL = Standing()


@dataclass(frozen=True, slots=True)
class Live:
    """What changes from request to request. A part of it is asked only where a route needs it.

    `admit`: whether a call may begin at each of these upstreams, told without their whole
    `standing`; without it they are asked for that. `price` is of a model at an upstream, `ratio`
    what was learnt of a model. `turn`: how many requests a route has had, this one left out; who
    begins one counts it. `warm`: the upstream that served a session last.
    """

    standing: Callable[[str], Standing] = lambda upstream: _WELL
    admit: Callable[[Sequence[str]], bool] | None = None
    price: Callable[[str, str | None], Price | None] = lambda upstream, model: None
    ratio: Callable[[str | None], Ratio | None] = lambda model: None
    turn: Callable[[str], int] = lambda route: 0
    warm: Callable[[str], str | None] = lambda session: None


CALM = Live()
"""Every upstream idle and well, and nothing known of prices and times."""


@dataclass(frozen=True, slots=True)
class Choice:
    """One try: an upstream, the model's name there, and the dialect to translate to (None: as is)."""

    upstream: str
    model: str | None
    dialect: UpstreamDialect | None = None


@dataclass(frozen=True, slots=True)
class Place:
    """A try in a strategy's hands. `reason`: why it stands where it does; `over`: it is left out.

    `keeps_prefixes`: it is a llama.cpp, which need not read again what it has read before.
    """

    choice: Choice
    keeps_prefixes: bool = False
    reason: str = ""
    over: bool = False


def in_order(
    route: Route,
    places: Sequence[Place],
    live: Live,
    session: str | None = None,
    *,
    only_read: bool = False,
) -> list[Place]:
    """Return `places` in the order in which they are tried; those over the route's price go last.

    `only_read`: the request asks for embeddings, which have no output to be priced.
    Where several are of a group that keeps prefixes, the one that served `session` last is its
    first, unless another of them has less to do.
    """
    match route.strategy:
        case Strategy.FIRST:
            return list(places)
        case Strategy.CHEAPEST:
            return _by_price(route, places, live, only_read)
        case Strategy.ROUND_ROBIN:
            start = live.turn(route.name) % len(places) if places else 0
            found = [*places[start:], *places[:start]]
        case Strategy.LEAST_BUSY:
            found = sorted(places, key=lambda p: _standing(p, live).in_flight)
        case Strategy.LOWEST_LATENCY:
            found = sorted(places, key=lambda p: _latency(_standing(p, live)))
        case _ as unreachable:
            assert_never(unreachable)
    return found if session is None else _warm_first(found, live, session)


def _standing(place: Place, live: Live) -> Standing:
    return live.standing(place.choice.upstream)


def _warm_first(places: list[Place], live: Live, session: str) -> list[Place]:
    """Spare the prefill: a prompt whose beginning is still in a server's cache is read at once."""
    group = [place for place in places if place.keeps_prefixes]
    warm = live.warm(session) if len(group) > 1 else None
    place = next((p for p in group if p.choice.upstream == warm), None)
    if place is None:
        return places
    if _standing(place, live).in_flight > min(_standing(p, live).in_flight for p in group):
        return places
    first = places.index(group[0])
    rest = [p for p in places if p is not place]
    return [*rest[:first], replace(place, reason="it served this session last"), *rest[first:]]


def _latency(standing: Standing) -> float:
    """An upstream nobody has measured is tried first, or it would never be measured."""
    return -1.0 if standing.latency is None else standing.latency


def blended(price: Price, ratio: Ratio | None) -> Money | None:
    """Return what a million tokens cost when they are read and written as `ratio` says.

    None where the price has no rate for output, and output is expected.
    """
    mix = ratio or _EVEN
    total = mix.input_tokens + mix.output_tokens
    if price.output is None:
        return Money(price.input, price.currency) if mix.output_tokens == 0 else None
    nano = price.input * mix.input_tokens + price.output * mix.output_tokens
    return Money((nano + total // 2) // total, price.currency)


def _by_price(route: Route, places: Sequence[Place], live: Live, only_read: bool) -> list[Place]:
    """Cheapest first; what is priced otherwise or not at all is never compared, and goes behind."""
    priced = [(place, _rate(place, live, only_read)) for place in places]
    currency = route.most.currency if route.most else _first_currency(priced)
    same = [(p, m) for p, m in priced if m is not None and m.currency == currency]
    same.sort(key=lambda pair: pair[1].nano)
    others = [(p, m) for p, m in priced if m is None or m.currency != currency]
    found = [_judged(place, money, route.most) for place, money in same]
    found += [
        replace(p, reason="unpriced" if m is None else f"priced in {m.currency}") for p, m in others
    ]
    return sorted(found, key=lambda place: place.over)


def _rate(place: Place, live: Live, only_read: bool) -> Money | None:
    choice = place.choice
    price = live.price(choice.upstream, choice.model)
    if price is None:
        return None
    return blended(price, _ONLY_READ if only_read else live.ratio(choice.model))


def _first_currency(priced: Sequence[tuple[Place, Money | None]]) -> str | None:
    return next((money.currency for _, money in priced if money is not None), None)


def _judged(place: Place, money: Money, most: Money | None) -> Place:
    told = f"{nano_text(money.nano)} {money.currency} per 1M"
    if most is not None and money.nano > most.nano:
        return replace(place, reason=f"{told}, over {most}", over=True)
    return replace(place, reason=told)
