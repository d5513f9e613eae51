"""The dashboard's files: what is served, what they may not contain, and that uPlot is as its makers packed it."""

from __future__ import annotations

import hashlib
import re
from pathlib import Path

import pytest
from starlette.applications import Starlette
from starlette.testclient import TestClient

from streamgauge.control.guard import Refused, refusal
from streamgauge.control.pages.files import LOGIN_FILES, load_files
from streamgauge.control.pages.routes import login_page, page_routes

STATIC = Path(__file__).parents[2] / "src" / "streamgauge" / "control" / "static"
UPLOT = STATIC / "vendor" / "uplot"
SCRIPTS = sorted((STATIC / "js").rglob("*.js"))
PAGES = sorted(STATIC.glob("*.html"))
MARKUP = re.compile(
    r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|DOMParser|eval\(|new Function|setHTML"
)
INLINE = re.compile(
    r"<script(?![^>]*\ssrc=)|<style|\sstyle=|\son[a-z]+=|javascript:", re.IGNORECASE
)
ELSEWHERE = re.compile(r"https?://(?!127\.0\.0\.1|www\.w3\.org/2000/svg|\$\{)")


@pytest.fixture
def client() -> TestClient:
    app = Starlette(
        routes=page_routes(login=False),
        exception_handlers={Refused: lambda _, error: refusal(error)},  # type: ignore[dict-item]
    )
    return TestClient(app)


def test_the_vendored_files_are_those_of_the_package_and_its_licence_is_beside_them() -> None:
    listed = dict(
        reversed(line.split()) for line in (UPLOT / "SHA256SUMS").read_text().splitlines()
    )
    assert set(listed) == {"LICENSE", "uPlot.esm.js", "uPlot.min.css"}
    for name, digest in listed.items():
        assert hashlib.sha256((UPLOT / name).read_bytes()).hexdigest() == digest, name
    assert "MIT" in (UPLOT / "LICENSE").read_text()


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda path: path.name)
def test_no_script_reads_markup_names_a_host_or_grows_over_300_lines(script: Path) -> None:
    text = script.read_text()
    assert text.startswith("// "), "it says what it is for"
    assert not MARKUP.search(text)
    assert not ELSEWHERE.search(text)
    assert len(text.splitlines()) <= 300


@pytest.mark.parametrize("page", PAGES, ids=lambda path: path.name)
def test_no_page_has_inline_script_or_style(page: Path) -> None:
    text = page.read_text()
    assert not INLINE.search(text)
    assert not ELSEWHERE.search(text)


@pytest.mark.parametrize(
    "style", sorted((STATIC / "css").glob("*.css")), ids=lambda path: path.name
)
def test_no_style_asks_another_origin(style: Path) -> None:
    text = style.read_text()
    assert not ELSEWHERE.search(text)
    assert "@import" not in text


def test_every_import_of_a_script_and_every_link_of_a_page_leads_to_a_served_file() -> None:
    served = {f"/static/{name}" for name in load_files()}
    for page in PAGES:
        for path in re.findall(r'(?:src|href)="(/static/[^"]+)"', page.read_text()):
            assert path in served, f"{page.name}: {path}"
    shell = (STATIC / "index.html").read_text()
    for script in SCRIPTS:
        name = f"/static/{script.relative_to(STATIC)}"
        assert name in shell or script.name == "login.js", f"{name} is not fetched ahead"
        for path in re.findall(r'from "([^"]+)"', script.read_text()):
            assert (script.parent / path).resolve().is_file(), f"{script.name}: {path}"


def test_the_login_page_needs_only_the_files_that_are_open() -> None:
    asked = set(re.findall(r'(?:src|href)="(/static/[^"]+)"', login_page().body.decode()))
    assert asked == LOGIN_FILES


@pytest.mark.parametrize("path", ["/", "/requests", "/requests/abc", "/sessions/a%2Fb", "/health"])
def test_each_screen_is_the_shell(client: TestClient, path: str) -> None:
    answer = client.get(path)
    assert answer.status_code == 200
    assert answer.headers["content-type"] == "text/html; charset=utf-8"
    assert '<main id="main"' in answer.text


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("js/main.js", "text/javascript; charset=utf-8"),
        ("css/base.css", "text/css; charset=utf-8"),
        ("icon.svg", "image/svg+xml"),
    ],
)
def test_a_file_is_served_with_its_type(client: TestClient, name: str, kind: str) -> None:
    answer = client.get(f"/static/{name}")
    assert (answer.status_code, answer.headers["content-type"]) == (200, kind)
    assert answer.content == (STATIC / name).read_bytes()


@pytest.mark.parametrize(
    "name",
    ["../app.py", "%2e%2e/app.py", "js/../../guard.py", "vendor/uplot/LICENSE", "nothing.js"],
)
def test_nothing_else_is_served(client: TestClient, name: str) -> None:
    assert client.get(f"/static/{name}").status_code == 404


def test_the_shell_offers_to_log_out_only_behind_a_login() -> None:
    with_login = TestClient(Starlette(routes=page_routes(login=True)))
    assert 'data-login="yes"' in with_login.get("/").text
    assert (
        'data-login="yes"'
        not in TestClient(Starlette(routes=page_routes(login=False))).get("/").text
    )
