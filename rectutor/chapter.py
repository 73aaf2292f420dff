"""What a chapter notebook speaks through: claims, library source, figures, tables and computed prose.

Everything here *displays at once* and returns nothing, so that one cell may hold several of them. The HTML works in the
built book and in JupyterLab, light and dark; each display also carries a plain text for terminals and screen readers.

>>> from rectutor.chapter import claim
>>> claim("two ratings are fewer than three", 2 < 3)
Claim (holds): two ratings are fewer than three
"""

from __future__ import annotations

import ast
import hashlib
import html
import inspect
import io
import os
import re
import textwrap
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from IPython.display import Markdown, display
from pygments import highlight
from pygments.formatters import HtmlFormatter
from pygments.lexers import PythonLexer

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.figure import Figure

__all__ = ["STAGES", "claim", "figure", "funnel", "number", "say", "show", "style", "table"]

CSS = Path(__file__).with_name("chapter.css")


def in_book() -> bool:
    """Whether a book build runs this notebook: its pages have the style sheet, its outputs need no copy."""
    return bool(os.environ.get("RECTUTOR_STATIC"))


@dataclass(frozen=True)
class Shown:
    """One display: its HTML and the plain text that stands for it."""

    html: str
    text: str

    def __repr__(self) -> str:
        return self.text

    def _repr_mimebundle_(self, **_: Any) -> dict[str, str]:
        sheet = "" if in_book() else f"<style>{CSS.read_text(encoding='utf-8')}{_lab_code_css()}</style>"
        return {"text/html": sheet + self.html, "text/plain": self.text}


def _emit(shown: Shown) -> None:
    display(shown)  # type: ignore[no-untyped-call]


@cache
def _lab_code_css() -> str:
    """Colours of shown source outside the book, whose theme brings its own."""
    light: str = HtmlFormatter(style="default").get_style_defs(".rt-source")
    dark: str = HtmlFormatter(style="github-dark").get_style_defs('body[data-jp-theme-light="false"] .rt-source')
    return light + dark


def _inline(text: str) -> str:
    """Escape ``text`` for HTML; `code` in back-quotes and *emphasis* in stars stay readable."""
    out = re.sub(r"`([^`]+)`", r"<code>\1</code>", html.escape(text, quote=False))
    return re.sub(r"(?<![\w*])\*([^*\s](?:[^*]*[^*\s])?)\*(?![\w*])", r"<em>\1</em>", out)


def _plain(text: str) -> str:
    return text.replace("`", "")


# -- claims --------------------------------------------------------------------------------------------------
def claim(text: str, holds: bool | np.bool_, *, evidence: str | Mapping[str, Any] | None = None) -> None:
    """State a claim of the book; the build fails when it stops holding.

    Args:
        text: the claim, one sentence; `code` and *emphasis* are understood, and f-strings may carry numbers.
        holds: whether it holds - one truth value, computed in the notebook.
        evidence: what was measured: a sentence, or names and values; shown under the claim.

    Raises:
        AssertionError: the claim does not hold; the message is the claim and its evidence.
        TypeError: ``holds`` is not one truth value (an array, a number, None).

    >>> claim("Swing ranks `b` first", True, evidence={"score of b": 0.25, "score of c": 0.125})
    Claim (holds): Swing ranks b first
      score of b = 0.25, score of c = 0.125
    >>> claim("the catalogue is covered", False, evidence="coverage 12 %")
    Traceback (most recent call last):
        ...
    AssertionError: the catalogue is covered
      coverage 12 %
    """
    if not isinstance(holds, (bool, np.bool_)):
        raise TypeError(
            f"holds must be True or False, not {type(holds).__name__} {holds!r}; compare, then all() or any()"
        )
    if not text.strip():
        raise ValueError("text is empty; say what is claimed")
    if isinstance(evidence, Mapping):
        evidence = ", ".join(f"{name} = {_figure_of(value)}" for name, value in evidence.items())
    because = f"\n  {_plain(evidence)}" if evidence else ""
    if not holds:
        raise AssertionError(_plain(text) + because)
    box = f'<p class="rt-claim-text">{_inline(text)}</p>'
    if evidence:
        box += f'<p class="rt-evidence">{_inline(evidence)}</p>'
    _emit(
        Shown(
            f'<div class="rt rt-claim" role="note" aria-label="Claim, checked by this build">'
            f'<p class="rt-claim-head"><span aria-hidden="true">&#10003;</span> Claim, checked</p>{box}</div>',
            f"Claim (holds): {_plain(text)}{because}",
        )
    )


def _figure_of(value: Any) -> str:
    """A value as a reader wants it: four significant figures, thousands apart."""
    if isinstance(value, (bool, np.bool_, str)):
        return str(value)
    if isinstance(value, (int, np.integer)):
        return f"{int(value):,}"
    if isinstance(value, (float, np.floating)):
        real = float(value)
        return f"{real:,.0f}" if abs(real) >= 1e4 else f"{real:.4g}"
    if isinstance(value, (list, tuple, np.ndarray)):
        return "[" + ", ".join(_figure_of(v) for v in value) + "]"
    return str(value)


# -- computed prose ------------------------------------------------------------------------------------------
def say(markdown: str) -> None:
    """A paragraph of the chapter whose numbers are computed: ``say(f"Recall is {recall:.3f}.")``.

    The text is Markdown with ``$...$`` mathematics. Tag the cell ``remove-input``: the page then shows the sentence
    only, JupyterLab the sentence under its code.
    """
    display(Markdown(textwrap.dedent(markdown).strip()))  # type: ignore[no-untyped-call]


def number(name: str, value: Any, spec: str = "") -> None:
    """Make a value citable in Markdown cells: ``{glue:text}`name``` in the built page.

    Args:
        name: its name, unique in the notebook.
        value: what to show.
        spec: format specification as in f-strings (".3f", ",.0f", ".1%"); empty means four significant figures.

    JupyterLab does not resolve the role: prefer :func:`say` for sentences a notebook reader needs.
    """
    from myst_nb import glue

    text = format(value, spec) if spec else _figure_of(value)
    glue(name, Shown(html.escape(text), text), display=False)


# -- library source ------------------------------------------------------------------------------------------
def show(*objects: Any, docstring: bool = False) -> None:
    """Show the source of library functions, classes or modules as it stands: book and library cannot drift apart.

    Args:
        objects: functions (compiled ones too), classes or modules of the library.
        docstring: keep the docstrings; left out by default, as the prose around says what they say.

    Raises:
        TypeError: something that has no Python source.
    """
    if not objects:
        raise TypeError("show() needs a function, a class or a module")
    for thing in objects:
        where, source = source_of(thing, docstring=docstring)
        code = highlight(source, PythonLexer(), HtmlFormatter(nowrap=True))
        _emit(
            Shown(
                f'<div class="rt rt-shown"><p class="rt-where">{html.escape(where)}</p>'
                f'<div class="highlight-python notranslate"><div class="highlight rt-source" tabindex="0" '
                f'role="region" aria-label="Source of {html.escape(where)}"><pre>{code}</pre></div></div></div>',
                f"# {where}\n{source}",
            )
        )


def source_of(thing: Any, *, docstring: bool = False) -> tuple[str, str]:
    """Where an object is defined (``rectutor/.../reference.py, line 12``) and its source, dedented.

    >>> where, source = source_of(in_book)
    >>> where.startswith("rectutor/chapter.py, line "), source.splitlines()[0]
    (True, 'def in_book() -> bool:')
    """
    target = inspect.unwrap(getattr(thing, "py_func", thing)) if callable(thing) else thing
    try:
        lines, first = inspect.getsourcelines(target)
        file = inspect.getsourcefile(target)
    except (TypeError, OSError) as error:
        raise TypeError(f"show() needs a function, a class or a module with Python source, not {thing!r}") from error
    module = inspect.getmodule(target)
    path = Path(file or "?")
    if module is not None and module.__name__ != "__main__":
        parts = module.__name__.split(".")
        folder = parts if path.name == "__init__.py" else parts[:-1]
        where = "/".join([*folder, path.name])
    else:
        where = path.name
    source = textwrap.dedent("".join(lines)).rstrip() + "\n"
    if not docstring:
        source = _without_docstrings(source)
    return f"{where}, line {max(first, 1)}", source


def _without_docstrings(source: str) -> str:
    lines = source.splitlines()
    drop: set[int] = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef, ast.Module)) and len(node.body) > 1:
            doc = node.body[0]
            if isinstance(doc, ast.Expr) and isinstance(doc.value, ast.Constant) and isinstance(doc.value.value, str):
                end = doc.end_lineno or doc.lineno
                drop.update(range(doc.lineno, end + 1))
                if end < len(lines) and not lines[end].strip():
                    drop.add(end + 1)
    return "\n".join(line for n, line in enumerate(lines, start=1) if n not in drop).strip("\n") + "\n"


# -- figures -------------------------------------------------------------------------------------------------
INK = "#222222"
"""Text and axes: becomes the page's text colour in the SVG."""
MUTED = "#8c8c8c"
"""Ticks, secondary lines and annotations: becomes the page's muted colour."""
GRID = "#d9d9d9"
"""Grid lines: becomes the page's hairline colour."""
PAPER = "#ffffff"
"""The background: becomes the page's background (edges of markers, halos)."""
FIXED_WHITE, FIXED_BLACK = "#fefefe", "#010101"
"""White and black that stay so in dark mode, for text on coloured cells."""
PALETTE = {
    "blue": "#0072b2",
    "vermillion": "#d55e00",
    "green": "#009e73",
    "purple": "#cc79a7",
    "orange": "#e69f00",
    "sky": "#56b4e9",
}
"""Okabe and Ito's colours, which the colour-blind tell apart, without their yellow and black (paper and ink)."""

_THEMED = {INK: "currentColor", "#000000": "currentColor", MUTED: "var(--rt-muted)", GRID: "var(--rt-line)"} | {
    PAPER: "var(--rt-paper)"
}
_THEMED |= {value: f"var(--rt-{name},{value})" for name, value in PALETTE.items()}

FIGSIZE = (5.6, 3.3)
"""Inches; fits a phone. Two panels beside each other: ``WIDE``; one above the other, for a phone: ``TALL``."""
WIDE = (7.7, 3.2)
TALL = (4.8, 6.2)


def style() -> None:
    """Set Matplotlib up for the book's figures; call once at the head of a notebook."""
    import matplotlib as mpl
    from cycler import cycler

    mpl.rcParams.update(
        {
            "figure.figsize": FIGSIZE,
            "figure.dpi": 96,
            "figure.facecolor": "none",
            "figure.constrained_layout.use": True,
            "savefig.facecolor": "none",
            "savefig.dpi": 200,
            "svg.fonttype": "none",
            "svg.hashsalt": "rectutor",
            "axes.facecolor": "none",
            "axes.edgecolor": MUTED,
            "axes.labelcolor": INK,
            "axes.titlecolor": INK,
            "axes.titlesize": 11.5,
            "axes.titleweight": "bold",
            "axes.titlelocation": "left",
            "axes.labelsize": 11,
            "axes.spines.top": False,
            "axes.spines.right": False,
            "axes.grid": True,
            "axes.axisbelow": True,
            "axes.prop_cycle": cycler(color=list(PALETTE.values())),
            "grid.color": GRID,
            "grid.linewidth": 0.7,
            "text.color": INK,
            "xtick.color": MUTED,
            "ytick.color": MUTED,
            "xtick.labelcolor": INK,
            "ytick.labelcolor": INK,
            "xtick.labelsize": 10,
            "ytick.labelsize": 10,
            "legend.frameon": False,
            "legend.fontsize": 10,
            "lines.linewidth": 2.0,
            "lines.markersize": 5.5,
            "patch.edgecolor": PAPER,
            "font.size": 10.5,
            "font.family": "sans-serif",
            "image.cmap": "cividis",
        }
    )


def figure(fig: Figure, *, alt: str, caption: str = "") -> None:
    """Show a Matplotlib figure as sharp SVG that follows the page's colours, and close it.

    Args:
        fig: the figure; above some 5 000 points give the artist ``rasterized=True``.
        alt: what the figure shows, for those who do not see it - the finding, not the drawing.
        caption: shown below; `code` and *emphasis* are understood.

    Raises:
        ValueError: no alt text.
    """
    import matplotlib.pyplot as plt

    if not alt.strip():
        raise ValueError("alt is empty; say in a sentence what the figure shows")
    svg = figure_svg(fig, alt)
    plt.close(fig)
    below = f"<figcaption>{_inline(caption)}</figcaption>" if caption else ""
    _emit(
        Shown(
            f'<figure class="rt rt-figure"><div class="rt-scroll">{svg}</div>{below}</figure>',
            f"Figure: {alt}" + (f"\n{_plain(caption)}" if caption else ""),
        )
    )


def figure_svg(fig: Figure, alt: str) -> str:
    """The figure as one inline ``<svg role="img">`` whose colours are the page's variables."""
    buffer = io.StringIO()
    fig.savefig(buffer, format="svg", metadata={"Date": None, "Creator": None, "Format": None, "Type": None})
    raw = buffer.getvalue()
    svg = raw[raw.index("<svg") :].strip()
    svg = re.sub(r"\s*<metadata>.*?</metadata>", "", svg, flags=re.S)
    svg = re.sub(r"<!--.*?-->\s*", "", svg, flags=re.S)
    svg = re.sub(r"#[0-9a-f]{6}\b", lambda m: _THEMED.get(m.group().lower(), m.group()), svg)
    svg = re.sub(r"(font: [^;\"]*?px) [^;\"]*", r"\1 var(--rt-sans,sans-serif)", svg)
    svg = re.sub(r"font-family: [^;\"]*", "font-family: var(--rt-sans,sans-serif)", svg)
    svg = re.sub(r"\n\s*", "\n", svg)
    width = float(re.search(r'viewBox="0 0 ([\d.]+) [\d.]+"', svg).group(1)) * 4 / 3  # type: ignore[union-attr]
    tag = hashlib.sha256(svg.encode()).hexdigest()[:8]  # several figures share a page: their ids must differ
    svg = re.sub(r'\bid="([^"]+)"', rf'id="f{tag}-\1"', svg)
    svg = re.sub(r'(href="#|url\(#)([^")]+)', rf"\1f{tag}-\2", svg)
    head = (
        f'<svg role="img" aria-label="{html.escape(alt)}" fill="currentColor" '
        f'style="width:{width:.0f}px;min-width:{min(width, max(300.0, 0.56 * width)):.0f}px"'
    )
    opening = re.sub(r'\s(?:width|height|version)="[^"]*"', "", svg[: svg.index(">")])
    return head + opening[len("<svg") :] + svg[svg.index(">") :]


# -- tables --------------------------------------------------------------------------------------------------
def table(
    frame: pd.DataFrame,
    *,
    caption: str = "",
    formats: Mapping[str, str | Callable[[Any], str]] | None = None,
    index: bool = True,
    highlight: Sequence[Any] = (),
) -> None:
    """Show a frame as a table that scrolls on a phone and follows light and dark.

    Args:
        frame: what to show; at most 200 rows.
        caption: shown above; `code` and *emphasis* are understood.
        formats: per column a format specification (".3f", ".1%") or a function; other numbers get four significant
            figures.
        index: show the index as the first column.
        highlight: index labels of rows to set in bold.

    Raises:
        ValueError: an unknown column in ``formats``, or more than 200 rows.
    """
    if len(frame) > 200:
        raise ValueError(f"frame has {len(frame):,} rows; show at most 200, for instance frame.head()")
    formats = dict(formats or {})
    if unknown := [c for c in formats if c not in frame.columns]:
        raise ValueError(f"formats names {unknown}, the frame has the columns {list(frame.columns)}")

    def cell(value: Any, spec: str | Callable[[Any], str] | None) -> str:
        if value is None or (isinstance(value, (float, np.floating)) and np.isnan(value)):
            return "&ndash;"
        if callable(spec):
            return _inline(spec(value))
        return _inline(format(value, spec) if spec else _figure_of(value))

    def kind(text: str, num: bool) -> str:
        return " class=rt-num" if num else " class=rt-short" if len(text) <= 12 else ""

    numeric = [bool(np.issubdtype(t, np.number)) if isinstance(t, np.dtype) else False for t in frame.dtypes]
    names = [str(n) if n is not None else "" for n in frame.index.names] if index else []
    head = "".join(f'<th scope="col">{_inline(n)}</th>' for n in names) + "".join(
        f'<th scope="col"{" class=rt-num" if num else ""}>{_inline(str(c))}</th>'
        for c, num in zip(frame.columns, numeric, strict=True)
    )
    rows = []
    for label, *values in frame.itertuples(index=True, name=None):
        labels = (label if isinstance(label, tuple) else (label,)) if index else ()
        cells = "".join(f'<th scope="row">{cell(part, None)}</th>' for part in labels) + "".join(
            f"<td{kind(text, num)}>{text}</td>"
            for text, num in zip(
                (cell(v, formats.get(c)) for v, c in zip(values, frame.columns, strict=True)), numeric, strict=True
            )
        )
        rows.append(f"<tr{' class=rt-strong' if label in highlight else ''}>{cells}</tr>")
    title = f"<caption>{_inline(caption)}</caption>" if caption else ""
    aria = html.escape(_plain(caption) or "Table")
    _emit(
        Shown(
            f'<div class="rt rt-scroll" role="region" tabindex="0" aria-label="{aria}"><table class="rt-table">{title}'
            f"<thead><tr>{head}</tr></thead><tbody>{''.join(rows)}</tbody></table></div>",
            (f"{_plain(caption)}\n" if caption else "") + frame.to_string(index=index),
        )
    )


# -- the funnel ----------------------------------------------------------------------------------------------
STAGES = {
    "catalogue": ("Catalogue", "物品库", "10\u2078-10\u2079 items"),
    "retrieval": ("Retrieval", "召回", "several thousand"),
    "coarse": ("Coarse ranking", "粗排", "up to 1 000"),
    "ranking": ("Ranking", "精排", "hundreds"),
    "rerank": ("Re-ranking", "重排", "tens"),
    "screen": ("User's screen", "展示", "a handful"),
    "evaluation": ("Evaluation", "评估", ""),
    "coldstart": ("Cold start", "冷启动", ""),
}
"""Stages of the funnel: name, Chinese, items that leave it. Evaluation and cold start run alongside all of them."""


def funnel(stage: str | None = None) -> None:
    """The standard figure: the funnel of a recommender with one stage lit (None: the whole map).

    >>> funnel("retrieval")
    Figure: The funnel of a recommender, with retrieval lit: catalogue (10⁸-10⁹ items), retrieval (several thousand), coarse ranking (up to 1 000), ranking (hundreds), re-ranking (tens), user's screen (a handful). Evaluation and cold start run alongside all stages.
    """  # noqa: E501
    alt = "The funnel of a recommender" + (f", with {STAGES[stage][0].lower()} lit" if stage in STAGES else "") + ": "
    alt += ", ".join(f"{name.lower()} ({size})" for name, _, size in STAGES.values() if size)
    alt += ". Evaluation and cold start run alongside all stages."
    svg = funnel_svg(stage, alt)
    _emit(Shown(f'<figure class="rt rt-figure rt-funnel">{svg}</figure>', f"Figure: {alt}"))


def funnel_svg(stage: str | None, alt: str) -> str:
    """The funnel as inline SVG in the page's colours, drawn for the width of a phone."""
    if stage is not None and stage not in STAGES:
        raise ValueError(f"stage is {stage!r}; it must be None or one of {', '.join(STAGES)}")
    width, pitch, high, middle = 400, 56, 46, 200
    inside = [s for s in STAGES if STAGES[s][2]]
    bottom = pitch * len(inside) - (pitch - high)
    parts = [
        f'<svg role="img" aria-label="{html.escape(alt)}" viewBox="0 0 {width} {bottom + 4}" '
        f'xmlns="http://www.w3.org/2000/svg">'
    ]

    def lit(name: str) -> str:
        return ' class="rt-lit"' if name == stage else ""

    for n, name in enumerate(inside):
        label, chinese, size = STAGES[name]
        y = 2 + n * pitch
        top, low = (150 - 11 * k for k in (n, n + high / pitch))
        points = (
            f"{middle - top:.0f},{y} {middle + top:.0f},{y} {middle + low:.0f},{y + high} {middle - low:.0f},{y + high}"
        )
        parts.append(
            f"<g{lit(name)}><polygon points='{points}'/>"
            f'<text x="{middle}" y="{y + 19}" class="rt-name">{label} <tspan lang="zh">{chinese}</tspan></text>'
            f'<text x="{middle}" y="{y + 37}" class="rt-size">{size}</text></g>'
        )
    for name, x in (("evaluation", 4), ("coldstart", width - 36)):
        label, chinese, _ = STAGES[name]
        centre = bottom / 2 + 2
        parts.append(
            f'<g{lit(name)}><rect x="{x}" y="2" width="32" height="{bottom}" rx="3"/>'
            f'<text transform="translate({x + 21} {centre:.0f}) rotate(-90)" class="rt-name">{label} '
            f'<tspan lang="zh">{chinese}</tspan></text></g>'
        )
    return "".join(parts) + "</svg>"
