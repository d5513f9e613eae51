"""Rules between the two listeners' settings. Looks at plain values, valid or not (SPEC §1.1)."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from streamgauge.config.document import Document
from streamgauge.config.expand import Expanded
from streamgauge.config.fields import Section, switched
from streamgauge.config.listeners import Control, Server, is_loopback
from streamgauge.config.positions import Path, Place, path_text

__all__ = ["lonely_binds", "open_binds", "same_port"]

_SECTIONS: dict[str, type[Section]] = {"server": Server, "control": Control}
_FREE = {"0", "-0"}
_ANY_ADDRESS = {"0.0.0.0", "::", "[::]"}


def open_binds(document: Document) -> Iterator[tuple[Path, str]]:
    """Tell of listeners that others could reach and that would ask them for nothing."""
    # Whether there is a key stands in the ledger: `serve` looks there.
    if _is_open(document, "server") and _asks_no_key(document):
        yield (
            ("server", "host"),
            "is not loopback, and keys.required is false; "
            "leave that out, listen on 127.0.0.1, or give --insecure-no-auth",
        )
    token = document.get(("control", "token"))
    has_token = isinstance(token, str) and token.strip()
    if _is_open(document, "control") and _has_control(document) and not has_token:
        yield (
            ("control", "host"),
            "is not loopback, and control.token is empty; "
            "set a token, listen on 127.0.0.1, or give --insecure-no-auth",
        )


def lonely_binds(document: Document) -> Iterator[tuple[Path, str]]:
    """Tell of listeners that others can reach, and that answer none of the names they use."""
    for name, section in _SECTIONS.items():
        hosts = (name, "allowed_hosts")
        if not _is_open(document, name) or document.get(hosts) is not None:
            continue
        if name == "control" and not _has_control(document):
            continue
        host = _value(document, name, "host").strip("[]")
        own = "NAME-OR-ADDRESS" if host in _ANY_ADDRESS else f"[{host}]" if ":" in host else host
        known = [*section.model_fields["allowed_hosts"].default, own]
        path, line = (name, "host"), json.dumps(known)
        yield (
            path,
            "is not loopback, but only requests to 127.0.0.1, localhost and [::1] are answered, "
            f"others get 421; {_beside(document.place_of(path), path_text(hosts), line)}",
        )


def _beside(place: Place, path: str, value: str) -> str:
    """Return what to write where the host was set, in that place's own way."""
    if not place.line:
        return f"set STREAMGAUGE_{path.upper().replace('.', '__')}='{value}'"
    key = path.rpartition(".")[2]
    sign = " = " if place.source.endswith(".toml") else ": "
    return f"write beside it {key}{sign}{value}"


def same_port(document: Document) -> Iterator[tuple[Path, str]]:
    """Tell of two listeners on one address, of which `serve` could only say that it is taken."""
    data, control = (
        [_value(document, name, key) for key in ("host", "port")] for name in _SECTIONS
    )
    if data != control or data[1] in _FREE or not _has_control(document):
        return
    here, other = "control", "server"
    if document.get(("control", "port")) is None:
        here, other = other, here
    yield (here, "port"), f"is {other}.port too; take another one, or 0 for a free one"


def _is_open(document: Document, section: str) -> bool:
    host = document.get((section, "host"))
    return isinstance(host, str) and bool(host.strip()) and not is_loopback(host)


def _asks_no_key(document: Document) -> bool:
    required = document.get(("keys", "required"))
    return (switched(required) if isinstance(required, Expanded) else required) is False


def _has_control(document: Document) -> bool:
    enabled = document.get(("control", "enabled"))
    return (switched(enabled) if isinstance(enabled, Expanded) else enabled) is not False


def _value(document: Document, section: str, key: str) -> str:
    value: Any = document.get((section, key))
    return str(_SECTIONS[section].model_fields[key].default if value is None else value).strip()
