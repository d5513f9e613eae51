"""`streamgauge doctor`: what is wrong on the way, measured, with the cure (SPEC §18.3)."""

from __future__ import annotations

import asyncio
import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import click

from streamgauge.cli.key_option import key_option
from streamgauge.cli.number_option import Number

if TYPE_CHECKING:
    from streamgauge.config.load import Loaded
    from streamgauge.tools.doctor import Report, Visit

__all__ = ["doctor"]

_FOUND, _CONFIGURATION = 1, 3
_LOOPBACK = frozenset({"127.0.0.1", "localhost", "::1"})
_SECONDS = 240.0
"""Each step has its own deadline; this is for all of one subject's together."""


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.argument("url", required=False)
@click.option("--config", type=click.Path(path_type=Path), help="Instead of the file serve finds.")
@click.option("--model", metavar="NAME", help="The model to ask for.  [default: the first listed]")
@key_option("The client key for URL.")
@click.option("--spend", is_flag=True, help="Make calls that cost money: two short ones each.")
@click.option("--silence", type=Number(0, 600), default=0.0, metavar="SECONDS",
              help="Let a simulated stream behind URL be silent for so long.")  # fmt: skip
@click.option("--json", "as_json", is_flag=True, help="One JSON object.")
def doctor(
    url: str | None,
    config: Path | None,
    model: str | None,
    key: str | None,
    spend: bool,
    silence: float,
    as_json: bool,
) -> None:
    """Examine this machine and each upstream, or with URL a gateway as its clients reach it.

    Each finding has a number that was measured and a cure. docs/doctor.md lists them. Calls that
    may cost money are made with --spend only, or when you are asked and say yes. Exit code 0:
    nothing found; 1: findings; 3: a mistake in the configuration.
    """
    from streamgauge.tools.doctor import Report

    report = Report(lambda text: click.echo(text, err=True))
    if url is None:
        _refuse_without_url()
        _examine_here(config, report, spend=spend, model=model)
    else:
        visit = _visit(url, config, report, silence, key=key, model=model, spend=spend)
        if not as_json and sys.stdin.isatty():
            visit = _asking(visit)
        _examine_url(visit)
    click.echo(json.dumps(report.as_plain()) if as_json else _as_text(report))
    if report.findings:
        raise SystemExit(_FOUND)


# --- without a URL ------------------------------------------------------------------------------


def _refuse_without_url() -> None:
    """A measurement that was asked for and not made would pass for one that found nothing."""
    typed = click.get_current_context().get_parameter_source
    for name in ("key", "silence"):
        if typed(name) is click.core.ParameterSource.COMMANDLINE:
            raise click.UsageError(
                f"--{name} needs URL, that of a gateway: no upstream is asked so"
            )


def _examine_here(config: Path | None, report: Report, *, spend: bool, model: str | None) -> None:
    from streamgauge.cli.config_show import loaded_or_exit
    from streamgauge.cli.doctor_facts import house_facts
    from streamgauge.config.load import LoadOptions
    from streamgauge.tools.doctor import examine_house

    # What a bind needs is said by `config check`; here it must not hide everything else.
    loaded = loaded_or_exit(LoadOptions(config=config, insecure_no_auth=True))
    if not loaded.config.upstreams:
        click.echo("no upstream is configured: see `streamgauge config init`", err=True)
        raise SystemExit(_CONFIGURATION)
    report.progress("this machine: ledger, disk, descriptors")
    examine_house(house_facts(loaded), report)
    asyncio.run(_examine_upstreams(loaded, report, spend=spend, model=model))


async def _examine_upstreams(
    loaded: Loaded, report: Report, *, spend: bool, model: str | None
) -> None:
    from streamgauge.gateway.pool import Pool, PoolSettings
    from streamgauge.gateway.upstream_tls import TlsSettingsError
    from streamgauge.tools.doctor import examine_upstream

    pool = Pool(asyncio.get_running_loop(), PoolSettings())
    try:
        for upstream in loaded.config.upstreams:
            subject = f"upstream {upstream.name}"
            try:
                async with asyncio.timeout(_SECONDS):
                    await examine_upstream(upstream, pool, report, spend=spend, model=model)
            except TimeoutError:
                report.leave_out(subject, f"the rest: {_SECONDS:g} s have passed")
            except TlsSettingsError as error:
                report.find("upstream_unreachable", subject, f"its TLS settings: {error}")
    finally:
        await pool.aclose()


# --- with a URL ---------------------------------------------------------------------------------


def _visit(
    url: str,
    config: Path | None,
    report: Report,
    silence: float,
    *,
    key: str | None,
    model: str | None,
    spend: bool,
) -> Visit:
    """Return the visit, with what the configuration tells where it is that gateway's."""
    from streamgauge.tools.doctor import Address, Visit

    try:
        address = Address.of_url(url)
    except ValueError as error:
        raise click.UsageError(str(error)) from None
    free, keepalive = _known(url, config)
    return Visit(
        address=address,
        subject=f"gateway {url}",
        report=report,
        key=key,
        model=model,
        spend=spend,
        free=free,
        silence=silence,
        keepalive_seconds=keepalive,
    )


def _known(url: str, config: Path | None) -> tuple[frozenset[str], float]:
    """Return the upstreams that cost nothing and the seconds between keep-alives.

    The file that `serve` would find is taken for that gateway's only on this machine: an upstream of
    the same name elsewhere may cost money.
    """
    from streamgauge.cli.config_show import loaded_or_exit
    from streamgauge.config.load import LoadOptions, load
    from streamgauge.config.problems import ConfigError
    from streamgauge.config.schema import Server
    from streamgauge.tools.doctor.asking import PAID

    options = LoadOptions(config=config, insecure_no_auth=True)
    if config is not None:
        loaded = loaded_or_exit(options)
    elif urlsplit(url).hostname in _LOOPBACK:
        try:
            loaded = load(options)
        except ConfigError:
            return frozenset(), Server().keepalive_seconds
    else:
        return frozenset(), Server().keepalive_seconds
    free = frozenset(up.name for up in loaded.config.upstreams if up.kind not in PAID)
    return free, loaded.config.server.keepalive_seconds


def _asking(visit: Visit) -> Visit:
    """Return `visit` with somebody to ask for leave to spend."""
    from dataclasses import replace

    def ask(model: str, nano: int | None) -> bool:
        cost = "at a cost that is not known" if nano is None else f"for about {nano / 1e9:.6f} each"
        return click.confirm(f"ask {model} for up to three short answers, {cost}?", err=True)

    return replace(visit, ask=ask)


def _examine_url(visit: Visit) -> None:
    from streamgauge.tools.doctor import examine_gateway

    async def examine() -> None:
        try:
            async with asyncio.timeout(_SECONDS + 2 * visit.silence):
                await examine_gateway(visit)
        except TimeoutError:
            visit.report.leave_out(visit.subject, f"the rest: {_SECONDS:g} s have passed")

    asyncio.run(examine())


# --- in words -----------------------------------------------------------------------------------


def _as_text(report: Report) -> str:
    """Return the report for people: by subject, in the order of examination, findings last."""
    told = [one.subject for one in report.well] + [one.subject for one in report.left_out]
    subjects = dict.fromkeys([*told, *(one.subject for one in report.findings)])
    lines: list[str] = []
    for subject in subjects:
        lines.append(subject)
        lines += [f"  ok       {one.text}" for one in report.well if one.subject == subject]
        lines += [f"  skipped  {one.text}" for one in report.left_out if one.subject == subject]
        for finding in report.findings:
            if finding.subject == subject:
                lines.append(f"  {finding.severity:<7}  {finding.id}: {finding.measured}")
                lines.append(f"           cure: {finding.cure}")
    count = len(report.findings)
    lines.append("nothing found" if not count else f"{count} finding{'' if count == 1 else 's'}")
    return "\n".join(lines)
