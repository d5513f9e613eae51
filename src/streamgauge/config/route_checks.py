"""Rules between routes and upstreams, which no single setting can tell (SPEC §14.8). Knows no type."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any
from urllib.parse import urlsplit

from streamgauge.config.document import Document
from streamgauge.config.expand import Expanded
from streamgauge.config.listeners import Server, is_loopback
from streamgauge.config.positions import Path
from streamgauge.config.problems import did_you_mean, one_of, shown

__all__ = ["route_problems", "upstreams_of"]

Found = Iterator[tuple[Path, str]]

_ANY_ADDRESS = {"0.0.0.0", "::", "[::]"}
_PORTS = {"http": 80, "https": 443}


def upstreams_of(document: Document) -> Iterator[tuple[int, dict[str, Any]]]:
    """Yield the upstreams that are mappings, with their index."""
    upstreams = document.root.get("upstreams")
    for index, upstream in enumerate(upstreams if isinstance(upstreams, list) else []):
        if isinstance(upstream, dict):
            yield index, upstream


def route_problems(document: Document) -> Found:
    """Tell of targets that are not there or stand twice, of circles, and of names that do."""
    told = [upstream.get("name") for _, upstream in upstreams_of(document)]
    names = [str(name) for name in told if name is not None]
    for path, route in _routes(document):
        yield from _targets(route.get("to"), (*path, "to"), names)
        if route.get("max_per_1m") and route.get("strategy", "first") != "cheapest":
            yield (*path, "max_per_1m"), "only cheapest looks at prices; write strategy: cheapest"
    yield from _same_rule_names(document)
    yield from _circles(document)


def _routes(document: Document) -> Iterator[tuple[Path, dict[str, Any]]]:
    paths: list[Path] = []
    for section in ("models", "rules"):
        items = document.get(("routing", section))
        count = len(items) if isinstance(items, list) else 0
        paths += [("routing", section, index) for index in range(count)]
    scenarios = document.get(("routing", "scenarios"))
    paths += [
        ("routing", "scenarios", n) for n in (scenarios if isinstance(scenarios, dict) else ())
    ]
    for path in (*paths, ("routing", "default")):
        if isinstance(route := document.get(path), dict):
            yield path, route


def _targets(targets: object, path: Path, names: list[str]) -> Found:
    seen: dict[str, int] = {}
    for index, target in enumerate(targets if isinstance(targets, list) else []):
        if not isinstance(target, str):
            continue
        upstream, slash, model = target.partition("/")
        if upstream not in names:
            yield (*path, index), _no_such_upstream(target, names)
        elif slash and not model:
            yield (*path, index), "must be upstream, or upstream/model"
        elif seen.setdefault(target, index) != index:
            yield (*path, index), f"stands at to[{seen[target]}] already; a try is not repeated"


def _no_such_upstream(target: str, names: list[str]) -> str:
    visible = [] if isinstance(target, Expanded) else names
    seen = [shown(name, "…") for name in dict.fromkeys(names)]
    allowed = one_of(seen) if seen else "empty, as there are no upstreams"
    near = did_you_mean(target.partition("/")[0], visible)
    return f"no such upstream; must be {allowed}{near}"


def _same_rule_names(document: Document) -> Found:
    first: dict[str, int] = {}
    rules = document.get(("routing", "rules"))
    for index, rule in enumerate(rules if isinstance(rules, list) else []):
        name = rule.get("name") if isinstance(rule, dict) else None
        if isinstance(name, str) and first.setdefault(name, index) != index:
            yield (
                ("routing", "rules", index, "name"),
                f"must be unique; rules[{first[name]}] has the same name",
            )


def _circles(document: Document) -> Found:
    """Tell of upstreams that are this gateway's own data listener; longer circles are seen on the way."""
    host, port = (_server(document, key) for key in ("host", "port"))
    for index, upstream in upstreams_of(document):
        target = _host_and_port(upstream.get("base_url"))
        if target is not None and str(target[1]) == port and _same_host(target[0], host):
            yield (
                ("upstreams", index, "base_url"),
                "is this gateway's own listener, and requests would go in a circle; "
                "write where the model server listens",
            )


def _server(document: Document, key: str) -> str:
    value = document.get(("server", key))
    return str(Server.model_fields[key].default if value is None else value).strip()


def _host_and_port(url: object) -> tuple[str, int | None] | None:
    if not isinstance(url, str):
        return None
    try:
        parts = urlsplit(url)
        return parts.hostname or "", parts.port or _PORTS.get(parts.scheme)
    except ValueError:
        return None


def _same_host(target: str, listener: str) -> bool:
    if target == listener.strip("[]").lower():
        return True
    return is_loopback(target) and (is_loopback(listener) or listener in _ANY_ADDRESS)
