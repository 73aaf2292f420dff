"""The built pages as files: whole, linked, described, and asking nothing of any other host."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import unquote, urlsplit

import nbformat
from bs4 import BeautifulSoup, Tag

if TYPE_CHECKING:
    from tests.conftest import Site


@cache
def soup(path: Path) -> BeautifulSoup:
    return BeautifulSoup(path.read_text(encoding="utf-8"), "html.parser")


@cache
def places(path: Path) -> frozenset[str]:
    """Every id of a page."""
    return frozenset(str(tag["id"]) for tag in soup(path).find_all(id=True))


def article(path: Path) -> Tag:
    found = soup(path).find("article")
    assert isinstance(found, Tag)
    return found


def test_strict_build_says_no_warning(built: Site) -> None:
    assert built.status == 0, built.log[-6000:]
    lines = [line for line in built.log.splitlines() if re.search(r"warning|error|traceback", line, flags=re.I)]
    assert [line for line in lines if not re.search(r"ParserConfig\(", line)] == []


def test_every_page_of_the_contents_is_built_and_no_other(site: Site, page: str) -> None:
    assert site.file(page).exists()


def test_no_page_lingers(site: Site) -> None:
    from tests.conftest import PAGES

    there = {p.relative_to(site.folder).with_suffix("").as_posix() for p in (site.folder / "book").rglob("*.html")}
    assert there == set(PAGES)


def requested(page: BeautifulSoup) -> Iterator[str]:
    """Every address that a browser would fetch for this page."""
    for tag in page.find_all(["script", "img", "iframe", "source", "video", "audio", "embed", "image", "use"]):
        yield from (str(tag[a]) for a in ("src", "href", "xlink:href", "srcset", "data") if tag.get(a))
    for tag in page.find_all("link"):
        if re.search(r"stylesheet|icon|preload|preconnect|dns-prefetch", str(tag.get("rel"))):
            yield str(tag.get("href", ""))
    for text in [t.get_text() for t in page.find_all("style")] + [str(t["style"]) for t in page.find_all(style=True)]:
        yield from re.findall(r"url\(['\"]?([^'\")]+)", text)
        yield from re.findall(r"@import\s+['\"]([^'\"]+)", text)


def test_page_requests_nothing_from_another_host(site: Site, page: str) -> None:
    away = [u for u in requested(soup(site.file(page))) if urlsplit(u).netloc or u.startswith("//")]
    assert away == []


def test_style_sheets_request_nothing_from_another_host(site: Site) -> None:
    for sheet in site.folder.rglob("*.css"):
        text = re.sub(r"/\*.*?\*/", "", sheet.read_text(encoding="utf-8"), flags=re.S)
        assert not re.search(r"url\(['\"]?(?:https?:)?//", text), sheet
        assert not re.search(r"@import\s+(?:url\()?['\"]?(?:https?:)?//", text), sheet


def test_files_a_page_asks_for_exist(site: Site, page: str) -> None:
    file = site.file(page)
    for address in requested(soup(file)):
        if not address.startswith(("data:", "#")):
            target = file.parent / unquote(urlsplit(address).path)
            assert target.exists(), f"{page} asks for {address}, which is not there"


def test_internal_links_lead_somewhere(site: Site, page: str) -> None:
    file = site.file(page)
    for link in soup(file).find_all("a", href=True):
        parts = urlsplit(str(link["href"]))
        if parts.scheme or parts.netloc:
            continue
        target = (file.parent / unquote(parts.path)).resolve() if parts.path else file
        assert target.exists(), f"{page} links to {link['href']}"
        if parts.fragment and target.suffix == ".html":
            assert unquote(parts.fragment) in places(target), f"{page} links to {link['href']}: no such place"


def test_every_figure_has_a_text_for_those_who_do_not_see_it(site: Site, page: str) -> None:
    body = article(site.file(page))
    for image in body.find_all("img"):
        assert str(image.get("alt", "")).strip(), f"no alt text: {str(image)[:120]}"
    for drawing in body.find_all("svg"):
        if drawing.find_parent("svg") is None and drawing.get("aria-hidden") != "true":
            assert drawing.get("role") == "img", str(drawing)[:120]
            assert str(drawing.get("aria-label", "")).strip(), str(drawing)[:120]


def test_ids_are_unique(site: Site, page: str) -> None:
    ids = [str(tag["id"]) for tag in article(site.file(page)).find_all(id=True)]
    assert sorted({i for i in ids if ids.count(i) > 1}) == []


def test_no_markup_is_left_unread(site: Site, page: str) -> None:
    body = BeautifulSoup(str(article(site.file(page))), "html.parser")
    for tag in body.find_all(["pre", "code", "script", "style"]):
        tag.decompose()
    text = body.get_text(" ")
    assert not re.search(r"\{(?:term|cite|glue|doc|ref|eq|numref)[:\w]*\}`", text)
    assert not re.search(r"\*\*\w|<\w+ object at 0x", text)


def test_only_live_buttons(site: Site, page: str) -> None:
    header = soup(site.file(page)).select_one(".bd-header-article")
    assert header is not None
    text = str(header)
    assert not re.search(r"binder|colab|thebe|jupyterhub|edit|issues|repository", text, flags=re.I)


def test_notebook_pages_offer_their_notebook(site: Site, notebook: str) -> None:
    if "/exercises/" in notebook:
        return
    page = soup(site.file(notebook.removesuffix(".ipynb")))
    link = page.select_one("a.btn-download-source-button")
    assert link is not None
    target = site.file(notebook).parent / str(link["href"])
    assert target.suffix == ".ipynb"
    nbformat.validate(nbformat.read(target, as_version=4))  # type: ignore[no-untyped-call]


def test_search_index_knows_the_words(site: Site) -> None:
    text = (site.folder / "searchindex.js").read_text(encoding="utf-8")
    index = json.loads(text[text.index("{") : text.rindex("}") + 1])
    assert "funnel" in index["terms"]
    assert "召回" in index["terms"]
    assert set(index["docnames"]) >= {"book/index", "book/appendix/glossary"}


def test_what_no_page_needs_is_not_shipped(site: Site) -> None:
    assert not list(site.folder.rglob("*thebe*"))
    assert not (site.folder / "_static" / "mathjax" / "sre").exists()
    size = sum(p.stat().st_size for p in (site.folder / "_static" / "mathjax").rglob("*") if p.is_file())
    assert size < 4e6


def test_the_students_notebooks_are_there_to_download(site: Site) -> None:
    from rectutor.classroom.notebooks import Assignment, chapters, text_of

    linked = {str(a["href"]).split("/")[-1] for a in soup(site.file("book/classroom/students")).select("a[download]")}
    assert linked == {f"{chapter}.ipynb" for chapter in chapters()}
    for chapter in chapters():
        given = (site.folder / "exercises" / f"{chapter}.ipynb").read_text(encoding="utf-8")
        assert given == text_of(Assignment.load(chapter).student())
        assert "BEGIN SOLUTION" not in given
