"""Certificates and keys that an upstream's settings name and that hold none. Connects to nothing."""

from __future__ import annotations

from collections.abc import Iterator

from streamgauge.config.load import Loaded
from streamgauge.config.positions import Path, Place
from streamgauge.config.problems import ConfigError, Problem

__all__ = ["check_tls_files"]

_KEYS = {
    "ca_file": "; must be a PEM file of certificates",
    "client_cert": "; must be a PEM file, and client_key its key",
    "client_key": "",
}
"""What is allowed, where the reason does not say it."""


def check_tls_files(loaded: Loaded) -> None:
    """Read the PEM files of all upstreams. Raises ConfigError with a problem for each bad one."""
    if problems := list(_problems(loaded)):
        raise ConfigError(problems)


def _problems(loaded: Loaded) -> Iterator[Problem]:
    for index, upstream in enumerate(loaded.config.upstreams):
        if upstream.origin.scheme != "https" or not any(
            getattr(upstream.tls, key) for key in _KEYS
        ):
            continue
        # Not before: most configurations name no file, and are checked without it.
        from streamgauge.gateway.upstream_tls import TlsSettingsError, tls_context
        from streamgauge.gateway.upstreams import tls_settings

        try:
            tls_context(tls_settings(upstream))
        except TlsSettingsError as error:
            yield _problem(loaded, ("upstreams", index, "tls"), str(error))


def _problem(loaded: Loaded, section: Path, message: str) -> Problem:
    key, _, reason = message.partition(" ")
    path = (*section, key) if key in _KEYS else section
    place = loaded.origins.get(path) or Place.in_file(str(loaded.origin or "configuration"))
    return Problem.at(place, path, reason + _KEYS[key] if key in _KEYS else message)
