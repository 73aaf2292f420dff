"""Explorables: controls, the live mode with a kernel, and the pages without one."""

from __future__ import annotations

import gzip
import itertools
import json
import re
from collections.abc import Callable
from html.parser import HTMLParser
from pathlib import Path
from types import SimpleNamespace
from typing import Any, ClassVar, cast
from xml.etree import ElementTree

import comm
import ipywidgets
import numpy as np
import pytest
import traitlets
from bs4 import BeautifulSoup

from rectutor.sphinx_ext import classic, use_explorer_script, use_style_sheet
from rectutor.widgets import Choice, Continuous, Discrete, Explorer, Scene, Steps, Toggle, explorer
from rectutor.widgets.explorer import SCRIPT, STYLE, Control

MINUS = "\N{MINUS SIGN}"


class Sample(Explorer):
    """One control of every kind; also what the browser tests drive."""

    title = "A bar & its <neighbours>"
    question = 'Where is the bar "half" as wide?'
    share = Continuous("share of the width", 0, 1, stops=5, start=0.25, format=".0%")
    count = Discrete("dots", [1, 3, 10])
    step = Steps("step", [1, 2, 3, 4], seconds=0.1)
    kind = Choice("shape", ["plain", "round"])
    filled = Toggle("fill the bar")

    computed: ClassVar[list[dict[str, Any]]] = []

    def compute(self, share: float, count: int, step: int, kind: str, filled: bool) -> Scene:
        self.computed.append({"share": share, "count": count, "step": step, "kind": kind, "filled": filled})
        scene = Scene(
            f"The {kind} bar covers {share:.1%} of <all> at step {step} beside {count} dots, {filled}.",
            numbers={"share": share, "width": 300 * share},
        )
        panel = scene.panel(height=120, width=350, title="Bar")
        colour, rounded = "blue" if filled else "soft", 6 * (kind == "round")
        tip = f"{share:.2f} </script>"
        panel.rect("bar", 20, 40, 20 + 300 * share, 60, colour=colour, outline="ink", rounded=rounded, tip=tip)
        panel.line("rule", [20, 20 + 75 * step], [80, 80])
        if filled:
            panel.text("filled", 20, 110, "filled")
        dots = scene.panel(height=120, width=300, title="Dots")
        for n in range(count):
            dots.circle(f"dot-{n}", 20 + 25 * n, 60, r=4 + step, tip=f"dot {n + 1} of {count}")
        return scene


@pytest.fixture(autouse=True)
def kernel(monkeypatch: pytest.MonkeyPatch) -> None:
    """As in JupyterLab, and nothing computed yet."""
    monkeypatch.delenv("RECTUTOR_STATIC", raising=False)
    Sample.computed.clear()


@pytest.fixture
def book(monkeypatch: pytest.MonkeyPatch) -> None:
    """As in a build of the book."""
    monkeypatch.setenv("RECTUTOR_STATIC", "1")


def ask(widget: Explorer, number: int, *at: int) -> None:
    """A request as it arrives from the page."""
    widget.set_state({"_request": {"id": number, "at": list(at)}})


# -- controls --------------------------------------------------------------------------------------------------
def test_continuous_stops_are_even_and_finer_with_a_kernel() -> None:
    control = Continuous("share", 0, 1, stops=11)
    assert control.stops == [0.0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0]
    assert len(control.fine) == 201
    assert set(control.stops) <= set(control.fine)
    assert control.fine == sorted(control.fine)
    assert control.default_value == 0.5


def test_continuous_stops_even_in_the_logarithm() -> None:
    control = Continuous("users", 1, 10000, stops=5, log=True, fine=9)
    assert control.stops == [1, 10, 100, 1000, 10000]
    assert control.fine == pytest.approx(10.0 ** np.arange(0, 4.5, 0.5))
    assert set(control.stops) <= set(control.fine)


def test_continuous_stops_of_ones_own_join_the_finer_ones() -> None:
    control = Continuous("k", 0, 1, stops=[0, 1 / 3, 1], fine=3, start=0)
    assert control.stops == pytest.approx([0, 1 / 3, 1])
    assert control.fine == pytest.approx([0, 1 / 3, 0.5, 1])


@pytest.mark.parametrize(
    ("control", "value", "shown"),
    [
        (Continuous("a", -1, 1, stops=5), -0.5, f"{MINUS}0.5"),
        (Continuous("a", 0, 1e6, stops=5), 12345.5, "12,345.5"),
        (Continuous("a", 0, 1, stops=5, format=".0%"), 0.25, "25%"),
        (Continuous("a", 0, 1, stops=4, start=0), 1 / 3, "0.333333"),
        (Discrete("a", [-2, 5]), -2, f"{MINUS}2"),
        (Discrete("a", ["item-based", "user-based"]), "item-based", "item-based"),  # a hyphen is no minus
        (Steps("a", [0, 1], format="d"), 1, "1"),
        (Toggle("a"), True, "on"),
        (Toggle("a"), False, "off"),
        (Choice("a", ["x-1", "y"]), "x-1", "x-1"),
    ],
)
def test_values_are_shown_as_a_reader_writes_them(control: Control, value: Any, shown: str) -> None:
    assert control.shown(value) == shown


def test_position_is_the_index_and_between_stops_a_fraction() -> None:
    control = Continuous("a", 0, 1, stops=5)
    assert [control.position(v, control.stops) for v in (0, 0.25, 0.3, 1)] == pytest.approx([0, 1, 1.2, 4])
    words = Discrete("a", ["few", "more", "many"])
    assert [words.position(v, words.stops) for v in ("few", "many")] == [0, 2]
    switch = Toggle("a")
    assert [switch.position(v, switch.stops) for v in (False, True)] == [0, 1]


def test_controls_are_found_in_the_order_of_declaration() -> None:
    assert list(Sample.controls()) == ["share", "count", "step", "kind", "filled"]
    assert [c.kind for c in Sample.controls().values()] == ["range", "range", "steps", "choice", "toggle"]


def test_controls_are_inherited_and_can_be_declared_again() -> None:
    class More(Sample):
        count = Discrete("dots", [2, 4])
        size = Discrete("size", [1, 2])

        def compute(self, *args: Any, **values: Any) -> Scene:
            del values["size"]
            return super().compute(*args, **values)

    assert list(More.controls()) == ["share", "count", "step", "kind", "filled", "size"]
    assert More.controls()["count"].stops == [2, 4]
    assert Sample.controls()["count"].stops == [1, 3, 10]
    assert More().values["count"] == 2


def test_start_values_and_those_of_the_call() -> None:
    assert Sample().values == {"share": 0.25, "count": 1, "step": 1, "kind": "plain", "filled": False}
    assert Sample(count=10, filled=True).values == Sample().values | {"count": 10, "filled": True}
    assert repr(Sample(count=3)) == "Sample(share=0.25, count=3, step=1, kind='plain', filled=False)"


def test_instances_do_not_share_values() -> None:
    one, other = Sample(), Sample()
    one.count = 10
    assert other.count == 1


@pytest.mark.parametrize(
    ("name", "bad", "message"),
    [
        ("share", 1.5, "share is 1.5; it must be a number from 0 to 1"),
        ("share", float("nan"), "share is nan; it must be a number"),
        ("share", "half", "share is 'half'; it must be a number"),
        ("count", 2, "count is 2; it must be one of [1, 3, 10]"),
        ("kind", "square", "kind is 'square'; it must be one of ['plain', 'round']"),
        ("filled", 1, "filled is 1; it must be True or False"),
    ],
)
def test_a_bad_value_is_refused_and_the_old_one_stays(name: str, bad: Any, message: str) -> None:
    widget = Sample()
    before = widget.values
    with pytest.raises(traitlets.TraitError, match=re.escape(message)):
        setattr(widget, name, bad)
    assert widget.values == before
    with pytest.raises(traitlets.TraitError, match=re.escape(message)):
        Sample(**{name: bad})


def test_numpys_numbers_are_numbers() -> None:
    widget = Sample()
    widget.share, widget.count, widget.filled = np.float64(0.5), np.int64(3), np.bool_(True)
    assert widget.values == Sample().values | {"share": 0.5, "count": 3, "filled": True}
    assert [type(v) for v in widget.values.values()] == [float, int, int, str, bool]


BAD: dict[str, tuple[Callable[[], Any], str]] = {
    "no label": (lambda: Toggle(" "), "label is empty; name what the control changes"),
    "one stop": (lambda: Continuous("k", 0, 1, stops=1), "'k' has the stops [0.0]; a control needs two or more"),
    "no stop": (lambda: Continuous("k", 0, 1, stops=0), "'k' has the stops []; a control needs two or more"),
    "falling": (lambda: Continuous("k", 1, 0, stops=2), "'k' has the stops [1.0, 0.0]; they must rise within 1 to 0"),
    "outside": (
        lambda: Continuous("k", 0, 1, stops=[0, 2]),
        "'k' has the stops [0.0, 2.0]; they must rise within 0 to",
    ),
    "twice": (lambda: Continuous("k", 0, 1, stops=[0, 0, 1]), "'k' has the stops [0.0, 0.0, 1.0]; they must rise"),
    "start": (lambda: Continuous("k", 0, 1, stops=3, start=0.2), "'k' starts at 0.2, which is none of its stops [0.0"),
    "no value": (lambda: Discrete("k", []), "'k' has the stops []; a control needs two or more"),
    "one value": (lambda: Steps("k", [1]), "'k' has the stops [1]; a control needs two or more"),
    "value twice": (lambda: Discrete("k", [1, 2, 1]), "'k' has the stops [1, 2, 1]"),
    "no such word": (lambda: Choice("k", ["a", "b"], start="c"), "'k' starts at 'c', which is none of its stops ['a'"),
    "no switch": (lambda: Toggle("k", start=cast(Any, 3)), "'k' starts at 3, which is none of its stops"),
}


@pytest.mark.parametrize("kind", BAD)
def test_a_bad_control_is_refused_with_its_label_and_value(kind: str) -> None:
    make, message = BAD[kind]
    with pytest.raises(ValueError, match=re.escape(message)):
        make()


def test_an_unknown_control_is_refused() -> None:
    with pytest.raises(ValueError, match="Sample has no control 'size'; it has share, count, step, kind, filled"):
        Sample(size=3)


@pytest.mark.parametrize("name", ["values", "open", "close", "layout", "title", "compute", "keys", "lambda"])
def test_names_that_widgets_use_are_refused(name: str) -> None:
    made = cast(type[Explorer], type("Taken", (Explorer,), {name: Toggle("a switch")}))
    with pytest.raises(TypeError, match=f"Taken calls a control '{name}', a name that widgets use; choose another"):
        made.controls()


def test_an_explorable_without_controls_or_picture_is_refused() -> None:
    class Bare(Explorer):
        pass

    class Still(Explorer):
        on = Toggle("a switch")

    class Wrong(Still):
        def compute(self, **values: Any) -> Any:
            return "a picture"

    with pytest.raises(TypeError, match="Bare declares no control; add one, for instance"):
        Bare()
    assert "Still must override compute" in Still()._frame["error"]
    assert "compute of Wrong returned str; it must return a Scene" in Wrong()._frame["error"]


# -- with a kernel ---------------------------------------------------------------------------------------------
def test_first_frame_is_there_at_once() -> None:
    widget = Sample()
    assert len(Sample.computed) == 1
    assert widget._frame["id"] == 0
    assert widget._frame["shown"] == ["25%", "1", "1", "plain", "off"]
    assert widget._frame["at"] == [50, 0, 0, 0, 0]  # the fifty-first of 201 positions
    assert widget._frame["panels"] == Sample().compute(**widget.values).encoded()["panels"]
    assert [len(c["shown"]) for c in widget._spec["controls"]] == [201, 3, 4, 2, 2]
    assert widget._spec["controls"][2]["seconds"] == 0.1


def test_a_request_sets_all_values_and_computes_once() -> None:
    widget = Sample()
    Sample.computed.clear()
    ask(widget, 7, 101, 2, 3, 1, 1)
    expected = {"share": 0.505, "count": 10, "step": 4, "kind": "round", "filled": True}
    assert Sample.computed == [expected]
    assert widget.values == expected
    assert widget._frame["id"] == 7
    assert widget._frame["at"] == [101, 2, 3, 1, 1]
    assert widget._frame["says"].startswith("The round bar covers 50.5% of")


def test_requests_are_answered_one_by_one_by_their_number() -> None:
    widget = Sample()
    answers: list[tuple[int, float]] = []
    widget.observe(lambda change: answers.append((change["new"]["id"], change["new"]["at"][0])), "_frame")
    for number, at in enumerate((3, 90, 200), start=1):
        ask(widget, number, at, 0, 0, 0, 0)
    assert answers == [(1, 3), (2, 90), (3, 200)]


def test_a_value_set_in_python_is_drawn_and_moves_the_control() -> None:
    widget = Sample()
    Sample.computed.clear()
    widget.count = 10
    widget.share = 1 / 3  # between the positions of the slider
    assert [(c["count"], c["share"]) for c in Sample.computed] == [(10, 0.25), (10, 1 / 3)]
    assert widget._frame["id"] == 0
    assert widget._frame["at"] == pytest.approx([200 / 3, 2, 0, 0, 0])
    assert widget._frame["shown"][0] == "33%"
    assert "33.3%" in widget._frame["says"]
    widget.count = 10  # no change, nothing to compute
    assert len(Sample.computed) == 2


def test_a_control_that_is_not_moved_keeps_its_value() -> None:
    """The page knows positions only; a value between two of them stays when another control is moved."""
    widget = Sample()
    widget.share = 1 / 3
    ask(widget, 1, round(widget._frame["at"][0]), 2, 0, 0, 0)
    assert widget.values == Sample().values | {"share": 1 / 3, "count": 10}


class Halves(Explorer):
    """Positions between which the page, too, has to choose."""

    title, question = "Halves", "Which one?"
    x = Continuous("x", 0, 4, stops=5, fine=5)
    on = Toggle("a switch")

    def compute(self, x: float, on: bool) -> Scene:
        scene = Scene(f"It is {x:g}.")
        scene.panel(height=50).circle("dot", 20, 20)
        return scene


@pytest.mark.parametrize(("value", "shown"), [(1.5, 2), (2.5, 3), (2.4, 2)])
def test_a_value_in_the_middle_stays_where_the_page_rounds_it_up(value: float, shown: int) -> None:
    widget = Halves()
    widget.x = value
    ask(widget, 1, shown, 1)
    assert widget.values == {"x": value, "on": True}
    ask(widget, 2, shown - 1, 1)
    assert widget.x == shown - 1


def test_a_control_is_linked_with_a_slider_of_ipywidgets() -> None:
    widget, slider = Sample(), ipywidgets.FloatSlider(min=0, max=1)
    link = traitlets.link((widget, "share"), (slider, "value"))
    assert slider.value == 0.25
    slider.value = 0.8
    assert widget.share == 0.8
    assert "80.0%" in widget._frame["says"]
    ask(widget, 1, 20, 0, 0, 0, 0)
    assert slider.value == 0.1
    link.unlink()
    slider.value = 0.9
    assert widget.share == 0.1


def test_two_explorables_are_linked() -> None:
    one, other = Sample(), Sample()
    traitlets.link((one, "count"), (other, "count"))
    ask(one, 1, 50, 2, 0, 0, 0)
    assert other.count == 10
    assert "10 dots" in other._frame["says"]


def test_controls_are_observed_like_other_traits() -> None:
    widget, seen = Sample(), []
    widget.observe(lambda change: seen.append((change["name"], change["old"], change["new"])), ["share", "filled"])
    ask(widget, 1, 200, 0, 0, 0, 1)
    assert seen == [("share", 0.25, 1.0), ("filled", False, True)]


class Root(Explorer):
    """The square root: fails below zero, and has no place at its pole."""

    title, question = "Root", "Where is the root 2?"
    x = Discrete("x", [-1, 0, 1, 4], start=1)

    def compute(self, x: int) -> Scene:
        if x < 0:
            raise ArithmeticError(f"no root of {x}")
        scene = Scene(f"The root of {x} is {x**0.5:g}.")
        scene.panel(height=80).circle("dot", float("nan") if x == 0 else 50 + 10 * x**0.5, 40)
        return scene


def test_an_error_is_shown_and_the_next_value_recovers() -> None:
    widget = Root()
    ask(widget, 1, 0)
    assert widget._frame["error"] == "ArithmeticError: no root of -1"
    assert widget._frame["id"] == 1
    assert widget._frame["shown"] == [f"{MINUS}1"]
    assert "says" not in widget._frame
    assert "panels" not in widget._frame
    ask(widget, 2, 1)
    assert widget._frame["error"].startswith("ValueError: mark 'dot' has no place")
    ask(widget, 3, 3)
    assert "error" not in widget._frame
    assert widget._frame["says"] == "The root of 4 is 2."
    widget.x = -1
    assert widget._frame["error"] == "ArithmeticError: no root of -1"
    widget.x = 1
    assert "error" not in widget._frame


def test_it_is_displayed_as_a_widget_and_as_words() -> None:
    widget = Sample()
    bundle = widget._repr_mimebundle_()
    data = bundle[0] if isinstance(bundle, tuple) else bundle
    assert data["application/vnd.jupyter.widget-view+json"]["model_id"] == widget.model_id
    assert data["text/plain"] == repr(widget)
    assert "text/html" not in data


def test_what_goes_to_the_page_is_plain_json() -> None:
    state = Sample(count=np.int64(3)).get_state(["_spec", "_frame", "_esm", "_css"])
    assert json.loads(json.dumps(state)) == state
    assert state["_esm"] == SCRIPT.read_text(encoding="utf-8")
    assert STYLE.read_text(encoding="utf-8") in state["_css"]
    assert "--rt-paper" in state["_css"]


# -- without one -----------------------------------------------------------------------------------------------
def decoded(table: dict[str, Any], n: int) -> dict[str, Any]:
    """Frame number n of a table, in the form of :meth:`Scene.encoded`."""
    says, *panels = table["frames"][n]
    return {
        "says": says,
        "panels": [
            {"w": w, "h": h, "marks": [table["marks"][m] for m in marks]}
            for (w, h), marks in zip(table["sizes"], panels, strict=True)
        ],
    }


@pytest.mark.usefixtures("book")
def test_the_table_holds_exactly_the_scenes_of_all_stops() -> None:
    widget = Sample()
    table = json.loads(json.dumps(widget.table()))
    n = 0
    for share in (0.0, 0.25, 0.5, 0.75, 1.0):
        for count in (1, 3, 10):
            for step in (1, 2, 3, 4):
                for kind in ("plain", "round"):
                    for filled in (False, True):
                        assert decoded(table, n) == widget.compute(share, count, step, kind, filled).encoded()
                        n += 1
    assert len(table["frames"]) == n == 240
    marks = [json.dumps(mark) for mark in table["marks"]]
    assert len(set(marks)) == len(marks), "every mark is stored once"


@pytest.mark.usefixtures("book")
def test_frames_carry_their_values_and_scenes() -> None:
    frames = list(Sample().frames())
    assert frames[0].values == {"share": 0.0, "count": 1, "step": 1, "kind": "plain", "filled": False}
    assert frames[-1].values == {"share": 1.0, "count": 10, "step": 4, "kind": "round", "filled": True}
    assert frames[1].values["filled"] is True  # the last control varies fastest
    assert [f.scene.numbers["width"] for f in frames[::48]] == [0, 75, 150, 225, 300]


class Many(Explorer):
    """Too many states."""

    title, question = "Many", "How many?"
    few = Discrete("few", list(range(7)))
    many = Continuous("many", 0, 1, stops=101)

    def compute(self, few: int, many: float) -> Scene:
        scene = Scene(f"There are {few} and {many}.")
        scene.panel(height=50).circle("dot", 50, 25)
        return scene


@pytest.mark.usefixtures("book")
def test_too_many_states_are_refused_with_what_to_cut() -> None:
    assert explorer.MOST_STATES == 600
    message = "Many has 707 states (few 7 x many 101), 600 are allowed; give 'many' at most 85 stops"
    for call in (Many().table, Many().to_html, lambda: next(Many().frames())):
        with pytest.raises(ValueError, match=re.escape(message)):
            call()

    class Fewer(Many):
        many = Continuous("many", 0, 1, stops=85)

    assert len(Fewer().table()["frames"]) == 595


@pytest.mark.usefixtures("book")
def test_too_many_bytes_are_refused_with_the_marks_that_take_them(monkeypatch: pytest.MonkeyPatch) -> None:
    assert explorer.MOST_BYTES == 400_000

    class Heavy(Root):
        x = Discrete("x", [1, 2])

        def compute(self, x: int) -> Scene:
            scene = super().compute(x)
            rng = np.random.default_rng(x)
            panel = scene.panel(height=100, width=350)
            panel.line("light", [10, 20], [10, 20])
            panel.line("heavy", np.linspace(0, 350, 400), 100 * rng.random(400))
            return scene

    size = len(gzip.compress(Heavy().to_html().encode()))
    monkeypatch.setattr(explorer, "MOST_BYTES", size)
    Heavy().to_html()
    monkeypatch.setattr(explorer, "MOST_BYTES", 2000)
    with pytest.raises(ValueError, match=r"Heavy takes [\d,]+ bytes compressed, 2,000 are allowed; .* marks 'heavy'"):
        Heavy().to_html()


@pytest.mark.usefixtures("book")
def test_a_scene_that_would_trouble_a_reader_is_refused_with_its_values() -> None:
    class Crowded(Explorer):
        title, question = "Crowded", "Where is there room?"
        apart = Continuous("apart", 0, 100, stops=[0, 5, 100], start=100)

        def compute(self, apart: float) -> Scene:
            scene = Scene(f"The words are {apart:g} apart.")
            panel = scene.panel(height=50)
            panel.text("one", 20, 25, "precision")
            panel.text("other", 120 - apart, 25, "recall")
            return scene

    message = "Crowded at {'apart': 100.0}: panel 0: texts 'one' (precision) and 'other' (recall) overlap"
    with pytest.raises(ValueError, match=re.escape(message)):
        Crowded().to_html()


@pytest.mark.usefixtures("book")
def test_panels_keep_their_sizes() -> None:
    class Growing(Explorer):
        title, question = "Growing", "How high is it?"
        tall = Discrete("height", [50, 60])

        def compute(self, tall: int) -> Scene:
            scene = Scene(f"It is {tall} pixels high.")
            scene.panel(height=tall).circle("dot", 20, 20)
            return scene

    message = "Growing at {'tall': 60}: panels of [[294, 60]] pixels, before it were [[294, 50]]"
    with pytest.raises(ValueError, match=re.escape(message)):
        Growing().table()


@pytest.mark.usefixtures("book")
@pytest.mark.parametrize("name", ["title", "question"])
def test_an_explorable_on_a_page_has_a_title_and_a_question(name: str) -> None:
    nameless = type("Nameless", (Root,), {name: " "})
    with pytest.raises(ValueError, match=f"Nameless has no {name}; every explorable has a title and a question"):
        nameless().to_html()


@pytest.mark.usefixtures("book")
def test_an_error_stops_the_build() -> None:
    with pytest.raises(ArithmeticError, match="no root of -1"):
        Root().to_html()
    with pytest.raises(ArithmeticError, match="no root of -1"):
        Root(x=-1)


@pytest.mark.usefixtures("book")
def test_a_page_starts_at_a_stop() -> None:
    """A value between two stops has no frame on a page: it is refused, not drawn as something else."""
    with pytest.raises(ValueError, match=r"share.* 0\.3\b"):
        Sample(share=0.3).to_html()


class Balance(HTMLParser):
    """Fails on an element that is not closed in its place."""

    VOID: ClassVar = {"br", "img", "input", "meta", "link", "hr"}

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.seen: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        names = [name for name, _ in attrs]
        assert len(set(names)) == len(names), f"<{tag}> has an attribute twice"
        self.seen.append(tag)
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open, f"</{tag}> closes nothing"
        assert self.open.pop() == tag


def script_of(page: str) -> Any:
    node = BeautifulSoup(page, "html.parser").select_one("figure > script[type='application/json']")
    assert node is not None
    return json.loads(node.get_text())


@pytest.mark.usefixtures("book")
def test_the_page_is_valid_and_says_what_it_shows() -> None:
    widget = Sample(count=3)
    page = widget.to_html()
    balance = Balance()
    balance.feed(page)
    balance.close()
    assert balance.open == []
    assert balance.seen[:3] == ["figure", "figcaption", "p"]
    figure = BeautifulSoup(page, "html.parser").figure
    assert figure is not None
    assert figure["class"] == ["rt", "rtx"]
    assert figure["data-explorer"] == "Sample"
    assert figure["aria-label"] == widget.title
    scene = widget.compute(**widget.values)
    names = ("title", "says", "question", "still")
    assert {name: node.get_text() for name in names for node in figure.select(f".rtx-{name}")} == {
        "title": widget.title,
        "says": scene.says,
        "question": widget.question,
        "still": "The picture for share of the width 25%, dots 3, step 1, shape plain, fill the bar off; "
        "the controls need JavaScript.",
    }


@pytest.mark.usefixtures("book")
def test_the_plain_picture_is_the_first_scene() -> None:
    widget = Sample(count=3, filled=True)
    figure = BeautifulSoup(widget.to_html(), "html.parser").figure
    assert figure is not None
    scene = widget.compute(**widget.values)
    pictures = [ElementTree.fromstring(str(svg)) for svg in figure.select(".rtx-panels > svg")]
    for picture, panel in zip(pictures, scene.panels, strict=True):
        assert picture.get("aria-label") == scene.says
        assert [(e.tag, e.attrib, e.text or "") for e in picture] == [
            (mark.tag, mark.attributes, mark.text) for mark in panel.marks
        ]


@pytest.mark.usefixtures("book")
def test_the_data_of_the_page_is_whole_and_ends_no_script() -> None:
    widget = Sample(count=3)
    page = widget.to_html()
    inside = page.split('<script type="application/json">')[1].removesuffix("</script></figure>")
    assert "</" not in inside
    assert "<!--" not in inside
    data = script_of(page)
    assert data == json.loads(inside)
    shares = ["0%", "25%", "50%", "75%", "100%"]
    assert data["spec"] == {
        "title": widget.title,
        "question": widget.question,
        "controls": [
            {"name": "share", "label": "share of the width", "kind": "range", "shown": shares},
            {"name": "count", "label": "dots", "kind": "range", "shown": ["1", "3", "10"]},
            {"name": "step", "label": "step", "kind": "steps", "shown": ["1", "2", "3", "4"], "seconds": 0.1},
            {"name": "kind", "label": "shape", "kind": "choice", "shown": ["plain", "round"]},
            {"name": "filled", "label": "fill the bar", "kind": "toggle", "shown": ["off", "on"]},
        ],
    }
    assert data["table"] == json.loads(json.dumps(widget.table()))
    assert data["frame"] == {"at": [1, 1, 0, 0, 0], "shown": ["25%", "3", "1", "plain", "off"]}


@pytest.mark.usefixtures("book")
def test_a_comment_in_a_sentence_does_not_hide_the_rest_of_the_page() -> None:
    class Sly(Root):
        x = Discrete("x", [1, 4])

        def compute(self, x: int) -> Scene:
            return Scene("<!-- <script> " + super().compute(x).says, panels=super().compute(x).panels)

    inside = Sly().to_html().split('<script type="application/json">')[1].removesuffix("</script></figure>")
    assert "<!--" not in inside
    assert json.loads(inside)["table"]["frames"][0][0].startswith("<!-- <script> The root of 1")


def test_the_page_of_a_widget_that_lives_in_a_kernel_has_the_stops_of_a_page(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    live = script_of(Sample(count=3).to_html())
    monkeypatch.setenv("RECTUTOR_STATIC", "1")
    assert live == script_of(Sample(count=3).to_html())


@pytest.mark.usefixtures("book")
def test_in_a_book_it_is_displayed_as_a_page() -> None:
    widget = Sample()
    assert widget._repr_mimebundle_() == {"text/html": widget.to_html(), "text/plain": repr(widget)}


@pytest.fixture
def comms(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The targets of all comms that are opened."""
    opened: list[str] = []
    real = comm.create_comm

    def create(*args: Any, **options: Any) -> Any:
        opened.append(options["target_name"])
        return real(*args, **options)

    monkeypatch.setattr(comm, "create_comm", create)
    return opened


def test_with_a_kernel_it_speaks_with_the_page(comms: list[str]) -> None:
    Sample()
    assert "jupyter.widget" in comms


@pytest.mark.usefixtures("book")
def test_in_a_book_it_speaks_with_nobody(comms: list[str]) -> None:
    widget = Sample()
    widget.count = 10
    widget._repr_mimebundle_()
    widget.close()
    assert comms == []


@pytest.mark.usefixtures("book")
def test_in_a_book_a_value_can_still_be_set() -> None:
    widget = Sample()
    widget.count = 10
    data = script_of(widget.to_html())
    assert data["frame"]["at"] == [1, 2, 0, 0, 0]


@pytest.mark.usefixtures("book")
def test_every_combination_is_a_start() -> None:
    """The page draws its first frame from the table, by the same count as the table is made."""
    controls = Sample.controls().values()
    table = Sample().table()
    counts = [len(c.stops) for c in controls]
    for at in itertools.islice(itertools.product(*map(range, counts)), 0, None, 17):
        values = {str(c.name): c.stops[n] for c, n in zip(controls, at, strict=True)}
        widget = Sample(**values)
        assert widget._frame["at"] == list(at)
        assert decoded(table, int(np.ravel_multi_index(at, counts)))["says"] == widget._frame["says"]


# -- the renderer and its delivery -----------------------------------------------------------------------------
def test_the_renderer_is_small() -> None:
    script = SCRIPT.read_bytes()
    assert len(gzip.compress(script)) <= 10_000
    assert len(gzip.compress(classic(script.decode()).encode())) <= 10_000


@pytest.mark.parametrize("file", [SCRIPT, STYLE], ids=lambda file: file.name)
def test_the_renderer_asks_nothing_of_any_host(file: Path) -> None:
    text = file.read_text(encoding="utf-8")
    assert set(re.findall(r"(?:https?:)?//[\w.-]+\.\w+[^\s\"'`)]*", text)) <= {"http://www.w3.org/2000/svg"}
    assert not re.search(r"\b(?:fetch|XMLHttpRequest|WebSocket|EventSource|sendBeacon|import)\s*\(", text)
    assert not re.search(r"^\s*import\b|@import|url\(", text, flags=re.M)


def test_classic_script_starts_all_and_exports_nothing() -> None:
    module = "const a = 1;\nfunction startAll() {}\nexport default { startAll };\n"
    script = classic(module)
    assert script == (
        "(() => {\nconst a = 1;\nfunction startAll() {}\nconst explorer = { startAll };\nexplorer.startAll();\n})();\n"
    )
    assert not re.search(r"^\s*(?:export|import)\b", classic(SCRIPT.read_text(encoding="utf-8")), flags=re.M)


@pytest.mark.parametrize(
    "module", ["const a = 1;\n", "export default 1;\nexport default 2;\n", "// export default 1\n"]
)
def test_a_module_without_one_default_export_is_refused(module: str) -> None:
    count = len(re.findall("^export", module, flags=re.M))
    with pytest.raises(ValueError, match=rf"explorer\.js has {count} default exports; it must have one"):
        classic(module)


def test_only_pages_with_explorables_load_the_script() -> None:
    added: list[tuple[str, dict[str, Any]]] = []
    app = cast(Any, SimpleNamespace(add_js_file=lambda name, **options: added.append((name, options))))
    use_explorer_script(app, "p", "t", {"body": "<p>Words about rtx</p>"}, None)
    use_explorer_script(app, "genindex", "t", {}, None)
    assert added == []
    use_explorer_script(app, "p", "t", {"body": '<div><figure class="rt rtx" data-explorer="A">'}, None)
    assert added == [("explorer.js", {"loading_method": "defer"})]


def test_style_sheets_and_the_classic_script_are_served(tmp_path: Path) -> None:
    sheets: list[str] = []
    app = cast(Any, SimpleNamespace(outdir=str(tmp_path / "html"), add_css_file=sheets.append))
    config = cast(Any, SimpleNamespace(html_static_path=["book/_static"]))
    use_style_sheet(app, config)
    assert sheets == ["chapter.css", "explorer.css"]
    served = {Path(path).name: Path(path) for path in config.html_static_path[1:]}
    assert set(served) == {"chapter.css", "explorer.css", "explorer.js"}
    assert served["explorer.js"].read_text(encoding="utf-8") == classic(SCRIPT.read_text(encoding="utf-8"))
