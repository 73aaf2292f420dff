"""Every explorable in a real JupyterLab with a kernel: the same picture as in the book, with finer steps."""

from __future__ import annotations

import itertools
import json
import os
import secrets
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import nbformat
import psutil
import pytest
from nbformat.v4 import new_code_cell, new_notebook
from playwright.sync_api import Browser, Page, Route

from rectutor.widgets import Explorer
from rectutor.widgets.explorer import Continuous, Control
from tests.browser.figures import PUT, READ, whole
from tests.conftest import ROOT, explorables

PATIENCE = 60_000
"""Milliseconds; a busy machine needs long to start a kernel, and no step takes that long when it works."""


def notebook(path: Path) -> None:
    """One cell an explorable, and a last one that says what values the kernel has."""
    cells = [new_code_cell("import json\n\nshown = []")]  # type: ignore[no-untyped-call]
    for thing in explorables():
        source = f"from {thing.__module__} import {thing.__name__}\n\nshown.append({thing.__name__}())\nshown[-1]"
        cells.append(new_code_cell(source))  # type: ignore[no-untyped-call]
    cells.append(new_code_cell("print(json.dumps([one.values for one in shown]))"))  # type: ignore[no-untyped-call]
    book = new_notebook(cells=cells)  # type: ignore[no-untyped-call]
    book.metadata.kernelspec = {"name": "python3", "display_name": "Python 3", "language": "python"}
    nbformat.write(book, path)  # type: ignore[no-untyped-call]


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Address of the notebook in a JupyterLab that knows no settings but its own."""
    home = tmp_path_factory.mktemp("lab")
    for name in ("root", "config", "data", "runtime", "ipython"):
        (home / name).mkdir()
    notebook(home / "root" / "explorables.ipynb")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    token = secrets.token_hex(16)
    ours = ("JUPYTER", "RECTUTOR_STATIC", "PYTEST", "IPYTHON")
    environment = {k: v for k, v in os.environ.items() if not k.startswith(ours)} | {
        "JUPYTER_CONFIG_DIR": str(home / "config"),
        "JUPYTER_DATA_DIR": str(home / "data"),
        "JUPYTER_RUNTIME_DIR": str(home / "runtime"),
        "IPYTHONDIR": str(home / "ipython"),
        "PYTHONPATH": str(ROOT),
    }
    command = [
        str(Path(sys.executable).with_name("jupyter")),
        "lab",
        "--no-browser",
        "--allow-root",
        "--ServerApp.ip=127.0.0.1",
        f"--ServerApp.port={port}",
        "--ServerApp.port_retries=0",
        f"--ServerApp.root_dir={home / 'root'}",
        f"--IdentityProvider.token={token}",
        "--LabApp.news_url=None",
        "--LabApp.check_for_updates_class=jupyterlab.NeverCheckForUpdate",
        "--LabApp.expose_app_in_browser=True",
    ]
    log = (home / "log").open("w+", encoding="utf-8")
    process = subprocess.Popen(command, cwd=home, env=environment, stdout=log, stderr=subprocess.STDOUT)
    try:
        start = time.monotonic()
        while True:
            try:
                urllib.request.urlopen(f"http://127.0.0.1:{port}/api", timeout=5).close()
                break
            except (urllib.error.URLError, ConnectionError, TimeoutError):
                if process.poll() is not None or time.monotonic() - start > PATIENCE / 1000:
                    pytest.fail(f"JupyterLab does not start:\n{(home / 'log').read_text()[-3000:]}", pytrace=False)
                time.sleep(0.2)
        yield f"http://127.0.0.1:{port}/lab/tree/explorables.ipynb?token={token}"
    finally:
        kernels = psutil.Process(process.pid).children(recursive=True) if process.poll() is None else []
        process.terminate()  # it shuts its kernels down
        try:
            process.wait(20)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        for kernel in psutil.wait_procs(kernels, timeout=5)[1]:
            kernel.kill()
        psutil.wait_procs(kernels, timeout=5)
        log.close()


@dataclass
class Lab:
    """The notebook, open in a browser, all of its cells run; what the console said, and who else was asked."""

    page: Page
    complaints: list[str] = field(default_factory=list)
    away: list[str] = field(default_factory=list)

    def values(self) -> list[dict[str, Any]]:
        """The values of all explorables, as a cell of the notebook prints them."""
        outputs = self.page.evaluate("""async () => {
            const { content } = jupyterapp.shell.currentWidget;
            content.activeCellIndex = content.widgets.length - 1;
            await jupyterapp.commands.execute('notebook:run-cell');
            return content.activeCell.model.outputs.toJSON();
        }""")
        return list(json.loads("".join(output["text"] for output in outputs)))


@pytest.fixture(scope="module")
def lab(server: str, browser: Browser) -> Iterator[Lab]:
    """The notebook in Chromium after all cells have run."""
    context = browser.new_context(viewport={"width": 1400, "height": 1000}, reduced_motion="reduce")
    context.set_default_timeout(PATIENCE)
    opened = Lab(context.new_page())

    def guard(route: Route) -> None:
        if route.request.url.startswith((server.split("/lab")[0], "data:", "blob:")):
            route.continue_()
        else:
            opened.away.append(route.request.url)
            route.abort()

    context.route("**/*", guard)
    page = opened.page
    page.on("console", lambda m: opened.complaints.append(m.text) if m.type == "error" else None)
    page.on("pageerror", lambda error: opened.complaints.append(f"{error}\n{error.stack}"))
    page.goto(server)
    page.wait_for_function(
        "() => window.jupyterapp?.shell.currentWidget?.sessionContext?.session?.kernel?.status == 'idle'"
    )
    page.evaluate("jupyterapp.commands.execute('notebook:run-all-cells')")
    page.wait_for_function(
        "count => document.querySelectorAll('figure.rtx svg').length >= count", arg=len(explorables())
    )
    assert page.locator("figure.rtx").count() == len(explorables())
    yield opened
    context.close()


def expected(explorable: type[Explorer], values: dict[str, Any]) -> dict[str, Any]:
    """What has to be seen at some values, computed here."""
    widget = explorable(**values)
    scene = json.loads(json.dumps(widget.compute(**values).encoded()))
    at = [round(c.position(values[n], c.fine)) for n, c in explorable.controls().items()]
    return {"at": at, "says": scene["says"], "panels": whole(scene["panels"])}


@pytest.fixture
def seen(lab: Lab, explorable: type[Explorer]) -> Callable[[dict[str, Any]], None]:
    """Waits until an explorable shows the scene of given values; fails with the difference if it never does."""
    figure = lab.page.locator("figure.rtx").nth(explorables().index(explorable))

    def wait(values: dict[str, Any]) -> None:
        wanted = expected(explorable, values)
        for _ in range(100):
            shown = figure.evaluate(READ)
            if {key: shown[key] for key in wanted} == wanted:
                break
            lab.page.wait_for_timeout(100)
        assert {key: shown[key] for key in wanted} == wanted
        assert shown["labels"] == [wanted["says"]] * len(wanted["panels"])

    return wait


Seen = Callable[[dict[str, Any]], None]


def finest(explorable: type[Explorer]) -> tuple[int, str, Control]:
    """The slider with the most positions."""
    sliders = [
        (n, name, c) for n, (name, c) in enumerate(explorable.controls().items()) if c.kind in ("range", "steps")
    ]
    return max(sliders, key=lambda slider: len(slider[2].fine))


def telling(explorable: type[Explorer]) -> dict[str, Any]:
    """Values from which a drag of the finest slider, from its low end to near the high one, changes what is said."""
    widget = explorable()
    _, name, control = finest(explorable)
    rest = [[widget.values[n], *c.stops] for n, c in explorable.controls().items() if n != name]
    for others in itertools.product(*rest):
        values = dict(zip((n for n in explorable.controls() if n != name), others, strict=True))
        low, high = (widget.compute(**values, **{name: control.fine[at]}) for at in (0, int(0.9 * len(control.fine))))
        if low.says != high.says:
            return {n: (values | {name: control.fine[0]})[n] for n in explorable.controls()}
    raise AssertionError(f"{explorable.__name__}: {name} changes nothing that is said")


def test_it_starts_and_has_finer_steps_than_the_book(lab: Lab, explorable: type[Explorer], seen: Seen) -> None:
    widget = explorable()
    seen(widget.values)
    figure = lab.page.locator("figure.rtx").nth(explorables().index(explorable))
    for n, control in enumerate(explorable.controls().values()):
        inputs = figure.locator(".rtx-control").nth(n).locator("input")
        if control.kind in ("range", "steps"):
            positions = int(str(inputs.get_attribute("max"))) + 1
            assert positions == len(control.fine)
            assert positions > len(control.stops) or not isinstance(control, Continuous)
        else:
            assert inputs.count() == (len(control.stops) if control.kind == "choice" else 1)


def test_at_a_stop_it_shows_the_same_as_the_book(
    lab: Lab, explorable: type[Explorer], seen: Seen, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RECTUTOR_STATIC", "1")
    controls = explorable.controls()
    figure = lab.page.locator("figure.rtx").nth(explorables().index(explorable))
    for stop in (-1, 0):
        values = {name: c.stops[stop] for name, c in controls.items()}
        figure.evaluate(PUT, [c.fine.index(values[name]) for name, c in controls.items()])
        seen(values)


RESTING = """
input => {
  const box = input.getBoundingClientRect(), rests = window.rtxTop === box.top;
  window.rtxTop = box.top;
  return rests && document.elementFromPoint(box.x + 8, box.y + box.height / 2) == input;
}
"""
"""The notebook scrolls, and gives cells their height when they come into sight: a hand waits for it."""


def test_dragging_asks_the_kernel(lab: Lab, explorable: type[Explorer], seen: Seen) -> None:
    """Drawn while the mouse is down, at values between the stops; and the kernel has the value where it was let go."""
    nth = explorables().index(explorable)
    figure = lab.page.locator("figure.rtx").nth(nth)
    at, name, control = finest(explorable)
    values = telling(explorable)
    figure.evaluate(PUT, [c.fine.index(values[n]) for n, c in explorable.controls().items()])
    seen(values)
    before = figure.evaluate(READ)
    slider = figure.locator(".rtx-control").nth(at).locator("input")
    slider.scroll_into_view_if_needed()
    lab.page.wait_for_function(RESTING, arg=slider.element_handle(), polling=200)
    box = slider.bounding_box()
    assert box is not None
    left, width, y, mouse = box["x"] + 8, box["width"] - 16, box["y"] + box["height"] / 2, lab.page.mouse
    mouse.move(left, y)
    mouse.down()
    for step in range(1, 13):
        mouse.move(left + 0.9 * width * step / 12, y)
        lab.page.wait_for_timeout(30)
    lab.page.wait_for_function(  # while the button is still down
        "([e, says]) => e.textContent != says", arg=[figure.locator(".rtx-says").element_handle(), before["says"]]
    )
    mouse.up()
    if isinstance(control, Continuous) and control.fine[int(slider.input_value())] in control.stops:
        slider.press("ArrowLeft")
    values[name] = control.fine[int(slider.input_value())]
    assert (values[name] in control.stops) != isinstance(control, Continuous)
    seen(values)
    after = figure.evaluate(READ)
    assert after["panels"] != before["panels"]
    assert after["says"] != before["says"]
    assert lab.values()[nth] == values


def test_keys_move_the_controls_and_not_the_notebook(lab: Lab, explorable: type[Explorer], seen: Seen) -> None:
    figure = lab.page.locator("figure.rtx").nth(explorables().index(explorable))
    controls = explorable.controls()
    values = {name: c.fine[0] for name, c in controls.items()}
    figure.evaluate(PUT, [0] * len(controls))
    seen(values)
    cells = """() => {
        const { content } = jupyterapp.shell.currentWidget;
        return [content.widgets.length, content.activeCellIndex, content.mode];
    }"""
    figure.locator("input").first.focus()
    before = lab.page.evaluate(cells)
    for n, (name, control) in enumerate(controls.items()):
        inputs = figure.locator(".rtx-control").nth(n).locator("input")
        inputs.first.focus()
        for key in ["Space"] if control.kind == "toggle" else ["ArrowRight", "ArrowLeft", "ArrowUp"]:
            lab.page.keyboard.press(key)
        # Up is more on a slider, and back around from the first of the words to the last.
        values[name] = control.fine[-1 if control.kind == "choice" else 1]
        seen(values)
    assert lab.page.evaluate(cells) == before


def test_a_value_set_in_a_cell_moves_the_slider(lab: Lab, explorable: type[Explorer], seen: Seen) -> None:
    nth = explorables().index(explorable)
    _, name, control = finest(explorable)
    value = control.fine[2]
    if isinstance(control, Continuous):
        value = (control.fine[2] + 2 * control.fine[3]) / 3  # between two positions
    lab.page.evaluate(
        """async code => {
            const { kernel } = jupyterapp.shell.currentWidget.sessionContext.session;
            await kernel.requestExecute({ code }).done;
        }""",
        f"shown[{nth}].{name} = {value!r}",
    )
    values = lab.values()[nth]
    assert values[name] == value
    seen(values)


def test_the_console_is_silent_and_no_other_host_is_asked(lab: Lab) -> None:
    """After all that the tests above have done."""
    assert lab.complaints == []
    assert lab.away == []
