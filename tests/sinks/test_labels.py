"""Labels: configured names and closed lists; whatever clients make up adds none (FAULTS S21)."""

from __future__ import annotations

import random

import pytest
from prometheus_client import generate_latest
from prometheus_client.registry import Collector, CollectorRegistry

from streamgauge.config.schema import Config
from streamgauge.core.record import Anomaly, ExchangeRecord, Status
from streamgauge.sinks.labels import NONE, OTHER, Labels
from streamgauge.sinks.prometheus import ExchangeCounts

CONFIG = Config.model_validate(
    {
        "upstreams": [
            {"name": "local", "kind": "sim", "base_url": "http://h", "models": ["qwen3-*", "*"]},
            {"name": "far", "kind": "sim", "base_url": "http://h", "models": ["gpt-5"]},
        ],
        "routing": {
            "models": [{"match": "sonnet*", "to": ["far/claude-4"]}],
            "default": {"to": ["local/llama:7b"]},
        },
        "prices": [{"model": "gpt-5", "input": 1, "output": 2, "currency": "EUR"}],
    }
)


def served() -> Labels:
    labels = Labels()
    labels.serve(CONFIG)
    return labels


@pytest.mark.parametrize(
    ("names", "label"),
    [
        (("gpt-5", None, None), "gpt-5"),
        (("qwen3-8b", None, None), "qwen3-*"),
        (("claude-4", "claude-4-20260101", "sonnet"), "claude-4"),
        (("llama:7b", None, None), "llama:7b"),
        (("made-up", "gpt-5", None), "gpt-5"),
        (("made-up", None, "sonnet-9"), "sonnet*"),
        (("made-up", None, None), OTHER),
        ((None, "", None), NONE),
    ],
)
def test_a_model_is_told_by_what_the_configuration_calls_it(
    names: tuple[str | None, ...], label: str
) -> None:
    assert served().model(*names) == label


def test_other_labels_are_closed_lists_too() -> None:
    labels = served()
    assert [labels.upstream(name) for name in ("far", "evil", None)] == ["far", OTHER, NONE]
    assert [labels.currency(name) for name in ("EUR", "USD", "XYZ")] == ["EUR", "USD", OTHER]
    assert [labels.dialect(name) for name in ("openai", "klingon")] == ["openai", OTHER]
    assert [labels.source(name) for name in ("provider", "guess")] == ["provider", OTHER]


def test_names_that_were_ever_configured_make_a_bounded_number_of_labels() -> None:
    labels = Labels()
    names = [f"model-{n}" for n in range(2000)]
    for name in names:
        labels.serve(Config.model_validate({"prices": [{"model": name, "input": 1}]}))
    assert len({labels.model(name) for name in names}) == 501


class _All(Collector):
    def __init__(self, counts: ExchangeCounts) -> None:
        self._counts = counts

    def collect(self):  # type: ignore[no-untyped-def]
        return iter(self._counts.families())


def _series(counts: ExchangeCounts) -> set[str]:
    registry = CollectorRegistry()
    registry.register(_All(counts))
    lines = generate_latest(registry).decode().splitlines()
    return {line.rpartition(" ")[0] for line in lines if not line.startswith("#")}


def _exchange(n: int, model: str) -> ExchangeRecord:
    return ExchangeRecord(
        id=f"{n:016d}",
        owner="o",
        started_at=n,
        upstream="local",
        dialect="openai",
        upstream_model=model,
        response_model=f"{model}-answered",
        requested_model=model,
        status=Status.COMPLETED,
        input_tokens=3,
        output_tokens=4,
        usage_source="provider",
        input_source="provider",
        ttft_ms=12.0,
        stream_duration_ms=200.0,
        gap_p95_ms=3.0,
        cost_nano=5,
        currency="EUR",
        anomalies=[Anomaly.OVERSIZE_LINE.value, f"odd-{n}"],
        attempts=1,
    )


def test_metric_label_cardinality_stays_flat_under_10000_made_up_model_names() -> None:
    dice = random.Random(1)
    counts = ExchangeCounts(served())
    counts.write(_exchange(0, "made-up"))
    counts.write(_exchange(1, "qwen3-4b"))
    before = _series(counts)
    for n in range(10_000):
        prefix = "qwen3-" if dice.random() < 0.5 else ""
        counts.write(_exchange(n + 2, f'{prefix}{dice.getrandbits(64):x} \n"{n}'))
    assert _series(counts) == before
    assert len(counts.counts()) == 1
    assert sum(counts.counts().values()) == 10_002


def test_sums_and_histograms_are_those_of_the_records() -> None:
    counts = ExchangeCounts(served())
    for n in range(10):
        counts.write(_exchange(n, "gpt-5"))
    told = {
        (sample.name, sample.labels.get("le"), sample.labels.get("source")): sample.value
        for family in counts.families()
        for sample in family.samples
    }
    assert told["streamgauge_input_tokens_total", None, "provider"] == 30
    assert told["streamgauge_output_tokens_total", None, "provider"] == 40
    assert told["streamgauge_cost_nano_total", None, None] == 50
    assert told["streamgauge_anomalies_total", None, None] == 10
    assert told["streamgauge_ttft_seconds_count", None, None] == 10
    assert told["streamgauge_ttft_seconds_sum", None, None] == pytest.approx(0.12)
    assert told["streamgauge_ttft_seconds_bucket", "0.01", None] == 0
    assert told["streamgauge_ttft_seconds_bucket", "0.025", None] == 10
    assert told["streamgauge_ttft_seconds_bucket", "+Inf", None] == 10
    assert ("streamgauge_gap_max_seconds_count", None, None) not in told, "unknown is in no sum"


def _told(counts: ExchangeCounts, column: str) -> dict[tuple[str, str, str], float]:
    """Return the sums of one column by model, source and upstream."""
    return {
        (of["model"], of.get("source", ""), of["upstream"]): sample.value
        for family in counts.families()
        for sample in family.samples
        if sample.name == f"streamgauge_{column}_total"
        for of in [sample.labels]
    }


def test_counts_of_each_source_model_and_upstream_are_the_sums_of_their_records() -> None:
    """With a plain sum over the records as the oracle."""
    dice = random.Random(7)
    labels, counts = served(), ExchangeCounts(served())
    columns = {
        **dict.fromkeys(("attempts", "stalls", "bytes_in", "bytes_out"), ""),
        **dict.fromkeys(("output_tokens", "reasoning_tokens"), "usage_source"),
        **dict.fromkeys(("input_tokens", "cache_read_tokens"), "input_source"),
    }
    expected: dict[str, dict[tuple[str, str, str], float]] = {column: {} for column in columns}
    for n in range(400):
        record = _exchange(n, dice.choice(["gpt-5", "qwen3-4b", "made-up", "made-up-too"]))
        record.upstream = dice.choice(["local", "far", "evil", None])
        record.usage_source = dice.choice(["provider", "counted", "guess", None])
        record.input_source = dice.choice(["provider", "counted", None])
        by = labels.model(record.upstream_model), labels.upstream(record.upstream)
        for column, source in columns.items():
            value = dice.choice([None, 0, dice.randrange(1000)])
            setattr(record, column, value)
            if value is not None:
                label = labels.source(getattr(record, source)) if source else ""
                key = (by[0], label, by[1])
                expected[column][key] = expected[column].get(key, 0) + value
        counts.write(record)
    for column, sums in expected.items():
        assert _told(counts, column) == sums, column


def test_a_name_that_a_reload_brings_is_told_from_the_next_exchange_on() -> None:
    labels = served()
    counts = ExchangeCounts(labels)
    counts.write(_exchange(1, "new"))
    prices = {"prices": [{"model": "new", "input": 1}]}
    labels.serve(Config.model_validate({**CONFIG.model_dump(exclude_unset=True), **prices}))
    counts.write(_exchange(2, "new"))
    counts.write(_exchange(3, "new"))
    told = _told(counts, "attempts")
    assert told == {(OTHER, "", "local"): 1, ("new", "", "local"): 2}


class _Reloading(str):
    """A name during whose look-up in the old names a reload takes place, as on another thread."""

    labels: Labels
    looks = 0

    def __hash__(self) -> int:
        self.looks += 1
        if self.looks == 2:  # the first one asks what is remembered
            self.labels.serve(CONFIG)
        return super().__hash__()


def test_a_reload_in_the_middle_of_a_look_up_is_not_forgotten() -> None:
    labels = Labels()
    name = _Reloading("gpt-5")
    name.labels = labels
    labels.model(name)
    assert labels.model("gpt-5") == "gpt-5"
