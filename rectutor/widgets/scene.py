"""Scenes: pictures as data, composed in Python and drawn by one small renderer.

A :class:`Scene` is what a reader sees for one setting of the controls: a sentence and one or more panels. A
:class:`Panel` is a list of *marks*; a mark is one SVG element with a key. Marks of the same key in two scenes are the
same thing, so the renderer moves it. Coordinates are those of the panel's scales once :meth:`Panel.axes` has set them,
pixels of the view box before. Colours are names (:data:`COLOURS`), which the page turns into light or dark ones, or hex
values of a colour map (:func:`shade`), which stay.

A panel is at most :data:`WIDEST` pixels wide, so that on a phone its text is as large as the page's; panels stand
beside one another where there is room and below one another where there is not.

>>> scene = Scene("Three points on a line.")
>>> panel = scene.panel(height=200, title="Points")
>>> panel.axes(x=(0, 10), y=(0, 1), xlabel="day", ylabel="share")
>>> panel.line("trend", [1, 5, 9], [0.2, 0.4, 0.9], colour="blue")
>>> scene.problems()
[]
"""

from __future__ import annotations

import html
import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cache
from itertools import pairwise
from typing import Any, Literal

import numpy as np
from matplotlib import colormaps, font_manager, ticker
from matplotlib.colors import to_hex
from matplotlib.ft2font import LoadFlags

from rectutor.chapter import CSS, FIXED_BLACK, FIXED_WHITE, PALETTE

WIDEST, HALF = 360, 294
"""Pixels: the width of a phone's text column, and half of the book's on a laptop."""
SMALLEST_TEXT = 11.5
"""Pixels; smaller text is refused."""
TEXT_CONTRAST, MARK_CONTRAST = 4.5, 3.0
"""What the Web Content Accessibility Guidelines ask of text, and of lines and points that carry meaning."""

Anchor = Literal["start", "middle", "end"]


# -- colours ---------------------------------------------------------------------------------------------------
def _variables(block: str) -> dict[str, str]:
    return dict(re.findall(r"--rt-([\w-]+):\s*(#[0-9a-f]{6})", block))


def _themes() -> dict[str, dict[str, str]]:
    """What each named colour is on a light and on a dark page, read from the style sheet."""
    blocks = re.findall(r"^[^{}@]*\.rt \{([^}]*)\}", CSS.read_text(encoding="utf-8"), flags=re.M)
    light = PALETTE | _variables(blocks[0])
    return {"light": light, "dark": light | _variables(blocks[1])}


THEMES = _themes()
COLOURS = ("ink", "muted", "line", "paper", "soft", *PALETTE)
"""Names for ``colour``: text and axes, secondary marks, hairlines, the background, a tint of it, and the colours that
the colour-blind tell apart. Text in one of these is set in a shade of it that is dark enough to read."""


def _css(colour: str, text: bool = False) -> str:
    """A colour as it stands in the SVG."""
    if colour == "none" or re.fullmatch(r"#[0-9a-f]{6}", colour):
        return colour
    if colour not in COLOURS:
        raise ValueError(
            f"colour is {colour!r}; it must be one of {', '.join(COLOURS)}, none, or a hex value like #0072b2"
        )
    if colour == "ink":
        return "currentColor"
    name = f"{colour}-text" if text and colour in PALETTE else colour
    return f"var(--rt-{name},{THEMES['light'][name]})"


@cache
def _hex(css: str, theme: str) -> str:
    """The colour that the page shows for one of :func:`_css`."""
    if css == "currentColor":
        return THEMES[theme]["ink"]
    if name := re.match(r"var\(--rt-([\w-]+),", css):
        return THEMES[theme][name.group(1)]
    return css


@cache
def contrast(one: str, other: str) -> float:
    """Contrast ratio of two hex colours, 1 to 21 (WCAG 2.1).

    >>> round(contrast("#000000", "#ffffff"))
    21
    """

    def luminance(colour: str) -> float:
        channels = (int(colour[n : n + 2], 16) / 255 for n in (1, 3, 5))
        r, g, b = (c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in channels)
        return 0.2126 * r + 0.7152 * g + 0.0722 * b

    low, high = sorted((luminance(one), luminance(other)))
    return (high + 0.05) / (low + 0.05)


def shade(value: float, low: float = 0.0, high: float = 1.0, cmap: str = "cividis") -> str:
    """The colour of a value on one of Matplotlib's colour maps, as hex; the same on light and dark pages.

    >>> shade(0.0), shade(5.0, 0, 5)
    ('#00224e', '#fee838')
    """
    return str(to_hex(colormaps[cmap](float(np.clip((value - low) / (high - low), 0, 1)))))


def ink_on(fill: str) -> str:
    """Black or white, whichever reads better on a hex colour.

    >>> ink_on("#00224e")
    '#fefefe'
    """
    return max(FIXED_BLACK, FIXED_WHITE, key=lambda ink: contrast(ink, fill))


# -- scales ----------------------------------------------------------------------------------------------------
@dataclass(frozen=True)
class Scale:
    """From a value to a pixel, with ticks. :meth:`Panel.axes` makes one of a pair of limits or a list of names.

    Args:
        low: value at ``start``.
        high: value at ``end``.
        start: pixel of ``low``; the panel sets it.
        end: pixel of ``high``.
        log: logarithmic; both limits must be positive.
        names: names of the positions 0, 1, ... for a scale of categories.
        at: values of the ticks; by default Matplotlib chooses round ones.
        format: of tick labels, as in :func:`format`; by default Matplotlib's.
    """

    low: float
    high: float
    start: float = 0.0
    end: float = 1.0
    log: bool = False
    names: tuple[str, ...] = ()
    at: tuple[float, ...] | None = None
    format: str | None = None

    def __post_init__(self) -> None:
        if self.low == self.high or not np.isfinite([self.low, self.high]).all():
            raise ValueError(f"a scale runs from {self.low:g} to {self.high:g}; the limits must be finite and differ")
        if self.log and min(self.low, self.high) <= 0:
            raise ValueError(f"a logarithmic scale runs from {self.low:g} to {self.high:g}; both must be positive")

    def __call__(self, value: float) -> float:
        """The pixel of a value.

        >>> Scale(1, 100, 0, 200, log=True)(10)
        100.0
        """
        low, high, v = (self.low, self.high, value) if not self.log else np.log10([self.low, self.high, value])
        return float(self.start + (v - low) / (high - low) * (self.end - self.start))

    def ticks(self, most: int = 6) -> list[tuple[float, str]]:
        """Values and labels of the ticks inside the limits.

        >>> Scale(0, 1).ticks(5)
        [(0.0, '0'), (0.2, '0.2'), (0.4, '0.4'), (0.6, '0.6'), (0.8, '0.8'), (1.0, '1')]
        """
        if self.names:
            return [(float(n), name) for n, name in enumerate(self.names)]
        low, high = sorted((self.low, self.high))
        values = list(self.at or ())
        locators: list[ticker.Locator] = [ticker.MaxNLocator(most, steps=[1, 2, 2.5, 5, 10])]
        if self.log:
            locators = [ticker.LogLocator(numticks=most), ticker.LogLocator(subs=(1, 2, 5), numticks=most), *locators]
        for locator in locators:
            if len(values) < 2 and self.at is None:
                slack = 1e-9 * (high - low)
                values = [float(v) for v in locator.tick_values(low, high) if low - slack <= v <= high + slack]
        labels = [format(v, self.format) if self.format else _plain(v) for v in values]
        return [(round(v, 12), text.replace("-", "\N{MINUS SIGN}")) for v, text in zip(values, labels, strict=True)]


def _plain(value: float) -> str:
    """A number without exponent or needless zeros, its thousands parted."""
    whole, dot, rest = np.format_float_positional(float(f"{value:.10g}") + 0.0, trim="-").partition(".")
    sign = "-" if whole.startswith("-") else ""
    return f"{sign}{int(whole.lstrip('-')):,}{dot}{rest}"


Range = tuple[float, float] | Sequence[str] | Scale
Box = tuple[float, float, float, float]


# -- marks -----------------------------------------------------------------------------------------------------
@dataclass(frozen=True)
class Mark:
    """One SVG element: its key in the panel, tag, attributes, the words of a text, and what hovering over it says."""

    key: str
    tag: str
    attributes: dict[str, str]
    text: str = ""
    tip: str = ""

    def encoded(self) -> list[Any]:
        """As the renderer reads it; empty ends are left out."""
        parts = [self.tag, self.key, self.attributes, self.text, self.tip]
        while not parts[-1]:
            parts.pop()
        return parts

    def svg(self) -> str:
        """As an element of an SVG document."""
        attributes = "".join(f' {k}="{html.escape(v)}"' for k, v in self.attributes.items())
        return f"<{self.tag}{attributes}>{html.escape(self.text)}</{self.tag}>"

    @property
    def box(self) -> Box:
        """Left, top, right and bottom in pixels, strokes left out; text by the widths of a rather wide font."""
        a = self.attributes
        if self.tag == "rect":
            x, y, w, h = (float(a[n]) for n in ("x", "y", "width", "height"))
            return x, y, x + w, y + h
        if self.tag == "circle":
            x, y, r = (float(a[n]) for n in ("cx", "cy", "r"))
            return x - r, y - r, x + r, y + r
        if self.tag == "text":
            x, y, size = (float(a[n]) for n in ("x", "y", "font-size"))
            width = text_width(self.text, size, bold="font-weight" in a)
            left = x - width * {"start": 0.0, "middle": 0.5, "end": 1.0}[a.get("text-anchor", "start")]
            return left, y - 0.75 * size, left + width, y + 0.2 * size
        numbers = np.array(re.findall(r"-?\d+\.?\d*", a["d"]), dtype=float).reshape(-1, 2)
        return (*numbers.min(0).tolist(), *numbers.max(0).tolist())


@cache
def _font(bold: bool) -> Any:
    return font_manager.get_font(font_manager.findfont(f"DejaVu Sans{':bold' if bold else ''}"))


@cache
def text_width(text: str, size: float, bold: bool = False) -> float:
    """Width of a text in pixels, set in DejaVu Sans, which is wider than the fonts of most systems."""
    font = _font(bold)
    font.set_size(size, 72)
    known = "".join(c for c in text if font.get_char_index(ord(c)))
    font.set_text(known, flags=LoadFlags.NO_HINTING)
    return float(font.get_width_height()[0]) / 64 + size * (len(text) - len(known))


def _pixel(value: float | np.floating[Any]) -> str:
    """A coordinate to a tenth of a pixel."""
    return f"{round(float(value), 1) + 0.0:.1f}".removesuffix(".0")  # no minus before zero


def _points(xs: Iterable[float], ys: Iterable[float]) -> str:
    """Straight lines through pixels, as the ``d`` of a path."""
    return "M" + "L".join(f"{_pixel(x)} {_pixel(y)}" for x, y in zip(xs, ys, strict=True))


# -- panels ----------------------------------------------------------------------------------------------------
@dataclass
class Panel:
    """One picture of a scene. Every method that draws takes the key of its mark first.

    Common arguments: ``colour`` one of :data:`COLOURS` or a hex value, ``opacity`` 0 to 1, ``tip`` the sentence shown
    when one points at the mark.
    """

    width: float
    height: float
    title: str = ""
    marks: list[Mark] = field(default_factory=list)
    x: Scale = Scale(0, 1, 0, 1)
    y: Scale = Scale(0, 1, 0, 1)
    _group: str = ""

    def __post_init__(self) -> None:
        if not 0 < self.width <= WIDEST:
            raise ValueError(f"width is {self.width}; a panel is at most {WIDEST} pixels wide, to be read on a phone")
        if self.title:
            self._text("title", 0.0, 14.0, self.title, size=14, bold=True)

    def _add(
        self, key: str, tag: str, attributes: dict[str, Any], text: str = "", tip: str = "", opacity: float = 1
    ) -> None:
        if opacity != 1:
            attributes["opacity"] = f"{opacity:.2g}"
        plain = {k: _pixel(v) if isinstance(v, (float, np.floating)) else str(v) for k, v in attributes.items()}
        if bad := [k for k, v in plain.items() if "nan" in v or "inf" in v]:
            raise ValueError(
                f"mark {key!r} has no place: {bad[0]} is {plain[bad[0]]}; leave it out where its value is missing"
            )
        self.marks.append(Mark(self._group + key, tag, plain, text, tip))

    @contextmanager
    def group(self, name: str) -> Iterator[None]:
        """Put ``name/`` before the keys of the marks made inside."""
        outer, self._group = self._group, f"{self._group}{name}/"
        try:
            yield
        finally:
            self._group = outer

    # -- frame of a chart
    def axes(
        self,
        x: Range,
        y: Range,
        *,
        xlabel: str = "",
        ylabel: str = "",
        margin: tuple[float, float, float, float] | None = None,
        grid: bool = True,
        ticks: tuple[int, int] = (6, 5),
    ) -> None:
        """Set the scales of the panel and draw the axes.

        Args:
            x: limits (low, high), or names of categories, which then stand at 0, 1, ..., or a :class:`Scale`.
            y: the same; categories run from the top down.
            xlabel: below the axis.
            ylabel: above the axis, not turned.
            margin: pixels left free at the left, top, right and bottom; by default what the labels need.
            grid: draw hairlines at the ticks of numbers.
            ticks: about how many at most, in x and in y.
        """
        sx, sy = _scale(x), _scale(y)
        if isinstance(y, Sequence) and sy.names:
            sy = Scale(sy.high, sy.low, names=sy.names)
        if margin is None:
            widest = max((text_width(label, 12) for _, label in sy.ticks(ticks[1])), default=0)
            last = max((text_width(label, 12) / 2 for _, label in sx.ticks(ticks[0])[-1:]), default=0)
            top = (24.0 if self.title else 6.0) + (20.0 if ylabel else 4.0)
            margin = (widest + 10, top, 6.0 if sx.names else max(6.0, last), 42.0 if xlabel else 24.0)
        left, top, right, bottom = margin
        x0, x1, y0, y1 = left, self.width - right, self.height - bottom, top
        self.x = Scale(sx.low, sx.high, x0, x1, sx.log, sx.names, sx.at, sx.format)
        self.y = Scale(sy.low, sy.high, y0, y1, sy.log, sy.names, sy.at, sy.format)
        with self.group("axes"):
            for value, label in _clear(self.x, ticks[0], lambda label: text_width(label, 12) + 4):
                at = self.x(value)
                if grid and not self.x.names:
                    self._path(f"x-{value:g}-grid", _points((at, at), (y0, y1)), stroke=_css("line"))
                self._text(f"x-{value:g}", at, y0 + 16, label, anchor="middle", colour="ink")
            for value, label in _clear(self.y, ticks[1], lambda label: 14.0):
                at = self.y(value)
                if grid and not self.y.names:
                    self._path(f"y-{value:g}-grid", _points((x0, x1), (at, at)), stroke=_css("line"))
                self._text(f"y-{value:g}", x0 - 6, at + 4, label, anchor="end", colour="ink")
            self._path("frame", _points((x0, x0, x1), (y1, y0, y0)), stroke=_css("muted"))
            if xlabel:
                self._text("x-label", (x0 + x1) / 2, self.height - 6, xlabel, anchor="middle", colour="muted")
            if ylabel:
                self._text("y-label", 0.0, top - 10, ylabel, colour="muted")

    def legend(self, entries: Sequence[tuple[str, str]], *, top: float = 34.0, left: float = 0.0) -> None:
        """Name colours in one row: pairs of a colour and a word; ``top`` and ``left`` in pixels."""
        with self.group("legend"):
            for n, (colour, name) in enumerate(entries):
                box = {"x": left, "y": top - 10, "width": 11.0, "height": 11.0, "rx": 2.0, "fill": _css(colour)}
                self._add(f"{n}-box", "rect", box)
                self._text(f"{n}", left + 16, top, name)
                left += 16 + text_width(name, 12) + 14

    # -- marks
    def rect(
        self,
        key: str,
        x0: float,
        y0: float,
        x1: float,
        y1: float,
        *,
        colour: str = "blue",
        opacity: float = 1,
        outline: str = "none",
        rounded: float = 0,
        tip: str = "",
    ) -> None:
        """A rectangle between two opposite corners, in the units of the scales."""
        (left, right), (top, bottom) = sorted((self.x(x0), self.x(x1))), sorted((self.y(y0), self.y(y1)))
        box: dict[str, Any] = {"x": left, "y": top, "width": right - left, "height": bottom - top, "fill": _css(colour)}
        if outline != "none":
            box |= {"stroke": _css(outline), "stroke-width": 1.5}
        if rounded:
            box["rx"] = float(rounded)
        self._add(key, "rect", box, tip=tip, opacity=opacity)

    def circle(
        self,
        key: str,
        x: float,
        y: float,
        *,
        r: float = 5,
        colour: str = "blue",
        opacity: float = 1,
        outline: str = "paper",
        tip: str = "",
    ) -> None:
        """A point of radius ``r`` pixels."""
        dot: dict[str, Any] = {"cx": self.x(x), "cy": self.y(y), "r": float(r), "fill": _css(colour)}
        if outline != "none":
            dot |= {"stroke": _css(outline), "stroke-width": 1.5}
        self._add(key, "circle", dot, tip=tip, opacity=opacity)

    def line(
        self,
        key: str,
        xs: Sequence[float] | np.ndarray[Any, Any],
        ys: Sequence[float] | np.ndarray[Any, Any],
        *,
        colour: str = "ink",
        width: float = 2,
        dash: str = "",
        opacity: float = 1,
        tip: str = "",
    ) -> None:
        """Straight lines through points; ``dash`` as in SVG, for instance "2 3"."""
        attributes = {"stroke": _css(colour), "stroke-width": float(width), "stroke-linejoin": "round"}
        if dash:
            attributes["stroke-dasharray"] = dash
        self._path(key, self._through(xs, ys), tip=tip, opacity=opacity, **attributes)

    def polygon(
        self,
        key: str,
        xs: Sequence[float] | np.ndarray[Any, Any],
        ys: Sequence[float] | np.ndarray[Any, Any],
        *,
        colour: str = "blue",
        opacity: float = 1,
        tip: str = "",
    ) -> None:
        """A filled area with the given corners."""
        self._path(key, self._through(xs, ys) + "Z", fill=_css(colour), tip=tip, opacity=opacity)

    def path(
        self,
        key: str,
        steps: Sequence[tuple[str, *tuple[float, ...]]],
        *,
        colour: str = "ink",
        fill: str = "none",
        width: float = 2,
        opacity: float = 1,
        tip: str = "",
    ) -> None:
        """A path of SVG's absolute commands M, L, Q, C and Z, each with its points in the units of the scales."""
        d = ""
        for command, *values in steps:
            if command not in "MLQCZ" or len(values) != {"M": 2, "L": 2, "Q": 4, "C": 6, "Z": 0}.get(command):
                raise ValueError(
                    f"step {(command, *values)} of path {key!r}: use M, L (x, y), Q, C (control points, x, y) or Z"
                )
            d += command + " ".join(
                f"{_pixel(self.x(a))} {_pixel(self.y(b))}" for a, b in zip(values[::2], values[1::2], strict=True)
            )
        attributes: dict[str, Any] = {"stroke": _css(colour), "fill": _css(fill), "stroke-width": float(width)}
        self._path(key, d, tip=tip, opacity=opacity, **attributes)

    def arrow(
        self,
        key: str,
        x0: float,
        y0: float,
        x1: float,
        y1: float,
        *,
        colour: str = "ink",
        width: float = 2,
        head: float = 8,
        tip: str = "",
    ) -> None:
        """An arrow from the first point to the second; its head is ``head`` pixels long."""
        a, b = np.array([self.x(x0), self.y(y0)]), np.array([self.x(x1), self.y(y1)])
        length = float(np.hypot(*(b - a)))
        along = (b - a) / length if length > 0 else np.array([1.0, 0.0])
        across = np.array([-along[1], along[0]])
        wings = [b - min(head, length) * (along + side * 0.45 * across) for side in (1, -1)]
        points = [a, b, wings[0], b, wings[1]]
        d = "".join(f"{c}{_pixel(p[0])} {_pixel(p[1])}" for c, p in zip("MLMLL", points, strict=True))
        attributes: dict[str, Any] = {"stroke": _css(colour), "stroke-width": float(width), "stroke-linecap": "round"}
        self._path(key, d, tip=tip, **attributes)

    def text(
        self,
        key: str,
        x: float,
        y: float,
        text: str,
        *,
        anchor: Anchor = "start",
        dx: float = 0,
        dy: float = 4,
        size: float = 12,
        colour: str = "ink",
        bold: bool = False,
        halo: bool = False,
        tip: str = "",
    ) -> None:
        """Words at a point, moved by ``dx`` and ``dy`` pixels; ``halo`` keeps them readable on lines."""
        at = self.x(x) + dx, self.y(y) + dy
        self._text(key, *at, text, anchor=anchor, size=size, colour=colour, bold=bold, halo=halo, tip=tip)

    def _text(
        self,
        key: str,
        x: float,
        y: float,
        text: str,
        *,
        anchor: Anchor = "start",
        size: float = 12,
        colour: str = "ink",
        bold: bool = False,
        halo: bool = False,
        tip: str = "",
    ) -> None:
        attributes: dict[str, Any] = {
            "x": float(x),
            "y": float(y),
            "font-size": float(size),
            "fill": _css(colour, text=True),
        }
        if anchor != "start":
            attributes["text-anchor"] = anchor
        if bold:
            attributes["font-weight"] = "600"
        if halo:
            attributes |= {
                "stroke": _css("paper"),
                "stroke-width": "3",
                "paint-order": "stroke",
                "stroke-linejoin": "round",
            }
        self._add(key, "text", attributes, text, tip)

    def _path(self, key: str, d: str, tip: str = "", opacity: float = 1, **attributes: Any) -> None:
        self._add(key, "path", {"d": d, "fill": "none"} | attributes, tip=tip, opacity=opacity)

    def _through(self, xs: Any, ys: Any) -> str:
        if not len(xs):
            raise ValueError("a line needs at least one point; leave the mark out where there is none")
        return _points([self.x(a) for a in xs], [self.y(b) for b in ys])

    # -- out
    def svg(self, label: str) -> str:
        """The panel as an ``<svg role="img">`` with the accessible name ``label``."""
        marks = "".join(mark.svg() for mark in self.marks)
        return (
            f'<svg role="img" aria-label="{html.escape(label)}" viewBox="0 0 {self.width:g} {self.height:g}" '
            f'style="width:{self.width:g}px">{marks}</svg>'
        )


def _clear(scale: Scale, most: int, room: Callable[[str], float]) -> list[tuple[float, str]]:
    """The ticks of a scale: as many as stand clear of one another, of labels that take ``room`` pixels."""
    ticks = scale.ticks(most)
    for fewer in range(most - 1, 0, -1):
        places = sorted((scale(value), room(label)) for value, label in ticks)
        if scale.names or scale.at or all(b - a >= (r + s) / 2 for (a, r), (b, s) in pairwise(places)):
            break
        ticks = scale.ticks(fewer)
    return ticks


def _scale(given: Range) -> Scale:
    if isinstance(given, Scale):
        return given
    if isinstance(given[0], str):
        return Scale(-0.5, len(given) - 0.5, names=tuple(str(n) for n in given))
    low, high = given
    return Scale(float(low), float(high))


# -- scenes ----------------------------------------------------------------------------------------------------
@dataclass
class Scene:
    """What a reader sees for one setting of the controls.

    Args:
        says: what the picture shows, in a sentence or two: printed below it, and read out by screen readers.
        numbers: the values behind the picture, unrounded, by name; tests compare them with the library's.
    """

    says: str
    numbers: dict[str, Any] = field(default_factory=dict)
    panels: list[Panel] = field(default_factory=list)

    def panel(self, height: float, width: float = HALF, title: str = "") -> Panel:
        """Add a panel of ``width`` by ``height`` pixels and return it."""
        self.panels.append(Panel(width, height, title))
        return self.panels[-1]

    def encoded(self) -> dict[str, Any]:
        """As the renderer reads it."""
        return {
            "says": self.says,
            "panels": [{"w": p.width, "h": p.height, "marks": [m.encoded() for m in p.marks]} for p in self.panels],
        }

    def problems(self) -> list[str]:
        """What would trouble a reader: nothing said, a key twice, marks outside, overlapping labels, faint colours."""
        found = [] if self.says.strip() else ["says is empty; say in a sentence what the picture shows"]
        found += [] if self.panels else ["there is no panel"]
        for n, panel in enumerate(self.panels):
            found += [f"panel {n}: {problem}" for problem in _problems(panel)]
        return found


def _problems(panel: Panel) -> Iterator[str]:
    yield from (f"key {k!r} is used twice" for k, times in Counter(m.key for m in panel.marks).items() if times > 1)
    texts: list[tuple[Mark, Box]] = []
    areas: list[tuple[Box, str]] = []  # what covers the page so far, with its colour
    discs: list[tuple[Box, str]] = []
    for mark in panel.marks:
        left, top, right, bottom = box = mark.box
        if left < -1 or top < -1 or right > panel.width + 1 or bottom > panel.height + 1:
            where = f"({left:.0f}, {top:.0f}, {right:.0f}, {bottom:.0f})"
            yield f"{mark.key!r} at {where} leaves the {panel.width:g} x {panel.height:g} pixels of the panel"
        x, y = (left + right) / 2, (top + bottom) / 2
        covers = [*areas, *discs] if mark.tag == "text" else areas  # points may lie on points, words must be read
        under = (fill for (x0, y0, x1, y1), fill in reversed(covers) if x0 <= x <= x1 and y0 <= y <= y1)
        yield from _faint(mark, next(under, "var(--rt-paper,"))
        if mark.tag == "text":
            if float(mark.attributes["font-size"]) < SMALLEST_TEXT:
                yield f"{mark.key!r} is set in {mark.attributes['font-size']} pixels; {SMALLEST_TEXT} is the least"
            for other, (x0, y0, x1, y1) in texts:
                if left < x1 - 1 and x0 < right - 1 and top < y1 - 1 and y0 < bottom - 1:
                    yield f"texts {other.key!r} ({other.text}) and {mark.key!r} ({mark.text}) overlap"
            texts.append((mark, box))
        elif mark.tag in ("rect", "circle") and "opacity" not in mark.attributes and mark.attributes["fill"] != "none":
            (areas if mark.tag == "rect" else discs).append((box, mark.attributes["fill"]))


def _faint(mark: Mark, under: str) -> Iterator[str]:
    """A text, line or point that does not stand out from what lies under it, on a light or a dark page."""
    if mark.tag == "rect":
        return  # areas may be pale: their outlines and labels are checked
    colour = mark.attributes.get("fill" if mark.tag in ("text", "circle") else "stroke", "none")
    if colour in ("none", _css("line"), _css("soft")):
        return  # hairlines help the eye; no meaning is in them alone
    wanted = TEXT_CONTRAST if mark.tag == "text" else MARK_CONTRAST
    for theme in THEMES:
        ratio = contrast(_hex(colour, theme), _hex(under, theme))
        if ratio < wanted:
            yield f"{mark.key!r} has contrast {ratio:.1f} on a {theme} page; {wanted:g} is the least"
