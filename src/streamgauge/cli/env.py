"""`streamgauge env CLIENT`: what a shell evaluates so that its clients ask the gateway (SPEC §18)."""

from __future__ import annotations

import os
from urllib.parse import urlsplit

import click

from streamgauge.cli.client_settings import (
    CLIENTS,
    DUMMY_KEY,
    SHELLS,
    base_url,
    shell_line,
    variables,
)
from streamgauge.cli.config_option import config_option
from streamgauge.cli.key_option import key_option

__all__ = ["env", "models_option", "models_or_asked", "url_option", "url_or_default"]


def _checked_url(_ctx: click.Context, _param: click.Parameter, value: str | None) -> str | None:
    if value is None:
        return None
    try:
        parts = urlsplit(value)
        sound = parts.scheme in ("http", "https") and parts.hostname and parts.port != 0
    except ValueError:
        sound = False
    if not sound or parts.query or parts.fragment:
        raise click.BadParameter(f"{value!r} is no URL such as http://127.0.0.1:8066")
    return base_url(value)


url_option = click.option(
    "--url",
    callback=_checked_url,
    metavar="URL",
    help="The gateway.  [default: the configuration's, http://127.0.0.1:8066]",
)
models_option = click.option(
    "--model",
    "models",
    multiple=True,
    metavar="NAME",
    help="A model for OpenCode; may be repeated.  [default: what the gateway lists]",
)


def url_or_default(url: str | None) -> str:
    """Return `url`, else that of the gateway that is configured here."""
    from streamgauge.cli.settings import data_url

    return data_url() if url is None else url


def models_or_asked(models: tuple[str, ...], url: str, key: str | None) -> list[str]:
    """Return `models`, else those that the gateway at `url` names; none when it is away.

    Raises KeyRefused.
    """
    from streamgauge.cli.served_models import served_models

    return list(models) or served_models(url, DUMMY_KEY if key is None else key)


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.argument("client", type=click.Choice(CLIENTS))
@url_option
@config_option
@key_option("The client key, where keys are needed.")
@models_option
@click.option("--shell", type=click.Choice(SHELLS), default="sh", show_default=True,
              help="Whose words to use; sh is also bash's and zsh's.")  # fmt: skip
def env(client: str, url: str | None, key: str | None, models: tuple[str, ...], shell: str) -> None:
    """Print the variables that point CLIENT at the gateway.

    \b
    eval "$(streamgauge env anthropic)" && claude
    streamgauge env openai --shell fish | source
    streamgauge env openai --shell powershell | Out-String | Invoke-Expression

    A key is named only where the environment has none, or --key or STREAMGAUGE_CLIENT_KEY gives it.
    """
    where = url_or_default(url)
    if client == "opencode":
        models = _for_opencode(models, where, key)
    for name, value in variables(client, where, key, os.environ, models).items():
        click.echo(shell_line(shell, name, value))


def _for_opencode(models: tuple[str, ...], url: str, key: str | None) -> tuple[str, ...]:
    """Return what OpenCode is told, at least one."""
    from streamgauge.cli.served_models import KeyRefused

    must = "OpenCode must be told the models, and"
    try:
        found = tuple(models_or_asked(models, url, key))
    except KeyRefused:
        said = f"{url} wants a client key" if key is None else f"{url} does not take this key"
        cure = "give one with --key or STREAMGAUGE_CLIENT_KEY (`streamgauge keys create` makes one)"
        raise click.ClickException(f"{must} {said}: {cure}") from None
    if not found:
        cure = "start the gateway first, or name one with --model"
        raise click.ClickException(f"{must} {url} does not list any: {cure}")
    return found
