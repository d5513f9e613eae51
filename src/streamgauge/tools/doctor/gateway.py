"""Examines a gateway through its public URL: the door first, then what streams meet on the way."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

from streamgauge.tools.doctor.asking import SHORT, SIMULATED, chat_body, is_simulated
from streamgauge.tools.doctor.catalogue import proxy_of
from streamgauge.tools.doctor.clocks import check_clock
from streamgauge.tools.doctor.leaving import examine_leaving, examine_silence
from streamgauge.tools.doctor.passage import examine_passage
from streamgauge.tools.doctor.visit import Visit
from streamgauge.tools.doctor.wire import Answer, Unanswered

__all__ = ["Visit", "examine_gateway"]

_KEY_REFUSED, _TOO_LARGE, _MISDIRECTED = 401, 413, 421
_LARGE = 3 << 19
"""Bytes: 1.5 MiB, above the 1 MiB of nginx' default and below every sensible limit."""
_LARGE_SECONDS = 20.0


async def examine_gateway(visit: Visit) -> None:
    """Examine the gateway at `visit.address`; the findings are in `visit.report`."""
    visit.say("is it there?")
    if not await _examine_door(visit):
        return
    visit.say("asking for its models")
    model = await _chosen_model(visit)
    if model is None:
        return
    visit.say(f"sending a body of {_LARGE >> 10} KiB")
    await _examine_large_body(visit, model)
    if not await _may_spend(visit, model):
        visit.report.leave_out(
            visit.subject, "streams through it may cost money: --spend allows them"
        )
        return
    visit.say(f"asking {model} for a short stream")
    if not await examine_passage(visit, model):
        why = "leaving and silence: no stream came as it was sent, so none can be left in time"
        visit.report.leave_out(visit.subject, why)
        return
    visit.say("leaving a long stream")
    await examine_leaving(visit, model)
    if visit.silence:
        await examine_silence(visit, model)


async def _examine_door(visit: Visit) -> bool:
    """Return whether a gateway answers there, and takes requests for this host."""
    try:
        page = await visit.get("/readyz")
    except Unanswered as error:
        visit.find("url_unreachable", f"{error.kind}: {error}")
        return False
    visit.note(f"reachable in {page.connect_ms:.0f} ms", connect_ms=round(page.connect_ms, 1))
    told = _object(page)
    if told is None or "ready" not in told:
        id = "host_refused" if _names_host(page, told) else "not_the_gateway"
        kind = page.media_type or "no content type"
        visit.find(id, f"/readyz answered {page.status} with {kind}", proxy_of(page.headers))
        return False
    check_clock(visit.report, visit.subject, page.headers)
    _judge_connection(visit, page)
    if told["ready"] is not True:
        reasons = told.get("reasons")
        said = "; ".join(map(str, reasons)) if isinstance(reasons, list) else "no reason given"
        visit.find("gateway_not_ready", f"/readyz says {page.status}: {said}")
    return True


def _names_host(page: Answer, told: Mapping[str, Any] | None) -> bool:
    """Whether our own refusal of an unknown Host came (SPEC §2.4 `allowed_hosts`)."""
    error = None if told is None else told.get("error")
    return page.status == _MISDIRECTED and isinstance(error, dict)


def _judge_connection(visit: Visit, page: Answer) -> None:
    proxy = proxy_of(page.headers)
    if page.version == "1.0":
        visit.find("http_1_0", "an answer came in HTTP/1.0", proxy)
    elif page.headers.get("connection", "").lower() == "close":
        visit.find("connection_closed", "an answer said connection: close", proxy)
    else:
        visit.note(f"HTTP/{page.version}, connections are kept")


async def _chosen_model(visit: Visit) -> str | None:
    """Return the model to ask for, or None where none may be asked."""
    try:
        page = await visit.get("/v1/models")
    except Unanswered as error:
        visit.find("not_the_gateway", f"/v1/models: {error}")
        return None
    if page.status == _KEY_REFUSED:
        with_key = "the key given" if visit.key else "no key given"
        visit.find("key_refused", f"/v1/models answered 401, {with_key}")
        return None
    told = _object(page)
    data = None if told is None else told.get("data")
    if not isinstance(data, list):
        visit.find("not_the_gateway", f"/v1/models answered {page.status} and no list")
        return None
    names = [entry["id"] for entry in data if isinstance(entry, dict) and "id" in entry]
    if not names:
        visit.find("no_models", "/v1/models lists nothing")
        return visit.model
    visit.note(f"lists {len(names)} model{'' if len(names) == 1 else 's'}", models=len(names))
    return visit.model or (SIMULATED if SIMULATED in names else str(names[0]))


async def _examine_large_body(visit: Visit, model: str) -> None:
    """Send a large body where it costs nothing: the gateway works it out without a call."""
    text = "x " * (_LARGE // 2)
    body = msgspec.json.encode({"model": model, "messages": [{"role": "user", "content": text}]})
    try:
        page = await visit.post("/v1/cost", body, seconds=_LARGE_SECONDS)
    except Unanswered as error:
        why = f"a body of {len(body) >> 10} KiB got no answer: {error}"
        return visit.find("body_limit", why, sent_bytes=len(body))
    if page.status != _TOO_LARGE:
        return visit.note(f"takes a body of {len(body) >> 10} KiB", sent_bytes=len(body))
    why = f"a body of {len(body) >> 10} KiB was refused with 413"
    return visit.find("body_limit", why, proxy_of(page.headers), sent_bytes=len(body))


async def _may_spend(visit: Visit, model: str) -> bool:
    """Return whether streams may be asked for: they are free, or there is leave."""
    if visit.spend or is_simulated(model):
        return True
    _, body = chat_body("openai", model, SHORT)
    try:
        told = _object(await visit.post("/v1/cost", body))
    except Unanswered:
        told = None
    if told is not None and (told.get("cost_nano") == 0 or told.get("upstream") in visit.free):
        return True
    return visit.ask(model, None if told is None else told.get("cost_nano"))


def _object(page: Answer) -> dict[str, Any] | None:
    try:
        found = msgspec.json.decode(page.body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None
    return found if isinstance(found, dict) else None
