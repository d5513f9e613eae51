"""Builds the TLS side of an upstream: verified, TLS 1.2 or later (FAULTS S7). Knows no socket."""

from __future__ import annotations

import ssl
from dataclasses import dataclass

__all__ = ["TlsSettings", "TlsSettingsError", "tls_context"]


class TlsSettingsError(ValueError):
    """A file that the settings name cannot be used; the message names it, never what it holds."""


@dataclass(frozen=True, slots=True)
class TlsSettings:
    """`upstreams[].tls` (SPEC §2.4). With `ca_file` only its authorities are trusted."""

    ca_file: str | None = None
    client_cert: str | None = None
    client_key: str | None = None
    verify: bool = True


def tls_context(settings: TlsSettings) -> ssl.SSLContext:
    """Return a new client context for `settings`; raises TlsSettingsError.

    Made from the bare class: `ssl.create_default_context` would log session keys
    wherever the environment says SSLKEYLOGFILE.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.set_alpn_protocols(["http/1.1"])
    if settings.verify:
        _load_authorities(context, settings.ca_file)
    else:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    _load_client_certificate(context, settings)
    return context


def _load_authorities(context: ssl.SSLContext, ca_file: str | None) -> None:
    if not ca_file:
        context.load_default_certs(ssl.Purpose.SERVER_AUTH)
        return
    try:
        context.load_verify_locations(cafile=ca_file)
    except OSError as error:
        raise TlsSettingsError(f"ca_file {ca_file!r}: {_reason(error)}") from error


def _load_client_certificate(context: ssl.SSLContext, settings: TlsSettings) -> None:
    if not settings.client_cert:
        if settings.client_key:
            raise TlsSettingsError("client_key without client_cert")
        return
    try:
        context.load_cert_chain(
            settings.client_cert, settings.client_key or None, password=_refuse_password
        )
    except OSError as error:
        name = f"client_cert {settings.client_cert!r}"
        raise TlsSettingsError(f"{name}: {_reason(error)}") from error


def _refuse_password() -> str:
    # Without a call-back OpenSSL asks on the terminal, and a service would hang there.
    raise TlsSettingsError("client_key is encrypted: a key without passphrase is needed")


def _reason(error: OSError) -> str:
    if isinstance(error, ssl.SSLError):
        return error.reason or "no certificate in PEM form"
    return error.strerror or "cannot be read"
