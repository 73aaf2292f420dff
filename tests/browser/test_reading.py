"""The built book in a real browser: wide and narrow, light and dark, with no network."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import nbformat
import pytest

if TYPE_CHECKING:
    from tests.browser.conftest import Visit
    from tests.conftest import Site

    Start = Callable[[int, str], Visit]

CONTRAST = """
selector => {
  const parse = c => { const m = c.match(/[\\d.]+/g).map(Number); return [m[0], m[1], m[2], m[3] ?? 1]; };
  const over = (top, below) => top.slice(0, 3).map((v, i) => v * top[3] + below[i] * (1 - top[3]));
  const light = c => { const [r, g, b] = c.map(v => (v /= 255) <= .04045 ? v / 12.92 : ((v + .055) / 1.055) ** 2.4);
                       return .2126 * r + .7152 * g + .0722 * b; };
  const paper = e => { const layers = [];
    for (; e; e = e.parentElement) { const c = parse(getComputedStyle(e).backgroundColor); if (c[3]) layers.push(c); if (c[3] == 1) break; }
    return layers.reverse().reduce((below, top) => over(top, below), [255, 255, 255]); };
  const found = [];
  for (const e of document.querySelectorAll(selector)) {
    if (!e.checkVisibility() || ![...e.childNodes].some(n => n.nodeType == 3 && n.data.trim())) continue;
    const bg = paper(e), ink = parse(getComputedStyle(e).color);
    for (let a = e; a; a = a.parentElement) ink[3] *= +getComputedStyle(a).opacity;
    const [x, y] = [light(over(ink, bg)), light(bg)].sort((p, q) => q - p);
    found.push([(x + .05) / (y + .05), e.className + ' ' + e.textContent.trim().slice(0, 40)]);
  }
  return found;
}
"""  # noqa: E501
READ = (
    ".bd-article p, .bd-article li, .bd-article dd, .bd-article dt, .bd-article td, .bd-article th, .bd-article code, "
    ".bd-article pre, .bd-article pre span, .bd-article h1, .bd-article h2, .bd-article h3, "
    ".bd-article a:not(.headerlink), "
    ".bd-article figcaption, .bd-article caption, .bd-sidebar-primary a, .bd-sidebar-primary p"
)


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [1400, 390])
def test_page_reads_well(visit: Start, page: str, width: int, scheme: str) -> None:
    tab = visit(width, scheme)
    sheet = tab.open(f"{page}.html")
    assert tab.complaints == []
    assert tab.away == []
    assert sheet.evaluate("document.documentElement.dataset.theme") == scheme
    # Nothing sticks out sideways: wide things scroll by themselves.
    assert sheet.evaluate("document.documentElement.scrollWidth") <= width
    # Every formula is set, none with an error.
    formulas = sheet.locator(".bd-article .math").count()
    assert sheet.locator(".bd-article .math mjx-container").count() >= formulas
    assert sheet.locator("mjx-merror, [data-mjx-error]").count() == 0
    # Everything one reads stands out from its paper (WCAG AA).
    faint = [(round(ratio, 2), what) for ratio, what in sheet.evaluate(CONTRAST, READ) if ratio < 4.5]
    assert faint == []


@pytest.mark.parametrize("word", ["funnel", "召回", "Swing"])
def test_search_finds_a_word(visit: Start, word: str) -> None:
    tab = visit(1400, "light")
    page = tab.open(f"search.html?q={word}")
    hits = page.locator("#search-results li a")
    hits.first.wait_for(timeout=10_000)
    assert "results" in page.locator("#search-results").inner_text() or hits.count() > 0
    hits.first.click()
    page.wait_for_load_state("load")
    assert word.lower() in page.locator("article").inner_text().lower()
    assert tab.complaints == []
    assert tab.away == []


def test_search_field_leads_to_the_results(visit: Start) -> None:
    page = visit(1400, "light").open("book/index.html")
    page.keyboard.press("Control+k")
    page.keyboard.type("calibration")
    page.keyboard.press("Enter")
    page.wait_for_url("**/search.html?q=calibration")
    page.locator("#search-results li a").first.wait_for(timeout=10_000)


def test_search_and_mathematics_work_from_a_folder(visit: Start, site: Site) -> None:
    tab = visit(1400, "light")
    tab.page.goto((site.folder / "book/appendix/notation.html").as_uri())
    tab.page.locator("mjx-container").first.wait_for(timeout=10_000)
    tab.page.goto((site.folder / "search.html").as_uri() + "?q=funnel")
    tab.page.locator("#search-results li a").first.wait_for(timeout=10_000)
    assert tab.away == []


def test_download_button_gives_the_notebook(visit: Start, tmp_path: Path) -> None:
    page = visit(1400, "light").open("book/index.html")
    page.locator(".dropdown-download-buttons > button").click()
    with page.expect_download() as waiting:
        page.locator(".btn-download-source-button").click()
    target = tmp_path / "got.ipynb"
    waiting.value.save_as(target)
    notebook = json.loads(target.read_text(encoding="utf-8"))
    nbformat.validate(notebook)
    assert notebook["cells"][0]["id"] == "title"


def test_dark_and_light_change_by_the_button(visit: Start) -> None:
    page = visit(1400, "light").open("book/index.html")
    button = page.locator("button.theme-switch-button").first
    seen = set()
    for _ in range(3):
        button.click()
        seen.add((page.evaluate("document.documentElement.dataset.theme"), colour(page)))
    assert {theme for theme, _ in seen} == {"light", "dark"}
    assert len({c for _, c in seen}) == 2


def colour(page: object) -> str:
    return str(page.evaluate("getComputedStyle(document.body).backgroundColor"))  # type: ignore[attr-defined]


def test_menu_opens_on_a_phone(visit: Start) -> None:
    page = visit(390, "light").open("book/index.html")
    link = page.locator(".bd-sidebar-primary nav.bd-links a", has_text="Glossary").first
    assert not link.is_visible() or link.bounding_box()["x"] < 0  # type: ignore[index]
    page.locator("label.primary-toggle, button.primary-toggle").first.click()
    page.wait_for_timeout(500)
    link.click()
    page.wait_for_url("**/appendix/glossary.html")


def test_print_leaves_the_furniture_out(visit: Start) -> None:
    page = visit(1400, "light").open("book/index.html")
    page.emulate_media(media="print")
    assert not page.locator(".bd-sidebar-primary").is_visible()
    assert page.locator("h1", has_text="RecTutor").filter(visible=True).count() == 1
    assert page.locator(".rt-funnel svg").is_visible()
