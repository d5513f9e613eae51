"""`streamgauge doctor URL`: nothing at a sound way, and each fault of a way found and named."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from streamgauge.tools.doctor import Address, Finding, Report, Visit, examine_gateway

from .doctor_fakes import Meddling, fake_upstream, meddling, page, sse
from .process import SOURCES
from .programs import Finished, run
from .proxies import free_port, nginx
from .stand import Stand, stand
from .test_deploy_proxies import in_front

pytestmark = pytest.mark.asyncio


async def examined(url: str, **more: Any) -> Report:
    """Examine the gateway at `url` as the command line does."""
    report = Report()
    await examine_gateway(Visit(Address.of_url(url), "gateway", report, **more))
    return report


def only(report: Report) -> Finding:
    (finding,) = report.findings
    return finding


def ids(report: Report) -> list[str]:
    return [finding.id for finding in report.findings]


async def through(it: Stand, how: Meddling, **more: Any) -> Report:
    """Examine a gateway through a proxy that meddles."""
    async with meddling(it.port, how) as url:
        return await examined(url, **more)


async def doctor(*arguments: str, cwd: Path, **environment: str) -> Finished:
    """Run the verb in a process of its own."""
    surroundings = {"PATH": "/usr/bin:/bin", "PYTHONPATH": str(SOURCES), "HOME": str(cwd)}
    program = (Path(sys.executable), "-m", "streamgauge", "doctor", *arguments)
    return await run(*program, environment=surroundings | environment, cwd=cwd, seconds=50)


# --- sound ways ---------------------------------------------------------------------------------


async def test_nothing_is_found_at_a_sound_gateway(tmp_path: Path) -> None:
    async with stand(tmp_path) as it:
        report = await examined(it.url, silence=0.5)
        rows = await it.rows()
    assert report.findings == []
    assert report.left_out == []
    assert {row["status"] for row in rows} == {"completed", "client_disconnected"}


async def test_nothing_is_found_through_a_proxy_that_changes_nothing(tmp_path: Path) -> None:
    async with stand(tmp_path) as it:
        report = await through(it, Meddling())
    assert ids(report) == []


@pytest.mark.parametrize("name", ["nginx", "caddy"])
async def test_nothing_is_found_behind_the_proxies_of_deploy(
    tmp_path: Path, real_program: Callable[[str], Path], name: str
) -> None:
    program = real_program(name)
    async with stand(tmp_path) as it, in_front(it, program, tmp_path) as port:
        report = await examined(f"http://127.0.0.1:{port}")
    assert [(finding.id, finding.measured) for finding in report.findings] == []
    assert any("frames are not held" in remark.text for remark in report.well)


# --- frames -------------------------------------------------------------------------------------


async def test_a_buffering_nginx_is_found_and_its_directive_named(
    tmp_path: Path, real_program: Callable[[str], Path]
) -> None:
    program, port = real_program("nginx"), await free_port()
    async with stand(tmp_path) as it:
        place = f"proxy_pass http://127.0.0.1:{it.port}; proxy_ignore_headers X-Accel-Buffering;"
        server = f"listen 127.0.0.1:{port}; client_max_body_size 9m; location / {{ {place} }}"
        async with nginx(program, tmp_path / "nginx", f"server {{ {server} }}", port):
            done = await doctor(f"http://127.0.0.1:{port}", "--json", cwd=tmp_path)
    assert done.code == 1
    (finding,) = json.loads(done.out)["findings"]
    assert finding["id"] == "frames_held"
    assert "proxy_buffering off;" in finding["cure"]
    assert "flush_interval" not in finding["cure"]
    figures = finding["figures"]
    assert figures["sent_ms"] > 400
    assert figures["arrived_ms"] < figures["sent_ms"] / 2
    assert "asking sim for a short stream" in done.err


async def test_frames_held_by_someone_unknown_are_found_and_each_proxys_cure_is_told(
    tmp_path: Path,
) -> None:
    async with stand(tmp_path) as it:
        finding = only(await through(it, Meddling(hold=True)))
    assert finding.id == "frames_held"
    assert finding.figures["reads"] == 1
    assert {"proxy_buffering off;", "flush_interval -1"} <= set(
        re.findall(r"proxy_buffering off;|flush_interval -1", finding.cure)
    )


async def test_a_compressing_nginx_is_found(
    tmp_path: Path, real_program: Callable[[str], Path]
) -> None:
    program, port = real_program("nginx"), await free_port()
    zipped = "gzip on; gzip_types text/event-stream; gzip_proxied any; gzip_min_length 0;"
    async with stand(tmp_path) as it:
        place = f"proxy_pass http://127.0.0.1:{it.port}; proxy_buffering off; {zipped}"
        server = f"listen 127.0.0.1:{port}; client_max_body_size 9m; location / {{ {place} }}"
        async with nginx(program, tmp_path / "nginx", f"server {{ {server} }}", port):
            report = await examined(f"http://127.0.0.1:{port}")
    finding = next(finding for finding in report.findings if finding.id == "compressed")
    assert "gzip off;" in finding.cure
    assert "gzip" in finding.measured


async def test_a_quick_model_is_asked_for_a_longer_stream_and_else_left_unjudged(
    tmp_path: Path,
) -> None:
    async with stand(tmp_path) as it:
        report = await through(it, Meddling(hold=True), model="quick", spend=True)
        rows = await it.rows()
    assert ids(report) == []
    assert any("took only" in remark.text for remark in report.left_out)
    assert len([row for row in rows if row["status"] == "completed"]) >= 2


# --- headers ------------------------------------------------------------------------------------


CHANGED = {
    "content-type: text/event-stream": "content-type: text/plain",
    "cache-control: no-cache": "cache-control: no-cache, no-store",
    "x-accel-buffering": "",
    "x-request-id": "x-request-id: another",
}
"""Four headers, each in a way that is found by an id of its own."""


async def test_each_header_that_is_lost_on_the_way_is_found(tmp_path: Path) -> None:
    def changed(line: str) -> str:
        found = (new for old, new in CHANGED.items() if line.lower().startswith(old))
        return next(found, line)

    async with stand(tmp_path) as it:
        report = await through(it, Meddling(lines=changed))
    assert ids(report) == [
        "content_type_changed",
        "cache_headers_changed",
        "accel_header_missing",
        "own_headers_missing",
    ]
    assert "no-transform" in report.findings[1].measured


async def test_a_stream_without_its_ids_is_judged_by_its_own_comment(tmp_path: Path) -> None:
    def changed(line: str) -> str:
        return "" if line.lower().startswith("x-streamgauge-stream-id") else line

    async with stand(tmp_path) as it:
        report = await through(it, Meddling(lines=changed))
    assert ids(report) == ["own_headers_missing"]
    assert any("frames are not held" in remark.text for remark in report.well)


async def test_comments_that_are_dropped_on_the_way_are_found(tmp_path: Path) -> None:
    def changed(piece: bytes) -> bytes:
        return re.sub(rb"(?m)^:.*\n", b"", piece)

    async with stand(tmp_path) as it:
        assert ids(await through(it, Meddling(body=changed))) == ["comments_stripped"]


async def test_answers_in_http_1_0_are_found(tmp_path: Path) -> None:
    async with stand(tmp_path) as it:
        assert ids(await through(it, Meddling(version="1.0"))) == ["http_1_0"]


async def test_connections_that_close_after_each_answer_are_found(tmp_path: Path) -> None:
    def changed(line: str) -> str:
        closing = f"{line}\r\nconnection: close"
        return closing if line.lower().startswith("content-type: application/json") else line

    async with stand(tmp_path) as it:
        assert ids(await through(it, Meddling(lines=changed))) == ["connection_closed"]


async def test_a_clock_that_is_wrong_is_found(tmp_path: Path) -> None:
    def changed(line: str) -> str:
        dated = f"{line}\r\ndate: Sat, 01 Jan 2022 00:00:00 GMT"
        return dated if line.lower().startswith("content-type: application/json") else line

    async with stand(tmp_path) as it:
        finding = only(await through(it, Meddling(lines=changed)))
    assert finding.id == "clock_skew"
    assert finding.figures["skew_seconds"] is not None


# --- cuts, silence, leaving ---------------------------------------------------------------------


async def test_a_proxy_that_cuts_a_silent_stream_is_found_with_the_second(tmp_path: Path) -> None:
    async with stand(tmp_path) as it:
        finding = only(await through(it, Meddling(cut_after=0.6), silence=3.0))
    assert finding.id == "stream_cut"
    assert "proxy_read_timeout" in finding.cure
    assert 0.5 < (finding.figures["after_seconds"] or 0) < 3


async def test_a_stream_that_ends_before_its_marker_is_found(tmp_path: Path) -> None:
    def changed(piece: bytes) -> bytes:
        return b"" if b"[DONE]" in piece else piece

    async with stand(tmp_path) as it:
        assert ids(await through(it, Meddling(body=changed)))[:1] == ["stream_cut"]


async def test_keep_alives_that_do_not_arrive_are_found(tmp_path: Path) -> None:
    def changed(piece: bytes) -> bytes:
        return b"" if re.fullmatch(rb":[^{]*\n", piece) else piece

    config = {"server": {"keepalive_seconds": 0.3}}
    async with stand(tmp_path, config=config) as it:
        well = await examined(it.url, silence=1.8, keepalive_seconds=0.3)
        report = await through(it, Meddling(body=changed), silence=1.8, keepalive_seconds=0.3)
    assert ids(well) == []
    assert ids(report) == ["keepalive_missing"]


async def test_a_proxy_that_reads_on_for_a_client_that_left_is_found(
    tmp_path: Path, real_program: Callable[[str], Path]
) -> None:
    program, port = real_program("nginx"), await free_port()
    async with stand(tmp_path) as it:
        place = f"proxy_pass http://127.0.0.1:{it.port}; proxy_ignore_client_abort on;"
        server = f"listen 127.0.0.1:{port}; client_max_body_size 9m; location / {{ {place} }}"
        async with nginx(program, tmp_path / "nginx", f"server {{ {server} }}", port):
            finding = only(await examined(f"http://127.0.0.1:{port}"))
    assert finding.id == "cancel_not_passed"
    assert finding.cure == "proxy_ignore_client_abort off;"


async def test_pages_of_streams_that_do_not_pass_are_found(tmp_path: Path) -> None:
    async with stand(tmp_path) as it:
        report = await through(it, Meddling(blind=" /v1/streams/"))
    assert ids(report) == ["stream_unknown"]


async def test_a_proxy_that_refuses_large_bodies_is_found(tmp_path: Path) -> None:
    async with stand(tmp_path) as it:
        finding = only(await through(it, Meddling(most=1 << 20)))
    assert finding.id == "body_limit"
    assert "client_max_body_size" in finding.cure


# --- the door -----------------------------------------------------------------------------------


async def test_an_address_where_nobody_listens_is_found() -> None:
    finding = only(await examined(f"http://127.0.0.1:{await free_port()}"))
    assert (finding.id, "refused" in finding.measured) == ("url_unreachable", True)


async def test_another_server_at_the_address_is_found(tmp_path: Path) -> None:
    async with fake_upstream({"/readyz": page(b'{"status": "up"}')}) as url:
        assert only(await examined(url)).id == "not_the_gateway"


async def test_a_host_name_that_is_not_allowed_is_found(tmp_path: Path) -> None:
    config = {"server": {"allowed_hosts": ["llm.example.com"]}}
    async with stand(tmp_path, config=config) as it:
        assert only(await examined(it.url)).id == "host_refused"


async def test_a_gateway_that_is_not_ready_is_found_with_its_reason(tmp_path: Path) -> None:
    async with stand(tmp_path) as it:
        next(iter(it.gateway.upstreams.values())).note_call("planted")
        report = await examined(it.url)
    assert report.findings[0].id == "gateway_not_ready"
    assert "no upstream is usable" in report.findings[0].measured


async def test_a_missing_key_is_found(tmp_path: Path) -> None:
    async with stand(tmp_path, config={"keys": {"required": True}}) as it:
        finding = only(await examined(it.url))
    assert finding.id == "key_refused"
    assert "no key given" in finding.measured


async def test_a_gateway_without_models_is_found(tmp_path: Path) -> None:
    pages = {"/v1/models": page(b'{"data": []}')}
    async with fake_upstream(pages) as url, stand(tmp_path, base_url=url) as it:
        assert only(await examined(it.url)).id == "no_models"


async def test_a_model_that_cannot_be_streamed_is_found_with_the_message(tmp_path: Path) -> None:
    async with stand(tmp_path, prefix="/fault/http_400") as it:
        finding = only(await examined(it.url))
    assert finding.id == "stream_not_given"
    assert "status 400" in finding.measured


async def test_missing_usage_is_found_through_the_gateway_too(tmp_path: Path) -> None:
    async with stand(tmp_path, prefix="/fault/usage_none") as it:
        finding = only(await examined(it.url))
    assert finding.id == "usage_missing"
    assert "counted" in finding.measured


# --- money, exit codes --------------------------------------------------------------------------


async def test_streams_that_may_cost_money_are_made_with_leave_only(tmp_path: Path) -> None:
    asked: list[str] = []

    def ask(model: str, _: int | None) -> bool:
        asked.append(model)
        return False

    listed = page(b'{"data": [{"id": "dear"}]}')
    frames = [b'{"choices":[{"index":0,"delta":{"content":"1"}}]}', b"[DONE]"]
    pages = {"/v1/models": listed, "/v1/chat/completions": sse(frames)}
    async with fake_upstream(pages) as url, stand(tmp_path, kind="openai", base_url=url) as it:
        refused = await examined(it.url, ask=ask)
        free = await examined(it.url, free=["sim"])
        rows = await it.rows()
    assert asked == ["dear"]
    assert refused.findings == []
    assert any("--spend" in remark.text for remark in refused.left_out)
    assert len(rows) >= 1
    assert ids(free) != []


async def test_exit_codes_say_what_was_found(tmp_path: Path) -> None:
    async with stand(tmp_path) as it:
        well = await doctor(it.url, cwd=tmp_path)
        key = await doctor(it.url + "/nowhere", cwd=tmp_path)
    bad = tmp_path / "bad.yaml"
    bad.write_text("upstreams: 7")
    wrong = await doctor("--config", str(bad), cwd=tmp_path)
    usage = await doctor("ftp://127.0.0.1", cwd=tmp_path)
    assert (well.code, key.code, wrong.code, usage.code) == (0, 1, 3, 2)
    assert well.out.splitlines()[-1] == "nothing found"
    assert "cure: " in key.out
