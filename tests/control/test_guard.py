"""Who may ask the control listener: token, Host, Origin, content type, and headers on every answer."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from streamgauge.gateway.tries import FailedTries

from .listener_rig import FakePlane, Listener, listening

TOKEN = "adm-5f0c2f9e-correct-horse"
PAGES = ("/admin/runtime", "/metrics", "/admin/reload", "/", "/nothing")
JSON = "content-type: application/json"


@pytest.fixture(scope="module")
def plane() -> FakePlane:
    """One plane for all tests that need no token; it counts reloads from the start."""
    return FakePlane()


@pytest.fixture(scope="module")
def listener(plane: FakePlane) -> Iterator[Listener]:
    """A listener without a token in front of `plane`."""
    with listening(plane) as found:
        yield found


def bearer(token: str) -> str:
    """Return the header that shows `token`."""
    return f"authorization: Bearer {token}"


@pytest.mark.parametrize("method", ["GET", "POST"])
def test_with_a_token_set_whoever_shows_none_gets_401_everywhere(method: str) -> None:
    plane = FakePlane()
    with listening(plane, token=TOKEN) as listener:
        answers = [listener.ask(method, path, JSON) for path in PAGES]
    assert [answer.status for answer in answers] == [401] * len(PAGES)
    assert {answer.headers["www-authenticate"] for answer in answers} == {"Bearer"}
    assert plane.reloads == 0
    assert not any(TOKEN.encode() in answer.body for answer in answers)


NOT_THE_TOKEN = {
    "short": bearer(TOKEN[:-1]),
    "long": bearer(TOKEN + "x"),
    "case": bearer(TOKEN.upper()),
    "empty": bearer(""),
    "basic": f"authorization: Basic {TOKEN}",
    "bare": f"authorization: {TOKEN}",
    "x-api-key": f"x-api-key: {TOKEN}",
    "twice": bearer(TOKEN) + "\r\n" + bearer(TOKEN),
    "latin-1": bearer("t\xf6ken"),
}


def test_only_the_token_itself_is_the_token() -> None:
    with listening(FakePlane(), token=TOKEN) as listener:
        tried = {
            name: listener.get("/admin/runtime", shown).status
            for name, shown in NOT_THE_TOKEN.items()
        }
    assert tried == dict.fromkeys(NOT_THE_TOKEN, 401)


FAULTS = {
    "missing": (),
    "empty": (bearer(""),),
    "wrong": (bearer("guess"),),
    "basic": (f"authorization: Basic {TOKEN}",),
    "bare": (f"authorization: {TOKEN}",),
    "twice": (bearer(TOKEN), bearer(TOKEN)),
}


def test_what_is_wrong_with_the_token_is_said_and_nothing_of_the_token() -> None:
    with listening(FakePlane(), token=TOKEN) as listener:
        said = {
            name: listener.get("/admin/runtime", *shown).json()["error"]["message"]
            for name, shown in FAULTS.items()
        }
        nearly = listener.get("/admin/runtime", bearer(TOKEN[:-1])).json()["error"]["message"]
    assert said["missing"].startswith("the admin token is missing: Authorization: Bearer TOKEN")
    assert said["empty"] == said["missing"]
    assert said["wrong"].startswith("this is not the admin token")
    assert nearly == said["wrong"], "how near a guess comes is not told"
    assert said["basic"] == said["bare"]
    assert "Authorization: Bearer TOKEN" in said["basic"]
    assert "more than once" in said["twice"]
    assert not any(TOKEN in text for text in said.values())


def test_the_token_opens_every_page() -> None:
    plane = FakePlane()
    with listening(plane, token=TOKEN) as listener:
        assert listener.get("/admin/runtime", bearer(TOKEN)).status == 200
        assert listener.get("/metrics", f"authorization: bearer {TOKEN}").status == 200
        assert listener.reload(bearer(TOKEN)).status == 200
    assert plane.reloads == 1


def test_without_a_token_the_pages_answer(listener: Listener) -> None:
    assert listener.get("/admin/runtime").status == 200
    assert listener.get("/metrics").status == 200


def test_after_ten_failed_tries_even_the_right_token_has_to_wait() -> None:
    with listening(FakePlane(), token=TOKEN) as listener:
        tried = [listener.get("/metrics", bearer(f"guess-{n}")).status for n in range(10)]
        locked = listener.get("/metrics", bearer(TOKEN))
    assert tried == [401] * 10
    assert locked.status == 429
    assert 1 <= int(locked.headers["retry-after"]) <= 3


def test_tries_come_back_with_time_and_addresses_do_not_disturb_each_other() -> None:
    tries = FailedTries()
    for _ in range(10):
        tries.failed("a", 100.0)
    assert tries.seconds_to_wait("a", 100.0) == pytest.approx(2.0)
    assert tries.seconds_to_wait("b", 100.0) == 0
    assert tries.seconds_to_wait("a", 102.0) == 0
    tries.failed("a", 102.0)
    assert tries.seconds_to_wait("a", 102.0) > 0
    assert tries.seconds_to_wait("a", 500.0) == 0
    for _ in range(10):
        tries.failed("a", 500.0)
    assert tries.seconds_to_wait("a", 500.0) > 0, "no more than ten are saved up"


def test_the_memory_of_failed_tries_is_bounded() -> None:
    tries = FailedTries()
    for n in range(5000):
        tries.failed(f"address-{n}", 1.0)
    assert len(tries._left) <= 1024


# -- Host (S14)


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "LOCALHOST:8067", "[::1]:1"])
def test_our_own_names_are_served_with_any_port(listener: Listener, host: str) -> None:
    assert listener.ask("GET", "/metrics", f"host: {host}", host=False).status == 200


@pytest.mark.parametrize(
    "host", ["rebound.example", "127.0.0.1.rebound.example:8067", "[::2]", "localhost."]
)
def test_a_name_that_leads_here_by_dns_alone_is_refused(
    listener: Listener, plane: FakePlane, host: str
) -> None:
    before = plane.reloads
    refused = listener.ask("GET", "/admin/runtime", f"host: {host}", host=False)
    name = host.removesuffix(":8067")
    assert (refused.status, name.encode() in refused.body) == (421, True)
    assert b"add it to control.allowed_hosts" in refused.body
    posted = listener.ask("POST", "/admin/reload", f"host: {host}", JSON, host=False)
    assert (posted.status, plane.reloads) == (421, before)


@pytest.mark.parametrize(
    "hosts",
    [[], ["host: 127.0.0.1", "host: 127.0.0.1"], ["host: a b"], ["host: 127.0.0.1@evil"]],
    ids=["none", "two", "space", "at"],
)
def test_anything_but_one_legal_host_is_a_bad_request(listener: Listener, hosts: list[str]) -> None:
    assert listener.ask("GET", "/metrics", *hosts, host=False).status == 400


# -- Origin and content type (S14, S15)


@pytest.mark.parametrize(
    "origin",
    ["https://evil.example", "null", "http://127.0.0.1", "http://localhost:1", "file://", ""],
)
@pytest.mark.parametrize("method", ["GET", "POST"])
def test_requests_from_another_origin_are_refused(
    listener: Listener, plane: FakePlane, method: str, origin: str
) -> None:
    before = plane.reloads
    path = "/admin/runtime" if method == "GET" else "/admin/reload"
    answer = listener.ask(method, path, JSON, f"origin: {origin}")
    assert (answer.status, plane.reloads) == (403, before)
    assert "access-control-allow-origin" not in answer.headers


def test_our_own_origin_may_ask(listener: Listener) -> None:
    assert listener.reload(f"origin: http://127.0.0.1:{listener.port}").status == 200


@pytest.mark.parametrize(
    "kind",
    ["", "text/plain", "application/x-www-form-urlencoded", "multipart/form-data", "text/json"],
)
def test_what_a_form_can_send_reloads_nothing(
    listener: Listener, plane: FakePlane, kind: str
) -> None:
    before = plane.reloads
    headers = [f"content-type: {kind}"] if kind else []
    answer = listener.ask("POST", "/admin/reload", *headers, body=b"{}")
    assert (answer.status, plane.reloads) == (415, before)


def test_json_with_a_charset_is_json(listener: Listener) -> None:
    kind = "content-type: application/json; charset=utf-8"
    assert listener.ask("POST", "/admin/reload", kind, body=b"{}").status == 200


def _every_kind_of_answer(listener: Listener) -> list[tuple[int, dict[str, str]]]:
    asked = [
        listener.get("/admin/runtime"),
        listener.get("/metrics"),
        listener.get("/nothing"),
        listener.ask("DELETE", "/metrics", JSON),
        listener.ask("OPTIONS", "/admin/reload", JSON, "access-control-request-method: POST"),
        listener.ask("GET", "/metrics", "host: evil.example", host=False),
        listener.get("/metrics", "origin: https://evil.example"),
        listener.ask("POST", "/admin/reload"),
        listener.reload(body=b"no json"),
    ]
    return [(answer.status, answer.headers) for answer in asked]


def test_every_answer_carries_the_security_headers_and_none_allows_another_origin(
    listener: Listener,
) -> None:
    answers = _every_kind_of_answer(listener)
    assert [status for status, _ in answers] == [200, 200, 404, 405, 405, 421, 403, 415, 400]
    for _, headers in answers:
        policy = headers["content-security-policy"]
        assert "default-src 'self'" in policy
        assert "frame-ancestors 'none'" in policy
        assert headers["x-content-type-options"] == "nosniff"
        assert headers["cache-control"] == "no-store"
        assert not [name for name in headers if name.startswith("access-control-")]
        assert "server" not in headers
