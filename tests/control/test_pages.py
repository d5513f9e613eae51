"""What the control listener's pages say, and that a client that never finishes holds nothing."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import pytest
from prometheus_client.openmetrics.parser import text_string_to_metric_families as open_metrics
from prometheus_client.parser import text_string_to_metric_families as plain_text

from streamgauge import __version__
from streamgauge.config.schema import Config
from streamgauge.config.upstream import Kind, Upstream
from streamgauge.control.plane import Applied, NotNow, ReloadRefused
from streamgauge.core.record import ExchangeRecord, Status
from streamgauge.gateway.runtime import ConfigState
from streamgauge.sinks.labels import Labels
from streamgauge.sinks.prometheus import ExchangeCounts

from .listener_rig import RUNTIME, FakePlane, listening, stats, vitals

OPERATIONS = Path(__file__).parents[2] / "docs" / "operations.md"
OPEN_METRICS = "accept: application/openmetrics-text;version=1.0.0,text/plain;q=0.5"


def scraped(plane: FakePlane, *headers: str) -> dict[str, dict[tuple[str, ...], float]]:
    """Return a scrape by name and label values (in the order of their names), as Prometheus reads it."""
    with listening(plane) as listener:
        answer = listener.get("/metrics", *headers)
    assert answer.status == 200
    parse: Callable[[str], Any] = open_metrics if headers else plain_text
    found: dict[str, dict[tuple[str, ...], float]] = {}
    for family in parse(answer.body.decode()):
        for sample in family.samples:
            labels = tuple(value for _, value in sorted(sample.labels.items()))
            found.setdefault(sample.name, {})[labels] = sample.value
    return found


def test_runtime_shows_every_number_under_its_name() -> None:
    with listening(FakePlane()) as listener:
        answer = listener.get("/admin/runtime")
    assert answer.headers["content-type"] == "application/json"
    assert answer.json() == asdict(RUNTIME)


def test_runtime_says_when_the_data_loop_does_not_answer() -> None:
    with listening(FakePlane(busy=True)) as listener:
        answer = listener.get("/admin/runtime")
    assert answer.status == 503
    assert "did not answer" in answer.json()["error"]["message"]


def test_a_reload_tells_the_version_and_the_keys_that_wait_for_a_restart() -> None:
    plane = FakePlane(outcome=Applied("0123456789ab", True, ("server.port",)))
    with listening(plane) as listener:
        answer = listener.reload()
    assert answer.status == 200
    assert answer.json() == {
        "reloaded": True,
        "config_version": "0123456789ab",
        "changed": True,
        "needs_restart": ["server.port"],
    }


def test_a_reload_of_a_bad_file_is_422_with_every_problem() -> None:
    problems = ["a.yaml:1:1: server.prot: unknown key", "a.yaml:2:1: log.level: must be one of"]
    with listening(FakePlane(outcome=ReloadRefused(problems))) as listener:
        answer = listener.reload()
    assert answer.status == 422
    expected = {"reloaded": False, "config_version": "c0ffee", "problems": problems}
    assert answer.json() == expected


def test_a_reload_of_a_gateway_that_stops_is_409() -> None:
    with listening(FakePlane(outcome=NotNow("the gateway is shutting down"))) as listener:
        answer = listener.reload()
    assert (answer.status, answer.json()["error"]["message"]) == (
        409,
        "the gateway is shutting down",
    )


def test_the_body_of_a_reload_is_a_small_json_object() -> None:
    bodies = {
        b"": 200,
        b"{}": 200,
        b"[]": 400,
        b"{": 400,
        b"\xff": 400,
        b"[" * 60_000: 400,
        b" " * 70_000: 413,
    }
    plane = FakePlane()
    with listening(plane) as listener:
        answers = {body: listener.reload(body=body).status for body in bodies}
    assert answers == bodies
    assert plane.reloads == 2


def test_head_is_get_without_its_body_and_reload_cannot_be_read() -> None:
    plane = FakePlane()
    with listening(plane) as listener:
        head = listener.ask("HEAD", "/metrics")
        read = listener.get("/admin/reload")
    assert (head.status, head.body) == (200, b"")
    assert (read.status, read.headers["allow"], plane.reloads) == (405, "POST", 0)


# -- metrics


def test_metrics_come_in_the_format_that_is_asked_for() -> None:
    with listening(FakePlane()) as listener:
        plain = listener.get("/metrics")
        modern = listener.get("/metrics", OPEN_METRICS)
    assert plain.headers["content-type"].startswith("text/plain; version=0.0.4")
    assert modern.headers["content-type"].startswith("application/openmetrics-text; version=1.0.0")
    assert modern.body.endswith(b"# EOF\n")
    assert not plain.body.endswith(b"# EOF\n")


@pytest.mark.parametrize("headers", [(), (OPEN_METRICS,)], ids=["text", "openmetrics"])
def test_metrics_show_what_the_gateway_tells(headers: tuple[str, ...]) -> None:
    told = vitals(
        exchanges={("completed", "openai", "local"): 5, ("rejected", "anthropic", "none"): 2},
        unrecorded={"bad_http": 3},
        ledger=stats(queued=6, kept=1, commits=9, failures=2, spool_bytes=4096),
        ledger_healthy=False,
        upstreams={"local": True, "far": False},
        config=replace(ConfigState("c0ffee"), error="bad", problems=1),
        reloads={"applied": 4, "refused": 1},
        stopping=True,
    )
    found = scraped(FakePlane(told), *headers)
    assert found["streamgauge_requests_total"] == {
        ("openai", "completed", "local"): 5,
        ("anthropic", "rejected", "none"): 2,
    }
    assert found["streamgauge_unrecorded_refusals_total"] == {("bad_http",): 3}
    assert found["streamgauge_upstream_usable"] == {("local",): 1, ("far",): 0}
    assert found["streamgauge_upstream_circuit"] == {("local",): 0, ("slow",): 1, ("far",): 2}
    assert found["streamgauge_upstream_health"] == {("local",): 0, ("slow",): 1, ("far",): 2}
    assert found["streamgauge_config_reloads_total"] == {("applied",): 4, ("refused",): 1}
    assert found["streamgauge_build_info"] == {(__version__,): 1}
    single = {
        "streams": RUNTIME.streams,
        "drains": RUNTIME.drains,
        "loop_lag_seconds": RUNTIME.loop_lag_ms / 1000,
        "parsed_frames_total": RUNTIME.parsed_frames,
        "ledger_queue": 6,
        "ledger_kept": 1,
        "ledger_commits_total": 9,
        "ledger_failures_total": 2,
        "ledger_healthy": 0,
        "spool_bytes": 4096,
        "config_stale": 1,
        "stopping": 1,
        "data_loop_up": 1,
    }
    assert {name: found[f"streamgauge_{name}"][()] for name in single} == single
    assert found["process_open_fds"][()] > 0


def test_metrics_are_answered_while_the_data_loop_is_not() -> None:
    found = scraped(FakePlane(busy=True))
    assert found["streamgauge_data_loop_up"] == {(): 0}
    assert "streamgauge_ledger_queue" in found
    assert "streamgauge_streams" not in found, "a number that is not known is left out"


def test_the_docs_explain_every_metric() -> None:
    told = vitals(exchanges={("completed", "openai", "a"): 1}, unrecorded={"bad_http": 1})
    text = OPERATIONS.read_text()
    names = [name for name in scraped(FakePlane(told)) if name.startswith("streamgauge_")]
    assert len(names) > 20
    assert [name for name in names if f"`{name}`" not in text] == []
    documented = re.findall(r"`(streamgauge_[a-z_]+)`", text)
    assert [name for name in documented if name not in names] == []


def record(**named: Any) -> ExchangeRecord:
    """Return a record that ended."""
    return ExchangeRecord(**{"id": "i" * 16, "owner": "o", "started_at": 1, **named})


def config_of(upstream: str) -> Config:
    """Return a configuration with one upstream."""
    return Config(upstreams=(Upstream(name=upstream, kind=Kind.SIM, base_url="http://h"),))


def test_labels_come_from_closed_lists_and_the_configuration_alone() -> None:
    labels = Labels(["local"])
    counts = ExchangeCounts(labels)
    counts.write(record(status=Status.COMPLETED, dialect="openai", upstream="local"))
    counts.write(record(status=Status.COMPLETED, dialect="klingon", upstream="x\nevil 1"))
    counts.write(record(status=Status.REJECTED))
    labels.serve(config_of("new"))
    counts.write(record(status=Status.COMPLETED, dialect="openai", upstream="new"))
    assert counts.counts() == {
        ("completed", "openai", "local"): 1,
        ("completed", "other", "other"): 1,
        ("rejected", "none", "none"): 1,
        ("completed", "openai", "new"): 1,
    }


def test_upstreams_that_were_ever_configured_make_a_bounded_number_of_labels() -> None:
    labels = Labels()
    counts = ExchangeCounts(labels)
    for n in range(1000):
        labels.serve(config_of(f"up-{n}"))
        counts.write(record(status=Status.COMPLETED, dialect="openai", upstream=f"up-{n}"))
    assert len(counts.counts()) == 201
    assert sum(counts.counts().values()) == 1000


# -- clients that do not finish


def test_a_client_that_never_finishes_its_request_is_dropped() -> None:
    with listening(FakePlane(), silent_seconds=0.3) as listener:
        with listener.connect() as silent, listener.connect() as dripping:
            dripping.sendall(b"GET /metrics HTTP/1.1\r\nhost: 127.0.0.1\r\n")
            assert silent.recv(1) == b""
            assert dripping.recv(1) == b""
        assert listener.get("/metrics").status == 200


def test_readers_that_do_not_read_do_not_delay_others() -> None:
    request = b"GET /metrics HTTP/1.1\r\nhost: 127.0.0.1\r\n\r\n"
    with listening(FakePlane()) as listener:
        stuck = [listener.connect() for _ in range(40)]
        for connection in stuck:
            connection.sendall(request * 20)
        assert listener.get("/metrics").status == 200
        for connection in stuck:
            connection.close()


def test_a_fault_of_ours_is_told_as_json_without_its_cause() -> None:
    plane = FakePlane(outcome=KeyError("canary-8f1c"))
    with listening(plane) as listener:
        answer = listener.reload()
        after = listener.get("/admin/runtime")
    assert (answer.status, after.status) == (500, 200)
    assert "log" in answer.json()["error"]["message"]
    assert b"canary" not in answer.body
    assert answer.headers["x-content-type-options"] == "nosniff"
