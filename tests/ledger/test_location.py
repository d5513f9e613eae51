"""From `ledger.url` or a plain path to a file."""

from __future__ import annotations

from pathlib import Path

import pytest

from streamgauge.ledger.location import DEFAULT_URL, ledger_url, sqlite_path


@pytest.mark.parametrize(
    ("url", "path"),
    [
        (DEFAULT_URL, "streamgauge.db"),
        ("sqlite:////var/lib/books.db", "/var/lib/books.db"),
        ("sqlite:///data/books.db", "data/books.db"),
        ("books.db", "books.db"),
        ("/var/lib/books.db", "/var/lib/books.db"),
    ],
)
def test_a_place_names_a_file(url: str, path: str) -> None:
    assert sqlite_path(url) == Path(path)
    assert sqlite_path(ledger_url(url)) == Path(path)


@pytest.mark.parametrize(
    ("url", "why"),
    [
        ("sqlite://books.db", "three slashes"),
        ("postgresql://host/books", "only sqlite"),
        ("sqlite:///", "names no file"),
        ("", "names no file"),
        ("sqlite:///:memory:", "survive"),
    ],
)
def test_what_names_no_file_is_refused(url: str, why: str) -> None:
    for each in (url, ledger_url(url)):
        with pytest.raises(ValueError, match=why):
            sqlite_path(each)


def test_the_password_of_another_database_is_not_repeated() -> None:
    with pytest.raises(ValueError, match="postgresql://…") as caught:
        sqlite_path("postgresql://books:hunter2@host/books")
    assert "hunter2" not in str(caught.value)
