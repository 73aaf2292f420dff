"""What students hand in, honest and not: no trick gives a point, and none takes one from an honest answer."""

from __future__ import annotations

import csv
import os
import re
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from rectutor.classroom import exercise, grading
from rectutor.classroom.exercise import SEED, Verdict
from rectutor.classroom.grading import FAILED, Report, Result, check_class, check_notebook, notebooks_in, run_notebook
from rectutor.classroom.notebooks import Assignment
from rectutor.classroom.sandbox import Limits
from tests.classroom.attacks import OUTSIDE, REFUSED, RUN, SILENT
from tests.classroom.small import EXERCISES, POINTS, SOLUTIONS, WRONG, about, cell, hand_in

TIGHT = Limits(call=1.0, calls=4.0, memory=1500)
HONEST = {name: source for name, source in SOLUTIONS.items() if name != "share"}


MARK = "RECTUTOR_TESTED_BY"


def processes() -> dict[int, str]:
    """What this process has started, and what that has, even where it has left the family."""
    found = {child.pid: child for child in psutil.Process().children(recursive=True)}
    for one in psutil.process_iter():
        try:
            if one.environ().get(MARK) == str(os.getpid()):
                found[one.pid] = one
        except psutil.Error:
            continue
    return {pid: " ".join(one.cmdline())[:80] for pid, one in found.items() if one.is_running()}


@pytest.fixture(autouse=True)
def _nothing_remains(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """After a check no process of it runs, and nothing lies where no answer may write."""
    monkeypatch.setenv(MARK, str(os.getpid()))
    before = processes()
    yield
    assert processes().items() <= before.items()
    assert not [p for p in Path(OUTSIDE).parent.iterdir() if p.name.startswith(Path(OUTSIDE).name)]


@pytest.fixture
def whole(monkeypatch: pytest.MonkeyPatch) -> list[set[str]]:
    """Takes every notebook for one that runs: that can only give points. Says which answers got as far as that."""
    came: list[set[str]] = []

    def run(assignment: Assignment, answers: dict[str, str]) -> dict[str, str]:
        came.append(set(answers))
        return {}

    monkeypatch.setattr(grading, "run_notebook", run)
    monkeypatch.setattr(exercise, "RANDOM_INPUTS", 30)
    return came


@pytest.fixture
def remembered(monkeypatch: pytest.MonkeyPatch) -> None:
    """Judges the same answer once for all tests: for those that change what stands around the answers."""
    judged = grading.judged

    def once(assignment: Assignment, answers: dict[str, str], limits: Limits | None) -> dict[str, Verdict]:
        found = {}
        for name in answers:
            called = grading._called(name, answers)
            key = f"{name}: {called}"
            if key not in KNOWN:
                KNOWN[key] = judged(assignment, called, limits)[name]
            found[name] = KNOWN[key]
        return found

    monkeypatch.setattr(grading, "judged", once)


KNOWN: dict[str, Verdict] = {}


def verdicts(report: Report) -> dict[str, str]:
    assert not report.error
    return {result.exercise: result.verdict for result in report.results}


def points(report: Report) -> dict[str, int]:
    return {result.exercise: result.earned for result in report.results}


def hints(report: Report) -> dict[str, str]:
    return {result.exercise: result.hint for result in report.results}


# -- honest notebooks ------------------------------------------------------------------------------------------
@pytest.mark.slow
def test_correct_answers_get_their_points(
    small_chapter: Assignment, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """They may print, warn, change their arguments and call each other; settings of the grader do not matter."""
    monkeypatch.setenv("PYTEST_ADDOPTS", "--collect-only")
    monkeypatch.setenv("RECTUTOR_STATIC", "1")
    (tmp_path / "pytest.ini").write_text("[pytest]\naddopts = --collect-only\n")
    (tmp_path / "conftest.py").write_text("raise SystemExit")
    monkeypatch.chdir(tmp_path)
    answers = {
        "total": "def total(values):\n    print(values)\n    values.sort()\n    return float(sum(values))",
        "share": (
            "def helper(x):\n    return np.array([x], dtype=float)\n\ndef share(part, whole):\n"
            "    '\\d is no escape, and \\\\ is one'\n"
            "    value = helper(total([part])) / helper(whole)\n    return float(np.nan_to_num(value)[0])"
        ),
        "ranked": SOLUTIONS["ranked"],
    }
    report = check_notebook(hand_in(tmp_path / "ada.ipynb", answers))
    results = [Result(name, of, of, "correct") for name, of in POINTS.items()]
    assert report == Report(str(tmp_path / "ada.ipynb"), "small", results, [])
    assert report.passed
    assert (report.earned, report.of) == (7, 7)


def test_blank_answers_are_blank(small_chapter: Assignment, tmp_path: Path, whole: list[set[str]]) -> None:
    report = check_notebook(hand_in(tmp_path / "ada.ipynb", {}))
    assert report.results == [Result(name, of, 0, "blank") for name, of in POINTS.items()]
    assert not report.passed
    assert whole == [], "there is nothing to run"


def test_wrong_answers_get_their_hints(small_chapter: Assignment, tmp_path: Path, whole: list[set[str]]) -> None:
    report = check_notebook(hand_in(tmp_path / "ada.ipynb", WRONG))
    assert set(verdicts(report).values()) == {"wrong"}
    assert hints(report) == {
        "total": "You count the numbers.",
        "share": "For part = 0, whole = 0 it raised ZeroDivisionError: division by zero. A number between 0 and 1.",
        "ranked": "You sort by name.",
    }
    assert report.earned == 0
    assert whole == []


def test_each_answer_counts_for_itself(small_chapter: Assignment, tmp_path: Path, whole: list[set[str]]) -> None:
    report = check_notebook(hand_in(tmp_path / "ada.ipynb", HONEST | {"share": WRONG["share"]}))
    assert points(report) == {"total": 1, "share": 0, "ranked": 4}
    assert not report.passed
    assert whole == [set(HONEST)]


def test_an_answer_that_calls_a_wrong_one_is_wrong(
    small_chapter: Assignment, tmp_path: Path, whole: list[set[str]]
) -> None:
    answers = SOLUTIONS | {"share": "def share(part, whole):\n    return total([part]) / whole if whole else 0.0"}
    report = check_notebook(hand_in(tmp_path / "ada.ipynb", answers | {"total": WRONG["total"]}))
    assert points(report) == {"total": 0, "share": 0, "ranked": 4}


def test_an_answer_that_leans_on_another_cell_is_told_so(
    small_chapter: Assignment, tmp_path: Path, whole: list[set[str]]
) -> None:
    """What another answer defines besides is there in the student's notebook, but is no answer."""
    answers = SOLUTIONS | {
        "total": f"helper = 2\n{SOLUTIONS['total']}",
        "share": "def share(part, whole):\n    return helper * part / (2 * whole) if whole else 0.0",
    }
    report = check_notebook(hand_in(tmp_path / "ada.ipynb", answers))
    assert points(report) == {"total": 1, "share": 0, "ranked": 4}
    assert "it raised NameError: name 'helper' is not defined" in hints(report)["share"]


def test_the_same_answers_get_the_same_verdicts(
    small_chapter: Assignment, tmp_path: Path, whole: list[set[str]]
) -> None:
    """Also those that random inputs find wrong now and then."""
    rare = "def share(part, whole):\n    return part / whole if whole and (part, whole) != (5, 7) else 0.0"
    seen = set()
    for number in range(4):
        path = hand_in(tmp_path / f"{number}.ipynb", SOLUTIONS | {"share": f"{rare}\n"})
        seen.add(str(check_notebook(path).results))
    assert len(seen) == 1


def test_the_notebook_runs_with_a_seed(small_chapter: Assignment, monkeypatch: pytest.MonkeyPatch) -> None:
    """So that its checks come to the same verdict, too."""
    seeds = []
    start = subprocess.Popen

    class Process(start):  # type: ignore[valid-type, misc]
        def __init__(self, command: list[str], **options: Any) -> None:
            seeds.append(options["env"][SEED])
            super().__init__([sys.executable, "-c", ""], **options)

    monkeypatch.setattr(grading.subprocess, "Popen", Process)  # type: ignore[attr-defined]
    for _ in range(2):
        assert set(run_notebook(small_chapter, SOLUTIONS)) == set(SOLUTIONS)
    run_notebook(small_chapter, WRONG)
    assert seeds[0] == seeds[1] != seeds[2]
    assert all(seed.isdigit() for seed in seeds)


# -- cheating: in the answer -----------------------------------------------------------------------------------
def attacked(path: Path, source: str, whole: list[set[str]]) -> Report:
    """A notebook with one attack and two honest answers: these keep their points, and only these run any further."""
    report = check_notebook(hand_in(path, HONEST | {"share": source}), limits=TIGHT)
    assert points(report) == {"total": 1, "share": 0, "ranked": 4}
    assert whole == [set(HONEST)]
    assert report.text().isprintable() or "\n" in report.text()
    assert not re.search(r"[\x00-\x09\x0b-\x1f\x7f]", report.text())
    report.text().encode()
    return report


@pytest.mark.parametrize("name", REFUSED)
def test_what_the_screen_refuses_is_not_run(
    name: str, small_chapter: Assignment, tmp_path: Path, whole: list[set[str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    def only_honest(assignment: Assignment, answers: dict[str, str], limits: Limits) -> dict[str, Verdict]:
        assert answers == HONEST
        return dict.fromkeys(answers, Verdict("correct"))

    monkeypatch.setattr(grading, "judged", only_honest)
    report = attacked(tmp_path / "x.ipynb", REFUSED[name], whole)
    assert verdicts(report)["share"] == "not run"
    assert hints(report)["share"].startswith("The answer was not run: ")


@pytest.mark.slow
@pytest.mark.parametrize("name", RUN)
def test_what_runs_gets_no_points(name: str, small_chapter: Assignment, tmp_path: Path, whole: list[set[str]]) -> None:
    report = attacked(tmp_path / "x.ipynb", RUN[name], whole)
    assert verdicts(report)["share"] == ("blank" if name == "notimplemented" else "wrong")


@pytest.mark.slow
@pytest.mark.parametrize("name", SILENT)
def test_what_would_get_past_the_screen_gets_no_points(
    name: str, small_chapter: Assignment, tmp_path: Path, whole: list[set[str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The fence does not lean on the screen."""
    monkeypatch.setattr(grading, "objection", lambda source: "")
    body = "\n    ".join(SILENT[name].splitlines())
    report = attacked(tmp_path / "x.ipynb", f"def share(part, whole):\n    {body}", whole)
    assert verdicts(report)["share"] == "wrong"


# -- cheating: in the notebook ---------------------------------------------------------------------------------
def _swap(document: dict[str, Any]) -> None:
    one, other = cell(document, "share"), cell(document, "ranked")
    one["metadata"], other["metadata"] = other["metadata"], one["metadata"]


def _hide(document: dict[str, Any]) -> None:
    """The right function stands in other cells, before and after a wrong answer."""
    for at in (0, len(document["cells"]) + 1):
        document["cells"].insert(
            at, {"cell_type": "code", "metadata": {}, "outputs": [], "source": SOLUTIONS["share"] + "\nanswer = share"}
        )


Edit = Callable[[dict[str, Any]], object]
EDITS: dict[str, tuple[Edit, dict[str, str], dict[str, str]]] = {
    "check-edited": (lambda d: cell(d, "share-check").update(source="print('share: correct')"), {}, {"share": "wrong"}),
    "check-deleted": (lambda d: d["cells"].remove(cell(d, "share-check")), {}, {"share": "wrong"}),
    "all-checks-deleted": (
        lambda d: [d["cells"].remove(cell(d, f"{name}-check")) for name in SOLUTIONS],
        {},
        {"share": "wrong"},
    ),
    "check-renamed": (
        lambda d: cell(d, "share-check").update(source='check("total", total)\nprint("share: correct")'),
        {},
        {"share": "wrong"},
    ),
    "output-edited": (
        lambda d: cell(d, "share-check").update(
            outputs=[{"output_type": "stream", "name": "stdout", "text": "share: correct\nshare: correct\n"}]
        ),
        {},
        {"share": "wrong"},
    ),
    "outputs-removed": (lambda d: [one.update(outputs=[]) for one in d["cells"]], {}, {"share": "wrong"}),
    "skip-tag": (
        lambda d: cell(d, "share-check")["metadata"].update(tags=["nbval-skip", "raises-exception"]),
        {},
        {"share": "wrong"},
    ),
    "skip-comment": (
        lambda d: cell(d, "share-check").update(source="# NBVAL_SKIP\ncheck('share', share)"),
        {},
        {"share": "wrong"},
    ),
    "skip-comment-in-answer": (
        lambda d: None,
        HONEST | {"share": f"# NBVAL_SKIP\n{WRONG['share']}"},
        {"share": "wrong"},
    ),
    "points-raised": (
        lambda d: cell(d, "total-check")["metadata"]["nbgrader"].update(points=100),
        {},
        {"share": "wrong"},
    ),
    "answer-graded": (
        lambda d: cell(d, "share")["metadata"]["nbgrader"].update(grade=True, points=100),
        SOLUTIONS,
        {"share": "missing"},
    ),
    "metadata-swapped": (_swap, SOLUTIONS, {"share": "wrong", "ranked": "wrong"}),
    "check-made-answer": (
        lambda d: cell(d, "share-check")["metadata"].update(about("share", solution=True)),
        SOLUTIONS,
        {"share": "two answers"},
    ),
    "answer-doubled": (lambda d: d["cells"].append(cell(d, "share")), SOLUTIONS, {"share": "two answers"}),
    "answer-doubled-and-different": (
        lambda d: d["cells"].append(cell(d, "share") | {"source": WRONG["share"]}),
        SOLUTIONS,
        {"share": "two answers"},
    ),
    "answer-missing": (lambda d: d["cells"].remove(cell(d, "share")), SOLUTIONS, {"share": "missing"}),
    "answer-as-markdown": (lambda d: cell(d, "share").update(cell_type="markdown"), SOLUTIONS, {"share": "missing"}),
    "answer-as-raw": (lambda d: cell(d, "share").update(cell_type="raw"), SOLUTIONS, {"share": "missing"}),
    "answer-renamed": (
        lambda d: cell(d, "share")["metadata"]["nbgrader"].update(grade_id="shares"),
        SOLUTIONS,
        {"share": "missing"},
    ),
    "answer-empty": (lambda d: cell(d, "share").update(source=""), SOLUTIONS, {"share": "wrong"}),
    "answer-odd": (lambda d: cell(d, "share").update(source=[1, 2]), SOLUTIONS, {"share": "wrong"}),
    "answer-hidden": (_hide, {}, {"share": "wrong"}),
    "answer-hidden-blank": (_hide, HONEST, {"share": "blank"}),
    "answer-in-another": (
        lambda d: None,
        {"share": "", "ranked": f"{SOLUTIONS['ranked']}\n{SOLUTIONS['share']}", "total": SOLUTIONS["total"]},
        {"share": "wrong"},
    ),
    "answer-in-the-one-before": (
        lambda d: None,
        {
            "share": "share = share",
            "total": f"{SOLUTIONS['total']}\n{SOLUTIONS['share']}",
            "ranked": SOLUTIONS["ranked"],
        },
        {"share": "wrong"},
    ),
    "imports-edited": (
        lambda d: cell(d, "imports").update(source="def check(name, answer):\n    print(f'{name}: correct')"),
        {},
        {"share": "wrong"},
    ),
    "given-edited": (lambda d: cell(d, "given").update(source="import os\nos._exit(0)"), {}, {"share": "wrong"}),
    "cells-added": (
        lambda d: d["cells"].insert(0, {"cell_type": "code", "metadata": {}, "source": "import os\nos._exit(0)"}),
        {},
        {"share": "wrong"},
    ),
    "kernel-changed": (
        lambda d: d["metadata"].update(kernelspec={"name": "bash", "language": "bash", "display_name": "x"}),
        {},
        {"share": "wrong"},
    ),
    "reversed": (lambda d: d["cells"].reverse(), {}, {"share": "wrong"}),
    "reversed-and-honest": (lambda d: d["cells"].reverse(), SOLUTIONS, {}),
    "only-answers": (
        lambda d: d.update(cells=[cell(d, name) for name in SOLUTIONS]),
        SOLUTIONS,
        {},
    ),
}
"""Edits of a notebook; its answers, by default with a wrong ``share``; the verdicts that are not *correct*."""


@pytest.mark.parametrize("name", EDITS)
def test_edited_notebooks(
    name: str, small_chapter: Assignment, tmp_path: Path, whole: list[set[str]], remembered: None
) -> None:
    edit, answers, expected = EDITS[name]
    report = check_notebook(hand_in(tmp_path / "x.ipynb", answers or HONEST | {"share": WRONG["share"]}, edit))
    assert verdicts(report) == dict.fromkeys(SOLUTIONS, "correct") | expected
    assert points(report) == {n: of if n not in expected else 0 for n, of in POINTS.items()}
    assert report.of == 7
    assert whole == ([set(SOLUTIONS) - set(expected)] if len(expected) < 3 else [])


@pytest.mark.slow
def test_a_notebook_full_of_tricks_with_nbval(small_chapter: Assignment, tmp_path: Path) -> None:
    """The whole way, nothing replaced: an edited check, an edited output and a skipped cell around a wrong answer."""

    def edit(document: dict[str, Any]) -> None:
        for name in ("check-edited", "output-edited", "skip-tag", "points-raised", "imports-edited", "cells-added"):
            EDITS[name][0](document)

    answers = HONEST | {"share": f"print('share: correct')\nprint = None\n{WRONG['share']}"}
    report = check_notebook(hand_in(tmp_path / "x.ipynb", answers, edit))
    assert points(report) == {"total": 1, "share": 0, "ranked": 4}
    assert report.remarks == [
        "the check of share was changed or removed; the original was used",
        "2 cells beside the answers left out; an answer stands in its own cell",
    ]


# -- the notebook as a whole -----------------------------------------------------------------------------------
@pytest.mark.slow
def test_the_whole_notebook_is_run_by_nbval(small_chapter: Assignment) -> None:
    failed = run_notebook(small_chapter, {"total": WRONG["total"], "share": SOLUTIONS["share"]})
    assert failed == {
        "total": "total: not yet. You count the numbers.",
        "ranked": "NotImplementedError: ranked: write the function above, then run this cell again",
    }


@pytest.mark.slow
def test_an_answer_that_breaks_the_notebook_gets_no_points(small_chapter: Assignment, tmp_path: Path) -> None:
    """Correct in a process of its own, it takes ``check`` away from the cells that follow."""
    answers = SOLUTIONS | {"share": f"{SOLUTIONS['share']}\nsorted = None"}
    report = check_notebook(hand_in(tmp_path / "x.ipynb", answers))
    assert verdicts(report) == {"total": "correct", "share": "correct", "ranked": "wrong"}
    assert hints(report)["ranked"].startswith("Correct by itself, but not in a notebook of all correct answers: ")
    assert "NoneType" in hints(report)["ranked"]


@pytest.mark.slow
def test_a_notebook_that_does_not_end_is_ended(small_chapter: Assignment, monkeypatch: pytest.MonkeyPatch) -> None:
    """What does so is not correct by itself; this is the second fence."""
    monkeypatch.setattr(grading, "NOTEBOOK_SECONDS", 6)
    answers = SOLUTIONS | {"ranked": "while True:\n    pass"}
    began = time.time()
    assert run_notebook(small_chapter, answers) == dict.fromkeys(answers, "it took more than 6 seconds.")
    assert time.time() - began < 20


@pytest.mark.slow
def test_a_cell_that_does_not_end_is_ended(small_chapter: Assignment, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(grading, "CELL_SECONDS", 6)
    failed = run_notebook(
        small_chapter, SOLUTIONS | {"share": "def share(part, whole):\n    while True:\n        pass"}
    )
    assert set(failed) == {"share"}


@pytest.mark.slow
def test_a_kernel_that_ends_gives_no_points(small_chapter: Assignment, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(grading, "CELL_SECONDS", 6)
    failed = run_notebook(small_chapter, SOLUTIONS | {"share": f"{SOLUTIONS['share']}\nimport os\nos._exit(0)"})
    assert {"share", "ranked"} <= set(failed)


@pytest.mark.slow
def test_processes_that_a_notebook_starts_are_ended(small_chapter: Assignment) -> None:
    start = "import subprocess as s\nfor _ in range(2):\n    s.Popen(['sleep', '300'], start_new_session=True)"
    daemon = "import os\nif os.fork() == 0:\n    os.setsid()\n    os.execvp('sleep', ['sleep', '300'])"
    run_notebook(small_chapter, SOLUTIONS | {"share": f"{start}\n{daemon}\n{SOLUTIONS['share']}"})
    assert not [command for command in processes().values() if command.startswith("sleep")]


@pytest.mark.slow
def test_memory_of_a_notebook_is_bounded(small_chapter: Assignment, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(grading, "KERNEL_MEGABYTES", 3000)
    bomb = f"np.ones((10**5, 10**4))\n{SOLUTIONS['share']}"
    assert set(run_notebook(small_chapter, SOLUTIONS | {"share": bomb})) == {"share"}


# -- files and reports -----------------------------------------------------------------------------------------
def test_files_that_are_none_give_a_report(small_chapter: Assignment, tmp_path: Path) -> None:
    files: dict[str, tuple[bytes, str]] = {
        "empty": (b"", "is no JSON"),
        "text": (b"hello", "is no JSON"),
        "other": (b'{"cells": []}', "it holds no exercise of this book; hand in the notebook that was handed out"),
        "format-3": (b'{"worksheets": []}', "old format"),
        "image": (bytes(range(256)), "no text in UTF-8"),
    }
    for name, (content, said) in files.items():
        path = tmp_path / f"{name}.ipynb"
        path.write_bytes(content)
        report = check_notebook(path)
        assert said in report.error
        assert (report.results, report.earned, report.of, report.passed) == ((), 0, 0, False)
        assert report.text() == f"{path}\n  {report.error}"
    for path in (tmp_path, tmp_path / "nowhere.ipynb"):
        assert check_notebook(path).error


def test_a_chapter_can_be_named(small_chapter: Assignment, tmp_path: Path, whole: list[set[str]]) -> None:
    path = hand_in(tmp_path / "x.ipynb", {})
    assert check_notebook(path, "small").chapter == "small"
    assert "there are no exercises 'large'; there are small" in check_notebook(path, "large").error
    (tmp_path / "y.ipynb").write_text('{"cells": []}')
    assert verdicts(check_notebook(tmp_path / "y.ipynb", "small")) == dict.fromkeys(SOLUTIONS, "missing")


def test_a_notebook_without_the_metadata_of_its_cells(
    small_chapter: Assignment, tmp_path: Path, whole: list[set[str]]
) -> None:
    def edit(document: dict[str, Any]) -> None:
        for one in document["cells"]:
            one["metadata"] = {"id": one.pop("id"), "colab": {"base_uri": "x"}}
        document["metadata"] = {"colab": {"name": "x.ipynb"}}

    assert check_notebook(hand_in(tmp_path / "x.ipynb", SOLUTIONS, edit)).passed


def test_the_table_for_a_terminal() -> None:
    long = "word " * 60
    results = [Result("a", 2, 2, "correct"), Result("longer", 10, 0, "wrong", f"First line.\n{long}")]
    lines = Report("x.ipynb", "small", results, ["one", "two"]).text().splitlines()
    assert lines[:3] == ["x.ipynb: 2 of 12 points", "  a        2 of 2   correct", "  longer   0 of 10  wrong"]
    assert lines[3] == "          First line."
    assert lines[-2:] == ["  Note: one.", "  Note: two."]
    assert all(len(line) <= 110 for line in lines)
    assert " ".join(" ".join(lines[4:-2]).split()) == long.strip()


def test_notebooks_in_a_folder(tmp_path: Path) -> None:
    for name in ("b.ipynb", "a.ipynb", "deep/er/c.ipynb", ".ipynb_checkpoints/a-checkpoint.ipynb", "notes.txt"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text("")
    assert notebooks_in(tmp_path) == [tmp_path / name for name in ("a.ipynb", "b.ipynb", "deep/er/c.ipynb")]
    assert notebooks_in(tmp_path / "notes.txt") == [tmp_path / "notes.txt"]
    with pytest.raises(ValueError, match=r"nowhere does not exist; name a notebook or a folder of notebooks"):
        notebooks_in(tmp_path / "nowhere")
    (tmp_path / "none").mkdir()
    with pytest.raises(ValueError, match=r"none holds no notebook \(\*\.ipynb\)"):
        notebooks_in(tmp_path / "none")


# -- a class ---------------------------------------------------------------------------------------------------
def rows(table: Path) -> dict[str, dict[str, str]]:
    """The table as any other program reads it, by the name of the file."""
    with table.open(encoding="utf-8-sig", newline="") as file:
        return {Path(row["notebook"]).stem: row for row in csv.DictReader(file)}


@pytest.fixture
def handed_in(small_chapter: Assignment, tmp_path: Path) -> Path:
    """A folder of honest, blank, wrong, cheating and broken notebooks."""
    folder = tmp_path / "handed-in"
    hand_in(folder / "honest.ipynb", SOLUTIONS)
    hand_in(folder / "group" / "half.ipynb", HONEST | {"share": WRONG["share"]})
    hand_in(folder / "blank.ipynb", {})
    hand_in(folder / "wrong.ipynb", WRONG)
    hand_in(folder / "cheat.ipynb", HONEST | {"share": RUN["equal-float"]}, EDITS["check-edited"][0])
    hand_in(folder / "thief.ipynb", HONEST | {"share": REFUSED["open"]}, EDITS["output-edited"][0])
    hand_in(folder / "endless.ipynb", {"share": RUN["loop-cell"]})
    hand_in(folder / "twice.ipynb", {}, EDITS["answer-doubled"][0])
    hand_in(folder / "gone.ipynb", {}, EDITS["answer-missing"][0])
    hand_in(folder / "torn.ipynb", SOLUTIONS)
    (folder / "torn.ipynb").write_bytes((folder / "honest.ipynb").read_bytes()[:500])
    (folder / "empty.ipynb").write_bytes(b"")
    (folder / "folder.ipynb").mkdir()
    (folder / "Müller, Anna \U0001f600.ipynb").write_bytes((folder / "blank.ipynb").read_bytes())
    return folder


@pytest.mark.slow
def test_every_row_of_a_class_is_right(handed_in: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    table = tmp_path / "points.csv"
    returned = check_class(notebooks_in(handed_in), table, jobs=2)
    found = rows(table)
    assert [row["notebook"] for row in returned] == sorted(row["notebook"] for row in returned)
    assert {Path(row["notebook"]).stem: row for row in returned} == found
    assert {name: (row["total"], row["share"], row["ranked"], row["points"]) for name, row in found.items()} == {
        "honest": ("1", "2", "4", "7"),
        "half": ("1", "0", "4", "5"),
        "blank": ("0", "0", "0", "0"),
        "wrong": ("0", "0", "0", "0"),
        "cheat": ("1", "0", "4", "5"),
        "thief": ("1", "0", "4", "5"),
        "endless": ("0", "0", "0", "0"),
        "twice": ("0", "0", "0", "0"),
        "gone": ("0", "0", "0", "0"),
        "torn": ("", "", "", "0"),
        "empty": ("", "", "", "0"),
        "folder": ("", "", "", "0"),
        "Müller, Anna \U0001f600": ("0", "0", "0", "0"),
    }
    assert {name: row["share verdict"].split(":")[0] for name, row in found.items() if row["share verdict"]} == {
        "honest": "correct",
        "half": "wrong",
        "blank": "blank",
        "wrong": "wrong",
        "cheat": "wrong",
        "thief": "not run",
        "endless": "wrong",
        "twice": "two answers",
        "gone": "missing",
        "Müller, Anna \U0001f600": "blank",
    }
    assert found["half"]["share verdict"].endswith(f"ZeroDivisionError: division by zero. {EXERCISES['share'].expects}")
    assert found["wrong"]["ranked verdict"] == "wrong: You sort by name."
    assert {row["of"] for row in found.values()} == {"7", "0"}
    assert "is no JSON" in found["torn"]["remarks"]
    assert "is no JSON" in found["empty"]["remarks"]
    assert "is no file" in found["folder"]["remarks"]
    assert "the check of share was changed" in found["cheat"]["remarks"]
    assert found["honest"]["remarks"] == ""
    assert {row["chapter"] for name, row in found.items() if name not in ("torn", "empty", "folder")} == {"small"}
    assert len({row["sha256"] for row in found.values()}) == len(found) - 1, "two notebooks are the same"
    assert not list(tmp_path.glob("*.part"))


def fake(path: Path, chapter: str | None) -> Report:
    """A check that takes no time."""
    return Report(str(path), "small", [Result("share", 2, len(path.stem) % 3, "correct")])


def many(folder: Path, number: int = 12) -> list[Path]:
    folder.mkdir(exist_ok=True)
    paths = [folder / f"{n:02}.ipynb" for n in range(number)]
    for path in paths:
        path.write_text(path.stem)
    return paths


class Counted:
    """A fake check that counts, and that is broken off after some notebooks."""

    def __init__(self, last: int = 10**6) -> None:
        self.seen: list[str] = []
        self.last, self.lock = last, threading.Lock()

    def __call__(self, path: Path, chapter: str | None) -> Report:
        with self.lock:
            self.seen.append(path.stem)
            number = len(self.seen)
        time.sleep(0.05)
        if number > self.last:
            raise KeyboardInterrupt
        return fake(path, chapter)


@pytest.mark.parametrize("jobs", [1, 2])
def test_a_run_that_was_broken_off_goes_on(jobs: int, tmp_path: Path) -> None:
    paths, table = many(tmp_path / "in"), tmp_path / "points.csv"
    broken = Counted(5)
    with pytest.raises(KeyboardInterrupt):
        check_class(paths, table, jobs=jobs, check=broken)
    done = set(rows(table))
    assert done < {path.stem for path in paths}
    assert len(done) >= 5 - jobs, "what was finished is kept"
    assert len(broken.seen) <= 5 + 2 * jobs, "it stops when it is told to"
    again = Counted()
    check_class(paths, table, jobs=jobs, check=again)
    assert sorted(again.seen) == sorted({path.stem for path in paths} - done)
    assert list(rows(table)) == [path.stem for path in paths]
    last = Counted()
    check_class(paths, table, jobs=jobs, check=last)
    assert last.seen == []


def test_a_killed_run_leaves_a_whole_table(tmp_path: Path) -> None:
    """Killed for good, at any moment: what stands in the table is right, and the rest is checked later."""
    paths, table = many(tmp_path / "in", 40), tmp_path / "points.csv"
    program = (
        "import sys, time\nfrom pathlib import Path\nfrom rectutor.classroom.grading import check_class\n"
        "from tests.classroom.test_grading import fake\n"
        "def slow(path, chapter):\n    time.sleep(0.05)\n    return fake(path, chapter)\n"
        "check_class(sorted(Path(sys.argv[1]).iterdir()), Path(sys.argv[2]), jobs=2, check=slow)\n"
    )
    run = subprocess.Popen(
        [sys.executable, "-c", program, str(tmp_path / "in"), str(table)],
        env=os.environ | {"PYTHONPATH": str(Path(__file__).parents[2])},
        stderr=subprocess.DEVNULL,
    )
    while not table.exists() or len(rows(table)) < 4:
        assert run.poll() is None
        time.sleep(0.01)
    run.kill()
    run.wait()
    done = rows(table)
    assert 4 <= len(done) < 40
    again = Counted()
    check_class(paths, table, jobs=2, check=again)
    assert sorted(again.seen) == sorted({path.stem for path in paths} - set(done))
    assert len(rows(table)) == 40


def test_notebooks_that_changed_are_checked_again(tmp_path: Path) -> None:
    paths, table = many(tmp_path / "in"), tmp_path / "points.csv"
    check_class(paths, table, check=fake)
    paths[3].write_text("changed")
    paths[5].unlink()
    again = Counted()
    check_class([*paths[:5], *paths[6:], *paths[6:]], table, check=again)
    assert again.seen == ["03"]
    assert list(rows(table)) == [path.stem for path in paths if path != paths[5]]


def test_one_bad_notebook_never_stops_the_rest(tmp_path: Path) -> None:
    paths, table = many(tmp_path / "in"), tmp_path / "points.csv"

    def check(path: Path, chapter: str | None) -> Report:
        if path.stem == "04":
            raise RuntimeError("bad \x1b[2J\ud800 luck")
        return fake(path, chapter)

    check_class(paths, table, jobs=2, check=check)
    found = rows(table)
    assert len(found) == 12
    assert found["04"]["remarks"].startswith(f"{FAILED}: RuntimeError: bad ")
    assert found["04"]["remarks"].isprintable()
    assert found["04"]["points"] == "0"
    again = Counted()
    check_class(paths, table, check=again)
    assert again.seen == ["04"], "the fault was the checker's: it is tried again"
    assert rows(table)["04"]["remarks"] == ""


def test_notebooks_that_cannot_be_read_have_a_row(tmp_path: Path) -> None:
    table = tmp_path / "points.csv"
    check_class([tmp_path / "nowhere.ipynb"], table)
    assert "cannot be read" in rows(table)["nowhere"]["remarks"]


def test_names_of_files_may_hold_anything(tmp_path: Path) -> None:
    folder, table = tmp_path / "in", tmp_path / "points.csv"
    folder.mkdir()
    names = [b'a,"b".ipynb', b"=1+1.ipynb", b"new\nline.ipynb", b"\xff\xfe.ipynb", "Ж.ipynb".encode()]
    for name in names:
        Path(os.fsdecode(os.path.join(os.fsencode(folder), name))).write_text("x")
    for _ in range(2):
        assert len(check_class(notebooks_in(folder), table, check=fake)) == 5
        assert {'a,"b"', "=1+1", "new\nline", "Ж"} <= set(rows(table))


def test_a_chapter_reaches_every_check(tmp_path: Path) -> None:
    seen = []

    def check(path: Path, chapter: str | None) -> Report:
        seen.append(chapter)
        return fake(path, chapter)

    check_class(many(tmp_path / "in", 3), tmp_path / "points.csv", "cf", check=check)
    assert seen == ["cf"] * 3


def test_there_is_a_progress_bar(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    steps: list[Any] = []

    def bar(things: Any, **options: Any) -> Iterator[Any]:
        steps.append(options["total"])
        assert options["disable"] is None, "it shows itself in terminals only"
        for thing in things:
            steps.append(1)
            yield thing

    monkeypatch.setattr(grading, "tqdm", bar)
    check_class(many(tmp_path / "in"), tmp_path / "points.csv", check=fake)
    assert steps == [12] + [1] * 12


def test_another_table_is_not_overwritten(tmp_path: Path) -> None:
    table = tmp_path / "marks.csv"
    table.write_text("name,mark\nAda,1\n")
    with pytest.raises(ValueError, match=r"marks\.csv is no table of points .*; name another file"):
        check_class(many(tmp_path / "in"), table, check=fake)
    assert table.read_text() == "name,mark\nAda,1\n"


def test_columns_of_several_chapters_stand_side_by_side(tmp_path: Path) -> None:
    paths, table = many(tmp_path / "in", 2), tmp_path / "points.csv"

    def check(path: Path, chapter: str | None) -> Report:
        return Report(str(path), path.stem, [Result(f"f{path.stem}", 1, 1, "wrong", "A hint,\nof two lines.")])

    check_class(paths, table, jobs=1, check=check)
    assert rows(table)["00"]["f00 verdict"] == "wrong: A hint,\nof two lines."
    assert rows(table)["00"]["f01"] == rows(table)["01"]["f00"] == ""
    assert list(rows(table)["00"])[:6] == list(grading.HEAD)


@pytest.mark.slow
def test_a_class_that_is_checked_twice_gets_the_same_points(
    handed_in: Path, tmp_path: Path, whole: list[set[str]]
) -> None:
    paths = [p for p in notebooks_in(handed_in) if p.stem in ("half", "wrong", "cheat", "thief", "torn")]
    first = check_class(paths, tmp_path / "a.csv", jobs=2)
    second = check_class(paths, tmp_path / "b.csv", jobs=1)
    assert first == second
    assert len(first) == 5
