"""The folder of captures as the admin API asks for it. It decides nothing about captures."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, BinaryIO

from streamgauge.config.schema import Config
from streamgauge.control.api_captures import CaptureFile, CapturesRefused, CaptureUnproved
from streamgauge.gateway.capture.store import CaptureFolder, FolderRefused

if TYPE_CHECKING:
    from streamgauge.tools.capture.proof import Proof

__all__ = ["FolderCaptures"]

_MOST_PROVED_MIB = 16
"""A second of a processor that running streams share (27 MB/s measured); most have a few 100 kB."""
_MOST_FINDINGS = 500


class FolderCaptures:
    """Implements Captures for the folder that the configuration in use names, if it names one."""

    def __init__(self, in_use: Callable[[], Config]) -> None:
        self._in_use = in_use

    @property
    def enabled(self) -> bool:
        """Whether a folder is named."""
        return self._folder() is not None

    def listed(self) -> list[CaptureFile]:
        """Return all captures, the newest first."""
        folder = self._folder()
        try:
            found = [] if folder is None else folder.listed()
        except FolderRefused as error:
            raise CapturesRefused(str(error)) from None
        return [CaptureFile(id, size, round(at * 1_000_000)) for at, id, size in found]

    def open(self, id: str) -> BinaryIO | None:
        """Return a capture, open to be read."""
        folder = self._folder()
        try:
            return None if folder is None else folder.open(id)
        except FolderRefused as error:
            raise CapturesRefused(str(error)) from None

    def delete(self, id: str) -> bool:
        """Delete a capture."""
        folder = self._folder()
        try:
            return folder is not None and folder.delete(id)
        except FolderRefused as error:
            raise CapturesRefused(str(error)) from None

    def prove(self, id: str, row: Mapping[str, Any] | None) -> Mapping[str, Any] | None:
        """Check what the client was sent, as `verify` does."""
        from streamgauge.tools.capture.proof import prove_capture
        from streamgauge.tools.capture.reading import CaptureError, CaptureReader

        file = self.open(id)
        if file is None:
            return None
        with file:
            size = os.fstat(file.fileno()).st_size
            if size > _MOST_PROVED_MIB << 20:
                told = f"{size >> 20} MiB, and up to {_MOST_PROVED_MIB} are checked here"
                raise CaptureUnproved(f"the capture has {told}")
            try:
                proof = prove_capture(CaptureReader(file), row)
            except CaptureError as error:
                raise CaptureUnproved(str(error)) from None
        return _as_json(id, proof)

    def _folder(self) -> CaptureFolder | None:
        settings = self._in_use().capture
        if settings.dir is None:
            return None
        return CaptureFolder(settings.dir, settings.max_mb << 20, settings.days)


def _as_json(id: str, proof: Proof) -> Mapping[str, Any]:
    shown = proof.findings[:_MOST_FINDINGS]
    return {
        "id": id,
        "protocol": proof.protocol,
        "witness": proof.witness,
        "frames": proof.frames,
        "holds": proof.holds,
        "findings": [
            {"kind": one.kind.value, "seq": one.seq, "offset": one.offset, "text": one.text}
            for one in shown
        ],
        "more": len(proof.findings) - len(shown),
        "notes": list(proof.notes),
    }
