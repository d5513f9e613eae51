"""What is found, merged and expanded, and what comes out of it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from streamgauge.config import Config, ConfigError, Flag, Kind, Loaded, LoadOptions, Upstream, load
from streamgauge.config.schema import Begin, LogFormat, LogLevel, Metadata

from .whole import WHOLE, WHOLE_TOML


def test_every_key_is_accepted_with_the_value_that_asks_for_nothing(
    load_text: Callable[..., Loaded],
) -> None:
    yaml, toml = load_text(WHOLE), load_text(WHOLE_TOML, name="s.toml")
    assert yaml.config == toml.config
    assert yaml.version == toml.version
    assert yaml.config == Config(upstreams=yaml.config.upstreams)
    (upstream,) = yaml.config.upstreams
    named = Upstream(name="local", kind=Kind.LLAMACPP, base_url="http://127.0.0.1:8080")
    assert upstream == named.model_copy(update={"models": ("qwen3-*",)})


def test_an_empty_file_has_safe_defaults(load_text: Callable[..., Loaded]) -> None:
    config = load_text("").config
    assert config == Config()
    assert (config.server.host, config.server.port) == ("127.0.0.1", 8066)
    assert (config.control.host, config.control.port) == ("127.0.0.1", 8067)
    assert (config.control.enabled, config.control.token) == (True, None)
    assert (config.server.max_streams, config.ledger.retention_days) == (0, 0)
    assert config.ledger.spool_mb == 64
    assert config.metadata is Metadata.COMMENT
    assert config.metering is True
    assert config.ledger.path == "streamgauge.db"
    assert config.ledger.begin is Begin.BEFORE_UPSTREAM
    assert (config.log.format, config.log.level) == (LogFormat.AUTO, LogLevel.INFO)
    assert config.default_upstream is None


def test_yaml_and_toml_say_the_same(load_text: Callable[..., Loaded]) -> None:
    yaml = load_text(
        "server: {port: 1}\nupstreams:\n- {name: a, kind: vllm, base_url: 'http://h', "
        "timeouts: {connect: 0.5}}\nprices: [{input: 0.1, currency: usd, valid_from: 2025-01-01}]\nmetadata: off\n"
    )
    toml = load_text(
        'metadata = "off"\nserver.port = 1\n[[upstreams]]\nname = "a"\nkind = "vllm"\n'
        'base_url = "http://h"\ntimeouts.connect = 0.5\n'
        '[[prices]]\ninput = 0.1\ncurrency = "USD"\nvalid_from = 2025-01-01\n',
        name="s.toml",
    )
    assert yaml.config == toml.config
    assert yaml.version == toml.version
    assert yaml.config.prices[0].input == 100_000_000
    assert yaml.config.prices[0].valid_from == 1_735_689_600_000_000


def test_switches_may_be_written_as_words_or_booleans(load_text: Callable[..., Loaded]) -> None:
    assert load_text("metering: off\nmetadata: off").config.metering is False
    toml = load_text("metering = false\nmetadata = false\n", name="s.toml").config
    assert (toml.metering, toml.metadata) == (False, Metadata.OFF)


@pytest.mark.parametrize(
    ("url", "origin", "prefix"),
    [
        ("http://127.0.0.1:8080", ("http", "127.0.0.1", 8080), ""),
        ("http://127.0.0.1:8080/", ("http", "127.0.0.1", 8080), ""),
        ("http://127.0.0.1:8080/v1", ("http", "127.0.0.1", 8080), ""),
        ("http://127.0.0.1:8080/v1/", ("http", "127.0.0.1", 8080), ""),
        ("https://openrouter.ai/api/v1", ("https", "openrouter.ai", 443), "/api"),
        ("https://openrouter.ai/api", ("https", "openrouter.ai", 443), "/api"),
        ("http://[::1]/x/v1x", ("http", "::1", 80), "/x/v1x"),
    ],
)
def test_a_base_url_is_the_same_with_and_without_v1(
    load_text: Callable[..., Loaded], url: str, origin: tuple[str, str, int], prefix: str
) -> None:
    text = f"upstreams: [{{name: a, kind: openai, base_url: '{url}'}}]"
    upstream = load_text(text).config.upstreams[0]
    assert upstream.origin == origin
    assert upstream.path_prefix == prefix


def test_variables_feed_text_numbers_and_switches(load_text: Callable[..., Loaded]) -> None:
    text = """\
server: {port: "${PORT}", half_close: "${HALF}", header_seconds: "${S:-2.5}", host: "${HOST:-::1}"}
upstreams:
- {name: a, kind: "${KIND}", base_url: "http://h:${PORT}", api_key: "${KEY}",
   inject_usage: "${INJECT:-false}"}
prices: [{input: "${RATE}", currency: "${UNIT}"}]
"""
    environ = {
        "PORT": "99",
        "HALF": "true",
        "KIND": "sim",
        "KEY": "12345678",
        "RATE": "0.5",
        "UNIT": "sat",
    }
    config = load_text(text, environ).config
    assert (config.server.port, config.server.half_close) == (99, True)
    assert (config.server.header_seconds, config.server.host) == (2.5, "::1")
    upstream = config.upstreams[0]
    assert (upstream.kind, upstream.origin.port, upstream.inject_usage) == (Kind.SIM, 99, False)
    assert upstream.secrets() == {"12345678"}
    assert (config.prices[0].input, config.prices[0].currency) == (500_000_000, "sat")


def test_variables_and_files_feed_toml_as_they_feed_yaml(
    load_text: Callable[..., Loaded], tmp_path: Path
) -> None:
    (tmp_path / "token").write_text("token-of-the-file\n")
    texts = {
        "s.yaml": "server: {port: '${PORT}', half_close: '${HALF:-true}'}\n"
        f"control: {{token: 'file:{tmp_path}/token'}}\nupstreams:\n"
        "- {name: a, kind: '${KIND}', base_url: 'http://h:${PORT}', headers: {X: 'Bearer ${KEY}'}}",
        "s.toml": f'server.port = "${{PORT}}"\nserver.half_close = "${{HALF:-true}}"\n'
        f'control.token = "file:{tmp_path}/token"\n[[upstreams]]\nname = "a"\nkind = "${{KIND}}"\n'
        'base_url = "http://h:${PORT}"\nheaders = {X = "Bearer ${KEY}"}',
    }
    environ = {"PORT": "99", "KIND": "vllm", "KEY": "key-of-the-environment"}
    yaml, toml = (load_text(text, environ, name=name) for name, text in texts.items())
    assert yaml.config == toml.config
    assert (yaml.config.server.port, yaml.config.server.half_close) == (99, True)
    assert yaml.config.secrets() == {
        "token-of-the-file",
        "Bearer key-of-the-environment",
        "key-of-the-environment",
    }
    assert yaml.warnings == toml.warnings == []


@pytest.mark.parametrize(
    ("written", "read"),
    [
        ("a${X}b", "axb"),
        ("${X}${X}", "xx"),
        ("${EMPTY:-d}", "d"),
        ("${EMPTY}y", "y"),
        ("${NO:-a b}", "a b"),
        ("$${X}", "${X}"),
        ("$X $", "$X $"),
    ],
)
def test_variables_are_expanded_anywhere_in_a_text(
    load_text: Callable[..., Loaded], written: str, read: str
) -> None:
    text = f"upstreams: [{{name: a, kind: sim, base_url: 'http://h', models: ['{written}']}}]"
    config = load_text(text, {"X": "x", "EMPTY": ""}).config
    assert config.upstreams[0].models == (read,)


def test_what_a_variable_holds_is_not_expanded_again(load_text: Callable[..., Loaded]) -> None:
    text = "upstreams: [{name: a, kind: sim, base_url: 'http://h', models: ['${X}']}]"
    config = load_text(text, {"X": "${Y} file:/etc/nothing"}).config
    assert config.upstreams[0].models == ("${Y} file:/etc/nothing",)


def test_a_file_feeds_a_value_whole_or_in_part(
    load_text: Callable[..., Loaded], tmp_path: Path
) -> None:
    (tmp_path / "key").write_text("from-the-file\n")
    text = f"""\
upstreams:
- name: a
  kind: sim
  base_url: http://h
  api_key: file:{tmp_path}/key
  headers: {{X-Auth: "Bearer file:{tmp_path}/key", X-Url: "http://h/file:/x"}}
"""
    upstream = load_text(text).config.upstreams[0]
    assert upstream.api_key is not None
    assert upstream.api_key.get_secret_value() == "from-the-file"
    assert upstream.headers["X-Auth"].get_secret_value() == "Bearer from-the-file"
    assert upstream.headers["X-Url"].get_secret_value() == "http://h/file:/x"
    assert {"from-the-file", "Bearer from-the-file"} <= upstream.secrets()


def test_a_file_that_cannot_be_read_is_an_error_at_its_place(
    error_lines: Callable[..., list[str]],
) -> None:
    text = "upstreams:\n- name: a\n  kind: sim\n  base_url: http://h\n  api_key: file:/nonexistent"
    assert error_lines(text) == [
        "streamgauge.yaml:5:3: upstreams[0].api_key: "
        "cannot read the file named by file:; No such file or directory"
    ]


def test_a_literal_key_is_warned_of_and_not_shown(load_text: Callable[..., Loaded]) -> None:
    text = """\
upstreams:
- {name: a, kind: sim, base_url: "http://h", api_key: sk-literal-canary}
- {name: b, kind: sim, base_url: "http://h", api_key: "${K}", headers: {x-api-key: canary}}
- {name: c, kind: sim, base_url: "http://h", api_key: "${NO:-canary}", headers: {X-Team: red}}
"""
    words = "a key stands here as text; write ${NAME} or file:/path"
    assert load_text(text, {"K": "fine"}).warnings == [
        f"streamgauge.yaml:2:46: upstreams[0].api_key: {words}",
        f"streamgauge.yaml:3:73: upstreams[1].headers.x-api-key: {words}",
        f"streamgauge.yaml:4:46: upstreams[2].api_key: {words}",
    ]


def test_an_override_is_taken_as_it_is_but_for_a_file(
    load_text: Callable[..., Loaded], tmp_path: Path
) -> None:
    (tmp_path / "key").write_text("from-the-file")
    text = "upstreams: [{name: a, kind: sim, base_url: 'http://h', headers: {}}]"
    environ = {
        "STREAMGAUGE_UPSTREAMS__0__API_KEY": "pa${NO}ss$${word",
        "STREAMGAUGE_UPSTREAMS__0__HEADERS__X": f"file:{tmp_path}/key",
    }
    assert load_text(text, environ).config.secrets() == {"pa${NO}ss$${word", "from-the-file"}


def test_variables_override_the_file_and_flags_override_both(
    load_text: Callable[..., Loaded],
) -> None:
    environ = {
        "STREAMGAUGE_SERVER__PORT": "2",
        "STREAMGAUGE_SERVER__MAX_BODY_MB": "3",
        "STREAMGAUGE_UPSTREAMS__0__API_KEY": "from-environment",
        "STREAMGAUGE_UPSTREAMS__1": '{"name": "b", "kind": "sim", "base_url": "http://b"}',
        "STREAMGAUGE_METADATA": "off",
        "STREAMGAUGE_METERING": "false",
        "STREAMGAUGE_SOMETHING": "not ours to judge",
        "STREAMGAUGE_SERVER__MAX_STREAMS": "0",
    }
    text = "server: {port: 1}\nupstreams: [{name: a, kind: sim, base_url: 'http://h'}]"
    flags = (Flag("--port", ("server", "port"), 0),)
    config = load_text(text, environ, flags=flags).config
    assert (config.server.port, config.server.max_body_mb) == (0, 3)
    assert [upstream.name for upstream in config.upstreams] == ["a", "b"]
    assert config.secrets() == {"from-environment"}
    assert (config.metadata, config.metering) == (Metadata.OFF, False)
    assert load_text(text, environ).config.server.port == 2


def test_variables_may_name_more_than_ten_items_of_a_list(
    load_text: Callable[..., Loaded],
) -> None:
    variables = {
        f"STREAMGAUGE_UPSTREAMS__{n}__{key}": value
        for n in range(12)
        for key, value in (("NAME", f"u{n}"), ("KIND", "sim"), ("BASE_URL", "http://h"))
    }
    upstreams = load_text("", variables).config.upstreams
    assert [upstream.name for upstream in upstreams] == [f"u{n}" for n in range(12)]


@pytest.mark.parametrize(
    ("name", "value", "line"),
    [
        ("STREAMGAUGE_SERVER__PORT", "x", "server.port: must be a whole number"),
        ("STREAMGAUGE_SEVER__PORT", "1", "sever.port: no such section of the configuration "
         "(did you mean 'server'?)"),
        ("STREAMGAUGE_UPSTREAMS__4__NAME", "x", "upstreams[4].name: no such item; the list has 0, "
         "counted from 0"),
        ("STREAMGAUGE_METADATA__X", "x", "metadata.x: names a part of a value that has no parts"),
        ("STREAMGAUGE_SERVER__ALLOWED_HOSTS", "[a", "server.allowed_hosts: begins like a list or "
         "mapping, but is no YAML or JSON"),
        ("STREAMGAUGE_LOG__LEVEL", "verbose", "log.level: must be one of debug, info, warning, "
         "error"),
    ],
)  # fmt: skip
def test_a_wrong_variable_is_named_as_the_origin(
    error_lines: Callable[..., list[str]], name: str, value: str, line: str
) -> None:
    assert error_lines("metadata: off", {name: value}) == [f"environment:{name}: {line}"]


def test_a_wrong_flag_is_named_as_the_origin(error_lines: Callable[..., list[str]]) -> None:
    flags = (Flag("--port", ("server", "port"), 99999),)
    assert error_lines("server: {port: 1}", flags=flags) == [
        "--port: server.port: must be at most 65535; got 99999"
    ]


@pytest.mark.parametrize("host", ["0.0.0.0", "192.168.1.1", "example.org", "::"])
def test_a_bind_outside_loopback_is_refused_unless_the_flag_allows_it(
    load_text: Callable[..., Loaded], error_lines: Callable[..., list[str]], host: str
) -> None:
    text = f"server: {{host: '{host}'}}\nkeys: {{required: false}}"
    assert error_lines(text) == [
        "streamgauge.yaml:1:10: server.host: is not loopback, and keys.required is false; "
        "leave that out, listen on 127.0.0.1, or give --insecure-no-auth"
    ]
    assert load_text(text, insecure_no_auth=True).config.server.host == host


@pytest.mark.parametrize("required", ["auto", "true"])
def test_a_bind_outside_loopback_is_left_to_the_ledgers_keys_where_they_are_asked_for(
    load_text: Callable[..., Loaded], required: str
) -> None:
    text = f"server: {{host: 0.0.0.0}}\nkeys: {{required: {required}}}"
    assert load_text(text).config.keys.required == required


@pytest.mark.parametrize("host", ["127.0.0.1", "127.9.9.9", "::1", "localhost", "LOCALHOST"])
def test_a_bind_on_loopback_needs_no_flag(load_text: Callable[..., Loaded], host: str) -> None:
    load_text(f"server: {{host: '{host}'}}")


@pytest.mark.parametrize(
    "control",
    [
        "host: 0.0.0.0, token: '${TOKEN}'",
        "host: 0.0.0.0, enabled: false",
        "host: 0.0.0.0, enabled: '${OFF:-no}'",
        "host: '::1'",
        "port: 0",
    ],
)
def test_a_control_listener_that_asks_for_a_token_or_is_off_may_be_anywhere(
    load_text: Callable[..., Loaded], control: str
) -> None:
    load_text(f"control: {{{control}}}", {"TOKEN": "a-token"})


@pytest.mark.parametrize(
    "text",
    [
        "server: {port: 0}\ncontrol: {port: 0}",
        "server: {port: 7}\ncontrol: {port: 7, host: '::1'}",
        "server: {port: 7}\ncontrol: {port: 7, enabled: false}",
    ],
)
def test_listeners_that_cannot_collide_may_have_one_port(
    load_text: Callable[..., Loaded], text: str
) -> None:
    load_text(text)


@pytest.mark.parametrize(
    ("text", "environ", "token"),
    [
        ("", {}, "of-the-admin"),
        ("control: {port: 1}", {}, "of-the-admin"),
        ("control: {token: of-the-file}", {}, "of-the-file"),
        ("control: {token: ''}", {}, None),
        ("control: ", {"STREAMGAUGE_CONTROL__TOKEN": "of-the-override"}, "of-the-override"),
    ],
)
def test_the_token_is_that_of_its_variable_where_nothing_else_says(
    load_text: Callable[..., Loaded], text: str, environ: dict[str, str], token: str | None
) -> None:
    loaded = load_text(text, {"STREAMGAUGE_ADMIN_TOKEN": "of-the-admin", **environ})
    found = loaded.config.control.token
    assert (found and found.get_secret_value()) == token


def test_a_token_is_asked_for_unless_the_flag_allows_none(
    load_text: Callable[..., Loaded], error_lines: Callable[..., list[str]]
) -> None:
    text = "control: {host: 0.0.0.0, token: '${TOKEN:-}'}"
    (line,) = error_lines(text)
    assert line.startswith(
        "streamgauge.yaml:1:11: control.host: is not loopback, and control.token"
    )
    assert load_text(text, insecure_no_auth=True).config.control.token is None


def test_the_default_route_is_the_named_upstream_else_the_first(
    load_text: Callable[..., Loaded],
) -> None:
    text = "upstreams:\n- {name: a, kind: sim, base_url: 'http://a'}\n"
    text += "- {name: b, kind: sim, base_url: 'http://b'}\n"
    first = load_text(text).config.default_upstream
    named = load_text(text + "routing: {default: {to: [b]}}").config.default_upstream
    assert first is not None
    assert named is not None
    assert (first.name, named.name) == ("a", "b")


def test_the_version_follows_every_setting_but_no_secret(load_text: Callable[..., Loaded]) -> None:
    text = (
        "server: {port: %d}\nupstreams: [{name: a, kind: sim, base_url: 'http://h', api_key: '%s'}]"
    )
    one = load_text(text % (1, "${K}"), {"K": "first-secret"}).version
    two = load_text(text % (1, "${K}"), {"K": "other-secret"}).version
    three = load_text(text % (2, "${K}"), {"K": "first-secret"}).version
    assert one == two != three
    assert len(one) == 12


def test_the_configuration_is_frozen(load_text: Callable[..., Loaded]) -> None:
    config = load_text("").config
    with pytest.raises(ValueError, match="frozen"):
        config.server.port = 1


def test_the_search_order_is_flag_variable_folder_home(tmp_path: Path) -> None:
    home, here = tmp_path / "home", tmp_path / "here"
    (home / ".config" / "streamgauge").mkdir(parents=True)
    (tmp_path / "xdg" / "streamgauge").mkdir(parents=True)
    here.mkdir()
    environ = {"HOME": str(home)}

    def origin(config: Path | None = None) -> Path | None:
        return load(LoadOptions(config, environ=environ, cwd=here)).origin

    assert origin() is None
    for path in (
        home / ".config/streamgauge/streamgauge.toml",
        home / ".config/streamgauge/streamgauge.yaml",
    ):
        path.write_text("")
        assert origin() == path
    environ["XDG_CONFIG_HOME"] = str(tmp_path / "xdg")
    assert origin() is None
    for name in ("streamgauge.toml", "streamgauge.yml", "streamgauge.yaml"):
        (here / name).write_text("")
        assert origin() == Path(name)
    (here / "other.yaml").write_text("")
    environ["STREAMGAUGE_CONFIG"] = "other.yaml"
    assert origin() == Path("other.yaml")
    assert origin(config=Path("streamgauge.yml")) == Path("streamgauge.yml")
    environ["STREAMGAUGE_CONFIG"] = "missing.yaml"
    with pytest.raises(ConfigError) as caught:
        origin()
    assert str(caught.value).startswith("environment:STREAMGAUGE_CONFIG: configuration: cannot")


@pytest.mark.parametrize(
    ("kind", "url", "end"),
    [
        ("anthropic", "https://api.anthropic.com/v1/messages", "/v1/messages"),
        ("openai", "https://h/V1/Responses//", "/V1/Responses"),
        ("ollama", "http://localhost:11434/api/chat", "/api/chat"),
        ("ollama", "http://localhost:11434/api/", "/api"),
        ("ollama", "https://ollama.com/api", "/api"),
        ("ollama", "https://h/mounted/api", None),
        ("openai", "https://h/api/chat", None),
        ("openai", "https://h/models", None),
        ("openrouter", "https://openrouter.ai/api/v1", None),
    ],
)
def test_a_base_url_that_is_an_endpoint_is_a_mistake_and_a_mount_is_none(
    load_text: Callable[..., Loaded],
    error_lines: Callable[..., list[str]],
    kind: str,
    url: str,
    end: str | None,
) -> None:
    text = f"upstreams:\n- {{name: a, kind: {kind}, base_url: {url}}}\n"
    if end is None:
        assert load_text(text).config.upstreams[0].base_url == url
    else:
        [line] = error_lines(text)
        assert line.endswith(
            f"base_url: is a base to which paths are added: leave {end} at its end out"
        )


def test_a_variable_that_names_a_file_is_no_key(error_lines: Callable[..., list[str]]) -> None:
    text = "control: {token: '${T}'}\nupstreams:\n- {name: a, kind: sim, base_url: 'http://h', headers: {Authorization: 'Bearer file:k'}}"
    first, second = error_lines(text, {"T": "file:/run/secrets/key"})
    assert first.endswith(
        ": a variable's own file: is not read; write file:/path here in its place"
    )
    assert ".headers.Authorization: names no file; write file:/path" in second


@pytest.mark.parametrize(
    ("name", "text", "warned"),
    [
        (
            "s.yaml",
            "server: {host: 0.0.0.0}",
            "s.yaml:1:10: server.host: is not loopback, but only requests to 127.0.0.1, localhost "
            "and [::1] are answered, others get 421; write beside it allowed_hosts: "
            '["127.0.0.1", "localhost", "[::1]", "NAME-OR-ADDRESS"]',
        ),
        (
            "s.toml",
            'control.token = "${T}"\ncontrol.host = "fd00::1"',
            "s.toml:2:9: control.host: is not loopback, but only requests to 127.0.0.1, localhost "
            "and [::1] are answered, others get 421; write beside it allowed_hosts = "
            '["127.0.0.1", "localhost", "[::1]", "[fd00::1]"]',
        ),
        ("s.yaml", "server: {host: gauge.lan, allowed_hosts: [gauge.lan]}", None),
        ("s.yaml", "server: {host: 0.0.0.0, allowed_hosts: [localhost]}", None),
        ("s.yaml", "control: {host: 0.0.0.0, token: '${T}', enabled: false}", None),
        ("s.yaml", "server: {host: '::1'}", None),
    ],
)
def test_a_listener_that_answers_none_of_the_names_it_is_reached_by_is_warned_of(
    load_text: Callable[..., Loaded], name: str, text: str, warned: str | None
) -> None:
    loaded = load_text(text, {"T": "token-of-the-test"}, name=name)
    assert loaded.warnings == ([] if warned is None else [warned])


def test_a_host_of_the_command_line_is_warned_of_with_the_variable_to_set(
    load_text: Callable[..., Loaded],
) -> None:
    flag = Flag("--host", ("server", "host"), "192.0.2.7")
    [warning] = load_text("", flags=(flag,)).warnings
    named = '["127.0.0.1", "localhost", "[::1]", "192.0.2.7"]'
    assert warning.startswith("--host: server.host: is not loopback")
    assert warning.endswith(f"; set STREAMGAUGE_SERVER__ALLOWED_HOSTS='{named}'")
    again = load_text("", {"STREAMGAUGE_SERVER__ALLOWED_HOSTS": named}, flags=(flag,))
    assert again.warnings == []
    assert "192.0.2.7" in again.config.server.allowed_hosts


@pytest.mark.parametrize(
    ("exporter", "end"),
    [
        ("influxdb: {database: d, url: 'http://h:8086/write/'}", "/write"),
        ("influxdb: {version: 2, bucket: b, url: 'http://h/api/v2/write'}", "/api/v2/write"),
        ("otlp: {url: 'http://h:4318/v1/traces'}", "/v1/traces"),
    ],
)
def test_an_exporters_url_that_is_an_endpoint_is_a_mistake_too(
    error_lines: Callable[..., list[str]], exporter: str, end: str
) -> None:
    [line] = error_lines(f"exporters: {{{exporter}}}")
    assert line.endswith(f".url: is a base to which paths are added: leave {end} at its end out")
