"""Checking what students hand in: one notebook or a class.

The points of an answer come from :func:`~rectutor.classroom.exercise.judge`, which runs here, calls the answer in a
:class:`~rectutor.classroom.sandbox.Sandbox` on inputs that it has not seen, and compares what comes back. The answers
found correct are then put into the notebook that was handed out, and nbval runs it from top to bottom in a process of
its own, as the student would have: they have to be correct there, too. Nothing else gets that far.
"""

from __future__ import annotations

import csv
import hashlib
import os
import re
import subprocess
import sys
import tempfile
import textwrap
import xml.etree.ElementTree
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass
from functools import partial
from importlib import import_module
from pathlib import Path

import psutil
from tqdm import tqdm

from rectutor.classroom.exercise import SEED, Exercise, Verdict, judge
from rectutor.classroom.notebooks import Assignment, chapter_of, check_name, read_cells, submission, text_of
from rectutor.classroom.sandbox import Limits, Sandbox
from rectutor.classroom.screen import mentioned, objection

CELL_SECONDS, NOTEBOOK_SECONDS = 20, 120
"""What a cell and the whole notebook may take in nbval."""
KERNEL_MEGABYTES = 6000
"""Address space of the process that runs the whole notebook."""


@dataclass(frozen=True)
class Result:
    """One exercise of one notebook: points earned, the verdict in a word or two, and the hint."""

    exercise: str
    of: int
    earned: int
    verdict: str
    hint: str = ""


@dataclass(frozen=True)
class Report:
    """What came of one notebook; ``error`` says why it could not be read, where it could not."""

    notebook: str
    chapter: str = ""
    results: Sequence[Result] = ()
    remarks: Sequence[str] = ()
    error: str = ""

    @property
    def earned(self) -> int:
        """Points of all exercises."""
        return sum(result.earned for result in self.results)

    @property
    def of(self) -> int:
        """Points that could be earned."""
        return sum(result.of for result in self.results)

    @property
    def passed(self) -> bool:
        """Whether every exercise is correct."""
        return not self.error and bool(self.results) and all(result.verdict == "correct" for result in self.results)

    def text(self) -> str:
        """A table for a terminal."""
        if self.error:
            return f"{self.notebook}\n  {self.error}"
        width = max(len(result.exercise) for result in self.results)
        lines = [f"{self.notebook}: {self.earned} of {self.of} points"]
        for r in self.results:
            lines.append(f"  {r.exercise:<{width}}  {r.earned:>2} of {r.of:<2}  {r.verdict}")
            if r.hint:
                lines += [f"  {'':<{width}}  {line}" for line in _wrapped(r.hint, 100 - width)]
        return "\n".join([*lines, *(f"  Note: {remark}." for remark in self.remarks)])


def _wrapped(text: str, width: int) -> list[str]:
    return [part for line in text.splitlines() for part in textwrap.wrap(line, max(width, 40))]


def exercises_of(chapter: str) -> dict[str, Exercise]:
    """The exercises of a chapter by name."""
    found: dict[str, Exercise] = import_module(f"rectutor.classroom.{chapter}").EXERCISES
    return found


# -- one notebook ----------------------------------------------------------------------------------------------
def check_notebook(path: Path, chapter: str | None = None, limits: Limits | None = None) -> Report:
    """Check one notebook. Whatever the file holds, this returns a report.

    Args:
        path: the student's notebook.
        chapter: whose exercises they are; found out if not given.
        limits: of the sandbox.
    """
    try:
        cells = read_cells(path)
        chapter = chapter or chapter_of(cells)
        if chapter is None:
            raise ValueError("it holds no exercise of this book; hand in the notebook that was handed out")
        assignment = Assignment.load(chapter)
    except ValueError as error:
        return Report(str(path), error=str(error))
    handed = submission(cells, assignment)
    said: dict[str, tuple[str, str]] = {}
    for name in handed.doubled:
        said[name] = ("two answers", "More than one cell claims to be this answer; delete all but one.")
    for name in handed.missing:
        said[name] = ("missing", "The answer cell is gone; take it from a fresh copy of the notebook.")
    runnable = {}
    for name, source in handed.answers.items():
        if problem := objection(source):
            said[name] = ("not run", f"The answer was not run: {problem}.")
        else:
            runnable[name] = source
    verdicts = judged(assignment, runnable, limits)
    correct = {name: runnable[name] for name, verdict in verdicts.items() if verdict.status == "correct"}
    failed = run_notebook(assignment, correct) if correct else {}
    said |= {name: (verdict.status, verdict.hint) for name, verdict in verdicts.items()}
    for name in correct.keys() & failed.keys():
        said[name] = ("wrong", f"Correct by itself, but not in a notebook of all correct answers: {failed[name]}")
    results = [
        Result(name, points, points if said[name][0] == "correct" else 0, said[name][0], _plain(said[name][1]))
        for name, points in assignment.points.items()
    ]
    return Report(str(path), chapter, results, handed.remarks)


def judged(assignment: Assignment, answers: Mapping[str, str], limits: Limits | None = None) -> dict[str, Verdict]:
    """Judge each answer, in a process of its own with those that it calls: no other one can stand in its way."""
    exercises, verdicts = exercises_of(assignment.chapter), {}
    for name, source in answers.items():
        with Sandbox(assignment.given, _called(name, answers), limits) as sandbox:
            if name in sandbox.broken:
                verdicts[name] = Verdict("wrong", sandbox.broken[name])
            else:
                verdicts[name] = judge(exercises[name], partial(sandbox.call, name), _seed(source))
    return verdicts


def _called(name: str, answers: Mapping[str, str]) -> dict[str, str]:
    """An answer and those whose names it mentions, and those that they mention, in order."""
    found, todo = {name}, [name]
    while todo:
        called = mentioned(answers[todo.pop()]) & answers.keys()
        todo += called - found
        found |= called
    return {other: source for other, source in answers.items() if other in found}


def _seed(source: str) -> int:
    """The same answer meets the same inputs whenever it is checked; what they are, nobody can tell while writing it."""
    return int.from_bytes(hashlib.sha256(source.encode()).digest()[:4], "big")


def _plain(text: str) -> str:
    """A hint quotes what a student's answer returned or raised: without what a terminal or a table could take amiss."""
    return "".join(character if character.isprintable() or character == "\n" else "\ufffd" for character in text)


PYTEST = """
import sys
try:
    import resource
    resource.setrlimit(resource.RLIMIT_AS, (int(sys.argv[1]) << 20,) * 2)
except (ImportError, ValueError, OSError):
    pass
import pytest
sys.exit(pytest.main(sys.argv[2:]))
"""


def run_notebook(assignment: Assignment, answers: dict[str, str]) -> dict[str, str]:
    """Run the notebook with these answers under nbval; why its checks failed, for those that did."""
    notebook = assignment.with_answers(answers)
    code = [cell for cell in notebook.cells if cell.cell_type == "code"]
    with tempfile.TemporaryDirectory(prefix="graft-") as folder:
        path, verdicts = Path(folder, f"{assignment.chapter}.ipynb"), Path(folder, "verdicts.xml")
        path.write_text(text_of(notebook), encoding="utf-8")
        options = [
            "-q",
            "-p",
            "nbval.plugin",
            "-p",
            "no:cacheprovider",
            "--nbval-lax",
            "--nbval-current-env",
            "-c",
            os.devnull,
        ]
        options += [f"--rootdir={folder}", f"--nbval-cell-timeout={CELL_SECONDS}", f"--junitxml={verdicts}", str(path)]
        environment = os.environ | {
            "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1",
            "IPYTHONDIR": folder,
            "HYPOTHESIS_STORAGE_DIRECTORY": folder,
            "OPENBLAS_NUM_THREADS": "1",
            SEED: str(_seed(text_of(notebook))),
        }
        for name in ("PYTEST_ADDOPTS", "PYTEST_CURRENT_TEST", "RECTUTOR_STATIC"):
            environment.pop(name, None)
        command = [sys.executable, "-c", PYTEST, str(KERNEL_MEGABYTES), *options]
        process = subprocess.Popen(
            command,
            cwd=folder,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        try:
            process.wait(NOTEBOOK_SECONDS)
        except subprocess.TimeoutExpired:
            return dict.fromkeys(answers, f"it took more than {NOTEBOOK_SECONDS} seconds.")
        finally:
            _end(process, folder)
        try:
            cases = list(xml.etree.ElementTree.parse(verdicts).iter("testcase"))
        except (OSError, xml.etree.ElementTree.ParseError):
            return dict.fromkeys(answers, "it ended before it came to a verdict.")
    if len(cases) != len(code):
        return dict.fromkeys(answers, "not all of its cells were run.")
    return {
        check_name(cell): _reason(case)
        for cell, case in zip(code, cases, strict=True)
        if check_name(cell) and any(case.find(tag) is not None for tag in ("failure", "error", "skipped"))
    }


def _reason(case: xml.etree.ElementTree.Element) -> str:
    """What nbval says of a failed cell: the last line of its traceback, or else what happened to the cell."""
    found = case.find("failure")
    text = re.sub(r"#x1B\[[\d;]*m", "", (found.text or "") if found is not None else "")  # colours
    told = re.findall(r"^\w+: .+", text, re.MULTILINE) or re.findall(r"^Cell \d+: (.+)", text, re.MULTILINE)
    return str(told[-1] if told else "its check failed.")[:300]


def _end(process: subprocess.Popen[bytes], folder: str) -> None:
    """End a process, its kernel, which has a session of its own, and whatever they have started."""
    process.kill()
    process.wait()
    killed = []
    for one in psutil.process_iter():
        try:
            if one.environ().get("IPYTHONDIR") == folder:
                one.kill()
                killed.append(one)
        except psutil.Error:
            continue
    psutil.wait_procs(killed, timeout=5)


def notebooks_in(path: Path) -> list[Path]:
    """The notebook itself, or those in a folder and its subfolders.

    Raises:
        ValueError: there is no such file or folder, or no notebook in it.
    """
    if not path.is_dir():
        if not path.exists():
            raise ValueError(f"{path} does not exist; name a notebook or a folder of notebooks")
        return [path]
    found = sorted(p for p in path.rglob("*.ipynb") if ".ipynb_checkpoints" not in p.parts)
    if not found:
        raise ValueError(f"{path} holds no notebook (*.ipynb)")
    return found


# -- a class ---------------------------------------------------------------------------------------------------
HEAD = ("notebook", "sha256", "chapter", "points", "of", "remarks")
FAILED = "checking it failed"
"""Begins the remark on a notebook where the fault is the checker's; another run tries it again."""


def check_class(
    paths: Iterable[Path],
    table: Path,
    chapter: str | None = None,
    jobs: int | None = None,
    check: Callable[[Path, str | None], Report] = check_notebook,
) -> list[dict[str, str]]:
    """Check many notebooks and write one row each into a CSV file, as they are finished and sorted in the end.

    A notebook that stands in the table already, unchanged, is not checked again, so a run that was ended goes on.

    Args:
        paths: of the notebooks.
        table: the CSV file: points and verdict of every exercise.
        chapter: whose exercises they are; found out if not given.
        jobs: notebooks checked at the same time; by default one a core.
        check: checks one; tests put another in its place.
    """
    known = {(row["notebook"], row["sha256"]): row for row in _rows(table) if not row["remarks"].startswith(FAILED)}
    rows: list[dict[str, str]] = []
    todo: list[tuple[Path, str]] = []
    for path in sorted(set(paths)):
        digest = _digest(path)
        if (str(path), digest) in known:
            rows.append(known[str(path), digest])
        else:
            todo.append((path, digest))
    _write(table, rows)
    pool = ThreadPoolExecutor(jobs or os.cpu_count() or 1)
    try:
        running = {pool.submit(_checked, check, path, chapter): (path, digest) for path, digest in todo}
        for done in tqdm(as_completed(running), total=len(todo), unit="notebook", disable=None):
            path, digest = running[done]
            rows.append(_row(done.result(), digest))
            _write(table, rows)
    finally:
        pool.shutdown(cancel_futures=True)
    return _rows(table)


def _checked(check: Callable[[Path, str | None], Report], path: Path, chapter: str | None) -> Report:
    try:
        return check(path, chapter)
    except Exception as error:  # one bad notebook never stops the rest
        return Report(str(path), error=_plain(f"{FAILED}: {type(error).__name__}: {error}"))


def _digest(path: Path) -> str:
    try:
        return hashlib.sha256(path.read_bytes()).hexdigest()[:16]
    except OSError:
        return ""


def _row(report: Report, digest: str) -> dict[str, str]:
    row = {
        "notebook": report.notebook,
        "sha256": digest,
        "chapter": report.chapter,
        "points": str(report.earned),
        "of": str(report.of),
        "remarks": report.error or "; ".join(report.remarks),
    }
    for result in report.results:
        row[result.exercise] = str(result.earned)
        row[f"{result.exercise} verdict"] = f"{result.verdict}: {result.hint}" if result.hint else result.verdict
    return row


def _rows(table: Path) -> list[dict[str, str]]:
    if not table.exists():
        return []
    with table.open(encoding="utf-8-sig", newline="") as file:
        reader = csv.DictReader(file)
        if not set(HEAD) <= set(reader.fieldnames or ()):
            raise ValueError(f"{table} is no table of points (its columns are {reader.fieldnames}); name another file")
        return [{key: value or "" for key, value in row.items()} for row in reader]


def _write(table: Path, rows: list[dict[str, str]]) -> None:
    """Write the table anew beside the old one, then put it in its place: it is whole at every moment."""
    columns = list(dict.fromkeys([*HEAD, *(column for row in rows for column in row)]))
    partial = table.with_name(table.name + ".part")
    # the mark tells spreadsheets that it is UTF-8; names of files may hold what is no character
    with partial.open("w", encoding="utf-8-sig", errors="backslashreplace", newline="") as file:
        writer = csv.DictWriter(file, columns)
        writer.writeheader()
        writer.writerows(sorted(rows, key=lambda row: row["notebook"]))
    partial.replace(table)
