"""The settings that verbs beside the gateway need: its ledger, its URL. Judges no other setting.

A reader's shell may lack the keys that the gateway's file names; that must not hide its ledger.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from streamgauge.cli.config_option import named_config
from streamgauge.ledger.location import DEFAULT_URL, sqlite_path

if TYPE_CHECKING:
    from streamgauge.config.document import Document

__all__ = [
    "DEMO_LEDGER",
    "control_token",
    "control_url",
    "data_url",
    "default_ledger",
    "listener_url",
    "priced_currencies",
    "served_ledger",
]

DEMO_LEDGER = Path("demo.db")
"""Where `streamgauge demo` keeps its rows."""

_CONFIGURATION = 3
_DEFAULT_HOST, _DEFAULT_PORT = "127.0.0.1", 8066
_DEFAULT_CONTROL_PORT = 8067
_MAX_PORT = 65_535
_ANY_ADDRESS = {"0.0.0.0": "127.0.0.1", "::": "::1", "[::]": "::1"}


def default_ledger() -> tuple[Path, str | None]:
    """Return the ledger that `serve` would use here, and a remark for people or None.

    Where there is none yet but a demo has left one, it is that one.
    """
    configured = _setting(("ledger", "url"), _no_ledger)
    if configured is not None:
        return sqlite_path(configured), None
    path = sqlite_path(DEFAULT_URL)
    if not os.path.exists(path) and os.path.exists(DEMO_LEDGER):
        return DEMO_LEDGER, f"no {path} here: this is --ledger {DEMO_LEDGER}, left by the demo"
    return path, None


def served_ledger() -> Path:
    """Return the ledger that `serve` would use here, there or not."""
    url = _setting(("ledger", "url"), _no_ledger)
    return sqlite_path(DEFAULT_URL if url is None else url)


def data_url() -> str:
    """Return where clients on this machine reach the gateway that is configured here."""
    return _url("server", _DEFAULT_PORT, "--url")


def control_url() -> str:
    """Return where the control listener of the gateway that is configured here is."""
    return _url("control", _DEFAULT_CONTROL_PORT, "--control")


def control_token() -> str | None:
    """Return the admin token that is configured here, or None."""
    token = _setting(("control", "token"), _no_text)
    if token is None:
        token = os.environ.get("STREAMGAUGE_ADMIN_TOKEN")
    return str(token) if token else None


def priced_currencies() -> set[str] | None:
    """Return what calls here may cost, by the configuration's prices and the list; None: not to be read."""
    from streamgauge.config.money import LISTED_CURRENCY
    from streamgauge.config.price_entry import currency_name

    try:
        entries = _document().get(("prices",))
    except click.ClickException:
        return None  # said by who needs it
    found = {LISTED_CURRENCY}
    for entry in entries if isinstance(entries, list) else []:
        name = entry.get("currency") if isinstance(entry, dict) else None
        if isinstance(name, str):
            with suppress(ValueError):
                found.add(currency_name(name))
    return found


def _url(section: str, default_port: int, option: str) -> str:
    host, port = _setting((section, "host"), _no_text), _setting((section, "port"), _no_port)
    host = _DEFAULT_HOST if host is None else str(host)
    return listener_url(section, host, default_port if port is None else str(port).strip(), option)


def listener_url(section: str, host: str, port: int | str, option: str) -> str:
    """Return where programs on this machine reach a listener that is configured so.

    Ends the verb where nobody knows the port; `option` is then what can name the URL.
    """
    host = _ANY_ADDRESS.get(host, host)
    if str(port) == "0":
        raise click.ClickException(
            f"{section}.port is 0, so each start has another port: name the URL with {option}"
        )
    bare = host.strip("[]")
    return f"http://[{bare}]:{port}" if ":" in bare else f"http://{bare}:{port}"


def _no_text(value: Any) -> str | None:
    return None if isinstance(value, str) else "must be text (in quotes if it looks like a number)"


def _no_ledger(value: Any) -> str | None:
    from streamgauge.config.schema import ledger_url_fault

    return ledger_url_fault(value) if isinstance(value, str) else _no_text(value)


def _no_port(value: Any) -> str | None:
    known = re.fullmatch(r"[0-9]{1,5}", str(value).strip()) and int(value) <= _MAX_PORT
    return None if known else f"must be a whole number of at most {_MAX_PORT}"


def _setting(path: tuple[str, str], wrong: Callable[[Any], str | None]) -> Any:
    """Return the value at `path` as the file and the environment give it, or None.

    `wrong` says what is wrong with a value. Ends the verb with exit code 3 when it is given and
    cannot be read.
    """
    from streamgauge.config.expand import expand_document
    from streamgauge.config.problems import Problem

    document = _document()
    document.root, problems, _ = expand_document(document, os.environ)
    for problem in problems:
        if problem.path == ".".join(path):
            raise _unreadable(str(problem))
    section, value = document.get(path[:1]), document.get(path)
    if section is not None and not isinstance(section, dict):
        message = "must be a mapping of keys to values"
        raise _unreadable(str(Problem.at(document.place_of(path[:1]), path[:1], message)))
    if value is not None and (reason := wrong(value)) is not None:
        raise _unreadable(str(Problem.at(document.place_of(path), path, reason)))
    return value


def _document() -> Document:
    """Return the configuration as it is written, environment laid over it, nothing checked."""
    from streamgauge.config.document import Document
    from streamgauge.config.environment import apply_environment
    from streamgauge.config.load import LoadOptions, find_file, read_document
    from streamgauge.config.problems import ConfigError

    file, place = find_file(LoadOptions(config=named_config()))
    document = Document("configuration")
    if file is not None:
        try:
            document = read_document(file, place, None)
        except ConfigError as error:
            raise _unreadable(str(error)) from None
    apply_environment(document, os.environ, ("ledger", "server", "control"))
    return document


class _Unreadable(click.ClickException):
    exit_code = _CONFIGURATION


def _unreadable(reason: str) -> click.ClickException:
    return _Unreadable(f"{reason} (see `streamgauge config check`)")
