"""A Chromium over the served book, cut off from every other host."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import pytest
from playwright.sync_api import Browser, Page, Route, sync_playwright

from rectutor.preview import server
from tests.browser import chromium

if TYPE_CHECKING:
    from tests.conftest import Site


@dataclass
class Visit:
    """A tab, the complaints of its console, and what it asked of other hosts."""

    page: Page
    home: str
    complaints: list[str] = field(default_factory=list)
    away: list[str] = field(default_factory=list)

    def open(self, page: str) -> Page:
        """Open a page of the book and wait until it is drawn, mathematics included."""
        self.page.goto(f"{self.home}/{page}", wait_until="load")
        self.page.wait_for_function("!window.MathJax || !MathJax.startup || MathJax.startup.promise.then(() => true)")
        return self.page


@pytest.fixture(scope="session")
def home(site: Site) -> Iterator[str]:
    """Address under which the built book is served."""
    with server(site.folder) as http:
        thread = threading.Thread(target=http.serve_forever, daemon=True)
        thread.start()
        yield f"http://127.0.0.1:{http.server_port}"
        http.shutdown()
        thread.join()


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    """One headless Chromium for all tests."""
    path = chromium.find()
    if path is None:
        pytest.fail("no Chromium found; install one and run make test again", pytrace=False)
    with sync_playwright() as playwright:
        opened = playwright.chromium.launch(executable_path=path, args=chromium.FLAGS)
        yield opened
        opened.close()


@pytest.fixture
def visit(browser: Browser, home: str) -> Iterator[Callable[[int, str], Visit]]:
    """Open a tab of a given width and colour scheme; every request to another host is refused and noted."""
    contexts = []

    def start(width: int = 1400, scheme: str = "light") -> Visit:
        context = browser.new_context(
            viewport={"width": width, "height": 900 if width > 600 else 844},
            color_scheme="dark" if scheme == "dark" else "light",
            accept_downloads=True,
            reduced_motion="reduce",
        )
        contexts.append(context)
        tab = Visit(context.new_page(), home)

        def guard(route: Route) -> None:
            if route.request.url.startswith((home, "data:", "blob:", "file:")):
                route.continue_()
            else:
                tab.away.append(route.request.url)
                route.abort()

        context.route("**/*", guard)
        tab.page.on("console", lambda m: tab.complaints.append(m.text) if m.type in ("error", "warning") else None)
        tab.page.on("pageerror", lambda error: tab.complaints.append(str(error)))
        return tab

    yield start
    for context in contexts:
        context.close()
