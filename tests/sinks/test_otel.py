"""Spans and metrics are what OpenTelemetry's own SDK makes of the same rows, and cost 30 µs a row."""

from __future__ import annotations

import json
import random
import threading
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import pytest
from opentelemetry.exporter.otlp.proto.common.metrics_encoder import encode_metrics
from opentelemetry.exporter.otlp.proto.common.trace_encoder import encode_spans
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import (
    ExportMetricsServiceRequest,
    ExportMetricsServiceResponse,
)
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTraceServiceRequest,
    ExportTraceServiceResponse,
)

from streamgauge.config.exporters import Otlp
from streamgauge.config.schema import Config
from streamgauge.core.record import Status
from streamgauge.ledger.cursors import ClosedRows
from streamgauge.ledger.rows import REQUESTS
from streamgauge.ledger.schema import open_for_writing
from streamgauge.sinks.cursor import Closed, Refused, Unavailable
from streamgauge.sinks.dropped import Dropped
from streamgauge.sinks.labels import Labels
from streamgauge.sinks.otel import SOURCE_COLUMNS, OtelDestination
from streamgauge.sinks.otel_totals import Totals

from ..e2e.receivers import OtlpReceiver, Receiver, receiving
from ..ledger.made_ledger import add, exchanges
from .otel_sdk import sdk_metrics, sdk_span

ROWS = 2000
LIMIT_US = 5 * 30
NOW_NS = 1_770_000_000_000_000_000
WITHIN = 10.0


def timed(rows: Sequence[Closed]) -> int:
    """Return how many have an end that is known: the next start has closed those of a crash."""
    return sum(values["status"] != Status.GATEWAY_CRASH for _, _, values in rows)


def labels() -> Labels:
    return Labels(["local", "openai"], ["qwen3", "gpt-*"])


def closed_rows(count: int, seed: int = 0, **changes: Any) -> list[Closed]:
    """Return rows as the ledger's reader gives them, unknown in all places at times.

    Each column is shuffled for itself, so that no two say the same.
    """
    made = exchanges(count, seed)
    rows = [dict(zip(REQUESTS.names, REQUESTS.row(record), strict=True)) for record in made]
    columns = {name: [row[name] for row in rows] for name in SOURCE_COLUMNS}
    dice = random.Random(seed)
    for values in columns.values():
        dice.shuffle(values)
    return [
        (i + 1, i, {name: values[i] for name, values in columns.items()} | changes)
        for i in range(count)
    ]


@contextmanager
def sending(to: Receiver, names: Labels | None = None) -> Iterator[OtelDestination]:
    with receiving(to):
        settings = Otlp(url=to.url, headers={"authorization": "Bearer 0123456789"})
        yield OtelDestination(settings, names or labels(), lambda: NOW_NS)


def plain(message: Any) -> Any:
    """Return a message as values that compare; the order of attributes and metrics means nothing."""
    if hasattr(message, "ListFields"):
        return {field.name: plain(value) for field, value in message.ListFields()}
    if isinstance(message, str | bytes | int | float):
        return message
    items = [plain(each) for each in message]
    return sorted(items, key=repr) if items and isinstance(items[0], Mapping) else items


def body_of(to: Receiver, path: str) -> bytes:
    return [each for each in to.requests if each.path == path][-1].body


def test_spans_are_those_of_the_sdk() -> None:
    rows, to = closed_rows(600), Receiver()
    with sending(to) as destination:
        destination.send(rows)
    told = ExportTraceServiceRequest.FromString(body_of(to, "/v1/traces"))
    wanted = encode_spans([sdk_span(values) for _, _, values in rows])
    assert plain(told) == plain(wanted)
    (request,) = to.requests
    assert request.headers["content-type"] == "application/x-protobuf"
    assert request.headers["authorization"] == "Bearer 0123456789"


def test_metrics_are_those_of_the_sdk() -> None:
    rows, to = closed_rows(600), Receiver()
    with sending(to) as destination:
        first = destination.conclude(rows[:250], None)
        state = destination.conclude(rows[250:], first)
    told = ExportMetricsServiceRequest.FromString(body_of(to, "/v1/metrics"))
    assert state is not None
    wanted = encode_metrics(sdk_metrics(Totals.of(state), NOW_NS))
    assert plain(told) == plain(wanted)


def test_tokens_are_told_apart_by_their_kind_and_source_and_costs_by_currency() -> None:
    rows, to = closed_rows(600), OtlpReceiver()
    with sending(to) as destination:
        destination.conclude(rows, None)
    wanted: Counter[tuple[str, str]] = Counter()
    for _, _, values in rows:
        for kind, source in (("input", "input_source"), ("output", "usage_source")):
            if values[f"{kind}_tokens"] is not None:
                wanted[kind, values[source] or "none"] += values[f"{kind}_tokens"]
    told: Counter[tuple[str, str]] = Counter()
    for point in to.points["gen_ai.client.token.usage"]:
        of = {each.key: each.value.string_value for each in point.attributes}
        told[of["gen_ai.token.type"], of["streamgauge.usage_source"]] += point.sum
    assert told == wanted
    duration = to.points["gen_ai.client.operation.duration"]
    assert sum(point.count for point in duration) == timed(rows) < len(rows)
    costs: Counter[str] = Counter()
    for point in to.points["streamgauge.cost_nano"]:
        (of_money,) = [a.value.string_value for a in point.attributes if "currency" in a.key]
        costs[of_money] += point.as_int
    in_dollars = [
        values["cost_nano"]
        for _, _, values in rows
        if values["cost_nano"] is not None and values["currency"] == "USD"
    ]
    assert costs["USD"] == sum(in_dollars) > 0


def test_costs_of_a_small_currency_may_outgrow_64_bits() -> None:
    rows, to = closed_rows(3, cost_nano=2**62, currency="msat"), OtlpReceiver()
    with sending(to) as destination:
        state = destination.conclude(rows[:1], None)
        assert sum(point.as_int for point in to.points["streamgauge.cost_nano"]) == 2**62
        destination.conclude(rows[1:], state)
    points = to.points["streamgauge.cost_nano"]
    assert sum(point.as_double or point.as_int for point in points) == 3.0 * 2**62


def test_made_up_models_are_forgotten_and_each_span_is_still_its_rows() -> None:
    rows = [(i, i, {**row[2], "requested_model": f"made-up-{i % 1300}"})
            for i, row in enumerate(closed_rows(1500))]  # fmt: skip
    to = Receiver()
    with sending(to) as destination:
        destination.send(rows)
        assert len(destination._spans._commons) <= 500
    told = ExportTraceServiceRequest.FromString(body_of(to, "/v1/traces"))
    assert plain(told) == plain(encode_spans([sdk_span(values) for _, _, values in rows]))


def test_metrics_that_were_not_taken_are_counted_once_when_they_are() -> None:
    rows, to = closed_rows(300), OtlpReceiver()
    with sending(to) as destination:
        state = destination.conclude(rows[:100], None)
        to.answers += [(503, b""), (429, b"")]
        for _ in range(2):
            with pytest.raises(Unavailable, match="metrics: HTTP"):
                destination.conclude(rows[100:], state)
        state = destination.conclude(rows[100:], state)
    whole = Totals()
    whole.add((values for _, _, values in rows), labels())
    assert state == whole.as_state()
    duration = to.points["gen_ai.client.operation.duration"]
    assert sum(point.count for point in duration) == timed(rows)


def test_a_state_from_elsewhere_counts_and_not_what_is_in_hand() -> None:
    rows = closed_rows(120)
    with sending(OtlpReceiver()) as destination:
        first = destination.conclude(rows[:40], None)
        destination.conclude(rows[40:80], first)
        again = destination.conclude(rows[40:80], first)
    whole = Totals()
    whole.add((values for _, _, values in rows[:80]), labels())
    assert again == whole.as_state()


def test_a_name_gets_its_label_from_the_reload_on() -> None:
    rows, names = closed_rows(40, upstream="later", status="completed", success=1), Labels()
    with sending(OtlpReceiver(), names) as destination:
        first = destination.conclude(rows[:20], None)
        later = {"name": "later", "kind": "sim", "base_url": "http://h"}
        names.serve(Config.model_validate({"upstreams": [later]}))
        state = destination.conclude(rows[20:], first)
    found: Counter[str] = Counter()
    for (name, by), (_, counts) in Totals.of(state).histograms.items():
        if name == "gen_ai.client.operation.duration":
            found[dict(by)["gen_ai.provider.name"]] += sum(counts)
    assert found == {"other": 20, "later": 20}


@pytest.mark.parametrize("status", [400, 413, 422])
def test_what_is_refused_is_told_as_json_with_the_ids_of_its_span(status: int) -> None:
    (row,), to = closed_rows(1), OtlpReceiver()
    to.answers.append((status, b"no"))
    with sending(to) as destination:
        with pytest.raises(Refused, match=f"HTTP {status}"):
            destination.send([row])
        told = json.loads(destination.shown(row))
        destination.send([row])
    (span,) = to.spans.values()
    assert (told["traceId"], told["spanId"]) == (span.trace_id.hex(), span.span_id.hex())
    by_key = {each["key"]: each["value"] for each in told["attributes"]}
    assert by_key["streamgauge.id"] == {"stringValue": row[2]["id"]}


def test_what_a_receiver_takes_in_part_is_told_and_nothing_sent_again() -> None:
    spans, points = ExportTraceServiceResponse(), ExportMetricsServiceResponse()
    spans.partial_success.rejected_spans = 3
    spans.partial_success.error_message = "older than\n1 h"
    points.partial_success.error_message = "please use delta"
    rows, to = closed_rows(5), Receiver()
    to.answers += [(200, spans.SerializeToString()), (200, points.SerializeToString())]
    with sending(to) as destination:
        destination.send(rows)
        destination.conclude(rows, None)
        told = destination.dropped()
        assert destination.dropped() == []
    assert list(told) == [
        Dropped("spans", 3, "older than 1 h"),
        Dropped("points", 0, "please use delta"),
    ]
    assert len(to.requests) == 2


@pytest.mark.parametrize("body", [b"", b"\x0a\x00", b"{}", b"<html>", b"\xff" * 70_000])
def test_a_taken_batch_is_taken_whatever_else_its_answer_says(body: bytes) -> None:
    rows, to = closed_rows(2), Receiver()
    to.answers += [(200, body), (200, body)]
    with sending(to) as destination:
        destination.send(rows)
        assert destination.conclude(rows, None) is not None
        assert list(destination.dropped()) == []


def test_a_receiver_that_says_when_to_come_again_is_heard() -> None:
    to = Receiver()
    to.after = 7
    to.answers.append((503, b""))
    with sending(to) as destination, pytest.raises(Unavailable, match="spans: HTTP 503") as raised:
        destination.send(closed_rows(1))
    assert raised.value.after == 7


def test_a_receiver_that_hangs_is_cut_when_it_ends() -> None:
    to, failed = Receiver(), threading.Event()
    to.hangs.set()
    with sending(to) as destination:

        def send() -> None:
            with pytest.raises(Unavailable):
                destination.send(closed_rows(1))
            failed.set()

        sender = threading.Thread(target=send)
        sender.start()
        assert to.asked.wait(WITHIN)
        destination.close()
        assert failed.wait(WITHIN / 2)
        sender.join()


def test_a_row_costs_30_us_on_its_way_to_otlp(tmp_path: Path) -> None:
    with closing(open_for_writing(tmp_path / "ledger.db")) as connection:
        add(connection, exchanges(ROWS, wild=0.2))
    state, seq = None, 0
    with (
        sending(Receiver()) as to,
        closing(ClosedRows(tmp_path / "ledger.db", SOURCE_COLUMNS)) as it,
    ):
        began = time.thread_time()
        while rows := it.after(seq, ROWS, 500):
            to.send(rows)
            state = to.conclude(rows, state)
            seq = rows[-1][0]
        took_us = (time.thread_time() - began) / ROWS * 1e6
    assert seq == ROWS
    assert took_us < LIMIT_US
