"""Mistakes people make in a configuration file, each with the one line that must come of it.

In the texts here `«` stands before the place that the line must name; the file is without it. Each
file holds CANARY as a key, and as far as its mistake allows a good upstream: no output shows it.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from .routing_mistakes import ROUTING_MISTAKES

__all__ = ["CANARY", "MISTAKES", "Mistake"]

CANARY = "sk-canary-0b1c2d3e4f5a6978"
_KINDS = "llamacpp, ollama, vllm, openai, openrouter, anthropic, sim"
_SERVER = (
    "host, port, workers, drain_seconds, max_streams, max_body_mb, half_close, allowed_hosts, "
    "keepalive_seconds, header_seconds, body_seconds, write_seconds"
)
_TOP = (
    "server, control, upstreams, routing, prices, metadata, integrity, metering, keys, sessions, "
    "ledger, capture, exporters, log"
)


@dataclass(frozen=True, slots=True)
class Mistake:
    """A file with one mistake. `suffix`: yaml or toml. `line` and `column` count from 1.

    `path`: the setting as the line names it. `words`: what follows it, to the end of the line.
    """

    name: str
    suffix: str
    text: str
    line: int
    column: int
    path: str
    words: str

    @property
    def id(self) -> str:
        """Name and format, for a test's id."""
        return f"{self.suffix}: {self.name}"

    def report(self, file: str) -> str:
        """Return the whole line for this text in `file`."""
        return f"{file}:{self.line}:{self.column}: {self.path}: {self.words}"


# Whoever writes files by hand gets both formats wrong in the same ways: a case is a name, the path
# and words expected of either, and how it looks in YAML and in TOML.
_BOTH = (
    (
        "a number out of range",
        "server.port",
        "must be at most 65535; got 70000",
        "server:\n  «port: 70000\n",
        "[server]\n«port = 70000\n",
    ),
    (
        "a number far out of range",
        "capture.max_mb",
        "must be at most 1048576; got 2000000",
        "capture: {«max_mb: 2000000}\n",
        "[capture]\n«max_mb = 2000000\n",
    ),
    (
        "an address where a mapping is due",
        "upstreams[0]",
        "must be a mapping of keys to values",
        f"control: {{token: {CANARY}}}\nupstreams: [«http://h]\n",
        f'upstreams = [«"http://h"]\ncontrol.token = "{CANARY}"\n',
    ),
    (
        "a negative number",
        "server.max_streams",
        "must be at least 0; got -1",
        "server: {«max_streams: -1}\n",
        "server.«max_streams = -1\n",
    ),
    (
        "a number in quotes",
        "server.port",
        "must be a whole number",
        'server: {«port: "8066"}\n',
        '[server]\n«port = "8066"\n',
    ),
    (
        "a number with a unit",
        "server.drain_seconds",
        "must be a number of seconds",
        "server: {«drain_seconds: 30s}\n",
        'server = {«drain_seconds = "30s"}\n',
    ),
    (
        "zero where there must be some",
        "server.header_seconds",
        "must be more than 0; got 0",
        "server:\n  # none\n  «header_seconds: 0\n",
        "[server]\n# none\n«header_seconds = 0\n",
    ),
    (
        "a switch that is a word",
        "server.half_close",
        "must be true or false",
        "server: {«half_close: yes}\n",
        'server.«half_close = "yes"\n',
    ),
    (
        "more workers than are served",
        "server.workers",
        "must be 1; more workers need PostgreSQL, which is not served yet",
        "server: {«workers: 4}\n",
        "server.«workers = 4\n",
    ),
    (
        "a mistyped section",
        "severs",
        f"unknown key; must be one of {_TOP} (did you mean 'server'?)",
        "«severs: {port: 1}\n",
        "[«severs]\nport = 1\n",
    ),
    (
        "a mistyped key",
        "server.prot",
        f"unknown key; must be one of {_SERVER} (did you mean 'port'?)",
        "server: {«prot: 1}\n",
        "[server]\n«prot = 1\n",
    ),
    (
        "a mistyped word",
        "metadata",
        "must be one of off, comment, chunk, event, after_done; got 'coment' "
        "(did you mean 'comment'?)",
        "«metadata: coment\n",
        '«metadata = "coment"\n',
    ),
    (
        "a mistyped kind",
        "upstreams[1].kind",
        f"must be one of {_KINDS}; got 'openrouter2' (did you mean 'openrouter'?)",
        "upstreams:\n- {name: a, kind: sim, base_url: http://h}\n- name: b\n  «kind: openrouter2\n"
        f"  base_url: http://h\n  api_key: {CANARY}\n",
        '[[upstreams]]\nname = "a"\nkind = "sim"\nbase_url = "http://h"\n'
        f'[[upstreams]]\nname = "b"\napi_key = "{CANARY}"\n«kind = "openrouter2"\n'
        'base_url = "http://h"\n',
    ),
    (
        "a key where a word is due",
        "log.level",
        "must be one of debug, info, warning, error",
        f"log:\n  «level: {CANARY}\n",
        f'[log]\n«level = "{CANARY}"\n',
    ),
    (
        "a setting that is missing",
        "upstreams[0].base_url",
        "is required",
        f"upstreams:\n- «name: a\n  kind: sim\n  api_key: {CANARY}\n",
        f'[[«upstreams]]\nname = "a"\nkind = "sim"\napi_key = "{CANARY}"\n',
    ),
    (
        "two upstreams of one name",
        "upstreams[1].name",
        "must be unique; upstreams[0] has the same name",
        f"upstreams:\n- {{name: a, kind: sim, base_url: http://h, api_key: {CANARY}}}\n"
        "- {«name: a, kind: sim, base_url: http://i}\n",
        f'[[upstreams]]\nname = "a"\nkind = "sim"\nbase_url = "http://h"\napi_key = "{CANARY}"\n'
        '[[upstreams]]\n«name = "a"\nkind = "sim"\nbase_url = "http://i"\n',
    ),
    (
        "an address without a scheme",
        "upstreams[0].base_url",
        "must be an http or https URL with a host, such as http://127.0.0.1:8080",
        f"upstreams:\n- name: a\n  kind: sim\n  «base_url: 127.0.0.1:8080\n  api_key: {CANARY}\n",
        f'[[upstreams]]\nname = "a"\nkind = "sim"\napi_key = "{CANARY}"\n«base_url = "localhost"\n',
    ),
    (
        "an endpoint for an address",
        "upstreams[0].base_url",
        "is a base to which paths are added: leave /chat/completions at its end out",
        f"upstreams:\n- name: a\n  kind: vllm\n  «base_url: http://h/v1/chat/completions/\n"
        f"  api_key: {CANARY}\n",
        f'[[upstreams]]\nname = "a"\nkind = "sim"\napi_key = "{CANARY}"\n'
        '«base_url = "http://h/chat/completions"\n',
    ),
    (
        "a key file without its folder",
        "upstreams[0].api_key",
        "names no file; write file:/path, such as file:/run/secrets/key",
        f"upstreams:\n- {{name: a, kind: sim, base_url: http://h, «api_key: file:{CANARY}}}\n",
        f'[[upstreams]]\nname = "a"\nkind = "sim"\nbase_url = "http://h"\n«api_key = "file:~/{CANARY}"\n',
    ),
    (
        "a password in an address",
        "upstreams[0].base_url",
        "must hold no user name or password; use api_key or headers",
        f"upstreams:\n- {{name: a, kind: sim, «base_url: 'http://u:{CANARY}@h'}}\n",
        f'[[upstreams]]\nname = "a"\nkind = "sim"\n«base_url = "http://u:{CANARY}@h"\n',
    ),
    (
        "a key of two words",
        "upstreams[0].api_key",
        "must be printable ASCII without spaces",
        f"upstreams:\n- {{name: a, kind: sim, base_url: http://h, «api_key: Bearer {CANARY}}}\n",
        f'[[upstreams]]\nname = "a"\nkind = "sim"\nbase_url = "http://h"\n«api_key = "Bearer {CANARY}"\n',
    ),
    (
        "a header that is ours to set",
        "upstreams[0].headers",
        "host cannot be set",
        f"upstreams:\n- name: a\n  kind: sim\n  base_url: http://h\n  «headers: {{Host: {CANARY}}}\n",
        f'[[upstreams]]\nname = "a"\nkind = "sim"\nbase_url = "http://h"\n«headers.Host = "{CANARY}"\n',
    ),
    (
        "a variable that is not set",
        "control.token",
        "the environment variable NO_SUCH_TOKEN is not set; "
        "set it or write ${NO_SUCH_TOKEN:-default}",
        "control: {«token: '${NO_SUCH_TOKEN}'}\n",
        '[control]\n«token = "${NO_SUCH_TOKEN}"\n',
    ),
    (
        "half a variable",
        "upstreams[0].api_key",
        "'${' begins no ${NAME} or ${NAME:-default}; write $${ for the text ${",
        f"upstreams:\n- {{name: a, kind: sim, base_url: http://h, «api_key: '${{{CANARY}'}}\n",
        f'[[upstreams]]\nname = "a"\nkind = "sim"\nbase_url = "http://h"\n«api_key = "${{{CANARY}"\n',
    ),
    (
        "a file that is not there",
        "control.token",
        "cannot read the file named by file:; No such file or directory",
        "control: {«token: file:/nonexistent/token}\n",
        '[control]\n«token = "file:/nonexistent/token"\n',
    ),
    (
        "a certificate that is not there",
        "upstreams[0].tls.ca_file",
        "no such file; must be the path of a PEM file",
        f"upstreams:\n- name: a\n  kind: sim\n  base_url: https://h\n  api_key: {CANARY}\n"
        "  tls:\n    «ca_file: /nonexistent/ca.pem\n",
        f'[[upstreams]]\nname = "a"\nkind = "sim"\nbase_url = "https://h"\napi_key = "{CANARY}"\n'
        'tls.«ca_file = "/nonexistent/ca.pem"\n',
    ),
    (
        "a route to nobody",
        "routing.default.to[0]",
        "no such upstream; must be one of good (did you mean 'good'?)",
        "routing: {default: {to: [«goood]}}\n",
        'routing.default.to = [\n  «"goood",\n]\n',
    ),
    (
        "a price that is no number",
        "prices[0].output",
        "must be a decimal number, such as 0.15; this is none",
        "prices:\n- input: 0.15\n  currency: USD\n  «output: $0.60\n",
        'prices = [{input = 0.15, currency = "USD", «output = "$0.60"}]\n',
    ),
    (
        "a price finer than can be kept",
        "prices[0].input",
        "must be a decimal number, such as 0.15; at most 9 decimals are kept exactly",
        "prices:\n- «input: 0.0000000001\n  currency: USD\n",
        'prices = [{«input = 0.0000000001, currency = "USD"}]\n',
    ),
    (
        "a price without a currency",
        "prices[1].currency",
        "is required where a rate or fee is not 0; say currency: USD, or whatever it is in",
        "prices:\n- {model: own, input: 0, output: 0}\n- «model: dear\n  input: 0.15\n  output: 0.60\n",
        '[[prices]]\nmodel = "own"\ninput = 0\noutput = 0\n'
        '[[«prices]]\nmodel = "dear"\ninput = 0.15\noutput = 0.60\n',
    ),
    (
        "a date that is none",
        "prices[0].valid_from",
        "must be a date or time such as 2025-01-31 or 2025-01-31T12:00:00Z",
        "prices:\n- {input: 1, currency: USD, «valid_from: 31.1.2025}\n",
        'prices = [{input = 1, currency = "USD", «valid_from = "31.1.2025"}]\n',
    ),
    (
        "a ledger that is no URL",
        "ledger.url",
        "must be sqlite:///FILE, with one more slash for an absolute path",
        "ledger: {«url: streamgauge.db}\n",
        'ledger.«url = "streamgauge.db"\n',
    ),
    (
        "a ledger that is not served",
        "ledger.url",
        "PostgreSQL is not served yet; must be sqlite:///FILE",
        f"ledger: {{«url: 'postgresql://u:{CANARY}@h/d'}}\n",
        f'ledger.«url = "postgresql://u:{CANARY}@h/d"\n',
    ),
    (
        "no spool",
        "ledger.spool_mb",
        "must be at least 1; got 0",
        "ledger: {«spool_mb: 0}\n",
        "ledger.«spool_mb = 0\n",
    ),
    (
        "a data listener for everybody",
        "server.host",
        "is not loopback, and keys.required is false; "
        "leave that out, listen on 127.0.0.1, or give --insecure-no-auth",
        "server: {«host: 0.0.0.0}\nkeys: {required: false}\n",
        '[server]\n«host = "0.0.0.0"\n[keys]\nrequired = false\n',
    ),
    (
        "a rule about keys that is none",
        "keys.required",
        "must be auto, true or false",
        "keys: {«required: always}\n",
        '[keys]\n«required = "always"\n',
    ),
    (
        "a control listener for everybody",
        "control.host",
        "is not loopback, and control.token is empty; "
        "set a token, listen on 127.0.0.1, or give --insecure-no-auth",
        'control: {«host: "::", token: ""}\n',
        '[control]\n«host = "::"\ntoken = ""\n',
    ),
    (
        "a host with a port",
        "server.allowed_hosts",
        "must be host names or addresses without port, IPv6 as [::1], or '*'",
        'server: {«allowed_hosts: ["localhost:8066"]}\n',
        'server.«allowed_hosts = ["localhost:8066"]\n',
    ),
    (
        "both listeners on one port",
        "control.port",
        "is server.port too; take another one, or 0 for a free one",
        "server: {port: 9000}\ncontrol: {«port: 9000}\n",
        "[server]\nport = 9000\n[control]\n«port = 9000\n",
    ),
    (
        "one value where a list is due",
        "server.allowed_hosts",
        "must be a list; write [item]",
        "server: {«allowed_hosts: localhost}\n",
        'server.«allowed_hosts = "localhost"\n',
    ),
    (
        "one upstream where a list is due",
        "upstreams",
        "must be a list; write '- ' before each item, in TOML [[name]]",
        f"«upstreams:\n  name: a\n  kind: sim\n  base_url: http://h\n  api_key: {CANARY}\n",
        f'[«upstreams]\nname = "a"\nkind = "sim"\nbase_url = "http://h"\napi_key = "{CANARY}"\n',
    ),
    (
        "what is not served yet",
        "server.cors_origins",
        "not served yet in this release; leave it out",
        "server: {«cors_origins: [x]}\n",
        'server.«cors_origins = ["x"]\n',
    ),
    (
        "a word that is none of a setting's",
        "integrity",
        "must be one of off, ledger, comment, field; got 'row'",
        "«integrity: row\n",
        '«integrity = "row"\n',
    ),
)

_YAML_ONLY = (
    (
        "a key without a space behind its colon",
        "server",
        "must be a mapping of keys to values; write a space behind the colon",
        "«server:\n  port:8066\n",
    ),
    (
        "a setting written twice",
        "server.port",
        "duplicate key; it stands at line 2 already",
        "server:\n  port: 8066\n  «port: 8067\n",
    ),
    (
        "indented with a tab",
        "configuration",
        "a tab cannot stand here; indent with spaces",
        "server:\n«\tport: 8066\n",
    ),
    (
        "indented unevenly",
        "configuration",
        "this line stands further left or right than its neighbours; give them the same indent",
        "server:\n  port: 8066\n «host: 127.0.0.1\n",
    ),
    (
        "a colon in a text",
        "configuration",
        "there is one ': ' too many, or the line above is not complete; "
        "put text that holds ': ' in quotes",
        "ledger:\n  url: sqlite«: x\n",
    ),
    (
        "a quote left open",
        "configuration",
        "a quote is open at the end of the file; close it",
        f"upstreams:\n- name: a\n  api_key: '{CANARY}\n«",
    ),
    (
        "a bracket too many",
        "configuration",
        "there is one '}' too many; take it out",
        "log: {level: info}«}\n",
    ),
    (
        "a variable without quotes between braces",
        "configuration",
        "a ${NAME} between { } or [ ] must stand in quotes",
        "log: {level: $«{LEVEL}}\n",
    ),
    (
        "a file cut short",
        "configuration",
        "a bracket is open at the end of the file; close it with '}'",
        f"upstreams:\n- {{name: a, kind: sim, api_key: {CANARY}«",
    ),
    (
        "a glob without quotes that begins with a star",
        "configuration",
        "an alias (*name) that no anchor (&name) stands before; put a glob in quotes",
        "routing:\n  models:\n  - match: «*haiku*\n",
    ),
    (
        "a star alone without quotes",
        "configuration",
        "a text cannot begin with '*' or '&'; put it in quotes",
        "routing:\n  models:\n  - match: *«\n",
    ),
    (
        "a question mark alone without quotes",
        "configuration",
        "a text cannot begin with '? '; put it in quotes",
        "routing:\n  models:\n  - match: «?\n",
    ),
    (
        "text behind a quoted one",
        "configuration",
        "this text belongs to nothing before it; "
        "put the whole value in one pair of quotes, or give it its neighbours' indent",
        f"upstreams:\n- name: a\n  api_key: 'it'«{CANARY}'\n",
    ),
    (
        "a list on its key's line",
        "configuration",
        "a list cannot begin here; write it on lines below",
        "upstreams: «- name: a\n",
    ),
    (
        "TOML under a name of YAML",
        "configuration",
        "what stands before this is whole already; write key: value in each line, "
        "and for TOML end the file's name in .toml",
        "[server]\n«port = 8066\n",
    ),
    (
        "a list at the top",
        "configuration",
        "must be a mapping of keys to values",
        f"«- name: a\n  kind: sim\n  api_key: {CANARY}\n",
    ),
)

_TOML_ONLY = (
    (
        "a text without quotes",
        "configuration",
        "this is no TOML value; put text in quotes",
        "[server]\nhost = «localhost\n",
    ),
    (
        "a table written twice",
        "configuration",
        "this table was written before; keep one",
        "[server]\nport = 8066\n[log]\n[server«]\n",
    ),
    (
        "a key written twice",
        "configuration",
        "duplicate key; keep one",
        "[server]\nport = 8066\nport = 8067«\n",
    ),
    (
        "a line without an equals sign",
        "configuration",
        "there must be '=' behind the key; write key = value",
        "server«: {port: 8066}\n",
    ),
    (
        "a quote left open",
        "configuration",
        "a quote is not closed; close it",
        f'[[upstreams]]\nname = "a"\napi_key = "{CANARY}«\n',
    ),
    (
        "two settings on a line",
        "configuration",
        "the value ended before this; put text in quotes, and one setting on a line",
        "[server]\nport = 8066 «host = 'localhost'\n",
    ),
)

_GOOD = {
    "yaml": f"upstreams:\n- {{name: good, kind: sim, base_url: 'http://127.0.0.1:1', api_key: {CANARY}}}\n",
    "toml": '[[upstreams]]\nname = "good"\nkind = "sim"\nbase_url = "http://127.0.0.1:1"\n'
    f'api_key = "{CANARY}"\n',
}


def _mistake(name: str, suffix: str, path: str, words: str, marked: str) -> Mistake:
    marked = re.sub(r"\bCANARY\b", CANARY, marked)
    before = marked[: marked.index("«")]
    line, column = before.count("\n") + 1, len(before) - before.rfind("\n")
    text = marked.replace("«", "")
    if CANARY not in text:
        text += _GOOD[suffix]
    return Mistake(name, suffix, text, line, column, path, words)


_ALL = (*_BOTH, *ROUTING_MISTAKES)
MISTAKES = (
    *(_mistake(name, "yaml", path, words, yaml) for name, path, words, yaml, _ in _ALL),
    *(_mistake(name, "toml", path, words, toml) for name, path, words, _, toml in _ALL),
    *(_mistake(name, "yaml", path, words, yaml) for name, path, words, yaml in _YAML_ONLY),
    *(_mistake(name, "toml", path, words, toml) for name, path, words, toml in _TOML_ONLY),
)
