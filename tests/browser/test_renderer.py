"""The renderer of explorables by itself: on a page made for it, and before a kernel that answers as we like."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from playwright.sync_api import Browser, Page, expect

from rectutor.chapter import CSS
from rectutor.sphinx_ext import classic
from rectutor.widgets import Discrete, Explorer, Scene
from rectutor.widgets.explorer import SCRIPT, STYLE
from tests.browser.figures import FIGURE, SETTLE, Figure, Hand
from tests.widgets.test_explorer import Sample

Desk = Callable[..., Page]


@pytest.fixture
def desk(browser: Browser) -> Iterator[Desk]:
    """An empty page that asks nothing of any host, with the style sheets; its complaints are kept in ``complaints``."""
    contexts = []

    def start(body: str = "", motion: bool = False) -> Page:
        context = browser.new_context(reduced_motion="no-preference" if motion else "reduce")
        contexts.append(context)
        context.route("**/*", lambda route: route.abort())
        page = context.new_page()
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.on("console", lambda m: complaints.append(m.text) if m.type in ("error", "warning") else None)
        sheets = "".join(f"<style>{file.read_text(encoding='utf-8')}</style>" for file in (CSS, STYLE))
        page.set_content(f"<!doctype html><meta charset=utf-8>{sheets}<body>{body}")
        return page

    complaints.clear()
    yield start
    for context in contexts:
        context.close()


complaints: list[str] = []


def still(page: Page, *explorables: Explorer) -> list[Hand]:
    """Put explorables on a page as a book has them, and start them."""
    text = "".join(e.to_html() for e in explorables)
    page.evaluate("text => { document.body.innerHTML = text; }", text)
    page.add_script_tag(content=classic(SCRIPT.read_text(encoding="utf-8")))
    found = []
    for n, (name, data) in enumerate(FIGURE.findall(text)):
        read = json.loads(data)
        start = tuple(round(at) for at in read["frame"]["at"])
        found.append(Hand(page, Figure(name, n, read["spec"], start, read["table"])))
    return found


@pytest.fixture
def book(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RECTUTOR_STATIC", "1")


pytestmark = pytest.mark.usefixtures("book")


# -- in a page -------------------------------------------------------------------------------------------------
@pytest.mark.parametrize("motion", [False, True])
def test_any_walk_through_the_states_ends_in_the_scene_of_its_end(desk: Desk, motion: bool) -> None:
    page = desk(motion=motion)
    (hand,) = still(page, Sample())
    hand.shows(hand.figure.start)
    for at in list(hand.figure.states())[:40]:
        hand.put(at)
        if not motion:
            hand.shows(at)
    if motion:
        page.evaluate(SETTLE)
        hand.shows(at)
    assert complaints == []


def test_the_same_mark_is_the_same_element(desk: Desk) -> None:
    (hand,) = still(desk(), Sample())
    marked = "figure => figure.querySelectorAll('[data-key]').forEach(e => { e.was = true; })"
    keys = "figure => [...figure.querySelectorAll('[data-key]')].filter(e => e.was == WAS).map(e => e.dataset.key)"
    old, new = keys.replace("WAS", "true"), keys.replace("WAS", "undefined")
    hand.root.evaluate(marked)
    hand.press(1, 1)  # three dots in place of one
    assert hand.root.evaluate(old) == ["title", "bar", "rule", "title", "dot-0"]
    assert hand.root.evaluate(new) == ["dot-1", "dot-2"]
    fresh = "figure => [...figure.querySelectorAll('.rtx-new')].map(e => e.dataset.key)"
    assert hand.root.evaluate(fresh) == ["dot-1", "dot-2"]
    hand.press(1, 0)
    assert hand.root.evaluate(old) == ["title", "bar", "rule", "title", "dot-0"]
    assert hand.root.evaluate(new) == []


class Shape(Explorer):
    """One key for marks of two kinds, in an order that changes."""

    title, question = "Shape", "Which shape?"
    round = Discrete("round", ["no", "yes"])
    front = Discrete("in front", ["it", "line"])

    def compute(self, round: str, front: str) -> Scene:
        scene = Scene(f"Round: {round}, in front: {front}.")
        panel = scene.panel(height=80)

        def line() -> None:
            panel.line("line", [10, 90], [40, 40])

        if front == "it":
            line()
        if round == "yes":
            panel.circle("it", 50, 40, r=20)
        else:
            panel.rect("it", 30, 20, 70, 60, colour="soft", outline="ink")
        if front == "line":
            line()
        return scene


def test_a_mark_may_become_another_shape_and_go_behind(desk: Desk) -> None:
    (hand,) = still(desk(), Shape())
    for at in [(0, 0), (1, 0), (1, 1), (0, 1), (1, 0), (0, 0), (0, 1)]:
        hand.put(at)
        hand.shows(at)
    assert complaints == []


def test_a_move_that_is_overtaken_ends_where_the_last_one_goes(desk: Desk) -> None:
    page = desk(motion=True)
    (hand,) = still(page, Sample())
    page.evaluate("""() => {
        const queue = [];
        window.requestAnimationFrame = f => queue.push(f);
        window.turn = now => queue.splice(0).forEach(f => f(now));
    }""")
    width = "figure => +figure.querySelector('[data-key=bar]').getAttribute('width')"
    hand.press(0, 3)  # from 75 to 225 pixels
    page.evaluate("turn(1000)")
    page.evaluate("turn(1040)")
    there = hand.root.evaluate(width)
    assert 75 < there < 225
    hand.press(0, 0)  # back to 0 before it has arrived
    assert hand.root.evaluate(width) == there, "it goes on from where it is"
    page.evaluate("turn(1050)")
    page.evaluate("turn(1090)")
    assert 0 < hand.root.evaluate(width) < there
    page.evaluate("turn(1300)")
    hand.shows((0, *hand.figure.start[1:]))


def test_everything_has_a_name_for_those_who_listen(desk: Desk) -> None:
    page = desk()
    (hand,) = still(page, Sample())
    figure = page.get_by_role("figure", name="A bar & its <neighbours>", exact=True)
    expect(figure).to_have_count(1)
    for role, name in (
        ("slider", "share of the width"),
        ("slider", "dots"),
        ("slider", "step"),
        ("button", "Play step"),
        ("radiogroup", "shape"),
        ("radio", "plain"),
        ("radio", "round"),
        ("checkbox", "fill the bar"),
    ):
        expect(figure.get_by_role(role, name=name, exact=True)).to_have_count(1)  # type: ignore[arg-type]
    pictures = figure.get_by_role("img", name=hand.figure.scene(hand.figure.start)["says"], exact=True)
    expect(pictures).to_have_count(2)
    figure.get_by_role("slider", name="share of the width").press("End")
    expect(figure.get_by_role("slider", name="share of the width")).to_have_attribute("aria-valuetext", "100%")


def test_two_of_a_kind_do_not_move_each_other(desk: Desk) -> None:
    one, other = still(desk(), Sample(), Sample(count=10))
    other.drag(3, 1)
    other.drag(0, 4)
    other.drag(4, 1)
    one.shows((1, 0, 0, 0, 0))
    other.shows((4, 2, 0, 1, 1))


def test_words_of_a_tip_are_shown_as_they_are(desk: Desk) -> None:
    page = desk()
    (hand,) = still(page, Sample())
    hand.root.locator("[data-key=bar]").hover()
    assert hand.root.locator(".rtx-tip").inner_text() == "0.25 </script>"
    hand.press(0, 2)  # the picture changed: what it said is no longer true
    assert not hand.root.locator(".rtx-tip").is_visible()


def test_a_broken_explorable_says_so_and_leaves_the_others_alive(desk: Desk) -> None:
    page = desk()
    broken = Sample().to_html().replace('{"spec":', "{spec:")
    page.evaluate("text => { document.body.innerHTML = text; }", broken + Sample().to_html())
    page.evaluate(  # as at the end of a page; an error goes to the console
        "text => { const s = document.createElement('script'); s.textContent = text; document.body.append(s); }",
        classic(SCRIPT.read_text(encoding="utf-8")),
    )
    first, second = page.locator("figure.rtx").all()
    expect(first.locator(".rtx-still")).to_contain_text("The controls could not start")
    assert first.locator("svg").count() == 2
    assert first.locator("input").count() == 0
    assert second.locator("input").count() == 6
    assert len(complaints) == 1


# -- before a kernel -------------------------------------------------------------------------------------------
LIVE = """
async ([source, spec, frame]) => {
  const module = await import(URL.createObjectURL(new Blob([source], { type: 'text/javascript' })));
  const state = { _spec: spec, _frame: frame }, heard = new Set(), sent = window.sent = [];
  let changed = false;
  const model = { // like a model of Jupyter's: what has not changed is not sent
    get: name => state[name],
    set(name, value) { changed ||= JSON.stringify(state[name]) != JSON.stringify(value); state[name] = value; },
    save_changes() { if (changed) sent.push(state._request); changed = false; },
    on(event, f) { heard.add(f); },
    off(event, f) { heard.delete(f); },
  };
  window.answer = frame => { state._frame = frame; [...heard].forEach(f => f()); };
  window.view = () => {
    const el = document.createElement('div');
    document.body.append(el);
    return module.default.render({ model, el });
  };
  window.listeners = () => heard.size;
  window.leave = window.view();
}
"""


class Kernel:
    """What the page sends, and what it gets as an answer."""

    def __init__(self, page: Page) -> None:
        self.page = page
        self.widget = Sample()
        spec, frame = self.widget._spec, self.widget._frame
        self.first = dict(frame)
        page.evaluate(LIVE, [SCRIPT.read_text(encoding="utf-8"), spec, frame])

    @property
    def sent(self) -> list[dict[str, Any]]:
        return list(self.page.evaluate("sent"))

    def frame(self, number: int, *at: int) -> dict[str, Any]:
        """The answer to a request."""
        values = {n: c.stops[i] for (n, c), i in zip(Sample.controls().items(), at, strict=True)}
        return Sample(**values)._frame | {"id": number}

    def answer(self, request: dict[str, Any]) -> None:
        self.page.evaluate("frame => answer(frame)", self.frame(request["id"], *request["at"]))

    def slide(self, stop: int, view: int = 0) -> None:
        self.page.locator("figure.rtx").nth(view).locator("input").first.evaluate(
            "(input, stop) => { input.value = stop; input.dispatchEvent(new Event('input')); }", stop
        )

    def says(self, view: int = 0) -> str:
        return self.page.locator(".rtx-says").nth(view).inner_text()


def test_one_request_is_under_way_and_the_newest_waits(desk: Desk) -> None:
    kernel = Kernel(desk())
    for stop in (2, 3, 4, 0):
        kernel.slide(stop)
    assert [request["at"][0] for request in kernel.sent] == [2]
    slider = kernel.page.locator("input").first
    kernel.answer(kernel.sent[0])
    assert "50.0%" in kernel.says(), "the answer is drawn meanwhile"
    assert slider.input_value() == "0", "but it does not tear the slider from the hand"
    assert [request["at"][0] for request in kernel.sent] == [2, 0]
    kernel.answer(kernel.sent[1])
    assert "covers 0.0%" in kernel.says()
    assert slider.input_value() == "0"
    assert len(kernel.sent) == 2
    numbers = [request["id"] for request in kernel.sent]
    assert len(set(numbers)) == 2
    assert 0 not in numbers, "0 is a change from Python"
    assert complaints == []


def test_an_answer_to_somebody_else_is_not_taken_for_ones_own(desk: Desk) -> None:
    kernel = Kernel(desk())
    kernel.slide(4)
    (request,) = kernel.sent
    kernel.page.evaluate("frame => answer(frame)", kernel.frame(request["id"] + 1, 2, 0, 0, 0, 0))
    assert "25.0%" in kernel.says()
    kernel.answer(request)
    assert "100.0%" in kernel.says()


def test_a_value_from_python_moves_the_controls(desk: Desk) -> None:
    kernel = Kernel(desk())
    kernel.page.evaluate("frame => answer(frame)", kernel.frame(0, 3, 2, 1, 1, 1))
    assert kernel.page.locator("input[type=range]").evaluate_all("all => all.map(i => +i.value)") == [3, 2, 1]
    assert kernel.page.locator("input:checked").evaluate_all("all => all.map(i => i.value)") == ["1", "on"]
    assert kernel.page.locator("output").all_inner_texts() == ["75%", "10", "2"]
    assert kernel.sent == []


def test_a_value_between_two_positions_is_shown_as_it_is(desk: Desk) -> None:
    kernel = Kernel(desk())
    frame = kernel.first | {"at": [1.4, 0, 0, 0, 0], "shown": ["35%", "1", "1", "plain", "off"]}
    kernel.page.evaluate("frame => answer(frame)", frame)
    slider = kernel.page.locator("input").first
    assert slider.input_value() == "1"
    assert slider.get_attribute("aria-valuetext") == "35%"


def test_an_error_stands_in_place_of_the_sentence_until_the_next_answer(desk: Desk) -> None:
    kernel = Kernel(desk())
    kernel.slide(2)
    failed = {k: v for k, v in kernel.frame(kernel.sent[0]["id"], 2, 0, 0, 0, 0).items() if k not in ("says", "panels")}
    kernel.page.evaluate("frame => answer(frame)", failed | {"error": "ValueError: <no> place"})
    figure = kernel.page.locator("figure.rtx")
    assert kernel.says() == "ValueError: <no> place"
    assert "rtx-failed" in str(figure.get_attribute("class"))
    expect(figure.locator("[role=status]")).to_have_text("ValueError: <no> place")
    kernel.slide(3)
    kernel.answer(kernel.sent[1])
    assert "75.0%" in kernel.says()
    assert "rtx-failed" not in str(figure.get_attribute("class"))
    assert complaints == []


def test_a_silent_kernel_is_told_of_and_a_late_answer_still_counts(desk: Desk) -> None:
    page = desk()
    page.clock.install()
    kernel = Kernel(page)
    kernel.slide(2)
    page.clock.run_for(2000)
    assert "25.0%" in kernel.says()
    page.clock.run_for(2000)
    assert "Waiting for the kernel" in kernel.says()
    kernel.answer(kernel.sent[0])
    assert "50.0%" in kernel.says()
    page.clock.run_for(10_000)
    assert "50.0%" in kernel.says()


def test_play_waits_for_the_kernel(desk: Desk) -> None:
    page = desk()
    page.clock.install()
    kernel = Kernel(page)
    page.get_by_role("button", name="Play step").click()
    page.clock.run_for(1000)
    assert [request["at"][2] for request in kernel.sent] == [1], "no step is left out while the answer is under way"
    for step in (1, 2, 3):
        kernel.answer(kernel.sent[-1])
        assert f"step {step + 1} " in kernel.says()
        page.clock.run_for(150)
    assert [request["at"][2] for request in kernel.sent] == [1, 2, 3]
    page.get_by_role("button", name="Play step").wait_for()


def test_two_views_of_one_widget_show_the_same(desk: Desk) -> None:
    kernel = Kernel(desk())
    kernel.page.evaluate("void view()")
    kernel.slide(4, view=1)
    kernel.answer(kernel.sent[-1])
    assert kernel.says(0) == kernel.says(1)
    assert "100.0%" in kernel.says(0)
    assert kernel.page.locator("figure.rtx").nth(0).locator("input").first.input_value() == "4"


def test_a_view_opened_later_is_answered_too(desk: Desk) -> None:
    """Its first request is not taken for the first one of the view before, which asked for the same."""
    kernel = Kernel(desk())
    kernel.slide(3)
    kernel.answer(kernel.sent[0])
    kernel.page.evaluate("frame => answer(frame)", kernel.frame(0, 0, 0, 0, 0, 0))  # set back from Python
    kernel.page.evaluate("void view()")
    kernel.slide(3, view=1)
    assert [request["at"][0] for request in kernel.sent] == [3, 3]
    kernel.answer(kernel.sent[-1])
    assert "75.0%" in kernel.says(1)


def test_a_closed_view_listens_no_more(desk: Desk) -> None:
    kernel = Kernel(desk())
    assert kernel.page.evaluate("listeners()") == 1
    kernel.page.evaluate("leave()")
    assert kernel.page.evaluate("listeners()") == 0
