"""The notebooks as they are committed: clean, stable, complete."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import nbformat
import pytest
import yaml

ROOT = Path(__file__).resolve().parents[2]

SECTIONS = {
    "the problem": r"problem",
    "the idea": r"idea",
    "the mathematics": r"mathemati|formula|equation|derivation|definition",
    "the reference source": r"reference",
    "the fast path": r"fast",
    "the experiment on the world": r"experiment|world|truth",
    "real data": r"real",
    "when to use it and what it costs": r"when to use|cost|which one",
    "the questions of the notes": r"question",
    "a summary": r"summary",
    "exercises": r"exercise",
    "further reading": r"further reading",
}


def read(path: str) -> Any:
    return nbformat.read(ROOT / path, as_version=4)  # type: ignore[no-untyped-call]


def test_notebook_is_valid_and_has_one_title(notebook: str) -> None:
    book = read(notebook)
    nbformat.validate(book)
    assert book.cells[0].cell_type == "markdown"
    titles = [
        line
        for cell in book.cells
        if cell.cell_type == "markdown"
        for line in re.sub(r"```.*?```", "", cell.source, flags=re.S).splitlines()
        if line.startswith("# ")
    ]
    assert len(titles) == 1
    assert book.cells[0].source.startswith(titles[0])


def test_notebook_stores_no_outputs(notebook: str) -> None:
    for cell in read(notebook).cells:
        if cell.cell_type == "code":
            assert not cell.outputs, f"cell {cell.id} stores outputs; clear them"
            assert cell.execution_count is None, f"cell {cell.id} stores an execution count; clear it"


def test_notebook_has_unique_speaking_cell_ids(notebook: str) -> None:
    ids = [cell.id for cell in read(notebook).cells]
    assert len(ids) == len(set(ids))
    for name in ids:
        assert re.fullmatch(r"[a-z][a-z0-9]*(-[a-z0-9]+)*", name), f"{name!r}: small letters, digits and hyphens"
        assert not re.fullmatch(r"[0-9a-f]{8}(-[0-9a-f-]+)?", name), f"{name!r} is a random id; give the cell a name"


def test_notebook_metadata_is_plain(notebook: str) -> None:
    book = read(notebook)
    assert book.metadata.kernelspec.name == "python3"
    assert "widgets" not in book.metadata


def test_notebook_names_no_machine(notebook: str) -> None:
    text = (ROOT / notebook).read_text(encoding="utf-8")
    assert not re.search(r"/home/|/Users/|/root/|C:\\\\", text)


def test_every_chapter_and_page_is_in_the_table_of_contents() -> None:
    listed = set(re.findall(r"(?:root|file): (\S+)", (ROOT / "_toc.yml").read_text(encoding="utf-8")))
    there = {
        path.relative_to(ROOT).with_suffix("").as_posix()
        for path in (ROOT / "book").rglob("*")
        if path.suffix in {".md", ".ipynb"} and not {"exercises", ".ipynb_checkpoints", "_static"} & set(path.parts)
    }
    assert listed == there


def test_chapter_has_every_part(chapter: str) -> None:
    book = read(chapter)
    headings = [
        line.lstrip("# ").lower()
        for cell in book.cells
        if cell.cell_type == "markdown"
        for line in cell.source.splitlines()
        if re.match(r"#{2,3} ", line)
    ]
    missing = [part for part, pattern in SECTIONS.items() if not any(re.search(pattern, h) for h in headings)]
    assert not missing, f"no heading for {missing} among {headings}"


def test_chapter_opens_with_the_funnel_and_shows_source_and_claims(chapter: str) -> None:
    cells = read(chapter).cells
    code = [cell.source for cell in cells if cell.cell_type == "code"]
    first = next(n for n, cell in enumerate(cells) if cell.cell_type == "code" and "funnel(" in cell.source)
    headings = [n for n, cell in enumerate(cells) if cell.cell_type == "markdown" and "## " in cell.source]
    assert first <= headings[1], "the funnel figure stands before the second section"
    assert any(re.search(r"\bshow\(", source) for source in code), "no source of the library is shown"
    assert sum(len(re.findall(r"\bclaim\(", source)) for source in code) >= 3, "fewer than three claims"


def test_chapter_cites(chapter: str) -> None:
    text = "\n".join(cell.source for cell in read(chapter).cells if cell.cell_type == "markdown")
    keys = {k.strip() for group in re.findall(r"\{cite[^}]*\}`([^`]+)`", text) for k in group.split(",")}
    known = set(re.findall(r"@\w+\{([^,\s]+),", (ROOT / "book/references.bib").read_text(encoding="utf-8")))
    assert keys, "the chapter cites nothing"
    assert keys <= known, f"not in references.bib: {sorted(keys - known)}"


def test_bibliography_entries_are_whole() -> None:
    entries = re.split(r"\n@", "\n" + (ROOT / "book/references.bib").read_text(encoding="utf-8"))[1:]
    assert len(entries) >= 20
    for entry in entries:
        fields = set(re.findall(r"^\s*(\w+)\s*=", entry, flags=re.M))
        assert {"author", "title", "year"} <= fields, entry.splitlines()[0]
        assert fields & {"journal", "booktitle", "publisher", "howpublished"}, entry.splitlines()[0]


def test_glossary_defines_at_least_eighty_terms_in_both_languages() -> None:
    text = (ROOT / "book/appendix/glossary.md").read_text(encoding="utf-8")
    body = text[text.index("```{glossary}") :].split("```")[1]
    definitions = re.findall(r"^  (\S.*)$", body, flags=re.M)
    assert len(definitions) >= 80
    bilingual = [d for d in definitions if re.match(r"^[^·]*(?:[\u4e00-\u9fff]|Swing)[^·]* · ", d)]
    assert bilingual == definitions


def test_configuration_asks_nothing_of_other_hosts() -> None:
    config = yaml.safe_load((ROOT / "_config.yml").read_text(encoding="utf-8"))
    assert config["sphinx"]["config"]["nb_ipywidgets_js"] == {}
    assert config["launch_buttons"] == {"thebe": False}
    assert config["execute"]["stderr_output"] == "error"
    assert config["execute"]["allow_errors"] is False


@pytest.mark.parametrize("name", ["README.md", "CONTRIBUTING.md", "LICENSE", "LICENSE-TEXT", "CITATION.cff"])
def test_the_papers_of_the_house_are_there(name: str) -> None:
    assert (ROOT / name).stat().st_size > 300
