"""Take the picture in the README: a page of the built book, light, at the width of a laptop.

python tests/browser/picture.py book/_static/page.png [page, default the index]
"""

from __future__ import annotations

import io
import sys
import threading
from pathlib import Path

from PIL import Image
from playwright.sync_api import sync_playwright

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))

from rectutor.preview import server  # noqa: E402
from tests.browser import chromium  # noqa: E402


def main() -> int:
    target, page = Path(sys.argv[1]), sys.argv[2] if len(sys.argv) > 2 else "book/index"
    with server(ROOT / "_build" / "html") as http, sync_playwright() as playwright:
        threading.Thread(target=http.serve_forever, daemon=True).start()
        browser = playwright.chromium.launch(executable_path=chromium.find(), args=chromium.FLAGS)
        tab = browser.new_page(viewport={"width": 1280, "height": 900}, device_scale_factor=1.5)
        tab.goto(f"http://127.0.0.1:{http.server_port}/{page}.html")
        tab.wait_for_timeout(1500)
        figure = tab.locator(".rt-figure").first
        if page == "book/index":  # the map with the words that lead to it
            tab.locator("#the-map").scroll_into_view_if_needed()
            tab.evaluate("document.querySelector('#the-map').scrollIntoView()")
            tab.evaluate("window.scrollBy(0, -60)")
        elif figure.count():
            tab.evaluate("window.scrollTo(0, 0)")
        tab.wait_for_timeout(300)
        shot = Image.open(io.BytesIO(tab.screenshot()))
        browser.close()
        http.shutdown()
    # 128 colours are enough for a page of text, and keep the repository small.
    shot.convert("RGB").quantize(128).save(target, optimize=True)
    print(f"{target}: {shot.width} x {shot.height}, {target.stat().st_size / 1024:.0f} kB")
    return 0


if __name__ == "__main__":
    sys.exit(main())
