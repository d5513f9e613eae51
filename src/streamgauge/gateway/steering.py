"""Gives an exchange its inputs and does what it asks for; a fault of ours ends it. It knows no call.

Without it such a fault would drop what the machine wanted done besides: a row would stay open, and
a client wait for ever.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from time import monotonic
from typing import Any, ClassVar, ParamSpec

from streamgauge.core.actions import Action, CloseUpstream
from streamgauge.core.exchange import Exchange
from streamgauge.core.verdict import Breaking
from streamgauge.gateway.http import Responder

__all__ = ["Steering"]

_log = logging.getLogger(__name__)
_Said = ParamSpec("_Said")


class Steering:
    """One exchange and who waits for its answer. `doing`: what does each action, by its type."""

    __slots__ = ("_broken", "_responder", "exchange")

    doing: ClassVar[Mapping[type[Action], Callable[[Any, Any], None]]] = {}

    def __init__(self, exchange: Exchange, responder: Responder) -> None:
        self.exchange = exchange
        self._responder = responder
        self._broken = False

    def _give(
        self,
        take: Callable[_Said, Sequence[Action]],
        *said: _Said.args,
        **named: _Said.kwargs,
    ) -> None:
        """Give the exchange an input, by `take` of its methods, and do what it asks for."""
        try:
            actions = take(*said, **named)
        except Exception:  # whatever it is: this exchange ends with it, and no other
            self._break()
        else:
            self._do(actions)

    def _do(self, actions: Sequence[Action]) -> None:
        """Do each of `actions`, also behind one that cannot be done: the row may be the last."""
        whole = True
        for action in actions:
            try:
                self.doing[type(action)](self, action)
            except Exception:  # as above, once the others are done
                whole = False
                self._tell(type(action).__name__)
        if not whole:
            self._end()

    def _break(self) -> None:
        """End it because of a fault of ours, in an except block."""
        self._tell("the exchange")
        self._end()

    def _end(self) -> None:
        """End the exchange in the row that it has, and let go of who waits for it."""
        if self._broken:
            return
        self._broken = True
        # The call first, whatever the machine believes: what was to close it may be lost.
        self._do([CloseUpstream(), *self._broken_off()])
        self._responder.abort()  # a client that has its whole answer does not notice

    def _broken_off(self) -> Sequence[Action]:
        for way in Breaking:
            try:
                return self.exchange.broken(monotonic(), way)
            except Exception:  # its client cannot be told, or its row not be filled in
                self._tell("the exchange's end")
        return ()  # not seen: the last way only writes down what is known

    def _tell(self, where: str) -> None:
        _log.exception("exchange_failed id=%s where=%r", self.exchange.facts.id, where)
