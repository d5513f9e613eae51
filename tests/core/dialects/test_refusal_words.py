"""What a client reads where its request is refused: every sentence, so that each says what would do."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from streamgauge.core.dialects.anthropic import read_request as anthropic
from streamgauge.core.dialects.openai import read_request as openai
from streamgauge.core.errors import RequestError

from . import test_anthropic_request_reading, test_openai_request_reading

OPENAI = """\
messages is required
messages must hold a message
messages must be a list
messages[0] must be an object
messages[0].role is required
messages[0].role must be system, developer, user, assistant or tool
messages[0].content is required
messages[0].content must be a string or a list
messages[0].content must be text
messages[1].tool_call_id is 'c9', which no call before it has
messages[1].tool_call_id is required
messages[0].tool_call_id is required
messages[0].tool_calls[0].id is required
messages[0].tool_calls[0].function.name is required
messages[0].tool_calls[0].function.arguments must be a string
messages[0].content[0].type is 'input_audio': only text, image_url and file pass
messages[0].content[0].text is required
messages[0].content[0].image_url.url is 'image/tiff', which is no image type known here: image/gif, image/jpeg, image/png, image/webp
messages[0].content[0].image_url.url must be an http or https URL, or data:image/...;base64,...
messages[0].content[0].image_url is required
messages[0].content[0].file.file_id names a file that another server cannot read
messages[0].content[0].file.file_data must be text in UTF-8, in base64
messages[0].content[0].file.file_data is 'audio/wav', and only PDF and text can be sent on
messages[0].content[0].file.file_data must be data:application/pdf;base64,...
messages[0].content[0].type must be text or refusal
tool_choice.function.name names no tool of this request: 'ls'
tools[0].function.name is required
tools[0].function is required
tools[0].type must be function or custom
tool_choice.function.name names no tool of this request: 'rm'
tool_choice must be none, auto, required, or name a function
tool_choice asks for a call, and there is no tool to call
tool_choice.type must be function or allowed_tools
n must be 1 or above
max_tokens must be an integer
max_tokens must be 1 or above
stop must be a string or a list of strings
temperature must be a number
reasoning_effort must be one of high, low, max, medium, minimal, none, xhigh
response_format.type must be text, json_object or json_schema
response_format.json_schema is required
parallel_tool_calls must be true or false
"""
ANTHROPIC = """\
messages[0].content[0].source.type must be base64, text, content or url
max_tokens must be an integer
max_tokens is required
max_tokens must be 1 or above
messages is required
messages must be a list
messages must hold a message of the user
messages[0] must be an object
messages[0].role is required
messages[0].role must be user, assistant or system
messages[0].content is required
messages[0].content must be a string or a list
system must be a string or a list
system[0].type must be text
messages[0].content[0].type is required
messages[0].content[0].text is required
messages[0].content[0].type is 'hologram': here stand document, image, search_result, text, tool_result
messages[0].content[0].type is 'container_upload': another server cannot read files
messages[0].content[0].type is 'tool_use': here stand document, image, search_result, text, tool_result
messages[0].content[0].type is 'image': here stand redacted_thinking, text, thinking, tool_use
messages[0].content[0].source is required
messages[0].content[0].source.media_type is 'image/tiff', which is no image type known here: image/gif, image/jpeg, image/png, image/webp
messages[0].content[0].source.type must be base64 or url: another server cannot read files
messages[0].content[0].source.media_type must be application/pdf
messages[0].content[0].tool_use_id is 't9', which no call before it has
messages[0].content[0].id is required
messages[0].content[0].input must be an object
messages[0].content[0].name must not be empty
tools[0].name is required
tools[0].input_schema is required
tool_choice.name names no tool of this request: 'rm'
tool_choice.type must be auto, any, none or tool
tool_choice asks for a call, and there is no tool to call
tool_choice.name forces a call of 'web_search', which only Anthropic itself runs: this upstream cannot
tool_choice forces a call of a tool, which only Anthropic itself runs: this upstream cannot
thinking.budget_tokens is required
thinking.budget_tokens must be 1 or above
thinking.type must be enabled, adaptive, between_tools or disabled
output_config.effort must be one of high, low, max, medium, minimal, xhigh
output_config.format.schema is required
output_config.format.type must be json_schema
stop_sequences must be a string or a list of strings
temperature must be a number
"""


def refusals(read: Callable[[dict[str, Any]], object], bad: list[dict[str, Any]]) -> str:
    """Return what each of the bad requests is told, a line each, the same only once."""
    told = []
    for fields in bad:
        with pytest.raises(RequestError) as caught:
            read(fields)
        told.append(caught.value.message)
    return "".join(f"{line}\n" for line in dict.fromkeys(told))


def test_an_openai_request_is_told_what_would_do() -> None:
    here = test_openai_request_reading
    bad = [here.asked() | fields for fields, _ in here.BAD]
    assert refusals(openai.read_conversation, bad) == OPENAI


def test_an_anthropic_request_is_told_what_would_do() -> None:
    here = test_anthropic_request_reading
    bad = [here.asked(**fields) for fields, _ in here.BAD]
    assert refusals(anthropic.read_conversation, bad) == ANTHROPIC
