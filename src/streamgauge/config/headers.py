"""Which header names and values a configuration may hold. Knows no upstream."""

from __future__ import annotations

import re
from collections.abc import Mapping

from pydantic import SecretStr

from streamgauge.config.fields import refuse
from streamgauge.config.problems import shown

__all__ = [
    "check_conditions",
    "check_forwarded",
    "check_headers",
    "header_secrets",
    "is_credential",
]

_TOKEN = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]{1,128}")
_VALUE = re.compile(r"[\x20-\x7e\x80-\xff\t]*")
_OURS = frozenset({
    "connection", "content-encoding", "content-length", "expect", "host", "keep-alive",
    "proxy-authorization", "proxy-connection", "te", "trailer", "transfer-encoding", "upgrade",
})  # fmt: skip
"""Framing and hop-by-hop headers (RFC 9110 §7.6.1): the upstream connection makes them."""
_EACH_CALLS = frozenset({"accept-encoding", "content-type"})
"""They say how each request is written and may be answered (SPEC §3.3, §3.4): a second one disagrees."""
_CLIENT_KEYS = frozenset({"authorization", "cookie", "x-api-key"})
_NEVER_SENT = frozenset({"x-conversation-id"})
"""With it llama.cpp goes on generating after the connection was closed (SPEC §3.6)."""
_OWN_NAME = frozenset({"idempotency-key"})
"""Each attempt has its own (SPEC §3.3): the client's would make two of them one."""
_CREDENTIAL = re.compile(r"authorization|cookie|key|password|secret|token", re.IGNORECASE)


def check_headers(headers: dict[str, SecretStr]) -> dict[str, SecretStr]:
    """Return `headers`. Raises for names and values that could not or must not be sent."""
    seen: set[str] = set()
    for name, value in headers.items():
        _check_name(name, _OURS | _NEVER_SENT | _EACH_CALLS)
        if not _VALUE.fullmatch(value.get_secret_value()):
            raise refuse(f"the value of {shown(name, 'a header')} has control characters")
        if name.lower() in seen:
            raise refuse(f"{shown(name, 'a header')} stands twice, in different case")
        seen.add(name.lower())
    return headers


def check_forwarded(names: tuple[str, ...]) -> tuple[str, ...]:
    """Return `names` in lower case. Raises for headers that must stay here."""
    for name in names:
        if name.lower() in _CLIENT_KEYS:
            raise refuse(f"{name.lower()} is never forwarded; see pass_through_auth")
        _check_name(name, _OURS | _NEVER_SENT | _EACH_CALLS | _OWN_NAME)
    return tuple(dict.fromkeys(name.lower() for name in names))


def check_conditions(headers: dict[str, str]) -> dict[str, str]:
    """Return `headers`, which a rule looks at. Raises for names that are none, and for keys."""
    for name in headers:
        _check_name(name, frozenset())
        if name.lower() in _CLIENT_KEYS:
            raise refuse(f"{name.lower()} is no condition; use key, the label of a client key")
    return headers


def is_credential(name: str) -> bool:
    """Return whether a header or key of this name usually holds a secret."""
    return bool(_CREDENTIAL.search(name))


def header_secrets(headers: Mapping[str, SecretStr]) -> set[str]:
    """Return the values, and of `Bearer …` and the like also what follows the scheme."""
    values = [value.get_secret_value() for value in headers.values()]
    return {part for value in values for part in (value, value.rpartition(" ")[2])}


def _check_name(name: str, refused: frozenset[str]) -> None:
    if not _TOKEN.fullmatch(name):
        raise refuse(f"{shown(name, 'a name')} is no header name")
    if name.lower() in refused:
        raise refuse(f"{name.lower()} cannot be set")
