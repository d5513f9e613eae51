"""Line protocol: what InfluxDB's own client writes of the same point."""

from __future__ import annotations

import random
import string
import warnings
from typing import Any

import pytest
from influxdb_client import Point

from streamgauge.sinks.line_protocol import PointShape

SIGNS = ' ,="\\\n\r\t#äß€日本🙂' + string.ascii_letters + string.digits
POINTS = 1000


def _text(dice: random.Random, least: int = 1) -> str:
    return "".join(dice.choice(SIGNS) for _ in range(dice.randint(least, 8)))


def _value(dice: random.Random) -> Any:
    made: Any = dice.choice(
        [
            lambda: dice.randint(-(2**63), 2**63 - 1),
            lambda: dice.choice([0, 1, -1]),
            lambda: dice.uniform(-1e6, 1e6),
            lambda: dice.choice([0.0, -0.0, 1e16, 5e-324, 1.5e300, float("nan"), float("inf")]),
            lambda: dice.choice([True, False]),
            lambda: _text(dice, 0),
            lambda: None,
        ]
    )
    return made()


def _by_the_client(
    measurement: str, tags: dict[str, Any], fields: dict[str, Any], time_ns: int
) -> str:
    point = Point(measurement).time(time_ns)
    for name, value in tags.items():
        point.tag(name, value)
    for name, value in fields.items():
        point.field(name, value)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # a measurement that begins like a comment
        return str(point.to_line_protocol())


def test_a_thousand_random_points_are_what_influxdb_client_writes() -> None:
    dice = random.Random(7)
    told = 0
    for _ in range(POINTS):
        tags = {_text(dice): dice.choice([None, _text(dice, 0)]) for _ in range(dice.randint(0, 5))}
        fields = {_text(dice): _value(dice) for _ in range(dice.randint(0, 9))}
        name, time_ns = _text(dice), dice.randint(0, 2**62)
        shape = PointShape(name, list(tags), list(fields))
        line = shape.line(list(tags.values()), list(fields.values()), time_ns)
        assert line == _by_the_client(name, tags, fields, time_ns)
        told += bool(line)
    assert told > POINTS / 2


@pytest.mark.parametrize(
    ("tag", "field", "line"),
    [
        ("a b", 'say "hi"\\', 'm\\ 1,t=a\\ b f="say \\"hi\\"\\\\" 5'),
        ("a,b=c", 3, "m\\ 1,t=a\\,b\\=c f=3i 5"),
        ("", 2.0, "m\\ 1 f=2 5"),
        ("x\ny", True, "m\\ 1,t=x\\ny f=true 5"),
        ("x", None, ""),
    ],
)
def test_a_point_is_written_so(tag: str, field: Any, line: str) -> None:
    assert PointShape("m 1", ["t"], ["f"]).line([tag], [field], 5) == line
