"""TLS towards an upstream: verified, never silently less."""

from __future__ import annotations

import asyncio
import socket
import ssl
from pathlib import Path

import pytest
import trustme
from cryptography.hazmat.primitives import serialization

from streamgauge.gateway.http import EndKind, FailKind
from streamgauge.gateway.pool import Target
from streamgauge.gateway.upstream_tls import TlsSettings, TlsSettingsError, tls_context

from .upstream_rig import (
    CHUNKED,
    OK,
    Owner,
    answering,
    both_loops,
    call,
    chunked,
    keeping,
    pool,
    read_request,
    upstream,
)


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    return trustme.CA()


@pytest.fixture
def ca_file(authority: trustme.CA, tmp_path: Path) -> str:
    path = tmp_path / "ca.pem"
    authority.cert_pem.write_to_path(str(path))
    return str(path)


def serving(authority: trustme.CA, name: str = "127.0.0.1") -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert(name).configure_cert(context)
    return context


def client_files(authority: trustme.CA, folder: Path) -> tuple[str, str]:
    issued = authority.issue_cert("gateway.test")
    cert, key = folder / "client.pem", folder / "client.key"
    cert.write_bytes(b"".join(blob.bytes() for blob in issued.cert_chain_pems))
    key.write_bytes(issued.private_key_pem.bytes())
    return str(cert), str(key)


@both_loops
@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
async def test_a_verified_upstream_is_called_and_its_connection_kept(
    authority: trustme.CA, ca_file: str, version: ssl.TLSVersion
) -> None:
    server = serving(authority)
    server.minimum_version = server.maximum_version = version
    context = tls_context(TlsSettings(ca_file=ca_file))
    async with upstream(keeping, server) as up, pool() as opened:
        for _ in range(5):
            owner = await call(opened, up.target(scheme="https", tls=context))
            assert (owner.body, owner.ended) == (b"ok", EndKind.COMPLETE)
        assert up.accepted == 1


@both_loops
@pytest.mark.parametrize(
    ("name", "trusted"), [("127.0.0.1", False), ("other.test", True), ("localhost", True)]
)
async def test_a_certificate_of_another_name_or_authority_is_refused(
    authority: trustme.CA, ca_file: str, name: str, trusted: bool
) -> None:
    context = tls_context(TlsSettings(ca_file=ca_file if trusted else None))
    async with upstream(keeping, serving(authority, name)) as up, pool() as opened:
        owner = await call(opened, up.target(scheme="https", tls=context))
    assert owner.failed == (FailKind.TLS, False)
    assert "certificate" in owner.message


@both_loops
async def test_the_name_in_the_certificate_is_that_of_the_target(
    authority: trustme.CA, ca_file: str
) -> None:
    named: list[str | None] = []
    server = serving(authority, "localhost")
    server.sni_callback = lambda _socket, name, _context: named.append(name)
    context = tls_context(TlsSettings(ca_file=ca_file))
    async with upstream(keeping, server) as up, pool() as opened:
        owner = await call(opened, up.target(scheme="https", host="localhost", tls=context))
    assert (owner.body, named) == (b"ok", ["localhost"])


@both_loops
async def test_verification_is_off_only_when_configured(authority: trustme.CA) -> None:
    context = tls_context(TlsSettings(verify=False))
    async with upstream(keeping, serving(authority, "other.test")) as up, pool() as opened:
        assert (await call(opened, up.target(scheme="https", tls=context))).body == b"ok"


@both_loops
async def test_a_plain_upstream_behind_https_is_a_tls_failure(ca_file: str) -> None:
    async def handler(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(1)
        writer.write(b"HTTP/1.1 400 Plain\r\n\r\n")
        await reader.read()

    context = tls_context(TlsSettings(ca_file=ca_file))
    async with upstream(handler) as up, pool() as opened:
        owner = await call(opened, up.target(scheme="https", tls=context))
    assert owner.failed == (FailKind.TLS, False)


@both_loops
@pytest.mark.parametrize("leave", [False, True])
async def test_a_handshake_that_hangs_ends_at_the_deadline_or_by_close(
    ca_file: str, leave: bool
) -> None:
    begun = asyncio.Event()
    gone = asyncio.Event()

    async def handler(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(1)
        begun.set()
        try:
            await reader.read()
        finally:
            gone.set()

    context = tls_context(TlsSettings(ca_file=ca_file))
    async with upstream(handler) as up, pool() as opened:
        owner = Owner()
        target = up.target(scheme="https", tls=context, connect_timeout=5.0 if leave else 0.2)
        handle = owner.open(opened, target)
        await asyncio.wait_for(begun.wait(), 5)
        if leave:
            handle.close()
        else:
            await asyncio.wait_for(owner.done, 5)
        await asyncio.wait_for(gone.wait(), 5)
    assert owner.failed == (None if leave else (FailKind.CONNECT_TIMEOUT, False))


def demanding(authority: trustme.CA) -> ssl.SSLContext:
    server = serving(authority)
    server.verify_mode = ssl.CERT_REQUIRED
    authority.configure_trust(server)
    return server


@both_loops
async def test_a_client_certificate_is_shown_when_configured(
    authority: trustme.CA, ca_file: str, tmp_path: Path
) -> None:
    cert, key = client_files(authority, tmp_path)
    context = tls_context(TlsSettings(ca_file=ca_file, client_cert=cert, client_key=key))
    async with upstream(keeping, demanding(authority)) as up, pool() as opened:
        owner = await call(opened, up.target(scheme="https", tls=context))
    assert owner.body == b"ok"


@both_loops
async def test_a_refused_client_certificate_is_a_tls_failure(
    authority: trustme.CA, ca_file: str
) -> None:
    # TLS 1.3 refuses after the client's side of the handshake: the alert meets the request.
    listener = socket.create_server(("127.0.0.1", 0))

    def refuse() -> None:
        accepted, _ = listener.accept()
        server = demanding(authority).wrap_socket(
            accepted, server_side=True, do_handshake_on_connect=False
        )
        with server, pytest.raises(ssl.SSLError):
            server.do_handshake()

    context = tls_context(TlsSettings(ca_file=ca_file))
    port = listener.getsockname()[1]
    with listener:
        refusing = asyncio.create_task(asyncio.to_thread(refuse))
        async with pool() as opened:
            owner = await call(opened, Target("https", "127.0.0.1", port, context), b"")
        await refusing
    assert owner.failed is not None
    assert owner.failed[0] is FailKind.TLS
    assert "certificate" in owner.message.lower()


def test_tls_older_than_1_2_and_unverified_names_are_not_accepted() -> None:
    context = tls_context(TlsSettings())
    assert context.minimum_version is ssl.TLSVersion.TLSv1_2
    assert context.verify_mode is ssl.CERT_REQUIRED
    assert context.check_hostname


@both_loops
@pytest.mark.parametrize(("notified", "end"), [(True, EndKind.COMPLETE), (False, EndKind.CUT)])
async def test_only_close_notify_ends_a_close_delimited_body(
    authority: trustme.CA, ca_file: str, notified: bool, end: EndKind
) -> None:
    async def handler(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_request(reader)
        writer.write(OK + b"\r\nuntil the close")
        await writer.drain()
        if not notified:
            writer.transport.abort()

    context = tls_context(TlsSettings(ca_file=ca_file))
    async with upstream(handler, serving(authority)) as up, pool() as opened:
        owner = await call(opened, up.target(scheme="https", tls=context))
    assert (owner.body, owner.ended) == (b"until the close", end)


@both_loops
async def test_a_large_paused_stream_over_tls_arrives_whole(
    authority: trustme.CA, ca_file: str
) -> None:
    chunks = [bytes([number % 251]) * 50_000 for number in range(40)]
    context = tls_context(TlsSettings(ca_file=ca_file))
    handler = answering(CHUNKED, chunked(*chunks), end="hold")
    async with upstream(handler, serving(authority)) as up, pool() as opened:
        owner = Owner()
        handle = owner.open(opened, up.target(scheme="https", tls=context))
        loop = asyncio.get_running_loop()

        def pause() -> None:
            handle.pause()
            loop.call_soon(handle.resume)

        owner.on_data = pause
        await asyncio.wait_for(owner.done, 10)
    assert (owner.body == b"".join(chunks), owner.ended) == (True, EndKind.COMPLETE)


@both_loops
async def test_an_upstream_that_closes_after_each_answer_fails_no_call(
    authority: trustme.CA, ca_file: str
) -> None:
    context = tls_context(TlsSettings(ca_file=ca_file))
    handler = answering(CHUNKED + chunked(b"ok"))
    async with upstream(handler, serving(authority)) as up, pool() as opened:
        for _ in range(30):
            owner = await call(opened, up.target(scheme="https", tls=context))
            assert owner.body == b"ok", owner.message


# ---- settings -------------------------------------------------------------------------


def test_files_that_cannot_be_used_are_named(tmp_path: Path) -> None:
    empty = tmp_path / "empty.pem"
    empty.write_text("no certificate")
    for settings in (
        TlsSettings(ca_file=str(tmp_path / "missing.pem")),
        TlsSettings(ca_file=str(empty)),
        TlsSettings(client_cert=str(empty)),
        TlsSettings(client_key=str(empty)),
    ):
        with pytest.raises(TlsSettingsError):
            tls_context(settings)


def test_an_encrypted_key_is_refused_and_not_asked_for(
    authority: trustme.CA, tmp_path: Path
) -> None:
    cert, key = client_files(authority, tmp_path)
    private = serialization.load_pem_private_key(Path(key).read_bytes(), None)
    locked = private.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.BestAvailableEncryption(b"secret"),
    )
    Path(key).write_bytes(locked)
    with pytest.raises(TlsSettingsError, match="passphrase"):
        tls_context(TlsSettings(client_cert=cert, client_key=key))


def test_session_keys_are_never_logged(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("SSLKEYLOGFILE", str(tmp_path / "keys"))
    assert tls_context(TlsSettings()).keylog_filename is None
