"""The OpenAPI document of the admin API, and a page of it. Made from the routes that are served."""

from __future__ import annotations

import re
from collections.abc import Sequence
from html import escape
from typing import Any

from streamgauge import __version__
from streamgauge.control.routes import PREFIX, ApiRoute, Query
from streamgauge.control.schemas import SCHEMAS, ref

__all__ = ["document", "page"]

_PARAMETER = re.compile(r"\{([a-z_]+)(?::path)?\}")
_ERROR = {
    "description": "Refused; the message says why.",
    "content": {"application/json": {"schema": ref("Error")}},
}

Page = dict[str, Any]


def document(routes: Sequence[ApiRoute]) -> Page:
    """Return the OpenAPI 3.1 document of `routes`."""
    paths: dict[str, Page] = {}
    for route in routes:
        paths.setdefault(_shown(route.path), {})[route.method.lower()] = _operation(route)
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "streamgauge admin API",
            "version": __version__,
            "description": "Rows have the ledger's column names. Times are µs since the epoch. "
            "Unknown is null.",
        },
        "servers": [{"url": PREFIX}],
        "security": [{"token": []}, {"cookie": []}, {}],
        "paths": paths,
        "components": {
            "schemas": dict(SCHEMAS),
            "securitySchemes": {
                "token": {"type": "http", "scheme": "bearer"},
                "cookie": {"type": "apiKey", "in": "cookie", "name": "streamgauge_login"},
            },
        },
    }


def page(routes: Sequence[ApiRoute]) -> str:
    """Return the routes as a page of HTML, without any script."""
    rows = "\n".join(_line(route) for route in routes)
    return (
        '<!doctype html>\n<html lang="en">\n<head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        "<title>streamgauge admin API</title>"
        '<link rel="icon" href="/static/icon.svg">'
        '<link rel="stylesheet" href="/static/css/base.css"></head>\n'
        f'<body class="api"><main><h1>Admin API {escape(__version__)}</h1>\n'
        f"<p>Paths are below <code>{PREFIX}</code>. "
        'The whole description, with all fields: <a href="/admin/openapi.json">openapi.json</a>.</p>\n'
        "<table>\n<thead><tr><th>Route</th><th>What</th><th>Query or body</th></tr></thead>\n"
        f"<tbody>\n{rows}\n</tbody>\n</table>\n</main></body>\n</html>\n"
    )


def _line(route: ApiRoute) -> str:
    named = [f"<code>{escape(query.name)}</code> {escape(query.what)}" for query in route.queries]
    fields = route.body.get("properties", {}) if route.body is not None else {}
    named += [f"<code>{escape(name)}</code>" for name in fields]
    shown = f"<code>{route.method} {escape(_shown(route.path))}</code>"
    return f"<tr><td>{shown}</td><td>{escape(route.what)}</td><td>{'<br>'.join(named)}</td></tr>"


def _shown(path: str) -> str:
    return _PARAMETER.sub(r"{\1}", path)


def _operation(route: ApiRoute) -> Page:
    parameters = [_in_path(name) for name in _PARAMETER.findall(route.path)]
    parameters += [_in_query(query) for query in route.queries]
    answer = {"description": route.what, "content": {route.kind: {"schema": route.answer}}}
    operation: Page = {
        "operationId": route.serve.__qualname__.replace("Api.", "_").lower(),
        "summary": route.what,
        "parameters": parameters,
        "responses": {str(route.status): answer, "4XX": _ERROR, "503": _ERROR},
    }
    if route.body is not None:
        operation["requestBody"] = {"content": {"application/json": {"schema": route.body}}}
    return operation


def _in_path(name: str) -> Page:
    return {"name": name, "in": "path", "required": True, "schema": {"type": "string"}}


def _in_query(query: Query) -> Page:
    schema = {"type": "array", "items": query.schema} if query.many else query.schema
    return {"name": query.name, "in": "query", "description": query.what, "schema": schema}
