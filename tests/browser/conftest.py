"""A Chromium over the served book, cut off from every other host."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

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


def new_tab(browser: Browser, home: str, width: int, scheme: str, **options: Any) -> Visit:
    """A tab of its own context; every request to another host is refused and noted."""
    settings: dict[str, Any] = {
        "viewport": {"width": width, "height": 900 if width > 600 else 844},
        "color_scheme": "dark" if scheme == "dark" else "light",
        "accept_downloads": True,
        "reduced_motion": "reduce",
    }
    context = browser.new_context(**(settings | options))
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


@pytest.fixture
def visit(browser: Browser, home: str) -> Iterator[Callable[..., Visit]]:
    """Open a tab of a given width and colour scheme; every request to another host is refused and noted.

    Further options are those of a browser context, for instance ``has_touch`` or ``java_script_enabled``.
    """
    tabs: list[Visit] = []

    def start(width: int = 1400, scheme: str = "light", **options: Any) -> Visit:
        tabs.append(new_tab(browser, home, width, scheme, **options))
        return tabs[-1]

    yield start
    for tab in tabs:
        tab.page.context.close()


@pytest.fixture(scope="module")
def kept(browser: Browser, home: str) -> Iterator[Callable[[str, int], Visit]]:
    """An open page of the book at a given width, the same for all tests of a module, which leave it as it was."""
    tabs: dict[tuple[str, int], Visit] = {}

    def find(page: str, width: int) -> Visit:
        if (page, width) not in tabs:
            tabs[page, width] = new_tab(browser, home, width, "light")
            tabs[page, width].open(f"{page}.html")
        return tabs[page, width]

    yield find
    for tab in tabs.values():
        tab.page.context.close()
