"""The folder of captures as the admin API asks for it. It decides nothing about captures."""

from __future__ import annotations

from collections.abc import Callable
from typing import BinaryIO

from streamgauge.config.schema import Config
from streamgauge.control.api_captures import CaptureFile, CapturesRefused
from streamgauge.gateway.capture.store import CaptureFolder, FolderRefused

__all__ = ["FolderCaptures"]


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

    def _folder(self) -> CaptureFolder | None:
        settings = self._in_use().capture
        if settings.dir is None:
            return None
        return CaptureFolder(settings.dir, settings.max_mb << 20, settings.days)
