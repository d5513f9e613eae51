"""The spool's file: space taken beforehand, checksummed frames, synced appends. Knows no rows.

Two headers, each in a sector of its own, then frames. A header names a generation, a reset writes
the next generation over the older header, and each frame's checksum goes on from the one before
it, the first from the generation: so a torn tail, and what an earlier generation left, are no frames.
"""

from __future__ import annotations

import errno
import os
import struct
import zlib
from collections.abc import Iterator, Sequence
from pathlib import Path

__all__ = ["SpoolFile", "SpoolForeign", "frame_size", "holds_rows", "spool_path"]

_MAGIC = b"SGSPOOL1"
_HEADER = struct.Struct("<8sQI")
_HEADERS_AT = (0, 4096)
_START = 8192
_FRAME = struct.Struct("<II")
_ZEROS = bytes(1 << 20)

# Files of other systems have no fdatasync; it spares the write of the file's times.
_sync = getattr(os, "fdatasync", os.fsync)


class SpoolForeign(Exception):
    """The file at the spool's place is none."""


def spool_path(ledger: Path | str) -> Path:
    """Return the spool's place: beside the real file, so that each name of a ledger means one."""
    real = Path(ledger).resolve()
    return real.with_name(real.name + ".spool")


def frame_size(frame: bytes) -> int:
    """Return how many bytes of a spool `frame` takes."""
    return _FRAME.size + len(frame)


def holds_rows(ledger: Path | str) -> bool:
    """Return whether a spool beside `ledger` holds what the ledger may lack; False if unreadable."""
    try:
        file = SpoolFile(spool_path(ledger), writable=False)
    except (OSError, SpoolForeign):
        return False
    try:
        return file.end > file.start
    finally:
        file.close()


class SpoolFile:
    """Frames between `start` and `end`; what was appended before a crash is found again.

    Every method may raise OSError; an append that did is not there, whatever is on the disk.
    """

    def __init__(self, path: Path, *, writable: bool = True) -> None:
        """Open, or make an empty one; raises SpoolForeign for a file of another kind."""
        self._path = path
        flags = os.O_RDWR | os.O_CREAT if writable else os.O_RDONLY
        self._fd = os.open(path, flags | getattr(os, "O_BINARY", 0), 0o600)
        try:
            self._generation = self._newest_generation()
            self._end, self._checksum = _START, self._seed()
            for frame, checksum in self._frames(_START, self._checksum):
                self._end += frame_size(frame)
                self._checksum = checksum
        except BaseException:
            os.close(self._fd)
            raise

    @property
    def path(self) -> Path:
        """Where it is."""
        return self._path

    @property
    def start(self) -> int:
        """The first frame's position."""
        return _START

    @property
    def end(self) -> int:
        """The position behind the last frame."""
        return self._end

    @property
    def size(self) -> int:
        """The file's length in bytes: frames end before it."""
        return os.fstat(self._fd).st_size

    def allocate(self, size: int) -> None:
        """Make an empty spool `size` bytes long, with its space really taken, or as it was.

        Raises OSError (ENOSPC) when the disk has not so much.
        """
        before = os.fstat(self._fd)
        if before.st_size > size:
            os.ftruncate(self._fd, size)
        elif before.st_size < size:
            try:
                self._take_space(before.st_size, size)
            except OSError:
                os.ftruncate(self._fd, before.st_size)
                raise
        self.reset()
        self._sync_name()

    def append(self, frames: Sequence[bytes]) -> None:
        """Write `frames` behind the last one, on the disk when this returns."""
        pieces: list[bytes] = []
        checksum = self._checksum
        for frame in frames:
            checksum = _check(frame, checksum)
            pieces += (_FRAME.pack(len(frame), checksum), frame)
        written = b"".join(pieces)
        if self._end + len(written) > self.size:
            raise OSError(errno.ENOSPC, "the spool is full")
        self._write(self._end, written)
        _sync(self._fd)
        self._end += len(written)
        self._checksum = checksum

    def frames(self, position: int, limit: int) -> tuple[list[bytes], int]:
        """Return at most `limit` frames from `position` on, and the position behind them."""
        found: list[bytes] = []
        while position < self._end and len(found) < limit:
            length, _ = _FRAME.unpack(self._read(position, _FRAME.size))
            found.append(self._read(position + _FRAME.size, length))
            position += _FRAME.size + length
        return found, position

    def reset(self) -> None:
        """Forget all frames; after a crash meanwhile either all are there or none."""
        following = self._generation + 1
        head = _MAGIC + struct.pack("<Q", following)
        self._write(_HEADERS_AT[following % 2], head + struct.pack("<I", zlib.crc32(head)))
        _sync(self._fd)
        self._generation = following
        self._end, self._checksum = _START, self._seed()

    def remove(self) -> None:
        """Close it and take its name away; what it held must be elsewhere."""
        self.close()
        self._path.unlink()

    def close(self) -> None:
        """Let the file go. Idempotent."""
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1

    def _newest_generation(self) -> int:
        found = [self._read(place, _HEADER.size) for place in _HEADERS_AT]
        generations = [
            generation
            for magic, generation, checksum in (
                _HEADER.unpack(each) for each in found if len(each) == _HEADER.size
            )
            if magic == _MAGIC and checksum == zlib.crc32(magic + struct.pack("<Q", generation))
        ]
        if not generations and any(each.strip(b"\0") for each in found):
            raise SpoolForeign(f"{self._path} is no spool, or both its headers are damaged")
        return max(generations, default=0)

    def _seed(self) -> int:
        return zlib.crc32(struct.pack("<Q", self._generation))

    def _frames(self, position: int, checksum: int) -> Iterator[tuple[bytes, int]]:
        """Yield each sound frame from `position` on with its checksum, to the first that is not."""
        size = self.size
        while position + _FRAME.size <= size:
            length, wanted = _FRAME.unpack(self._read(position, _FRAME.size))
            if not 0 < length <= size - position - _FRAME.size:
                return
            frame = self._read(position + _FRAME.size, length)
            checksum = _check(frame, checksum)
            if checksum != wanted:
                return
            yield frame, checksum
            position += _FRAME.size + length

    def _take_space(self, begin: int, end: int) -> None:
        allocate = getattr(os, "posix_fallocate", None)
        if allocate is not None:
            try:
                allocate(self._fd, 0, end)
                return
            except OSError as error:
                if error.errno not in (errno.EOPNOTSUPP, errno.ENOSYS, errno.EINVAL):
                    raise
        for place in range(begin, end, len(_ZEROS)):
            self._write(place, _ZEROS[: end - place])
        os.fsync(self._fd)

    def _sync_name(self) -> None:
        """Have the file's name and length survive a power cut, too."""
        os.fsync(self._fd)
        if os.name == "nt":
            return  # No directory can be synced there.
        folder = os.open(self._path.parent, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)

    def _read(self, position: int, length: int) -> bytes:
        os.lseek(self._fd, position, os.SEEK_SET)
        return os.read(self._fd, length)

    def _write(self, position: int, data: bytes) -> None:
        os.lseek(self._fd, position, os.SEEK_SET)
        left = memoryview(data)
        while left:
            left = left[os.write(self._fd, left) :]


def _check(frame: bytes, before: int) -> int:
    return zlib.crc32(frame, zlib.crc32(struct.pack("<I", len(frame)), before))
