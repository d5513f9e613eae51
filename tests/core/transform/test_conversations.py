"""What transformers make of a conversation that is to be translated, and what they leave alone."""

from __future__ import annotations

from streamgauge.core.conversation import Conversation, Message, Reasoning, Sampling, Text
from streamgauge.core.transform.max_tokens import MaxTokens
from streamgauge.core.transform.reasoning import ReasoningOverride
from streamgauge.core.transform.sampling import SamplingOverrides
from streamgauge.core.transform.system_to_messages import SystemToMessages

USER, ASSISTANT = Message("user", (Text("u"),)), Message("assistant", (Text("a"),))
SYSTEM = (Text("s"),)
SAID = Conversation(
    messages=(USER,), sampling=Sampling(max_tokens=50, temperature=0.5), reasoning=Reasoning(True)
)


def test_what_is_set_already_is_not_copied() -> None:
    assert MaxTokens(cap=50).converse(SAID) is SAID
    assert SamplingOverrides({"temperature": 0.5}, ("top_p", "stop")).converse(SAID) is SAID
    assert ReasoningOverride(enabled=True).converse(SAID) is SAID


def test_what_differs_is_replaced_and_the_rest_stays() -> None:
    told = MaxTokens(cap=49).converse(SAID).sampling
    assert (told.max_tokens, told.temperature) == (49, 0.5)
    told = SamplingOverrides({"top_p": 0.9}, ("temperature",)).converse(SAID).sampling
    assert (told.max_tokens, told.temperature, told.top_p) == (50, None, 0.9)
    assert ReasoningOverride(budget=9).converse(SAID).reasoning == Reasoning(None, 9, None)


def test_a_system_prompt_before_an_answer_is_a_turn_of_its_own() -> None:
    begun = Conversation(messages=(ASSISTANT, USER), system=SYSTEM)
    told = SystemToMessages().converse(begun)
    assert told.messages == (Message("user", SYSTEM), ASSISTANT, USER)
    assert told.system == ()
    alone = SystemToMessages().converse(Conversation(messages=(), system=SYSTEM))
    assert (alone.messages, alone.system) == ((Message("user", SYSTEM),), ())
