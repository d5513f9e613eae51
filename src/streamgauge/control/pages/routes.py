"""The addresses of the dashboard's screens and files. What the screens show they ask the admin API for."""

from __future__ import annotations

from collections.abc import Mapping

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from streamgauge.control.guard import Refused
from streamgauge.control.pages.files import PageFile, load_files

__all__ = ["is_page_address", "login_page", "no_page", "page_routes"]

_SCREENS = (
    "/",
    "/requests",
    "/requests/{id}",
    "/requests/{id}/frames",
    "/sessions",
    "/sessions/{id:path}",
    "/upstreams",
    "/usage",
    "/keys",
    "/health",
)
"""Each is the same page; its script reads the address."""
_PROGRAMS = ("/admin/", "/static/")
"""Below these, programs and pages ask: they are told in JSON what is wrong."""
_ROOT, _ROOT_WITH_LOGIN = b'<html lang="en">', b'<html lang="en" data-login="yes">'


def page_routes(*, login: bool) -> list[BaseRoute]:
    """Return the routes of the screens and of their files.

    `login`: a token is set, so the pages offer to log out.
    """
    pages = _Pages(load_files(), login)
    screens = [Route(path, pages.screen, methods=["GET"]) for path in _SCREENS]
    return [*screens, Route("/static/{name:path}", pages.static, methods=["GET"])]


def login_page() -> PageFile:
    """Return the page that asks for the admin token; it needs `LOGIN_FILES` and nothing else."""
    return load_files()["login.html"]


def no_page() -> PageFile:
    """Return the page for an address that leads nowhere, with the way back."""
    return load_files()["no_page.html"]


def is_page_address(path: str) -> bool:
    """Return whether a person may have meant a screen by `path`."""
    return not path.startswith(_PROGRAMS)


class _Pages:
    """Answers with files that are in memory."""

    def __init__(self, files: Mapping[str, PageFile], login: bool) -> None:
        self._files = files
        shell = files["index.html"]
        body = shell.body.replace(_ROOT, _ROOT_WITH_LOGIN) if login else shell.body
        self._shell = PageFile(shell.content_type, body)

    async def screen(self, request: Request) -> Response:
        """Return the shell, whatever the screen is to show."""
        return _answer(self._shell)

    async def static(self, request: Request) -> Response:
        """Return a file of the package; 404 for a name that it does not hold."""
        found = self._files.get(request.path_params["name"])
        if found is None:
            raise Refused(404, "there is no such file")
        return _answer(found)


def _answer(page: PageFile) -> Response:
    return Response(page.body, headers={"content-type": page.content_type})
