"""Which stream lives in its session's lane, by epochs. It knows no socket, no clock and no relay."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum

from streamgauge.core.chat import ChatRequest, named_session

__all__ = ["Lane", "Sessions", "Supersede", "lane_of"]

_EXPLICIT = (b"x-streamgauge-session",)
_FRONT_ENDS = (*_EXPLICIT, b"x-session-id")
_TOOLS = ("tools", "functions")


class Supersede(StrEnum):
    """Which headers say that a session has one stream at a time (SPEC §11.3)."""

    EXPLICIT = "explicit"
    SESSION = "session"
    OFF = "off"


@dataclass(frozen=True, slots=True)
class Lane:
    """Where one stream lives at a time. `tools`: whether its calls bring any; None: no difference."""

    key_id: str | None
    session: str
    tools: bool | None = None


def lane_of(
    mode: Supersede,
    key_id: str | None,
    request: ChatRequest,
    headers: Callable[[bytes], str | None],
) -> Lane | None:
    """Return the lane of a request, None where it neither supersedes nor is superseded.

    Only streams have one: a front end asks for its titles in one piece, beside the stream that it
    shows. What else names a session (SPEC §11.7) is recorded and supersedes nothing.
    """
    if mode is Supersede.OFF or not request.stream:
        return None
    explicit = mode is Supersede.EXPLICIT
    session = named_session(headers, _EXPLICIT if explicit else _FRONT_ENDS)
    if session is None:
        return None
    # A main call beside its title call is told by its tools; an empty list is what the title has.
    tools = None if explicit else any(request.fields.get(name) for name in _TOOLS)
    return Lane(key_id, session, tools)


@dataclass(frozen=True, slots=True)
class _Seat:
    """One stream's place. `epoch`: no two are equal, and a later one is higher."""

    lane: Lane
    epoch: int
    stream_id: str


class Sessions:
    """The streams that have a lane. In each lane lives one at most, the one that began last.

    A stream is named by its id and told from its successor by its epoch: whoever cleans up behind
    an old one cannot reach a newer one, however late he comes (SPEC §11.4).
    """

    __slots__ = ("_epoch", "_living", "_seats")

    def __init__(self) -> None:
        self._epoch = 0
        self._living: dict[Lane, _Seat] = {}
        self._seats: dict[str, _Seat] = {}

    def __len__(self) -> int:
        """Return how many streams are known: those that live, and those being cleaned up."""
        return len(self._seats)

    def __repr__(self) -> str:
        return f"<Sessions living={len(self._living)} known={len(self._seats)}>"

    def living(self, lane: Lane) -> str | None:
        """Return the stream that lives in `lane`."""
        seat = self._living.get(lane)
        return None if seat is None else seat.stream_id

    def vacate(self, lane: Lane) -> str | None:
        """Take out the stream that lives in `lane` and return it: it is to be ended now."""
        seat = self._living.pop(lane, None)
        return None if seat is None else seat.stream_id

    def begin(self, lane: Lane, stream_id: str) -> int:
        """Let a stream live in `lane`; return its epoch.

        Raises ValueError where one lives there, or the id is known.
        """
        if lane in self._living or stream_id in self._seats:
            raise ValueError(f"the lane of {stream_id} is taken, or it has one")
        self._epoch += 1
        self._living[lane] = self._seats[stream_id] = _Seat(lane, self._epoch, stream_id)
        return self._epoch

    def ended(self, stream_id: str) -> bool:
        """Forget a stream; return whether it still lived. One that is not known is no error."""
        seat = self._seats.pop(stream_id, None)
        if seat is None:
            return False
        living = self._living.get(seat.lane)
        if living is None or living.epoch != seat.epoch:
            return False
        del self._living[seat.lane]
        return True
