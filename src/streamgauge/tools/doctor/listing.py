"""Examines what an upstream lists: whether it answers, takes the key, and has the models named."""

from __future__ import annotations

import fnmatch
from collections.abc import Sequence
from urllib.parse import urlsplit

import msgspec

from streamgauge.config.upstream import Kind, Upstream
from streamgauge.core.dialects.codecs import UPSTREAMS
from streamgauge.gateway.ollama_pages import listed_models
from streamgauge.tools.doctor.asking import PAID, SIMULATED, dialect_of
from streamgauge.tools.doctor.clocks import check_clock
from streamgauge.tools.doctor.patient import Patient
from streamgauge.tools.doctor.wire import Answer, Unanswered, fetch

__all__ = ["KEY_REFUSED", "chosen_model", "examine_list"]

KEY_REFUSED = frozenset({401, 403})
_OK, _NOT_FOUND, _FAILING = 200, 404, 500
_REDIRECTS = frozenset({301, 302, 303, 307, 308})
_PAGES = frozenset({"text/html", "application/xhtml+xml"})


async def examine_list(patient: Patient) -> tuple[str, ...] | None:
    """Return the models that it lists; None where nothing more can be asked of it."""
    ollama = patient.kind is Kind.OLLAMA
    asked = "/api/tags" if ollama else "/v1/models"
    path = patient.path(asked)
    try:
        page = await fetch(patient.address, patient.request(asked))
    except Unanswered as error:
        id = "upstream_tls_refused" if error.kind == "tls" else "upstream_unreachable"
        patient.find(id, f"{error.kind}: {error}")
        return None
    patient.note(f"reachable in {page.connect_ms:.0f} ms", connect_ms=round(page.connect_ms, 1))
    check_clock(patient.report, patient.subject, page.headers)
    if page.status in KEY_REFUSED:
        patient.find("upstream_key_refused", f"{path} answered {page.status}")
        return None
    if (other := _what_else(page)) is not None:
        patient.find("upstream_not_an_api", f"{path} answered {page.status}, {other}")
        return None
    if page.status == _NOT_FOUND and await _has_no_chat(patient):
        chat = patient.path(UPSTREAMS[dialect_of(patient.kind)].path)
        patient.find("upstream_path_wrong", f"{path} and {chat} both answered {page.status}")
        return None
    names = _names(page.body, ollama=ollama) if page.status == _OK else None
    if not names:
        what = "an empty list" if names is not None else f"status {page.status} and no list"
        patient.find("models_unlisted", f"{path} gave {what}", http_status=page.status)
        return None if page.status >= _FAILING else ()
    patient.note(f"lists {len(names)} model{'' if len(names) == 1 else 's'}", models=len(names))
    _check_globs(patient, names)
    return names


def _what_else(page: Answer) -> str | None:
    """Return what answers in the place of an API, None where it may be one."""
    if page.status in _REDIRECTS:
        to = urlsplit(page.headers.get("location", ""))  # its path and query may hold a secret
        return f"a redirect to {to.scheme}://{to.hostname}" if to.hostname else "a redirect"
    # An error's page may be a proxy's before an API that is down, or has no list.
    is_page = page.media_type in _PAGES and page.status < _FAILING and page.status != _NOT_FOUND
    return f"a page ({page.media_type})" if is_page else None


async def _has_no_chat(patient: Patient) -> bool:
    """Whether there is no chat endpoint either. Nobody answers an empty request with an answer."""
    if patient.kind in PAID:
        return False
    request = patient.request(UPSTREAMS[dialect_of(patient.kind)].path, b"{}")
    try:
        return (await fetch(patient.address, request)).status == _NOT_FOUND
    except Unanswered:
        return False


def _names(body: bytes, *, ollama: bool) -> tuple[str, ...] | None:
    try:
        page = msgspec.json.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None
    if ollama:
        return listed_models(page)
    data = page.get("data") if isinstance(page, dict) else None
    if not isinstance(data, list):
        return None
    ids = (entry.get("id") for entry in data if isinstance(entry, dict))
    return tuple(id for id in ids if isinstance(id, str))


def _check_globs(patient: Patient, names: Sequence[str]) -> None:
    for glob in patient.runtime.config.models:
        if not fnmatch.filter(names, glob):
            text = f"{glob} fits none of the {len(names)} models listed, such as {names[0]}"
            patient.find("models_unmatched", text)


def chosen_model(config: Upstream, listed: Sequence[str], asked: str | None) -> str | None:
    """Return the model to ask for: the one wished, else the first that is routed there."""
    if asked is not None or config.kind is Kind.SIM:
        return asked or SIMULATED
    fitting = [n for n in listed if not config.models or _fits(n, config.models)]
    named = [glob for glob in config.models if not set(glob) & set("*?[")]
    return next(iter([*fitting, *named]), None)


def _fits(name: str, globs: Sequence[str]) -> bool:
    return any(fnmatch.fnmatchcase(name, glob) for glob in globs)
