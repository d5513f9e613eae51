"""`streamgauge keys`: make, list, change and revoke client keys, also while a gateway runs (§15.1)."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from streamgauge.cli.keys_options import NONE, Length, limit_options, now_us
from streamgauge.cli.ledger_option import served_ledger_option
from streamgauge.cli.ledger_writing import written

if TYPE_CHECKING:
    from streamgauge.ledger.keys import KeyStore, NewKey

__all__ = ["keys"]

_MAX_LABEL = 100
_MONEY = ("per_day", "per_month")


def _label(_ctx: click.Context, _param: click.Parameter, value: str | None) -> str | None:
    if value is None:
        return None
    label = value.strip()
    if not label or not label.isprintable() or len(label) > _MAX_LABEL:
        raise click.BadParameter(f"a label is 1 to {_MAX_LABEL} printable characters")
    return label


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
def keys() -> None:
    """Client keys: who may use the gateway, and how much.

    A running gateway follows each change within a second. A key is shown once, when it is made;
    the ledger holds a digest of it, made with the secret in LEDGER.keys-secret, which
    `ledger backup` leaves out: save that file once, elsewhere. docs/keys.md.
    """


@keys.command()
@click.option("--label", required=True, callback=_label, metavar="L", help="Whose key it is.")
@limit_options
@click.option("--json", "as_json", is_flag=True, help='{"id": …, "key": …, "label": …}')
@served_ledger_option
def create(label: str, as_json: bool, ledger: Path, **given: Any) -> None:
    """Make a key and show it, this once.

    Makes the ledger, too, where there is none yet.
    """
    from streamgauge.core.keys import Caller, KeyLimits

    wanted = {name: None if value == NONE else value for name, value in given.items()}
    expires_at, models = wanted.pop("expires"), wanted.pop("models")
    limits = KeyLimits(**wanted)
    if limits.mistake is not None:  # before a ledger is made for it
        raise click.UsageError(limits.mistake)
    _warn(wanted)
    caller = Caller("", label, () if models is None else models, limits)
    with _writing(ledger) as store:
        _show(store.create(caller, expires_at), as_json)


@keys.command(short_help="Give key ID a new text.")
@click.argument("key_id", metavar="ID")
@click.option("--grace", type=Length(), default=NONE, metavar="10m",
              help="How long the old key opens as well.  [default: not at all]")  # fmt: skip
@click.option("--json", "as_json", is_flag=True, help='{"id": …, "key": …, "label": …}')
@served_ledger_option
def rotate(key_id: str, grace: Any, as_json: bool, ledger: Path) -> None:
    """Give key ID a new text, and show it, this once. Label and limits stay."""
    with _writing(ledger, must_exist=True) as store:
        _show(store.rotate(key_id, 0.0 if grace == NONE else grace), as_json)


@keys.command(short_help="Let key ID open nothing any more.")
@click.argument("key_id", metavar="ID")
@served_ledger_option
def revoke(key_id: str, ledger: Path) -> None:
    """Let key ID open nothing any more, for good. Streams that run already go on."""
    with _writing(ledger, must_exist=True) as store:
        store.revoke(key_id)
    click.echo(f"{key_id} is revoked")


@keys.command("set", short_help="Change what is named of key ID.")
@click.argument("key_id", metavar="ID")
@click.option("--label", callback=_label, metavar="L", help="Whose key it is.")
@limit_options
@served_ledger_option
def set_(key_id: str, label: str | None, ledger: Path, **given: Any) -> None:
    """Change what is named of key ID; `none` takes a limit away. The rest stays as it is."""
    changes: dict[str, Any] = {} if label is None else {"label": label}
    for name, value in given.items():
        if value is not None:
            changes |= _columns(name, None if value == NONE else value)
    if not changes:
        raise click.UsageError("name at least one thing to change")
    _warn({name: None if value == NONE else value for name, value in given.items()})
    with _writing(ledger, must_exist=True) as store:
        store.change(key_id, changes)
    click.echo(f"{key_id} is changed")


@keys.command("ls", short_help="List the keys: state, limits, last use.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object a line.")
@served_ledger_option
def list_(as_json: bool, ledger: Path) -> None:
    """List the keys, the oldest first: state, limits, last use; never the key itself."""
    from streamgauge.ledger.base import LedgerMissing
    from streamgauge.ledger.keys import list_keys

    with written():
        try:
            rows = [row.as_json(now_us()) for row in list_keys(ledger)]
        except LedgerMissing as error:
            made = "`streamgauge keys create` makes one with its first key; --ledger names another"
            raise click.ClickException(f"{error}: {made}") from error
    if not as_json:
        from streamgauge.cli.keys_table import print_keys

        print_keys(rows)
        return
    for row in rows:
        click.echo(json.dumps(row))


def _columns(name: str, value: Any) -> dict[str, Any]:
    if name == "expires":
        return {"expires_at": value}
    if name == "models":
        return {"models": json.dumps([] if value is None else value)}
    if name in _MONEY:
        nano, currency = (None, None) if value is None else (value.nano, value.currency)
        return {f"{name}_nano": nano, f"{name}_currency": currency}
    return {name: value}


def _warn(wanted: Mapping[str, Any]) -> None:
    """Say where a limit is in a currency that no call here can cost: it would let none pass."""
    from streamgauge.cli.settings import priced_currencies
    from streamgauge.config.money import unpriced_limits

    limits = [wanted[name] for name in _MONEY if wanted.get(name) is not None]
    if not limits or (known := priced_currencies()) is None:
        return
    for line in unpriced_limits(limits, known):
        click.echo(f"warning: {line}", err=True)


def _show(made: NewKey, as_json: bool) -> None:
    """The only place where a key is ever written."""
    if made.expired:
        cure = f"streamgauge keys set {made.key_id} --expires 30d"
        click.echo(f"warning: {made.key_id} has expired, so it opens nothing; {cure}", err=True)
    if as_json:
        click.echo(json.dumps({"id": made.key_id, "key": made.text, "label": made.label}))
        return
    click.echo(made.text)
    click.echo(f"{made.key_id} ({made.label}): this key is not shown again", err=True)


@contextmanager
def _writing(ledger: Path, *, must_exist: bool = False) -> Iterator[KeyStore]:
    """Yield the store; what it refuses ends the verb: 1 no such key, 2 unfit, 4 not to be had."""
    from streamgauge.ledger.base import LedgerMissing
    from streamgauge.ledger.keys import KeyRefused, KeyStore, KeyUnfit
    from streamgauge.ledger.presence import is_there

    with written():
        if must_exist and not is_there(ledger):
            raise LedgerMissing(f"there is no ledger at {ledger}")
        try:
            with KeyStore(ledger, now_us) as store:
                yield store
        except KeyUnfit as error:
            raise click.UsageError(str(error)) from error
        except KeyRefused as error:
            raise click.ClickException(str(error)) from error
