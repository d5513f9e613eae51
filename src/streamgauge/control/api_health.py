"""The admin API's state of the house: configuration, runtime, ledger, prices, exporters."""

from __future__ import annotations

import asyncio
import os
from dataclasses import asdict
from importlib.metadata import distribution
from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from streamgauge import __version__
from streamgauge.control.bodies import json_answer
from streamgauge.control.books import Books, BooksThread, LedgerFile, UnknownModel
from streamgauge.control.guard import Refused
from streamgauge.control.moment import Moment, config_state
from streamgauge.control.plane import NotNow, Plane, Vitals
from streamgauge.control.routes import ApiRoute
from streamgauge.control.schemas import array, record, ref
from streamgauge.ledger.rollup_sql import DAY_US

__all__ = ["HealthApi"]

_UNKNOWN_DAYS = 30
_LIST, _LIST_FILE = "genai-prices", "genai_prices/data.py"
_LIST_BEGAN_US = 1_735_689_600_000_000
"""2025: there was no list before. Archives that are built alike each time have files of 1970 or 1980."""

Page = dict[str, Any]


class HealthApi:
    """Three routes. `started_at`: µs since the epoch."""

    def __init__(self, plane: Plane, books: BooksThread, moment: Moment, started_at: int) -> None:
        self._plane = plane
        self._books = books
        self._moment = moment
        self._started_at = started_at

    def routes(self) -> list[ApiRoute]:
        """Return what is served here."""
        anything = {"type": "object"}
        setting = record(path="string", value={}, origin="string", reload="boolean")
        config = record(
            file="string?",
            version="string",
            state="string",
            error="string?",
            problems="integer",
            reloads=anything,
            warnings=array({"type": "string"}),
            settings=array(setting),
        )
        unknown = record(
            upstream="string", kind="string", model="string", exchanges="integer", snippet="string"
        )
        exporter = record(name="string", behind="integer", error="string?")
        health = record(
            version="string",
            started_at="integer",
            ledger=anything,
            prices=record(
                list_version="string", list_installed_at="integer?", configured="integer?"
            ),
            runtime="object?",
            unknown_models=array(unknown),
            exporters=array(exporter),
            config=ref("ConfigState"),
        )
        what = "Settings in force with their origins; secrets are masked."
        return [
            ApiRoute("GET", "/config", self.config, what, config),
            ApiRoute("GET", "/runtime", self.runtime, "What the gateway holds now.", anything),
            ApiRoute("GET", "/health", self.health, "Ledger, prices, exporters, version.", health),
        ]

    async def config(self, request: Request) -> Response:
        """Return the settings in force."""
        vitals = self._plane.vitals()
        try:
            found = await self._plane.configuration()
        except NotNow as error:
            raise Refused(503, str(error)) from None
        page = {
            "file": found.file,
            **config_state(vitals.config),
            "reloads": dict(vitals.reloads),
            "warnings": list(found.warnings),
            "settings": [asdict(setting) for setting in found.settings],
        }
        return json_answer(200, page)

    async def runtime(self, request: Request) -> Response:
        """Return the numbers of this moment (SPEC §11.4)."""
        found = await self._moment.runtime()
        if found is None:
            raise Refused(503, "the gateway does not answer")
        return json_answer(200, asdict(found))

    async def health(self, request: Request) -> Response:
        """Return the state of the house; without the data loop's numbers while that is busy."""
        vitals, runtime = self._plane.vitals(), await self._moment.runtime()

        def ask(books: Books) -> tuple[LedgerFile, int | None, list[UnknownModel]]:
            since = books.now_us() - _UNKNOWN_DAYS * DAY_US
            return books.file(), books.reads.oldest_at(), books.unknown_models(since)

        file, oldest_at, unknown = await self._books.ask(ask)
        page = {
            "version": __version__,
            "started_at": self._started_at,
            "ledger": {**asdict(file), "oldest_at": oldest_at, **_ledger_state(vitals)},
            "prices": await self._prices(),
            "runtime": None if runtime is None else asdict(runtime),
            "unknown_models": [asdict(each) for each in unknown],
            "exporters": [asdict(each) for each in vitals.exporters],
            "config": config_state(vitals.config),
        }
        return json_answer(200, page)

    async def _prices(self) -> Page:
        """Return how many prices are configured, the version of the list and since when it is here."""
        listed, since = await asyncio.to_thread(_list)
        return {
            "list_version": listed,
            "list_installed_at": since,
            "configured": await self._configured(),
        }

    async def _configured(self) -> int | None:
        try:
            settings = (await self._plane.configuration()).settings
        except NotNow:
            return None
        entries = {setting.path.partition(".")[0] for setting in settings}
        return len([path for path in entries if path.startswith("prices[")])


def _list() -> tuple[str, int | None]:
    """Return the price list's version and when its file was put here, µs since the epoch.

    Of the package: importing the list itself takes a fifth of a second of everybody's time. It has no
    date of its own, and is at least as old as its file.
    """
    package = distribution(_LIST)
    try:
        written = os.stat(str(package.locate_file(_LIST_FILE))).st_mtime_ns // 1000
    except OSError:
        return package.version, None
    return package.version, written if written >= _LIST_BEGAN_US else None


def _ledger_state(vitals: Vitals) -> Page:
    return {
        "healthy": vitals.ledger_healthy,
        "reason": vitals.ledger_reason,
        "stats": asdict(vitals.ledger),
    }
