"""What one route of the admin API is, for the server and for its description alike. Serves nothing."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any

from starlette.requests import Request
from starlette.responses import Response

__all__ = ["PREFIX", "ApiRoute", "Query", "Schema"]

PREFIX = "/admin/api/v1"

Schema = Mapping[str, Any]
"""A JSON schema (2020-12), as OpenAPI 3.1 has them."""


@dataclass(frozen=True, slots=True)
class Query:
    """One parameter of a route's query. `many`: it may be repeated."""

    name: str
    what: str
    schema: Schema
    many: bool = False


@dataclass(frozen=True, slots=True)
class ApiRoute:
    """`path` is behind PREFIX. `body`: the JSON that it takes; `kind`: the type of its answer."""

    method: str
    path: str
    serve: Callable[[Request], Awaitable[Response]]
    what: str
    answer: Schema
    queries: tuple[Query, ...] = ()
    body: Schema | None = None
    status: int = 200
    kind: str = "application/json"
