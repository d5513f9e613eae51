"""The dashboard's files as the package holds them, read once. It knows no request."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from importlib.resources import files
from importlib.resources.abc import Traversable
from pathlib import PurePosixPath
from types import MappingProxyType

__all__ = ["LOGIN_FILES", "PageFile", "load_files"]

_CONTENT_TYPES: Mapping[str, str] = MappingProxyType(
    {
        ".html": "text/html; charset=utf-8",
        ".css": "text/css; charset=utf-8",
        ".js": "text/javascript; charset=utf-8",
        ".svg": "image/svg+xml",
    }
)
"""What is served. Other files of the folder, licences and checksums, are not."""

LOGIN_FILES = frozenset(
    {"/static/css/base.css", "/static/css/login.css", "/static/js/login.js", "/static/icon.svg"}
)
"""What the login page is made of: the only files to be had without the admin token."""


@dataclass(frozen=True, slots=True)
class PageFile:
    """One file and the content type it is sent with."""

    content_type: str
    body: bytes


def load_files() -> Mapping[str, PageFile]:
    """Return each file by its name in the folder, with `/`: `js/main.js`.

    They are kept in memory, so that no path of a request ever reaches a file system.
    """
    return MappingProxyType(dict(_walk(files("streamgauge.control").joinpath("static"), "")))


def _walk(folder: Traversable, prefix: str) -> Iterator[tuple[str, PageFile]]:
    for entry in folder.iterdir():
        name = f"{prefix}{entry.name}"
        if entry.is_dir():
            yield from _walk(entry, f"{name}/")
        elif (kind := _CONTENT_TYPES.get(PurePosixPath(name).suffix)) is not None:
            yield name, PageFile(kind, entry.read_bytes())
