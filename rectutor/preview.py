"""Serve the built book on this machine: ``python -m rectutor.preview _build/html``."""

from __future__ import annotations

import argparse
import errno
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any


class Handler(SimpleHTTPRequestHandler):
    """Files of one folder, never cached (a rebuilt page is seen at once), without a line a request."""

    def end_headers(self) -> None:
        """Add the header that keeps the browser from caching."""
        self.send_header("Cache-Control", "no-cache")
        super().end_headers()

    def log_message(self, format: str, *args: Any) -> None:
        """Say nothing."""


def server(folder: Path, port: int = 0) -> ThreadingHTTPServer:
    """A server of ``folder`` on 127.0.0.1, at ``port`` or the next free one above; 0 takes any.

    Raises:
        ValueError: no built book in ``folder``.
        OSError: no free port among 50.
    """
    if not (folder / "index.html").exists():
        raise ValueError(f"no index.html in {folder}; build the book first: make html")
    for candidate in range(port, port + 50) if port else [0]:
        try:
            return ThreadingHTTPServer(("127.0.0.1", candidate), partial(Handler, directory=str(folder)))
        except OSError as error:
            if error.errno != errno.EADDRINUSE:
                raise
    raise OSError(f"ports {port} to {port + 49} are taken; choose another: make book PORT=...")


def main() -> None:
    """Serve until interrupted, and say where."""
    parser = argparse.ArgumentParser(description="Serve the built book on this machine.")
    parser.add_argument("folder", type=Path, help="the built pages, _build/html")
    parser.add_argument("--port", type=int, default=8000, help="first port to try (default 8000)")
    arguments = parser.parse_args()
    with server(arguments.folder, arguments.port) as http:
        print(f"The book: http://127.0.0.1:{http.server_port}/  (Ctrl+C stops)", flush=True)
        try:
            http.serve_forever()
        except KeyboardInterrupt:
            print()


if __name__ == "__main__":
    main()
