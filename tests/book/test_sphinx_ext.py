"""The execution cache must not outlive what the notebooks computed with."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from rectutor.sphinx_ext import drop_stale_outputs, drop_thebe, fingerprint, prune


@pytest.fixture
def project(tmp_path: Path) -> Path:
    for name, text in (
        ("rectutor/a.py", "A = 1"),
        ("datasets/t.csv", "1"),
        ("requirements.txt", "x==1"),
        ("book/i.md", "#"),
    ):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text, encoding="utf-8")
    cache = tmp_path / "_build" / ".jupyter_cache"
    cache.mkdir(parents=True)
    (cache / "global.db").touch()
    (tmp_path / "_build" / ".doctrees").mkdir()
    (tmp_path / "_build" / ".doctrees" / "environment.pickle").touch()
    return tmp_path


def build(project: Path) -> bool:
    """Start a build; whether the cache survived."""
    app = SimpleNamespace(outdir=str(project / "_build" / "html"), srcdir=str(project))
    drop_stale_outputs(cast(Any, app), cast(Any, None))
    return (project / "_build" / ".jupyter_cache" / "global.db").exists()


def fill(project: Path) -> None:
    (project / "_build" / ".jupyter_cache").mkdir(exist_ok=True)
    (project / "_build" / ".jupyter_cache" / "global.db").touch()
    (project / "_build" / ".doctrees" / "environment.pickle").touch()


@pytest.mark.parametrize(
    "name", ["rectutor/a.py", "datasets/t.csv", "requirements.txt", "rectutor/new.css", "datasets/new.json"]
)
def test_a_change_of_library_data_or_lock_drops_the_outputs(project: Path, name: str) -> None:
    build(project)
    fill(project)
    assert build(project)
    with (project / name).open("a", encoding="utf-8") as file:
        file.write("\n# changed")
    assert not build(project)
    assert not (project / "_build" / ".doctrees" / "environment.pickle").exists()


@pytest.mark.parametrize("name", ["book/i.md", "rectutor/__pycache__/a.pyc", "README.md"])
def test_other_changes_keep_them(project: Path, name: str) -> None:
    build(project)
    fill(project)
    (project / name).parent.mkdir(exist_ok=True)
    (project / name).write_text("changed", encoding="utf-8")
    assert build(project)


def test_a_renamed_file_changes_the_fingerprint(project: Path) -> None:
    before = fingerprint(project)
    (project / "datasets/t.csv").rename(project / "datasets/u.csv")
    assert fingerprint(project) != before


def test_a_first_build_trusts_no_cache(project: Path) -> None:
    assert not build(project)


def test_live_code_scripts_are_taken_out() -> None:
    context: dict[str, Any] = {"script_files": ["a.js", "sphinx-thebe.js"], "css_files": ["thebe.css", "book.css"]}
    drop_thebe(cast(Any, None), "p", "t", context, None)
    assert context == {"script_files": ["a.js"], "css_files": ["book.css"]}


def test_pages_that_left_the_contents_go_and_others_stay(tmp_path: Path) -> None:
    for name in ("book/a.html", "book/gone/b.html", "_static/mathjax/sre/x.json", "_static/mathjax/tex-chtml.js"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    app = SimpleNamespace(
        outdir=str(tmp_path), builder=SimpleNamespace(format="html"), env=SimpleNamespace(found_docs={"book/a"})
    )
    prune(cast(Any, app), None)
    left = {p.relative_to(tmp_path).as_posix() for p in tmp_path.rglob("*") if p.is_file()}
    assert left == {"book/a.html", "_static/mathjax/tex-chtml.js"}
    assert not (tmp_path / "_static/mathjax/sre").exists()
