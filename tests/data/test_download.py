"""Downloads from a server of our own on this machine; nothing here leaves it."""

from __future__ import annotations

import contextlib
import errno
import gzip
import hashlib
import io
import json
import socket
import threading
import zipfile
from collections.abc import Iterator
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from rectutor.data import DataSet, DownloadError, MovieLens, Remote, available, cache_dir, find, get, load, public
from rectutor.data.download import fetch, unpack


class Server:
    """Serves byte strings by path, with ranges; notes each request and can misbehave."""

    def __init__(self) -> None:
        self.files: dict[str, bytes] = {}
        self.requests: list[tuple[str, str | None]] = []  # path, Range header
        self.cut_after: int | None = None  # bytes of a body after which the connection is dropped
        self.announces_length = True
        self.ranges = True
        self.etag = '"v1"'
        self.stall = threading.Event()  # set unless a body is to stop without an end
        self.stall.set()
        server = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                server.answer(self)

            def log_message(self, *arguments: Any) -> None:
                pass

        self.http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.base = f"http://127.0.0.1:{self.http.server_port}"

    def answer(self, handler: BaseHTTPRequestHandler) -> None:
        wanted = handler.headers.get("Range")
        self.requests.append((handler.path, wanted))
        body = self.files.get(handler.path)
        if body is None:
            handler.send_error(404)
            return
        start = 0
        fresh = handler.headers.get("If-Range") in (None, self.etag)
        if wanted and self.ranges and fresh:
            start = int(wanted.removeprefix("bytes=").removesuffix("-"))
            if start >= len(body):
                handler.send_response(416)
                handler.send_header("Content-Range", f"bytes */{len(body)}")
                handler.send_header("Content-Length", "0")
                handler.end_headers()
                return
            handler.send_response(206)
            handler.send_header("Content-Range", f"bytes {start}-{len(body) - 1}/{len(body)}")
        else:
            handler.send_response(200)
        if self.etag:
            handler.send_header("ETag", self.etag)
        if self.announces_length:
            handler.send_header("Content-Length", str(len(body) - start))
        handler.end_headers()
        part = body[start:]
        with contextlib.suppress(ConnectionError):
            handler.wfile.write(part if self.cut_after is None else part[: self.cut_after])
            handler.wfile.flush()
        self.stall.wait(10)
        handler.close_connection = True


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    server = Server()
    thread = threading.Thread(target=server.http.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
    thread.start()
    yield server
    server.stall.set()
    server.http.shutdown()
    server.http.server_close()
    thread.join()


BODY = np.random.default_rng(0).bytes(300_000)
MD5 = f"md5:{hashlib.md5(BODY).hexdigest()}"


def remote(server: Server, **changes: Any) -> Remote:
    server.files["/file.bin"] = BODY
    return replace(Remote(f"{server.base}/file.bin", "file.bin", len(BODY), MD5, origin="the test"), **changes)


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


# -- one file --------------------------------------------------------------------------------------
def test_a_file_arrives_whole_and_once(server: Server, tmp_path: Path) -> None:
    assert fetch(remote(server), tmp_path).read_bytes() == BODY
    assert names(tmp_path) == ["file.bin"]
    fetch(remote(server), tmp_path)
    assert len(server.requests) == 1


def test_a_cut_download_says_so_and_is_resumed(server: Server, tmp_path: Path) -> None:
    server.cut_after = 100_000
    for got in (100_000, 200_000):
        message = rf"file\.bin was cut off after {got:,} of 300,000 bytes; call again to resume from there"
        with pytest.raises(DownloadError, match=message):
            fetch(remote(server), tmp_path)
        assert names(tmp_path) == ["file.bin.part", "file.bin.part.tag"]
        assert (tmp_path / "file.bin.part").read_bytes() == BODY[:got]
    server.cut_after = None
    assert fetch(remote(server), tmp_path).read_bytes() == BODY
    assert [wanted for _, wanted in server.requests] == [None, "bytes=100000-", "bytes=200000-"]
    assert names(tmp_path) == ["file.bin"]


def test_a_connection_that_dies_keeps_what_came(
    server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("rectutor.data.download._TIMEOUT", 0.3)
    server.cut_after = 1_000
    server.stall.clear()
    message = r"the connection to .*file\.bin broke after 1,000 of 300,000 bytes \(timed out\); call again to resume"
    with pytest.raises(DownloadError, match=message):
        fetch(remote(server), tmp_path)
    server.cut_after = None
    server.stall.set()
    assert fetch(remote(server), tmp_path).read_bytes() == BODY
    assert server.requests[-1] == ("/file.bin", "bytes=1000-")


def test_a_part_that_only_misses_its_name_is_kept(server: Server, tmp_path: Path) -> None:
    (tmp_path / "file.bin.part").write_bytes(BODY)
    (tmp_path / "file.bin.part.tag").write_text('"v1"')
    assert fetch(remote(server), tmp_path).read_bytes() == BODY
    assert server.requests == [("/file.bin", "bytes=300000-")]


def test_a_part_longer_than_the_file_starts_anew(server: Server, tmp_path: Path) -> None:
    (tmp_path / "file.bin.part").write_bytes(BODY + b"more")
    (tmp_path / "file.bin.part.tag").write_text('"v1"')
    with pytest.raises(DownloadError, match=r"has changed since .*file\.bin\.part was begun; call again to start anew"):
        fetch(remote(server), tmp_path)
    assert fetch(remote(server), tmp_path).read_bytes() == BODY


def test_a_part_of_another_version_starts_anew(server: Server, tmp_path: Path) -> None:
    (tmp_path / "file.bin.part").write_bytes(b"old" * 1000)
    (tmp_path / "file.bin.part.tag").write_text('"v0"')
    assert fetch(remote(server), tmp_path).read_bytes() == BODY


@pytest.mark.parametrize("lacking", ["ranges", "etag"])
def test_servers_that_cannot_resume(server: Server, tmp_path: Path, lacking: str) -> None:
    setattr(server, lacking, False if lacking == "ranges" else "")
    server.cut_after = 100_000
    with pytest.raises(DownloadError, match="cut off"):
        fetch(remote(server), tmp_path)
    server.cut_after = None
    assert fetch(remote(server), tmp_path).read_bytes() == BODY


def test_a_short_answer_without_a_length_is_noticed(server: Server, tmp_path: Path) -> None:
    server.announces_length = False
    server.cut_after = 10
    with pytest.raises(DownloadError, match="was cut off after 10 of 300,000 bytes"):
        fetch(remote(server), tmp_path)
    with pytest.raises(DownloadError, match="its md5 is"):
        fetch(remote(server, size=None), tmp_path / "unknown size")
    assert names(tmp_path / "unknown size") == []


def test_a_wrong_checksum_leaves_nothing(server: Server, tmp_path: Path) -> None:
    bad = "md5:" + "0" * 32
    message = rf"its md5 is {MD5[4:]}, not {bad[4:]} as the test says\. It has been deleted; call again, and if"
    with pytest.raises(DownloadError, match=message):
        fetch(remote(server, checksum=bad), tmp_path)
    assert names(tmp_path) == []


def test_a_file_put_there_by_hand_is_checked_too(server: Server, tmp_path: Path) -> None:
    (tmp_path / "file.bin").write_bytes(BODY[:-1])
    with pytest.raises(DownloadError, match="its md5 is"):
        fetch(remote(server), tmp_path)
    assert server.requests == []


def test_without_a_checksum_size_and_archive_are_tested(server: Server, tmp_path: Path) -> None:
    with pytest.raises(DownloadError, match="it has 300,000 bytes, not 300,001"):
        fetch(remote(server, checksum=None, size=300_001), tmp_path)
    server.files["/a.gz"] = gzip.compress(BODY)[:-9]
    with pytest.raises(DownloadError, match=r"a\.gz is not the expected file: it is damaged"):
        fetch(Remote(f"{server.base}/a.gz", "a.gz"), tmp_path)
    server.files["/a.zip"] = b"<html>Please sign in</html>"
    with pytest.raises(DownloadError, match=r"a\.zip is not the expected file: it is damaged \(File is not"):
        fetch(Remote(f"{server.base}/a.zip", "a.zip"), tmp_path)
    assert names(tmp_path) == []


@pytest.mark.parametrize("text", ["MD5 (file.bin) = {}\n", "{}  file.bin\n"])
def test_a_published_checksum_file(server: Server, tmp_path: Path, text: str) -> None:
    beside = remote(server, checksum=None, checksum_url=f"{server.base}/file.bin.md5")
    with pytest.raises(DownloadError, match=r"cannot reach .*file\.bin\.md5 \(Not Found\), where the checksum"):
        fetch(beside, tmp_path)
    server.files["/file.bin.md5"] = text.format("0" * 32).encode()
    with pytest.raises(DownloadError, match="its md5 is"):
        fetch(beside, tmp_path)
    server.files["/file.bin.md5"] = text.format(MD5[4:].upper()).encode()
    assert fetch(beside, tmp_path).read_bytes() == BODY
    server.files["/file.bin.md5"] = b"<html>moved</html>"
    with pytest.raises(DownloadError, match=r"holds no MD5 checksum but '<html>moved</html>'"):
        fetch(beside, tmp_path)


def test_missing_at_the_source(server: Server, tmp_path: Path) -> None:
    with pytest.raises(DownloadError, match=r"/gone answers 404 Not Found; the place may have moved: see .* home page"):
        fetch(Remote(f"{server.base}/gone", "gone"), tmp_path)
    assert names(tmp_path) == []


def test_off_line(tmp_path: Path) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    with pytest.raises(DownloadError, match=r"cannot reach http://127\.0\.0\.1.*refused.*check the network connection"):
        fetch(Remote(f"http://127.0.0.1:{port}/x", "x"), tmp_path)
    assert names(tmp_path) == []


def test_a_cache_folder_that_cannot_be_made(server: Server, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(DownloadError, match=r"cannot write to the cache folder .*; set RECTUTOR_DATA to a folder that"):
        fetch(remote(server), tmp_path / "file" / "cache")
    assert server.requests == []


def test_a_read_only_cache_folder(server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # The superuser may write to any folder, so the refusal is played here: every new file in it is answered EROFS.
    def refuse(*arguments: Any, **options: Any) -> None:
        raise OSError(errno.EROFS, "Read-only file system")

    monkeypatch.setattr("tempfile.TemporaryFile", refuse)
    with pytest.raises(DownloadError, match=r"cannot write to the cache folder .* \(Read-only file system\); set RECT"):
        fetch(remote(server), tmp_path)
    assert server.requests == []


def test_a_full_disk(server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real = Path.open

    def full(self: Path, mode: str = "r", *arguments: Any, **options: Any) -> Any:
        if mode in ("ab", "wb"):
            raise OSError(errno.ENOSPC, "No space left on device")
        return real(self, mode, *arguments, **options)

    monkeypatch.setattr(Path, "open", full)
    with pytest.raises(DownloadError, match=r"cannot write .* \(No space left on device\); free some space"):
        fetch(remote(server), tmp_path)


def test_archives_that_reach_outside(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "bad.zip", "w") as bundle:
        bundle.writestr("../outside.txt", "x")
    with pytest.raises(DownloadError, match=r"holds the name '\.\./outside\.txt', which points outside its folder"):
        unpack(tmp_path / "bad.zip", tmp_path / "inside")
    assert not (tmp_path / "outside.txt").exists()


# -- data sets -------------------------------------------------------------------------------------
def release(edition: int = 1) -> bytes:
    """A zip file laid out like a MovieLens release."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as bundle:
        ratings, movies = (zipfile.ZipInfo(f"ml-x/{name}.csv") for name in ("ratings", "movies"))  # undated: same bytes
        bundle.writestr(ratings, f"userId,movieId,rating,timestamp\n1,10,{edition},100\n")
        bundle.writestr(movies, 'movieId,title,genres\n10,"Film, The (1999)",Drama|War\n')
    return buffer.getvalue()


@pytest.fixture
def data_set(server: Server, monkeypatch: pytest.MonkeyPatch) -> DataSet:
    """A stand-in for MovieLens latest-small at our own server."""
    monkeypatch.delenv("RECTUTOR_SAMPLES", raising=False)
    server.files["/ml.zip"] = release()
    server.files["/ml.zip.md5"] = hashlib.md5(release()).hexdigest().encode()
    (real,) = [d for d in available() if d.name == "ml-latest-small"]
    ours = replace(real, files=(Remote(f"{server.base}/ml.zip", "ml.zip", checksum_url=f"{server.base}/ml.zip.md5"),))
    others = tuple(d for d in available() if d.name != "ml-latest-small")
    monkeypatch.setattr(public, "_DATA_SETS", (ours, *others))
    return ours


def test_get_prints_the_licence_and_load_reads(data_set: DataSet, server: Server, capsys: Any) -> None:
    assert find(data_set.name) is None
    movies = load("ml-latest-small")
    assert isinstance(movies, MovieLens)
    assert movies.interactions.value.tolist() == [1.0]
    assert movies.movies["title"].tolist() == ["Film, The (1999)"]
    printed = capsys.readouterr().out
    assert data_set.licence in printed
    assert data_set.citation in printed
    assert find(data_set.name) == cache_dir() / "ml-latest-small"
    assert names(cache_dir()) == [".downloads", "ml-latest-small"]
    assert names(cache_dir() / ".downloads") == []
    source = json.loads((cache_dir() / "ml-latest-small" / "SOURCE.json").read_text())
    assert source["files"][0]["sha256"] == hashlib.sha256(release()).hexdigest()
    assert source["files"][0]["url"] == data_set.url
    before = len(server.requests)
    load("ml-latest-small")
    assert get("ml-latest-small") == cache_dir() / "ml-latest-small"
    assert len(server.requests) == before


def test_samples_come_before_the_cache(data_set: DataSet, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    get(data_set.name)
    unpack_to = tmp_path / data_set.name
    (tmp_path / "two.zip").write_bytes(release(edition=2))
    unpack(tmp_path / "two.zip", unpack_to)
    monkeypatch.setenv("RECTUTOR_SAMPLES", str(tmp_path))
    assert find(data_set.name) == unpack_to
    assert load("ml-latest-small").interactions.value.tolist() == [2.0]
    monkeypatch.setenv("RECTUTOR_SAMPLES", str(tmp_path / "nothing here"))
    assert load("ml-latest-small").interactions.value.tolist() == [1.0]


def test_load_without_download(data_set: DataSet, server: Server) -> None:
    with pytest.raises(FileNotFoundError, match=r"run `rectutor data get ml-latest-small` on a machine with a network"):
        load("ml-latest-small", download=False)
    assert server.requests == []


def test_a_broken_get_leaves_no_data_set(data_set: DataSet, server: Server) -> None:
    server.files["/ml.zip"] = release()[:200]
    with pytest.raises(DownloadError, match="its md5 is"):
        load("ml-latest-small")
    assert find(data_set.name) is None
    assert names(cache_dir()) == [".downloads"]
    server.files["/ml.zip"] = release()
    load("ml-latest-small")


def test_get_into_a_cache_that_cannot_be_written(
    data_set: DataSet, server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").write_text("in the way")
    monkeypatch.setenv("RECTUTOR_DATA", str(tmp_path / "file" / "cache"))
    with pytest.raises(
        DownloadError, match=r"cannot write to the cache folder .*cache \(Not a directory\); set RECTUTOR"
    ):
        load("ml-latest-small")
    assert server.requests == []


def test_a_place_taken_by_something_else(data_set: DataSet) -> None:
    taken = cache_dir() / data_set.name
    taken.mkdir(parents=True)
    (taken / "notes.txt").write_text("mine")
    with pytest.raises(DownloadError, match=r"cannot put ml-latest-small into .* move what lies there"):
        get(data_set.name)
    assert names(taken) == ["notes.txt"]
    assert names(cache_dir()) == [".downloads", "ml-latest-small"]


def test_unknown_names() -> None:
    with pytest.raises(ValueError, match="unknown data set 'ml-1M': did you mean 'ml-1m'"):
        load("ml-1M")
    with pytest.raises(ValueError, match="unknown data set 'netflix': the known ones are ml-100k, "):
        get("netflix")


@pytest.mark.parametrize("name", ["otto", "airbnb-boston"])
def test_sets_that_must_be_fetched_by_hand(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("RECTUTOR_SAMPLES", raising=False)
    with pytest.raises(DownloadError, match=rf"take .* from https://.* and put it into .*{name}"):
        load(name)


def test_the_catalogue_is_whole() -> None:
    listed = available()
    assert len({data_set.name for data_set in listed}) == len(listed)
    for data_set in listed:
        assert data_set.url.startswith("https://")
        assert data_set.licence
        assert data_set.licence_url.startswith("https://")
        assert data_set.citation
        assert bool(data_set.files) != bool(data_set.manual)
        for part in data_set.files:
            if part.checksum is not None:
                kind, digest = part.checksum.split(":")
                assert len(digest) == {"md5": 32, "sha256": 64}[kind]
    checksums = {data_set.name: data_set.checksum for data_set in listed}
    assert checksums["ml-100k"] == "md5:0e33842e24a9c977be4e0107933c0723"
    assert checksums["ml-latest-small"].endswith("ml-latest-small.zip.md5")
    assert checksums["goodbooks-10k"] == "not published"


def test_cache_dir(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("RECTUTOR_DATA", str(tmp_path / "here"))
    assert cache_dir() == tmp_path / "here"
    monkeypatch.delenv("RECTUTOR_DATA")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert cache_dir() == tmp_path / "rectutor"
    monkeypatch.delenv("XDG_CACHE_HOME")
    assert cache_dir() == Path.home() / ".cache" / "rectutor"
