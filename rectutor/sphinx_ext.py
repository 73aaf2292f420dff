"""Sphinx extension of the book: an honest execution cache, no dead scripts, nothing that asks another host."""

from __future__ import annotations

import hashlib
import html
import os
import re
import shutil
from pathlib import Path
from typing import Any

from docutils import nodes
from sphinx.application import Sphinx
from sphinx.config import Config
from sphinx.util.docutils import SphinxDirective

from rectutor.chapter import CSS
from rectutor.classroom.notebooks import Assignment, chapters
from rectutor.widgets.explorer import SCRIPT, STYLE

EXECUTED_FROM = ("rectutor", "datasets", "benchmarks/results", "requirements.txt")
"""What the outputs of a notebook depend on besides its own cells, relative to the root of the project."""

MATHJAX_KEPT = ("tex-chtml.js", "input/tex/extensions", "output/chtml/fonts", "a11y/assistive-mml.js")
"""The part of MathJax that TeX set in web fonts needs; the rest is 20 MB of other formats and languages."""


def setup(app: Sphinx) -> dict[str, Any]:
    """Sphinx calls this when it loads the extension."""
    os.environ["RECTUTOR_STATIC"] = "1"  # the kernels of the build inherit both
    os.environ["TQDM_DISABLE"] = "1"  # progress bars write to stderr, which is an error in the book
    app.connect("config-inited", use_style_sheet)
    app.connect("config-inited", hand_out)
    app.connect("config-inited", drop_stale_outputs)
    app.connect("config-inited", plain_kernels)
    app.connect("html-page-context", drop_thebe, priority=900)
    app.connect("html-page-context", use_explorer_script)
    app.connect("build-finished", prune, priority=900)
    app.add_directive("exercise-notebooks", ExerciseNotebooks)
    return {"parallel_read_safe": True, "parallel_write_safe": True}


def use_style_sheet(app: Sphinx, config: Config) -> None:
    """Serve the style sheets of :mod:`rectutor.chapter` and :mod:`rectutor.widgets`, and the script, with the pages."""
    folder = Path(app.outdir).parent / "explorer"
    folder.mkdir(parents=True, exist_ok=True)
    (folder / SCRIPT.name).write_text(classic(SCRIPT.read_text(encoding="utf-8")), encoding="utf-8")
    config.html_static_path += [str(CSS), str(STYLE), str(folder / SCRIPT.name)]
    for sheet in (CSS, STYLE):
        app.add_css_file(sheet.name)


def classic(module: str) -> str:
    """The renderer of explorables as a classic script that starts all on a page; a file may not load modules."""
    body, marked = re.subn(r"^export default ", "const explorer = ", module, flags=re.M)
    if marked != 1:
        raise ValueError(f"{SCRIPT.name} has {marked} default exports; it must have one, at the start of a line")
    return f"(() => {{\n{body}explorer.startAll();\n}})();\n"


def use_explorer_script(app: Sphinx, page: str, template: str, context: dict[str, Any], doctree: Any) -> None:
    """Load the renderer on the pages that have something to draw."""
    if 'class="rt rtx"' in context.get("body", ""):
        app.add_js_file(SCRIPT.name, loading_method="defer")


def hand_out(app: Sphinx, config: Config) -> None:
    """Serve the students' notebooks of exercises beside the pages."""
    folder = Path(app.outdir).parent / "extra"
    shutil.rmtree(folder, ignore_errors=True)
    for chapter in chapters():
        Assignment.load(chapter).write_student(folder / "exercises")
    if folder.exists():
        config.html_extra_path.append(str(folder))


class ExerciseNotebooks(SphinxDirective):
    """Links to the students' notebooks: of the chapter given as argument, or of all."""

    optional_arguments = 1

    def run(self) -> list[nodes.Node]:
        """One item a notebook: its title, exercises and points."""
        up = "../" * self.env.docname.count("/")
        items = []
        for chapter in self.arguments or chapters():
            assignment = Assignment.load(chapter)
            title = assignment.source.cells[0].source.splitlines()[0].lstrip("# ")
            counted = f"{len(assignment.points)} exercises, {sum(assignment.points.values())} points"
            link = (
                f'<a class="reference download" href="{up}exercises/{chapter}.ipynb" download>{html.escape(title)}</a>'
            )
            items.append(f"<li>{link} ({chapter}.ipynb; {counted})</li>")
        return [nodes.raw("", f'<ul class="rt-notebooks">{"".join(items)}</ul>', format="html")]


def fingerprint(root: Path) -> str:
    """A digest of all files that notebooks compute with."""
    digest = hashlib.sha256()
    for name in EXECUTED_FROM:
        start = root / name
        for path in sorted(start.rglob("*")) if start.is_dir() else [start]:
            if path.is_file() and "__pycache__" not in path.parts:
                digest.update(path.relative_to(root).as_posix().encode() + b"\0")
                digest.update(hashlib.sha256(path.read_bytes()).digest())
    return digest.hexdigest()


def drop_stale_outputs(app: Sphinx, config: Config) -> None:
    """Forget executed notebooks when the library or the data changed: the cache itself looks at cells only."""
    build = Path(app.outdir).parent
    mark, now = build / "executed-from.sha256", fingerprint(Path(app.srcdir))
    if not mark.exists() or mark.read_text(encoding="ascii") != now:
        shutil.rmtree(build / ".jupyter_cache", ignore_errors=True)
        for environment in build.rglob("environment.pickle"):
            environment.unlink()  # read every page again
    mark.parent.mkdir(parents=True, exist_ok=True)
    mark.write_text(now, encoding="ascii")


def plain_kernels(app: Sphinx, config: Config) -> None:
    """Give the kernels of the build a profile of their own: no start-up file of the reader's changes a result."""
    home = Path(app.outdir).parent / ".ipython"
    profile = home / "profile_default"
    profile.mkdir(parents=True, exist_ok=True)
    (profile / "ipython_kernel_config.py").write_text(
        "c = get_config()  # noqa: F821\n"
        "c.HistoryManager.enabled = False\n"
        "c.IPKernelApp.log_level = 40  # below lie remarks about the transport, not about the notebook\n",
        encoding="ascii",
    )
    os.environ["IPYTHONDIR"] = str(home)


def drop_thebe(app: Sphinx, page: str, template: str, context: dict[str, Any], doctree: Any) -> None:
    """Take the live-code scripts out: Jupyter Book adds them, with an error in the console, even where they are off."""
    for key in ("script_files", "css_files"):
        context[key] = [f for f in context.get(key, []) if "thebe" not in f"{f}{getattr(f, 'attributes', '')}"]


def prune(app: Sphinx, error: Exception | None) -> None:
    """Remove what no page uses: most of MathJax, thebe, and pages that left the table of contents."""
    if error is not None or app.builder.format != "html":
        return
    out = Path(app.outdir)
    mathjax = out / "_static" / "mathjax"
    for path in sorted(mathjax.rglob("*")):
        if path.is_file() and not path.relative_to(mathjax).as_posix().startswith(MATHJAX_KEPT):
            path.unlink()
    for path in sorted(mathjax.rglob("*"), reverse=True):
        if path.is_dir() and not any(path.iterdir()):
            path.rmdir()
    for path in (out / "_static").glob("*thebe*"):
        path.unlink()
    for path in (out / "book").rglob("*.html"):
        if path.relative_to(out).with_suffix("").as_posix() not in app.env.found_docs:
            path.unlink()
