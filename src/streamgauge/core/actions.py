"""What the shell must do, as the machine tells it: small values, in order."""

from __future__ import annotations

from dataclasses import dataclass

import msgspec

from streamgauge.core.record import AttemptRecord, ExchangeRecord

__all__ = [
    "Action",
    "AttemptOver",
    "BeginAttempt",
    "BeginRecord",
    "CloseUpstream",
    "Commit",
    "EndClient",
    "OpenUpstream",
    "PauseUpstream",
    "RememberRefusal",
    "ResumeUpstream",
    "SendAnswer",
    "SendData",
    "SendHead",
    "SendRequest",
    "WakeAt",
]


@dataclass(frozen=True, slots=True)
class BeginRecord:
    """Write the open row and that of its first attempt; answer with `begun` or `begin_failed`."""

    record: ExchangeRecord
    attempt: AttemptRecord


@dataclass(frozen=True, slots=True)
class BeginAttempt:
    """Write the row of a later attempt; answer with `begun` or `begin_failed`."""

    attempt: AttemptRecord


@dataclass(frozen=True, slots=True)
class OpenUpstream:
    """Connect to the upstream of attempt `n`; answer with `connected` or `attempt_failed`.

    `place`: which of the planned attempts it is.
    """

    n: int
    place: int = 0


@dataclass(frozen=True, slots=True)
class SendRequest:
    """Send `body` to the upstream: the row is committed and the socket ready."""

    n: int
    body: bytes


@dataclass(frozen=True, slots=True)
class SendHead:
    """Send the head of a stream to the client."""


class SendData(msgspec.Struct, frozen=True, gc=False):
    """Hand bytes of the stream to the client's socket, at once. A struct: one is made per frame."""

    data: bytes


@dataclass(frozen=True, slots=True)
class SendAnswer:
    """Send a whole answer that is no stream: head, body, end.

    `retry_after`: seconds for the header of that name, already capped.
    """

    status: int
    body: bytes
    retry_after: str | None = None


@dataclass(frozen=True, slots=True)
class EndClient:
    """End the client's body properly."""


@dataclass(frozen=True, slots=True)
class PauseUpstream:
    """Stop reading from the upstream."""


@dataclass(frozen=True, slots=True)
class ResumeUpstream:
    """Read from the upstream again."""


@dataclass(frozen=True, slots=True)
class CloseUpstream:
    """Close the upstream's socket at once."""


@dataclass(frozen=True, slots=True)
class WakeAt:
    """Call `tick` at this monotonic time, beside the usual ticks."""

    when: float


@dataclass(frozen=True, slots=True)
class RememberRefusal:
    """This upstream refuses the injected usage option: never ask it again (SPEC §3.2)."""

    upstream: str


@dataclass(frozen=True, slots=True)
class AttemptOver:
    """An attempt failed, and another one follows: what its upstream did may be learnt."""

    attempt: AttemptRecord


@dataclass(frozen=True, slots=True)
class Commit:
    """Close the row and its attempts, once. The exchange is over."""

    record: ExchangeRecord
    attempts: tuple[AttemptRecord, ...]


Action = (
    BeginRecord
    | BeginAttempt
    | OpenUpstream
    | SendRequest
    | SendHead
    | SendData
    | SendAnswer
    | EndClient
    | PauseUpstream
    | ResumeUpstream
    | CloseUpstream
    | WakeAt
    | RememberRefusal
    | AttemptOver
    | Commit
)
