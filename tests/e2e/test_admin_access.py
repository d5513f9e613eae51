"""Who may ask the admin API: rebinding, forged requests, the token and the login (S4, S13 to S15)."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from streamgauge.control.door import COOKIE, Door, Refused
from streamgauge.control.pages.files import LOGIN_FILES

from .admin import API, Admin, Told, admin_stand, chat

TOKEN = "adm-9c1e-the-admin-token"
UPSTREAM_KEY = "sk-upstream-canary-5581"
CHAT = "/v1/chat/completions"
READS = (
    "/", "/requests", "/keys", "/static/js/main.js", "/static/index.html", "/metrics", "/admin/runtime",
    "/admin/api", "/admin/openapi.json", "/admin/captures", "/nothing", "/login",
    *(f"{API}/{name}" for name in (
        "requests", "requests/x", "usage", "times", "summary", "live", "events", "keys", "upstreams",
        "sessions", "sessions/x", "config", "runtime", "captures", "captures/x", "health",
    )),
)  # fmt: skip
WRITES = (
    ("POST", "/admin/reload"), ("POST", "/admin/logout"), ("POST", "/admin/captures"),
    ("POST", f"{API}/streams/x/stop"), ("POST", f"{API}/keys"), ("PATCH", f"{API}/keys/x"),
    ("POST", f"{API}/keys/x/rotate"), ("POST", f"{API}/keys/x/revoke"),
    ("POST", f"{API}/upstreams/sim/probe"), ("DELETE", f"{API}/captures/x"),
)  # fmt: skip
BEARER = {"authorization": f"Bearer {TOKEN}"}


def cookie_of(answer: Told) -> str:
    """Return what a browser would send back."""
    return answer.headers["set-cookie"].partition(";")[0]


async def everything(admin: Admin, **headers: str) -> Iterator[Told]:
    """Ask for every page, and send every change."""
    asked = [admin.get(path, **headers) for path in READS if "events" not in path]
    asked += [admin.post(path, method=method, **headers) for method, path in WRITES]
    return iter(await asyncio.gather(*asked))


@pytest.mark.asyncio
async def test_where_a_token_is_set_nothing_answers_without_it_but_the_login(
    tmp_path: Path,
) -> None:
    async with admin_stand(tmp_path, token=TOKEN) as admin:
        answers = [*await everything(admin), await admin.get("events")]
        wrong = [*await everything(admin, cookie=f"{COOKIE}=guess")]
        pages = [
            await admin.get(path, accept="text/html") for path in ("/", "/requests", "/nothing")
        ]
        files = [await admin.get(path) for path in sorted(LOGIN_FILES)]
        api = await admin.get("live", accept="application/json")
    assert {answer.status for answer in answers + wrong} == {401}
    assert {answer.headers["content-type"] for answer in answers} == {"application/json"}
    assert [page.status for page in pages] == [401] * 3, "a browser is shown where to log in"
    assert len({page.body for page in pages}) == 1
    assert b'id="token"' in pages[0].body
    assert [file.status for file in files] == [200] * len(files)
    assert api.headers["content-type"] == "application/json"


BROWSER = {"accept": "text/html,application/xhtml+xml,*/*;q=0.8"}


@pytest.mark.asyncio
async def test_a_mistyped_page_is_a_page_with_the_way_back_and_json_for_programs(
    tmp_path: Path,
) -> None:
    async with admin_stand(tmp_path) as admin:
        page = await admin.get("/sesions", **BROWSER)
        deep = await admin.get("/requests/a/b", **BROWSER)
        paths = ("/admin/nothing", f"{API}/sesions", "/static/nothing.js")
        programs = [await admin.get(path, **BROWSER) for path in paths]
        programs += [await admin.get("/sesions"), await admin.get("/sesions", accept="*/*")]
        programs.append(await admin.post("/sesions", **BROWSER))
        head = await admin.send("HEAD", "/sesions", None, **BROWSER)
        chat = await admin.post(CHAT)
        linked = re.findall(r'(?:src|href)="([^"]+)"', page.body.decode())
        found = [(await admin.get(path)).status for path in linked]
        wrong_method = await admin.post("/sessions", **BROWSER)
    assert (page.status, deep.status) == (404, 404)
    assert page.headers["content-type"] == "text/html; charset=utf-8"
    assert "default-src 'self'" in page.headers["content-security-policy"]
    assert page.body == deep.body
    assert "/" in linked, "the way back"
    assert found == [200] * len(linked)
    assert {(told.status, told.headers["content-type"]) for told in programs} == {
        (404, "application/json")
    }
    assert all("nothing" in told.json()["error"]["message"] for told in programs[:2])
    assert (head.status, head.headers["content-type"]) == (404, page.headers["content-type"])
    assert (chat.status, "data listener" in chat.json()["error"]["message"]) == (404, True)
    assert (wrong_method.status, wrong_method.headers["content-type"]) == (405, "application/json")


@pytest.mark.asyncio
async def test_a_login_opens_everything_and_a_logout_closes_it(tmp_path: Path) -> None:
    async with admin_stand(tmp_path, token=TOKEN) as admin:
        login = await admin.post("/admin/login", {"token": TOKEN})
        cookie = cookie_of(login)
        inside = await admin.get("summary", cookie=f"other=1; {cookie}; more=2")
        token = await admin.get("summary", **BEARER)
        logout = await admin.post("/admin/logout", cookie=cookie)
        after = await admin.get("summary", cookie=cookie)
    assert (login.status, inside.status, token.status) == (204, 200, 200)
    assert (logout.status, after.status) == (204, 401)
    words = {word.strip() for word in login.headers["set-cookie"].split(";")[1:]}
    assert words == {"Path=/", "Max-Age=43200", "HttpOnly", "SameSite=Strict"}
    assert TOKEN not in login.headers["set-cookie"]
    assert "Max-Age=0" in logout.headers["set-cookie"]


@pytest.mark.asyncio
async def test_guesses_at_the_login_are_limited_and_lock_nobody_out_who_is_in(
    tmp_path: Path,
) -> None:
    async with admin_stand(tmp_path, token=TOKEN) as admin:
        cookie = cookie_of(await admin.post("/admin/login", {"token": TOKEN}))
        nothing = [await admin.get("live") for _ in range(15)]
        guesses = [await admin.post("/admin/login", {"token": f"guess-{n}"}) for n in range(10)]
        right = await admin.post("/admin/login", {"token": TOKEN})
        bearer = await admin.get("summary", **BEARER)
        inside = await admin.get("summary", cookie=cookie)
    assert {answer.status for answer in nothing} == {401}, "to show nothing is no try"
    assert [answer.status for answer in guesses] == [401] * 10
    assert (right.status, bearer.status, inside.status) == (429, 429, 200)
    assert 1 <= int(right.headers["retry-after"]) <= 3


@pytest.mark.asyncio
@pytest.mark.parametrize("body", [{}, {"token": 1}, {"token": None}, {"tokens": TOKEN}])
async def test_a_login_without_a_token_is_none(tmp_path: Path, body: Any) -> None:
    async with admin_stand(tmp_path, token=TOKEN) as admin:
        answer = await admin.post("/admin/login", body)
    assert answer.status == 422
    assert "set-cookie" not in answer.headers


def test_a_login_ends_after_twelve_hours_and_the_oldest_goes_first() -> None:
    now = [0.0]
    door = Door(TOKEN, lambda: now[0])
    first = door.login(TOKEN, "a").partition("=")[2].partition(";")[0]
    door.check((), (first,), "a")
    now[0] = 12 * 3600 - 1
    door.check((), ("unknown", first), "a")
    now[0] += 1
    with pytest.raises(Refused, match="token is missing"):
        door.check((), (first,), "a")
    kept = [door.login(TOKEN, "a").partition("=")[2].partition(";")[0] for _ in range(257)]
    with pytest.raises(Refused):
        door.check((), (kept[0],), "a")
    door.check((), (kept[-1],), "a")


REBOUND = ("rebound.example", "127.0.0.1.rebound.example:80", "localhost.evil", "[::2]", "10.0.0.1")


@pytest.mark.asyncio
async def test_a_name_that_leads_here_by_dns_alone_is_refused_everywhere(tmp_path: Path) -> None:
    async with admin_stand(tmp_path) as admin:
        for host in REBOUND:
            answers = [*await everything(admin, host=host)]
            assert {answer.status for answer in answers} == {421}
        assert (await admin.get("keys")).json() == {"keys": []}


FOREIGN: tuple[dict[str, str], ...] = (
    {"origin": "https://evil.example"},
    {"origin": "null"},
    {"origin": "http://127.0.0.1:1"},
    {"origin": "http://localhost"},
    {"sec_fetch_site": "cross-site"},
    {"sec_fetch_site": "same-site"},
    {"sec_fetch_site": "cross-site", "sec_fetch_mode": "no-cors", "sec_fetch_dest": "script"},
    {"sec_fetch_site": "cross-site", "sec_fetch_mode": "navigate", "sec_fetch_dest": "iframe"},
)


@pytest.mark.asyncio
async def test_other_origins_are_refused_everywhere_with_a_login_or_without(tmp_path: Path) -> None:
    async with admin_stand(tmp_path, token=TOKEN) as admin:
        cookie = cookie_of(await admin.post("/admin/login", {"token": TOKEN}))
        for headers in FOREIGN:
            for shown in ({}, {"cookie": cookie}, BEARER):
                answers = [*await everything(admin, **headers, **shown)]
                assert {answer.status for answer in answers} == {403}, headers
        login = await admin.post("/admin/login", {"token": TOKEN}, origin="https://evil.example")
        keys = await admin.get("keys", cookie=cookie)
    assert (login.status, keys.json()) == (403, {"keys": []})


@pytest.mark.asyncio
async def test_who_follows_a_link_from_elsewhere_gets_the_page(tmp_path: Path) -> None:
    link = {
        "sec_fetch_site": "cross-site",
        "sec_fetch_mode": "navigate",
        "sec_fetch_dest": "document",
    }
    async with admin_stand(tmp_path) as admin:
        read = await admin.get("/requests", **link)
        write = await admin.post("keys", {"label": "x"}, **link)
    assert (read.status, write.status) == (200, 403)


@pytest.mark.asyncio
@pytest.mark.parametrize(
    "kind", ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data"]
)
async def test_what_a_form_of_another_site_can_send_changes_nothing(
    tmp_path: Path, kind: str
) -> None:
    async with admin_stand(tmp_path) as admin:
        for method, path in WRITES:
            answer = await admin.send(method, path, b"{}", content_type=kind)
            assert answer.status == 415, (method, path)
            bare = await admin.send(method, path, None)
            assert bare.status == 415, (method, path)
        assert (await admin.get("keys")).json() == {"keys": []}


@pytest.mark.asyncio
async def test_every_answer_is_fenced_in(tmp_path: Path) -> None:
    async with admin_stand(tmp_path, token=TOKEN) as admin:
        answers = [*await everything(admin), *await everything(admin, **BEARER)]
        answers.append(await admin.get("/", accept="text/html"))
    for answer in answers:
        policy = answer.headers["content-security-policy"]
        assert "default-src 'self'" in policy
        assert "frame-ancestors 'none'" in policy
        assert "unsafe" not in policy
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert not [name for name in answer.headers if name.startswith("access-control-")]


@pytest.mark.asyncio
async def test_no_secret_is_in_any_answer(tmp_path: Path) -> None:
    keys = {"api_key": UPSTREAM_KEY, "headers": {"x-more": "header-canary-0193"}}
    async with admin_stand(tmp_path, token=TOKEN, **keys) as admin:
        made = (await admin.post("keys", {"label": "ci"}, **BEARER)).json()
        await admin.on.ask(CHAT, chat(tokens=3))
        await admin.on.rows()
        answers = [*await everything(admin, **BEARER)]
        rows = (await admin.get("requests", **BEARER)).json()["rows"]
        answers += [await admin.get(f"requests/{row['id']}", **BEARER) for row in rows]
    whole = b"".join(answer.body for answer in answers).decode()
    for secret in (TOKEN, UPSTREAM_KEY, "header-canary-0193", made["key"]):
        assert secret not in whole
    assert "********" in whole
