"""What the shell must do, as the machine tells it: small values, in order, made by the dozen."""

from __future__ import annotations

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


class BeginRecord(msgspec.Struct, frozen=True, gc=False):
    """Write the open row and that of its first attempt; answer with `begun` or `begin_failed`."""

    record: ExchangeRecord
    attempt: AttemptRecord


class BeginAttempt(msgspec.Struct, frozen=True, gc=False):
    """Write the row of a later attempt, and with it that of the one before, which is `over`.

    Answer with `begun` or `begin_failed`.
    """

    attempt: AttemptRecord
    over: AttemptRecord


class OpenUpstream(msgspec.Struct, frozen=True, gc=False):
    """Connect to the upstream of attempt `n`; answer with `connected` or `attempt_failed`.

    `place`: which of the planned attempts it is.
    """

    n: int
    place: int = 0


class SendRequest(msgspec.Struct, frozen=True, gc=False):
    """Send `body` to the upstream: the row is committed and the socket ready."""

    n: int
    body: bytes


class SendHead(msgspec.Struct, frozen=True, gc=False):
    """Send the head of a stream to the client."""


class SendData(msgspec.Struct, frozen=True, gc=False):
    """Hand bytes of the stream to the client's socket, at once."""

    data: bytes


class SendAnswer(msgspec.Struct, frozen=True, gc=False):
    """Send a whole answer that is no stream: head, body, end.

    `retry_after`: seconds for the header of that name, already capped.
    """

    status: int
    body: bytes
    retry_after: str | None = None


class EndClient(msgspec.Struct, frozen=True, gc=False):
    """End the client's body properly."""


class PauseUpstream(msgspec.Struct, frozen=True, gc=False):
    """Stop reading from the upstream."""


class ResumeUpstream(msgspec.Struct, frozen=True, gc=False):
    """Read from the upstream again."""


class CloseUpstream(msgspec.Struct, frozen=True, gc=False):
    """Close the upstream's socket at once."""


class WakeAt(msgspec.Struct, frozen=True, gc=False):
    """Call `tick` at this monotonic time, beside the usual ticks."""

    when: float


class RememberRefusal(msgspec.Struct, frozen=True, gc=False):
    """This upstream refuses the injected usage option: never ask it again (SPEC §3.2).

    `unsigned`: not that, but reasoning without a signature.
    """

    upstream: str
    unsigned: bool = False


class AttemptOver(msgspec.Struct, frozen=True, gc=False):
    """An attempt failed, and another one follows: what its upstream did may be learnt."""

    attempt: AttemptRecord


class Commit(msgspec.Struct, frozen=True, gc=False):
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
