"""The first word of the command line: finds the verb and nothing else. It knows no verb's options.

A verb's module is imported only when that verb runs, so that `--help` needs none of them (SPEC §18).
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from importlib import import_module
from types import MappingProxyType

import click

from streamgauge import __version__
from streamgauge.cli.standard_streams import standard_streams

__all__ = ["VERBS", "LazyGroup", "Verb", "cli", "main"]


@dataclass(frozen=True, slots=True)
class Verb:
    """Where a verb's command lives (`module:attribute`), and its one line in the help."""

    target: str
    summary: str

    def load(self) -> click.Command:
        """Return the click command, importing its module now."""
        module, _, attribute = self.target.partition(":")
        command = getattr(import_module(module), attribute)
        assert isinstance(command, click.Command), self.target
        return command


VERBS: Mapping[str, Verb] = MappingProxyType(
    {
        "serve": Verb("streamgauge.cli.serve_command:serve", "Run the gateway."),
        "demo": Verb(
            "streamgauge.cli.demo:demo", "Gateway, simulator and an audit. No key needed."
        ),
        "sim": Verb("streamgauge.cli.sim:sim", "Run the simulated upstream."),
        "ls": Verb("streamgauge.cli.ls:ls", "List the ledger's newest rows."),
        "show": Verb("streamgauge.cli.show:show", "Show one row, and why it ended as it did."),
        "tail": Verb("streamgauge.cli.tail:tail", "Follow the ledger as rows close."),
        "top": Verb("streamgauge.cli.top:top", "The streams of this moment, live."),
        "verify": Verb("streamgauge.cli.verify:verify", "Is a captured or saved stream whole?"),
        "capture": Verb("streamgauge.cli.capture:capture", "Capture what a gateway serves now."),
        "replay": Verb("streamgauge.cli.replay:replay", "Serve a capture as an upstream."),
        "doctor": Verb("streamgauge.cli.doctor:doctor", "What is wrong on the way, with the cure."),
        "env": Verb("streamgauge.cli.env:env", "Print what points a client at the gateway."),
        "exec": Verb("streamgauge.cli.exec:exec_", "Run one command with that set."),
        "bench": Verb("streamgauge.cli.bench:bench", "Measure this gateway beside other proxies."),
        "ledger": Verb(
            "streamgauge.cli.ledger:ledger", "Back up, migrate, export, check the books."
        ),
        "keys": Verb("streamgauge.cli.keys:keys", "Client keys: make, list, change, revoke."),
        "prices": Verb("streamgauge.cli.prices:prices", "What a model costs, and who says so."),
        "explain": Verb("streamgauge.cli.explain:explain", "Where a request would go, and why."),
        "config": Verb("streamgauge.cli.config:config", "Write, check and show the configuration."),
    }
)

_CANNOT_START = 4
_ALIASES: Mapping[str, str] = MappingProxyType({"run": "serve"})


class LazyGroup(click.Group):
    """A group whose commands come from `VERBS` on demand; its help reads the table alone."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Return the verbs in the table's order, aliases left out."""
        return list(VERBS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Return the verb's command, or None when there is no such verb."""
        verb = VERBS.get(_ALIASES.get(cmd_name, cmd_name))
        return None if verb is None else verb.load()

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Return the verb to run; an unknown one is a usage error that names the nearest."""
        word = args[0]
        if word in VERBS or word in _ALIASES or word.startswith("-"):
            return super().resolve_command(ctx, args)
        near = get_close_matches(word, [*VERBS, *_ALIASES], n=1, cutoff=0.5)
        hint = f" Did you mean '{near[0]}'?" if near else f" The verbs are {', '.join(VERBS)}."
        raise click.UsageError(f"There is no verb '{word}'.{hint}", ctx)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the verbs and their summaries without importing one."""
        rows = [(_with_aliases(name), verb.summary) for name, verb in VERBS.items()]
        with formatter.section("Verbs"):
            formatter.write_dl(rows)


def _with_aliases(name: str) -> str:
    return ", ".join([name, *(alias for alias, verb in _ALIASES.items() if verb == name)])


@click.command(
    cls=LazyGroup,
    context_settings={"help_option_names": ["-h", "--help"]},
    subcommand_metavar="VERB [OPTIONS]",
    epilog="Exit codes: 0 ok, 1 finding, 2 usage, 3 configuration, 4 cannot start.",
)
@click.version_option(__version__, prog_name="streamgauge", message="%(prog)s %(version)s")
def cli() -> None:
    """A streaming LLM gateway whose books balance.

    Data goes to stdout, the log to stderr. `streamgauge VERB -h` explains a verb.
    """


def main(args: Sequence[str] | None = None) -> None:
    """Run the command line and exit with the verb's code."""
    with standard_streams():
        try:
            cli.main(args=None if args is None else list(args), prog_name="streamgauge")
        except (FileNotFoundError, SystemError):  # the latter of extension modules, in Python 3.13
            if _has_directory():
                raise
            click.echo("Error: this directory is gone: change to one that is there", err=True)
            raise SystemExit(_CANNOT_START) from None


def _has_directory() -> bool:
    """Return whether the directory that relative names are in is there: one can be deleted under a shell."""
    try:
        os.getcwd()
    except FileNotFoundError:
        return False
    return True
