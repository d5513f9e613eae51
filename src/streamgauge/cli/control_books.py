"""The ledger of a gateway as its control plane asks for it. It decides nothing about keys or rows."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from streamgauge.config.money import LISTED_CURRENCY
from streamgauge.config.prices import PriceBook
from streamgauge.config.schema import Config
from streamgauge.control.books import KeyGone, LedgerFile, Reads, UnknownModel
from streamgauge.core.keys import Caller
from streamgauge.ledger.keys import KeyRefused, KeyStore, NewKey, list_keys
from streamgauge.ledger.rollup import Hours
from streamgauge.ledger.session_queries import ScreenQueries

__all__ = ["LedgerBooks", "price_snippet"]

_MOST_UNKNOWN = 100


class LedgerBooks:
    """Implements Books for the ledger at `path`. It belongs to one thread.

    `in_use`: the configuration of this moment, from any thread. `keys_changed` is called after each
    change of keys, before its answer.
    """

    def __init__(
        self,
        path: Path | str,
        now_us: Callable[[], int],
        in_use: Callable[[], Config],
        keys_changed: Callable[[], None] = lambda: None,
    ) -> None:
        self._path = Path(path)
        self._now_us = now_us
        self._in_use = in_use
        self._keys_changed = keys_changed
        self._queries: ScreenQueries | None = None

    @property
    def reads(self) -> Reads:
        """The ledger, opened when it is first asked for."""
        return self._opened()

    def _opened(self) -> ScreenQueries:
        if self._queries is None:
            self._queries = ScreenQueries(self._path)
        return self._queries

    def file(self) -> LedgerFile:
        """Return what is known of the file."""
        log = self._path.with_name(self._path.name + "-wal")
        schema = self._opened().schema
        return LedgerFile(str(self._path), _size(self._path), _size(log), schema)

    def now_us(self) -> int:
        """Return the wall clock in µs since the epoch."""
        return self._now_us()

    def unknown_models(self, since: int) -> list[UnknownModel]:
        """Return models that had exchanges without a cost, most of them first."""
        config = self._in_use()
        prices = PriceBook(config.prices)  # the gateway's own is its loop's
        kinds = {upstream.name: upstream.kind.value for upstream in config.upstreams}
        now, found = self._now_us(), []
        for each in self._opened().usage(Hours.covering(since), ["upstream", "model"]):
            upstream, model = each.group["upstream"], each.group["model"]
            kind = kinds.get(str(upstream))
            if not each.unpriced or kind is None or not isinstance(model, str):
                continue
            if prices.price_for(str(upstream), kind, model, now) is None:
                snippet = price_snippet(str(upstream), model)
                found.append(UnknownModel(str(upstream), kind, model, each.exchanges, snippet))
        found.sort(key=lambda each: each.exchanges, reverse=True)
        return found[:_MOST_UNKNOWN]

    def currencies(self) -> set[str]:
        """Return the currencies of the prices in use, and the price list's."""
        return {LISTED_CURRENCY, *(entry.currency for entry in self._in_use().prices)}

    def keys(self) -> list[dict[str, Any]]:
        """Return all client keys, the oldest first."""
        return [row.as_json(self._now_us()) for row in list_keys(self._path)]

    def create_key(self, caller: Caller, expires_at: int | None) -> Mapping[str, str]:
        """Make a key."""
        with self._store() as store:
            return _told(store.create(caller, expires_at))

    def rotate_key(self, key_id: str, grace_seconds: float) -> Mapping[str, str]:
        """Give a key a new text."""
        with self._store() as store:
            return _told(store.rotate(key_id, grace_seconds))

    def revoke_key(self, key_id: str) -> None:
        """Let a key open nothing any more."""
        with self._store() as store:
            store.revoke(key_id)

    def change_key(self, key_id: str, changes: dict[str, Any]) -> None:
        """Set columns of a key."""
        with self._store() as store:
            store.change(key_id, changes)

    def close(self) -> None:
        """Let the ledger go."""
        if self._queries is not None:
            self._queries.__exit__(None, None, None)
            self._queries = None

    @contextmanager
    def _store(self) -> Iterator[KeyStore]:
        try:
            with KeyStore(self._path, self._now_us) as store:
                yield store
        except KeyRefused as error:
            raise KeyGone(str(error)) from error
        self._keys_changed()


def price_snippet(upstream: str, model: str) -> str:
    """Return what gives a model a price, for the configuration file; the rates are to be filled in."""
    # JSON's strings are YAML's, too. Globs' signs in a name would fit other models as well.
    names = f"upstream: {json.dumps(_literal(upstream))}, model: {json.dumps(_literal(model))}"
    return f"prices:\n  - {{{names}, input: 0.00, output: 0.00, currency: USD}}  # for 1M tokens\n"


def _literal(name: str) -> str:
    return "".join(f"[{char}]" if char in "*?[" else char for char in name)


def _size(path: Path) -> int | None:
    try:
        return path.stat().st_size
    except OSError:
        return None


def _told(made: NewKey) -> Mapping[str, str]:
    return {"id": made.key_id, "key": made.text, "label": made.label}
