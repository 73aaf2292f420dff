"""A chapter of three small exercises, and notebooks that students of it hand in."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import nbformat
import numpy as np
from hypothesis import strategies as st

from rectutor.classroom.exercise import Arguments, Exercise, Misconception, by_name, checker

ROOT = Path(__file__).resolve().parents[2]


def total(values: list[float]) -> float:
    """The sum of some numbers."""
    return float(sum(values))


def share(part: int, whole: int) -> float:
    """The part as a share of the whole; 0 of nothing."""
    return part / whole if whole else 0.0


def ranked(scores: dict[str, int], k: int) -> list[str]:
    """The k names with the highest scores, ties by name."""
    return sorted(scores, key=lambda name: (-scores[name], name))[:k]


def _many(rng: np.random.Generator) -> Arguments:
    return (rng.integers(0, 8, 20_000).tolist(),)


EXERCISES = by_name(
    Exercise(
        total,
        expects="The sum of all numbers; 0 if there are none.",
        edges=[([],), ([3],), ([1, -1],)],
        inputs=st.tuples(st.lists(st.integers(-4, 4))),
        large=_many,
        misconceptions=[
            Misconception(lambda values: float(len(values)), "You count the numbers."),
            Misconception(lambda values: float(sum(map(abs, values))), "You drop the signs."),
        ],
    ),
    Exercise(
        share,
        expects="A number between 0 and 1.",
        edges=[(0, 0), (1, 2), (2, 2)],
        inputs=st.integers(0, 8).flatmap(lambda whole: st.tuples(st.integers(0, whole), st.just(whole))),
        misconceptions=[
            Misconception(lambda part, whole: float(part // whole) if whole else 0.0, "You divide whole numbers."),
            Misconception(lambda part, whole: part / (whole or 1) * 100, "That is a percentage."),
        ],
    ),
    Exercise(
        ranked,
        expects="At most k names, the highest score first.",
        edges=[({}, 1), ({"b": 1, "a": 1}, 2), ({"a": 1, "b": 2}, 5)],
        inputs=st.tuples(st.dictionaries(st.sampled_from("abcd"), st.integers(0, 3)), st.integers(1, 4)),
        misconceptions=[Misconception(lambda scores, k: sorted(scores)[:k], "You sort by name.")],
    ),
)
check = checker(EXERCISES)

SOLUTIONS = {
    "total": "def total(values):\n    return float(sum(values))",
    "share": "def share(part, whole):\n    return part / whole if whole else 0.0",
    "ranked": "def ranked(scores, k):\n    return sorted(scores, key=lambda name: (-scores[name], name))[:k]",
}
WRONG = {
    "total": "def total(values):\n    return float(len(values))",
    "share": "def share(part, whole):\n    return part / whole",
    "ranked": "def ranked(scores, k):\n    return sorted(scores)[:k]",
}
POINTS = {"total": 1, "share": 2, "ranked": 4}
IMPORT = f"import sys\n\nsys.path.insert(0, {str(ROOT)!r})\nfrom tests.classroom.small import check"


def source() -> Any:
    """The notebook that holds everything."""
    v4: Any = nbformat.v4
    cells = [
        v4.new_markdown_cell("# Small", id="title", metadata=about("title")),
        v4.new_code_cell(IMPORT, id="imports", metadata=about("imports")),
        v4.new_code_cell("import numpy as np", id="given", metadata=about("given") | {"tags": ["given"]}),
    ]
    for name, solution in SOLUTIONS.items():
        head, *body = solution.splitlines()
        answer = "\n".join([head, "    ### BEGIN SOLUTION", *body, "    ### END SOLUTION"])
        cells += [
            v4.new_markdown_cell(f"Write `{name}`.", id=f"{name}-task", metadata=about(f"{name}-task")),
            v4.new_code_cell(answer, id=name, metadata=about(name, solution=True, locked=False)),
            v4.new_code_cell(
                f'check("{name}", {name})',
                id=f"{name}-check",
                metadata=about(f"{name}-check", grade=True, points=POINTS[name]) | {"tags": ["nbval-check-output"]},
            ),
        ]
    notebook = v4.new_notebook(cells=cells)
    notebook.metadata.kernelspec = {"display_name": "Python 3", "language": "python", "name": "python3"}
    return notebook


def about(grade_id: str, **more: Any) -> dict[str, Any]:
    """Metadata of a cell as nbgrader has them."""
    plain = {"grade": False, "locked": True, "schema_version": 3, "solution": False, "task": False}
    return {"nbgrader": plain | {"grade_id": grade_id} | more}


def notebook_of(answers: Mapping[str, str]) -> dict[str, Any]:
    """The notebook of a student, as plain data; blank where there is no answer."""
    from rectutor.classroom.notebooks import Assignment, text_of

    document: dict[str, Any] = json.loads(text_of(Assignment("small", source()).with_answers(answers)))
    for cell in document["cells"]:
        cell["source"] = "".join(cell["source"])
    return document


def hand_in(path: Path, answers: Mapping[str, str], edit: Callable[[dict[str, Any]], object] | None = None) -> Path:
    """Write the notebook of a student, after an edit of it."""
    document = notebook_of(answers)
    if edit is not None:
        edit(document)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(document), encoding="utf-8")
    return path


def cell(document: dict[str, Any], grade_id: str) -> dict[str, Any]:
    """One cell of a notebook by its grade id."""
    found: dict[str, Any] = next(c for c in document["cells"] if c["metadata"]["nbgrader"]["grade_id"] == grade_id)
    return found
