"""SPEC §2.4 written out, with the values that ask for nothing where a key is not served yet."""

from __future__ import annotations

__all__ = ["WHOLE", "WHOLE_TOML"]

WHOLE = """\
server:   {host: 127.0.0.1, port: 8066, workers: 1, drain_seconds: 30, max_streams: 0, max_body_mb: 32,
           half_close: false, allowed_hosts: [127.0.0.1, localhost, "[::1]"], trusted_proxies: [],
           cors_origins: [], keepalive_seconds: 15, header_seconds: 10, body_seconds: 60,
           write_seconds: 60}
control:  {host: 127.0.0.1, port: 8067, enabled: true, token: "${STREAMGAUGE_ADMIN_TOKEN:-}",
           allowed_hosts: [127.0.0.1, localhost, "[::1]"]}
upstreams:
  - name: local
    kind: llamacpp
    base_url: http://127.0.0.1:8080
    api_key: ${LOCAL_KEY:-}
    pass_through_auth: false
    headers: {}
    forward_headers: []
    expose: []
    models: ["qwen3-*"]
    messages_api: translate
    transformers: []
    on_disconnect: auto
    drain: {max_seconds: 30, max_tokens: 2000, max_streams: 100}
    inject_usage: true
    running_usage: false
    tls: {ca_file: , client_cert: , client_key: , verify: true}
    timeouts: {connect: 10, first_token: 300, idle: 90, total: 0}
routing:  {models: [], rules: [], scenarios: {}, default: {to: [], strategy: first},
           retries: {max_retry_after: 60, budget_percent: 20, chain_seconds: 30},
           breaker: {failures: 3, open_seconds: 30}}
prices:   []
keys:     {required: auto}
sessions: {supersede: explicit, resume_seconds: 0}
metadata: comment
integrity: ledger
metering: on
ledger:   {url: sqlite:///streamgauge.db, begin: before_upstream, content: false, retention_days: 0,
           spool_mb: 64}
capture:  {dir: , max_mb: 256, days: 7, routes: []}
exporters: {influxdb: , otlp: }
log:      {format: auto, level: info}
"""

WHOLE_TOML = """\
metadata = "comment"
integrity = "ledger"
metering = "on"

[server]
host = "127.0.0.1"
port = 8066
workers = 1
drain_seconds = 30
max_streams = 0
max_body_mb = 32
half_close = false
allowed_hosts = ["127.0.0.1", "localhost", "[::1]"]
trusted_proxies = []
cors_origins = []
keepalive_seconds = 15
header_seconds = 10
body_seconds = 60
write_seconds = 60

[control]
host = "127.0.0.1"
port = 8067
enabled = true
token = "${STREAMGAUGE_ADMIN_TOKEN:-}"
allowed_hosts = ["127.0.0.1", "localhost", "[::1]"]

[[upstreams]]
name = "local"
kind = "llamacpp"
base_url = "http://127.0.0.1:8080"
api_key = "${LOCAL_KEY:-}"
pass_through_auth = false
headers = {}
forward_headers = []
expose = []
models = ["qwen3-*"]
messages_api = "translate"
transformers = []
on_disconnect = "auto"
drain = {max_seconds = 30, max_tokens = 2000, max_streams = 100}
inject_usage = true
running_usage = false
tls = {ca_file = "", client_cert = "", client_key = "", verify = true}
timeouts = {connect = 10, first_token = 300, idle = 90, total = 0}

[routing]
models = []
rules = []
scenarios = {}
default = {to = [], strategy = "first"}
retries = {max_retry_after = 60, budget_percent = 20, chain_seconds = 30}
breaker = {failures = 3, open_seconds = 30}

[keys]
required = "auto"

[sessions]
supersede = "explicit"
resume_seconds = 0

[ledger]
url = "sqlite:///streamgauge.db"
begin = "before_upstream"
content = false
retention_days = 0
spool_mb = 64

[log]
format = "auto"
level = "info"
"""
