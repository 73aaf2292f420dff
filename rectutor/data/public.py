"""Public data sets: where each lies officially, under which licence, and how it becomes interactions.

``load(name)`` looks in two places: the folder of samples that the environment's ``RECTUTOR_SAMPLES`` names, then the
cache (``RECTUTOR_DATA``, see :func:`rectutor.data.cache_dir`), each with one folder a data set. What is in neither is
downloaded once.
"""

from __future__ import annotations

import difflib
import hashlib
import json
import os
import shutil
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, overload

from rectutor.data.download import DownloadError, Remote, cache_dir, fetch, make_cache, unpack
from rectutor.data.formats import (
    Airbnb,
    CensusIncome,
    Goodbooks,
    MovieLens,
    OpenBandit,
    Otto,
    read_airbnb,
    read_census_income,
    read_goodbooks,
    read_movielens,
    read_open_bandit,
    read_otto,
)

_MOVIELENS_CITATION = (
    "F. Maxwell Harper and Joseph A. Konstan (2015). The MovieLens datasets: history and context."
    " ACM Transactions on Interactive Intelligent Systems 5(4), article 19. https://doi.org/10.1145/2827872"
)
_MOVIELENS_LICENCE = (
    "Own terms (README in the archive): research use with acknowledgement; redistribution only under the same terms"
    " where the README allows it; no commercial use without permission"
)


@dataclass(frozen=True)
class DataSet:
    """One public data set.

    Attributes:
        name: what :func:`load` calls it.
        title: what its authors call it.
        files: where it lies; empty where there is no address that can be fetched without signing in.
        licence, licence_url: terms of use in short, and where they stand.
        citation: what to cite.
        homepage: its authors' page.
        holds: names of which one must be there for its folder to count as the data set.
        manual: what to do by hand where ``files`` is empty.
        note: what a user should know about checksums or editions.
    """

    name: str
    title: str
    files: tuple[Remote, ...]
    licence: str
    licence_url: str
    citation: str
    homepage: str
    holds: tuple[str, ...]
    reader: Callable[[Path], Any] = field(repr=False)
    manual: str = ""
    note: str = ""

    @property
    def url(self) -> str:
        """Address of the first file, or the home page where nothing can be fetched."""
        return self.files[0].url if self.files else self.homepage

    @property
    def size(self) -> int | None:
        """Bytes to download, or None where a file's size is not known."""
        sizes = [remote.size for remote in self.files]
        return None if not sizes or None in sizes else sum(size for size in sizes if size is not None)

    @property
    def checksum(self) -> str:
        """The first file's checksum, where it is published, or ``"not published"``."""
        if not self.files:
            return "not published"
        return self.files[0].checksum or self.files[0].checksum_url or "not published"


def _movielens(name: str, title: str, size: int | None, md5: str | None, holds: str, note: str = "") -> DataSet:
    base = f"https://files.grouplens.org/datasets/movielens/{name}"
    remote = Remote(
        f"{base}.zip",
        f"{name}.zip",
        size,
        f"md5:{md5}" if md5 else None,
        None if md5 else f"{base}.zip.md5",
        "GroupLens",
    )
    readme = f"{base}-README.{'txt' if name in ('ml-100k', 'ml-1m') else 'html'}"
    page = {"ml-100k": "100k/", "ml-1m": "1m/", "ml-25m": "25m/"}.get(name, "latest/")
    home = f"https://grouplens.org/datasets/movielens/{page}"
    return DataSet(
        name,
        title,
        (remote,),
        _MOVIELENS_LICENCE,
        readme,
        _MOVIELENS_CITATION,
        home,
        (holds,),
        read_movielens,
        note=note,
    )


_OBD = "https://raw.githubusercontent.com/st-tech/zr-obp/12eb4f1738b8220498f9faed5ff6a4ffe5f4c626/obp/dataset/obd"
_OTTO = "https://raw.githubusercontent.com/otto-de/recsys-dataset/14eea3938cd9b6200bda9985f2c7ff8bb1de1b18"
_UCI = "https://archive.ics.uci.edu/ml/machine-learning-databases/census-income-mld"
_COPY = "the copy that these readers were tested on (the source publishes none)"
_OTTO_CITATION = "Philipp Normann, Sophie Baumeister and Timo Wilm (2022). OTTO recommender systems dataset."


def _obd(path: str, name: str, size: int, sha256: str) -> Remote:
    return Remote(f"{_OBD}/{path}", name, size, f"sha256:{sha256}", origin=_COPY)


def _read_otto_folder(folder: Path) -> Otto:
    names = ("otto-recsys-train.jsonl", "train.jsonl")
    return read_otto(next(folder / name for name in names if (folder / name).exists()))


def _read_airbnb_folder(folder: Path) -> Airbnb:
    names = ("listings.csv.gz", "listings.csv", "listings_slim.csv.gz")
    return Airbnb(read_airbnb(next(folder / name for name in names if (folder / name).exists())))


_DATA_SETS = (
    _movielens("ml-100k", "MovieLens 100K", 4_924_029, "0e33842e24a9c977be4e0107933c0723", "u.data"),
    _movielens("ml-1m", "MovieLens 1M", 5_917_549, "c4d9eecfca2ab87c1945afe126590906", "ratings.dat"),
    _movielens(
        "ml-latest-small",
        "MovieLens latest-small",
        None,
        None,
        "ratings.csv",
        note="GroupLens replaces this set from time to time: its checksum is fetched along with it, and results on it"
        " must name the edition (100 004 ratings of 671 users: October 2016; 100 836 of 610: September 2018).",
    ),
    _movielens("ml-25m", "MovieLens 25M", 261_978_986, "6b51fb2759a8657d3bfcbfc42b592ada", "ratings.csv"),
    DataSet(
        "goodbooks-10k",
        "goodbooks-10k",
        (
            Remote(
                "https://github.com/zygmuntz/goodbooks-10k/releases/download/v1.0/goodbooks-10k.zip",
                "goodbooks-10k.zip",
            ),
        ),
        "Creative Commons Attribution-ShareAlike 4.0",
        "https://creativecommons.org/licenses/by-sa/4.0/",
        "Zygmunt Zając (2017). Goodbooks-10k: a new dataset for book recommendations. FastML."
        " http://fastml.com/goodbooks-10k",
        "https://github.com/zygmuntz/goodbooks-10k",
        ("ratings.csv", "sample_ratings.csv"),
        read_goodbooks,
        note="No checksum is published; the archive's own check sums are tested.",
    ),
    DataSet(
        "openbandit",
        "Open Bandit Dataset, small edition, campaign men",
        (
            _obd(
                "random/men/men.csv",
                "random_men.csv",
                3_336_811,
                "ede6d08c6877f99cd3770f7d09e26c738e6aa6de4445ccccfb1356ba5d06b1eb",
            ),
            _obd(
                "random/men/item_context.csv",
                "random_men_item_context.csv",
                4_287,
                "6d855c2b7e917d0448d71bbe62c023147495882c0fdc8c41e86fef86abf9fe09",
            ),
            _obd(
                "bts/men/men.csv",
                "bts_men.csv",
                3_240_432,
                "db6d1f7ed2d591ba521533e45286d4c1fba7fe57a8ad2e80342210335f43c527",
            ),
            _obd(
                "bts/men/item_context.csv",
                "bts_men_item_context.csv",
                4_287,
                "3b411ed6b0471316321a6b93f4f756bb25888eac6218cd71d0b603d41d85732d",
            ),
        ),
        "Apache 2.0 (the repository that carries this edition; the whole release is CC BY 4.0)",
        "https://github.com/st-tech/zr-obp/blob/master/LICENSE",
        "Yuta Saito, Shunsuke Aihara, Megumi Matsutani and Yusuke Narita (2021). Open Bandit Dataset and Pipeline:"
        " towards realistic and reproducible off-policy evaluation. NeurIPS Datasets and Benchmarks."
        " https://arxiv.org/abs/2008.07146",
        "https://research.zozo.com/data.html",
        ("random_men.csv", "random"),
        read_open_bandit,
        note="10 000 impressions a policy; the whole release has 26 million and is read by read_open_bandit too."
        " The files are pinned to one commit; no checksum is published, the ones here are of the copy the readers"
        " were tested on.",
    ),
    DataSet(
        "census-income",
        "Census-Income (KDD)",
        (
            Remote(f"{_UCI}/census-income.data.gz", "census-income.data.gz"),
            Remote(
                f"{_UCI}/census-income.test.gz",
                "census-income.test.gz",
                3_261_416,
                "sha256:5ac4cacd3ca9f1ecb10de1a0a41e4ac68fdc419e3fec190f5c0c6cc03b2ea659",
                origin=_COPY,
            ),
        ),
        "Creative Commons Attribution 4.0",
        "https://creativecommons.org/licenses/by/4.0/",
        "Census-Income (KDD) (2000). UCI Machine Learning Repository. https://doi.org/10.24432/C5N30T",
        "https://archive.ics.uci.edu/dataset/117/census+income+kdd",
        ("census-income.test", "census-income.test.gz"),
        read_census_income,
        note="No checksum is published; that of the test file is of the copy the reader was tested on.",
    ),
    DataSet(
        "airbnb-boston",
        "Inside Airbnb, Boston",
        (),
        "Creative Commons Attribution 4.0",
        "https://creativecommons.org/licenses/by/4.0/",
        "Inside Airbnb. Boston listings, snapshot of 17 December 2021. https://insideairbnb.com",
        "https://insideairbnb.com/get-the-data/",
        ("listings.csv.gz", "listings.csv", "listings_slim.csv.gz"),
        _read_airbnb_folder,
        manual="Inside Airbnb takes snapshots down after a year, so there is no lasting address: take the city's"
        " 'Detailed Listings data' (listings.csv.gz) of any date",
    ),
    DataSet(
        "otto-sample",
        "OTTO sessions, the 20 sessions of its repository's tests",
        (
            Remote(
                f"{_OTTO}/test/resources/train.jsonl",
                "train.jsonl",
                43_944,
                "sha256:8994e47578f7467191185e612080696030495b6041015a6550b9d8af57f7c826",
                origin=_COPY,
            ),
        ),
        "Creative Commons Attribution 4.0",
        "https://creativecommons.org/licenses/by/4.0/",
        _OTTO_CITATION,
        "https://github.com/otto-de/recsys-dataset",
        ("train.jsonl",),
        _read_otto_folder,
        note="Pinned to one commit; no checksum is published, the one here is of the copy the reader was tested on.",
    ),
    DataSet(
        "otto",
        "OTTO sessions, 12.9 million",
        (),
        "Creative Commons Attribution 4.0",
        "https://creativecommons.org/licenses/by/4.0/",
        _OTTO_CITATION,
        "https://www.kaggle.com/datasets/otto/recsys-dataset",
        ("otto-recsys-train.jsonl", "train.jsonl"),
        _read_otto_folder,
        manual="The set is handed out to signed-in users only: take otto-recsys-train.jsonl (11 GB)",
    ),
)


def available() -> list[DataSet]:
    """Every data set that :func:`load` knows.

    >>> [data_set.name for data_set in available()][:3]
    ['ml-100k', 'ml-1m', 'ml-latest-small']
    """
    return list(_DATA_SETS)


def find(name: str) -> Path | None:
    """Folder where the data set lies already, samples first, or None; nothing is downloaded."""
    data_set = _lookup(name)
    samples = os.environ.get("RECTUTOR_SAMPLES")
    bases = [Path(samples).expanduser()] if samples else []
    for base in [*bases, cache_dir()]:
        if any((base / name / file).exists() for file in data_set.holds):
            return base / name
    return None


def get(name: str) -> Path:
    """Download a data set into the cache unless it is there, print its licence, and return its folder.

    Args:
        name: one of :func:`available`.

    Raises:
        ValueError: an unknown name.
        DownloadError: off-line, an answer that is no data, a connection that broke (call again to resume), a checksum
            that disagrees, a cache folder that cannot be written, or a set that must be fetched by hand; each message
            says what to do.
    """
    data_set = _lookup(name)
    folder = cache_dir() / name
    if any((folder / file).exists() for file in data_set.holds):
        return folder
    if not data_set.files:
        raise DownloadError(f"{data_set.title}: {data_set.manual} from {data_set.homepage} and put it into {folder}")
    make_cache(cache_dir())
    print(f"{data_set.title}\nLicence: {data_set.licence} ({data_set.licence_url})\nCite: {data_set.citation}")
    if data_set.note:
        print(f"Note: {data_set.note}")
    downloads = cache_dir() / ".downloads" / name
    files = [fetch(remote, downloads) for remote in data_set.files]
    # All is put together beside its final place and then renamed, so the folder is whole whenever it exists.
    building = Path(tempfile.mkdtemp(prefix=f".{name}-", dir=cache_dir()))
    try:
        building.chmod(0o755)
        for file in files:
            if file.suffix == ".zip":
                unpack(file, building)
            else:
                shutil.copyfile(file, building / file.name)
        _write_source(data_set, files, building / "SOURCE.json")
        os.replace(building, folder)
    except OSError as error:
        if isinstance(error, DownloadError):
            raise
        raise DownloadError(
            f"cannot put {name} into {folder} ({error.strerror or error}); free some space, move what lies there, or"
            " set RECTUTOR_DATA to another folder"
        ) from error
    finally:
        shutil.rmtree(building, ignore_errors=True)
    shutil.rmtree(downloads, ignore_errors=True)
    return folder


@overload
def load(name: Literal["ml-100k", "ml-1m", "ml-latest-small", "ml-25m"], *, download: bool = True) -> MovieLens: ...
@overload
def load(name: Literal["goodbooks-10k"], *, download: bool = True) -> Goodbooks: ...
@overload
def load(name: Literal["openbandit"], *, download: bool = True) -> OpenBandit: ...
@overload
def load(name: Literal["census-income"], *, download: bool = True) -> CensusIncome: ...
@overload
def load(name: Literal["airbnb-boston"], *, download: bool = True) -> Airbnb: ...
@overload
def load(name: Literal["otto", "otto-sample"], *, download: bool = True) -> Otto: ...
@overload
def load(name: str, *, download: bool = True) -> Any: ...
def load(name: str, *, download: bool = True) -> Any:
    """Read a data set, whole: its interactions where it has some, and its side tables.

    Args:
        name: one of :func:`available`.
        download: fetch it with :func:`get` if it is not here; False raises instead, for work that must stay off-line.

    Raises:
        ValueError: an unknown name, or a malformed line in the files.
        FileNotFoundError: not here and ``download=False``.
        DownloadError: see :func:`get`.
    """
    data_set = _lookup(name)
    folder = find(name)
    if folder is None:
        if not download:
            raise FileNotFoundError(
                f"{name} is neither among the samples (RECTUTOR_SAMPLES) nor in {cache_dir()}; run"
                f" `rectutor data get {name}` on a machine with a network"
            )
        folder = get(name)
    return data_set.reader(folder)


def _lookup(name: str) -> DataSet:
    for data_set in _DATA_SETS:
        if data_set.name == name:
            return data_set
    names = [data_set.name for data_set in _DATA_SETS]
    near = difflib.get_close_matches(name, names, n=1)
    hint = f"did you mean {near[0]!r}? " if near else ""
    raise ValueError(f"unknown data set {name!r}: {hint}the known ones are {', '.join(names)}")


def _write_source(data_set: DataSet, files: list[Path], path: Path) -> None:
    """Say in the folder where its files come from, so that results can name the edition."""
    entries = []
    for remote, file in zip(data_set.files, files):
        with file.open("rb") as stream:
            digest = hashlib.file_digest(stream, "sha256").hexdigest()
        entries.append({"url": remote.url, "bytes": file.stat().st_size, "sha256": digest})
    today = time.strftime("%Y-%m-%d", time.gmtime())
    record = {"title": data_set.title, "licence": data_set.licence, "fetched": today, "files": entries}
    path.write_text(json.dumps(record, indent=2, ensure_ascii=False) + "\n", "utf-8")
