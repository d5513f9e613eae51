"""Tables of mistakes with the exact line each of them must give, in YAML and in TOML."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from streamgauge.config import ConfigError, LoadOptions, load

KINDS = "llamacpp, ollama, vllm, openai, openrouter, anthropic, sim"
UPSTREAM = "upstreams:\n- name: a\n  kind: sim\n  base_url: http://127.0.0.1:1\n"
TRANSFORMERS = (
    "system_to_messages, mid_system, strip_attribution, strip_cache_control, max_tokens, sampling, "
    "reasoning, openrouter_prefix, tool_call_repair, markdown_html, num_ctx"
)
CURRENCY = "is required where a rate or fee is not 0; say currency: USD, or whatever it is in"
NUMBER = "must be a decimal number, such as 0.15"

ONE_LINE = [
    ("server: {port: 70000}", "1:10: server.port: must be at most 65535; got 70000"),
    ("server: {port: -1}", "1:10: server.port: must be at least 0; got -1"),
    ("server: {port: 80.5}", "1:10: server.port: must be a whole number"),
    ('server: {port: "80"}', "1:10: server.port: must be a whole number"),
    ("server: {port: true}", "1:10: server.port: must be a whole number"),
    (
        "server: {workers: 2}",
        "1:10: server.workers: must be 1; more workers need PostgreSQL, which is not served yet",
    ),
    ("server: {half_close: yes}", "1:10: server.half_close: must be true or false"),
    ("server: {header_seconds: 0}", "1:10: server.header_seconds: must be more than 0; got 0"),
    ("server: {header_seconds: .inf}", "1:10: server.header_seconds: must be a number of seconds"),
    ("server: {drain_seconds: x}", "1:10: server.drain_seconds: must be a number of seconds"),
    ("server: []", "1:1: server: must be a mapping of keys to values"),
    (
        "server: {host: a b}",
        "1:10: server.host: must be an IP address or a host name, without a port",
    ),
    (
        "server: {allowed_hosts: [a:1]}",
        "1:10: server.allowed_hosts: must be host names or addresses without port, "
        "IPv6 as [::1], or '*'",
    ),
    ("server: {allowed_hosts: a}", "1:10: server.allowed_hosts: must be a list; write [item]"),
    ("server: {max_streams: -1}", "1:10: server.max_streams: must be at least 0; got -1"),
    (
        "server: {max_streems: 5}",
        "1:10: server.max_streems: unknown key; must be one of host, port, workers, "
        "drain_seconds, max_streams, max_body_mb, half_close, allowed_hosts, keepalive_seconds, "
        "header_seconds, body_seconds, write_seconds (did you mean 'max_streams'?)",
    ),
    ("control: {port: 99999}", "1:11: control.port: must be at most 65535; got 99999"),
    (
        "control: {port: 8066}",
        "1:11: control.port: is server.port too; take another one, or 0 for a free one",
    ),
    (
        "server: {port: 8067}",
        "1:10: server.port: is control.port too; take another one, or 0 for a free one",
    ),
    (
        "control: {host: 0.0.0.0}",
        "1:11: control.host: is not loopback, and control.token is empty; "
        "set a token, listen on 127.0.0.1, or give --insecure-no-auth",
    ),
    (
        "control: {token: 12345678}",
        "1:11: control.token: must be text (in quotes if it looks like a number)",
    ),
    ("control: {token: 'a b'}", "1:11: control.token: must be printable ASCII without spaces"),
    (
        "sessions: {supersede: always}",
        "1:12: sessions.supersede: must be one of explicit, session, off; got 'always'",
    ),
    ("keys: {required: maybe}", "1:8: keys.required: must be auto, true or false"),
    ("keys: {required: 1}", "1:8: keys.required: must be auto, true or false"),
    (
        "integrity: row",
        "1:1: integrity: must be one of off, ledger, comment, field; got 'row'",
    ),
    ("capture: {max_mb: 0}", "1:11: capture.max_mb: must be at least 1; got 0"),
    (
        "capture: {routes: ['a[']}",
        "1:20: capture.routes[0]: must be a glob; a [ is not closed",
    ),
    ("exporters: {otlp: x}", "1:13: exporters.otlp: must be a mapping of keys to values"),
    (
        "exporters: {influxdb: {url: http://h}}",
        "1:13: exporters.influxdb: needs database with version 1",
    ),
    (
        "exporters: {influxdb: {url: http://h, version: 2, database: d}}",
        "1:13: exporters.influxdb: needs bucket with version 2",
    ),
    (
        "exporters: {influxdb: {url: 'h:8086', database: d}}",
        "1:24: exporters.influxdb.url: must be an http or https URL with a host, such as "
        "http://127.0.0.1:8086",
    ),
    (
        "exporters: {otlp: {url: http://h, traces: false, metrics: false}}",
        "1:13: exporters.otlp: must have traces or metrics",
    ),
    (
        "exporters: {influxdb: {url: http://h, version: 4, database: d}}",
        "1:39: exporters.influxdb.version: must be one of 1, 2, 3; got 4",
    ),
    ("routing: {rules: [1]}", "1:19: routing.rules[0]: must be a mapping of keys to values"),
    (
        "routing: {default: {to: [x]}}",
        "1:26: routing.default.to[0]: no such upstream; must be empty, as there are no upstreams",
    ),
    (
        "metadata: coment",
        "1:1: metadata: must be one of off, comment, chunk, event, after_done; got 'coment' "
        "(did you mean 'comment'?)",
    ),
    ("metering: perhaps", "1:1: metering: must be on or off"),
    (
        "ledger: {url: postgres://h/d}",
        "1:10: ledger.url: PostgreSQL is not served yet; must be sqlite:///FILE",
    ),
    (
        "ledger: {url: x.db}",
        "1:10: ledger.url: must be sqlite:///FILE, with one more slash for an absolute path",
    ),
    (
        "ledger: {content: true}",
        "1:10: ledger.content: keeping contents is not served yet; must be false",
    ),
    ("ledger: {retention_days: -7}", "1:10: ledger.retention_days: must be at least 0; got -7"),
    ("ledger: {spool_mb: 0}", "1:10: ledger.spool_mb: must be at least 1; got 0"),
    (
        "log: {format: pretti}",
        "1:7: log.format: must be one of auto, logfmt, json, pretty, compact; got 'pretti' "
        "(did you mean 'pretty'?)",
    ),
    ("prices: [{input: x}]", f"1:11: prices[0].input: {NUMBER}; this is none"),
    (
        "prices: [{input: 0.0000000001, currency: USD}]",
        f"1:11: prices[0].input: {NUMBER}; at most 9 decimals are kept exactly",
    ),
    ("prices: [{input: -1, currency: USD}]", "1:11: prices[0].input: must be 0 or more"),
    ("prices: [{model: x}]", "1:10: prices[0].input: is required"),
    (
        "prices: [{input: 1, currency: '€'}]",
        "1:21: prices[0].currency: must be 2 to 8 letters, such as USD, EUR, sat or msat",
    ),
    (
        "prices: [{input: 0, valid_from: soon}]",
        "1:21: prices[0].valid_from: must be a date or time such as 2025-01-31 "
        "or 2025-01-31T12:00:00Z",
    ),
    (
        "prices: [{input: 0, valid_from: '9999-12-31T23:59-12:00'}]",
        "1:21: prices[0].valid_from: must be a date or time such as 2025-01-31 "
        "or 2025-01-31T12:00:00Z",
    ),
    ("prices: [{input: 1}]", f"1:10: prices[0].currency: {CURRENCY}"),
    ("prices: [{input: 0, fee: '0.001'}]", f"1:10: prices[0].currency: {CURRENCY}"),
    ("prices: [{input: 0, currency: , cache_read: 1}]", f"1:21: prices[0].currency: {CURRENCY}"),
    (
        "prices: [{input: 0}, {input: 0, tiers: [{above: 9, input: 1}]}]",
        f"1:22: prices[1].currency: {CURRENCY}",
    ),
    (
        "prices: [{input: 0, service_tiers: [{name: flex, input: 0, output: 1}]}]",
        f"1:10: prices[0].currency: {CURRENCY}",
    ),
]

IN_AN_UPSTREAM = [
    ("name: a/b", "name: must be 1 to 64 letters, digits, '.', '_' or '-'"),
    ("name: .", "name: must not be '.' or '..', which no URL can name; add a letter or a digit"),
    ("name: ..", "name: must not be '.' or '..', which no URL can name; add a letter or a digit"),
    ("name: a b", "name: must be 1 to 64 letters, digits, '.', '_' or '-'"),
    ("name: 5", "name: must be text (in quotes if it looks like a number)"),
    (
        "kind: openrouter2",
        f"kind: must be one of {KINDS}; got 'openrouter2' (did you mean 'openrouter'?)",
    ),
    (
        "base_url: ftp://h",
        "base_url: must be an http or https URL with a host, such as http://127.0.0.1:8080",
    ),
    (
        "base_url: http://u:p@h",
        "base_url: must hold no user name or password; use api_key or headers",
    ),
    ("base_url: http://h/?a=b", "base_url: must hold no query and no fragment"),
    ("base_url: http://h:99999", "base_url: must be a URL such as http://127.0.0.1:8080"),
    ("base_url: http://h/a b", "base_url: must be a URL in ASCII without white space"),
    ("api_key: two words", "api_key: must be printable ASCII without spaces"),
    ("api_key: 1234567890", "api_key: must be text (in quotes if it looks like a number)"),
    ("headers: {Host: x}", "headers: host cannot be set"),
    ("headers: {X-Conversation-Id: x}", "headers: x-conversation-id cannot be set"),
    ("headers: {Content-Type: text/json}", "headers: content-type cannot be set"),
    ("headers: {accept-encoding: gzip}", "headers: accept-encoding cannot be set"),
    ("forward_headers: [Content-Type]", "forward_headers: content-type cannot be set"),
    ("forward_headers: [accept-encoding]", "forward_headers: accept-encoding cannot be set"),
    ("forward_headers: [Idempotency-Key]", "forward_headers: idempotency-key cannot be set"),
    ("headers: {'a b': x}", "headers: a name is no header name"),
    ("headers: {A: x, a: y}", "headers: a stands twice, in different case"),
    (
        "forward_headers: [Authorization]",
        "forward_headers: authorization is never forwarded; see pass_through_auth",
    ),
    ("expose: [/metrics]", "expose[0]: must be one of /, /props, /slots; got '/metrics'"),
    (
        "transformers: [max_tokn]",
        f"transformers[0]: no such transformer; must be one of {TRANSFORMERS} "
        "(did you mean 'max_tokens'?)",
    ),
    (
        "transformers: [{max_tokns: {cap: 1}}]",
        f"transformers[0].max_tokns: unknown key; must be one of {TRANSFORMERS} "
        "(did you mean 'max_tokens'?)",
    ),
    (
        "transformers: [{max_tokens: {cap: many}}]",
        "transformers[0].max_tokens.cap: must be a whole number",
    ),
    ("transformers: [max_tokens]", "transformers[0].max_tokens: needs cap, default or both"),
    (
        "transformers: [{sampling: {temperature: 5}}]",
        "transformers[0].sampling.temperature: must be at most 2; got 5",
    ),
    (
        "transformers: [{sampling: {temprature: 1}}]",
        "transformers[0].sampling.temprature: unknown key; must be one of temperature, top_p, "
        "top_k, seed, presence_penalty, frequency_penalty, stop, drop "
        "(did you mean 'temperature'?)",
    ),
    (
        "transformers: [{sampling: {seed: 1, drop: [seed]}}]",
        "transformers[0].sampling: sets and drops seed; keep one",
    ),
    (
        "transformers: [{reasoning: {effort: hihg}}]",
        "transformers[0].reasoning.effort: must be one of minimal, low, medium, high, xhigh, max; "
        "got 'hihg' (did you mean 'high'?)",
    ),
    (
        "transformers: [{reasoning: {drop: true, budget: 5}}]",
        "transformers[0].reasoning: drop stands alone, without enabled, effort and budget",
    ),
    (
        "transformers: [-sampling]",
        "transformers[0]: only mid_system and strip_attribution are ever on by default; leave it out",
    ),
    (
        "transformers: [{num_ctx: 1, mid_system: true}]",
        "transformers[0]: must be a name, or one name with its parameters",
    ),
    (
        "transformers: [mid_system, -mid_system]",
        "transformers: names mid_system twice; keep one",
    ),
    (
        "on_disconnect: drian",
        "on_disconnect: must be one of auto, cancel, drain; got 'drian' (did you mean 'drain'?)",
    ),
    (
        "inject_usage: forced",
        "inject_usage: must be one of true, false, force; got 'forced' (did you mean 'force'?)",
    ),
    ("tls: {ca_file: /nonexistent}", "tls.ca_file: no such file; must be the path of a PEM file"),
    (
        "tls: {ca: x}",
        "tls.ca: unknown key; must be one of ca_file, client_cert, client_key, verify",
    ),
    ("timeouts: {connect: -1}", "timeouts.connect: must be at least 0; got -1"),
    (
        "timeouts: {conect: 1}",
        "timeouts.conect: unknown key; must be one of connect, first_token, idle, total "
        "(did you mean 'connect'?)",
    ),
]


@pytest.mark.parametrize(("text", "line"), ONE_LINE)
def test_a_mistake_in_yaml_gives_exactly_one_line(
    error_lines: Callable[..., list[str]], text: str, line: str
) -> None:
    assert error_lines(text) == [f"streamgauge.yaml:{line}"]


def test_an_upstream_without_a_name_is_none_to_route_to(
    error_lines: Callable[..., list[str]],
) -> None:
    upstreams = "[{name: a, kind: sim, base_url: http://h}, {kind: sim, base_url: http://i}]"
    told = error_lines(f"{{upstreams: {upstreams}, routing: {{default: {{to: [None]}}}}}}")
    assert told[1].endswith("routing.default.to[0]: no such upstream; must be one of a")


@pytest.mark.parametrize(("setting", "line"), IN_AN_UPSTREAM)
def test_a_mistake_in_an_upstream_gives_exactly_one_line(
    error_lines: Callable[..., list[str]], setting: str, line: str
) -> None:
    key = setting.partition(":")[0]
    rest = [part for part in UPSTREAM.splitlines()[1:] if key not in part.split(":")[0]]
    body = "\n".join(f"  {part.removeprefix('- ').strip()}" for part in rest)
    (shown,) = error_lines(f"upstreams:\n-\n  {setting}\n{body}\n")
    place, _, message = shown.partition(": ")
    assert message == f"upstreams[0].{line}"
    assert place.startswith("streamgauge.yaml:3:")


def test_every_mistake_is_told_at_once_and_in_the_order_of_the_file(
    error_lines: Callable[..., list[str]],
) -> None:
    text = """\
log: {level: INFO}
server:
  port: 70000
  port: 1
upstreams:
  - name: local
    kind: llamacpp
    base_url: http://h
  - name: local
    kind: sim
    headers: {X-A: "${NOPE}"}
routing: {default: {to: [loca]}}
"""
    assert error_lines(text, {"STREAMGAUGE_SERVER__HOST": "a b"}) == [
        "streamgauge.yaml:1:7: log.level: must be one of debug, info, warning, error; got 'INFO' "
        "(did you mean 'info'?)",
        "streamgauge.yaml:3:3: server.port: must be at most 65535; got 70000",
        "streamgauge.yaml:4:3: server.port: duplicate key; it stands at line 3 already",
        "streamgauge.yaml:9:5: upstreams[1].base_url: is required",
        "streamgauge.yaml:9:5: upstreams[1].name: must be unique; upstreams[0] has the same name",
        "streamgauge.yaml:11:15: upstreams[1].headers.X-A: the environment variable NOPE is not "
        "set; set it or write ${NOPE:-default}",
        "streamgauge.yaml:12:26: routing.default.to[0]: no such upstream; must be one of local "
        "(did you mean 'local'?)",
        "environment:STREAMGAUGE_SERVER__HOST: server.host: must be an IP address or a host name, "
        "without a port",
    ]


def test_mistakes_in_toml_stand_at_their_keys_too(error_lines: Callable[..., list[str]]) -> None:
    text = """\
metering = "on"
log.level = "INFO"
[[upstreams]]
name = "a"
kind = "simm"
base_url = "http://127.0.0.1:1/v1/"
  [upstreams.drain]
  max_tokns = 3
[[upstreams]]
"name" = "a"
kind = "sim"
expose = ["/",
   # not this
   "/foo"]
tls = {ca_file = "", verify = 1}
timeouts.connect = -0.5
"""
    assert error_lines(text, name="s.toml") == [
        "s.toml:2:5: log.level: must be one of debug, info, warning, error; got 'INFO' "
        "(did you mean 'info'?)",
        f"s.toml:5:1: upstreams[0].kind: must be one of {KINDS}; got 'simm' (did you mean 'sim'?)",
        "s.toml:8:3: upstreams[0].drain.max_tokns: unknown key; must be one of max_seconds, "
        "max_tokens, max_streams (did you mean 'max_tokens'?)",
        "s.toml:9:3: upstreams[1].base_url: is required",
        "s.toml:10:1: upstreams[1].name: must be unique; upstreams[0] has the same name",
        "s.toml:14:4: upstreams[1].expose[1]: must be one of /, /props, /slots; got '/foo'",
        "s.toml:15:22: upstreams[1].tls.verify: must be true or false",
        "s.toml:16:10: upstreams[1].timeouts.connect: must be at least 0; got -0.5",
    ]


@pytest.mark.parametrize(
    ("name", "text", "line"),
    [
        (
            "s.yaml",
            "a: [1",
            "1:6: configuration: a bracket is open at the end of the file; close it with ']'",
        ),
        (
            "s.yaml",
            "a: {b: ${C}}",
            "1:9: configuration: a ${NAME} between { } or [ ] must stand in quotes",
        ),
        (
            "s.yaml",
            "a: *xy",
            "1:4: configuration: an alias (*name) that no anchor (&name) stands before; "
            "put a glob in quotes",
        ),
        ("s.yaml", "- a", "1:1: configuration: must be a mapping of keys to values"),
        ("s.yaml", "log: {}\n\x07", "2:1: configuration: this character is not allowed in YAML"),
        (
            "s.yaml",
            "log: !x {}",
            "1:6: log: YAML tags are not supported; write the plain value",
        ),
        ("s.toml", "a = ", "1:5: configuration: this is no TOML value; put text in quotes"),
        ("s.toml", "[log]\n[log]", "2:5: configuration: this table was written before; keep one"),
        ("s.toml", 'a = "x', "1:7: configuration: a quote is not closed; close it"),
    ],
)
def test_what_cannot_be_parsed_names_its_place_and_quotes_nothing(
    error_lines: Callable[..., list[str]], name: str, text: str, line: str
) -> None:
    assert error_lines(text, name=name) == [f"{name}:{line}"]


def test_a_recursive_alias_is_a_mistake_and_no_endless_loop(
    error_lines: Callable[..., list[str]],
) -> None:
    lines = error_lines("server: &a\n  host: *a\n")
    assert lines[0] == (
        "streamgauge.yaml:1:9: server.host: an alias that contains itself, or far too many values"
    )


def test_aliases_that_unfold_without_end_are_refused(error_lines: Callable[..., list[str]]) -> None:
    rows = ["a0: &a0 [x, x, x, x, x, x, x, x, x, x]"]
    rows += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]" for n in range(1, 9)]
    assert any("far too many values" in line for line in error_lines("\n".join(rows)))


def test_a_file_that_is_not_there_or_not_text_says_so(
    error_lines: Callable[..., list[str]], tmp_path: Path
) -> None:
    (tmp_path / "folder.yaml").mkdir()
    for name, message in [
        ("no.yaml", "no.yaml: configuration: cannot read no.yaml: No such file or directory"),
        ("folder.yaml", "folder.yaml: configuration: cannot read folder.yaml: Is a directory"),
        ("bytes.yaml", "bytes.yaml:2:3: configuration: is not UTF-8 text"),
    ]:
        if name == "bytes.yaml":
            (tmp_path / name).write_bytes(b"a: 1\nb: \xff\n"[:7] + b"\xff")
        with pytest.raises(ConfigError) as caught:
            load(LoadOptions(config=Path(name), environ={}, cwd=tmp_path))
        assert str(caught.value) == message
