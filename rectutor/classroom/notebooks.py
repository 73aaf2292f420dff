"""The notebooks of a class: from one source to the students' version, and from a student's back to something to run.

The source of a chapter's exercises is ``book/exercises/<chapter>.ipynb``, in nbgrader's form: an *answer* cell holds
the solution between ``### BEGIN SOLUTION`` and ``### END SOLUTION``, a *check* cell carries the points and calls
``check``.
"""

from __future__ import annotations

import copy
import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import nbformat

import rectutor

FOLDER = Path(rectutor.__file__).parents[1] / "book" / "exercises"
"""Where the sources lie."""
BEGIN, END = "### BEGIN SOLUTION", "### END SOLUTION"
STUB = ("# YOUR CODE HERE", "raise NotImplementedError()")
"""What stands in the student's version for the solution; the same as nbgrader's."""
CHECKED = "nbval-check-output"
"""The tag of cells whose stored output is compared by nbval."""
GIVEN = "given"
"""The tag of cells that answers build on: they run before the answers, wherever these run."""
LARGEST = 20 << 20
"""Bytes of a notebook that is read."""

Notebook = Any


def chapters() -> list[str]:
    """The chapters that have exercises."""
    return sorted(path.stem for path in FOLDER.glob("*.ipynb"))


@dataclass(frozen=True)
class Assignment:
    """The exercises of one chapter.

    Args:
        chapter: its name.
        source: its notebook, solutions and all.
    """

    chapter: str
    source: Notebook

    @classmethod
    def load(cls, chapter: str) -> Assignment:
        """Read the source of a chapter's exercises.

        Raises:
            ValueError: there are no such exercises.
        """
        path = FOLDER / f"{chapter}.ipynb"
        if not path.exists():
            there = ", ".join(chapters()) or f"none in {FOLDER}"
            raise ValueError(f"there are no exercises {chapter!r}; there are {there}")
        return cls(chapter, nbformat.read(path, as_version=4))  # type: ignore[no-untyped-call]

    @cached_property
    def solutions(self) -> dict[str, str]:
        """The source of every answer cell, by the name of its exercise."""
        return {answer_name(cell): cell.source for cell in self.source.cells if answer_name(cell)}

    @cached_property
    def points(self) -> dict[str, int]:
        """The points of every exercise."""
        return {check_name(c): int(c.metadata.nbgrader.points) for c in self.source.cells if check_name(c)}

    @cached_property
    def given(self) -> list[str]:
        """The cells that answers build on."""
        return [cell.source for cell in self.source.cells if GIVEN in cell.metadata.get("tags", [])]

    @cached_property
    def blanks(self) -> dict[str, str]:
        """The answer cells as students get them."""
        return {name: without_solution(source) for name, source in self.solutions.items()}

    def with_answers(self, answers: Mapping[str, str]) -> Notebook:
        """The notebook with these answers, blank where one is missing, and the stored verdicts that nbval compares."""
        notebook = copy.deepcopy(self.source)
        for number, cell in enumerate([cell for cell in notebook.cells if cell.cell_type == "code"], 1):
            cell.outputs, cell.execution_count = [], None
            if name := answer_name(cell):
                cell.source = answers.get(name, self.blanks[name])
            if name := check_name(cell):
                text = f"{name}: correct\n"
                cell.outputs = [nbformat.v4.new_output("stream", name="stdout", text=text)]  # type: ignore[no-untyped-call]
                cell.execution_count = number  # nbval compares the outputs of cells that were run
        return notebook

    def student(self) -> Notebook:
        """The notebook that students get."""
        return self.with_answers({})

    def write_student(self, folder: Path) -> Path:
        """Write the students' version into a folder and return its path; the same source gives the same bytes.

        Raises:
            ValueError: another notebook of this name is there, which may hold somebody's work.
        """
        folder.mkdir(parents=True, exist_ok=True)
        path, text = folder / f"{self.chapter}.ipynb", text_of(self.student())
        if path.exists() and path.read_text(encoding="utf-8", errors="replace") != text:
            raise ValueError(f"{path} is there and may hold answers; move it away, or name another folder (--out)")
        path.write_text(text, encoding="utf-8")
        return path


def text_of(notebook: Notebook) -> str:
    """A notebook as the text of its file."""
    return str(nbformat.writes(notebook, version=4)) + "\n"  # type: ignore[no-untyped-call]


def answer_name(cell: Any) -> str:
    """The exercise that a code cell answers, or ""."""
    about = _nbgrader(cell)
    return _name(about) if cell.get("cell_type") == "code" and about.get("solution") and not about.get("grade") else ""


def check_name(cell: Any) -> str:
    """The exercise that a code cell checks, or ""."""
    about = _nbgrader(cell)
    checks = cell.get("cell_type") == "code" and about.get("grade") and not about.get("solution")
    return _name(about).removesuffix("-check") if checks else ""


def _nbgrader(cell: Any) -> Mapping[str, Any]:
    metadata = cell.get("metadata")
    about = metadata.get("nbgrader") if isinstance(metadata, Mapping) else None
    return about if isinstance(about, Mapping) else {}


def _name(about: Mapping[str, Any]) -> str:
    name = about.get("grade_id")
    return name if isinstance(name, str) else ""


def without_solution(source: str) -> str:
    """An answer cell with the stub in place of its solutions.

    Raises:
        ValueError: the markers do not come in pairs, or there are none.

    >>> print(without_solution("def f(x):\\n    ### BEGIN SOLUTION\\n    return 2 * x\\n    ### END SOLUTION"))
    def f(x):
        # YOUR CODE HERE
        raise NotImplementedError()
    """
    kept, inside, found = [], False, False
    for line in source.splitlines():
        marker = line.strip()
        if marker in (BEGIN, END):
            if inside == (marker == BEGIN):
                raise ValueError(f"{marker!r} does not belong there; every {BEGIN!r} needs one {END!r}")
            inside, found = not inside, True
            if inside:
                indent = line[: len(line) - len(line.lstrip())]
                kept += [indent + stub for stub in STUB]
        elif not inside:
            kept.append(line)
    if inside or not found:
        raise ValueError(f"an answer cell has no {BEGIN if not found else END!r}; the solution stands between the two")
    return "\n".join(kept)


# -- what a student hands in -----------------------------------------------------------------------------------
@dataclass(frozen=True)
class Submission:
    """The answers found in a student's notebook.

    Args:
        answers: source by exercise; only those found exactly once.
        doubled: exercises with more than one answer cell.
        missing: exercises without one.
        remarks: what else differs from the notebook that was handed out.
    """

    answers: dict[str, str]
    doubled: list[str]
    missing: list[str]
    remarks: list[str]


def read_cells(path: Path) -> list[dict[str, Any]]:
    """The cells of a notebook file that may hold anything.

    Raises:
        ValueError: it is no notebook; the message says why.
    """
    try:
        if path.exists() and not path.is_file():
            raise ValueError(f"{path} is not a notebook: it is no file")
        size = path.stat().st_size
        if size > LARGEST:
            raise ValueError(f"{path} has {size:,} bytes; a notebook of exercises has at most {LARGEST:,}")
        text = path.read_text(encoding="utf-8-sig")  # some editors put a mark before the text
    except OSError as error:
        raise ValueError(f"{path} cannot be read: {error.strerror}") from None
    except UnicodeDecodeError:
        raise ValueError(f"{path} is not a notebook: it is no text in UTF-8") from None
    try:
        document = json.loads(text)
    except (ValueError, RecursionError) as error:
        where = f" (line {error.lineno})" if isinstance(error, json.JSONDecodeError) else ""
        raise ValueError(f"{path} is not a notebook: it is no JSON{where}; was it saved whole?") from None
    if isinstance(document, dict) and "worksheets" in document:
        raise ValueError(f"{path} is in an old format; open it in JupyterLab and save it again")
    cells = document.get("cells") if isinstance(document, dict) else None
    if not isinstance(cells, list) or not all(isinstance(cell, dict) for cell in cells):
        raise ValueError(f"{path} is not a notebook: it has no cells; hand in the .ipynb file that JupyterLab saves")
    return [cell | {"source": _source(cell)} for cell in cells]


def _source(cell: Mapping[str, Any]) -> str:
    source = cell.get("source", "")
    if isinstance(source, list) and all(isinstance(line, str) for line in source):
        source = "".join(source)
    return source if isinstance(source, str) else ""


def _answered(cell: Mapping[str, Any]) -> str:
    """The exercise that a student's cell answers, or "": by grade id, or by cell id where a tool dropped that."""
    if _nbgrader(cell) or cell.get("cell_type") != "code":
        return answer_name(cell)
    metadata = cell.get("metadata")
    own = cell.get("id") or (metadata.get("id") if isinstance(metadata, Mapping) else None)
    return str(own or "").replace("-", "_")


def chapter_of(cells: list[dict[str, Any]]) -> str | None:
    """The chapter whose exercises a notebook holds, by the names of its answer cells; None where it holds none."""
    names = {_answered(cell) for cell in cells}
    shared = {chapter: len(names & set(Assignment.load(chapter).solutions)) for chapter in chapters()}
    best = max(shared, key=lambda chapter: shared[chapter], default=None)
    return best if best is not None and shared[best] > 0 else None


def submission(cells: list[dict[str, Any]], assignment: Assignment) -> Submission:
    """Find the answers in the cells of a student's notebook."""
    found: dict[str, list[str]] = {name: [] for name in assignment.solutions}
    checks = {check_name(cell): cell.source.strip() for cell in assignment.source.cells if check_name(cell)}
    known = {cell.source.strip() for cell in assignment.source.cells}
    seen, added = set(), 0
    for cell in cells:
        name, source = _answered(cell), cell["source"].strip()
        if name in found:
            found[name].append(cell["source"])
        elif cell.get("cell_type") == "code":
            seen.add(source)
            added += bool(source) and source not in known and check_name(cell) not in checks
    remarks = [
        f"the check of {name} was changed or removed; the original was used"
        for name, source in checks.items()
        if source not in seen
    ]
    if added:
        remarks.append(
            f"{added} cell{'s' if added > 1 else ''} beside the answers left out; an answer stands in its own cell"
        )
    return Submission(
        {name: sources[0] for name, sources in found.items() if len(sources) == 1},
        [name for name, sources in found.items() if len(sources) > 1],
        [name for name, sources in found.items() if not sources],
        remarks,
    )
