"""A fast upstream for the bench, a process of its own: sends stamped events on a schedule, judges nothing.

Started as `python -m streamgauge.tools.bench.upstream`; Linux only (epoll). It is no asyncio program because
the loops at hand wake once in a millisecond: at 10 000 events a second ten would go out together, and a proxy
would look cheaper than it is.
"""

from __future__ import annotations

import argparse
import heapq
import re
import select
import socket
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NoReturn

from streamgauge.tools.bench.wire import (
    COMPLETION,
    MODELS,
    event_frame,
    first_frames,
    json_answer,
    last_frames,
)

__all__ = ["Plan", "Upstream", "first_due", "main", "next_due"]

_IS_STREAM = re.compile(rb'"stream"\s*:\s*true')
_EVENTS = re.compile(rb'"max_(?:completion_)?tokens"\s*:\s*(\d+)')
_LENGTH = re.compile(rb"(?i)\r\ncontent-length:[ \t]*(\d+)")
_CHUNKED = re.compile(rb"(?i)\r\ntransfer-encoding:[ \t]*chunked")
_BATCH = 64
"""Events built for one send in a flood: about 16 KiB, so that a stamp is not much older than its send."""
_READ = 65_536
_BACKLOG = 4096


@dataclass(frozen=True, slots=True)
class Plan:
    """How streams are sent: an event every `gap_ns`; 0 means as fast as the socket takes them.

    `streams` is how many are expected at once: their events are spread evenly over a gap. How many
    events a stream has, its request says as the most tokens it wants.
    """

    streams: int
    gap_ns: int


class _Connection:
    """One accepted socket. `number` is the next event to send, None while no stream runs."""

    __slots__ = ("events", "number", "out", "pending", "socket")

    def __init__(self, accepted: socket.socket) -> None:
        self.socket = accepted
        self.pending = b""  # of requests that are not whole yet
        self.out = b""  # what the socket did not take
        self.number: int | None = None
        self.events = 0

    def send(self, data: bytes) -> bool:
        """Send, or keep what does not fit; return whether all of it went."""
        if self.out:
            self.out += data
            return False
        try:
            sent = self.socket.send(data)
        except BlockingIOError:
            sent = 0
        self.out = data[sent:]
        return not self.out


class Upstream:
    """A server on one listening socket. Invariant: a connection is in `_due` while its paced stream runs."""

    def __init__(self, plan: Plan, listener: socket.socket) -> None:
        self._plan = plan
        self._listener = listener
        self._epoll = select.epoll()
        self._connections: dict[int, _Connection] = {}
        self._due: list[tuple[int, int, _Connection]] = []
        self._begun = 0
        listener.setblocking(False)
        self._epoll.register(listener.fileno(), select.EPOLLIN)

    def run(self) -> NoReturn:
        """Serve until the process is ended."""
        watched = [self._epoll.fileno()]
        while True:
            # select, not epoll's own wait: its timeout knows microseconds.
            wait = self._seconds_until_due()
            if select.select(watched, (), (), wait)[0]:
                for descriptor, what in self._epoll.poll(0):
                    self._ready(descriptor, what)
            self._send_due()

    def _seconds_until_due(self) -> float | None:
        if not self._due:
            return None
        return max(0, self._due[0][0] - time.monotonic_ns()) / 1e9

    def _ready(self, descriptor: int, what: int) -> None:
        if descriptor == self._listener.fileno():
            self._accept()
            return
        connection = self._connections[descriptor]
        try:
            if what & select.EPOLLOUT:
                self._writable(connection)
            if what & (select.EPOLLIN | select.EPOLLHUP | select.EPOLLERR):
                self._readable(connection)
        except OSError:  # the peer went away; the client counts what is missing
            self._close(connection)

    def _accept(self) -> None:
        while True:
            try:
                accepted, _ = self._listener.accept()
            except BlockingIOError:
                return
            accepted.setblocking(False)
            accepted.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self._connections[accepted.fileno()] = _Connection(accepted)
            self._epoll.register(accepted.fileno(), select.EPOLLIN)

    def _close(self, connection: _Connection) -> None:
        self._connections.pop(connection.socket.fileno(), None)
        connection.socket.close()  # which takes it out of the epoll set, too
        connection.number = None

    def _readable(self, connection: _Connection) -> None:
        data = connection.socket.recv(_READ)
        if not data:
            self._close(connection)
            return
        connection.pending += data
        while (end := _end_of_request(connection.pending)) is not None:
            whole, connection.pending = connection.pending[:end], connection.pending[end:]
            self._answer(connection, whole)

    def _answer(self, connection: _Connection, whole: bytes) -> None:
        if not whole.startswith(b"POST"):
            self._send(connection, json_answer(MODELS))
        elif not _IS_STREAM.search(whole):
            self._send(connection, json_answer(COMPLETION))
        else:
            self._begin(connection, _events_of(whole))

    def _begin(self, connection: _Connection, events: int) -> None:
        """Send head, role and the first event at once; the others follow in this stream's own phase."""
        now = time.monotonic_ns()
        connection.number, connection.events = 1, events
        self._send(connection, first_frames() + event_frame(0, now))
        if self._plan.gap_ns == 0:
            self._flood(connection)
            return
        self._begun += 1
        due = first_due(self._plan, self._begun, now)
        heapq.heappush(self._due, (due, self._begun, connection))

    def _send_due(self) -> None:
        due = self._due
        while due and due[0][0] <= time.monotonic_ns():
            at, order, connection = due[0]
            if connection.number is None:
                heapq.heappop(due)
            elif connection.number < connection.events:
                again = next_due(self._plan, at, time.monotonic_ns())
                heapq.heapreplace(due, (again, order, connection))
                self._send(connection, event_frame(connection.number, time.monotonic_ns()))
                if connection.number is not None:
                    connection.number += 1
            else:
                heapq.heappop(due)
                self._finish(connection)

    def _finish(self, connection: _Connection) -> None:
        connection.number = None
        self._send(connection, last_frames(connection.events))

    def _flood(self, connection: _Connection) -> None:
        while connection.number is not None and not connection.out:
            first = connection.number
            if first >= connection.events:
                self._finish(connection)
                return
            connection.number = min(first + _BATCH, connection.events)
            now = time.monotonic_ns()
            frames = [event_frame(n, now) for n in range(first, connection.number)]
            self._send(connection, b"".join(frames))

    def _send(self, connection: _Connection, data: bytes) -> None:
        try:
            if not connection.send(data):
                both = select.EPOLLIN | select.EPOLLOUT
                self._epoll.modify(connection.socket.fileno(), both)
        except OSError:
            self._close(connection)

    def _writable(self, connection: _Connection) -> None:
        left, connection.out = connection.out, b""
        if connection.send(left):
            self._epoll.modify(connection.socket.fileno(), select.EPOLLIN)
            if self._plan.gap_ns == 0:
                self._flood(connection)


def first_due(plan: Plan, order: int, now_ns: int) -> int:
    """Return when the second event of the `order`-th stream goes out, half a gap after `now_ns` or later.

    Each of `plan.streams` streams has a phase of its own, so that the events of all come evenly.
    """
    phase = order % plan.streams * plan.gap_ns // plan.streams
    return next_due(plan, phase, now_ns)


def next_due(plan: Plan, phase: int, now_ns: int) -> int:
    """Return the next time in `phase`, half a gap after `now_ns` or later.

    On a machine that stood still the stream goes on later: two events at once would be cheaper than two.
    """
    earliest = now_ns + plan.gap_ns // 2
    return earliest + (phase - earliest) % plan.gap_ns


def _events_of(request: bytes) -> int:
    wanted = _EVENTS.search(request)
    return 1 if wanted is None else int(wanted[1])


def _end_of_request(data: bytes) -> int | None:
    """Return how long the first request in `data` is, or None while it is not whole."""
    head_end = data.find(b"\r\n\r\n")
    if head_end < 0:
        return None
    head = data[:head_end]
    if _CHUNKED.search(head):  # what the client sends holds no such line: the end is enough
        end = data.find(b"0\r\n\r\n", head_end)
        return None if end < 0 else end + 5
    length = _LENGTH.search(head)
    end = head_end + 4 + (int(length[1]) if length else 0)
    return end if len(data) >= end else None


def main(arguments: Sequence[str] | None = None) -> NoReturn:
    """Listen on 127.0.0.1, print `ready PORT`, serve until the process is ended."""
    parser = argparse.ArgumentParser(prog="bench-upstream", description="The bench's upstream.")
    for name in ("--streams", "--gap-ns"):
        parser.add_argument(name, type=int, required=True)
    given = parser.parse_args(arguments)
    listener = socket.create_server(("127.0.0.1", 0), backlog=_BACKLOG)
    upstream = Upstream(Plan(given.streams, given.gap_ns), listener)
    print(f"ready {listener.getsockname()[1]}", flush=True)
    upstream.run()


if __name__ == "__main__":
    main()
