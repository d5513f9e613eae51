"""Tells those who wait for the ledger, on their own thread. Knows no operation."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from streamgauge.ledger.base import Done, LedgerError, Notice, Post, RowRefused

__all__ = ["Answer", "Answers"]

Answer = tuple[Done, LedgerError | None]


class Answers:
    """Passes outcomes and log lines through the owner's `post`; from any thread.

    `refused`: how many records could not be stored.
    """

    def __init__(self, post: Post, notice: Notice | None = None) -> None:
        self._post = post
        self._notice = notice
        self.refused = 0

    def tell(self, answers: Sequence[Answer]) -> None:
        """Have each `done` called, in one call of the owner's thread."""
        if answers:
            self._send(lambda: self._deliver(answers))

    def note(self, level: str, event: str, **fields: object) -> None:
        """Have a log line written, if somebody wants them."""
        notice = self._notice
        if notice is not None:
            pairs = [(name, str(value)) for name, value in fields.items()]
            self._send(lambda: notice(level, event, pairs))

    def note_refusal(self, outcome: LedgerError | None) -> None:
        """Count `outcome`, and have it logged, where it is the refusal of one record."""
        if isinstance(outcome, RowRefused):
            self.refused += 1
            self.note("error", "row_refused", reason=outcome)

    def _send(self, call: Callable[[], None]) -> None:
        try:
            self._post(call)
        except RuntimeError:
            return  # The owner's loop is closed: nobody is left to be told.

    def _deliver(self, answers: Sequence[Answer]) -> None:
        """Call each `done`, on the owner's thread; one that raises does not silence the rest."""
        for i, (done, error) in enumerate(answers):
            try:
                done(error)
            except BaseException:
                self.tell(answers[i + 1 :])
                raise
