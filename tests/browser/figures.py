"""Explorables on a page: what their tables say they show, what is drawn, and a hand that moves their controls."""

from __future__ import annotations

import itertools
import json
import random
import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from playwright.sync_api import Locator, Page

State = tuple[int, ...]
"""The position of every control among its stops."""

FIGURE = re.compile(
    r'<figure class="rt rtx" data-explorer="(\w+)".*?<script type="application/json">(.*?)</script></figure>', re.S
)

READ = """
figure => ({
  says: figure.querySelector('.rtx-says').textContent,
  at: [...figure.querySelectorAll('.rtx-control')].map(c => c.classList.contains('rtx-choice')
    ? [...c.querySelectorAll('input')].findIndex(i => i.checked)
    : c.classList.contains('rtx-toggle') ? +c.querySelector('input').checked : +c.querySelector('input').value),
  shown: [...figure.querySelectorAll('.rtx-control')].map(c => c.querySelector('[type=range]')
    ? [c.querySelector('input').getAttribute('aria-valuetext'), c.querySelector('output').textContent] : null),
  labels: [...figure.querySelectorAll('svg')].map(s => s.getAttribute('aria-label')),
  panels: [...figure.querySelectorAll('svg')].map(svg => ({
    w: svg.viewBox.baseVal.width, h: svg.viewBox.baseVal.height,
    marks: [...svg.children].map(e => [e.tagName, e.dataset.key,
      Object.fromEntries([...e.attributes].filter(a => !/^(data-|class$)/.test(a.name)).map(a => [a.name, a.value])),
      e.textContent, e.dataset.tip ?? '']),
  })),
})
"""

PUT = """
(figure, at) => [...figure.querySelectorAll('.rtx-control')].forEach((box, n) => {
  const all = [...box.querySelectorAll('input')], input = all.length > 1 ? all[at[n]] : all[0];
  if (input.type == 'range') {
    if (+input.value == at[n]) return;
    input.value = at[n];
    input.dispatchEvent(new Event('input', { bubbles: true }));
  } else {
    const wanted = input.type == 'radio' || at[n] == 1;
    if (input.checked == wanted) return;
    input.checked = wanted;
    input.dispatchEvent(new Event('change', { bubbles: true }));
  }
})
"""


def whole(panels: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Panels as they are encoded, with the empty ends of their marks."""
    return [panel | {"marks": [[*m, *[""] * (5 - len(m))] for m in panel["marks"]]} for panel in panels]


@dataclass(frozen=True, eq=False)
class Figure:
    """The n-th explorable of a built page, read from its table."""

    name: str
    n: int
    spec: dict[str, Any]
    start: State
    table: dict[str, Any]

    @property
    def controls(self) -> list[dict[str, Any]]:
        return list(self.spec["controls"])

    @property
    def counts(self) -> State:
        return tuple(len(control["shown"]) for control in self.controls)

    def scene(self, at: State) -> dict[str, Any]:
        """What has to be seen: the sentence and the panels, the last control varying fastest in the table."""
        row = 0
        for stop, count in zip(at, self.counts, strict=True):
            row = row * count + stop
        says, *shown = self.table["frames"][row]
        panels = [
            {"w": w, "h": h, "marks": [self.table["marks"][m] for m in marks]}
            for (w, h), marks in zip(self.table["sizes"], shown, strict=True)
        ]
        return {"says": says, "panels": whole(panels)}

    def states(self) -> Iterator[State]:
        """The start, then all states in an order that is the same each time."""
        rest = list(itertools.product(*map(range, self.counts)))
        random.Random(0).shuffle(rest)
        yield from [self.start, *rest]

    def extremes(self) -> list[State]:
        """The start, both ends of everything, and both ends of each control by itself."""
        ends = [tuple(count - 1 for count in self.counts), tuple(0 for _ in self.counts)]
        single = [(*self.start[:n], end, *self.start[n + 1 :]) for n, c in enumerate(self.counts) for end in (0, c - 1)]
        return list(dict.fromkeys([self.start, *ends, *single]))

    def telling(self, control: int, far: bool) -> tuple[State, State]:
        """Two states between which one control changes picture and sentence; far apart or close by."""
        for at in self.states():
            here = self.scene(at)
            stops = sorted(range(self.counts[control]), key=lambda n: abs(n - at[control]), reverse=far)
            for stop in stops:
                to = (*at[:control], stop, *at[control + 1 :])
                there = self.scene(to)
                if here["says"] != there["says"] and here["panels"] != there["panels"]:
                    return at, to
        raise AssertionError(f"{self.name}: {self.controls[control]['label']} changes nothing at any state")


@cache
def figures(file: Path) -> list[Figure]:
    """All explorables of a built page, in order."""
    found = []
    for n, (name, data) in enumerate(FIGURE.findall(file.read_text(encoding="utf-8"))):
        read = json.loads(data)
        found.append(Figure(name, n, read["spec"], tuple(round(at) for at in read["frame"]["at"]), read["table"]))
    return found


@dataclass(frozen=True)
class Hand:
    """An explorable in an open page, and the hand that moves its controls."""

    page: Page
    figure: Figure

    @property
    def root(self) -> Locator:
        return self.page.locator("figure.rtx").nth(self.figure.n)

    def inputs(self, control: int) -> Locator:
        return self.root.locator(".rtx-control").nth(control).locator("input")

    def read(self) -> dict[str, Any]:
        """What is drawn and said."""
        return dict(self.root.evaluate(READ))

    def shows(self, at: State) -> None:
        """Fails unless exactly the scene of this state is drawn, said and described."""
        seen, scene = self.read(), self.figure.scene(at)
        assert tuple(seen["at"]) == at, self.figure.name
        assert seen["says"] == scene["says"]
        assert seen["labels"] == [scene["says"]] * len(scene["panels"])
        assert seen["panels"] == scene["panels"], f"{self.figure.name} at {at}"
        for control, stop, shown in zip(self.figure.controls, at, seen["shown"], strict=True):
            assert shown is None or shown == [control["shown"][stop]] * 2

    def put(self, at: State) -> None:
        """Set all controls without a hand."""
        self.root.evaluate(PUT, list(at))

    def place(self, control: int, stop: int) -> tuple[float, float]:
        """Where on the screen a slider's thumb is at a stop."""
        slider = self.inputs(control)
        slider.scroll_into_view_if_needed()
        box = slider.bounding_box()
        assert box is not None
        part, thumb = stop / (self.figure.counts[control] - 1), 16
        return box["x"] + thumb / 2 + part * (box["width"] - thumb), box["y"] + box["height"] / 2

    def drag(self, control: int, stop: int, steps: int = 6) -> None:
        """Move one control by the mouse."""
        kind = self.figure.controls[control]["kind"]
        if kind in ("choice", "toggle"):
            self.inputs(control).nth(stop if kind == "choice" else 0).click()
            return
        mouse = self.page.mouse
        mouse.move(*self.place(control, int(self.inputs(control).input_value())))
        mouse.down()
        mouse.move(*self.place(control, stop), steps=steps)
        mouse.up()

    def press(self, control: int, stop: int) -> None:
        """Move one control by the keyboard."""
        kind, now = self.figure.controls[control]["kind"], self.read()["at"][control]
        self.inputs(control).nth(now if kind == "choice" else 0).focus()
        key = "Space" if kind == "toggle" else "ArrowRight" if stop > now else "ArrowLeft"
        for _ in range(abs(stop - now)):
            self.page.keyboard.press(key)


SETTLE = """
new Promise(done => {
  let start;
  const wait = now => requestAnimationFrame(now - (start ??= now) > 200 ? done : wait);
  requestAnimationFrame(wait);
})
"""
"""Waits, by the clock of the animation, until marks have arrived."""


def hands(page: Page, file: Path) -> list[Hand]:
    """A hand for every explorable of an open page."""
    return [Hand(page, figure) for figure in figures(file)]
