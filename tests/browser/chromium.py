"""Find the Chromium that the browser tests drive; as a script, say where it is or fail."""

from __future__ import annotations

import os
import shutil
import sys
from pathlib import Path

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
FLAGS = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]


def find() -> str | None:
    """Path of an installed Chromium: on PATH, else the one that playwright installed."""
    for name in NAMES:
        if path := shutil.which(name):
            return path
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        own = playwright.chromium.executable_path
    return own if Path(own).exists() and os.access(own, os.X_OK) else None


if __name__ == "__main__":
    found = find()
    print(f"browser: {found}" if found else "no Chromium on PATH and none installed by playwright", file=sys.stderr)
    sys.exit(0 if found else 1)
