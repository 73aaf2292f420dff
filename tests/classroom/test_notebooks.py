"""From the source to the students' notebook, and back from what students hand in."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import nbformat
import pytest

from rectutor.classroom import notebooks
from rectutor.classroom.notebooks import (
    BEGIN,
    CHECKED,
    END,
    Assignment,
    answer_name,
    chapter_of,
    chapters,
    check_name,
    read_cells,
    submission,
    text_of,
    without_solution,
)
from tests.classroom.small import SOLUTIONS, about, cell, hand_in, notebook_of


# -- the book's own --------------------------------------------------------------------------------------------
@pytest.fixture(params=chapters())
def assignment(request: pytest.FixtureRequest) -> Assignment:
    return Assignment.load(request.param)


def test_sources_are_notebooks_in_the_form_of_nbgrader(assignment: Assignment) -> None:
    nbformat.validate(assignment.source)
    identifiers, grades = [], []
    for one in assignment.source.cells:
        about_it = one.metadata.nbgrader
        identifiers.append(one.id)
        grades.append(about_it.grade_id)
        assert about_it.schema_version == 3
        assert about_it.task is False
        assert about_it.locked is not (about_it.solution and not about_it.grade)
        assert not one.get("outputs")
        assert one.get("execution_count") is None
        if answer_name(one):
            assert one.id == answer_name(one).replace("_", "-")
        if check_name(one):
            assert one.source == f'check("{check_name(one)}", {check_name(one)})'
            assert CHECKED in one.metadata.tags
    assert len(set(identifiers)) == len(identifiers)
    assert len(set(grades)) == len(grades)


def test_every_exercise_is_a_task_an_answer_and_a_check(assignment: Assignment) -> None:
    cells = assignment.source.cells
    for name in assignment.points:
        at = next(n for n, one in enumerate(cells) if answer_name(one) == name)
        assert cells[at - 1].cell_type == "markdown"
        assert check_name(cells[at + 1]) == name
        points = assignment.points[name]
        assert f"{points} point{'s' if points > 1 else ''}" in cells[at - 1].source


def test_there_are_cells_that_answers_build_on(assignment: Assignment) -> None:
    assert assignment.given
    for one in assignment.given:
        compile(one, "given", "exec")
        assert "rectutor" not in one, "it runs where there is no library"


def test_students_get_no_solution(assignment: Assignment) -> None:
    text = text_of(assignment.student())
    assert BEGIN not in text
    assert END not in text
    for name, source in assignment.solutions.items():
        inside = source[source.index(BEGIN) : source.index(END)].splitlines()[1:]
        blank = assignment.blanks[name]
        assert blank.splitlines()[-1].strip() == "raise NotImplementedError()"
        for line in inside:
            assert line.strip() not in [other.strip() for other in blank.splitlines()] or len(line.strip()) < 3


def test_students_notebooks_are_the_same_bytes_each_time(assignment: Assignment, tmp_path: Path) -> None:
    first = assignment.write_student(tmp_path / "a")
    second = Assignment.load(assignment.chapter).write_student(tmp_path / "deep" / "b")
    assert first.read_bytes() == second.read_bytes()
    assert first.name == f"{assignment.chapter}.ipynb"
    assert b"\r" not in first.read_bytes()
    student = nbformat.read(first, as_version=4)  # type: ignore[no-untyped-call]
    nbformat.validate(student)
    assert [c.id for c in student.cells] == [c.id for c in assignment.source.cells]


def test_students_notebooks_carry_the_verdicts_that_nbval_compares(assignment: Assignment) -> None:
    for one in assignment.student().cells:
        name = check_name(one)
        if name:
            assert [output.text for output in one.outputs] == [f"{name}: correct\n"]
            assert one.execution_count, "nbval compares the outputs of cells that were run"
        elif one.cell_type == "code":
            assert (one.outputs, one.execution_count) == ([], None)


def test_what_students_get_comes_back(assignment: Assignment, tmp_path: Path) -> None:
    path = tmp_path / "any-name.ipynb"
    path.write_text(text_of(assignment.with_answers(assignment.solutions)), encoding="utf-8")
    cells = read_cells(path)
    assert chapter_of(cells) == assignment.chapter
    handed = submission(cells, assignment)
    assert handed.answers == assignment.solutions
    assert (handed.doubled, handed.missing, handed.remarks) == ([], [], [])
    handed = submission(read_cells(assignment.write_student(tmp_path)), assignment)
    assert handed.answers == assignment.blanks
    assert handed.remarks == []


def test_answers_are_put_in_and_nothing_else_changes(assignment: Assignment) -> None:
    name = next(iter(assignment.points))
    mine = assignment.with_answers({name: "x = 1"})
    for ours, theirs in zip(mine.cells, assignment.student().cells, strict=True):
        assert ours.source == ("x = 1" if answer_name(ours) == name else theirs.source)
        assert ours.metadata == theirs.metadata
    assert assignment.solutions[name] != "x = 1", "the source stays as it is"


def test_unknown_chapters() -> None:
    with pytest.raises(ValueError, match=r"there are no exercises .astrology.; there are .*cf"):
        Assignment.load("astrology")


# -- stubs -----------------------------------------------------------------------------------------------------
def test_stub_stands_for_the_solution() -> None:
    source = f"def f(x):\n    y = 1\n    {BEGIN}\n    y = 2\n    {END}\n    z = 3\n    {BEGIN}\n    {END}"
    stub = "    # YOUR CODE HERE\n    raise NotImplementedError()"
    assert without_solution(source) == f"def f(x):\n    y = 1\n{stub}\n    z = 3\n{stub}"


@pytest.mark.parametrize(
    ("lines", "said"),
    [
        ([], "an answer cell has no '### BEGIN SOLUTION'"),
        ([BEGIN], "an answer cell has no '### END SOLUTION'"),
        ([END], "'### END SOLUTION' does not belong there"),
        ([BEGIN, BEGIN, END], "'### BEGIN SOLUTION' does not belong there"),
        ([BEGIN, END, END], "'### END SOLUTION' does not belong there"),
        ([END, BEGIN], "'### END SOLUTION' does not belong there"),
    ],
)
def test_markers_come_in_pairs(lines: list[str], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        without_solution("\n".join(["def f():", *lines]))


# -- files that hold anything ----------------------------------------------------------------------------------
DEEP = '{"cells": ' + "[" * 100_000 + "]" * 100_000 + "}"
BROKEN = {
    "empty": (b"", r"is no JSON \(line 1\); was it saved whole\?"),
    "text": (b"hello", "is no JSON"),
    "cut-off": (b'{"cells": [{"cell_type": "code", "sour', "is no JSON"),
    "merge-conflict": (b'{\n<<<<<<< HEAD\n "cells": []\n}', r"is no JSON \(line 2\)"),
    "list": (b"[]", "has no cells"),
    "number": (b"5", "has no cells"),
    "null": (b"null", "has no cells"),
    "no-cells": (b"{}", "has no cells"),
    "cells-no-list": (b'{"cells": {}}', "has no cells"),
    "cells-no-dicts": (b'{"cells": [1, "x"]}', "has no cells"),
    "format-3": (b'{"nbformat": 3, "worksheets": [{"cells": []}]}', "old format; open it in JupyterLab"),
    "image": (b"\x89PNG\r\n\x1a\n" + bytes(range(256)), "no text in UTF-8"),
    "utf-16": ('{"cells": []}'.encode("utf-16"), "no text in UTF-8"),
    "nulls": (bytes(100), "is no JSON"),
    "deep": (DEEP.encode(), "is no JSON"),
    "long-number": (b'{"cells": ' + b"1" * 10_000 + b"}", "is no JSON"),
}


@pytest.mark.parametrize("name", BROKEN)
def test_files_that_are_no_notebooks_are_said_to_be_none(name: str, tmp_path: Path) -> None:
    content, said = BROKEN[name]
    path = tmp_path / "x.ipynb"
    path.write_bytes(content)
    with pytest.raises(ValueError, match=said) as error:
        read_cells(path)
    assert str(error.value).startswith(str(path))


def test_files_that_cannot_be_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ValueError, match="cannot be read: No such file"):
        read_cells(tmp_path / "x.ipynb")
    with pytest.raises(ValueError, match="it is no file"):
        read_cells(tmp_path)
    os.mkfifo(tmp_path / "pipe.ipynb")
    with pytest.raises(ValueError, match="it is no file"):
        read_cells(tmp_path / "pipe.ipynb")
    (tmp_path / "large.ipynb").write_bytes(b" " * (30 << 20))
    with pytest.raises(ValueError, match="has 31,457,280 bytes; a notebook of exercises has at most 20,971,520"):
        read_cells(tmp_path / "large.ipynb")


def test_a_mark_before_the_text_is_no_fault(tmp_path: Path) -> None:
    path = tmp_path / "x.ipynb"
    path.write_bytes(b"\xef\xbb\xbf" + json.dumps(notebook_of({})).encode())
    assert len(read_cells(path)) == 12


@pytest.mark.parametrize(
    ("source", "text"), [("a\nb", "a\nb"), (["a\n", "b"], "a\nb"), (["a", 1], ""), (5, ""), (None, ""), ({}, "")]
)
def test_sources_are_text(source: Any, text: str, tmp_path: Path) -> None:
    path = tmp_path / "x.ipynb"
    path.write_text(json.dumps({"cells": [{"cell_type": "code", "source": source}]}))
    assert [one["source"] for one in read_cells(path)] == [text]


# -- finding the answers ---------------------------------------------------------------------------------------
def found(assignment: Assignment, path: Path) -> notebooks.Submission:
    cells = read_cells(path)
    assert chapter_of(cells) == "small"
    return submission(cells, assignment)


def test_odd_metadata_and_sources_are_taken_as_none(small_chapter: Assignment, tmp_path: Path) -> None:
    def edit(document: dict[str, Any]) -> None:
        odd: list[Any] = [None, 5, "x", [], {"nbgrader": None}, {"nbgrader": []}, {"nbgrader": {"grade_id": 5}}]
        odd += [{"nbgrader": {"grade_id": ["share"], "solution": True}}, {"nbgrader": {"solution": "yes"}}]
        document["cells"] += [{"cell_type": "code", "metadata": metadata} for metadata in odd]
        document["cells"] += [{}, {"cell_type": 5, "source": "x"}, {"id": ["share"]}, {"cell_type": "code", "id": 7}]
        del document["metadata"], document["nbformat"], document["nbformat_minor"]

    handed = found(small_chapter, hand_in(tmp_path / "x.ipynb", SOLUTIONS, edit))
    assert handed.answers == SOLUTIONS
    assert handed.remarks == []


def test_notebooks_that_lost_the_metadata_of_their_cells(small_chapter: Assignment, tmp_path: Path) -> None:
    """Other editors keep the identifiers of cells, or put them into the metadata, and drop the rest."""

    def of_cells(document: dict[str, Any]) -> None:
        for one in document["cells"]:
            one["metadata"] = {}

    def of_metadata(document: dict[str, Any]) -> None:
        for one in document["cells"]:
            one["metadata"] = {"id": one.pop("id"), "colab": {}}

    for edit in (of_cells, of_metadata):
        handed = found(small_chapter, hand_in(tmp_path / "x.ipynb", SOLUTIONS, edit))
        assert handed.answers == SOLUTIONS
        assert (handed.doubled, handed.missing, handed.remarks) == ([], [], [])


def test_identifiers_with_hyphens_stand_for_names_with_underscores(tmp_path: Path) -> None:
    assignment = Assignment.load("evaluation")
    document = json.loads(text_of(assignment.with_answers(assignment.solutions)))
    for one in document["cells"]:
        one["metadata"] = {}
    path = tmp_path / "x.ipynb"
    path.write_text(json.dumps(document))
    cells = read_cells(path)
    assert chapter_of(cells) == "evaluation"
    assert submission(cells, assignment).answers == assignment.solutions


def test_answers_may_stand_in_any_order(small_chapter: Assignment, tmp_path: Path) -> None:
    path = hand_in(tmp_path / "x.ipynb", SOLUTIONS, lambda document: document["cells"].reverse())
    assert found(small_chapter, path).answers == SOLUTIONS


def test_two_answers_are_none(small_chapter: Assignment, tmp_path: Path) -> None:
    path = hand_in(tmp_path / "x.ipynb", SOLUTIONS, lambda d: d["cells"].append(cell(d, "share")))
    handed = found(small_chapter, path)
    assert handed.doubled == ["share"]
    assert set(handed.answers) == {"total", "ranked"}


def test_missing_answers(small_chapter: Assignment, tmp_path: Path) -> None:
    def edit(document: dict[str, Any]) -> None:
        document["cells"].remove(cell(document, "share"))
        cell(document, "ranked")["cell_type"] = "markdown"

    handed = found(small_chapter, hand_in(tmp_path / "x.ipynb", SOLUTIONS, edit))
    assert handed.missing == ["share", "ranked"]
    assert set(handed.answers) == {"total"}


def test_remarks_on_what_was_changed(small_chapter: Assignment, tmp_path: Path) -> None:
    def edit(document: dict[str, Any]) -> None:
        cell(document, "share-check")["source"] = "print('share: correct')"
        document["cells"].remove(cell(document, "total-check"))
        cell(document, "ranked-check")["source"] += "\n"
        cell(document, "ranked-check")["outputs"] = []
        document["cells"] += [
            {"cell_type": "code", "metadata": {}, "source": "1 + 1"},
            {"cell_type": "code", "metadata": {}, "source": "  \n"},
            {"cell_type": "markdown", "metadata": {}, "source": "A note."},
        ]

    handed = found(small_chapter, hand_in(tmp_path / "x.ipynb", SOLUTIONS, edit))
    assert handed.remarks == [
        "the check of total was changed or removed; the original was used",
        "the check of share was changed or removed; the original was used",
        "1 cell beside the answers left out; an answer stands in its own cell",
    ]
    path = hand_in(tmp_path / "x.ipynb", {}, lambda d: d["cells"].extend([{"cell_type": "code", "source": "2"}] * 2))
    assert found(small_chapter, path).remarks == [
        "2 cells beside the answers left out; an answer stands in its own cell"
    ]


def test_notebooks_of_no_chapter(small_chapter: Assignment) -> None:
    assert chapter_of([]) is None
    assert chapter_of([{"cell_type": "code", "source": "x", "metadata": about("other", solution=True)}]) is None
    assert chapter_of([{"cell_type": "code", "source": "x", "metadata": about("share", solution=True)}]) == "small"
