"""The Grafana dashboards name only what is exported; real servers take every query (test_exports)."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from streamgauge.cli.exporters import Exporters
from streamgauge.config.exporters import Exporters as Wanted
from streamgauge.config.exporters import Influxdb
from streamgauge.config.schema import Config
from streamgauge.sinks.influx import FIELDS, TAGS

from ..control.listener_rig import FakePlane, listening, vitals
from .dashboards import dashboard, queries


def exported() -> dict[str, set[str]]:
    """Return the names and labels of all metrics that the gateway may show."""
    wanted = Wanted(influxdb=Influxdb(url="http://127.0.0.1:1", database="d"))
    families = Exporters(Config(exporters=wanted), lambda *_: None, lambda *_: None).families()
    told = vitals(exchanges={("completed", "openai", "a"): 1}, families=families)
    with listening(FakePlane(told)) as listener:
        text = listener.get("/metrics").body.decode()
    found = {name: set[str]() for name in re.findall(r"^# TYPE (\S+)", text, re.MULTILINE)}
    for line in text.splitlines():
        name, _, labels = line.partition("{")
        found.setdefault(name, set()).update(re.findall(r'(\w+)="', labels))
    return found


def test_every_metric_that_the_prometheus_dashboard_names_exists() -> None:
    names = {name.removesuffix("_total") for name in exported()}
    asked = {
        name for query in queries("prometheus") for name in re.findall(r"streamgauge_\w+", query)
    }
    assert len(asked) > 20
    missing = {re.sub(r"_(total|bucket|count|sum)$", "", name) for name in asked} - names
    assert missing == set()


def test_the_docs_explain_every_metric_that_is_made_from_records() -> None:
    page = (Path(__file__).parents[2] / "docs" / "exports.md").read_text()
    documented = set(re.findall(r"^\| `(streamgauge_\w+)` \|", page, re.MULTILINE))
    wanted = Wanted(influxdb=Influxdb(url="http://127.0.0.1:1", database="d"))
    families = Exporters(Config(exporters=wanted), lambda *_: None, lambda *_: None).families()
    counters = {f"{each.name}_total" for each in families if each.type == "counter"}
    assert documented == counters | {each.name for each in families if each.type != "counter"}


def test_every_field_and_tag_that_the_influxdb_dashboard_names_exists() -> None:
    asked = {name for query in queries("influxdb") for name in re.findall(r'"(\w+)"', query)}
    assert len(asked) > 20
    assert asked - {*FIELDS, *TAGS} == {Influxdb.model_fields["measurement"].default}


@pytest.mark.parametrize("name", ["prometheus", "influxdb"])
def test_a_dashboard_is_whole(name: str) -> None:
    board = dashboard(name)
    ids = [panel["id"] for panel in board["panels"]]
    assert len(ids) == len(set(ids)) > 10
    assert all(panel["title"] and panel["datasource"]["type"] == name for panel in board["panels"])
    places = [tuple(panel["gridPos"].values()) for panel in board["panels"]]
    assert len(places) == len(set(places))
    assert "__inputs" not in board, "a data source is chosen by a variable"
