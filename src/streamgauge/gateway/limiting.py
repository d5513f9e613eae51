"""Holds a caller's calls against its key's limits: before they begin, until their row is closed.

Between the pure `core.limits` and the gateway. Knows no socket; what a limit means, the core knows.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence

import msgspec

from streamgauge.core.attempt import Allowance, Attempt
from streamgauge.core.call_bounds import LLAMA_CPP, call_bounds
from streamgauge.core.chat import ChatRequest
from streamgauge.core.conversation import Conversation
from streamgauge.core.dialects.rate_limits import rate_limit_headers
from streamgauge.core.errors import ErrorCode, GatewayError
from streamgauge.core.keys import Caller, KeyLimits
from streamgauge.core.limit_terms import Demand, Grant, Limit, Refusal, Spent, Standing, Used
from streamgauge.core.limits import Limits
from streamgauge.core.price import Money, Price
from streamgauge.core.record import ExchangeRecord
from streamgauge.core.verdict import State
from streamgauge.gateway.idempotency import Idempotency
from streamgauge.gateway.relay import Relay
from streamgauge.gateway.response_headers import NOT_AGAIN

__all__ = ["Admission", "Call", "Limiting"]

_NO_DEMAND = Demand(0, 0, 0)


class Call(msgspec.Struct, frozen=True):
    """A call before it may begin: its exchange's id, who calls, what for, and where it would be tried.

    `started_at`: µs since the epoch. `attempts`: all but the first may be made when they are
    looked at. `context`: the tokens of the largest context of theirs, None where one is not known.
    `conversation`: the request as read, where an attempt needs it. `bounds_output`: as in Generation.
    """

    id: str
    started_at: int
    caller: Caller | None
    request: ChatRequest
    attempts: Sequence[Attempt]
    context: Callable[[], int | None]
    conversation: Conversation | None = None
    bounds_output: bool = False

    @property
    def key_id(self) -> str | None:
        """Whose it is."""
        return None if self.caller is None else self.caller.key_id


class Admission(msgspec.Struct, frozen=True):
    """What an exchange that may begin is given: how far its stream may go, what its head tells.

    `standing`: None for a caller without limits.
    """

    allowance: Allowance | None = None
    standing: Standing | None = None


_FREELY = Admission()


def _no_room() -> bool:
    return False


class Limiting:
    """The limits of all callers. Each exchange that was admitted is `ended` or `withdrawn` once.

    `relays`: the gateway's, by the ids of their exchanges.
    """

    __slots__ = ("_grants", "_idempotency", "_limited", "_limits", "_relays")

    def __init__(self, relays: Mapping[str, Relay]) -> None:
        self._relays = relays
        self._limits = Limits()
        self._grants: defaultdict[str, dict[str, Grant]] = defaultdict(dict)
        self._idempotency = Idempotency()
        self._limited: set[str] = set()  # keys all of whose running calls have a grant

    def __repr__(self) -> str:
        return f"<Limiting {self._limits!r} names={len(self._idempotency)}>"

    @property
    def holds(self) -> int:
        """How many calls hold something of their key's limits."""
        return self._limits.holds

    def left(self, key_id: str, limits: KeyLimits, wall: int) -> int | None:
        """Return the nano-units that a key may still spend; None: no limit. `wall`: µs, epoch."""
        return self._limits.left(key_id, limits, wall)

    def remember(self, spent: Iterable[Spent]) -> None:
        """Take over what the ledger knows of the running day and month."""
        for each in spent:
            self._limits.spend(each.key_id, each.money, each.day)

    def admit(
        self,
        call: Call,
        name: str | None,
        now: float,
        make_room: Callable[[], bool] = _no_room,
    ) -> Admission:
        """Return what the exchange is given. `name`: the client's `Idempotency-Key`.

        `make_room` ends the stream whose place this one is to take, where there is one: called
        only when its end may help. `now`: monotonic seconds. Raises GatewayError: 429 or 402 for a
        limit, 400, 409 or 422 for the name. Nothing is then held, nor is the name taken.
        """
        if name is not None:
            self._take_name(name, call, now)
        caller = call.caller
        if caller is None:
            return _FREELY
        if caller.limits.are_none:
            self._limited.discard(caller.key_id)
            return _FREELY
        try:
            return self._hold(call, caller, now, make_room)
        except BaseException:  # a fault of our own takes no name either
            self._idempotency.ended(call.id, called=False)
            raise

    def withdrawn(self, call: Call) -> None:
        """The exchange could not begin after all: give back what it holds."""
        self._idempotency.ended(call.id, called=False)
        grants = None if call.caller is None else self._grants.get(call.caller.key_id)
        if grants is not None and (grant := grants.pop(call.id, None)) is not None:
            self._limits.release(grant)

    def ended(self, record: ExchangeRecord, now: float, *, called: bool) -> None:
        """The exchange is over: settle what it holds with its row, which is closed.

        `called`: an upstream may ask money for it.
        """
        self._idempotency.ended(record.id, called=called)
        if record.key_id is None:
            return
        ended = record.started_at if record.finished_at is None else record.finished_at
        grants = self._grants.get(record.key_id)
        grant = None if grants is None else grants.pop(record.id, None)
        if grant is not None:
            self._limits.settle(grant, Used.of(record, called=called), now, ended)
        elif record.cost_nano is not None and record.currency is not None:
            # The key may be given a limit later in the day.
            cost = Money(record.cost_nano, record.currency)
            self._limits.spend(record.key_id, cost, ended)

    def _take_name(self, name: str, call: Call, now: float) -> None:
        request = call.request
        asked = f"{request.endpoint} {request.dialect}"
        self._idempotency.begin(call.key_id, name, asked, request.raw, call.id, now)

    def _hold(
        self, call: Call, caller: Caller, now: float, make_room: Callable[[], bool]
    ) -> Admission:
        key_id, limits = caller.key_id, caller.limits
        if key_id not in self._limited:
            self._count_running(key_id)
        demand = _demand(call, limits) if limits.count_tokens else _NO_DEMAND
        answer = self._limits.ask(key_id, limits, demand, now, call.started_at)
        if isinstance(answer, Refusal):
            answer = self._ask_again(answer, call, caller, demand, now, make_room)
            if isinstance(answer, Refusal):
                raise _error(answer, call)
        self._grants[key_id][call.id] = answer
        # Only a stream is ended by its limits.
        allowance = _allowance(answer) if call.request.stream else None
        return Admission(allowance, answer.standing)

    def _ask_again(
        self,
        refusal: Refusal,
        call: Call,
        caller: Caller,
        demand: Demand,
        now: float,
        make_room: Callable[[], bool],
    ) -> Grant | Refusal:
        """Return what is answered once those gave way who may; `refusal` where nobody does."""
        answer: Grant | Refusal = refusal
        key_id, limits, wall = caller.key_id, caller.limits, call.started_at
        if self._free_served(key_id):
            answer = self._limits.ask(key_id, limits, demand, now, wall)
        if isinstance(answer, Refusal) and answer.limit is not Limit.REQUESTS and make_room():
            answer = self._limits.ask(key_id, limits, demand, now, wall)
        return answer

    def _count_running(self, key_id: str) -> None:
        """Take in the calls that began before their key was given limits: they are streams of it."""
        grants = self._grants[key_id]
        for exchange_id, relay in self._relays.items():
            if relay.exchange.facts.key_id == key_id and exchange_id not in grants:
                grants[exchange_id] = self._limits.counted(key_id)
        self._limited.add(key_id)

    def _free_served(self, key_id: str) -> bool:
        """Let go of what calls hold whose client has everything; their rows close in a moment."""
        freed = False
        for exchange_id, grant in self._grants[key_id].items():
            relay = self._relays.get(exchange_id)
            if relay is not None and _is_served(relay):
                self._limits.served(grant, Used.of(relay.exchange.record))
                freed = True
        return freed


def _is_served(relay: Relay) -> bool:
    exchange = relay.exchange
    return exchange.state is State.DRAINING and not exchange.draining


def _demand(call: Call, limits: KeyLimits) -> Demand:
    """Return what the call may use: it is looked at only where a limit counts tokens."""
    prices: tuple[Price | None, ...] = ()
    if limits.are_in_money:
        tier = call.request.fields.get("service_tier")
        asked = tier if isinstance(tier, str) else None
        prices = tuple([_price(attempt.price, asked) for attempt in call.attempts])
    # All others ask for what the request says, and none of them has to be made for it.
    own = call.bounds_output or LLAMA_CPP in call.request.fields
    if (conversation := call.conversation) is not None and not own:
        own = conversation.sampling.max_tokens is None  # its upstream's dialect may bound it
    attempts = call.attempts if own else ()
    return call_bounds(call.request, conversation, call.context, prices, attempts)


def _price(price: Price | None, service_tier: str | None) -> Price | None:
    return None if price is None else price.served_as(service_tier)


def _error(refusal: Refusal, call: Call) -> GatewayError:
    """Return what the client is told, in its dialect's headers too."""
    error, dialect = refusal.as_error(), call.request.dialect
    error.headers = rate_limit_headers(dialect, refusal.standing, call.started_at)
    if refusal.retry_after is None:
        error.headers += (NOT_AGAIN,)
    return error


def _allowance(grant: Grant) -> Allowance | None:
    if grant.frames is None:
        return None
    if grant.binding is Limit.MONEY:
        message = "the key's money for the day or the month is used up"
    else:
        message = "the key's tokens for the minute are used up"
    error = GatewayError(grant.binding.status, ErrorCode.LIMIT_REACHED, message)
    # All that the upstream is asked for is held: such an answer ends by itself, and only one that
    # does not is ended.
    covered = grant.frames >= grant.demand.most_output
    return Allowance(grant.frames + covered, error)
