"""Explorables: one Python class, live in JupyterLab and alive in the rendered page.

A subclass of :class:`Explorer` declares controls and computes a scene from their values:

    class Half(Explorer):
        title = "A share"
        question = "Where is the bar half as long as the panel is wide?"
        share = Continuous("share", 0, 1, stops=11, start=0.3)

        def compute(self, share):
            scene = Scene(f"The bar covers {share:.0%}.")
            panel = scene.panel(height=60)
            panel.rect("bar", 0, 0, 350 * share, 40)
            return scene

With a kernel, every move of a control asks Python for a new scene: one request is under way at a time, the newest
waits behind it, and an exception is shown in place of the sentence. In the built book (``RECTUTOR_STATIC=1``) there is
no kernel: the page holds the scenes of all combinations of *stops*, each mark once. The same ``explorer.js`` draws
both, and the page carries the first scene as plain SVG for print and for readers without scripts.
"""

from __future__ import annotations

import gzip
import html
import itertools
import json
import keyword
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar, NamedTuple

import anywidget
import numpy as np
import traitlets

from rectutor.chapter import CSS, in_book
from rectutor.widgets.scene import Scene

HERE = Path(__file__).parent
SCRIPT, STYLE = HERE / "explorer.js", HERE / "explorer.css"

MOST_STATES = 600
"""Combinations of stops that a page may hold for one explorable."""
MOST_BYTES = 400_000
"""Bytes that one explorable may add to a page, compressed."""


# -- controls --------------------------------------------------------------------------------------------------
class Control(traitlets.TraitType[Any, Any]):
    """A declared control: a traitlet that knows its label, its stops on a page and its finer stops with a kernel.

    As a traitlet it lives among ipywidgets: ``explorer.share = 0.4`` moves the slider, and ``observe``, ``link`` and
    ``dlink`` work.
    """

    kind = "range"

    def __init__(self, label: str, stops: Sequence[Any], fine: Sequence[Any], start: Any, format: str | None) -> None:
        if not label.strip():
            raise ValueError("label is empty; name what the control changes")
        if len(stops) < 2:
            raise ValueError(f"{label!r} has the stops {list(stops)}; a control needs two or more")
        if any(stop in stops[:n] for n, stop in enumerate(stops)):
            raise ValueError(f"{label!r} has the stops {list(stops)}; each must be there once")
        if start not in stops:
            raise ValueError(f"{label!r} starts at {start!r}, which is none of its stops {list(stops)}")
        self.label, self.stops, self.fine, self.form = label, list(stops), list(fine), format
        super().__init__(start)

    def shown(self, value: Any) -> str:
        """The value as the reader sees it beside the control."""
        text = (
            format(value, self.form) if self.form else format(value, ",.6g") if isinstance(value, float) else str(value)
        )
        return text.replace("-", "\N{MINUS SIGN}") if isinstance(value, (int, float)) else text

    def position(self, value: Any, stops: Sequence[Any]) -> float:
        """Where among the stops a value lies, 0 for the first; between two of them for a continuous control."""
        return float(stops.index(value))

    def validate(self, obj: Any, value: Any) -> Any:
        """A value of the control, or TraitError."""
        if value in self.stops:
            return self.stops[self.stops.index(value)]
        raise traitlets.TraitError(f"{self.name} is {value!r}; it must be one of {self.stops}")

    def spec(self, stops: Sequence[Any]) -> dict[str, Any]:
        """What the renderer has to know."""
        return {"name": self.name, "label": self.label, "kind": self.kind, "shown": [self.shown(v) for v in stops]}


class Continuous(Control):
    """A slider over an interval.

    Args:
        label: what it changes, with the unit.
        low: smallest value.
        high: greatest value.
        stops: how many evenly spaced values the page has, or the values themselves.
        start: value at first; one of the stops; by default the middle one.
        log: space stops and finer stops evenly in the logarithm.
        fine: how many values the slider has with a kernel.
        format: of the value, as in :func:`format`.

    Raises:
        ValueError: fewer than two stops, a start or stops outside.
    """

    def __init__(
        self,
        label: str,
        low: float,
        high: float,
        *,
        stops: int | Sequence[float],
        start: float | None = None,
        log: bool = False,
        fine: int = 201,
        format: str | None = None,
    ) -> None:
        space = np.geomspace if log else np.linspace
        values = [float(f"{v:.12g}") for v in (space(low, high, stops) if isinstance(stops, int) else stops)]
        if sorted(set(values)) != values or (values and not low <= values[0] <= values[-1] <= high):
            raise ValueError(f"{label!r} has the stops {values}; they must rise within {low} to {high}")
        finer = [float(f"{v:.12g}") for v in space(low, high, fine)]
        self.low, self.high = float(low), float(high)
        first = values[len(values) // 2] if start is None and values else start
        super().__init__(label, values, sorted({*finer, *values}), first if first is None else float(first), format)

    def position(self, value: Any, stops: Sequence[Any]) -> float:
        """Where among the stops a value lies, interpolated."""
        return float(np.interp(value, stops, np.arange(len(stops))))

    def validate(self, obj: Any, value: Any) -> float:
        """A number within the limits, or TraitError."""
        if isinstance(value, (int, float, np.integer, np.floating)) and self.low <= value <= self.high:
            return float(value)
        raise traitlets.TraitError(f"{self.name} is {value!r}; it must be a number from {self.low:g} to {self.high:g}")


class Discrete(Control):
    """A slider over given values, the same on a page and with a kernel.

    Args:
        label: what it changes, with the unit.
        values: numbers or words, in order.
        start: one of them; by default the first.
        format: of the value, as in :func:`format`.
    """

    def __init__(self, label: str, values: Sequence[Any], *, start: Any = None, format: str | None = None) -> None:
        super().__init__(label, values, values, values[0] if start is None and len(values) else start, format)


class Steps(Discrete):
    """A slider over the steps of a process, with a button that plays them one after another.

    Args:
        label: what is stepped through.
        values: the steps, in order.
        start: one of them; by default the first.
        format: of the value, as in :func:`format`.
        seconds: that each step is shown for while playing.
    """

    kind = "steps"

    def __init__(
        self, label: str, values: Sequence[Any], *, start: Any = None, format: str | None = None, seconds: float = 0.5
    ) -> None:
        self.seconds = seconds
        super().__init__(label, values, start=start, format=format)

    def spec(self, stops: Sequence[Any]) -> dict[str, Any]:
        """What the renderer has to know."""
        return super().spec(stops) | {"seconds": self.seconds}


class Choice(Control):
    """One of a few named alternatives.

    Args:
        label: what is chosen.
        options: names.
        start: one of them; by default the first.
    """

    kind = "choice"

    def __init__(self, label: str, options: Sequence[str], *, start: str | None = None) -> None:
        super().__init__(label, options, options, options[0] if start is None and len(options) else start, None)


class Toggle(Control):
    """On or off."""

    kind = "toggle"

    def __init__(self, label: str, *, start: bool = False) -> None:
        super().__init__(label, [False, True], [False, True], start, None)

    def shown(self, value: Any) -> str:
        """ "on" or "off"."""
        return "on" if value else "off"

    def validate(self, obj: Any, value: Any) -> bool:
        """A truth value, or TraitError."""
        if isinstance(value, (bool, np.bool_)):
            return bool(value)
        raise traitlets.TraitError(f"{self.name} is {value!r}; it must be True or False")


# -- explorables -----------------------------------------------------------------------------------------------
class Frame(NamedTuple):
    """A scene and the values of the controls it belongs to."""

    values: dict[str, Any]
    scene: Scene


class Explorer(anywidget.AnyWidget):  # type: ignore[misc, unused-ignore]
    """Base of all explorables: see the head of this module.

    Subclasses set ``title``, ``question`` and their controls, and override :meth:`compute`. Keyword arguments are first
    values of controls. ``preload`` may do once what all scenes need.
    """

    title: ClassVar[str] = ""
    """What one explores, in a few words."""
    question: ClassVar[str] = ""
    """What the reader shall find out by dragging."""

    _esm = SCRIPT
    _css = f"{CSS.read_text(encoding='utf-8')}\n{STYLE.read_text(encoding='utf-8')}"
    _spec = traitlets.Dict().tag(sync=True)
    _frame = traitlets.Dict().tag(sync=True)
    _request = traitlets.Dict().tag(sync=True)

    def __init__(self, **start: Any) -> None:
        self._still = in_book()
        self._answering = True  # until all controls have their first values
        controls = self.controls()
        if unknown := sorted(set(start) - set(controls)):
            raise ValueError(f"{type(self).__name__} has no control {unknown[0]!r}; it has {', '.join(controls)}")
        super().__init__(**start)
        self._spec = self._described({n: self._stops(c) for n, c in controls.items()})
        self._answering = False
        self.observe(self._moved, list(controls))
        self.observe(self._asked, "_request")
        self._answer(0)

    @classmethod
    def controls(cls) -> dict[str, Control]:
        """The declared controls by name, in the order of their declaration."""
        found: dict[str, Control] = {}
        for base in reversed(cls.__mro__):
            found |= {name: c for name, c in vars(base).items() if isinstance(c, Control)}
        if not found:
            raise TypeError(
                f"{cls.__name__} declares no control; add one, for instance share = Continuous('share', 0, 1, stops=11)"
            )
        for name in found:
            if hasattr(Explorer, name) or keyword.iskeyword(name):
                raise TypeError(f"{cls.__name__} calls a control {name!r}, a name that widgets use; choose another")
        return found

    def compute(self, *_: Any, **values: Any) -> Scene:
        """The scene for one value of every control; only the library computes, this composes marks."""
        raise NotImplementedError(f"{type(self).__name__} must override compute")

    @property
    def values(self) -> dict[str, Any]:
        """The present value of every control."""
        return {name: getattr(self, name) for name in self.controls()}

    def _described(self, stops: Mapping[str, Sequence[Any]]) -> dict[str, Any]:
        """What the renderer has to know beside the scenes."""
        controls = [c.spec(stops[n]) for n, c in self.controls().items()]
        return {"title": self.title, "question": self.question, "controls": controls}

    def _placed(self, stops: Mapping[str, Sequence[Any]]) -> dict[str, Any]:
        """Where the controls stand, and what is printed beside them."""
        values = self.values
        return {
            "at": [c.position(values[n], stops[n]) for n, c in self.controls().items()],
            "shown": [c.shown(values[n]) for n, c in self.controls().items()],
        }

    # -- with a kernel
    def _stops(self, control: Control) -> list[Any]:
        return control.stops if self._still else control.fine

    def _moved(self, change: Any) -> None:
        if not self._answering:
            self._answer(0)

    def _asked(self, change: Any) -> None:
        """A control was moved on the page: set the values together, compute once.

        One that stands where it stood keeps its value, which may lie between two positions.
        """
        request = change["new"]
        self._answering = True
        try:
            for (name, control), at in zip(self.controls().items(), request["at"], strict=True):
                stops = self._stops(control)
                shown = int(control.position(getattr(self, name), stops) + 0.5)  # the page rounds halves up
                if at != shown:
                    setattr(self, name, stops[int(at)])
        finally:
            self._answering = False
        self._answer(request["id"])

    def _answer(self, request: int) -> None:
        """Send the scene of the present values; an exception is sent in its place."""
        frame = {"id": request} | self._placed({n: self._stops(c) for n, c in self.controls().items()})
        try:
            frame |= self._scene(self.values).encoded()
        except Exception as error:
            if self._still:
                raise
            frame["error"] = f"{type(error).__name__}: {error}"
        self._frame = frame

    def _scene(self, values: Mapping[str, Any]) -> Scene:
        scene = self.compute(**values)
        if not isinstance(scene, Scene):
            raise TypeError(f"compute of {type(self).__name__} returned {type(scene).__name__}; it must return a Scene")
        return scene

    # -- without one
    def frames(self) -> Iterator[Frame]:
        """The scenes of all combinations of stops, the last control varying fastest.

        Raises:
            ValueError: more than :data:`MOST_STATES` combinations, or a scene that would trouble a reader.
        """
        controls = self.controls()
        counts = {name: len(c.stops) for name, c in controls.items()}
        total = int(np.prod(list(counts.values())))
        if total > MOST_STATES:
            most = max(counts, key=lambda n: counts[n])
            product = " x ".join(f"{n} {count}" for n, count in counts.items())
            raise ValueError(
                f"{type(self).__name__} has {total} states ({product}), {MOST_STATES} are allowed; "
                f"give {most!r} at most {MOST_STATES * counts[most] // total} stops"
            )
        for stops in itertools.product(*(c.stops for c in controls.values())):
            values = dict(zip(controls, stops, strict=True))
            scene = self._scene(values)
            if problems := scene.problems():
                raise ValueError(f"{type(self).__name__} at {values}: {problems[0]}")
            yield Frame(values, scene)

    def table(self) -> dict[str, Any]:
        """All frames as the page stores them: every mark once, and for each frame the marks that it shows."""
        marks: dict[str, int] = {}
        sizes: list[list[float]] | None = None
        frames = []
        for values, scene in self.frames():
            here = [[p.width, p.height] for p in scene.panels]
            if sizes is not None and here != sizes:
                raise ValueError(f"{type(self).__name__} at {values}: panels of {here} pixels, before it were {sizes}")
            sizes = here
            shown = [[marks.setdefault(_json(m.encoded()), len(marks)) for m in p.marks] for p in scene.panels]
            frames.append([scene.says, *shown])
        return {"sizes": sizes, "marks": [json.loads(mark) for mark in marks], "frames": frames}

    def to_html(self) -> str:
        """The explorable as it stands in a page of the book.

        Raises:
            ValueError: too many states, a scene that would trouble a reader, more bytes than :data:`MOST_BYTES`, or a
                control that stands between its stops.
        """
        if missing := [name for name in ("title", "question") if not getattr(self, name).strip()]:
            raise ValueError(f"{type(self).__name__} has no {missing[0]}; every explorable has a title and a question")
        controls = self.controls()
        for name, control in controls.items():
            if (value := getattr(self, name)) not in control.stops:
                raise ValueError(f"{name} is {value!r}; a page starts at one of its stops {control.stops}")
        stops, table = {n: c.stops for n, c in controls.items()}, self.table()
        data = _json({"spec": self._described(stops), "frame": self._placed(stops), "table": table})
        if (size := len(gzip.compress(data.encode()))) > MOST_BYTES:
            raise ValueError(
                f"{type(self).__name__} takes {size:,} bytes compressed, {MOST_BYTES:,} are allowed; "
                f"most are in {_heaviest(table['marks'])}: draw fewer points or give fewer stops"
            )
        data = data.replace("<", r"\u003c")  # no tag or comment begins inside the script element
        scene = self._scene(self.values)
        pictures = "".join(panel.svg(scene.says) for panel in scene.panels)
        at = ", ".join(f"{c.label} {c.shown(self.values[n])}" for n, c in self.controls().items())
        say = {
            name: html.escape(text)
            for name, text in (("title", self.title), ("says", scene.says), ("question", self.question), ("at", at))
        }
        return (
            f'<figure class="rt rtx" data-explorer="{type(self).__name__}" aria-label="{say["title"]}">'
            f'<figcaption class="rtx-title">{say["title"]}</figcaption>'
            f'<p class="rtx-still">The picture for {say["at"]}; the controls need JavaScript.</p>'
            f'<div class="rtx-panels">{pictures}</div><p class="rtx-says">{say["says"]}</p>'
            f'<p class="rtx-question">{say["question"]}</p>'
            f'<script type="application/json">{data}</script></figure>'
        )

    def open(self) -> None:
        """Connect with the front end; in a book build there is none."""
        if not self._still:
            super().open()

    def _repr_mimebundle_(self, **options: Any) -> Any:
        if self._still:
            return {"text/html": self.to_html(), "text/plain": repr(self)}
        bundle = super()._repr_mimebundle_(**options)
        if bundle is not None:
            data = bundle[0] if isinstance(bundle, tuple) else bundle
            data["text/plain"] = repr(self)
        return bundle

    def __repr__(self) -> str:
        return f"{type(self).__name__}({', '.join(f'{n}={v!r}' for n, v in self.values.items())})"


def _json(value: Any) -> str:
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False, allow_nan=False)


def _heaviest(marks: Sequence[Any]) -> str:
    """The key of the marks that take most bytes."""
    weight: dict[str, int] = {}
    for mark in marks:
        weight[mark[1]] = weight.get(mark[1], 0) + len(_json(mark))
    return f"the marks {max(weight, key=lambda k: weight[k])!r}"
