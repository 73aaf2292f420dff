"""Every explorable of the library, found in its modules: whole, within the budgets, and worth dragging."""

from __future__ import annotations

import ast
import gzip
import math
import re
import statistics
import time
from collections.abc import Iterator
from typing import Any, NamedTuple

import nbformat
import numpy as np
import pytest

from rectutor.widgets import Explorer
from rectutor.widgets.explorer import MOST_BYTES, MOST_STATES, Continuous, Frame
from tests.conftest import NOTEBOOKS, ROOT, explorables

pytestmark = pytest.mark.slow  # all frames of all explorables are computed


class Drawn(NamedTuple):
    """An explorable as the book builds it, and the seconds of computing that each frame took."""

    widget: Explorer
    frames: list[Frame]
    seconds: list[float]


DRAWN: dict[str, Drawn] = {}


def drawn(explorable: type[Explorer]) -> Drawn:
    """All frames, made once for all tests here."""
    if explorable.__name__ not in DRAWN:
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv("RECTUTOR_STATIC", "1")
            widget = explorable()  # the first scene makes what all share and compiles what is compiled
            frames, seconds, start = [], [], time.process_time()
            for frame in widget.frames():
                frames.append(frame)
                seconds.append((now := time.process_time()) - start)
                start = now
        DRAWN[explorable.__name__] = Drawn(widget, frames, seconds)
    return DRAWN[explorable.__name__]


def neighbours(made: Drawn, name: str) -> Iterator[tuple[Frame, Frame]]:
    """Pairs of frames that differ by one stop of one control."""
    controls = made.widget.controls()
    counts = [len(c.stops) for c in controls.values()]
    grid = np.arange(len(made.frames)).reshape(counts)
    lines = np.moveaxis(grid, list(controls).index(name), 0)
    for one, other in zip(lines[:-1].ravel(), lines[1:].ravel(), strict=True):
        yield made.frames[one], made.frames[other]


def test_there_are_explorables() -> None:
    """The tests below would hold of an empty list, and the pages name an explorable by its class alone."""
    names = [thing.__name__ for thing in explorables()]
    assert len(names) >= 6
    assert len(set(names)) == len(names)


def test_it_is_described(explorable: type[Explorer]) -> None:
    doc = vars(explorable).get("__doc__") or ""
    assert len(doc.split()) >= 8, "a docstring of its own says what it shows"
    assert 5 <= len(explorable.title) <= 60
    assert explorable.question.endswith("?")
    assert 2 <= len(explorable.controls()) <= 4, "what a reader can keep in mind"


def test_it_keeps_to_the_budget_of_a_page(explorable: type[Explorer]) -> None:
    made = drawn(explorable)
    assert len(made.frames) == math.prod(len(c.stops) for c in explorable.controls().values()) <= MOST_STATES
    assert len(gzip.compress(made.widget.to_html().encode())) <= MOST_BYTES


def test_its_frames_are_computed_in_time(explorable: type[Explorer]) -> None:
    """Of the processor's time, which a busy machine does not stretch: all within 10 s, and live without a jerk."""
    seconds = drawn(explorable).seconds
    assert sum(seconds) < 10
    assert statistics.median(seconds) < 0.05


def test_it_draws_the_same_again_and_in_any_order(explorable: type[Explorer]) -> None:
    made = drawn(explorable)
    again = explorable()
    for frame in made.frames[:: -max(1, len(made.frames) // 12)]:
        assert again.compute(**frame.values).encoded() == frame.scene.encoded()


def values_in(thing: Any) -> Iterator[Any]:
    """The single values of nested numbers."""
    if isinstance(thing, dict):
        for value in thing.values():
            yield from values_in(value)
    elif isinstance(thing, (list, tuple, np.ndarray)):
        for value in thing:
            yield from values_in(value)
    else:
        yield thing


def test_its_numbers_are_there_and_finite(explorable: type[Explorer]) -> None:
    """None is a value that does not exist; in an array, which has no None, so is not-a-number."""
    names = {tuple(frame.scene.numbers) for frame in drawn(explorable).frames}
    assert len(names) == 1
    assert names != {()}
    for values, scene in drawn(explorable).frames:
        for name, number in scene.numbers.items():
            for value in values_in(number):
                if isinstance(value, (int, float, np.number)):
                    missing = isinstance(number, np.ndarray) and np.isnan(value)
                    assert missing or np.isfinite(value), f"{name} at {values}"
                else:
                    assert value is None or isinstance(value, str), f"{name} at {values} is {value!r}"


QUOTED = re.compile(r"([-\N{MINUS SIGN}]?)(\d[\d,]*)(?:\.(\d+))?(%?)")


def quotes(says: str, numbers: dict[str, Any]) -> bool:
    """Whether a sentence has one of the numbers, rounded as it is there."""
    known = [float(v) for v in values_in(numbers) if isinstance(v, (int, float, np.number)) and np.isfinite(v)]
    for sign, whole, decimals, percent in QUOTED.findall(says):
        quoted = float(f"{'-' if sign else ''}{whole.replace(',', '')}.{decimals or 0}")
        half = 0.5 * 10.0 ** -len(decimals) * (1 + 1e-9)
        if any(abs(value * (100 if percent else 1) - quoted) <= half for value in known):
            return True
    return False


def test_its_sentence_quotes_the_numbers(explorable: type[Explorer]) -> None:
    for values, scene in drawn(explorable).frames:
        assert quotes(scene.says, scene.numbers), f"at {values}: {scene.says}"
        assert len(scene.says) <= 200, f"two lines on a laptop: {scene.says}"


def test_its_sentence_tells_pictures_apart(explorable: type[Explorer]) -> None:
    """Who only hears the picture must notice when it changes: most steps that are seen are told."""
    made = drawn(explorable)
    told = [
        one.scene.says != other.scene.says
        for name in explorable.controls()
        for one, other in neighbours(made, name)
        if one.scene.encoded()["panels"] != other.scene.encoded()["panels"]
    ]
    assert sum(told) >= 0.5 * len(told) > 0


def test_every_control_changes_picture_and_sentence(explorable: type[Explorer]) -> None:
    made = drawn(explorable)
    for name in explorable.controls():
        changed = [
            (one.scene.encoded()["panels"] != other.scene.encoded()["panels"], one.scene.says != other.scene.says)
            for one, other in neighbours(made, name)
        ]
        assert any(picture and sentence for picture, sentence in changed), f"{name} changes nothing"


def test_what_stays_keeps_its_key(explorable: type[Explorer]) -> None:
    """Marks move only where they have the same key before and after: most have, on average over a drag."""
    made = drawn(explorable)
    for name in (n for n, c in explorable.controls().items() if c.kind != "choice"):
        kept = []
        for one, other in neighbours(made, name):
            keys, later = (
                {(n, mark.key) for n, panel in enumerate(frame.scene.panels) for mark in panel.marks}
                for frame in (one, other)
            )
            kept.append(len(keys & later) / len(keys | later))
        assert statistics.mean(kept) > 0.5, name


def test_some_marks_answer_when_one_points_at_them(explorable: type[Explorer]) -> None:
    for values, scene in drawn(explorable).frames:
        assert any(mark.tip for panel in scene.panels for mark in panel.marks), f"no tip at {values}"


def test_between_the_stops_it_reads_as_well(explorable: type[Explorer]) -> None:
    """With a kernel a slider is finer; those scenes are not checked when the book is built."""
    controls = explorable.controls()
    rng = np.random.default_rng(3)
    widget = explorable()
    ends = [{n: c.fine[at] for n, c in controls.items()} for at in (0, -1)]
    between = [{n: c.fine[rng.integers(len(c.fine))] for n, c in controls.items()} for _ in range(40)]
    for values in ends + between:
        assert widget.compute(**values).problems() == [], values
    assert all(len(c.fine) > len(c.stops) for c in controls.values() if isinstance(c, Continuous))


def shown_in(notebook: str) -> Iterator[tuple[str, Any, Any, list[Any]]]:
    """Class names that end a code cell as a call, with the cell before, the cell and the cells after."""
    cells = nbformat.read(ROOT / notebook, as_version=4).cells  # type: ignore[no-untyped-call]
    for n, cell in enumerate(cells):
        if cell.cell_type == "code" and not cell.source.startswith("%"):
            body = ast.parse(cell.source).body
            last = body[-1].value if body and isinstance(body[-1], ast.Expr) else None
            if isinstance(last, ast.Call) and isinstance(last.func, ast.Name):
                yield last.func.id, cells[n - 1], cell, cells[n + 1 : n + 3]


def test_it_stands_in_a_notebook_between_lead_in_and_answer(explorable: type[Explorer]) -> None:
    places = [(notebook, *place) for notebook in NOTEBOOKS for place in shown_in(notebook)]
    mine = [place for place in places if place[1] == explorable.__name__]
    assert mine, f"no notebook shows {explorable.__name__}()"
    for notebook, _, before, cell, after in mine:
        assert before.cell_type == "markdown", f"{notebook}, {cell.id}: say first what to move and what to watch"
        assert any(c.cell_type == "markdown" and "{dropdown}" in c.source for c in after), (
            f"{notebook}, {cell.id}: the answer follows, folded"
        )
