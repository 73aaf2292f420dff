"""Scenes: pixels worked by hand, every mark's attributes, and every kind of trouble found."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import matplotlib
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from matplotlib.figure import Figure
from PIL import ImageFont

from rectutor.chapter import CSS, PALETTE
from rectutor.widgets.scene import (
    COLOURS,
    THEMES,
    Panel,
    Scale,
    Scene,
    contrast,
    ink_on,
    shade,
    text_width,
)

MINUS = "\N{MINUS SIGN}"


def panel(width: float = 350, height: float = 200, title: str = "") -> Panel:
    return Scene("A picture.").panel(height, width, title)


def charted() -> Panel:
    """A panel whose units are easy to turn into pixels: x 0..10 is 50..350, y 0..1 is 170..20."""
    chart = panel()
    chart.axes((0, 10), (0, 1), margin=(50, 20, 0, 30))
    chart.marks.clear()
    return chart


def only(drawn: Panel) -> dict[str, str]:
    """Attributes of the one mark of a panel."""
    (mark,) = drawn.marks
    return mark.attributes


# -- scales ----------------------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("scale", "value", "pixel"),
    [
        (Scale(0, 10, 50, 350), 0, 50),
        (Scale(0, 10, 50, 350), 10, 350),
        (Scale(0, 10, 50, 350), 2.5, 125),
        (Scale(0, 1, 200, 20), 0.25, 155),  # y runs up, pixels run down
        (Scale(5, -5, 0, 100), 0, 50),  # limits may fall
        (Scale(-1, 1, 0, 100), 2, 150),  # outside is further on
        (Scale(1, 1000, 0, 300, log=True), 10, 100),
        (Scale(0.01, 100, 0, 400, log=True), 0.1, 100),
        (Scale(100, 1, 0, 300, log=True), 10, 150),
    ],
)
def test_scale_is_at_the_pixel_worked_by_hand(scale: Scale, value: float, pixel: float) -> None:
    assert scale(value) == pytest.approx(pixel, abs=1e-9)


def limits(low: float, high: float) -> st.SearchStrategy[tuple[float, float]]:
    numbers = st.floats(low, high, allow_nan=False).map(lambda v: float(f"{v:.6g}"))
    return st.tuples(numbers, numbers).filter(lambda pair: abs(pair[0] - pair[1]) > 1e-3 * max(*map(abs, pair), 1))


@given(limits(-1e4, 1e4), st.floats(0, 1), st.booleans())
def test_scale_is_where_matplotlib_puts_it(pair: tuple[float, float], part: float, log: bool) -> None:
    low, high = (abs(v) + 0.1 for v in pair) if log else pair
    if abs(low - high) < 1e-2:
        return
    value = low + part * (high - low)
    figure = Figure(figsize=(4, 2), dpi=100)
    axes = figure.add_axes((0.1, 0.2, 0.8, 0.6))  # 40 to 360 pixels of 400, 40 to 160 of 200 from below
    axes.set(xscale="log" if log else "linear", xlim=(low, high))
    expected = float(axes.transData.transform((value, 0))[0])
    assert Scale(low, high, 40, 360, log=log)(value) == pytest.approx(expected, abs=1e-6)


@pytest.mark.parametrize(
    ("scale", "most", "labels"),
    [
        (Scale(0, 1), 5, ["0", "0.2", "0.4", "0.6", "0.8", "1"]),
        (Scale(0, 1), 2, ["0", "0.5", "1"]),
        (Scale(0, 0.05), 5, ["0", "0.01", "0.02", "0.03", "0.04", "0.05"]),
        (Scale(-4, 4), 4, [f"{MINUS}4", f"{MINUS}2", "0", "2", "4"]),
        (Scale(0, 12000), 4, ["0", "5,000", "10,000"]),
        (Scale(0.3, 2.1), 6, ["0.5", "1", "1.5", "2"]),
        (Scale(1, 0), 2, ["0", "0.5", "1"]),
        (Scale(1, 1000, log=True), 6, ["1", "10", "100", "1,000"]),
        (Scale(0.001, 1, log=True), 6, ["0.001", "0.01", "0.1", "1"]),
        (Scale(0, 1, at=(0.25, 0.5)), 6, ["0.25", "0.5"]),
        (Scale(0, 1, at=(0.25, 0.5), format=".0%"), 6, ["25%", "50%"]),
        (Scale(-0.5, 2.5, names=("a", "b", "c")), 6, ["a", "b", "c"]),
    ],
)
def test_ticks_are_the_ones_one_would_draw(scale: Scale, most: int, labels: list[str]) -> None:
    assert [label for _, label in scale.ticks(most)] == labels


@given(limits(-1e6, 1e6), st.integers(3, 8))
def test_ticks_lie_inside_evenly_and_say_their_value(pair: tuple[float, float], most: int) -> None:
    low, high = sorted(pair)
    ticks = Scale(low, high).ticks(most)
    values, labels = [v for v, _ in ticks], [text for _, text in ticks]
    slack = 1e-9 * (high - low)
    assert 2 <= len(values) <= most + 1, values
    assert low - slack <= values[0] < values[-1] <= high + slack
    steps = np.diff(values)
    np.testing.assert_allclose(steps, steps[0], rtol=1e-6)
    # The next tick on either side would be outside.
    assert values[0] - steps[0] < low + slack
    assert values[-1] + steps[0] > high - slack
    # A round number times a power of ten, said as it is.
    assert any(
        steps[0] / 10 ** math.floor(math.log10(steps[0] * (1 + 1e-9))) == pytest.approx(m, rel=1e-6)
        for m in (1, 2, 2.5, 5)
    )
    assert [float(text.replace(MINUS, "-").replace(",", "")) for text in labels] == pytest.approx(values, rel=1e-9)
    assert f"{MINUS}0" not in labels
    assert not any("-" in text or "e" in text for text in labels)


@given(st.integers(-400, 300), st.integers(205, 600))
def test_logarithmic_ticks_are_powers_of_ten_inside(start: int, decades: int) -> None:
    low, high = 10 ** (start / 100), 10 ** ((start + decades) / 100)
    values = [v for v, _ in Scale(low, high, log=True).ticks(6)]
    assert len(values) >= 2
    assert all(low * (1 - 1e-9) <= v <= high * (1 + 1e-9) for v in values)
    exponents = np.log10(values)
    np.testing.assert_allclose(exponents, np.round(exponents), atol=1e-9)
    assert len(set(np.diff(np.round(exponents)))) <= 1


@pytest.mark.parametrize(("low", "high"), [(2, 9), (0.5, 5), (15, 70)])
def test_logarithmic_ticks_are_there_within_a_decade(low: float, high: float) -> None:
    values = [v for v, _ in Scale(low, high, log=True).ticks(6)]
    assert len(values) >= 2
    assert all(low <= v <= high for v in values)


def test_axes_turn_limits_into_pixels() -> None:
    chart = panel()
    chart.axes((0, 10), (0, 1), margin=(50, 20, 0, 30))
    assert (chart.x(0), chart.x(10), chart.x(2.5)) == (50, 350, 125)
    assert (chart.y(0), chart.y(1), chart.y(0.25)) == (170, 20, 132.5)


def test_categories_stand_in_the_middle_of_their_share_and_run_down() -> None:
    chart = panel()
    chart.axes(["a", "b", "c"], ["top", "below"], margin=(50, 20, 0, 30))
    assert [chart.x(n) for n in range(3)] == pytest.approx([100, 200, 300])
    assert [chart.y(n) for n in range(2)] == pytest.approx([57.5, 132.5])


def test_axes_draw_a_grid_ticks_labels_and_a_frame() -> None:
    chart = panel()
    chart.axes((0, 10), (0, 1), margin=(50, 20, 0, 30), xlabel="day", ylabel="share", ticks=(2, 2))
    marks = {mark.key: mark for mark in chart.marks}
    assert [k for k in marks if k.startswith("axes/x-") and not k.endswith("grid")] == [
        "axes/x-0",
        "axes/x-5",
        "axes/x-10",
        "axes/x-label",
    ]
    grid, label = marks["axes/x-5-grid"], marks["axes/x-5"]
    assert grid.attributes == {"d": "M200 170L200 20", "fill": "none", "stroke": "var(--rt-line,#d8dce2)"}
    assert label.attributes == {
        "x": "200",
        "y": "186",
        "font-size": "12",
        "fill": "currentColor",
        "text-anchor": "middle",
    }
    assert label.text == "5"
    assert marks["axes/y-0.5-grid"].attributes["d"] == "M50 95L350 95"
    assert (marks["axes/y-0.5"].attributes["x"], marks["axes/y-0.5"].attributes["y"]) == ("44", "99")
    assert marks["axes/y-0.5"].attributes["text-anchor"] == "end"
    assert marks["axes/frame"].attributes["d"] == "M50 20L50 170L350 170"
    assert (marks["axes/x-label"].text, marks["axes/y-label"].text) == ("day", "share")


def test_axes_leave_the_room_that_their_labels_need() -> None:
    """Whatever the limits, nothing overlaps and nothing sticks out."""
    for x in ((0, 1), (-2.5, 1e4), ["few", "many", "very many"], Scale(1, 1e6, log=True)):
        for y in ((0, 1), (0, 0.0003), (-12000, 12000), ["a long name", "b"]):
            for labels in ({}, {"xlabel": "day of the week", "ylabel": "share of all"}):
                for title in ("", "A title"):
                    scene = Scene("A picture.")
                    scene.panel(220, title=title).axes(x, y, **labels)  # type: ignore[arg-type]
                    assert scene.problems() == []


def test_grid_can_be_left_out() -> None:
    chart = panel()
    chart.axes((0, 1), (0, 1), grid=False)
    assert not [mark for mark in chart.marks if mark.key.endswith("grid")]


def test_given_scales_keep_their_ticks() -> None:
    chart = panel()
    chart.axes(Scale(1, 100, log=True, at=(1, 30), format=".1f"), (0, 1))
    assert [m.text for m in chart.marks if re.fullmatch(r"axes/x-\d+", m.key)] == ["1.0", "30.0"]
    assert chart.x(10) == pytest.approx((chart.x(1) + chart.x(100)) / 2)


# -- marks -----------------------------------------------------------------------------------------------------
BLUE, PAPER, GREEN = "var(--rt-blue,#0072b2)", "var(--rt-paper,#ffffff)", "var(--rt-green,#009e73)"


def test_rect() -> None:
    chart = charted()
    chart.rect("bar", 1, 0, 2, 0.5, tip="half")
    assert only(chart) == {"x": "80", "y": "95", "width": "30", "height": "75", "fill": BLUE}
    (mark,) = chart.marks
    assert (mark.key, mark.tag, mark.text, mark.tip) == ("bar", "rect", "", "half")


def test_rect_takes_its_corners_in_any_order_and_an_outline() -> None:
    chart = charted()
    chart.rect("bar", 2, 0.5, 1, 0, colour="none", outline="ink", rounded=3)
    expected = {"x": "80", "y": "95", "width": "30", "height": "75", "fill": "none"}
    assert only(chart) == expected | {"stroke": "currentColor", "stroke-width": "1.5", "rx": "3"}


def test_circle() -> None:
    chart = charted()
    chart.circle("dot", 5, 1, r=4)
    expected = {"cx": "200", "cy": "20", "r": "4", "fill": BLUE}
    assert only(chart) == expected | {"stroke": PAPER, "stroke-width": "1.5"}
    chart.marks.clear()
    chart.circle("dot", 5, 1, outline="none")
    assert only(chart) == {"cx": "200", "cy": "20", "r": "5", "fill": BLUE}


def test_line() -> None:
    chart = charted()
    chart.line("curve", np.array([0, 5, 10]), [0, 1, 0.5], colour="green", width=3, dash="2 3")
    assert only(chart) == {
        "d": "M50 170L200 20L350 95",
        "fill": "none",
        "stroke": GREEN,
        "stroke-width": "3",
        "stroke-linejoin": "round",
        "stroke-dasharray": "2 3",
    }
    assert chart.marks[0].tag == "path"


def test_polygon() -> None:
    chart = charted()
    chart.polygon("area", [0, 5, 10], [0, 1, 0])
    assert only(chart) == {"d": "M50 170L200 20L350 170Z", "fill": BLUE}


def test_path() -> None:
    chart = charted()
    steps: list[tuple[str, *tuple[float, ...]]] = [
        ("M", 0, 0),
        ("Q", 5, 1, 10, 0),
        ("C", 0, 0.5, 5, 0.5, 10, 1),
        ("L", 5, 0),
        ("Z",),
    ]
    chart.path("curve", steps, fill="blue")
    assert only(chart) == {
        "d": "M50 170Q200 20 350 170C50 95 200 95 350 20L200 170Z",
        "fill": BLUE,
        "stroke": "currentColor",
        "stroke-width": "2",
    }


def test_arrow() -> None:
    """To the right and 8 long: its wings start 8 pixels before the tip, 3.6 above and below the line."""
    chart = charted()
    chart.arrow("arrow", 0, 1, 5, 1)
    assert only(chart)["d"] == "M50 20L200 20M192 16.4L200 20L192 23.6"
    assert only(chart)["stroke-linecap"] == "round"
    chart.marks.clear()
    chart.arrow("short", 0, 1, 0.1, 1)  # three pixels: the head is no longer than the arrow
    assert only(chart)["d"] == "M50 20L53 20M50 18.6L53 20L50 21.4"
    chart.marks.clear()
    chart.arrow("none", 5, 1, 5, 1)
    assert set(re.findall(r"\d+ \d+", only(chart)["d"])) == {"200 20"}


def test_text() -> None:
    chart = charted()
    chart.text("word", 5, 1, "peak", anchor="end", dx=-3, dy=10, size=13, colour="blue", bold=True, halo=True)
    assert only(chart) == {
        "x": "197",
        "y": "30",
        "font-size": "13",
        "fill": "var(--rt-blue-text,#00659e)",
        "text-anchor": "end",
        "font-weight": "600",
        "stroke": PAPER,
        "stroke-width": "3",
        "paint-order": "stroke",
        "stroke-linejoin": "round",
    }
    assert chart.marks[0].text == "peak"
    chart.marks.clear()
    chart.text("word", 5, 1, "peak")
    assert only(chart) == {"x": "200", "y": "24", "font-size": "12", "fill": "currentColor"}


def test_legend_names_colours_in_a_row() -> None:
    chart = panel()
    chart.legend([("blue", "users"), ("green", "items")], top=34)
    keys = [mark.key for mark in chart.marks]
    assert keys == ["legend/0-box", "legend/0", "legend/1-box", "legend/1"]
    first, word, second, _ = (mark.attributes for mark in chart.marks)
    assert (first["x"], first["fill"], word["x"]) == ("0", BLUE, "16")
    assert float(second["x"]) == pytest.approx(16 + text_width("users", 12) + 14, abs=0.05)
    assert second["fill"] == GREEN


def test_title_stands_at_the_head() -> None:
    drawn = panel(title="Points")
    (mark,) = drawn.marks
    assert (mark.key, mark.text, mark.attributes["font-weight"]) == ("title", "Points", "600")


def test_groups_put_their_names_before_the_keys() -> None:
    chart = charted()
    with chart.group("outer"):
        chart.circle("a", 0, 0)
        with suppress(RuntimeError), chart.group("inner"):
            chart.circle("a", 0, 0)
            raise RuntimeError
        chart.circle("b", 0, 0)
    chart.circle("a", 0, 0)
    assert [mark.key for mark in chart.marks] == ["outer/a", "outer/inner/a", "outer/b", "a"]


@pytest.mark.parametrize(
    ("value", "pixel"),
    [
        (1 / 3, "0.3"),
        (10.04, "10"),
        (-0.04, "0"),
        (0.0, "0"),
        (-0.0, "0"),
        (12.96, "13"),
        (-3.26, "-3.3"),
        (100, "100"),
    ],
)
def test_pixels_are_rounded_to_a_tenth(value: float, pixel: str) -> None:
    drawn = panel()
    drawn.circle("dot", value, np.float64(value))
    drawn.line("line", np.array([value, value], dtype=np.float32), [value, value])
    assert (drawn.marks[0].attributes["cx"], drawn.marks[0].attributes["cy"]) == (pixel, pixel)
    assert drawn.marks[1].attributes["d"] == f"M{pixel} {pixel}L{pixel} {pixel}"


@pytest.mark.parametrize(("given", "kept"), [(0.25, "0.25"), (0.04, "0.04"), (0.5, "0.5"), (1 / 3, "0.33"), (0.0, "0")])
def test_opacity_keeps_two_digits(given: float, kept: str) -> None:
    drawn = panel()
    drawn.rect("area", 0, 0, 10, 10, opacity=given)
    assert only(drawn)["opacity"] == kept


def test_opaque_marks_carry_no_opacity() -> None:
    drawn = panel()
    drawn.rect("area", 0, 0, 10, 10, opacity=1)
    assert "opacity" not in only(drawn)


# -- both forms ------------------------------------------------------------------------------------------------
def busy() -> Scene:
    """Every kind of mark, in words that need escaping."""
    scene = Scene('Less than <half> & "more".', numbers={"half": 0.5})
    left = scene.panel(height=240, width=350, title='A "title" & more')
    left.axes((0, 10), (0, 1), xlabel="day <1>", ylabel="share")
    left.polygon("area", [0, 5, 10], [0, 0.5, 0], opacity=0.2)
    left.line("curve", [0, 5, 10], [0, 0.5, 0.2], colour="blue", tip="it's <here>")
    left.circle("dot", 5, 0.5, colour="vermillion", tip="top")
    left.arrow("arrow", 2, 0.8, 4, 0.6)
    left.text("word", 6, 0.8, "a < b & c", halo=True)
    right = scene.panel(height=240, width=300)
    right.axes(["a", "b"], (0, 1))
    right.rect("bar", -0.3, 0, 0.3, 0.5, colour="#00224e")
    right.text("on", 0, 0.25, "½", anchor="middle", colour=ink_on("#00224e"))
    right.path("bend", [("M", 0.5, 0.2), ("Q", 0.7, 0.9, 1.2, 0.2)], colour="green")
    return scene


def test_encoded_and_svg_show_the_same() -> None:
    scene = busy()
    encoded = json.loads(json.dumps(scene.encoded()))
    assert encoded["says"] == scene.says
    assert [(p["w"], p["h"]) for p in encoded["panels"]] == [(350, 240), (300, 240)]
    for drawn, data in zip(scene.panels, encoded["panels"], strict=True):
        picture = ElementTree.fromstring(drawn.svg(scene.says))  # well-formed XML
        assert picture.attrib == {
            "role": "img",
            "aria-label": scene.says,
            "viewBox": f"0 0 {data['w']} {data['h']}",
            "style": f"width:{data['w']}px",
        }
        whole = [[*mark, *[""] * (5 - len(mark))] for mark in data["marks"]]
        assert [(e.tag, e.attrib, e.text or "") for e in picture] == [(m[0], m[2], m[3]) for m in whole]
        assert [m[1] for m in whole] == [mark.key for mark in drawn.marks]
        assert [m[4] for m in whole] == [mark.tip for mark in drawn.marks]


def test_empty_ends_are_left_out() -> None:
    drawn = panel()
    drawn.circle("a", 10, 10)
    drawn.circle("b", 10, 10, tip="here")
    drawn.text("c", 10, 10, "word")
    drawn.text("d", 10, 10, "word", tip="here")
    ends = [mark.encoded()[3:] for mark in drawn.marks]
    assert ends == [[], ["", "here"], ["word"], ["word", "here"]]


def test_every_attribute_is_a_string_of_tenths() -> None:
    for drawn in busy().panels:
        for mark in drawn.marks:
            for name, value in mark.attributes.items():
                assert isinstance(value, str)
                if name != "opacity":
                    assert not re.search(r"\.\d\d", value), (mark.key, name, value)


# -- trouble ---------------------------------------------------------------------------------------------------
def test_a_good_scene_has_no_problem() -> None:
    assert busy().problems() == []


def add(draw: Callable[[Panel], None]) -> Scene:
    """A good scene and one more thing in its first panel, whose pixels are its units."""
    scene = Scene("A picture.")
    drawn = scene.panel(height=200, width=350)
    drawn.text("first", 100, 100, "first word")
    draw(drawn)
    return scene


def boxed(fill: str, ink: str) -> Callable[[Panel], None]:
    def draw(drawn: Panel) -> None:
        drawn.rect("box", 20, 20, 80, 60, colour=fill)
        drawn.text("it", 30, 40, "in", colour=ink)

    return draw


TROUBLE: dict[str, tuple[Callable[[Panel], None], str]] = {
    "key twice": (lambda p: p.text("first", 100, 150, "again"), "key 'first' is used twice"),
    "circle": (
        lambda p: p.circle("it", 3, 50, r=5),
        "'it' at (-2, 45, 8, 55) leaves the 350 x 200 pixels of the panel",
    ),
    "rect": (lambda p: p.rect("it", 300, 10, 352, 20), "'it' at (300, 10, 352, 20) leaves"),
    "line above": (lambda p: p.line("it", [10, 20], [10, -5]), "'it' at (10, -5, 20, 10) leaves"),
    "line below": (lambda p: p.line("it", [10, 20], [10, 205]), "'it' at (10, 10, 20, 205) leaves"),
    "curve": (lambda p: p.path("it", [("M", 9, 9), ("Q", 50, -80, 90, 9)]), "'it' at (9, -80, 90, 9) leaves"),
    "text to the right": (lambda p: p.text("it", 340, 50, "too long"), "'it' at (340, 45, "),
    "text to the left": (lambda p: p.text("it", 20, 50, "too long", anchor="end"), "'it' at (-"),
    "text around": (lambda p: p.text("it", 10, 50, "too long", anchor="middle"), "'it' at (-"),
    "overlap": (lambda p: p.text("it", 130, 104, "other"), "texts 'first' (first word) and 'it' (other) overlap"),
    "small": (lambda p: p.text("it", 10, 150, "tiny", size=11), "'it' is set in 11 pixels; 11.5 is the least"),
    "pale text": (
        lambda p: p.text("it", 10, 150, "a", colour="#999999"),
        "'it' has contrast 2.8 on a light page; 4.5 is",
    ),
    "deep text": (
        lambda p: p.text("it", 10, 150, "a", colour="#444444"),
        "'it' has contrast 1.8 on a dark page; 4.5 is",
    ),
    "pale line": (lambda p: p.line("it", [9, 90], [9, 9], colour="sky"), "'it' has contrast 2.3 on a light page; 3 is"),
    "deep line": (lambda p: p.line("it", [9, 90], [9, 9], colour="#222222"), "'it' has contrast 1.1 on a dark page"),
    "pale point": (lambda p: p.circle("it", 50, 50, colour="orange"), "'it' has contrast 2.3 on a light page; 3 is"),
    "ink on blue": (boxed("blue", "ink"), "'it' has contrast 3.0 on a light page"),
    "ink on yellow": (boxed("#fee838", "ink"), "'it' has contrast 1.0 on a dark page"),
}


@pytest.mark.parametrize("kind", TROUBLE)
def test_trouble_is_found_and_nothing_else(kind: str) -> None:
    draw, message = TROUBLE[kind]
    problems = add(draw).problems()
    assert problems
    assert problems[0].startswith(f"panel 0: {message}")
    assert len(problems) == 1 or kind == "key twice" or all("'it'" in problem for problem in problems)


FINE: dict[str, Callable[[Panel], None]] = {
    "text on a fixed fill": boxed("#fee838", ink_on("#fee838")),
    "text in an outline": boxed("none", "ink"),
    "an area to the very edge": lambda p: p.rect("it", 0, 0, 350, 200),
    "a pale hairline": lambda p: p.line("it", [0, 350], [0, 200], colour="line"),
    "a pale area": lambda p: p.rect("it", 20, 20, 80, 60, colour="sky"),
    "the next line": lambda p: p.text("it", 100, 115, "second"),
    "the next word": lambda p: p.text("it", 102 + text_width("first word", 12), 100, "second"),
}


@pytest.mark.parametrize("kind", FINE)
def test_what_is_fine_is_left_alone(kind: str) -> None:
    assert add(FINE[kind]).problems() == []


def test_a_scene_says_something_and_shows_something() -> None:
    empty = Scene("  ")
    empty.panel(height=100)
    assert [p.split(";")[0] for p in empty.problems()] == ["says is empty"]
    assert Scene("A picture.").problems() == ["there is no panel"]


def test_the_panel_is_named_by_its_number() -> None:
    scene = Scene("A picture.")
    scene.panel(height=100)
    scene.panel(height=100).circle("dot", -20, 10)
    (problem,) = scene.problems()
    assert problem.startswith("panel 1: 'dot' at ")


# -- colours ---------------------------------------------------------------------------------------------------
def declared(selector: str) -> dict[str, str]:
    """The colour variables of the first rule of the style sheet with exactly this selector."""
    sheet = re.sub(r"/\*.*?\*/", "", CSS.read_text(encoding="utf-8"), flags=re.S)
    body = next(rule.split("{")[1] for rule in sheet.split("}") if rule.split("{")[0].strip() == selector)
    pairs = (line.split(":") for line in body.split(";") if ":" in line)
    return {name.strip().removeprefix("--rt-"): value.strip() for name, value in pairs if "#" in value}


SHEET = {
    "light": PALETTE | declared(".rt"),
    "dark": declared(".rt") | declared('html[data-theme="dark"] .rt, body[data-jp-theme-light="false"] .rt'),
}
SHADES = [name for name in SHEET["light"] if name.endswith("-text")]


def test_style_sheet_has_a_text_shade_of_every_colour_in_both_themes() -> None:
    assert sorted(SHADES) == sorted(f"{name}-text" for name in PALETTE)
    for selector in (".rt", 'html[data-theme="dark"] .rt, body[data-jp-theme-light="false"] .rt'):
        assert set(SHADES) <= set(declared(selector))
    assert set(PALETTE) <= set(SHEET["dark"])


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_themes_are_those_of_the_style_sheet(theme: str) -> None:
    assert {name: THEMES[theme].get(name) for name in SHEET[theme]} == SHEET[theme]


@pytest.mark.parametrize("name", COLOURS)
def test_colours_fall_back_on_the_style_sheets_light_ones(name: str) -> None:
    drawn = panel()
    drawn.rect("box", 0, 0, 10, 10, colour=name)
    drawn.text("word", 20, 20, "word", colour=name)
    box, word = (mark.attributes["fill"] for mark in drawn.marks)
    shown = f"{name}-text" if name in PALETTE else name
    assert box == ("currentColor" if name == "ink" else f"var(--rt-{name},{SHEET['light'][name]})")
    assert word == ("currentColor" if name == "ink" else f"var(--rt-{shown},{SHEET['light'][shown]})")


@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize("under", ["paper", "soft"])
@pytest.mark.parametrize("shade", SHADES)
def test_text_colours_read_well(shade: str, under: str, theme: str) -> None:
    assert contrast(SHEET[theme][shade], SHEET[theme][under]) >= 4.5


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_ink_and_muted_read_well_on_paper(theme: str) -> None:
    for name in ("ink", "muted"):
        assert contrast(SHEET[theme][name], SHEET[theme]["paper"]) >= 4.5


@pytest.mark.parametrize(
    ("one", "other", "ratio"),
    [
        ("#000000", "#ffffff", 21.0),
        ("#767676", "#ffffff", 4.54),  # the palest grey that passes, as the guidelines' own examples say
        ("#777777", "#ffffff", 4.48),
        ("#ff0000", "#ffffff", 4.0),
        ("#0000ff", "#ffffff", 8.59),
        ("#123456", "#123456", 1.0),
    ],
)
def test_contrast_is_that_of_the_guidelines(one: str, other: str, ratio: float) -> None:
    assert contrast(one, other) == contrast(other, one) == pytest.approx(ratio, abs=0.005)


@given(st.integers(0, 0xFFFFFF))
def test_ink_on_any_fill_reads_well(number: int) -> None:
    fill = f"#{number:06x}"
    assert contrast(ink_on(fill), fill) >= 4.5


@pytest.mark.parametrize("cmap", ["cividis", "viridis", "RdBu"])
def test_shade_is_matplotlibs_colour_and_stops_at_the_ends(cmap: str) -> None:
    colours = matplotlib.colormaps[cmap]
    for value in (-3.0, -1.0, 0.0, 0.4, 4.0, 9.0):
        at = min(max((value + 1) / 5, 0.0), 1.0)
        expected = "#" + "".join(f"{round(255 * channel):02x}" for channel in colours(at)[:3])
        assert shade(value, -1, 4, cmap) == expected


# -- widths ----------------------------------------------------------------------------------------------------
@pytest.mark.parametrize("bold", [False, True])
@pytest.mark.parametrize("text", ["0.2", "share of impressions", "W" * 20, "i" * 20, f"{MINUS}1,234.5", "a × b"])
def test_text_is_as_wide_as_its_font_says(text: str, bold: bool) -> None:
    folder = Path(matplotlib.get_data_path(), "fonts", "ttf")
    font = ImageFont.truetype(folder / f"DejaVuSans{'-Bold' if bold else ''}.ttf", 1000)
    assert text_width(text, 12, bold) == pytest.approx(font.getlength(text) * 12 / 1000, rel=0.01)


def test_letters_that_the_font_lacks_are_a_square_each() -> None:
    assert text_width("召回", 12) == 24
    assert text_width("k = 3 召回", 12) == pytest.approx(text_width("k = 3 ", 12) + 24)


# -- errors ----------------------------------------------------------------------------------------------------
ERRORS: dict[str, tuple[Callable[[Panel], Any], str]] = {
    "wide panel": (lambda p: Panel(400, 100), "width is 400; a panel is at most 360 pixels wide"),
    "no width": (lambda p: Panel(0, 100), "width is 0; a panel is at most"),
    "colour": (lambda p: p.circle("it", 1, 1, colour="red"), "colour is 'red'; it must be one of ink, muted,"),
    "short hex": (lambda p: p.text("it", 1, 1, "a", colour="#fff"), "colour is '#fff'; it must be one of"),
    "nan": (lambda p: p.circle("it", math.nan, 1), "mark 'it' has no place: cx is nan; leave it out"),
    "infinite": (lambda p: p.rect("it", 0, 0, 1, math.inf), "mark 'it' has no place: height is inf; leave it out"),
    "nan in a line": (lambda p: p.line("it", [0, 1], [0, math.nan]), "mark 'it' has no place: d is M0 0L1 nan; leave"),
    "no points": (lambda p: p.line("it", [], []), "a line needs at least one point; leave the mark out"),
    "command": (lambda p: p.path("it", [("A", 1, 2)]), "step ('A', 1, 2) of path 'it': use M, L (x, y), Q, C"),
    "few values": (lambda p: p.path("it", [("Q", 1, 2)]), "step ('Q', 1, 2) of path 'it': use M, L (x, y), Q, C"),
    "limits alike": (lambda p: p.axes((1, 1), (0, 1)), "from 1 to 1; the limits must be finite and differ"),
    "endless": (lambda p: p.axes((0, math.inf), (0, 1)), "from 0 to inf; the limits must be finite and differ"),
    "log of nothing": (lambda p: Scale(0, 1, log=True), "from 0 to 1; both must be positive"),
}


@pytest.mark.parametrize("kind", ERRORS)
def test_errors_name_the_argument_its_value_and_the_remedy(kind: str) -> None:
    call, message = ERRORS[kind]
    with pytest.raises(ValueError, match=re.escape(message)):
        call(panel())


def test_a_line_of_unequal_lengths_is_refused() -> None:
    with pytest.raises(ValueError, match=r"shorter|longer"):
        panel().line("curve", [0, 1], [0])
