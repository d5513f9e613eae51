"""Images and documents inside a request: which types there are, and data URLs."""

from __future__ import annotations

import base64
import binascii

from streamgauge.core.conversation import Document, Image
from streamgauge.core.dialects.asked import refuse

__all__ = ["IMAGE_TYPES", "PDF", "data_url", "document_of_url", "image_of_url", "image_type"]

PDF = "application/pdf"
IMAGE_TYPES = frozenset({"image/jpeg", "image/png", "image/gif", "image/webp"})
"""What both OpenAI and Anthropic take (WIRE §4.2)."""


def image_type(name: str, param: str) -> str:
    """Return the media type `name` as its registration spells it. Raises RequestError."""
    known = "image/jpeg" if name.lower() == "image/jpg" else name.lower()
    if known not in IMAGE_TYPES:
        known_ones = ", ".join(sorted(IMAGE_TYPES))
        raise refuse(param, f"is {name[:80]!r}, which is no image type known here: {known_ones}")
    return known


def data_url(media_type: str, data: str) -> str:
    """Return base64 `data` as a URL."""
    return f"data:{media_type};base64,{data}"


def image_of_url(url: str, detail: str | None, param: str) -> Image:
    """Return the image that an `image_url` names. Raises RequestError."""
    found = _split(url)
    if found is not None:
        media_type, data = found
        return Image(media_type=image_type(media_type, param), data=data, detail=detail)
    if url.startswith(("http://", "https://")):
        return Image(url=url, detail=detail)
    raise refuse(param, "must be an http or https URL, or data:image/...;base64,...")


def document_of_url(url: str, title: str | None, param: str) -> Document:
    """Return the document that a `file_data` holds: a data URL, an address, or bare base64."""
    found = _split(url)
    if found is None and url.startswith(("http://", "https://")):
        return Document(url=url, title=title)
    if found is None and not url.startswith("data:"):
        found = (PDF, url)
    if found is None:
        raise refuse(param, "must be data:application/pdf;base64,...")
    media_type, data = found
    if media_type.startswith("text/"):
        return Document(media_type="text/plain", text=_decoded(data, param), title=title)
    if media_type != PDF:
        raise refuse(param, f"is {media_type[:80]!r}, and only PDF and text can be sent on")
    return Document(media_type=PDF, data=data, title=title)


def _split(url: str) -> tuple[str, str] | None:
    """Return media type and base64 data of a data URL, None where it is none."""
    if not url.startswith("data:"):
        return None
    head, comma, data = url[5:].partition(",")
    media_type, *parameters = head.split(";")
    if not comma or not parameters or parameters[-1].strip().lower() != "base64":
        return None
    return media_type.strip().lower(), data


def _decoded(data: str, param: str) -> str:
    try:
        return base64.b64decode(data, validate=True).decode("utf-8")
    except (binascii.Error, UnicodeDecodeError):
        raise refuse(param, "must be text in UTF-8, in base64") from None
