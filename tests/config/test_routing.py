"""The `routing` section as SPEC §14.8 writes it, what it becomes, and what it shows of itself."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from streamgauge.config import Loaded
from streamgauge.config.effective import settings_of
from streamgauge.config.json_schema import json_schema
from streamgauge.config.yaml_reader import read_yaml
from streamgauge.core.pricing import Money
from streamgauge.core.routing.rules import Strategy

from .schema_checker import accepts

NAMES = "local openrouter cheap vision long big"
UPSTREAMS = "upstreams:\n" + "".join(
    f"- {{name: {name}, kind: sim, base_url: 'http://127.0.0.1:1'}}\n" for name in NAMES.split()
)
OF_THE_SPEC = """\
routing:
  models:
    - {match: "claude-*-haiku-*", to: [local/qwen3-small]}
    - {match: "claude-*", to: [openrouter/anthropic/claude-sonnet-4.5, local/qwen3], strategy: first}
  rules:
    - {name: batch, when: {header: {x-team: batch}, keyword: [nightly], key: [ci], min_input_chars: 0}, to: [cheap, local], strategy: cheapest, max_per_1m: "3 USD"}
  scenarios: {image: {to: [vision]}, web_search: {to: [openrouter]}, long_context: {to: [long], threshold_tokens: 60000}, thinking: {to: [big]}, background: {to: [local/qwen3-small]}}
  default: {to: [local], strategy: first}
"""


def test_the_shape_of_the_specification_is_read(load_text: Callable[..., Loaded]) -> None:
    routing = load_text(UPSTREAMS + OF_THE_SPEC).config.routing
    (rule,) = routing.rules
    assert [item.match for item in routing.models] == ["claude-*-haiku-*", "claude-*"]
    assert routing.models[1].to == ("openrouter/anthropic/claude-sonnet-4.5", "local/qwen3")
    assert (rule.strategy, rule.max_per_1m) == (Strategy.CHEAPEST, Money(3 * 10**9, "USD"))
    assert (rule.when.header, rule.when.keyword, rule.when.key) == (
        {"x-team": "batch"},
        ("nightly",),
        ("ci",),
    )
    assert rule.when.min_input_chars == 0
    told = routing.scenarios
    assert told.image is not None
    assert told.long_context is not None
    assert told.long_context.threshold_tokens == 60_000
    assert told.background is not None
    assert told.background.models == ("*haiku*",)
    assert accepts(json_schema(), read_yaml(UPSTREAMS + OF_THE_SPEC, "f").root)


@pytest.mark.parametrize(
    ("text", "nano", "currency"),
    [
        ("3 USD", 3 * 10**9, "USD"),
        ("0.25eur", 25 * 10**7, "EUR"),
        (" 2000 Sat ", 2000 * 10**9, "sat"),
    ],
)
def test_a_cap_is_an_amount_with_its_currency(
    load_text: Callable[..., Loaded], text: str, nano: int, currency: str
) -> None:
    default = f"routing: {{default: {{strategy: cheapest, max_per_1m: '{text}'}}}}\n"
    loaded = load_text(UPSTREAMS + default)
    assert loaded.config.routing.default.max_per_1m == Money(nano, currency)
    again = load_text(UPSTREAMS + default.replace(text, str(Money(nano, currency))))
    assert again.version == loaded.version


@pytest.mark.parametrize("text", ["3", "USD", "3 USD 4", "-3 USD", "1.2.3 USD", "3e2 USD", "$3"])
def test_what_is_no_amount_is_refused(error_lines: Callable[..., list[str]], text: str) -> None:
    (line,) = error_lines(
        f"{UPSTREAMS}routing: {{default: {{strategy: cheapest, max_per_1m: '{text}'}}}}\n"
    )
    assert line.endswith("max_per_1m: must be an amount with its currency, such as 3 USD")


def test_every_setting_of_a_route_is_shown_with_its_origin(
    load_text: Callable[..., Loaded],
) -> None:
    shown = {s.path: s.value for s in settings_of(load_text(UPSTREAMS + OF_THE_SPEC))}
    assert shown["routing.models[0].match"] == "claude-*-haiku-*"
    assert shown["routing.rules[0].when.header.x-team"] == "batch"
    assert shown["routing.rules[0].max_per_1m"] == "3 USD"
    assert shown["routing.scenarios.background.models"] == ["*haiku*"]
    assert shown["routing.breaker.failures"] == 3


@pytest.mark.parametrize(
    ("server", "url", "circle"),
    [
        ("{}", "http://127.0.0.1:8066", True),
        ("{}", "http://localhost:8066/v1", True),
        ("{}", "http://[::1]:8066", True),
        ("{host: localhost, port: 80}", "http://127.0.0.1", True),
        ("{}", "http://127.0.0.1:8065", False),
        ("{}", "http://gateway.example:8066", False),
        ("{port: 0}", "http://127.0.0.1:1", False),
    ],
)
def test_an_upstream_that_is_our_own_listener_is_a_circle(
    load_text: Callable[..., Loaded], server: str, url: str, circle: bool
) -> None:
    text = f"server: {server}\nupstreams: [{{name: a, kind: sim, base_url: '{url}'}}]\n"
    if circle:
        with pytest.raises(Exception, match="this gateway's own listener"):
            load_text(text)
    else:
        load_text(text)


def test_any_address_and_a_named_one_of_ours_are_circles_too(
    error_lines: Callable[..., list[str]],
) -> None:
    for host, target in (("0.0.0.0", "127.0.0.1"), ("'::'", "localhost"), ("10.0.0.1", "10.0.0.1")):
        text = f"upstreams: [{{name: a, kind: sim, base_url: 'http://{target}:8066'}}]\n"
        lines = error_lines(f"server: {{host: {host}}}\n{text}", insecure_no_auth=True)
        assert ["own listener" in line for line in lines] == [True]
