"""What chapters speak through: claims that fail, source that cannot drift, figures that follow the page."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import matplotlib as mpl
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
from bs4 import BeautifulSoup

from rectutor import chapter, fastpath
from rectutor.chapter import Shown, claim, figure, funnel, number, say, show, source_of, style, table


@pytest.fixture
def shown(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """What the cell displays."""
    seen: list[Any] = []
    monkeypatch.setattr(chapter, "display", seen.append)
    monkeypatch.setenv("RECTUTOR_STATIC", "1")
    return seen


@pytest.fixture
def styled() -> Iterator[None]:
    with mpl.rc_context():
        mpl.use("agg")
        style()
        yield
        plt.close("all")


def test_claim_that_holds_is_shown_with_its_evidence(shown: list[Shown]) -> None:
    claim("`a` is *less* than 3 & more", np.bool_(True), evidence={"a": 2.123456, "n": 12345, "ok": True})
    (box,) = shown
    assert "<code>a</code> is <em>less</em> than 3 &amp; more" in box.html
    assert "a = 2.123, n = 12,345, ok = True" in box.html
    assert repr(box) == "Claim (holds): a is *less* than 3 & more\n  a = 2.123, n = 12,345, ok = True"


def test_claim_that_fails_stops_the_build_with_its_text(shown: list[Shown]) -> None:
    with pytest.raises(AssertionError, match=r"^Swing wins\n  recall = 0.1, other = \[0.2, 0.3\]$"):
        claim("Swing wins", 0.1 > 0.2, evidence={"recall": 0.1, "other": np.array([0.2, 0.3])})
    assert shown == []


@pytest.mark.parametrize("holds", [1, 0.5, None, np.array([True, True]), "yes"])
def test_claim_takes_one_truth_value(holds: Any) -> None:
    with pytest.raises(TypeError, match=r"holds must be True or False, not \w+"):
        claim("something", holds)


def test_claim_needs_a_text() -> None:
    with pytest.raises(ValueError, match="text is empty"):
        claim("  ", True)


def test_html_in_a_claim_is_text(shown: list[Shown]) -> None:
    claim("<script>alert(1)</script>", True, evidence="<b>")
    assert "<script>" not in shown[0].html
    assert "<b>" not in shown[0].html


def test_stars_of_a_product_are_not_emphasis(shown: list[Shown]) -> None:
    claim("2 * 3 * 4 is 24, a*b*c stays", True)
    assert "<em>" not in shown[0].html


def test_outside_the_book_a_display_brings_its_style_sheet(monkeypatch: pytest.MonkeyPatch) -> None:
    box = Shown("<p>x</p>", "x")
    monkeypatch.setenv("RECTUTOR_STATIC", "1")
    assert box._repr_mimebundle_() == {"text/html": "<p>x</p>", "text/plain": "x"}
    monkeypatch.delenv("RECTUTOR_STATIC")
    html = box._repr_mimebundle_()["text/html"]
    assert ".rt-claim" in html
    assert ".rt-source .k" in html
    assert html.endswith("<p>x</p>")


def test_say_is_markdown(shown: list[Any]) -> None:
    say(
        """
        Recall is **0.12**.
        """
    )
    assert shown[0].data == "Recall is **0.12**."


def test_number_is_glued_in_its_format(monkeypatch: pytest.MonkeyPatch) -> None:
    glued: dict[str, Any] = {}
    monkeypatch.setattr("myst_nb.glue", lambda name, value, display: glued.__setitem__(name, value))
    number("recall", 0.12345, ".3f")
    number("users", 12345)
    assert {name: repr(value) for name, value in glued.items()} == {"recall": "0.123", "users": "12,345"}


def test_shown_source_is_the_source(shown: list[Shown]) -> None:
    show(fastpath.Pair, fastpath.assert_same)
    where, text = repr(shown[1]).split("\n", 1)
    assert re.fullmatch(r"# rectutor/fastpath.py, line \d+", where)
    code = BeautifulSoup(shown[1].html, "html.parser").select_one("pre")
    assert code is not None
    assert code.get_text().strip() == text.strip()
    assert text.startswith("def assert_same(")
    assert "The default comparison" not in text
    compile(text, "shown", "exec")
    compile(repr(shown[0]).split("\n", 1)[1], "shown", "exec")


def test_docstrings_stay_on_request() -> None:
    assert "The default comparison" in source_of(fastpath.assert_same, docstring=True)[1]


def test_source_of_a_compiled_function_and_of_a_module() -> None:
    class Compiled:
        py_func = staticmethod(fastpath.as_dense)

        def __call__(self) -> None: ...

    assert source_of(Compiled()) == source_of(fastpath.as_dense)
    where, source = source_of(fastpath)
    assert where == "rectutor/fastpath.py, line 1"
    assert "def load_all" in source
    assert "Reference and fast path: the registry" not in source


def test_a_function_of_only_a_docstring_keeps_it() -> None:
    def silent() -> None:
        """Nothing else."""

    assert '"""Nothing else."""' in source_of(silent)[1]


@pytest.mark.parametrize("thing", [np.add, 3, len])
def test_show_wants_python_source(thing: Any) -> None:
    with pytest.raises(TypeError, match="needs a function, a class or a module with Python source"):
        show(thing)


def test_show_wants_something() -> None:
    with pytest.raises(TypeError, match="needs a function"):
        show()


@pytest.mark.usefixtures("styled")
def test_figure_follows_the_colours_of_the_page(shown: list[Shown]) -> None:
    fig, ax = plt.subplots()
    for n in range(6):
        ax.plot([0, 1], [n, n + 1])
    ax.set_xlabel("x < y")
    figure(fig, alt='Six "lines"', caption="The `lines`.")
    picture = BeautifulSoup(shown[0].html, "html.parser")
    svg = picture.select_one("figure svg")
    assert svg is not None
    assert svg["aria-label"] == 'Six "lines"'
    assert svg["role"] == "img"
    assert str(picture.figcaption) == "<figcaption>The <code>lines</code>.</figcaption>"
    drawn = set(re.findall(r"#[0-9a-f]{6}\b", re.sub(r"var\(--rt-\w+,#[0-9a-f]{6}\)", "", str(svg))))
    assert not drawn & set(chapter._THEMED)
    for name in chapter.PALETTE:
        assert f"var(--rt-{name}," in shown[0].html
    assert "currentColor" in shown[0].html
    assert not plt.fignum_exists(fig.number)
    assert repr(shown[0]) == 'Figure: Six "lines"\nThe lines.'


@pytest.mark.usefixtures("styled")
def test_two_figures_share_no_id_and_a_figure_is_reproducible(shown: list[Shown]) -> None:
    for height in (1, 2, 2):
        fig, ax = plt.subplots()
        ax.bar([0, 1], [height, 3])
        ax.set_xlim(0, 0.5)
        figure(fig, alt=f"Bars of {height}")
    ids = [set(re.findall(r'\bid="([^"]+)"', s.html)) for s in shown]
    assert not ids[0] & ids[1]
    assert shown[1].html == shown[2].html
    for one, names in zip(shown, ids, strict=True):
        used = set(re.findall(r'(?:href="#|url\(#)([^")]+)', one.html))
        assert used
        assert used <= names


@pytest.mark.usefixtures("styled")
def test_figure_wants_an_alt_text() -> None:
    fig, _ = plt.subplots()
    with pytest.raises(ValueError, match="alt is empty"):
        figure(fig, alt=" ")


def test_table_formats_and_marks(shown: list[Shown]) -> None:
    frame = pd.DataFrame(
        {"recall": [0.12345, float("nan")], "users": [1200, 3], "kind": ["<a>", "`b`"]},
        index=pd.Index(["Popular", "Swing"], name="model"),
    )
    table(frame, caption="Models", formats={"recall": ".1%"}, highlight=["Swing"])
    page = BeautifulSoup(shown[0].html, "html.parser")
    rows = [[c.get_text() for c in row.find_all(["th", "td"])] for row in page.find_all("tr")]
    assert rows == [
        ["model", "recall", "users", "kind"],
        ["Popular", "12.3%", "1,200", "<a>"],
        ["Swing", "\u2013", "3", "b"],
    ]
    assert [r.get("class") for r in page.select("tbody tr")] == [None, ["rt-strong"]]
    assert page.caption is not None
    assert page.caption.get_text() == "Models"


def test_table_refuses_what_it_cannot_show() -> None:
    with pytest.raises(ValueError, match=r"formats names \['x'\]"):
        table(pd.DataFrame({"a": [1]}), formats={"x": ".1f"})
    with pytest.raises(ValueError, match="frame has 201 rows"):
        table(pd.DataFrame({"a": range(201)}))


@pytest.mark.parametrize("stage", list(chapter.STAGES))
def test_funnel_lights_exactly_one_stage(shown: list[Shown], stage: str) -> None:
    funnel(stage)
    page = BeautifulSoup(shown[0].html, "html.parser")
    lit = page.select("g.rt-lit")
    assert len(lit) == 1
    assert lit[0].get_text(" ").startswith(chapter.STAGES[stage][0])
    assert f"with {chapter.STAGES[stage][0].lower()} lit" in str(page.svg and page.svg["aria-label"])


def test_funnel_without_a_stage_is_the_map(shown: list[Shown]) -> None:
    funnel()
    assert "rt-lit" not in shown[0].html
    assert shown[0].html.count("<g") == len(chapter.STAGES)


def test_funnel_narrows(shown: list[Shown]) -> None:
    funnel()
    widths = []
    for points in re.findall(r"points='([^']+)'", shown[0].html):
        xs = [float(p.split(",")[0]) for p in points.split()]
        widths += [xs[1] - xs[0], xs[2] - xs[3]]
    assert widths == sorted(widths, reverse=True)


def test_funnel_knows_its_stages() -> None:
    with pytest.raises(ValueError, match="stage is 'recall'; it must be None or one of catalogue, retrieval"):
        funnel("recall")
