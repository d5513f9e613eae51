"""`streamgauge explain`: where a request would go, and why. It calls no upstream (SPEC §14.1, §18)."""

from __future__ import annotations

import json
import os
import re
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

import click

if TYPE_CHECKING:
    from streamgauge.config.schema import Config
    from streamgauge.core.pricing import Price
    from streamgauge.core.routing.plan import Considered, Explanation
    from streamgauge.core.routing.strategies import Live, Standing

__all__ = ["as_json", "as_text", "explain", "explanation_of"]

_HEADER_NAME = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")  # RFC 9110 §5.6.2

_ENDPOINTS = ("chat/completions", "messages", "completions", "responses", "embeddings")
_NO_ROUTE = 1


@click.command()
@click.option("--config", type=click.Path(path_type=Path), help="Instead of the file serve finds.")
@click.option(
    "--endpoint", type=click.Choice(_ENDPOINTS), default=_ENDPOINTS[0], help="Without /v1/."
)
@click.option("--header", "headers", multiple=True, metavar="NAME=VALUE", help="Of the request.")
@click.option("--key", metavar="LABEL", help="The label of the client key it comes with.")
@click.option("--running", is_flag=True, help="As the upstreams of the running gateway stand now.")
@click.option("--control", metavar="URL", help="Its control listener.  [default: as configured]")
@click.option("--request", "body", type=click.File("rb"), help="Its body, - for stdin.")
@click.argument("model", required=False)
@click.option("--json", "wants_json", is_flag=True, help="One JSON object.")
def explain(
    config: Path | None,
    endpoint: str,
    headers: tuple[str, ...],
    key: str | None,
    running: bool,
    control: str | None,
    body: BinaryIO | None,
    model: str | None,
    wants_json: bool,
) -> None:
    """Tell where a request for MODEL would go: phase, rule, and every candidate with its reason.

    By the gateway's own code, as if all upstreams were well and idle; with --running or --control
    as a gateway's stand, open circuits and drains included. Exit code 1: no route.
    """
    from streamgauge.cli.config_show import loaded_or_exit
    from streamgauge.config.load import LoadOptions
    from streamgauge.core.errors import RequestError

    loaded = loaded_or_exit(LoadOptions(config=config, insecure_no_auth=True))
    pairs = [_header(text) for text in headers]
    try:
        raw = _body(None if body is None else body.read(), model)
        standing = _standing(loaded.config, control) if running or control is not None else None
        found = explanation_of(loaded.config, endpoint, raw, pairs, key, standing)
    except RequestError as error:
        raise click.UsageError(f"this is no request: {error.message}") from None
    click.echo(json.dumps(as_json(found)) if wants_json else as_text(found))
    if model is not None and body is None and os.path.isfile(model):
        click.echo(f"{model} is taken for a model; the file is read with --request", err=True)
    if not loaded.config.upstreams:
        click.echo("no upstream is configured: see `streamgauge config init`", err=True)
    if found.error is not None:
        raise SystemExit(_NO_ROUTE)


def explanation_of(
    config: Config,
    endpoint: str,
    body: bytes,
    headers: Iterable[tuple[str, str]] = (),
    key_label: str | None = None,
    standing: Callable[[str], Standing] | None = None,
) -> Explanation:
    """Return what the gateway would decide. Raises RequestError.

    `standing`: how each upstream stands; without it all are well, with nothing in flight.
    """
    from streamgauge.core.routing.plan import explain as explained
    from streamgauge.gateway.admission import asked_of, read_chat
    from streamgauge.gateway.http import request_head
    from streamgauge.gateway.snapshot import snapshot_of

    pairs = tuple(
        (name.lower().encode(), value.encode("utf-8", "surrogateescape")) for name, value in headers
    )
    head = request_head("POST", f"/v1/{endpoint}", "", pairs, "")
    asked = asked_of(read_chat(head, endpoint, body), head, key_label)
    live = _live(config)
    live = live if standing is None else replace(live, standing=standing)
    return explained(snapshot_of(config), asked, live)


def _standing(config: Config, url: str | None) -> Callable[[str], Standing]:
    """Return how the upstreams of a running gateway stand. Ends the verb where it cannot be asked."""
    from streamgauge.cli.admin_client import AdminClient, AdminError
    from streamgauge.cli.settings import listener_url
    from streamgauge.core.routing.breaker import Circuit
    from streamgauge.core.routing.strategies import Standing

    control = config.control
    if url is None:
        url = listener_url("control", control.host, control.port, "--control")
    token = control.token.get_secret_value() if control.token else None
    try:
        client = AdminClient(url, token or os.environ.get("STREAMGAUGE_ADMIN_TOKEN"))
        listed = client.get("/upstreams", hours=1)["upstreams"]
    except ValueError as error:
        raise click.UsageError(f"--control: {error}") from None
    except AdminError as error:
        raise click.ClickException(str(error)) from error

    found = {}
    for each in listed:
        ms = each["response_ms"]
        found[each["name"]] = Standing(
            allows=each["admits"],
            in_flight=each["in_flight"],
            latency=None if ms is None else ms / 1000,
            drained=each["drained"],
            cooling=not each["admits"] and each["circuit"] == Circuit.CLOSED,
        )
    if unknown := [each.name for each in config.upstreams if each.name not in found]:
        names = ", ".join(unknown)
        click.echo(f"the gateway at {url} has no upstream {names}: taken for well", err=True)
    return lambda name: found.get(name, Standing())


def _live(config: Config) -> Live:
    """All are well and idle; prices are as they are now."""
    from streamgauge.config.prices import PriceBook
    from streamgauge.core.routing.strategies import Live

    book = PriceBook(config.prices)
    kinds = {upstream.name: upstream.kind.value for upstream in config.upstreams}

    def price(upstream: str, model: str | None) -> Price | None:
        return book.price_for(upstream, kinds[upstream], model, time.time_ns() // 1000)

    return Live(price=price)


def _header(text: str) -> tuple[str, str]:
    name, equals, value = text.partition("=")
    if not equals or _HEADER_NAME.fullmatch(name.strip()) is None:
        raise click.UsageError(f"a header is NAME=VALUE, not {text!r}")
    return name.strip(), value.strip()


def _body(given: bytes | None, model: str | None) -> bytes:
    """Return the request's body; a model on the command line wins over its own."""
    from streamgauge.core.json_text import read_object

    fields: Mapping[str, Any] = {} if given is None else read_object(given)
    if model is not None:
        fields = {**fields, "model": model}
    elif given is not None:
        return given
    return json.dumps(fields).encode()


# --- in words ------------------------------------------------------------------------------------


def as_text(found: Explanation) -> str:
    """Return the explanation for people: what decided, then a line for each candidate."""
    lines = []
    if found.route is not None:
        rule = found.route.partition(":")[2]
        head = (("phase", found.phase), ("rule", rule), ("strategy", found.strategy))
        lines += [f"{name:<9} {value}" for name, value in head if value]
    lines += _table(found.considered)
    if found.error is not None:
        lines.append(f"{found.error.status} {found.error.code}: {found.error.message}")
    return "\n".join(lines)


def _table(considered: Sequence[Considered]) -> list[str]:
    rows = []
    for one in considered:
        place = "-" if one.place is None else f"{one.place}."
        manner = (
            "left out" if one.place is None else f"as {one.dialect}" if one.dialect else "as is"
        )
        rows.append((place, one.upstream, one.model or "no model", manner, one.reason))
    widths = [max((len(row[n]) for row in rows), default=0) for n in range(4)]
    return ["  ".join([*map(str.ljust, row[:4], widths), row[4]]) for row in rows]


def as_json(found: Explanation) -> dict[str, Any]:
    """Return the explanation for programs. A candidate without `place` is left out."""
    error = found.error
    return {
        "phase": found.phase,
        "rule": None if found.route is None else found.route.partition(":")[2] or None,
        "route": found.route,
        "strategy": found.strategy,
        "candidates": [
            {
                "place": one.place,
                "upstream": one.upstream,
                "model": one.model,
                "dialect": one.dialect,
                "reason": one.reason,
            }
            for one in found.considered
        ],
        "error": None
        if error is None
        else {"status": error.status, "code": error.code, "message": error.message},
    }
