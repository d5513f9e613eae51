"""What points a client program at the gateway: variables by dialect, written for a shell. Asks nobody."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping, Sequence
from shlex import quote
from types import MappingProxyType

__all__ = ["CLIENTS", "DUMMY_KEY", "SHELLS", "base_url", "shell_line", "variables"]

DUMMY_KEY = "streamgauge"
"""Clients refuse to start without a key, and the gateway needs none while it has none to check."""

Variables = dict[str, str]

_PROVIDER = "streamgauge"
_SAFE = re.compile(r"[\w@%+=:,./-]+", re.ASCII)


def base_url(url: str) -> str:
    """Return `url` without the `/v1` and the slashes that people add, for Anthropic's clients."""
    return url.rstrip("/").removesuffix("/v1").rstrip("/")


def variables(
    client: str, url: str, key: str | None, environ: Mapping[str, str], models: Sequence[str] = ()
) -> Variables:
    """Return what `client` needs; `url` is the gateway's, without `/v1`.

    Without a `key` of its own, one that the environment has stays: a client's real key may be
    wanted further up (`pass_through_auth`), and the gateway forwards none otherwise.
    """
    return _MAKERS[client](url, key, environ, models)


def _openai(
    url: str, key: str | None, environ: Mapping[str, str], _models: Sequence[str]
) -> Variables:
    wanted = {"OPENAI_BASE_URL": f"{url}/v1"}
    if key is not None or not environ.get("OPENAI_API_KEY"):
        wanted["OPENAI_API_KEY"] = DUMMY_KEY if key is None else key
    return wanted


def _anthropic(
    url: str, key: str | None, environ: Mapping[str, str], _models: Sequence[str]
) -> Variables:
    """No `/v1`: these clients append it. An API key makes Claude Code ask for leave; a token not."""
    wanted = {"ANTHROPIC_BASE_URL": url}
    if key is not None:
        wanted["ANTHROPIC_AUTH_TOKEN"] = key
        if environ.get("ANTHROPIC_API_KEY"):
            wanted["ANTHROPIC_API_KEY"] = key  # two keys that differ are refused
    elif not (environ.get("ANTHROPIC_AUTH_TOKEN") or environ.get("ANTHROPIC_API_KEY")):
        wanted["ANTHROPIC_AUTH_TOKEN"] = DUMMY_KEY
    return wanted


def _opencode(
    url: str, key: str | None, _environ: Mapping[str, str], models: Sequence[str]
) -> Variables:
    """OpenCode knows no variable for a URL: a provider in its configuration is its way."""
    provider = {
        "npm": "@ai-sdk/openai-compatible",
        "name": "streamgauge",
        "options": {"baseURL": f"{url}/v1", "apiKey": DUMMY_KEY if key is None else key},
        "models": {model: {} for model in models},
    }
    chosen = f"{_PROVIDER}/{models[0]}"
    wanted = {"provider": {_PROVIDER: provider}, "model": chosen, "small_model": chosen}
    return {"OPENCODE_CONFIG_CONTENT": json.dumps(wanted)}


_Maker = Callable[[str, str | None, Mapping[str, str], Sequence[str]], Variables]
_MAKERS: Mapping[str, _Maker] = MappingProxyType(
    {"openai": _openai, "anthropic": _anthropic, "opencode": _opencode}
)
CLIENTS = tuple(_MAKERS)


def shell_line(shell: str, name: str, value: str) -> str:
    """Return the line by which `shell` exports `name`; `value` survives as it is."""
    return _SHELLS[shell](name, value)


def _posix(name: str, value: str) -> str:
    return f"export {name}={quote(value)}"


def _fish(name: str, value: str) -> str:
    if not _SAFE.fullmatch(value):
        value = "'" + value.replace("\\", "\\\\").replace("'", "\\'") + "'"
    return f"set -gx {name} {value};"  # fish's eval joins lines by blanks


def _powershell(name: str, value: str) -> str:
    return f"$env:{name} = '{value.replace(chr(39), chr(39) * 2)}'"


_SHELLS: Mapping[str, Callable[[str, str], str]] = MappingProxyType(
    {"sh": _posix, "fish": _fish, "powershell": _powershell}
)
SHELLS = tuple(_SHELLS)
