"""Serving the built book."""

from __future__ import annotations

import threading
import urllib.request
from pathlib import Path

import pytest

from rectutor.preview import server


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "index.html").write_text("the book", encoding="utf-8")
    return tmp_path


def test_it_serves_on_this_machine_only(folder: Path) -> None:
    with server(folder) as http:
        thread = threading.Thread(target=http.serve_forever)
        thread.start()
        assert http.server_address[0] == "127.0.0.1"
        with urllib.request.urlopen(f"http://127.0.0.1:{http.server_port}/") as answer:
            assert answer.read() == b"the book"
            assert answer.headers["Cache-Control"] == "no-cache"
        http.shutdown()
        thread.join()


def test_a_taken_port_leads_to_the_next(folder: Path) -> None:
    with server(folder) as first, server(folder, first.server_port) as second:
        assert first.server_port < second.server_port < first.server_port + 50


def test_an_unbuilt_book_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"no index\.html in .*; build the book first"):
        server(tmp_path)
