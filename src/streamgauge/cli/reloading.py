"""Gives a running gateway a new configuration, or says why not (SPEC §2.6). Knows no listener."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

from streamgauge.cli.tls_files import check_tls_files
from streamgauge.config.load import Loaded, LoadOptions
from streamgauge.config.positions import Place
from streamgauge.config.prices import PriceBook
from streamgauge.config.problems import ConfigError, Problem
from streamgauge.config.reload import Reloaded, reload
from streamgauge.config.schema import Config
from streamgauge.config.watch import FileWatch
from streamgauge.gateway.generation import Generation, generation_of
from streamgauge.gateway.server import Gateway
from streamgauge.gateway.upstream_tls import TlsSettingsError

__all__ = ["APPLIED", "REFUSED", "UNCHANGED", "Reloader", "Say"]

APPLIED, UNCHANGED, REFUSED = "applied", "unchanged", "refused"
Say = Callable[[str, str, list[tuple[str, str]]], None]
"""Writes a log line: level, event, fields."""


class Reloader:
    """Reloads one at a time, in the order in which they were asked for.

    `counts`: reloads by result. `loaded`: what is in use, from `watch` on. `applied`: told of each
    configuration that took effect, on the loop.
    """

    def __init__(
        self,
        options: LoadOptions,
        gateway: Gateway,
        say: Say,
        applied: Sequence[Callable[[Config], None]] = (),
    ) -> None:
        self._options = options
        self._gateway = gateway
        self._say = say
        self._applied = applied
        self._turn = asyncio.Lock()
        self._next: asyncio.Task[None] | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self._watch: FileWatch | None = None
        self.loaded: Loaded | None = None
        self.counts: Counter[str] = Counter({APPLIED: 0, UNCHANGED: 0, REFUSED: 0})

    def watch(self, loaded: Loaded) -> None:
        """Reload from now on whenever the file that `loaded` came from changes."""
        self.loaded = loaded
        if loaded.origin is None:
            return
        # Where it was looked for, another one may lie: that it is away is a mistake, no wish for that.
        self._options = replace(self._options, config=loaded.origin)
        path = (self._options.cwd or Path.cwd()) / loaded.origin
        loop = asyncio.get_running_loop()

        def changed() -> None:
            loop.call_soon_threadsafe(self.wish, "file")

        self._watch = FileWatch(path, changed)
        # Between reading it and this moment the house was built: a change meanwhile is one, too.
        self._watch.start(loaded.stamp)

    async def aclose(self) -> None:
        """Stop watching, and drop the reloads that wait."""
        if self._watch is not None:
            await asyncio.to_thread(self._watch.stop)
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def wish(self, cause: str) -> None:
        """Reload soon: for a signal or a changed file. One that waits already does for both."""
        if self._next is None and not self._gateway.stopping:
            self._next = asyncio.create_task(self._when_free(cause), name=f"reload ({cause})")
            self._tasks.add(self._next)
            self._next.add_done_callback(self._tasks.discard)

    async def _when_free(self, cause: str) -> None:
        async with self._turn:
            self._next = None
            try:
                await self._reload(cause)
            except ConfigError:
                return  # it has been said

    async def reload(self, cause: str) -> Reloaded:
        """Read, check, build and swap. Raises ConfigError, after which all is as it was."""
        async with self._turn:
            return await self._reload(cause)

    async def _reload(self, cause: str) -> Reloaded:
        running = self._gateway.generation
        try:
            # Not on the loop: a large file takes seconds to read, and no frame waits for it.
            found, generation = await asyncio.to_thread(self._build, running)
        except ConfigError as error:
            self._refuse(error, cause)
            raise
        self._gateway.apply(generation)
        self.loaded = found.loaded
        for tell in self._applied:
            tell(generation.config)
        self._say_applied(found, cause)
        return found

    def _build(self, running: Generation) -> tuple[Reloaded, Generation]:
        found = reload(self._options, running.config)
        check_tls_files(found.loaded)
        config = found.loaded.config
        prices = running.prices
        if config.prices != running.config.prices:
            prices = PriceBook(config.prices)
        prices.warm({upstream.kind.value for upstream in config.upstreams})
        try:
            return found, generation_of(config, found.loaded.version, prices, running)
        except TlsSettingsError as error:
            place = Place.in_file(str(found.loaded.origin or "configuration"))
            raise ConfigError([Problem.at(place, ("upstreams",), str(error))]) from None

    def _refuse(self, error: ConfigError, cause: str) -> None:
        self.counts[REFUSED] += 1
        first, count = str(error.problems[0]), len(error.problems)
        gateway = self._gateway
        gateway.config_state = replace(gateway.config_state, error=first, problems=count)
        fields = [("cause", cause), ("problems", str(count)), ("first", first)]
        kept = ("version", gateway.config_state.version)
        self._say("warning", "config_refused", [*fields, kept])
        for problem in error.problems:
            self._say("debug", "config_problem", [("problem", str(problem))])

    def _say_applied(self, found: Reloaded, cause: str) -> None:
        self.counts[APPLIED if found.changed else UNCHANGED] += 1
        version = ("version", found.loaded.version)
        changed = ("changed", "true" if found.changed else "false")
        self._say("info", "config_reloaded", [("cause", cause), version, changed])
        for warning in found.loaded.warnings:
            self._say("warning", "configuration", [("message", warning)])
        if found.needs_restart:
            keys = ", ".join(found.needs_restart)
            message = "these keys keep their old values until a restart"
            self._say("warning", "config_needs_restart", [("keys", keys), ("message", message)])
