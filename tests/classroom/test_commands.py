"""``rectutor exercises`` and ``rectutor check``, as one types them."""

from __future__ import annotations

import csv
from pathlib import Path

import pytest

from rectutor.classroom.notebooks import Assignment, chapters, text_of
from rectutor.cli import main


def test_exercises_writes_every_chapter(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["exercises", "--out", str(tmp_path / "mine")]) == 0
    assert sorted(path.stem for path in (tmp_path / "mine").iterdir()) == chapters()
    printed = capsys.readouterr().out
    for chapter in chapters():
        assignment = Assignment.load(chapter)
        line = next(line for line in printed.splitlines() if f"{chapter}.ipynb" in line)
        assert f"{len(assignment.points)} exercises, {sum(assignment.points.values())} points" in line
        assert (tmp_path / "mine" / f"{chapter}.ipynb").read_text(encoding="utf-8") == text_of(assignment.student())


def test_exercises_never_writes_over_work(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    first, *others = chapters()
    assignment = Assignment.load(first)
    work = text_of(assignment.with_answers(assignment.solutions))
    (tmp_path / f"{first}.ipynb").write_text(work, encoding="utf-8")
    assert main(["exercises", "--out", str(tmp_path)]) == 2
    assert (tmp_path / f"{first}.ipynb").read_text(encoding="utf-8") == work
    assert all((tmp_path / f"{other}.ipynb").exists() for other in others)
    assert "may hold answers" in capsys.readouterr().err
    assert main(["exercises", *others, "--out", str(tmp_path)]) == 0  # what is still blank may be written again


def test_an_unknown_chapter_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["exercises", "nothing", "--out", str(tmp_path)]) == 2
    assert "there are no exercises 'nothing'" in capsys.readouterr().err


@pytest.mark.slow
def test_check_prints_a_table_and_passes_only_what_is_all_correct(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assignment = Assignment.load("evaluation")
    solved, half = tmp_path / "solved.ipynb", tmp_path / "half.ipynb"
    solved.write_text(text_of(assignment.with_answers(assignment.solutions)), encoding="utf-8")
    some = {name: source for name, source in assignment.solutions.items() if name != "leaks"}
    half.write_text(text_of(assignment.with_answers(some)), encoding="utf-8")
    total = sum(assignment.points.values())

    assert main(["check", str(solved)]) == 0
    assert f"{total} of {total} points" in capsys.readouterr().out
    assert main(["check", str(half)]) == 1
    table = capsys.readouterr().out
    assert f"{total - assignment.points['leaks']} of {total} points" in table
    assert [line.split()[-1] for line in table.splitlines() if line.split()[:1] == ["leaks"]] == ["blank"]

    points = tmp_path / "points.csv"
    assert main(["check", str(tmp_path), "--csv", str(points)]) == 1
    with points.open(encoding="utf-8-sig", newline="") as file:
        rows = {Path(row["notebook"]).stem: row for row in csv.DictReader(file)}
    assert {stem: row["points"] for stem, row in rows.items()} == {
        "solved": str(total),
        "half": str(total - assignment.points["leaks"]),
    }
    assert rows["half"]["leaks verdict"] == "blank"


@pytest.mark.parametrize("what", ["missing.ipynb", "empty"])
def test_check_says_what_is_not_there(tmp_path: Path, capsys: pytest.CaptureFixture[str], what: str) -> None:
    (tmp_path / "empty").mkdir()
    assert main(["check", str(tmp_path / what)]) == 2
    assert str(tmp_path / what) in capsys.readouterr().err
