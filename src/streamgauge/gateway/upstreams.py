"""Upstreams at run time: where to connect, how to call, what was learnt. Knows no stream."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any

from streamgauge.config.transformer_chain import chain_of
from streamgauge.config.upstream import Kind, Upstream
from streamgauge.core.attempt import Attempt, Drain, Limits
from streamgauge.core.pricing import Price
from streamgauge.core.routing.breaker import Breaker
from streamgauge.core.routing.outcome import Outcome
from streamgauge.core.routing.plan import Choice
from streamgauge.gateway.http import Header
from streamgauge.gateway.pool import Target
from streamgauge.gateway.request_headers import Credentials, RequestWriter
from streamgauge.gateway.upstream_tls import TlsSettings, tls_context

__all__ = ["Learnt", "UpstreamRuntime", "none_left", "tls_settings"]

_FileStamp = tuple[int, int, int] | None


@dataclass(slots=True)
class Learnt:
    """What an upstream told of itself, by model; it goes when the upstream is replaced.

    `contexts`: tokens. `slots`: calls that it works on at once. `asked`: monotonic seconds of the
    last question.
    """

    contexts: dict[str | None, int | None] = field(default_factory=dict)
    models: tuple[str, ...] = ()
    slots: int | None = None
    asked: dict[str | None, float] = field(default_factory=dict)


_WEIGHT = 0.2
"""Of the newest call in the mean of response times: some ten calls are remembered."""


class UpstreamRuntime:
    """One configured upstream. `usable` until a probe or a call has failed (SPEC §1.4).

    `in_flight`: attempts that have begun and not ended. `response_seconds`: the moving mean of the
    time to an answer's head, refusals left out, None before the first. `drained`: an admin wants no
    attempt to begin; those that run go on. No file remembers it.
    """

    def __init__(self, config: Upstream) -> None:
        self.config = config
        self.name = config.name
        self.kind = config.kind.value
        self.learnt = Learnt()
        self.breaker = Breaker()
        self._tls_files = _stamps(config)
        origin = config.origin
        tls = tls_context(tls_settings(config)) if origin.scheme == "https" else None
        self.target = Target(
            origin.scheme, origin.host, origin.port, tls, connect_timeout=config.timeouts.connect
        )
        host = f"[{origin.host}]" if ":" in origin.host else origin.host
        default = 443 if origin.scheme == "https" else 80
        self.host = host if origin.port == default else f"{host}:{origin.port}"
        self.secrets = frozenset(config.secrets())
        self.transformers = chain_of(config.kind.value, config.transformers)
        self.refuses_usage = False
        self.refuses_unsigned = False
        self.usable = True
        self.drained = False
        self.last_error: str | None = None
        self.newest_error: str | None = None
        self.drains = 0
        self.longest_wait = 60.0
        self.in_flight = 0
        self.response_seconds: float | None = None
        self._path_prefix = config.path_prefix
        self._writer = _writer_of(config, self.host)
        self._fixed = self._what_is_fixed()

    def __repr__(self) -> str:
        return f"<UpstreamRuntime {self.config.name} {'usable' if self.usable else 'failing'}>"

    def serves(self, config: Upstream) -> bool:
        """Return whether `config` asks for nothing else, its certificate files included."""
        return self.config == config and self._tls_files == _stamps(config)

    def admits(self, now: float) -> bool:
        """Return whether an attempt may begin now."""
        return not self.drained and self.breaker.allows(now)

    def note_call(self, error: str | None) -> None:
        """Remember how the last call or probe went; `error` None: it answered.

        `last_error` is forgotten with that, `newest_error` stays for those who ask what it was.
        """
        self.usable = error is None
        self.last_error = error
        if error is not None:
            self.newest_error = error

    def note_refusal(self, *, unsigned: bool) -> None:
        """Remember what it refuses: reasoning without a signature, else the option for usage."""
        if unsigned:
            self.refuses_unsigned = True
        else:
            self.refuses_usage = True

    def bound(self, failures: int, open_seconds: float, longest_wait: float) -> None:
        """Give the circuit its bounds; where it stands and what was counted remain.

        `longest_wait`: seconds for which a `retry-after` is obeyed at most.
        """
        self.longest_wait = longest_wait
        self.breaker.adjust(failures, open_seconds)

    def began(self, now: float) -> int:
        """Note that an attempt begins; return its ticket for `ended`."""
        self.in_flight += 1
        return self.breaker.began(now)

    def answered(self, seconds: float) -> None:
        """Note how long an attempt waited for the head of an answer that is no refusal."""
        mean = self.response_seconds
        self.response_seconds = seconds if mean is None else mean + _WEIGHT * (seconds - mean)

    def ended(self, outcome: Outcome, ticket: int, now: float) -> None:
        """Note how an attempt ended, exactly once."""
        self.in_flight -= 1
        match outcome:
            case Outcome.GOOD:
                self.breaker.succeeded(now, ticket)
            case Outcome.FAULTY:
                self.breaker.failed(now, ticket)
            case Outcome.SILENT:
                self.breaker.abandoned(now, ticket)

    def attempt(
        self, choice: Choice, price: Price | None, context: Callable[[], int | None]
    ) -> Attempt:
        """Return one try at this upstream for what was decided."""
        return Attempt(
            **self._fixed,
            model=choice.model,
            dialect=choice.dialect,
            price=price,
            refuses_usage=self.refuses_usage,
            refuses_unsigned=self.refuses_unsigned,
            context_total=context,
        )

    def _what_is_fixed(self) -> dict[str, Any]:
        """Return what is the same in all attempts: worked out once, not in each request."""
        c = self.config
        return {
            "upstream": c.name,
            "kind": self.kind,
            "transformers": self.transformers,
            "limits": Limits(c.timeouts.first_token, c.timeouts.idle, c.timeouts.total),
            "drain": Drain(c.drain.max_seconds, c.drain.max_tokens),
            "on_disconnect": c.on_disconnect.value,
            "inject_usage": str(c.inject_usage).lower(),
            "running_usage": c.running_usage,
            "pass_through_auth": c.pass_through_auth,
            "secrets": self.secrets,
        }

    def request(
        self,
        method: str,
        path: str,
        body: bytes = b"",
        *,
        client: tuple[Header, ...] = (),
        idempotency_key: str | None = None,
    ) -> bytes:
        """Return a whole request for `path` (such as `/v1/models`) of this upstream."""
        path = self._path_prefix + path
        return self._writer.request(method, path, body, client, idempotency_key)


def none_left(upstreams: Iterable[UpstreamRuntime]) -> str | None:
    """Return why no upstream can be called; None where one can."""
    drained: list[str] = []
    for upstream in upstreams:
        if upstream.drained:
            drained.append(upstream.name)
        elif upstream.usable:
            return None
    more = f"; drained by an admin: {', '.join(drained)}" if drained else ""
    return f"no upstream is usable{more}"


def _writer_of(config: Upstream, host: str) -> RequestWriter:
    credentials = Credentials(
        key=config.api_key.get_secret_value() if config.api_key else None,
        anthropic=config.kind is Kind.ANTHROPIC,
        pass_through=config.pass_through_auth,
    )
    return RequestWriter(
        host,
        frozenset(name.lower().encode() for name in config.forward_headers),
        {name: value.get_secret_value() for name, value in config.headers.items()},
        credentials,
    )


def tls_settings(config: Upstream) -> TlsSettings:
    """Return the settings of an upstream's connections, as they are configured."""
    tls = config.tls
    return TlsSettings(
        ca_file=tls.ca_file,
        client_cert=tls.client_cert,
        client_key=tls.client_key,
        verify=tls.verify,
    )


def _stamps(config: Upstream) -> tuple[_FileStamp, ...]:
    """Return by what a renewed certificate is known: inode, size and time of each file."""
    tls = config.tls
    return tuple(_stamp(path) for path in (tls.ca_file, tls.client_cert, tls.client_key) if path)


def _stamp(path: str) -> _FileStamp:
    try:
        found = os.stat(path)
    except OSError:
        return None  # that it is missing is said where it is read
    return found.st_ino, found.st_size, found.st_mtime_ns
