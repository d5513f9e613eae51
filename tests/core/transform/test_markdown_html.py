"""Markdown to HTML in pieces: the same as the whole, complete blocks, each once, no text lost."""

from __future__ import annotations

import re
import time
from html.parser import HTMLParser

import pytest
from hypothesis import given
from hypothesis import strategies as st
from markdown_it import MarkdownIt

from streamgauge.core.transform.markdown_html import MarkdownHtml
from streamgauge.core.transform.markdown_keep import keep_all_text

MARKS = st.sampled_from(
    "# |- |* |1. |2. |> |```|~~~|    |  |\n|\n\n|\r\n|\r|a|b c|a\\|b\n|-\\|-|---|===|***|[x](y)|`c`|<div>"
    "|<!--|-->|\t|**b**|~~s~~|[1]: http://x|+|\\\\|&amp;|```py\n|````|     x|\u00a0|é😀".replace("\\|", "\x01").split("|")
).map(lambda mark: mark.replace("\x01", "|"))  # fmt: skip
TEXTS = st.lists(MARKS, max_size=30).map("".join)
DOCUMENT = """# Title

Some **bold** and *soft* text, `code`,
a [link](https://example.com/a "t").

- one
- two

  still two

1. first
2. second

> quoted **text**

```python
x = "**not bold**"
```

| a | b |
|---|---|
| 1 | ~~2~~ |

---

The end
"""


def whole(text: str) -> str:
    parser = MarkdownIt("commonmark", {"html": False}).enable(["table", "strikethrough"])
    html: str = keep_all_text(parser.disable("reference")).render(text.replace("\0", ""))
    return html


def pieced(pieces: list[str]) -> str:
    made = MarkdownHtml()
    return "".join([*(made.feed(piece) for piece in pieces), made.end()])


class Words(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.text = ""

    def handle_data(self, data: str) -> None:
        self.text += data


def text_of(html: str) -> str:
    reader = Words()
    reader.feed(html)
    reader.close()
    return reader.text


@given(TEXTS, st.data())
def test_text_cut_anywhere_gives_the_html_of_the_whole(text: str, data: st.DataObject) -> None:
    cuts = sorted(data.draw(st.lists(st.integers(0, len(text)), max_size=8)))
    pieces = [text[a:b] for a, b in zip([0, *cuts], [*cuts, len(text)], strict=True)]
    assert pieced(pieces) == pieced(list(text)) == pieced([text]) == whole(text)


@pytest.mark.parametrize(
    "text",
    [
        "# a|b\n-|-\n1|2\n",  # a heading that is a table's head
        "```a|b\n-|-\n1|2\n\nx\n",  # so is this fence
        "> a|b\n-|-\n\nx\n",
        "text\na|b\n-|-\n1|2\n\nx",
        "para\n===\n\n    code\n\n    more\n\nx",
        "- a\n\n- b\n* c\n\n  d\n\n1. e\n\ntext",
        "- ```\n  x\n\ny",  # a fence that its list ends
        "a\r\n\r\nb\rc\r\r# d\r",
        "<div>\n\n**a**\n</div>\n",
    ],
)
def test_blocks_that_turn_out_to_be_others_wait_for_it(text: str) -> None:
    assert pieced(list(text)) == pieced([text]) == whole(text)


def test_a_document_cut_at_every_place_gives_the_html_of_the_whole() -> None:
    expected = whole(DOCUMENT)
    for place in range(len(DOCUMENT)):
        assert pieced([DOCUMENT[:place], DOCUMENT[place:]]) == expected


@given(st.lists(st.tuples(MARKS, st.text("abcxyz", min_size=3, max_size=8)), max_size=20))
def test_no_word_is_lost_or_said_twice(parts: list[tuple[str, str]]) -> None:
    words = [f"{word}{place}" for place, (_, word) in enumerate(parts)]
    text = " ".join(f"{mark} {word}q " for (mark, _), word in zip(parts, words, strict=True))
    html = pieced(list(text))
    # What follows a code block's fence is in an attribute; its first word, the language, is in two.
    seen = re.sub(r'(data-info="[^"]*") class="language-[^"]*"', r"\1", html)
    assert re.findall(r"[a-z]+\d+(?=q)", seen) == words


def test_no_markdown_is_left_over_and_the_text_is_all_there() -> None:
    html = pieced(list(DOCUMENT))
    text = text_of(html)
    assert not set("#|>~`") & set(text.replace('x = "**not bold**"', ""))
    assert "**not bold**" in text, "inside code it is no markdown"
    assert text.count("**") == 2
    for said in (
        "Title",
        "bold",
        "soft",
        "code",
        "link",
        "still two",
        "second",
        "quoted",
        "The end",
    ):
        assert text.count(said) >= 1, said


def test_blocks_leave_whole_as_soon_as_nothing_can_change_them() -> None:
    made = MarkdownHtml()
    steps = [
        ("# Ti", ""),
        ("tle\n", "<h1>Title</h1>\n"),
        ("Some text", ""),
        (" more\n", ""),
        ("\n", "<p>Some text more</p>\n"),
        ("- a\n- b\n\n", ""),
        ("next\n", "<ul>\n<li>a</li>\n<li>b</li>\n</ul>\n"),
        ("===\n", "<h1>next</h1>\n"),
        ("```\nx\n\ny\n", ""),
        ("```\n", "<pre><code>x\n\ny\n</code></pre>\n"),
        ("a|b\n", ""),
        ("-|-\n1|2\n", ""),
    ]
    for text, html in steps:
        assert made.feed(text) == html, text
    assert made.end().startswith("<table>")
    assert made.end() == ""
    assert made.feed("# again\n") == "<h1>again</h1>\n", "after the end a new text may begin"


def test_html_and_scripts_from_a_model_are_text() -> None:
    html = pieced(["<script>alert(1)</script>\n\n[x](javascript:alert(1)) <b>b</b>\n"])
    assert "<script" not in html
    assert "<b>" not in html
    assert "href" not in html
    assert "alert(1)" in text_of(html)


def test_a_reference_keeps_its_address_visible() -> None:
    html = pieced(["See [1].\n\n[1]: https://example.com/x\n"])
    assert "https://example.com/x" in text_of(html)


def test_cells_beyond_the_tables_head_and_words_behind_a_language_are_kept() -> None:
    html = pieced(["> a|b\n> -|-\n> 1|2|**3**|4\\|5|\n\n|a|\n|-|\n|1|2|\n"])
    assert "<td>2</td>\n<td><strong>3</strong></td>\n<td>4|5</td>" in re.sub(
        r">\s*<td", ">\n<td", html
    )
    assert html.count("<td") == 6
    assert 'data-info="py title=a.py"' in pieced(["```py title=a.py\nx\n```\n"])


def test_nul_bytes_and_broken_surrogates_do_no_harm() -> None:
    assert pieced(["a\0b"]) == "<p>ab</p>\n"
    assert pieced(["\ud83d\n\n"]) == "<p>\ud83d</p>\n"


@pytest.mark.parametrize("text", ["- item\n" * 1000, "(line\n" * 1000, "word " * 60_000])
def test_long_blocks_cost_no_more_than_their_length(text: str) -> None:
    begin = time.perf_counter()
    html = pieced([text[at : at + 5] for at in range(0, len(text), 5)])
    assert time.perf_counter() - begin < 5 * 1.0
    assert html == whole(text)
