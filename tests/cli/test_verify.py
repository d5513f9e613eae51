"""`streamgauge verify`: exit code, findings with their places, JSON, standard input."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from streamgauge.cli.verify import verify
from streamgauge.tools.capture.document import prove_document

CAPTURES = Path(__file__).parent.parent / "data" / "captures"
GOOD = CAPTURES / "chat_stream_usage.body"
CUT = CAPTURES / "chat_stream_client_stop.body"
ODD = CAPTURES / "messages_stream_tool.body"


def run(*args: object, stdin: bytes = b"") -> Result:
    return CliRunner().invoke(verify, [str(arg) for arg in args], input=stdin)


def test_a_legal_stream_is_one_line_and_exit_code_0() -> None:
    done = run("--grammar", "openai", GOOD)
    assert done.exit_code == 0
    frames = GOOD.read_bytes().count(b"data: ")
    assert done.stdout == f"openai: legal, {frames} frames, 0 errors, 0 oddities\n"


def test_a_cut_stream_is_exit_code_1_and_says_where_and_what() -> None:
    done = run("--grammar", "openai", CUT)
    assert done.exit_code == 1
    first, second, summary = done.stdout.splitlines()
    assert first.startswith("frame 78 byte ")
    assert "error done_missing: " in first
    assert "error finish_missing: " in second
    assert summary.startswith("openai: not legal, 78 frames, 2 errors")


def test_oddities_are_counted_and_only_told_and_held_against_it_when_strict() -> None:
    done = run("--grammar", "anthropic", ODD)
    assert done.exit_code == 0
    assert done.stdout == "anthropic: legal, 12 frames, 0 errors, 1 oddity\n"
    done = run("--grammar", "anthropic", "--strict", ODD)
    assert done.exit_code == 1
    assert "oddity block_fields: " in done.stdout


def test_json_is_a_line_a_finding_and_a_summary_and_stdin_is_read() -> None:
    done = run("--grammar", "openai", "--json", "-", stdin=CUT.read_bytes())
    assert done.exit_code == 1
    *findings, summary = [json.loads(line) for line in done.stdout.splitlines()]
    assert [f["rule"] for f in findings] == ["done_missing", "finish_missing"]
    assert {f["level"] for f in findings} == {"error"}
    assert CUT.read_bytes()[findings[0]["offset"] :].startswith(b"data: ")
    assert summary == {
        "grammar": "openai",
        "legal": False,
        "frames": 78,
        "errors": 2,
        "oddities": 1,
    }


@pytest.mark.parametrize("grammar", ["simple", "frames"])
def test_our_own_protocols_are_known(grammar: str) -> None:
    done = run("--grammar", grammar, "-", stdin=b"")
    assert done.exit_code == 1
    assert "done_missing" in done.stdout


def test_a_saved_body_without_stamps_is_held_against_its_grammar_and_its_end() -> None:
    frames = GOOD.read_bytes().count(b"data: ")
    done = run(GOOD)
    assert done.exit_code == 0
    note, verdict = done.stdout.splitlines()
    assert note.startswith("note: no stamps")
    assert verdict == f"openai: holds by grammar, {frames} frames, 0 findings"
    done = run(CUT)
    assert done.exit_code == 1
    assert "seq 79 byte " in done.stdout
    assert "incomplete: the stream ends without its end marker" in done.stdout


def test_every_protocol_is_told_by_its_looks_or_by_its_name() -> None:
    assert run(ODD).stdout.splitlines()[-1].startswith("anthropic: holds by grammar, 12 frames")
    done = run("-", stdin=b"hello\n\nworld\n\n")
    assert (done.exit_code, "name it with --protocol" in done.stderr) == (1, True)
    done = run("--protocol", "openai", "-", stdin=b"hello\n\nworld\n\n")
    assert (done.exit_code, "incomplete" in done.stdout) == (1, True)
    response = b'event: response.completed\ndata: {"type":"response.completed"}\n\n'
    assert run("-", stdin=response).stdout.endswith(
        "responses: holds by grammar, 1 frame, 0 findings\n"
    )


def test_nothing_is_no_stream_and_is_told_so(tmp_path: Path) -> None:
    (tmp_path / "empty").touch()
    for file in (tmp_path / "empty", "-"):
        done = run(file)
        told = "Error: it is empty: there is no stream to verify\n"
        assert (done.exit_code, done.stdout, done.stderr) == (1, "", told)


def test_unknown_grammars_and_files_are_usage_errors() -> None:
    assert run("--grammar", "ollama", GOOD).exit_code == 2
    assert run("--grammar", "openai", "no-such-file").exit_code == 2


@pytest.mark.parametrize("indent", [None, 2])
def test_a_saved_answer_that_is_no_stream_holds_if_its_json_is_whole(indent: int | None) -> None:
    answer = {"object": "chat.completion", "choices": [{"message": {"content": "hé {"}}]}
    body = json.dumps(answer, indent=indent).encode() + b"\n"
    done = run("-", stdin=body)
    assert done.exit_code == 0
    note, verdict = done.stdout.splitlines()
    assert note.startswith("note: one JSON document, no stream")
    assert verdict == "whole: holds by json, 1 frame, 0 findings"
    for cut in (1, 20, len(body) - 2):
        done = run("-", stdin=body[:cut])
        assert done.exit_code == 1
        assert done.stdout.startswith("seq 1 byte 0: incomplete: the JSON document is not whole")


def test_lines_of_json_are_a_stream_though_there_is_but_one() -> None:
    done = run("-", stdin=b'{"type":"done","finish_reason":"stop"}\n')
    assert done.stdout.endswith("simple: holds by grammar, 1 frame, 0 findings\n")
    done = run("-", stdin=b'{"type":"status","status":"thinking"}\n{"type":"delta"')
    assert done.exit_code == 1
    assert "whole" not in done.stdout.splitlines()[-1]


def test_a_saved_answer_has_the_size_that_its_row_states() -> None:
    assert prove_document(b"{}", {"bytes_out": 2}) == ()
    assert prove_document(b"{}", {"bytes_out": None}) == ()
    (finding,) = prove_document(b"{}", {"bytes_out": 3})
    assert str(finding) == "seq 1 byte 0: totals: 2 bytes; the row says 3"
