"""`streamgauge verify`: is a saved stream what its protocol says? Reads files, knows no gateway."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import TYPE_CHECKING, BinaryIO

import click

if TYPE_CHECKING:
    from streamgauge.core.grammar import Finding, StreamChecker

__all__ = ["verify"]

_PIECE = 1 << 20
_NAMES = ("openai", "anthropic", "simple", "frames")


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.option(
    "--grammar",
    type=click.Choice(_NAMES),
    help="The protocol that the stream is to be a legal stream of.",
)
@click.option("--strict", is_flag=True, help="Also tell what is odd, but seen on real servers.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object a finding, then a summary.")
@click.argument("file", type=click.File("rb"))
def verify(grammar: str | None, strict: bool, as_json: bool, file: BinaryIO) -> None:
    """Check a saved response body; FILE - is the standard input.

    Save a body with `curl -N … > FILE`. Each finding has the frame with data, from 1, the byte at
    which it begins, the rule and what was there. docs/grammar.md lists the rules. Exit code 0: the
    stream is legal; 1: something is wrong with it.
    """
    if grammar is None:
        raise click.UsageError(
            "captures are not served yet; a saved body is checked with --grammar NAME, "
            f"one of {', '.join(_NAMES)}"
        )
    from streamgauge.core.grammar import Level, checker_of

    checker = checker_of(grammar)
    counts: Counter[Level] = Counter()
    for finding in _findings(checker, file):
        counts[finding.level] += 1
        if strict or finding.level is Level.ERROR:
            click.echo(_as_json(finding) if as_json else str(finding))
    errors, oddities = counts[Level.ERROR], counts[Level.ODDITY]
    legal = not errors and not (strict and oddities)
    click.echo(_summary(grammar, checker.frames, errors, oddities, legal, as_json))
    if not legal:
        raise SystemExit(1)


def _findings(checker: StreamChecker, file: BinaryIO) -> Iterator[Finding]:
    while piece := file.read(_PIECE):
        yield from checker.feed(piece)
    yield from checker.end()


def _as_json(finding: Finding) -> str:
    import json

    fields = ("rule", "level", "frame", "offset", "text")
    return json.dumps({name: getattr(finding, name) for name in fields})


def _summary(
    grammar: str, frames: int, errors: int, oddities: int, legal: bool, as_json: bool
) -> str:
    if as_json:
        import json

        counts = {"frames": frames, "errors": errors, "oddities": oddities}
        return json.dumps({"grammar": grammar, "legal": legal, **counts})
    verdict = "legal" if legal else "not legal"
    told = f"{grammar}: {verdict}, {_many(frames, 'frame')}, {_many(errors, 'error')}"
    return f"{told}, {_many(oddities, 'oddity', 'oddities')}"


def _many(count: int, one: str, several: str | None = None) -> str:
    return f"{count} {one if count == 1 else several or one + 's'}"
