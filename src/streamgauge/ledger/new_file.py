"""A file that appears whole or not at all, readable by its owner alone. Knows no format."""

from __future__ import annotations

import errno
import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

__all__ = ["FileRefused", "new_file"]

_NO_LINKS = frozenset({errno.EPERM, errno.EOPNOTSUPP, errno.ENOSYS})


class FileRefused(Exception):
    """The file cannot be made. The message says why, and what to do."""


@contextmanager
def new_file(path: Path, *, replace: bool) -> Iterator[Path]:
    """Yield an empty file (0600) beside `path`; at the end it is synced and takes that name.

    When the block raises, it is removed and nothing has changed. Raises FileRefused when `path`
    exists and is not to be replaced, is no plain file, or cannot be written (disk full, say).
    """
    _check(path, replace=replace)
    partial = path.with_name(f".{path.name}.{secrets.token_hex(4)}.partial")
    try:
        os.close(os.open(partial, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600))
    except OSError as error:
        raise FileRefused(f"cannot write in {path.parent}: {error.strerror}") from error
    try:
        yield partial
        _sync(partial)
        # Also for who made the file meanwhile: without leave to replace, it is not replaced.
        if replace or not _linked(partial, path):
            os.replace(partial, path)
        _sync(path.parent)
    except FileExistsError as error:
        raise _exists(path) from error
    except OSError as error:
        raise FileRefused(f"{path} cannot be written: {error.strerror or error}") from error
    finally:
        with suppress(FileNotFoundError):
            partial.unlink()


def _check(path: Path, *, replace: bool) -> None:
    # Of what this user may not look at: that nothing can be made there is what he is told.
    there = os.path.exists(path)
    if there and not path.is_file():
        raise FileRefused(f"{path} is no plain file")
    if there and not replace:
        raise _exists(path)


def _linked(partial: Path, path: Path) -> bool:
    """Give the file that name, too; False where the file system has no links (FAT, some shares)."""
    try:
        os.link(partial, path)
    except OSError as error:
        if error.errno not in _NO_LINKS:
            raise
        _check(path, replace=False)
        return False
    return True


def _exists(path: Path) -> FileRefused:
    return FileRefused(f"{path} is there already: name another file, or give --force")


def _sync(path: Path) -> None:
    """Wait until the disk has it; of a directory: the names in it."""
    fd = os.open(path, os.O_RDONLY)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)
