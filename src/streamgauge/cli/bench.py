"""`streamgauge bench`: measures proxies under load and prints a table or JSON (SPEC §18.2)."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING

import click

from streamgauge import __version__
from streamgauge.cli.number_option import Number

if TYPE_CHECKING:
    from streamgauge.tools.bench.profiles import Profile
    from streamgauge.tools.bench.results import Result
    from streamgauge.tools.bench.targets import Target

__all__ = ["bench"]

_FINDING, _USAGE, _CANNOT_START, _INTERRUPTED = 1, 2, 4, 130
_PROFILES = ("paced", "paced-tenth", "flood", "short", "idle")


@dataclass(frozen=True, slots=True)
class _NoteFor:
    """What one target is told beside the load: its name and the text behind the first `=`."""

    target: str
    text: str


def _notes(
    _ctx: click.Context, param: click.Parameter, values: Sequence[str]
) -> tuple[_NoteFor, ...]:
    found = []
    for value in values:
        name, _, text = value.partition("=")
        if not (name and text):
            raise click.BadParameter(f"'{value}' must be {param.make_metavar(_ctx)}")
        found.append(_NoteFor(name, text))
    return tuple(found)


@click.command()
@click.option(
    "--profile",
    "profiles",
    type=click.Choice([*_PROFILES, "all"]),
    multiple=True,
    help="Which load; may be given again. [default: paced]",
)
@click.option(
    "--target",
    "names",
    metavar="TARGET",
    multiple=True,
    help="streamgauge, nginx, direct, or NAME=COMMAND with {port} and {upstream}; may be given "
    "again. [default: streamgauge, and nginx where it is installed]",
)
@click.option("--rounds", type=click.IntRange(1), default=5, show_default=True, help="Of each.")
@click.option(
    "--against",
    metavar="NAME",
    help="A target: tell by how much each of the others is dearer, round by round, all of them "
    "started anew for each round.",
)
@click.option("--json", "as_json", is_flag=True, help="Print JSON instead of a table.")
@click.option("--syscalls", is_flag=True, help="Count system calls an event too; needs strace.")
@click.option("--scale", type=Number(0, 1, min_open=True), help="Share of the streams.")
@click.option("--streams", type=click.IntRange(1), help="Streams, or connections, at once.")
@click.option("--gap-ms", type=Number(0, min_open=True), help="Between paced events.")
@click.option("--events", type=click.IntRange(1), help="Events of each stream.")
@click.option(
    "--path",
    "paths",
    metavar="NAME=PATH",
    multiple=True,
    callback=_notes,
    help="What to ask of a target instead of /v1/chat/completions.",
)
@click.option(
    "--model",
    "models",
    metavar="NAME=MODEL",
    multiple=True,
    callback=_notes,
    help="Which model to ask a target for.",
)
@click.option(
    "--header",
    "headers",
    metavar="NAME=FIELD:VALUE",
    multiple=True,
    callback=_notes,
    help="Sent to a target; may hold {upstream}; may be given again.",
)
def bench(
    profiles: tuple[str, ...],
    names: tuple[str, ...],
    rounds: int,
    against: str | None,
    as_json: bool,
    syscalls: bool,
    scale: float | None,
    streams: int | None,
    gap_ms: float | None,
    events: int | None,
    paths: tuple[_NoteFor, ...],
    models: tuple[_NoteFor, ...],
    headers: tuple[_NoteFor, ...],
) -> None:
    """Measure what proxies cost, one after the other on this machine."""
    # Imported here so that `--help` stays quick.
    from streamgauge.tools.bench.procfs import NotLinux
    from streamgauge.tools.bench.profiles import PROFILES
    from streamgauge.tools.bench.targets import BadTarget, TargetFailed

    chosen = PROFILES if "all" in profiles else dict.fromkeys(profiles or ("paced",))
    loads = [PROFILES[name].scaled(scale or 1).changed(streams, gap_ms, events) for name in chosen]
    try:
        targets = _addressed(_targets(names), paths, models, headers)
        if against is not None and against not in [each.name for each in targets]:
            raise BadTarget(f"'--against {against}': there is no target '{against}'")
        found = asyncio.run(_measured(loads, targets, rounds, against, syscalls))
    except TargetFailed as error:
        raise SystemExit(_end_with(_CANNOT_START, error)) from None
    except (BadTarget, NotLinux) as error:
        raise SystemExit(_end_with(_USAGE, error)) from None
    except KeyboardInterrupt:
        raise SystemExit(_INTERRUPTED) from None
    _print(found, rounds, as_json)
    raise SystemExit(_FINDING if any(each.errors for each in found) else 0)


def _end_with(code: int, error: Exception) -> int:
    click.echo(f"bench: {error}", err=True)
    return code


def _progress(line: str) -> None:
    click.echo(line, err=True)


def _targets(names: Sequence[str]) -> list[Target]:
    """Return the targets by name, `direct` always among them: delays are measured against it."""
    from streamgauge.tools.bench.targets import DIRECT, NGINX, STREAMGAUGE, find_nginx, target

    if not names:
        names = (STREAMGAUGE, NGINX)
        if find_nginx() is None:
            _progress("nginx is not installed: there is nothing to compare with")
            names = (STREAMGAUGE,)
    return [target(each) for each in dict.fromkeys((*names, DIRECT))]


def _addressed(
    targets: Sequence[Target],
    paths: Sequence[_NoteFor],
    models: Sequence[_NoteFor],
    headers: Sequence[_NoteFor],
) -> list[Target]:
    """Return the targets with what each is to be asked. Raises BadTarget for a name that is none."""
    from streamgauge.tools.bench.targets import BadTarget

    by_name = {each.name: each for each in targets}
    for note in (*paths, *models, *headers):
        if note.target not in by_name:
            raise BadTarget(f"'{note.target}={note.text}': there is no target '{note.target}'")
    for note in paths:
        by_name[note.target] = replace(by_name[note.target], path=note.text)
    for note in models:
        by_name[note.target] = replace(by_name[note.target], model=note.text)
    for note in headers:
        its = by_name[note.target]
        name, _, value = note.text.partition(":")
        by_name[note.target] = replace(its, headers=(*its.headers, (name, value.strip())))
    return list(by_name.values())


async def _measured(
    loads: Sequence[Profile],
    targets: Sequence[Target],
    rounds: int,
    against: str | None,
    syscalls: bool,
) -> list[Result]:
    from streamgauge.tools.bench.results import results
    from streamgauge.tools.bench.rounds import measure
    from streamgauge.tools.bench.system_calls import count_system_calls

    found: list[Result] = []
    calls: dict[str, float] = {}
    if syscalls:  # first, since without strace it ends here
        for target in targets:
            if target.is_process:
                _progress(f"system calls: {target.name}")
                calls[target.name] = (await count_system_calls(target)).per_event
    for load in loads:
        done = await measure(load, targets, rounds, _progress, anew=against is not None)
        its = results(load, done, against)
        found += [each.with_system_calls(calls.get(each.target)) for each in its]
    return found


def _print(found: Sequence[Result], rounds: int, as_json: bool) -> None:
    from streamgauge.cli.bench_table import print_results
    from streamgauge.cli.ledger_table import signs_of, stdout_console
    from streamgauge.tools.bench.procfs import machine

    here = machine()
    if as_json:
        listed = [each.as_json() for each in found]
        whole = {
            "streamgauge": __version__,
            "machine": asdict(here),
            "rounds": rounds,
            "results": listed,
        }
        click.echo(json.dumps(whole, indent=2))
    else:
        console = stdout_console()
        console.print(f"{here.cores} cores, {here.cpu}; Linux {here.kernel}; Python {here.python}")
        print_results(found, console, signs_of(console))
    for each in found:
        if each.errors:
            _progress(f"bench: {each.fault}")
