"""Label values of metrics and tags: configured names, closed lists, else `other` (FAULTS S21). No sink."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterable
from fnmatch import translate

from streamgauge.config.schema import Config

__all__ = ["NONE", "OTHER", "Labels"]

NONE, OTHER = "none", "other"
_DIALECTS = frozenset({"openai", "anthropic", "ollama", "simple", "frames"})
_SOURCES = frozenset({"provider", "timings", "running", "counted", "none"})
_MAX_UPSTREAMS = 200
"""Names that were ever configured: a gateway that is reloaded for years must not grow."""

_MAX_MODELS = 500
_MAX_CURRENCIES = 50
_REMEMBERED = 1000
"""Models whose label is looked up once. Clients make names up: when there are more, it is forgotten."""

_UPSTREAM_REPORTED = "USD"
"""What OpenRouter's own costs and genai-prices are in, whatever is configured (SPEC §7.1)."""


class Labels:
    """Knows which names are configured, now and earlier. Asked from any thread, served on one.

    A model that is named in the configuration is its own label. One that only a glob of the
    configuration covers has the glob as its label, so that the number of labels is the
    configuration's whatever clients ask for.
    """

    def __init__(self, upstreams: Collection[str] = (), models: Collection[str] = ()) -> None:
        self._upstreams = _added(frozenset(), upstreams, _MAX_UPSTREAMS)
        self._currencies = frozenset({_UPSTREAM_REPORTED})
        self._names: frozenset[str] = frozenset()
        self._globs: tuple[tuple[str, Callable[[str], object]], ...] = ()
        self._looked_up: dict[str, str] = {}
        self.edition = 0
        """Another number when names may have other labels than before."""
        self._add_models(models)

    def serve(self, config: Config) -> None:
        """Give the names of `config` labels of their own; earlier ones keep theirs."""
        upstreams = [upstream.name for upstream in config.upstreams]
        self._upstreams = _added(self._upstreams, upstreams, _MAX_UPSTREAMS)
        currencies = [price.currency for price in config.prices]
        self._currencies = _added(self._currencies, currencies, _MAX_CURRENCIES)
        self._add_models(_models_of(config))
        self.edition += 1

    def upstream(self, name: str | None) -> str:
        """Return the label of an upstream; `none` where no upstream was chosen."""
        return _one_of(name, self._upstreams)

    def dialect(self, name: str | None) -> str:
        """Return the label of a dialect."""
        return _one_of(name, _DIALECTS)

    def source(self, name: str | None) -> str:
        """Return the label of a `usage_source` or `input_source`."""
        return _one_of(name, _SOURCES)

    def currency(self, name: str | None) -> str:
        """Return the label of a currency."""
        return _one_of(name, self._currencies)

    def model(self, *names: str | None) -> str:
        """Return the label of the first of `names` that has one; `other` if none, `none` for no name."""
        found = NONE
        for name in names:
            if name:
                found = self._looked_up.get(name) or self._look_up(name)
                if found != OTHER:
                    return found
        return found

    def _look_up(self, name: str) -> str:
        # A reload on another thread begins a new dict last: what was found in old names while it
        # came goes into the old one, and is forgotten with it.
        looked_up = self._looked_up
        found = name if name in self._names else OTHER
        if found == OTHER:
            found = next((glob for glob, fits in self._globs if fits(name)), OTHER)
        if len(looked_up) >= _REMEMBERED:
            looked_up.clear()
        looked_up[name] = found
        return found

    def _add_models(self, models: Iterable[str]) -> None:
        known = self._names.union(glob for glob, _ in self._globs)
        new = sorted(_added(known, models, _MAX_MODELS) - known)
        globs = [name for name in new if set(name) & set("*?[")]
        self._names = self._names.union(set(new) - set(globs))
        compiled = tuple((glob, re.compile(translate(glob)).match) for glob in globs)
        self._globs = (*self._globs, *compiled)
        self._looked_up = {}


def _models_of(config: Config) -> Iterable[str]:
    """Yield names and globs of models; one that fits everything tells nothing apart."""
    found = [model for upstream in config.upstreams for model in upstream.models]
    found += [price.model for price in config.prices]
    routing = config.routing
    found += [route.match for route in routing.models]
    scenarios = [getattr(routing.scenarios, name) for name in type(routing.scenarios).model_fields]
    for route in (*routing.models, *routing.rules, *filter(None, scenarios), routing.default):
        found += [model for to in route.to if (model := to.partition("/")[2])]
    return [name for name in found if name.strip("*")]


def _added(known: frozenset[str], names: Iterable[str], most: int) -> frozenset[str]:
    room = max(0, most - len(known))
    new = [name for name in dict.fromkeys(names) if name not in known]
    return known.union(new[:room])


def _one_of(value: str | None, known: Collection[str]) -> str:
    if value is None:
        return NONE
    return value if value in known else OTHER
