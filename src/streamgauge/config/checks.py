"""Rules between settings that no single one can tell. Looks at plain values, valid or not."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from pathlib import Path as FilePath

from streamgauge.config.document import Document
from streamgauge.config.headers import is_credential
from streamgauge.config.listener_checks import lonely_binds, open_binds, same_port
from streamgauge.config.positions import Path, path_text
from streamgauge.config.price_checks import price_problems
from streamgauge.config.problems import Problem
from streamgauge.config.route_checks import route_problems, upstreams_of
from streamgauge.config.upstream import Kind

__all__ = ["cross_problems", "host_warnings", "literal_key_warnings"]

_FILE = re.compile(r"(?:^|\s)file:(/?)")
_ENDPOINT = re.compile(
    r"://.*(?P<end>/chat/completions|/v1/(?:completions|messages|responses|embeddings|models))$",
    re.IGNORECASE,
)
_OLLAMA_ENDPOINT = re.compile(
    r"://.*(?P<end>/chat/completions|/api/(?:chat|generate|tags)|(?<=:11434)/api|(?<=//ollama\.com)/api)$",
    re.IGNORECASE,
)
_EXPORTERS_ENDPOINTS = {
    "influxdb": re.compile(r"://.*?(?P<end>(?:/api/v2)?/write|/api/v3/write_lp)$"),
    "otlp": re.compile(r"://.*(?P<end>/v1/(?:traces|metrics|logs))$"),
}


def cross_problems(document: Document, insecure_no_auth: bool, cwd: FilePath) -> list[Problem]:
    """Return what is wrong between settings; each check skips what has the wrong type."""
    found = [*_same_names(document), *route_problems(document), *_tls_files(document, cwd)]
    found += [*same_port(document), *price_problems(document), *_named_files(document)]
    found += _pasted_endpoints(document)
    if not insecure_no_auth:
        found += open_binds(document)
    return [Problem.at(document.place_of(path), path, message) for path, message in found]


def literal_key_warnings(document: Document, literals: set[Path]) -> list[str]:
    """Return a line for each key that stands in the file itself (SPEC §2.2)."""
    return [
        f"{document.place_of(path)}: {path_text(path)}: "
        "a key stands here as text; write ${NAME} or file:/path"
        for path in sorted(literals, key=document.place_of)
        if _holds_key(path) and document.get(path)
    ]


def host_warnings(document: Document) -> list[str]:
    """Return a line for each listener whose callers are all turned away by their Host (S14)."""
    return [
        f"{document.place_of(path)}: {path_text(path)}: {message}"
        for path, message in lonely_binds(document)
    ]


def _holds_key(path: Path) -> bool:
    match path:
        case ("upstreams", int(), "api_key") | ("control", "token"):
            return True
        case ("exporters", "influxdb", "token" | "password"):
            return True
        case ("upstreams" | "exporters", int() | "otlp", "headers", str(name)):
            return is_credential(name)
    return False


def _named_files(document: Document) -> Iterator[tuple[Path, str]]:
    """Tell of keys that begin like the name of a file: no provider's key does."""
    for path in filter(_holds_key, document.origins()):
        value = document.get(path)
        named = _FILE.search(value) if isinstance(value, str) else None
        if named is not None and named[1]:
            yield path, "a variable's own file: is not read; write file:/path here in its place"
        elif named is not None:
            yield path, "names no file; write file:/path, such as file:/run/secrets/key"


def _pasted_endpoints(document: Document) -> Iterator[tuple[Path, str]]:
    """Tell of base URLs that are whole endpoints: every path is put behind the base."""
    for index, upstream in upstreams_of(document):
        shape = _OLLAMA_ENDPOINT if upstream.get("kind") == Kind.OLLAMA else _ENDPOINT
        yield from _pasted_endpoint(document, ("upstreams", index, "base_url"), shape)
    for name, shape in _EXPORTERS_ENDPOINTS.items():
        yield from _pasted_endpoint(document, ("exporters", name, "url"), shape)


def _pasted_endpoint(
    document: Document, path: Path, shape: re.Pattern[str]
) -> Iterator[tuple[Path, str]]:
    url = document.get(path)
    if isinstance(url, str) and (found := shape.search(url.rstrip("/"))):
        yield path, f"is a base to which paths are added: leave {found['end']} at its end out"


def _same_names(document: Document) -> Iterator[tuple[Path, str]]:
    first: dict[str, int] = {}
    for index, upstream in upstreams_of(document):
        name = upstream.get("name")
        if isinstance(name, str) and first.setdefault(name, index) != index:
            yield (
                ("upstreams", index, "name"),
                f"must be unique; upstreams[{first[name]}] has the same name",
            )


def _tls_files(document: Document, cwd: FilePath) -> Iterator[tuple[Path, str]]:
    for index, upstream in upstreams_of(document):
        if not isinstance(tls := upstream.get("tls"), dict):
            continue
        path: Path = ("upstreams", index, "tls")
        if tls.get("client_key") and not tls.get("client_cert"):
            yield (*path, "client_key"), "needs client_cert beside it"
        for key in ("ca_file", "client_cert", "client_key"):
            name = tls.get(key)
            if isinstance(name, str) and name and not os.path.isfile(cwd / name):
                yield (*path, key), "no such file; must be the path of a PEM file"
