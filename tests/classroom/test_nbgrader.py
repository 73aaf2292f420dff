"""nbgrader itself reads the sources: it makes the students' notebook, and grades solved and blank ones."""

from __future__ import annotations

import csv
import os
import shutil
import subprocess
import sys
from pathlib import Path

import nbformat
import pytest

from rectutor.classroom.notebooks import FOLDER, Assignment, chapters, text_of


def nbgrader(course: Path, *words: str) -> None:
    environment = {k: v for k, v in os.environ.items() if k not in ("RECTUTOR_STATIC", "PYTEST_CURRENT_TEST")}
    environment |= {"PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}", "IPYTHONDIR": str(course)}
    command = [sys.executable, "-m", "nbgrader", *words]
    run = subprocess.run(command, cwd=course, env=environment, capture_output=True, text=True, timeout=300)
    assert run.returncode == 0, run.stderr[-3000:]


@pytest.mark.slow
@pytest.mark.parametrize("topic", chapters())
def test_nbgrader_hands_out_and_grades(topic: str, tmp_path: Path) -> None:
    assignment, chapter = Assignment.load(topic), topic
    (tmp_path / "source" / chapter).mkdir(parents=True)
    shutil.copy(FOLDER / f"{chapter}.ipynb", tmp_path / "source" / chapter)
    nbgrader(tmp_path, "generate_assignment", chapter)
    released = nbformat.read(tmp_path / "release" / chapter / f"{chapter}.ipynb", as_version=4)  # type: ignore[no-untyped-call]
    ours = assignment.student()
    assert [(c.cell_type, c.source) for c in released.cells] == [(c.cell_type, c.source) for c in ours.cells]

    for student, notebook in (("solved", assignment.with_answers(assignment.solutions)), ("blank", ours)):
        folder = tmp_path / "submitted" / student / chapter
        folder.mkdir(parents=True)
        (folder / f"{chapter}.ipynb").write_text(text_of(notebook), encoding="utf-8")
    nbgrader(tmp_path, "autograde", chapter)
    nbgrader(tmp_path, "export")
    with (tmp_path / "grades.csv").open(encoding="utf-8", newline="") as file:
        scores = {row["student_id"]: (float(row["score"]), float(row["max_score"])) for row in csv.DictReader(file)}
    total = float(sum(assignment.points.values()))
    assert scores == {"solved": (total, total), "blank": (0.0, total)}
