"""Mistakes in the `routing` section, in the form of mistakes.py: name, path, words, YAML, TOML.

A good upstream, named `good`, is added to each.
"""

from __future__ import annotations

__all__ = ["ROUTING_MISTAKES"]

_NOBODY = "no such upstream; must be one of good (did you mean 'good'?)"
_STRATEGIES = "first, round_robin, least_busy, lowest_latency, cheapest"
_AMOUNT = "must be an amount with its currency, such as 3 USD"
_GLOB = "must be a glob; a [ is not closed"
_TWICE = "stands at to[0] already; a try is not repeated"
_CONDITIONS = "must state at least one of header, keyword, key, model, min_input_chars"

ROUTING_MISTAKES = (
    (
        "a model map to nobody",
        "routing.models[0].to[1]",
        _NOBODY,
        'routing: {models: [{match: "m-*", to: [good, «goood/m]}]}\n',
        '[[routing.models]]\nmatch = "m-*"\nto = ["good", «"goood/m"]\n',
    ),
    (
        "a rule to nobody",
        "routing.rules[0].to[0]",
        _NOBODY,
        "routing:\n  rules:\n  - name: batch\n    when: {key: [ci]}\n    to:\n    - «god\n",
        '[[routing.rules]]\nname = "batch"\nwhen = {key = ["ci"]}\nto = [«"god"]\n',
    ),
    (
        "a scenario to nobody",
        "routing.scenarios.image.to[0]",
        "no such upstream; must be one of good",
        "routing: {scenarios: {image: {to: [«vision]}}}\n",
        'routing.scenarios.image.to = [«"vision"]\n',
    ),
    (
        "a target with no model behind its slash",
        "routing.default.to[0]",
        "must be upstream, or upstream/model",
        "routing: {default: {to: [«good/]}}\n",
        'routing.default.to = [«"good/"]\n',
    ),
    (
        "a target that stands twice",
        "routing.default.to[1]",
        _TWICE,
        "routing: {default: {to: [good, «good]}}\n",
        'routing.default.to = ["good", «"good"]\n',
    ),
    (
        "a route to nowhere",
        "routing.scenarios.thinking.to",
        "must name at least one upstream",
        "routing: {scenarios: {thinking: {«to: []}}}\n",
        "[routing.scenarios.thinking]\n«to = []\n",
    ),
    (
        "a model map without a target",
        "routing.models[0].to",
        "is required",
        'routing: {models: [«{match: "m-*"}]}\n',
        '[[routing.«models]]\nmatch = "m-*"\n',
    ),
    (
        "a mistyped strategy",
        "routing.default.strategy",
        f"must be one of {_STRATEGIES}; got 'cheap' (did you mean 'cheapest'?)",
        "routing: {default: {«strategy: cheap}}\n",
        'routing.default.«strategy = "cheap"\n',
    ),
    (
        "a mistyped scenario",
        "routing.scenarios.images",
        "unknown key; must be one of image, web_search, long_context, thinking, background "
        "(did you mean 'image'?)",
        "routing: {scenarios: {«images: {to: [good]}}}\n",
        "[routing.scenarios]\n«images = {to = ['good']}\n",
    ),
    (
        "a glob that is not closed in a model map",
        "routing.models[0].match",
        _GLOB,
        'routing: {models: [{«match: "qwen[3", to: [good]}]}\n',
        '[[routing.models]]\n«match = "qwen[3"\nto = ["good"]\n',
    ),
    (
        "a glob that is not closed in a rule",
        "routing.rules[0].when.model[1]",
        _GLOB,
        'routing: {rules: [{name: a, when: {model: ["x", «"[!]"]}, to: [good]}]}\n',
        '[[routing.rules]]\nname = "a"\nto = ["good"]\nwhen.model = ["x", «"[!]"]\n',
    ),
    (
        "a rule without conditions",
        "routing.rules[0].when",
        "is required",
        "routing: {rules: [«{name: a, to: [good]}]}\n",
        '[[routing.«rules]]\nname = "a"\nto = ["good"]\n',
    ),
    (
        "a rule with no condition among its conditions",
        "routing.rules[0].when",
        _CONDITIONS,
        "routing: {rules: [{name: a, «when: {}, to: [good]}]}\n",
        '[[routing.rules]]\nname = "a"\n«when = {keyword = []}\nto = ["good"]\n',
    ),
    (
        "two rules of one name",
        "routing.rules[1].name",
        "must be unique; rules[0] has the same name",
        "routing:\n  rules:\n  - {name: a, when: {key: [x]}, to: [good]}\n"
        "  - {«name: a, when: {key: [y]}, to: [good]}\n",
        '[[routing.rules]]\nname = "a"\nwhen.key = ["x"]\nto = ["good"]\n'
        '[[routing.rules]]\n«name = "a"\nwhen.key = ["y"]\nto = ["good"]\n',
    ),
    (
        "a rule with a name that fits no header",
        "routing.rules[0].name",
        "must be 1 to 64 letters, digits, '.', '_' or '-'",
        "routing: {rules: [{«name: a b, when: {key: [x]}, to: [good]}]}\n",
        '[[routing.rules]]\n«name = "a b"\nwhen.key = ["x"]\nto = ["good"]\n',
    ),
    (
        "a key as a condition",
        "routing.rules[0].when.header",
        "authorization is no condition; use key, the label of a client key",
        "routing: {rules: [{name: a, when: {«header: {Authorization: x}}, to: [good]}]}\n",
        '[[routing.rules]]\nname = "a"\nto = ["good"]\nwhen.«header.Authorization = "x"\n',
    ),
    (
        "a cap without a currency",
        "routing.default.max_per_1m",
        _AMOUNT,
        "routing: {default: {strategy: cheapest, «max_per_1m: 3}}\n",
        '[routing.default]\nstrategy = "cheapest"\n«max_per_1m = "3"\n',
    ),
    (
        "a cap in what is no currency",
        "routing.default.max_per_1m",
        "must be 2 to 8 letters, such as USD, EUR, sat or msat",
        "routing: {default: {strategy: cheapest, «max_per_1m: 3 $}}\n",
        '[routing.default]\nstrategy = "cheapest"\n«max_per_1m = "3 €"\n',
    ),
    (
        "a cap where nobody looks at prices",
        "routing.default.max_per_1m",
        "only cheapest looks at prices; write strategy: cheapest",
        "routing: {default: {«max_per_1m: 3 USD}}\n",
        '[routing.default]\nstrategy = "first"\n«max_per_1m = "3 USD"\n',
    ),
    (
        "a threshold that is no number",
        "routing.scenarios.long_context.threshold_tokens",
        "must be a whole number",
        "routing: {scenarios: {long_context: {to: [good], «threshold_tokens: 60k}}}\n",
        'routing.scenarios.long_context = {to = ["good"], «threshold_tokens = "60k"}\n',
    ),
    (
        "a glob that is not closed at an upstream",
        "upstreams[0].models[0]",
        _GLOB,
        "upstreams: [{name: good, kind: sim, base_url: http://127.0.0.1:1, "
        'api_key: CANARY, models: [«"a[b"]}]\n',
        '[[upstreams]]\nname = "good"\nkind = "sim"\nbase_url = "http://127.0.0.1:1"\n'
        'api_key = "CANARY"\nmodels = [«"a[b"]\n',
    ),
    (
        "an upstream that is ourselves",
        "upstreams[0].base_url",
        "is this gateway's own listener, and requests would go in a circle; "
        "write where the model server listens",
        "upstreams: [{name: good, kind: sim, «base_url: http://localhost:8066/v1, api_key: CANARY}]\n",
        'server = {port = 9000}\n[[upstreams]]\nname = "good"\nkind = "sim"\n'
        '«base_url = "http://127.0.0.1:9000"\napi_key = "CANARY"\n',
    ),
)
