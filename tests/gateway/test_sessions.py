"""The registry ends the older stream of a lane, whatever its clean-up takes and whoever comes meanwhile."""

from __future__ import annotations

import os
import random
from collections.abc import Callable

import pytest

from streamgauge.core.sessions import Lane
from streamgauge.gateway.sessions import SessionRegistry

FULL = os.environ.get("STREAMGAUGE_FULL") == "1"
ROUNDS = 1000 if FULL else 100
STARTERS = 20
LANE = Lane(None, "s")


class House:
    """Fakes of a gateway's relays. `log`: what happened, in order. `late`: clean-ups yet to come."""

    def __init__(self, slow: bool = False) -> None:
        self.slow = slow
        self.relays: dict[str, FakeRelay] = {}
        self.registry = SessionRegistry(self.relays)
        self.log: list[str] = []
        self.late: list[str] = []

    def start(self, name: str, lane: Lane = LANE, then: Callable[[], None] | None = None) -> None:
        """Begin a stream as the gateway does; `then` is what its client does when it is ended."""
        self.registry.begin(lane, name)
        self.relays[name] = FakeRelay(name, self, then)
        self.log.append(f"start {name}")

    def clean_up(self, name: str) -> None:
        """The rest of an end, at once or after a while."""
        self.registry.ended(name)
        del self.relays[name]

    @property
    def living(self) -> list[str]:
        """The streams whose clients are served."""
        return [name for name, relay in self.relays.items() if not relay.over]


class FakeRelay:
    """Stands for a relay that can be superseded."""

    def __init__(self, name: str, house: House, then: Callable[[], None] | None) -> None:
        self.name, self.house, self.then = name, house, then
        self.over = False

    def supersede(self) -> None:
        """End: the client is told, and may do something at once."""
        assert not self.over, "ended twice"
        self.over = True
        self.house.log.append(f"end {self.name}")
        if self.then is not None:
            self.then()
        if self.house.slow:
            self.house.late.append(self.name)
        else:
            self.house.clean_up(self.name)


def test_the_older_one_has_ended_before_the_newer_one_starts() -> None:
    house = House()
    house.start("a")
    house.start("b")
    assert house.log == ["start a", "end a", "start b"]


def test_an_empty_lane_and_another_lane_end_nothing() -> None:
    house = House()
    house.start("a")
    house.start("b", Lane("key", "s"))
    assert house.registry.vacate(Lane(None, "t")) is False
    assert house.living == ["a", "b"]


def test_a_late_clean_up_leaves_the_newer_stream_in_its_lane() -> None:
    house = House(slow=True)
    house.start("a")
    house.start("b")
    house.clean_up("a")
    house.start("c")
    assert house.log[-2:] == ["end b", "start c"]
    assert house.living == ["c"]


def test_a_stream_that_is_no_longer_there_holds_up_nobody() -> None:
    house = House()
    house.start("a")
    del house.relays["a"]
    assert house.registry.vacate(LANE) is True
    house.start("b")
    assert house.living == ["b"]


def test_a_client_that_starts_again_when_it_is_told_is_superseded_too() -> None:
    """A pipelined request begins within the end of the one before it on its connection."""
    house = House()
    house.start("a", then=lambda: house.start("c"))
    house.start("b")
    assert house.log == ["start a", "end a", "start c", "end c", "start b"]
    assert house.living == ["b"]


@pytest.mark.parametrize("slow", [False, True])
def test_of_any_number_of_starters_exactly_the_last_one_lives(slow: bool) -> None:
    chance = random.Random(50)
    house = House(slow)
    for turn in range(ROUNDS):
        for n in range(STARTERS):
            house.start(f"{turn}-{n}")
            if house.late and chance.random() < 0.3:
                house.clean_up(house.late.pop(chance.randrange(len(house.late))))
        assert house.living == [f"{turn}-{STARTERS - 1}"]
    while house.late:
        house.clean_up(house.late.pop())
    house.clean_up(house.living[0])
    assert (len(house.registry), len(house.relays)) == (0, 0)
