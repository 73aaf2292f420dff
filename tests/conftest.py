"""What several test folders share: the pages of the book, found in its table of contents, and the built book."""

from __future__ import annotations

import importlib
import os
import pkgutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import yaml

if TYPE_CHECKING:
    from rectutor.widgets import Explorer

ROOT = Path(__file__).resolve().parents[1]


def documents(node: Any) -> Iterator[str]:
    """Names of all pages in a table of contents, in reading order."""
    if isinstance(node, list):
        for entry in node:
            yield from documents(entry)
    elif isinstance(node, dict):
        yield from [node[key] for key in ("root", "file") if key in node]
        for key in ("parts", "chapters", "sections"):
            yield from documents(node.get(key, []))


PAGES = list(documents(yaml.safe_load((ROOT / "_toc.yml").read_text(encoding="utf-8"))))
NOTEBOOKS = sorted(p.relative_to(ROOT).as_posix() for p in (ROOT / "book").rglob("*.ipynb") if "." not in p.parent.name)
CHAPTERS = [n for n in NOTEBOOKS if n.split("/")[1] not in ("appendix", "exercises", "index.ipynb")]
MOVING = [n.removesuffix(".ipynb") for n in NOTEBOOKS if "rectutor.widgets" in (ROOT / n).read_text("utf-8")]
MOVING = [page for page in MOVING if page in PAGES]
"""Pages with explorables."""


def explorables() -> list[type[Explorer]]:
    """All explorables of the library, found in its modules: a new one is tested without being named here."""
    from rectutor import widgets

    names = [module.name for module in pkgutil.walk_packages(widgets.__path__, f"{widgets.__name__}.")]
    return [
        thing
        for name in names
        for thing in vars(importlib.import_module(name)).values()
        if isinstance(thing, type) and issubclass(thing, widgets.Explorer) and thing.__module__ == name
        if thing is not widgets.Explorer and not thing.__name__.startswith("_")
    ]


def exercises() -> list[tuple[str, str]]:
    """Chapter and name of every exercise."""
    from rectutor.classroom.grading import exercises_of
    from rectutor.classroom.notebooks import chapters

    return [(chapter, name) for chapter in chapters() for name in exercises_of(chapter)]


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Run a test that asks for ``page``, ``notebook``, ``chapter``, ... once for each that there is."""
    for argument, values in (("page", PAGES), ("notebook", NOTEBOOKS), ("chapter", CHAPTERS), ("moving", MOVING)):
        if argument in metafunc.fixturenames:
            metafunc.parametrize(argument, values)
    if "explorable" in metafunc.fixturenames:
        metafunc.parametrize("explorable", explorables(), ids=lambda thing: thing.__name__)
    if "exercise" in metafunc.fixturenames:
        metafunc.parametrize("exercise", exercises(), ids="-".join)


@dataclass(frozen=True)
class Site:
    """The built book: its folder and what the build said."""

    folder: Path
    log: str
    status: int

    def file(self, page: str) -> Path:
        return self.folder / f"{page}.html"


@pytest.fixture(scope="session")
def built() -> Site:
    """The book, built afresh with warnings as errors; executed cells come from the cache where nothing changed."""
    command = [
        str(Path(sys.executable).with_name("jupyter-book")),
        "build",
        str(ROOT),
        "-W",
        "-n",
        "--keep-going",
        "--all",
    ]
    environment = {k: v for k, v in os.environ.items() if k not in ("PYTEST_CURRENT_TEST", "RECTUTOR_STATIC")}
    run = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=1500, env=environment)
    return Site(ROOT / "_build" / "html", run.stdout + run.stderr, run.returncode)


@pytest.fixture(scope="session")
def site(built: Site) -> Site:
    """The built book, for tests that need it whole."""
    if built.status != 0:
        pytest.fail("the book does not build; test_strict_build_says_no_warning shows why", pytrace=False)
    return built
