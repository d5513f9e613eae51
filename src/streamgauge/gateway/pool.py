"""Opens calls on upstreams and keeps idle connections for the next (SPEC §3.5). Knows no HTTP."""

from __future__ import annotations

import asyncio
import contextlib
import functools
from collections import deque
from collections.abc import Callable, Hashable, Iterable
from dataclasses import dataclass

from streamgauge.gateway.dial import DialError, Target, dial
from streamgauge.gateway.http import FailKind, UpstreamCall, UpstreamEvents
from streamgauge.gateway.timers import FairTimer, Timer
from streamgauge.gateway.upstream_call import PooledCall
from streamgauge.gateway.upstream_connection import UpstreamConnection

__all__ = ["Pool", "PoolSettings", "PoolStats", "Target"]

_CLOSE_SECONDS = 1.0
_READ_BYTES = 64 * 1024
"""One read at most: what a client that reads nothing may cost beyond its high-water mark."""
_CLOSED_WITHIN = 0.5
"""Seconds in which the socket of a stream that we ended must be gone (SPEC §11.1)."""


@dataclass(frozen=True, slots=True)
class PoolSettings:
    """Bounds of what is kept. `idle_seconds` stays below the 5 s after which llama.cpp closes."""

    idle_per_target: int = 32
    idle_seconds: float = 4.0


@dataclass(frozen=True, slots=True)
class PoolStats:
    """Sockets now: `open` counts the idle ones too; `connecting` has no socket ready yet."""

    open: int
    idle: int
    connecting: int


@dataclass(frozen=True, slots=True)
class _Dialling:
    """A connect in progress and its deadline."""

    task: asyncio.Task[None]
    deadline: Timer | None


def _nobody(events: UpstreamEvents) -> None:
    """Tell nobody."""


class Pool:
    """The upstream connections of one loop. A connection is idle, or serves exactly one call."""

    __slots__ = (
        "_buffer",
        "_close_late",
        "_closed",
        "_dialling",
        "_emptied",
        "_idle",
        "_kept",
        "_loop",
        "_open",
        "_settings",
        "_sweep",
        "_tasks",
    )

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        settings: PoolSettings,
        close_late: Callable[[UpstreamEvents], None] = _nobody,
    ) -> None:
        """`close_late` is told whose socket was not closed in time, though we had closed it."""
        self._close_late = close_late
        self._loop = loop
        self._settings = settings
        # One for all: asyncio reads into it and hands it over before the next socket's read.
        self._buffer = memoryview(bytearray(_READ_BYTES))
        self._dialling: dict[PooledCall, _Dialling] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._open: set[UpstreamConnection] = set()
        self._idle: dict[Hashable, deque[UpstreamConnection]] = {}
        self._sweep: asyncio.TimerHandle | None = None
        self._kept: frozenset[Hashable] | None = None
        self._closed = False
        self._emptied: asyncio.Event | None = None

    def __repr__(self) -> str:
        stats = self.stats()
        state = "closed " if self._closed else ""
        counts = f"open={stats.open} idle={stats.idle} connecting={stats.connecting}"
        return f"<Pool {state}{counts}>"

    def stats(self) -> PoolStats:
        """Return the counts of this moment."""
        idle = sum(len(kept) for kept in self._idle.values())
        return PoolStats(open=len(self._open), idle=idle, connecting=len(self._dialling))

    @property
    def sockets(self) -> int:
        """How many sockets there are, or will be in a moment."""
        return len(self._open) + len(self._dialling)

    def open(self, target: Target, events: UpstreamEvents) -> UpstreamCall:
        """Return a call that tells `events`; nothing is told before this returns."""
        if self._closed:
            raise RuntimeError("the pool is closed")
        call = PooledCall(self._loop, self, events, target)
        connection = self._take(target.key)
        if connection is None:
            self.connect(call)
        else:
            call.attach(connection)
        return call

    def keep_only(self, keys: Iterable[Hashable]) -> None:
        """From now on keep idle connections for targets of these keys; close all others at once."""
        self._kept = frozenset(keys)
        for key in [key for key in self._idle if key not in self._kept]:
            for connection in self._idle.pop(key):
                connection.abort()

    async def aclose(self) -> None:
        """Close every socket, silently for the calls that use them, and end every connect."""
        self._closed = True
        if self._sweep is not None:
            self._sweep.cancel()
            self._sweep = None
        for call in list(self._dialling):
            call.close()
        for connection in list(self._open):
            if connection.user is not None:
                connection.user.close()
            connection.abort()
        self._idle.clear()
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=_CLOSE_SECONDS)
        if self._open:
            self._emptied = asyncio.Event()
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._emptied.wait(), _CLOSE_SECONDS)

    # ---- for calls --------------------------------------------------------------------

    def connect(self, call: PooledCall) -> None:
        """Open a fresh connection for `call`, under its target's deadline."""
        target = call.target
        task = self._loop.create_task(
            self._dial(call), name=f"upstream-connect {target.host}:{target.port}"
        )
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        deadline = None
        if target.connect_timeout:
            deadline = FairTimer(
                self._loop, target.connect_timeout, functools.partial(self._expire, call)
            )
        self._dialling[call] = _Dialling(task, deadline)

    def abandon(self, call: PooledCall) -> None:
        """Stop the connect of `call`, if one runs."""
        dialling = self._forget_dialling(call)
        if dialling is not None:
            dialling.task.cancel()

    def release(self, connection: UpstreamConnection) -> None:
        """Keep `connection` for a later call, in place of the oldest when there are too many."""
        unwanted = self._kept is not None and connection.key not in self._kept
        if self._closed or connection.closing or unwanted:
            connection.abort()
            return
        connection.resume()
        connection.reused = True
        connection.idle_since = self._loop.time()
        kept = self._idle.get(connection.key)
        if kept is None:
            kept = self._idle[connection.key] = deque()
        kept.append(connection)
        if len(kept) > self._settings.idle_per_target:
            kept.popleft().abort()
        if self._sweep is None:
            self._sweep = self._loop.call_later(self._settings.idle_seconds, self._drop_expired)

    def discard(self, connection: UpstreamConnection | None, events: UpstreamEvents) -> None:
        """Close a connection, if there is one, in the midst of what it told `events`."""
        if connection is None:
            return
        connection.abort()
        if not self._closed:
            self._loop.call_later(_CLOSED_WITHIN, self._check_closed, connection, events)

    # ---- for connections --------------------------------------------------------------

    def connection_unusable(self, connection: UpstreamConnection) -> None:
        """Drop an idle connection that its peer ended or spoke on."""
        kept = self._idle.get(connection.key)
        if kept is not None and connection in kept:
            kept.remove(connection)
            if not kept:
                del self._idle[connection.key]
        connection.abort()

    def connection_closed(self, connection: UpstreamConnection) -> None:
        """The socket is gone."""
        self._open.discard(connection)
        if self._emptied is not None and not self._open:
            self._emptied.set()

    def _check_closed(self, connection: UpstreamConnection, events: UpstreamEvents) -> None:
        if connection in self._open and not self._closed:
            self._close_late(events)
            connection.abort()

    # ---- inside -----------------------------------------------------------------------

    async def _dial(self, call: PooledCall) -> None:
        opened = functools.partial(self._attach, call)
        key = call.target.key
        try:
            await dial(
                self._loop,
                call.target,
                lambda: UpstreamConnection(key, self._buffer, self, opened),
            )
        except DialError as error:
            if self._forget_dialling(call) is not None:
                call.fail(error.kind, str(error))

    def _attach(self, call: PooledCall, connection: UpstreamConnection) -> None:
        # From the socket's own call-back, not from the task: what the peer does next has a user.
        if self._forget_dialling(call) is None:
            # Not among the open ones: uvloop has closed a socket whose connect was cancelled in
            # this very turn, and never tells that it is gone.
            connection.abort()
            return
        self._open.add(connection)
        call.attach(connection)

    def _expire(self, call: PooledCall) -> None:
        self.abandon(call)
        target = call.target
        message = f"{target.label}: no connection within {target.connect_timeout:g} s"
        call.fail(FailKind.CONNECT_TIMEOUT, message)

    def _forget_dialling(self, call: PooledCall) -> _Dialling | None:
        dialling = self._dialling.pop(call, None)
        if dialling is not None and dialling.deadline is not None:
            dialling.deadline.cancel()
        return dialling

    def _take(self, key: Hashable) -> UpstreamConnection | None:
        # The youngest first: the least likely to be closed by now.
        kept = self._idle.get(key)
        if kept is None:
            return None
        found, expired = None, self._loop.time() - self._settings.idle_seconds
        while kept and found is None:
            connection = kept.pop()
            if connection.idle_since > expired and connection.quiet:
                found = connection
            else:
                connection.abort()
        if not kept:
            del self._idle[key]
        return found

    def _drop_expired(self) -> None:
        self._sweep = None
        expired = self._loop.time() - self._settings.idle_seconds
        for key, kept in list(self._idle.items()):
            while kept and kept[0].idle_since <= expired:
                kept.popleft().abort()
            if not kept:
                del self._idle[key]
        if self._idle:
            oldest = min(kept[0].idle_since for kept in self._idle.values())
            self._sweep = self._loop.call_at(
                oldest + self._settings.idle_seconds, self._drop_expired
            )
