"""`exporters.otlp` without `url` is sent where OpenTelemetry's own variables say, and nowhere else."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from streamgauge.config import Loaded

CANARY = "canary-4e1f7b20"
ENDPOINT = {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://collector:4318/base/"}
HEADERS = {"OTEL_EXPORTER_OTLP_HEADERS": f"authorization=Bearer%20{CANARY}, x-team=a%2Cb,"}


@pytest.mark.parametrize("text", ["{}", "{url: }", "{metrics: false}"])
def test_a_receiver_that_is_not_named_is_that_of_the_variables(
    load_text: Callable[..., Loaded], text: str
) -> None:
    loaded = load_text(f"exporters: {{otlp: {text}}}", {**ENDPOINT, **HEADERS})
    otlp = loaded.config.exporters.otlp
    assert otlp is not None
    assert otlp.url == "http://collector:4318/base"
    assert {name: value.get_secret_value() for name, value in otlp.headers.items()} == {
        "authorization": f"Bearer {CANARY}",
        "x-team": "a,b",
    }
    assert not loaded.warnings
    place = loaded.origins["exporters", "otlp", "url"]
    assert str(place) == "environment:OTEL_EXPORTER_OTLP_ENDPOINT"


def test_a_receiver_that_is_named_gets_nothing_of_the_variables(
    load_text: Callable[..., Loaded],
) -> None:
    loaded = load_text("exporters: {otlp: {url: http://mine}}", {**ENDPOINT, **HEADERS})
    otlp = loaded.config.exporters.otlp
    assert otlp is not None
    assert (otlp.url, otlp.headers) == ("http://mine", {})


def test_headers_of_the_file_go_alone(load_text: Callable[..., Loaded]) -> None:
    loaded = load_text("exporters: {otlp: {headers: {x-a: b}}}", {**ENDPOINT, **HEADERS})
    otlp = loaded.config.exporters.otlp
    assert otlp is not None
    assert [*otlp.headers] == ["x-a"]


@pytest.mark.parametrize("text", ["", "exporters: {otlp: }", "exporters: {influxdb: }"])
def test_variables_alone_ask_for_nothing(load_text: Callable[..., Loaded], text: str) -> None:
    assert load_text(text, {**ENDPOINT, **HEADERS}).config.exporters.otlp is None


@pytest.mark.parametrize("environ", [{}, {"OTEL_EXPORTER_OTLP_ENDPOINT": " "}, HEADERS])
def test_without_an_endpoint_nothing_is_exported(
    load_text: Callable[..., Loaded], environ: dict[str, str]
) -> None:
    assert load_text("exporters: {otlp: {}}", environ).config.exporters.otlp is None


@pytest.mark.parametrize(
    ("variable", "value", "told"),
    [
        ("PROTOCOL", "grpc", "exporters.otlp: is grpc, which is not spoken here"),
        ("HEADERS", CANARY, "exporters.otlp.headers: must be NAME=VALUE pairs"),
        ("HEADERS", f"a b={CANARY}", "exporters.otlp.headers: "),
        ("ENDPOINT", f"{CANARY}:4318", "exporters.otlp.url: must be an http or https URL"),
    ],
)
def test_what_a_variable_has_wrong_is_told_by_its_name_and_not_its_value(
    error_lines: Callable[..., list[str]], variable: str, value: str, told: str
) -> None:
    name = f"OTEL_EXPORTER_OTLP_{variable}"
    (line,) = error_lines("exporters: {otlp: {}}", {**ENDPOINT, name: value})
    assert line.startswith(f"environment:{name}: {told}")
    assert CANARY not in line
