"""The numbers of a stream's frames: what is remembered of those that are not there is bounded."""

from __future__ import annotations

from streamgauge.core.integrity_finding import Kind
from streamgauge.core.integrity_order import Order


def test_however_many_gaps_there_are_so_many_numbers_are_remembered_in_all() -> None:
    order = Order()
    for gap in range(1, 6):
        ((kind, seq, _),) = order.take(gap * 1_000_000)
        assert (kind, seq) == (Kind.MISSING, (gap - 1) * 1_000_000 + 1)
    assert len(order._missing) == 10_000
    ((late, _, _),) = order.take(10_000)
    ((forgotten, _, _),) = order.take(10_001)
    assert (late, forgotten) == (Kind.OUT_OF_ORDER, Kind.REPEATED)
    ((again, _, _),) = order.take(10_000)
    assert again is Kind.REPEATED
