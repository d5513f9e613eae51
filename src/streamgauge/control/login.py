"""The login: a browser shows the token once and is known by a cookie. It knows no other page."""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from streamgauge.control.bodies import read_object
from streamgauge.control.door import Door
from streamgauge.control.guard import LOGIN, Refused, address_of, cookies_of

__all__ = ["login_routes"]


def login_routes(door: Door) -> list[BaseRoute]:
    """Return the routes by which a browser logs in and out."""

    async def login(request: Request) -> Response:
        shown = (await read_object(request)).get("token")
        if not isinstance(shown, str):
            raise Refused(422, "token is needed, as text")
        return _with_cookie(door.login(shown, address_of(request.scope)))

    async def logout(request: Request) -> Response:
        await read_object(request)
        return _with_cookie(door.logout(cookies_of(request.scope)))

    return [
        Route(LOGIN, login, methods=["POST"]),
        Route("/admin/logout", logout, methods=["POST"]),
    ]


def _with_cookie(cookie: str) -> Response:
    return Response(status_code=204, headers={"set-cookie": cookie})
