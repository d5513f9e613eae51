"""Asks a gateway which models it serves, for clients that must be told. Never waits long."""

from __future__ import annotations

import json
from urllib.error import HTTPError, URLError
from urllib.request import ProxyHandler, Request, build_opener

__all__ = ["KeyRefused", "served_models"]

_SECONDS = 2.0
"""A gateway answers from what it knows; one that is not there refuses at once."""


class KeyRefused(Exception):
    """The gateway is there and wants another key."""


def served_models(url: str, key: str) -> list[str]:
    """Return the ids of `GET /v1/models`, without doubles; an empty list when nobody answers.

    Raises KeyRefused.
    """
    request = Request(f"{url}/v1/models", headers={"Authorization": f"Bearer {key}"})
    try:
        # No proxy: the gateway is asked directly, as the client will ask it.
        with build_opener(ProxyHandler({})).open(request, timeout=_SECONDS) as answer:
            listed = json.load(answer)["data"]
        return list(dict.fromkeys(str(model["id"]) for model in listed))
    except HTTPError as error:
        with error:
            if error.code == 401:
                raise KeyRefused from error
        return []
    except (URLError, OSError, ValueError, KeyError, TypeError):
        return []
