"""Decides whose exchange is captured: by route, by an admin's header, by order (SPEC §12.4)."""

from __future__ import annotations

import hmac
import logging
import time
from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum, auto
from fnmatch import fnmatchcase

from streamgauge.config.capture import Capture
from streamgauge.config.schema import Config
from streamgauge.core.attempt import Facts
from streamgauge.core.integrity_text import PROTOCOLS
from streamgauge.gateway.capture.format import VERSION, Opening, Side, Way
from streamgauge.gateway.capture.masking import credentials_in
from streamgauge.gateway.capture.recording import Flow
from streamgauge.gateway.capture.store import CaptureFolder, FolderRefused
from streamgauge.gateway.capture.taps import TappedOwner, TappedResponder
from streamgauge.gateway.capture.writer import CaptureWriter, Tape
from streamgauge.gateway.endpoints import beta_query
from streamgauge.gateway.http import Request, Responder
from streamgauge.gateway.relay_owner import RelayOwner
from streamgauge.gateway.request_headers import CAPTURE_HEADER

__all__ = ["CaptureRefused", "CaptureState", "Capturing", "Order"]

_log = logging.getLogger(__name__)

_ASKED: Flow = (Side.CLIENT, Way.IN, None)


class _Why(Enum):
    ORDER = auto()
    SETTING = auto()


class CaptureRefused(Exception):
    """Nothing can be captured. The message says why."""


@dataclass(frozen=True, slots=True)
class Order:
    """An admin's wish: the next `count` exchanges, or all that begin within `seconds`; of `route`.

    `count` 0 ends what was ordered before. None is no bound; `route` is a glob.
    """

    count: int | None = None
    seconds: float | None = None
    route: str | None = None


@dataclass(frozen=True, slots=True)
class CaptureState:
    """What is captured at this moment, and what was so far.

    `left`: exchanges still to be captured by order, `seconds_left` for how long; None is no bound.
    `open`: of those that an order began, how many are not yet whole on the disk.
    `last`: the ids of the newest captures, oldest first, each a file of `dir`.
    """

    dir: str | None
    active: bool
    left: int | None
    seconds_left: float | None
    route: str | None
    open: int
    whole: int
    incomplete: int
    failed: int
    last: tuple[str, ...]
    error: str | None


class Capturing:
    """The captures of one gateway. Used on its loop; files are the writer's."""

    def __init__(
        self,
        config: Callable[[], Config],
        clock: Callable[[], float] = time.monotonic,
        writer: CaptureWriter | None = None,
    ) -> None:
        """`config`: the one in use."""
        self._config = config
        self._clock = clock
        self._writer = CaptureWriter() if writer is None else writer
        self._left: int | None = 0
        self._until: float | None = None
        self._route: str | None = None
        self._ordered: list[Tape] = []

    # --- orders --------------------------------------------------------------------------------

    def order(self, order: Order) -> CaptureState:
        """Capture what comes; a newer order replaces the one before."""
        self._left, self._route = order.count, order.route
        self._until = None if order.seconds is None else self._clock() + order.seconds
        return self.state()

    def check(self) -> None:
        """See whether files can be written: not for the loop. Raises CaptureRefused."""
        settings = self._config().capture
        if settings.dir is None:
            raise CaptureRefused("capture.dir is not set: there is no folder for captures")
        try:
            _folder(settings).check()
        except FolderRefused as error:
            raise CaptureRefused(str(error)) from None

    def state(self) -> CaptureState:
        """Return how things stand."""
        now, stats = self._clock(), self._writer.stats()
        active = self._is_on(now)
        until = self._until if active else None
        return CaptureState(
            dir=self._config().capture.dir,
            active=active,
            left=self._left if active else 0,
            seconds_left=None if until is None else round(until - now, 3),
            route=self._route if active else None,
            open=len(self._unsettled()),
            whole=stats.whole,
            incomplete=stats.incomplete,
            failed=stats.failed,
            last=stats.last,
            error=stats.error,
        )

    def stop(self, seconds: float) -> None:
        """Write what waits, in `seconds` at most. Blocks."""
        self._writer.stop(seconds)

    # --- exchanges -----------------------------------------------------------------------------

    def tapped(
        self, owner: RelayOwner, responder: Responder, request: Request, facts: Facts
    ) -> tuple[RelayOwner, Responder]:
        """Return what an exchange is to talk to: both as they came, unless it is captured."""
        config = self._config()
        shown = request.head.header(CAPTURE_HEADER)
        if config.capture.dir is None and shown is None:
            return owner, responder
        why = self._why(config, shown, facts)
        if why is None:
            return owner, responder
        tape = self._begin(config, config.capture, request, facts)
        if why is _Why.ORDER:
            self._ordered = [*self._unsettled(), tape]
        return TappedOwner(owner, tape), TappedResponder(responder, tape)

    def _unsettled(self) -> list[Tape]:
        return [tape for tape in self._ordered if not tape.settled]

    def _why(self, config: Config, shown: str | None, facts: Facts) -> _Why | None:
        asked = shown is not None and self._is_admin(config, shown, facts)
        if config.capture.dir is None:
            return None
        if self._is_on(self._clock()) and _fits(self._route, facts.route):
            if self._left is not None:
                self._left -= 1
            return _Why.ORDER
        routed = any(_fits(glob, facts.route) for glob in config.capture.routes)
        return _Why.SETTING if asked or routed else None

    def _is_admin(self, config: Config, shown: str, facts: Facts) -> bool:
        """Whether the header is the admin token. Who is wrong is served all the same and sees nothing:
        an answer that told would let tokens be tried.
        """
        token = config.control.token.get_secret_value() if config.control.token else ""
        right = hmac.compare_digest(shown.strip().encode(), token.encode()) and bool(token)
        if not right:
            why = "the token is wrong" if token else "control.token is not set"
            _log.warning("no capture of %s by its header: %s", facts.id, why)
        elif config.capture.dir is None:
            _log.warning("no capture of %s by its header: capture.dir is not set", facts.id)
        return right

    def _is_on(self, now: float) -> bool:
        return self._left != 0 and (self._until is None or now < self._until)

    def _begin(self, config: Config, settings: Capture, request: Request, facts: Facts) -> Tape:
        head = request.head
        secrets = frozenset(config.secrets() | credentials_in(head.headers))
        tape = self._writer.begin(
            _folder(settings), _opening(config, facts), secrets, request.received_at, self._clock
        )
        # Of the query nothing but this is kept anywhere (SPEC §1.2).
        start = f"{head.method} {head.path}{beta_query(head.query)} HTTP/1.1"
        tape.head(_ASKED, start, head.headers)
        if request.body:
            tape.data(_ASKED, request.body)
        tape.end(_ASKED, "end")
        return tape


def _fits(glob: str | None, route: str) -> bool:
    return glob is None or glob == route or fnmatchcase(route, glob)


def _folder(settings: Capture) -> CaptureFolder:
    assert settings.dir is not None
    return CaptureFolder(settings.dir, settings.max_mb << 20, settings.days)


def _opening(config: Config, facts: Facts) -> Opening:
    request = facts.request
    protocol = "responses" if request.endpoint == "responses" else request.dialect
    return Opening(
        streamgauge_capture=VERSION,
        id=facts.id,
        started_at=facts.started_at,
        dialect=request.dialect,
        endpoint=request.endpoint,
        protocol=protocol if protocol in PROTOCOLS else None,
        streaming=request.stream,
        integrity=_mode(config, facts),
        metadata=facts.metadata,
        requested_model=request.model,
        route=facts.route,
        attempts=[
            {
                "upstream": attempt.upstream,
                "kind": attempt.kind,
                "model": attempt.model,
                "dialect": attempt.dialect,
            }
            for attempt in facts.attempts
        ],
    )


def _mode(config: Config, facts: Facts) -> str:
    """Return how the stream is stamped; what nobody reads has no stamps (SPEC §4.9)."""
    read = any(facts.reads(attempt) for attempt in facts.attempts)
    return config.integrity.value if read else "off"
