"""A headless Chromium that notes every fault of a page: errors, requests to other origins. Knows no page of ours."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from playwright.async_api import Browser, BrowserContext, Page, async_playwright

__all__ = ["Sight", "chromium", "sight"]

_FLAGS = (
    "--no-sandbox",  # the tests may run as root, where the sandbox cannot
    "--disable-background-networking",
    "--disable-component-update",
)


@dataclass(slots=True)
class Sight:
    """One page and what went wrong in it. `strangers`: requests to other origins than `origin`."""

    page: Page
    origin: str
    errors: list[str] = field(default_factory=list)
    strangers: list[str] = field(default_factory=list)

    async def go(self, path: str) -> None:
        """Show a path of the origin, as a link does where a screen stands already."""
        if self.page.url.startswith(f"{self.origin}/"):
            await self.page.evaluate(_MOVE, path)
        else:
            await self.page.goto(f"{self.origin}{path}")
        await self.page.wait_for_function(_SHOWN, arg=path)

    async def text(self, selector: str = "main") -> str:
        """Return the text that a person sees in the first element that fits."""
        return await self.page.inner_text(selector)

    def is_clean(self) -> None:
        """Assert that nothing went wrong so far."""
        assert self.errors == []
        assert self.strangers == []


@contextlib.asynccontextmanager
async def chromium(program: Path) -> AsyncIterator[Browser]:
    """Run the browser `program`."""
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=program, args=list(_FLAGS))
        try:
            yield browser
        finally:
            await browser.close()


@contextlib.asynccontextmanager
async def sight(browser: Browser, origin: str, **context: Any) -> AsyncIterator[Sight]:
    """Open a page of its own, with cookies of its own. `context`: as playwright's new_context."""
    own: BrowserContext = await browser.new_context(**{"viewport": _WIDE, **context})
    try:
        page = await own.new_page()
        seen = Sight(page, origin)
        page.on("pageerror", lambda error: seen.errors.append(f"script: {error}"))
        page.on("console", lambda said: _note(seen, said.type, said.text))
        page.on("request", lambda request: _watch(seen, request.url))
        page.set_default_timeout(15_000)
        yield seen
    finally:
        await own.close()


_MOVE = """path => {
    delete document.getElementById("main").dataset.shown;
    history.pushState(null, "", path);
    dispatchEvent(new PopStateEvent("popstate"));
}"""
_SHOWN = """path => document.getElementById("main")?.dataset.shown === path
    && document.querySelector("main h1") !== null"""
_WIDE = {"width": 1440, "height": 900}


def _note(seen: Sight, kind: str, text: str) -> None:
    if kind in ("error", "warning"):
        seen.errors.append(f"{kind}: {text}")


def _watch(seen: Sight, url: str) -> None:
    if not url.startswith((f"{seen.origin}/", "blob:")):
        seen.strangers.append(url)
