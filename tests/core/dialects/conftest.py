"""Reads whole wires as the gateway does: split into frames, decoded one by one."""

from __future__ import annotations

import base64
import gzip
import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest

from streamgauge.core.dialects.registry import dialect_of
from streamgauge.core.events import Event
from streamgauge.core.meter import Meter
from streamgauge.core.sse import FrameKind, FrameSplitter

DATA = Path(__file__).parents[2] / "data"


def _read_stream(endpoint: str, wire: bytes) -> list[Event]:
    decoder = dialect_of(endpoint).decoder(endpoint, "openai")
    events: list[Event] = []
    for frame in FrameSplitter().feed(wire):
        if frame.kind is FrameKind.DATA and frame.payload:
            events.extend(decoder.decode(frame.payload, frame.event))
    return events


@pytest.fixture(scope="session")
def read_stream() -> Callable[[str, bytes], list[Event]]:
    """Return a function that reads a whole stream of an endpoint into events."""
    return _read_stream


@pytest.fixture(scope="session")
def capture() -> Callable[[str], bytes]:
    """Return a function that gives the body of a recorded answer of a real llama.cpp server."""
    return lambda case: (DATA / "captures" / f"{case}.body").read_bytes()


@pytest.fixture(scope="session")
def metered() -> Callable[[list[Event]], Meter]:
    """Return a function that gives the meter after it has seen `events`, frame by frame."""

    def meter_of(events: list[Event]) -> Meter:
        meter = Meter(0.0)
        for event in events:
            meter.observe([event], 1.0)
        return meter

    return meter_of


@pytest.fixture(scope="session")
def scripted() -> Callable[[str], tuple[Mapping[str, Any], bytes]]:
    """Return a function that gives a case of the response corpus and the body it sends."""
    packed = DATA / "corpus" / "responses.json.gz"
    cases = json.loads(gzip.decompress(packed.read_bytes()))["cases"]
    by_id = {case["id"]: case for case in cases}

    def case_of(name: str) -> tuple[Mapping[str, Any], bytes]:
        case = by_id[name]
        sent = b"".join(
            base64.b64decode(step["b64"]) * step.get("rep", 1)
            for step in case["steps"]
            if "b64" in step
        )
        return case, _unchunked(sent.partition(b"\r\n\r\n")[2])

    return case_of


def _unchunked(sent: bytes) -> bytes:
    body = b""
    while sent:
        size, _, rest = sent.partition(b"\r\n")
        length = int(size, 16)
        if not length:
            break
        body, sent = body + rest[:length], rest[length + 2 :]
    return body
