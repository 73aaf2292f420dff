"""Fetching a file from its official place: resumed where it broke off, checked, and never left half-written.

A file under way is called ``NAME.part``, with the server's version tag in ``NAME.part.tag``; only a whole file whose
checksum agrees is renamed to ``NAME``, in one step.
"""

from __future__ import annotations

import gzip
import hashlib
import http.client
import os
import re
import shutil
import tempfile
import urllib.error
import urllib.parse
import urllib.request
import zipfile
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tqdm import tqdm

_TIMEOUT = 30.0  # seconds without a byte before a connection counts as lost
_CHUNK = 1 << 18  # bytes


class DownloadError(OSError):
    """A file could not be fetched, or is not what its source publishes; the message says what to do."""


@dataclass(frozen=True)
class Remote:
    """A file at its official place.

    Attributes:
        url: where it lies.
        name: what it is called here.
        size: bytes, where known.
        checksum: ``"md5:..."`` or ``"sha256:..."``, or None where the source publishes none.
        checksum_url: where the source publishes it, for a file that it replaces from time to time.
        origin: whose word the checksum is.
    """

    url: str
    name: str
    size: int | None = None
    checksum: str | None = None
    checksum_url: str | None = None
    origin: str = ""


def cache_dir() -> Path:
    """Where data sets are kept: the environment's ``RECTUTOR_DATA``, else ``rectutor`` in the user's cache folder."""
    chosen = os.environ.get("RECTUTOR_DATA")
    if chosen:
        return Path(chosen).expanduser()
    base = os.environ.get("XDG_CACHE_HOME")
    return (Path(base) if base else Path.home() / ".cache") / "rectutor"


def make_cache(folder: Path) -> Path:
    """Make a folder below the cache and see that files can be written there."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        raise DownloadError(
            f"cannot write to the cache folder {folder} ({error.strerror or error}); set RECTUTOR_DATA to a folder"
            " that you may write to, or free this one"
        ) from error
    return folder


def fetch(remote: Remote, folder: Path) -> Path:
    """Download a file into a folder and return its path; a part that is already there is resumed.

    Raises:
        DownloadError: the folder cannot be written, the source cannot be reached or answers with an error, the
            connection broke (call again to resume), or the checksum disagrees (the file is deleted).
    """
    make_cache(folder)
    path, part = folder / remote.name, folder / f"{remote.name}.part"
    checksum = remote.checksum or _published(remote)
    if path.exists():
        _verify(path, remote, checksum)
        return path
    try:
        _transfer(remote, part)
    except DownloadError:
        raise
    except (TimeoutError, ConnectionError, http.client.HTTPException, urllib.error.URLError) as error:
        raise DownloadError(
            f"cannot reach {remote.url} ({_reason(error)}): check the network connection and any proxy, then call"
            f" again; or fetch the file by other means and put it at {path}"
        ) from error
    except OSError as error:
        raise DownloadError(
            f"cannot write {part} ({error.strerror or error}); free some space, or set RECTUTOR_DATA to another folder"
        ) from error
    _verify(part, remote, checksum)
    os.replace(part, path)
    _tag(part).unlink(missing_ok=True)
    return path


def unpack(archive: Path, folder: Path) -> None:
    """Unpack a ``.zip`` into a new folder, without the single folder that such archives wrap around their files.

    Raises:
        DownloadError: the archive is damaged, or a name in it points outside the folder.
    """
    try:
        with zipfile.ZipFile(archive) as bundle:
            members = [info for info in bundle.infolist() if not info.is_dir()]
            parts = [Path(info.filename).parts for info in members]
            wrapped = all(len(p) > 1 and p[0] == parts[0][0] for p in parts)
            for info, names in zip(tqdm(members, desc="unpacking", unit=" files", delay=2), parts):
                target = folder.joinpath(*names[wrapped:])
                if ".." in names or not target.resolve().is_relative_to(folder.resolve()):
                    raise DownloadError(f"{archive} holds the name {info.filename!r}, which points outside its folder")
                target.parent.mkdir(parents=True, exist_ok=True)
                with bundle.open(info) as source, target.open("wb") as sink:
                    shutil.copyfileobj(source, sink, _CHUNK)
    except (zipfile.BadZipFile, zlib.error, EOFError) as error:
        raise DownloadError(f"{archive} is damaged ({error}); delete it and call again") from error


def _transfer(remote: Remote, part: Path) -> None:
    """Append to the part file until it holds everything."""
    tag = _tag(part)
    done = part.stat().st_size if part.exists() and tag.exists() else 0
    request = urllib.request.Request(remote.url, headers={"User-Agent": "rectutor", "Accept-Encoding": "identity"})
    if done:
        # If-Range: a file that has changed at the source is sent from its start
        request.add_header("Range", f"bytes={done}-")
        request.add_header("If-Range", tag.read_text("utf-8"))
    try:
        response = urllib.request.urlopen(request, timeout=_TIMEOUT)
    except urllib.error.HTTPError as error:
        with error:
            if error.code == 416 and done and _total(error.headers) == done:
                return  # nothing was missing
            if error.code == 416:
                part.unlink(missing_ok=True)
                tag.unlink(missing_ok=True)
                raise DownloadError(
                    f"{remote.url} has changed since {part} was begun; call again to start anew"
                ) from error
            raise DownloadError(
                f"{remote.url} answers {error.code} {error.reason}; the place may have moved: see the data set's"
                f" home page, and put the file at {part.with_suffix('')}"
            ) from error
    with response:
        resumed = response.status == 206
        start = done if resumed else 0
        length = response.headers.get("Content-Length")
        total = _total(response.headers) if resumed else (int(length) if length else remote.size)
        version = response.headers.get("ETag") or response.headers.get("Last-Modified")
        if version and not version.startswith("W/"):
            tag.write_text(version, "utf-8")
        else:
            tag.unlink(missing_ok=True)  # without a version a later call starts anew
        got = start
        bar = tqdm(total=total, initial=start, unit="B", unit_scale=True, desc=remote.name, delay=1)
        with part.open("ab" if resumed else "wb") as sink, bar:
            try:
                while chunk := response.read1(_CHUNK):  # what has come, so that a break loses nothing
                    sink.write(chunk)
                    got += len(chunk)
                    bar.update(len(chunk))
            except http.client.IncompleteRead as error:
                sink.write(error.partial)
                got += len(error.partial)
            except (TimeoutError, ConnectionError) as error:
                raise DownloadError(
                    f"the connection to {remote.url} broke after {got:,} of {_count(total)} bytes"
                    f" ({_reason(error)}); call again to resume"
                ) from error
    if total is not None and got < total:
        raise DownloadError(
            f"{remote.url} was cut off after {got:,} of {total:,} bytes; call again to resume from there"
        )


def _verify(path: Path, remote: Remote, checksum: str | None) -> None:
    """Compare with the published checksum, or where none is published test what the file itself allows."""
    size = path.stat().st_size
    problem = ""
    if checksum is not None:
        kind, _, expected = checksum.partition(":")
        with path.open("rb") as file:
            actual = hashlib.file_digest(file, kind).hexdigest()
        if actual != expected:
            problem = f"its {kind} is {actual}, not {expected} as {remote.origin or 'its source'} says"
    elif remote.size is not None and size != remote.size:
        problem = f"it has {size:,} bytes, not {remote.size:,}"
    if not problem:
        problem = _damage(path, remote.name)
    if problem:
        path.unlink()
        _tag(path).unlink(missing_ok=True)
        raise DownloadError(
            f"{remote.url} is not the expected file: {problem}. It has been deleted; call again, and if this repeats,"
            " the source has changed or something on the way alters it: see the data set's home page"
        )


def _damage(path: Path, name: str) -> str:
    """What is wrong with an archive by its own check sums, or an empty text."""
    try:
        if name.endswith(".zip"):
            with zipfile.ZipFile(path) as bundle:
                bad = bundle.testzip()
            return f"{bad} in it is damaged" if bad else ""
        if name.endswith(".gz"):
            with gzip.open(path) as file:
                while file.read(_CHUNK):
                    pass
    except (zipfile.BadZipFile, gzip.BadGzipFile, zlib.error, EOFError) as error:
        return f"it is damaged ({error})"
    return ""


def _published(remote: Remote) -> str | None:
    """The checksum that the source gives in a file beside the data."""
    if remote.checksum_url is None:
        return None
    request = urllib.request.Request(remote.checksum_url, headers={"User-Agent": "rectutor"})
    try:
        with urllib.request.urlopen(request, timeout=_TIMEOUT) as response:
            text = response.read(4096).decode("utf-8", "replace")
    except (OSError, http.client.HTTPException) as error:
        raise DownloadError(
            f"cannot reach {remote.checksum_url} ({_reason(error)}), where the checksum is published: check the network"
            " connection and any proxy, then call again"
        ) from error
    found = re.search(r"\b[0-9a-fA-F]{32}\b", text)
    if found is None:
        raise DownloadError(f"{remote.checksum_url} holds no MD5 checksum but {text[:60]!r}; see the set's home page")
    return f"md5:{found.group().lower()}"


def _total(headers: Any) -> int | None:
    """Size of the whole file from ``Content-Range: bytes 5-9/10`` or ``bytes */10``."""
    found = re.search(r"/(\d+)\s*$", headers.get("Content-Range") or "")
    return int(found.group(1)) if found else None


def _tag(part: Path) -> Path:
    return part.with_name(f"{part.name}.tag")


def _count(total: int | None) -> str:
    return "an unknown number of" if total is None else f"{total:,}"


def _reason(error: BaseException) -> str:
    reason = getattr(error, "reason", None) or error
    return str(reason) or type(error).__name__
