"""A receiver that repeats what it was sent makes no secret of ours appear in logs and files (S11)."""

from __future__ import annotations

import base64

import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceResponse

from streamgauge.config.exporters import Influxdb, Otlp
from streamgauge.sinks.cursor import Refused, Unavailable
from streamgauge.sinks.influx import SOURCE_COLUMNS, InfluxDestination
from streamgauge.sinks.labels import Labels
from streamgauge.sinks.otel import OtelDestination

from ..e2e.receivers import Receiver, receiving
from .test_otel import closed_rows

CANARY = "canary-5d0c91aa"
PAIR = base64.b64encode(f"gauge:{CANARY}".encode()).decode()
ROW = (1, 1, dict.fromkeys(SOURCE_COLUMNS) | {"status": "completed", "id": "a"})
WITH_TOKEN = {"version": 2, "bucket": "b", "token": CANARY}
WITH_PASSWORD = {"version": 1, "database": "d", "username": "gauge", "password": CANARY}


@pytest.mark.parametrize(
    ("settings", "secret"),
    [(WITH_TOKEN, CANARY), (WITH_PASSWORD, CANARY), (WITH_PASSWORD, PAIR)],
    ids=["token", "password", "pair"],
)
@pytest.mark.parametrize("status", [400, 401])
def test_influxdb_repeats_credentials_to_nobody(
    settings: dict[str, object], secret: str, status: int
) -> None:
    to = Receiver()
    # Behind so much text that a cut in the middle of it would leave most of it there.
    to.answers.append((status, f"{'x' * 280} {secret}".encode()))
    with receiving(to):
        exporter = Influxdb.model_validate({"url": to.url, **settings})
        with pytest.raises((Refused, Unavailable)) as raised:
            InfluxDestination(exporter, Labels()).send([ROW])
    assert "xxx [redacted" in str(raised.value)
    assert secret[:8] not in str(raised.value)


def test_otlp_repeats_headers_to_nobody() -> None:
    to, answer = Receiver(), ExportTraceServiceResponse()
    answer.partial_success.error_message = f"no quota for Bearer {CANARY}"
    to.answers.append((200, answer.SerializeToString()))
    with receiving(to):
        headers = {"authorization": f"Bearer {CANARY}"}
        exporter = Otlp.model_validate({"url": to.url, "headers": headers})
        destination = OtelDestination(exporter, Labels())
        destination.send(closed_rows(1))
    (dropped,) = destination.dropped()
    assert dropped.reason == "no quota for [redacted]"
