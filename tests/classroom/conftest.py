"""The small chapter in the place of those of the book."""

from __future__ import annotations

import sys
from pathlib import Path

import nbformat
import pytest

from rectutor.classroom import notebooks
from tests.classroom import small


@pytest.fixture
def small_chapter(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> notebooks.Assignment:
    folder = tmp_path / "source"
    folder.mkdir()
    nbformat.write(small.source(), folder / "small.ipynb")  # type: ignore[no-untyped-call]
    monkeypatch.setattr(notebooks, "FOLDER", folder)
    monkeypatch.setitem(sys.modules, "rectutor.classroom.small", small)
    return notebooks.Assignment.load("small")
