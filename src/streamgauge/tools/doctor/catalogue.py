"""Every finding by its id, with its severity and its cure. It measures nothing."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from types import MappingProxyType

__all__ = ["CATALOGUE", "Disease", "Proxy", "Severity", "proxy_of"]


class Severity(StrEnum):
    """`error`: calls fail, or clients are told something wrong. `warning`: they will, or cost more."""

    ERROR = "error"
    WARNING = "warning"


class Proxy(StrEnum):
    """A program between client and gateway, as its answers name it."""

    NGINX = "nginx"
    CADDY = "caddy"
    APACHE = "apache"
    CLOUDFLARE = "cloudflare"


@dataclass(frozen=True, slots=True)
class Disease:
    """One kind of finding. `by_proxy`: the cure where the proxy is known, in its own words."""

    severity: Severity
    cure: str
    by_proxy: Mapping[Proxy, str] = field(default_factory=dict)

    def cure_at(self, proxy: Proxy | None) -> str:
        """Return what to do; where the proxy is not known, what to do at each of those we know."""
        if proxy is not None and proxy in self.by_proxy:
            return self.by_proxy[proxy]
        if not self.by_proxy:
            return self.cure
        each = "; ".join(f"{name}: {cure}" for name, cure in self.by_proxy.items())
        return f"{self.cure} ({each})"


def proxy_of(headers: Mapping[str, str]) -> Proxy | None:
    """Return who says that it stands in front; names in `headers` are lower case."""
    said = f"{headers.get('server', '')} {headers.get('via', '')}".lower()
    if "openresty" in said or "tengine" in said:
        return Proxy.NGINX
    return next((proxy for proxy in Proxy if proxy.value in said), None)


_NGINX, _CADDY, _APACHE, _CLOUDFLARE = Proxy
_ERROR, _WARNING = Severity.ERROR, Severity.WARNING

_UPSTREAM = {
    "upstream_unreachable": Disease(
        _ERROR,
        "Start it, or mend upstreams[].base_url: host, port, and http or https. In a container "
        "127.0.0.1 is the container itself.",
    ),
    "upstream_tls_refused": Disease(
        _ERROR,
        "Let it show a certificate that names this host, has not expired and comes from a known "
        "authority; of one's own, name its PEM file in upstreams[].tls.ca_file. Where it speaks no "
        "TLS, write http:// in base_url. A wrong clock here makes sound certificates unsound.",
    ),
    "upstream_not_an_api": Disease(
        _ERROR,
        "Something else answers there: a login page, a captive portal, a proxy's own page. Mend "
        "upstreams[].base_url (https, host, port, path), or let this machine past that page.",
    ),
    "upstream_path_wrong": Disease(
        _ERROR,
        "Mend the path in upstreams[].base_url: it ends where /v1 begins, or with that /v1.",
    ),
    "upstream_key_refused": Disease(
        _ERROR,
        "Set upstreams[].api_key to a key that this upstream accepts, such as ${NAME}, and start "
        "the gateway where that variable is set.",
    ),
    "models_unlisted": Disease(
        _WARNING,
        "Name what it serves in upstreams[].models: clients that ask for the list get none. Where "
        "it should have one, look whether the path in base_url is right.",
    ),
    "models_unmatched": Disease(
        _WARNING,
        "Mend the globs in upstreams[].models, or load that model there: requests for it are "
        "routed to an upstream that has it not.",
    ),
    "stream_refused": Disease(
        _ERROR,
        "Read its message; name a model that it serves with --model, and look into its log.",
    ),
    "stream_failed": Disease(
        _ERROR, "It broke off with an error in the stream: its log says why, often memory."
    ),
    "not_a_stream": Disease(
        _ERROR,
        "base_url leads to something that does not stream chat completions: another path, a "
        "login page, or a server without streaming.",
    ),
    "not_streaming": Disease(
        _ERROR,
        "It, or a proxy before it, keeps the answer until it is whole. At the server switch fake "
        "streaming off; at the proxy switch buffering off (nginx: proxy_buffering off;).",
    ),
    "stream_unfinished": Disease(
        _ERROR,
        "It loads its model still, is very slow, or has stopped: its log says which. Run this again "
        "when it is loaded, or name a smaller model with --model; keep timeouts.first_token and "
        "timeouts.idle above its pauses.",
    ),
    "end_marker_missing": Disease(
        _ERROR,
        "Its streams end without their end marker, so that a cut cannot be told from an end: "
        "update the server, and look for a proxy before it that cuts.",
    ),
    "usage_missing": Disease(
        _WARNING,
        "Set inject_usage: force, or update the server: without usage tokens are counted by "
        "frames, and input and cost stay unknown.",
    ),
    "context_unknown": Disease(
        _WARNING,
        "Let the gateway read /props or max_model_len of /v1/models (llama.cpp: no --no-slots, and "
        "the right api_key): context_percent stays unknown.",
    ),
    "close_ignored": Disease(
        _ERROR,
        "It generates on when nobody listens. Update the server; send it no X-Conversation-Id by "
        "upstreams[].headers; at a proxy before it (nginx) set proxy_ignore_client_abort off;",
    ),
    "clock_skew": Disease(
        _WARNING,
        "Set the clocks by NTP on both machines: rows, key expiry and prices go by the clock here.",
    ),
}

_WAY = {
    "url_unreachable": Disease(
        _ERROR, "Start the gateway or its proxy, or mend the URL: host, port, http or https."
    ),
    "not_the_gateway": Disease(
        _ERROR,
        "Something else answers there. Let the proxy pass every path to the gateway, unchanged "
        "(nginx: proxy_pass without a path), and name the host in server.allowed_hosts.",
    ),
    "gateway_not_ready": Disease(
        _ERROR, "Cure the reason that /readyz gives; `streamgauge doctor` beside it says more."
    ),
    "key_refused": Disease(
        _ERROR,
        "Give a valid client key with --key or STREAMGAUGE_CLIENT_KEY (`streamgauge keys create`), "
        "and let the proxy pass authorization and x-api-key.",
    ),
    "no_models": Disease(
        _WARNING,
        "The gateway lists no model: see `streamgauge doctor` beside it, or name one with --model.",
    ),
    "host_refused": Disease(
        _ERROR,
        "Name the public host in server.allowed_hosts, or let the proxy send the gateway's own.",
        {
            _NGINX: "proxy_set_header Host $proxy_host;",
            _CADDY: "header_up Host {upstream_hostport}",
        },
    ),
    "body_limit": Disease(
        _ERROR,
        "Raise the limit on request bodies: agents send more than 1 MiB.",
        {
            _NGINX: "client_max_body_size 32m;",
            _CADDY: "request_body { max_size 32MB }",
            _APACHE: "LimitRequestBody 33554432",
        },
    ),
    "stream_not_given": Disease(
        _ERROR, "Read the message; --model names another model, --key a key that may use it."
    ),
    "content_type_changed": Disease(
        _ERROR,
        "Let the proxy pass content-type: text/event-stream: clients read no events without it.",
    ),
    "cache_headers_changed": Disease(
        _WARNING,
        "Let the proxy pass cache-control as it is: without no-store and no-transform the next "
        "hop may keep a stream, replay it, or compress it.",
        {_NGINX: "no expires and no add_header Cache-Control for these paths"},
    ),
    "accel_header_missing": Disease(
        _WARNING,
        "Let the proxy pass X-Accel-Buffering: no: an nginx between it and the client needs it.",
    ),
    "own_headers_missing": Disease(
        _WARNING,
        "Let the proxy pass x-request-id and x-streamgauge-stream-id unchanged: without them a "
        "client cannot name its row, resume or stop a stream.",
        {_NGINX: "no proxy_hide_header, and no add_header X-Request-Id"},
    ),
    "frames_held": Disease(
        _ERROR,
        "Switch response buffering off on the way.",
        {
            _NGINX: "proxy_buffering off; proxy_http_version 1.1; and no proxy_ignore_headers "
            "X-Accel-Buffering",
            _CADDY: "flush_interval -1 in reverse_proxy, and no encode for text/event-stream",
            _APACHE: "flushpackets=on in ProxyPass, and no DEFLATE filter",
            _CLOUDFLARE: "no-transform must reach it; else a record without its proxy",
        },
    ),
    "compressed": Disease(
        _WARNING,
        "Do not compress event streams on the way: compression holds frames back.",
        {
            _NGINX: "gzip off; or no text/event-stream in gzip_types",
            _CADDY: "no encode for text/event-stream",
            _APACHE: "SetEnv no-gzip 1",
        },
    ),
    "comments_stripped": Disease(
        _WARNING,
        "Some hop reads the stream and drops its comments: keep-alives do not arrive either, and "
        "silent streams are cut. Take out what filters bodies.",
    ),
    "stream_cut": Disease(
        _ERROR,
        "Some hop ends streams early. Raise its time-outs on answers.",
        {
            _NGINX: "proxy_read_timeout 600s; proxy_send_timeout 60s;",
            _CADDY: "no response timeout in transport http",
            _APACHE: "ProxyTimeout 600",
        },
    ),
    "keepalive_missing": Disease(
        _WARNING,
        "Keep-alives of the gateway are held or dropped on the way: switch buffering off there, "
        "and keep server.keepalive_seconds below every time-out.",
        {_NGINX: "proxy_buffering off;", _CADDY: "flush_interval -1"},
    ),
    "cancel_not_passed": Disease(
        _ERROR,
        "The proxy reads on when the client has left, and the model works for nobody.",
        {
            _NGINX: "proxy_ignore_client_abort off;",
            _CADDY: "update it: it passes a leaving client on",
        },
    ),
    "stream_unknown": Disease(
        _WARNING,
        "GET /v1/streams/{id} does not find the stream just made: pass /v1/streams/ too, and send "
        "all calls of a client to one gateway, not to several in turn.",
    ),
    "http_1_0": Disease(
        _WARNING,
        "The proxy answers in HTTP/1.0: a cut cannot be told from an end.",
        {_NGINX: 'proxy_http_version 1.1; proxy_set_header Connection "";'},
    ),
    "connection_closed": Disease(
        _WARNING,
        "Each answer closes its connection: every call pays for a new one, with TLS.",
        {_NGINX: 'keepalive_timeout 75s; and no proxy_set_header Connection "close"'},
    ),
}

_HOUSE = {
    "config_warning": Disease(_WARNING, "Mend it in the configuration; see docs/config.md."),
    "ledger_unwritable": Disease(
        _ERROR, "Make the directory, or make it writable for this user, or set ledger.url."
    ),
    "ledger_damaged": Disease(_ERROR, "Do as the message says; a backup is the surest way."),
    "ledger_clock": Disease(
        _WARNING, "Set the clock here by NTP: rows of the ledger are of a later time than now."
    ),
    "spool_waiting": Disease(
        _WARNING,
        "Rows wait beside the ledger. Make the database writable (disk, lock, rights) and start "
        "the gateway: it takes them in by itself.",
    ),
    "disk_low": Disease(
        _WARNING, "Make room on the ledger's disk, or set ledger.retention_days and vacuum."
    ),
    "descriptors_low": Disease(
        _WARNING,
        "Raise the hard limit on descriptors: LimitNOFILE=65536 in the unit, ulimit -n, or "
        "--ulimit nofile. Each stream takes two.",
    ),
}

CATALOGUE: Mapping[str, Disease] = MappingProxyType(_UPSTREAM | _WAY | _HOUSE)
