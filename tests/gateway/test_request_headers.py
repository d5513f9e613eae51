"""What of a client's head goes to an upstream."""

from __future__ import annotations

import pytest

from streamgauge.gateway.request_headers import Credentials, RequestWriter

CLIENT = [
    (b"authorization", b"Bearer sk-client"),
    (b"openai-beta", b"assistants=v2"),
    (b"openai-organization", b"org-client"),
    (b"openai-project", b"proj-client"),
]
OURS, THEIRS = Credentials(key="sk-ours"), Credentials(pass_through=True)


def names(writer: RequestWriter) -> set[str]:
    head = writer.request("POST", "/v1/responses", b"{}", CLIENT).partition(b"\r\n\r\n")[0]
    return {line.decode() for line in head.split(b"\r\n") if line.startswith((b"openai-", b"auth"))}


@pytest.mark.parametrize(
    ("credentials", "key", "account"),
    [
        (OURS, "sk-ours", set()),
        (Credentials(), None, set()),
        (THEIRS, "sk-client", {"openai-organization: org-client", "openai-project: proj-client"}),
    ],
)
def test_the_account_of_a_key_goes_only_where_that_key_goes(
    credentials: Credentials, key: str | None, account: set[str]
) -> None:
    shown = {f"authorization: Bearer {key}"} if key is not None else set()
    sent = names(RequestWriter("there", credentials=credentials))
    assert sent == {"openai-beta: assistants=v2", *shown, *account}


def test_an_account_that_the_configuration_names_is_sent() -> None:
    added = {"OpenAI-Organization": "org-ours"}
    forward = frozenset({b"openai-project"})
    sent = names(RequestWriter("there", forward, added, OURS))
    assert {"openai-organization: org-ours", "openai-project: proj-client"} <= sent
    assert "openai-organization: org-client" not in sent
