"""What a prompt makes the simulator do: tool turns, echoes, thinking that must come back unchanged."""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import AsyncIterator
from typing import Any

import pytest
import pytest_asyncio

from streamgauge.tools.simulator import Flavour, Simulator
from streamgauge.tools.simulator.anthropic import MessageAnswer
from streamgauge.tools.simulator.control import Control, control_of
from streamgauge.tools.simulator.openai import ChatAnswer
from streamgauge.tools.simulator.plan import Plan, plan_answer
from streamgauge.tools.simulator.prompt import read_prompt
from streamgauge.tools.simulator.signatures import forged_thinking

from .raw_client import fetch

SCRIPT = 'do\n sim: {"reasoning": 2}\nsim-tool: ls {"p": "/"}\nsim-tool: cat {"p": "a"}'
ASK = {"role": "user", "content": SCRIPT}
PICTURE = b"\x89PNG picture"
DATA = base64.b64encode(PICTURE).decode()
TOLD = f"image 1: 12 bytes sha256 {hashlib.sha256(PICTURE).hexdigest()}"
PDF = {"type": "base64", "media_type": "application/pdf", "data": DATA}

Turns = list[dict[str, Any]]


def user(*content: Any) -> dict[str, Any]:
    return {"role": "user", "content": list(content)}


def text(said: str) -> dict[str, Any]:
    return {"type": "text", "text": said}


def plan_of(turns: Turns, *, tools: Any = ({},), sim: Any = None) -> Plan:
    body = {"messages": turns, "tools": list(tools)}
    prompt = read_prompt(body)
    control = prompt.control if sim is None else control_of(sim)
    return plan_answer(control, prompt, body, call="sim1", created=1795226882)


def said(plan: Plan) -> str:
    return "".join(plan.text)


def test_a_script_asks_for_calls_only_where_there_are_tools() -> None:
    plan = plan_of([ASK])
    assert [(c.name, json.loads(c.arguments)) for c in plan.calls] == [
        ("ls", {"p": "/"}),
        ("cat", {"p": "a"}),
    ]
    assert (said(plan), len(plan.reasoning)) == ("", 2)
    assert plan_of([ASK], tools=()).calls == ()
    in_json = {"role": "user", "content": 'sim: {"tool": {"name": "ls"}}'}
    assert [c.name for c in plan_of([in_json]).calls] == ["ls"]
    assert plan_of([in_json], tools=()).calls == ()


def openai_calls(*ids: str) -> dict[str, Any]:
    calls = [{"id": i, "function": {"name": f"f{i}", "arguments": "{}"}} for i in ids]
    return {"role": "assistant", "content": None, "tool_calls": calls}


def anthropic_calls(*ids: str) -> dict[str, Any]:
    uses = [{"type": "tool_use", "id": i, "name": f"f{i}", "input": {}} for i in ids]
    return {"role": "assistant", "content": uses}


def result(call_id: str, content: Any) -> dict[str, Any]:
    return {"type": "tool_result", "tool_use_id": call_id, "content": content}


ECHOES: dict[str, tuple[Turns, str]] = {
    "openai": (
        [ASK, openai_calls("1"), {"role": "tool", "tool_call_id": "1", "content": "ok\n"}],
        "f1 said: ok",
    ),
    "openai, in another order": (
        [
            ASK,
            openai_calls("1", "2"),
            {"role": "tool", "tool_call_id": "2", "content": [text("b")]},
            {"role": "tool", "tool_call_id": "1", "content": "a"},
        ],
        "f2 said: b\nf1 said: a",
    ),
    "openai, with a remark of the agent behind it": (
        [
            ASK,
            openai_calls("1"),
            {"role": "tool", "tool_call_id": "1", "content": "ok"},
            {"role": "user", "content": "remember the rules"},
        ],
        "f1 said: ok",
    ),
    "anthropic": (
        [ASK, anthropic_calls("1", "2"), user(result("2", [text("b")]), result("1", "a"))],
        "f2 said: b\nf1 said: a",
    ),
    "anthropic, with texts round it": (
        [
            ASK,
            {"role": "system", "content": "note"},
            anthropic_calls("1"),
            user(result("1", "ok"), text("remember")),
            {"role": "system", "content": "note"},
        ],
        "f1 said: ok",
    ),
    "ollama": (
        [
            ASK,
            {"role": "assistant", "content": "", "tool_calls": [{"function": {"name": "ls"}}]},
            {"role": "tool", "tool_name": "ls", "content": "ok"},
        ],
        "ls said: ok",
    ),
    "an id of no call": (
        [ASK, openai_calls("1"), {"role": "tool", "tool_call_id": "7", "content": "ok"}],
        "unknown call said: ok",
    ),
    "an image in a result": (
        [
            ASK,
            anthropic_calls("1"),
            user(
                result(
                    "1",
                    [text("see"), {"type": "image", "source": {"type": "base64", "data": DATA}}],
                )
            ),
        ],
        f"f1 said: see\n{TOLD}",
    ),
    "the second round": (
        [
            ASK,
            anthropic_calls("1"),
            user(result("1", "a")),
            anthropic_calls("2"),
            user(result("2", "b")),
        ],
        "f2 said: b",
    ),
}


@pytest.mark.parametrize(("turns", "echo"), ECHOES.values(), ids=ECHOES.keys())
def test_a_call_that_was_answered_is_not_made_again_but_its_result_told(
    turns: Turns, echo: str
) -> None:
    for sim in (None, {"tool": {"name": "ls"}}):
        plan = plan_of(turns, sim=sim)
        assert plan.calls == ()
        assert said(plan) == echo


def test_what_was_asked_for_in_so_many_words_stands_before_an_echo() -> None:
    turns = [ASK, openai_calls("1"), {"role": "tool", "tool_call_id": "1", "content": "ok"}]
    assert said(plan_of(turns, sim={"tool": {"name": "ls"}, "text": "done"})) == "done"
    assert said(plan_of(turns, sim={"tool": {"name": "ls"}, "tokens": 1})) == "w0"
    assert said(plan_of(turns, sim={"tokens": 1, "echo": True})) == "f1 said: ok"
    plain = [{"role": "user", "content": "hi"}, *turns[1:]]
    assert said(plan_of(plain)).startswith("w0 w1"), "nobody asked for the call"


def test_a_new_prompt_after_a_tool_turn_asks_for_itself() -> None:
    turns = [ASK, openai_calls("1"), {"role": "tool", "tool_call_id": "1", "content": "ok"}]
    turns += [{"role": "assistant", "content": "f1 said: ok"}]
    assert plan_of([*turns, {"role": "user", "content": "thanks"}]).calls == ()
    assert len(plan_of([*turns, ASK]).calls) == 2


def test_texts_that_agents_and_gateways_add_are_no_new_order() -> None:
    added = {"role": "user", "content": "a system message, which is the user's now"}
    assert len(plan_of([ASK, added]).calls) == 2
    assert len(plan_of([ASK, {"role": "system", "content": "note"}]).calls) == 2
    assert len(plan_of([ASK, {"role": "assistant", "content": "{"}]).calls) == 2, "a prefill"
    prose = {"role": "user", "content": "sim: {not a control}"}
    assert read_prompt({"messages": [prose]}).control == Control()


IMAGES: dict[str, tuple[dict[str, Any], list[str]]] = {
    "openai": (
        user({"type": "image_url", "image_url": {"url": f"data:image/png;base64,{DATA}"}}),
        [TOLD],
    ),
    "openai, by url": (
        user({"type": "image_url", "image_url": {"url": "https://x/y.png"}}),
        ["image 1: https://x/y.png"],
    ),
    "openai, a file": (user(text("x"), {"type": "file", "file": {}}), ["documents: 1"]),
    "responses": (
        user({"type": "input_image", "image_url": f"data:image/png;base64,{DATA}"}),
        [TOLD],
    ),
    "anthropic": (user({"type": "image", "source": {"type": "base64", "data": DATA}}), [TOLD]),
    "anthropic, by url": (
        user({"type": "image", "source": {"type": "url", "url": "https://x/y.png"}}),
        ["image 1: https://x/y.png"],
    ),
    "anthropic, two and a document": (
        user(
            {"type": "image", "source": {"type": "base64", "data": DATA}},
            {"type": "document", "source": PDF},
            {"type": "image", "source": {"type": "base64", "data": DATA}},
        ),
        [TOLD, TOLD.replace("image 1", "image 2"), "documents: 1"],
    ),
    "ollama": ({"role": "user", "content": "x", "images": [DATA]}, [TOLD]),
    "broken": ({"role": "user", "content": "x", "images": ["?"]}, ["image 1: not base64"]),
}


@pytest.mark.parametrize(("turn", "lines"), IMAGES.values(), ids=IMAGES.keys())
def test_images_are_told_by_their_digest_in_every_dialect(
    turn: dict[str, Any], lines: list[str]
) -> None:
    assert said(plan_of([turn])) == "\n".join(lines)
    assert said(plan_of([turn], sim={"tokens": 1})) == "w0"


# --- thinking that is signed ---------------------------------------------------------------------


def test_thinking_is_signed_by_its_text_and_checked_when_it_comes_back() -> None:
    body, _ = MessageAnswer(Flavour.ANTHROPIC, plan_of([], sim={"reasoning": 3})).body()
    (block, *_) = json.loads(body)["content"]
    assert forged_thinking({"messages": [{"role": "assistant", "content": [block]}]}) is None
    for forged in (
        block | {"thinking": "another thought"},
        block | {"thinking": None},
        block | {"signature": block["signature"][:-4]},
        block | {"signature": ""},
    ):
        turns = [{"role": "user", "content": "x"}, {"role": "assistant", "content": [forged]}]
        told = forged_thinking({"messages": turns})
        assert told is not None
        assert "messages.1.content.0" in told
    theirs = block | {"thinking": "x", "signature": "EqQBCkgIARABGAIiQL"}
    unsigned = {"type": "thinking", "thinking": "x"}
    turns = [{"role": "assistant", "content": [theirs, unsigned]}, {"content": 7}]
    assert forged_thinking({"messages": turns}) is None


def deltas_of(answer: MessageAnswer | ChatAnswer) -> list[Any]:
    frames = [frame.data.partition(b"data: ")[2] for frame in answer.frames()]
    return [json.loads(data) for data in frames if data.startswith(b"{")]


def test_redacted_thinking_has_a_block_of_its_own() -> None:
    plan = plan_of([], sim={"reasoning": 1, "redacted": True, "tokens": 1})
    events = deltas_of(MessageAnswer(Flavour.ANTHROPIC, plan))
    starts = [e["content_block"] for e in events if e["type"] == "content_block_start"]
    assert [s["type"] for s in starts] == ["thinking", "redacted_thinking", "text"]
    whole = json.loads(MessageAnswer(Flavour.ANTHROPIC, plan).body()[0])["content"]
    assert [b["type"] for b in whole] == ["thinking", "redacted_thinking", "text"]
    assert whole[1]["data"] == starts[1]["data"] == plan.redacted
    for flavour in (Flavour.LLAMACPP, Flavour.OLLAMA):
        local = json.loads(MessageAnswer(flavour, plan).body()[0])["content"]
        assert [b["type"] for b in local] == ["thinking", "text"]
        assert not local[0]["signature"]


def test_openrouter_tells_signatures_and_hidden_parts_beside_the_text() -> None:
    plan = plan_of([], sim={"reasoning": 2, "redacted": True, "tokens": 1})
    chunks = deltas_of(ChatAnswer(Flavour.OPENROUTER, plan, {}))
    deltas = [chunk["choices"][0]["delta"] for chunk in chunks if chunk["choices"]]
    details = [d["reasoning_details"][0] for d in deltas if "reasoning_details" in d]
    assert [d["type"] for d in details] == ["reasoning.text", "reasoning.encrypted"]
    assert (details[0]["signature"], details[1]["data"]) == (plan.signature, plan.redacted)
    message = json.loads(ChatAnswer(Flavour.OPENROUTER, plan, {}).body()[0])["choices"][0][
        "message"
    ]
    assert message["reasoning_details"][0]["text"] == message["reasoning"] == "r0 r1"
    assert "reasoning_details" not in json.dumps(deltas_of(ChatAnswer(Flavour.OPENAI, plan, {})))


@pytest_asyncio.fixture
async def anthropic() -> AsyncIterator[Simulator]:
    simulator = Simulator()
    await simulator.start(flavour="anthropic")
    async with simulator:
        yield simulator


@pytest.mark.asyncio
async def test_forged_thinking_is_refused_on_the_wire(anthropic: Simulator) -> None:
    _, body, _ = await fetch(anthropic, "/v1/messages", {"reasoning": 2}, stream=False)
    block = json.loads(body)["content"][0]
    for thinking, status in ((block["thinking"], b" 200 "), ("changed", b" 400 ")):
        turn = {"role": "assistant", "content": [block | {"thinking": thinking}]}
        turns = [{"role": "user", "content": "x"}, turn, {"role": "user", "content": "y"}]
        head, _, _ = await fetch(anthropic, "/v1/messages", {}, messages=turns)
        assert status in head
