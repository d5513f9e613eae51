"""Examines what an upstream lists: whether it answers, takes the key, and has the models named."""

from __future__ import annotations

import fnmatch
from collections.abc import Sequence

import msgspec

from streamgauge.config.upstream import Kind, Upstream
from streamgauge.gateway.ollama_pages import listed_models
from streamgauge.tools.doctor.asking import SIMULATED
from streamgauge.tools.doctor.clocks import check_clock
from streamgauge.tools.doctor.patient import Patient
from streamgauge.tools.doctor.wire import Unanswered, fetch

__all__ = ["KEY_REFUSED", "chosen_model", "examine_list"]

KEY_REFUSED = frozenset({401, 403})
_OK, _FAILING = 200, 500


async def examine_list(patient: Patient) -> tuple[str, ...] | None:
    """Return the models that it lists; None where nothing more can be asked of it."""
    ollama = patient.kind is Kind.OLLAMA
    path = "/api/tags" if ollama else "/v1/models"
    try:
        page = await fetch(patient.address, patient.request(path))
    except Unanswered as error:
        patient.find("upstream_unreachable", f"{error.kind}: {error}")
        return None
    patient.note(f"reachable in {page.connect_ms:.0f} ms", connect_ms=round(page.connect_ms, 1))
    check_clock(patient.report, patient.subject, page.headers)
    if page.status in KEY_REFUSED:
        patient.find("upstream_key_refused", f"{path} answered {page.status}")
        return None
    names = _names(page.body, ollama=ollama) if page.status == _OK else None
    if not names:
        what = "an empty list" if names is not None else f"status {page.status} and no list"
        patient.find("models_unlisted", f"{path} gave {what}", http_status=page.status)
        return None if page.status >= _FAILING else ()
    patient.note(f"lists {len(names)} model{'' if len(names) == 1 else 's'}", models=len(names))
    _check_globs(patient, names)
    return names


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
