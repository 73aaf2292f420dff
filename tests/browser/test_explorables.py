"""Every explorable of the built book in a real browser, with no network: found on the pages, not named here."""

from __future__ import annotations

import json
import re
import statistics
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

import pytest
from playwright.sync_api import Page

from rectutor.widgets import Explorer
from tests.browser.figures import READ, SETTLE, Hand, figures, hands, whole
from tests.browser.test_reading import CONTRAST
from tests.conftest import MOVING, PAGES

if TYPE_CHECKING:
    from tests.browser.conftest import Visit
    from tests.conftest import Site

    Start = Callable[..., Visit]
    Find = Callable[[str, int], list[Hand]]

WIDTHS = pytest.mark.parametrize("width", [1400, 390])


def opened(tab: Visit, site: Site, page: str) -> list[Hand]:
    """A hand for every explorable of a page of the book, which is opened."""
    tab.open(f"{page}.html")
    return hands(tab.page, site.file(page))


def silent(tab: Visit) -> None:
    """Fails if the console complained or another host was asked since the last time."""
    complaints, away = tab.complaints[:], tab.away[:]
    tab.complaints.clear()
    tab.away.clear()
    assert complaints == []
    assert away == []


AT_REST = """
() => {
  const now = [scrollY, ...[...document.querySelectorAll('figure.rtx svg')].map(svg => svg.innerHTML)].join();
  const rests = now == window.drawnBefore;
  window.drawnBefore = now;
  return rests;
}
"""
"""Whether the drawings are what and where they were a frame ago."""


@pytest.fixture
def reader(kept: Callable[[str, int], Visit], site: Site) -> Iterator[Callable[[str, int], list[Hand]]]:
    """A hand for every explorable of a page that stays open; afterwards, all are as they were at first."""
    used: list[tuple[Visit, list[Hand]]] = []

    def find(page: str, width: int) -> list[Hand]:
        tab = kept(page, width)
        tab.page.wait_for_function(AT_REST)  # the last test may have moved them back just now
        used.append((tab, hands(tab.page, site.file(page))))
        return used[-1][1]

    yield find
    for tab, all_hands in used:
        tab.page.mouse.move(1, 1)
        for hand in all_hands:
            hand.put(hand.figure.start)
        silent(tab)


# -- where they are --------------------------------------------------------------------------------------------
def test_they_are_on_the_pages_whose_notebooks_use_them(site: Site) -> None:
    """So that the tests below miss no page; and no other page loads the script."""
    found = [page for page in PAGES if "data-explorer=" in site.file(page).read_text(encoding="utf-8")]
    assert set(found) == set(MOVING)
    assert found, "no page has an explorable"
    for page in PAGES:
        text = site.file(page).read_text(encoding="utf-8")
        assert len(figures(site.file(page))) == text.count("data-explorer=")
        assert len(re.findall(r"<script[^>]*explorer\.js", text)) == (page in MOVING)


def test_pages_hold_the_scenes_of_the_library(site: Site, explorable: type[Explorer]) -> None:
    """The tables were computed when the book was built, or come from a cache: they are what the library says now."""
    mine = [f for page in MOVING for f in figures(site.file(page)) if f.name == explorable.__name__]
    assert mine, f"no page shows {explorable.__name__}"
    controls = explorable.controls()
    widget = explorable()
    for figure in mine:
        assert figure.counts == tuple(len(c.stops) for c in controls.values())
        for at in [*figure.extremes(), *list(figure.states())[1:25]]:
            values = {name: c.stops[n] for (name, c), n in zip(controls.items(), at, strict=True)}
            scene = json.loads(json.dumps(widget.compute(**values).encoded()))
            assert figure.scene(at) == {"says": scene["says"], "panels": whole(scene["panels"])}, values


# -- starting --------------------------------------------------------------------------------------------------
WATCH = """
new MutationObserver(() => {
  const all = [...document.querySelectorAll('figure.rtx')];
  if (!all.length || !all.every(f => f.querySelector('input'))) window.rtxReady = undefined;
  else window.rtxReady ??= performance.now();
}).observe(document, { childList: true, subtree: true });
"""


@WIDTHS
def test_it_starts_at_once_and_shows_the_first_scene(visit: Start, site: Site, moving: str, width: int) -> None:
    tab = visit(width)
    tab.page.add_init_script(WATCH)
    for hand in opened(tab, site, moving):
        hand.shows(hand.figure.start)
        assert hand.root.locator(".rtx-still").count() == 0
        assert hand.root.locator(".rtx-title").inner_text() == hand.figure.spec["title"]
        assert hand.root.locator(".rtx-question").inner_text() == hand.figure.spec["question"]
        assert hand.root.locator(".rtx-control").count() == len(hand.figure.controls)
        assert hand.root.locator("[role=status]").text_content() == "", "nothing has happened that is to be said"
    late = tab.page.evaluate("rtxReady - performance.getEntriesByType('navigation')[0].loadEventStart")
    assert late < 1000, f"{late:.0f} ms after the page was loaded"
    silent(tab)


# -- moving ----------------------------------------------------------------------------------------------------
def changed(hand: Hand, control: int, move: Callable[[int, int], None], far: bool) -> None:
    """Move one control where that changes something, and see that everything follows."""
    at, to = hand.figure.telling(control, far)
    hand.put(at)
    hand.shows(at)
    before = hand.read()
    move(control, to[control])
    hand.shows(to)
    after = hand.read()
    assert after["panels"] != before["panels"]
    assert after["says"] != before["says"]
    assert after["labels"] != before["labels"]
    if before["shown"][control] is not None:
        assert after["shown"][control] != before["shown"][control]


@WIDTHS
def test_the_mouse_drags_every_control(reader: Find, moving: str, width: int) -> None:
    for hand in reader(moving, width):
        for control in range(len(hand.figure.controls)):
            changed(hand, control, hand.drag, far=True)


@WIDTHS
def test_the_keyboard_moves_every_control(reader: Find, moving: str, width: int) -> None:
    for hand in reader(moving, width):
        for control in range(len(hand.figure.controls)):
            changed(hand, control, hand.press, far=False)


def test_every_control_is_reached_by_the_tabulator(reader: Find, moving: str) -> None:
    active = """figure => {
        const e = document.activeElement;
        return figure.contains(e) ? e.dataset.name ?? e.tagName : null;
    }"""
    for hand in reader(moving, 1400):
        reached = []
        hand.inputs(0).first.focus()
        while (name := hand.root.evaluate(active)) is not None:
            reached.append(name)
            hand.page.keyboard.press("Tab")
        expected = []
        for control in hand.figure.controls:
            expected += [control["name"]] + ["BUTTON"] * (control["kind"] == "steps")
        drawings = hand.root.locator("svg:has([data-tip])").count()
        assert reached == expected + ["svg"] * drawings


def test_a_finger_drags_and_taps_on_a_phone(visit: Start, site: Site, moving: str) -> None:
    tab = visit(390, has_touch=True, is_mobile=True)
    touch = tab.page.context.new_cdp_session(tab.page)

    def drag(control: int, stop: int) -> None:
        (x0, y), (x1, _) = hand.place(control, int(hand.inputs(control).input_value())), hand.place(control, stop)
        touch.send("Input.dispatchTouchEvent", {"type": "touchStart", "touchPoints": [{"x": x0, "y": y}]})
        for part in (0.1, 0.3, 0.6, 0.9, 1.0):
            point = {"x": x0 + part * (x1 - x0), "y": y}
            touch.send("Input.dispatchTouchEvent", {"type": "touchMove", "touchPoints": [point]})
        touch.send("Input.dispatchTouchEvent", {"type": "touchEnd", "touchPoints": []})

    def tap(control: int, stop: int) -> None:
        if hand.figure.controls[control]["kind"] in ("range", "steps"):
            tab.page.touchscreen.tap(*hand.place(control, stop))
        else:
            hand.inputs(control).nth(stop if hand.figure.controls[control]["kind"] == "choice" else 0).tap()

    for hand in opened(tab, site, moving):
        for control, spec in enumerate(hand.figure.controls):
            changed(hand, control, tap, far=True)
            if spec["kind"] in ("range", "steps"):
                changed(hand, control, drag, far=True)
        hand.root.locator(".rtx-panels").scroll_into_view_if_needed()
        for x, y, text in hand.root.evaluate(POINTS)[:1]:  # and a mark says what it is
            tab.page.touchscreen.tap(x, y)
            assert bubble(hand) == text
    silent(tab)


def test_play_runs_to_the_end_and_stops(reader: Find, moving: str) -> None:
    for hand in reader(moving, 1400):
        steps = [n for n, control in enumerate(hand.figure.controls) if control["kind"] == "steps"]
        assert hand.root.locator("button").count() == len(steps)
        for control in steps:
            button = hand.root.locator(".rtx-control").nth(control).locator("button")
            last = hand.figure.counts[control] - 1
            near = (*hand.figure.start[:control], last - 2, *hand.figure.start[control + 1 :])
            end = (*near[:control], last, *near[control + 1 :])
            pause = 1000 * hand.figure.controls[control]["seconds"]
            hand.put(near)
            name = button.get_attribute("aria-label")
            button.click()
            assert button.get_attribute("aria-label") != name
            hand.page.wait_for_function(
                "([input, last]) => +input.value == last", arg=[hand.inputs(control).element_handle(), last]
            )
            hand.shows(end)
            assert button.get_attribute("aria-label") == name
            hand.page.wait_for_timeout(2 * pause)
            hand.shows(end)
            button.click()  # from the end, it starts over
            assert hand.read()["at"][control] < last
            button.click()  # and pauses where it is
            now = hand.read()["at"]
            hand.page.wait_for_timeout(2 * pause)
            assert hand.read()["at"] == now
            assert button.get_attribute("aria-label") == name


def test_a_change_is_said_aloud(reader: Find, moving: str) -> None:
    """A live region holds the new sentence when the reader rests."""
    for hand in reader(moving, 1400):
        at, to = hand.figure.telling(0, far=True)
        hand.put(at)
        hand.press(0, to[0])
        says = hand.figure.scene(to)["says"]
        aloud = hand.root.locator("[role=status]").element_handle()
        hand.page.wait_for_function("([e, says]) => e.textContent == says", arg=[aloud, says])


# -- while dragging --------------------------------------------------------------------------------------------
FRAMES = """
figure => {
  const read = READ, log = window.rtxLog = [];
  const { signal } = window.rtxStop = new AbortController();
  let start = 0;
  window.addEventListener('input', () => { start = performance.now(); }, { capture: true, signal });
  window.addEventListener('input', () => {
    for (const svg of figure.querySelectorAll('svg')) svg.getBoundingClientRect(); // the layout, too
    const spent = performance.now() - start;
    requestAnimationFrame(() => log.push({ spent, seen: read(figure) }));
  }, { signal });
}
""".replace("READ", f"({READ.strip()})")


def test_dragging_draws_within_one_animation_frame(reader: Find, moving: str) -> None:
    """In the frame that follows an event of a drag, what is drawn is the scene of where the slider is then."""
    for hand in reader(moving, 1400):
        sliders = [n for n, c in enumerate(hand.figure.controls) if c["kind"] in ("range", "steps")]
        control = max(sliders, key=lambda n: hand.figure.counts[n])
        hand.put((*hand.figure.start[:control], 0, *hand.figure.start[control + 1 :]))
        hand.root.evaluate(FRAMES)
        for stop in (hand.figure.counts[control] - 1, 0):
            hand.drag(control, stop, steps=24)
        hand.page.evaluate("new Promise(done => requestAnimationFrame(() => requestAnimationFrame(done)))")
        log = hand.page.evaluate("rtxStop.abort(), rtxLog")
        assert len(log) >= min(2 * (hand.figure.counts[control] - 1), 20)
        for entry in log:
            scene = hand.figure.scene(tuple(entry["seen"]["at"]))
            assert entry["seen"]["panels"] == scene["panels"], hand.figure.name
            assert entry["seen"]["says"] == scene["says"]
        assert statistics.median(entry["spent"] for entry in log) < 16


NUMBERS = re.compile(r"-?\d+\.?\d*")


def between(now: str, one: str, other: str) -> bool:
    """Whether some number of an attribute lies strictly between what it was and what it will be."""
    triples = zip(*(map(float, NUMBERS.findall(text)) for text in (now, one, other)), strict=False)
    return any(min(a, b) < x < max(a, b) for x, a, b in triples)


def test_marks_move_to_their_places_and_arrive_exactly(visit: Start, site: Site, moving: str) -> None:
    """With motion allowed, and the clock of the animation turned by hand."""
    tab = visit(1400, reduced_motion="no-preference")
    for hand in opened(tab, site, moving):
        slider = next(n for n, c in enumerate(hand.figure.controls) if c["kind"] in ("range", "steps"))
        at, to = hand.figure.telling(slider, far=False)
        hand.put(at)
        tab.page.evaluate(SETTLE)
        tab.page.evaluate("""() => {
            const queue = [];
            window.rtxFrame ??= window.requestAnimationFrame;
            window.requestAnimationFrame = f => queue.push(f);
            window.turn = now => queue.splice(0).forEach(f => f(now));
        }""")
        hand.press(slider, to[slider])
        tab.page.evaluate("turn(1000)")
        tab.page.evaluate("turn(1050)")
        one, other = (
            {(n, mark[1]): mark[2] for n, panel in enumerate(hand.figure.scene(s)["panels"]) for mark in panel["marks"]}
            for s in (at, to)
        )
        seen = {(n, m[1]): m[2] for n, panel in enumerate(hand.read()["panels"]) for m in panel["marks"]}
        assert set(seen) == set(other)
        moved = [
            (key, name)
            for key in seen.keys() & one.keys()
            for name in seen[key].keys() & one[key].keys()
            if between(seen[key][name], one[key][name], other[key][name])
        ]
        assert moved, f"{hand.figure.name}: nothing is on its way"
        tab.page.evaluate("turn(2000)")
        hand.shows(to)
        tab.page.evaluate("() => { window.requestAnimationFrame = rtxFrame; }")
    silent(tab)


# -- pointing --------------------------------------------------------------------------------------------------
POINTS = """
figure => [...figure.querySelectorAll('svg [data-tip]')].map(e => {
  const p = e.tagName == 'path' ? e.getPointAtLength(e.getTotalLength() / 4).matrixTransform(e.getScreenCTM()) : null;
  const b = e.getBoundingClientRect(), x = p ? p.x : b.x + b.width / 2, y = p ? p.y : b.y + b.height / 2;
  return document.elementFromPoint(x, y) == e ? [x, y, e.dataset.tip] : null;
}).filter(Boolean)
"""


BLANK = """
svg => {
  const b = svg.getBoundingClientRect();
  for (let y = b.top + 3; y < b.bottom; y += 7) for (let x = b.left + 3; x < b.right; x += 7)
    if (document.elementFromPoint(x, y) == svg) return [x, y];
}
"""


def bubble(hand: Hand) -> str | None:
    """What the tip says; None when there is none."""
    tip = hand.root.locator(".rtx-tip")
    return tip.inner_text() if tip.is_visible() else None


@WIDTHS
def test_pointing_at_a_mark_says_what_it_is(reader: Find, moving: str, width: int) -> None:
    for hand in reader(moving, width):
        hand.root.locator(".rtx-panels").scroll_into_view_if_needed()
        hand.page.wait_for_function(AT_REST)
        tips = hand.root.evaluate(POINTS)
        assert tips or not hand.root.locator("svg [data-tip]").count(), f"{hand.figure.name}: no tip can be reached"
        for x, y, text in tips[:: max(1, len(tips) // 6)]:
            hand.page.mouse.move(x, y)
            assert bubble(hand) == text
            place, around = hand.root.locator(".rtx-tip").bounding_box(), hand.root.bounding_box()
            assert place is not None
            assert around is not None
            assert around["x"] <= place["x"]
            assert place["x"] + place["width"] <= around["x"] + around["width"]
            assert not (place["x"] < x < place["x"] + place["width"] and place["y"] < y < place["y"] + place["height"])
        for away in ([1, 1], hand.root.locator("svg").first.evaluate(BLANK)):
            if tips:
                hand.page.mouse.move(*tips[0][:2])
                assert bubble(hand) == tips[0][2]
            hand.page.mouse.move(*away)
            assert bubble(hand) is None


def test_arrow_keys_walk_from_tip_to_tip(reader: Find, moving: str) -> None:
    for hand in reader(moving, 1400):
        for drawing in hand.root.locator("svg").all():
            texts = drawing.evaluate("svg => [...svg.querySelectorAll('[data-tip]')].map(e => e.dataset.tip)")
            assert (drawing.get_attribute("tabindex") == "0") == bool(texts)
            if not texts:
                continue
            drawing.focus()
            for text in texts[:6]:
                hand.page.keyboard.press("ArrowRight")
                assert bubble(hand) == text
            for text in [*texts[:6][-2::-1], texts[-1]]:  # back again, and from the first to the last
                hand.page.keyboard.press("ArrowLeft")
                assert bubble(hand) == text
            aloud = hand.root.locator("[role=status]").element_handle()
            hand.page.wait_for_function("([e, text]) => e.textContent == text", arg=[aloud, texts[-1]])
            hand.page.keyboard.press("ArrowRight")
            assert bubble(hand) == texts[0]
            hand.page.keyboard.press("Escape")
            assert bubble(hand) is None


# -- reading ---------------------------------------------------------------------------------------------------
TEXTS = """
figure => [...figure.querySelectorAll('svg')].map(svg => {
  const all = svg.getBoundingClientRect(), k = all.width / svg.viewBox.baseVal.width;
  return [...svg.querySelectorAll('text')].filter(t => t.textContent).map(t => {
    const b = t.getBoundingClientRect(), size = k * parseFloat(getComputedStyle(t).fontSize);
    const base = all.y + k * t.getAttribute('y'); // letters stand on it; the box of the text is the font's, and higher
    const [top, bottom] = [base - .75 * size, base + .2 * size];
    return { text: t.textContent, size, left: b.left, right: b.right, top, bottom };
  });
})
"""


@WIDTHS
def test_words_overlap_nowhere_and_stay_inside(reader: Find, moving: str, width: int) -> None:
    """In the fonts of this machine, at both ends of everything; and on a phone no smaller than one can read."""
    for hand in reader(moving, width):
        frame = hand.root.bounding_box()
        assert frame is not None
        assert frame["x"] >= 0
        assert frame["x"] + frame["width"] <= width
        for at in hand.figure.extremes():
            hand.put(at)
            for panel in hand.root.evaluate(TEXTS):
                for n, one in enumerate(panel):
                    where = f"{hand.figure.name} at {at}: {one['text']}"
                    assert one["left"] >= frame["x"] - 1, where
                    assert one["right"] <= frame["x"] + frame["width"] + 1, where
                    assert one["size"] >= 10.5, where
                    for other in panel[:n]:
                        across = min(one["right"], other["right"]) - max(one["left"], other["left"])
                        down = min(one["bottom"], other["bottom"]) - max(one["top"], other["top"])
                        assert across <= 1 or down <= 1, f"{where} overlaps {other['text']}"
        around = hand.root.locator("p, span, output, figcaption")
        sizes = around.evaluate_all("all => all.map(e => parseFloat(getComputedStyle(e).fontSize))")
        assert min(sizes) >= 10.5
        assert hand.page.evaluate("document.documentElement.scrollWidth") <= width


INKS = """
figure => {
  const light = c => { const [r, g, b] = c.match(/[\\d.]+/g).map(v => (v /= 255) <= .04045 ? v / 12.92 : ((v + .055) / 1.055) ** 2.4);
                       return .2126 * r + .7152 * g + .0722 * b; };
  const found = [];
  let paper = figure;
  while (paper.parentElement && /, 0\\)$/.test(getComputedStyle(paper).backgroundColor)) paper = paper.parentElement;
  for (const text of figure.querySelectorAll('svg text')) {
    const b = text.getBoundingClientRect(), x = b.x + b.width / 2, y = b.y + b.height / 2;
    let under = getComputedStyle(paper).backgroundColor;
    for (let e = text.parentElement.firstChild; e != text; e = e.nextSibling) {
      const a = e.getBoundingClientRect(), style = getComputedStyle(e);
      if (e.tagName == 'rect' && style.fill != 'none' && style.opacity == 1 && a.left <= x && x <= a.right && a.top <= y && y <= a.bottom)
        under = style.fill;
    }
    const [p, q] = [light(getComputedStyle(text).fill), light(under)].sort((p, q) => q - p);
    found.push([(p + .05) / (q + .05), text.textContent]);
  }
  return found;
}
"""  # noqa: E501


def test_words_stand_out_on_light_and_dark_pages(reader: Find, moving: str) -> None:
    fills = """figure => [...figure.querySelectorAll('svg *')].map(e => {
        const style = getComputedStyle(e);
        return style.fill + style.stroke;
    })"""
    seen = {}
    for theme in ("dark", "light"):
        for hand in reader(moving, 1400):
            hand.page.evaluate("theme => { document.documentElement.dataset.theme = theme; }", theme)
            for at in hand.figure.extremes():
                hand.put(at)
                inks = hand.root.evaluate(INKS)
                assert inks
                assert [(round(ratio, 2), text) for ratio, text in inks if ratio < 4.5] == [], (hand.figure.name, at)
            selector = "figure.rtx p, figure.rtx span, figure.rtx output, figure.rtx figcaption"
            around = hand.page.evaluate(CONTRAST, selector)
            assert len(around) >= 4
            assert [(round(ratio, 2), what) for ratio, what in around if ratio < 4.5] == []
            seen[theme, hand.figure.n] = hand.root.evaluate(fills)
    for hand in reader(moving, 1400):
        assert seen["dark", hand.figure.n] != seen["light", hand.figure.n]


# -- elsewhere -------------------------------------------------------------------------------------------------
def test_it_works_from_a_folder(visit: Start, site: Site, moving: str) -> None:
    tab = visit(1400)
    tab.page.goto(site.file(moving).as_uri(), wait_until="load")
    for hand in hands(tab.page, site.file(moving)):
        hand.shows(hand.figure.start)
        changed(hand, 0, hand.press, far=False)
    assert tab.away == []


@WIDTHS
def test_without_scripts_the_first_picture_and_its_sentence_are_there(
    visit: Start, site: Site, moving: str, width: int
) -> None:
    tab = visit(width, java_script_enabled=False)
    tab.page.goto(f"{tab.home}/{moving}.html", wait_until="load")
    for figure in figures(site.file(moving)):
        root = tab.page.locator("figure.rtx").nth(figure.n)
        scene = figure.scene(figure.start)
        for n, panel in enumerate(scene["panels"]):
            drawing = root.locator("svg").nth(n)
            assert drawing.is_visible()
            assert drawing.get_attribute("aria-label") == scene["says"]
            assert drawing.locator("> *").count() == len(panel["marks"])
            box = drawing.bounding_box()
            assert box is not None
            assert box["x"] >= 0
            assert box["x"] + box["width"] <= width
        assert root.locator(".rtx-says").inner_text() == scene["says"]
        assert root.locator(".rtx-says").is_visible()
        assert "the controls need JavaScript" in root.locator(".rtx-still").inner_text()
        assert root.locator("input").count() == 0
    silent(tab)


def visible(page: Page, selector: str) -> list[bool]:
    """Whether each such part of an explorable is seen."""
    every = page.locator(f"figure.rtx :is({selector})")
    return list(every.evaluate_all("all => all.map(e => e.checkVisibility())"))


def test_print_shows_the_picture_of_the_moment_without_the_controls(visit: Start, site: Site, moving: str) -> None:
    tab = visit(1400)
    moved = [(hand, hand.figure.telling(0, far=True)[1]) for hand in opened(tab, site, moving)]
    for hand, to in moved:
        hand.put(to)
    assert all(visible(tab.page, "input"))
    tab.page.emulate_media(media="print")
    assert not any(visible(tab.page, "input, button"))
    assert all(visible(tab.page, "svg, .rtx-says, .rtx-title"))
    assert all(visible(tab.page, "output"))  # paper says at which values
    for hand, to in moved:
        hand.shows(to)
        for control, spec in enumerate(hand.figure.controls):
            box = hand.root.locator(".rtx-control").nth(control)
            if spec["kind"] == "choice":  # of the words that were to choose from, the chosen one is left
                left = [label.inner_text() for label in box.locator("label").all() if label.is_visible()]
                assert left == [spec["shown"][to[control]]]
            if spec["kind"] == "toggle":
                assert box.is_visible() == bool(to[control])
