"""The public sets' own file formats, read whole: interactions and every side table that comes with them.

Column names are made alike across sets (``user``, ``item``, ``time``, ...), values keep the units of the source, and
ids keep the source's numbers. What a set does not hold is None.
"""

from __future__ import annotations

import csv
import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from tqdm import tqdm

from rectutor.data.interactions import Interactions
from rectutor.data.readers import malformed, numbered_lines, read_interactions


# -- MovieLens -------------------------------------------------------------------------------------
@dataclass(frozen=True, eq=False)
class MovieLens:
    """A MovieLens release (Harper and Konstan, "The MovieLens datasets", ACM TiiS 2015).

    Attributes:
        interactions: ratings in stars (0.5 or 1 to 5) with their times.
        movies: ``item, title, genres`` (genres joined by ``|``); 100K adds ``release_date, imdb_url``.
        users: 100K: ``user, age, gender, occupation, zip``; 1M: ``user, gender, age, occupation, zip`` with age and
            occupation as the release's codes; else None.
        tags: ``user, item, tag, time``, or None.
        links: ``item, imdb, tmdb`` (ids of other sites; imdb as text with its zeros, tmdb missing for some), or None.
        folder: where the files lie.
    """

    interactions: Interactions
    movies: pd.DataFrame
    users: pd.DataFrame | None
    tags: pd.DataFrame | None
    links: pd.DataFrame | None
    folder: Path

    def genome(self) -> tuple[pd.DataFrame, pd.DataFrame]:
        """Tag genome of 25M: relevance in [0, 1] as ``item, tag_id, relevance``, and names as ``tag_id, tag``.

        Read on demand: the scores have 15 million rows.
        """
        scores = read_table(
            self.folder / "genome-scores.csv",
            {"movieId": "item", "tagId": "tag_id", "relevance": "relevance"},
            {"movieId": "int64", "tagId": "int64", "relevance": "float64"},
        )
        tags = read_table(
            self.folder / "genome-tags.csv", {"tagId": "tag_id", "tag": "tag"}, {"tagId": "int64", "tag": "str"}
        )
        return scores, tags


def read_movielens(folder: str | Path) -> MovieLens:
    """Read the unpacked files of MovieLens 100K, 1M, latest-small (any edition), 25M or a release laid out like them.

    Raises:
        FileNotFoundError: the folder holds none of ``ratings.csv``, ``ratings.dat``, ``u.data``.
        ValueError: a malformed line, by file and number.
    """
    folder = Path(folder)
    if (folder / "ratings.csv").exists():
        return _movielens_csv(folder)
    if (folder / "ratings.dat").exists():
        return _movielens_1m(folder)
    if (folder / "u.data").exists():
        return _movielens_100k(folder)
    raise FileNotFoundError(f"{folder} holds none of ratings.csv, ratings.dat, u.data: it is no MovieLens release")


def _movielens_csv(folder: Path) -> MovieLens:
    interactions = read_interactions(folder / "ratings.csv", sep="comma", header=True, ids="int")
    movies = read_table(
        folder / "movies.csv",
        {"movieId": "item", "title": "title", "genres": "genres"},
        {"movieId": "int64", "title": "str", "genres": "str"},
    )
    tags = links = None
    if (folder / "tags.csv").exists():
        tags = read_table(
            folder / "tags.csv",
            {"userId": "user", "movieId": "item", "tag": "tag", "timestamp": "time"},
            {"userId": "int64", "movieId": "int64", "tag": "str", "timestamp": "int64"},
        )
    if (folder / "links.csv").exists():
        links = read_table(
            folder / "links.csv",
            {"movieId": "item", "imdbId": "imdb", "tmdbId": "tmdb"},
            {"movieId": "int64", "imdbId": "str", "tmdbId": "Int64"},
        )
    return MovieLens(interactions, movies, None, tags, links, folder)


def _movielens_1m(folder: Path) -> MovieLens:
    interactions = read_interactions(folder / "ratings.dat", sep="::", header=False, ids="int")
    movies = read_records(folder / "movies.dat", "::", {"item": int, "title": str, "genres": str}, "latin-1")
    users = read_records(
        folder / "users.dat",
        "::",
        {"user": int, "gender": str, "age": int, "occupation": int, "zip": str},
        "latin-1",
    )
    return MovieLens(interactions, movies, users, None, None, folder)


def _movielens_100k(folder: Path) -> MovieLens:
    interactions = read_interactions(folder / "u.data", sep="tab", header=False, ids="int")
    genres = read_records(folder / "u.genre", "|", {"genre": str, "code": int}, "latin-1")
    names = genres.sort_values("code")["genre"].tolist()
    columns: dict[str, type] = {"item": int, "title": str, "release_date": str, "video_date": str, "imdb_url": str}
    films = read_records(folder / "u.item", "|", {**columns, **dict.fromkeys(names, int)}, "latin-1")
    flags = films[names].to_numpy()
    movies = pd.DataFrame(
        {
            "item": films["item"],
            "title": films["title"],
            "genres": ["|".join(name for name, on in zip(names, row) if on) for row in flags],
            "release_date": films["release_date"],
            "imdb_url": films["imdb_url"],
        }
    )
    users = read_records(
        folder / "u.user",
        "|",
        {"user": int, "age": int, "gender": str, "occupation": str, "zip": str},
        "latin-1",
    )
    return MovieLens(interactions, movies, users, None, None, folder)


# -- goodbooks-10k ---------------------------------------------------------------------------------
@dataclass(frozen=True, eq=False)
class Goodbooks:
    """goodbooks-10k (Zając, 2017): ratings of the ten thousand most rated books of goodreads.com.

    Attributes:
        interactions: ratings of 1 to 5 stars, without times.
        books: metadata by ``item``: goodreads ids, authors, title, year, language, rating counts.
        tags: ``tag_id, tag``.
        book_tags: ``goodreads_book_id, tag_id, count``: how often readers shelved the book under the tag.
        to_read: ``user, item`` marked to be read.
        repeated: rows that repeat an earlier pair; the last of them (the file is in time order) is kept.
        sample: whether only the hundred-row sample files were there.
    """

    interactions: Interactions
    books: pd.DataFrame
    tags: pd.DataFrame
    book_tags: pd.DataFrame
    to_read: pd.DataFrame
    repeated: int
    sample: bool


def read_goodbooks(folder: str | Path) -> Goodbooks:
    """Read goodbooks-10k, or its samples (``sample_ratings.csv`` ...) where the whole files are missing.

    Raises:
        FileNotFoundError: a file is missing; ValueError: a malformed line.
    """
    folder = Path(folder)
    sample = not (folder / "ratings.csv").exists()

    def place(name: str) -> Path:
        return folder / (f"sample_{name}" if sample else name)

    ratings = read_table(
        place("ratings.csv"),
        {"user_id": "user", "book_id": "item", "rating": "rating"},
        {"user_id": "int64", "book_id": "int64", "rating": "float64"},
    )
    interactions = Interactions.from_frame(ratings, value="rating", duplicates="last")
    text = ("isbn", "isbn13", "authors", "original_title", "title", "language_code", "image_url", "small_image_url")
    whole: tuple[str, ...] = ("book_id", "goodreads_book_id", "best_book_id", "work_id", "books_count", "ratings_count")
    whole += ("work_ratings_count", "work_text_reviews_count", *(f"ratings_{stars}" for stars in range(1, 6)))
    books = read_table(
        folder / "books.csv",
        {"book_id": "item"},
        {
            **dict.fromkeys(text, "str"),
            **dict.fromkeys(whole, "int64"),
            "original_publication_year": "float64",
            "average_rating": "float64",
        },
    )
    tags = read_table(folder / "tags.csv", {"tag_name": "tag"}, {"tag_id": "int64", "tag_name": "str"})
    book_tags = read_table(
        place("book_tags.csv"), {}, {"goodreads_book_id": "int64", "tag_id": "int64", "count": "int64"}
    )
    to_read = read_table(
        place("to_read.csv"), {"user_id": "user", "book_id": "item"}, {"user_id": "int64", "book_id": "int64"}
    )
    return Goodbooks(interactions, books, tags, book_tags, to_read, len(ratings) - len(interactions), sample)


# -- Open Bandit -----------------------------------------------------------------------------------
@dataclass(frozen=True, eq=False)
class BanditLog:
    """Impressions that one policy logged.

    Attributes:
        log: ``time`` (UTC), ``item``, ``position`` (1 left, 2 centre, 3 right), ``click`` (0 or 1), ``propensity`` (the
            policy's probability of this item at this position), ``user_feature_0`` to ``_3`` (hashed),
            ``affinity_0`` ... one an item (the user's past clicks on it).
        items: ``item, item_feature_0`` (a number) and ``item_feature_1`` to ``_3`` (hashed). Each policy's files hash
            the features with codes of their own: they cannot be joined across policies.
    """

    log: pd.DataFrame
    items: pd.DataFrame

    def __len__(self) -> int:
        return len(self.log)


@dataclass(frozen=True, eq=False)
class OpenBandit:
    """Open Bandit Dataset (Saito et al., NeurIPS 2021 Datasets and Benchmarks): one campaign under two policies."""

    random: BanditLog
    bts: BanditLog
    campaign: str


def read_open_bandit(folder: str | Path, campaign: str = "men") -> OpenBandit:
    """Read a campaign's logs of the uniform-random and the Bernoulli Thompson sampling policy.

    Both layouts are read: the release's ``random/men/men.csv`` with ``random/men/item_context.csv``, and flat
    ``random_men.csv`` with ``random_men_item_context.csv``.

    Raises:
        FileNotFoundError: a file is missing; ValueError: a malformed line, a propensity outside (0, 1].
    """
    folder = Path(folder)
    logs = {}
    for policy in ("random", "bts"):
        nested = folder / policy / campaign
        log_path, items_path = nested / f"{campaign}.csv", nested / "item_context.csv"
        if not log_path.exists():
            log_path = folder / f"{policy}_{campaign}.csv"
            items_path = folder / f"{policy}_{campaign}_item_context.csv"
        logs[policy] = BanditLog(_bandit_log(log_path), _bandit_items(items_path))
    return OpenBandit(logs["random"], logs["bts"], campaign)


def _bandit_log(path: Path) -> pd.DataFrame:
    header = _header(path)
    propensity = next((name for name in ("propensity_score", "action_prob", "pscore") if name in header), None)
    if propensity is None:
        raise ValueError(f"{path} has no column propensity_score; its columns are {header[:8]} ...")
    affinities = [name for name in header if name.startswith("user-item_affinity_")]
    frame = read_table(
        path,
        {
            "timestamp": "time",
            "item_id": "item",
            propensity: "propensity",
            **{name: name.replace("user-item_affinity", "affinity") for name in affinities},
        },
        {
            "timestamp": "str",
            "item_id": "int64",
            "position": "int64",
            "click": "int64",
            propensity: "float64",
            **{f"user_feature_{j}": "str" for j in range(4)},
            **dict.fromkeys(affinities, "float64"),
        },
    )
    outside = ~((frame["propensity"] > 0) & (frame["propensity"] <= 1)).to_numpy()
    if outside.any():
        row = int(np.argmax(outside))
        raise ValueError(f"{path}, data row {row + 1}: propensity {frame['propensity'][row]} is outside (0, 1]")
    frame["time"] = pd.to_datetime(frame["time"], format="ISO8601", utc=True)
    return frame


def _bandit_items(path: Path) -> pd.DataFrame:
    hashed = {f"item_feature_{j}": "str" for j in (1, 2, 3)}
    return read_table(path, {"item_id": "item"}, {"item_id": "int64", "item_feature_0": "float64", **hashed})


# -- Census-Income ---------------------------------------------------------------------------------
# Order and meaning from the set's own "names" file; the files carry no header.
CENSUS_COLUMNS: dict[str, str] = {
    "age": "int64",
    "class_of_worker": "str",
    "industry_code": "int64",
    "occupation_code": "int64",
    "education": "str",
    "wage_per_hour": "int64",
    "enrolled_in_education": "str",
    "marital_status": "str",
    "major_industry": "str",
    "major_occupation": "str",
    "race": "str",
    "hispanic_origin": "str",
    "sex": "str",
    "union_member": "str",
    "reason_for_unemployment": "str",
    "employment_status": "str",
    "capital_gains": "int64",
    "capital_losses": "int64",
    "dividends": "int64",
    "tax_filer_status": "str",
    "previous_region": "str",
    "previous_state": "str",
    "household_and_family": "str",
    "household_summary": "str",
    "instance_weight": "float64",
    "migration_msa": "str",
    "migration_region": "str",
    "migration_within_region": "str",
    "same_house_last_year": "str",
    "migration_from_sunbelt": "str",
    "employer_size": "int64",
    "family_under_18": "str",
    "father_birth_country": "str",
    "mother_birth_country": "str",
    "birth_country": "str",
    "citizenship": "str",
    "self_employed": "int64",
    "veterans_questionnaire": "str",
    "veterans_benefits": "int64",
    "weeks_worked": "int64",
    "year": "int64",
    "income": "str",
}


@dataclass(frozen=True, eq=False)
class CensusTable:
    """One file of Census-Income: 42 columns, ``"?"`` where the source does not know.

    The integers ``industry_code``, ``occupation_code``, ``self_employed`` and ``veterans_benefits`` are codes, not
    amounts. ``instance_weight`` says how many people a row stands for; it is no feature.
    """

    frame: pd.DataFrame

    def __len__(self) -> int:
        return len(self.frame)

    @property
    def income_over_50k(self) -> NDArray[np.bool_]:
        """First task of Ma et al., "Multi-gate mixture-of-experts" (KDD 2018): income above 50 000 dollars a year."""
        return np.asarray(self.frame["income"] == "50000+.")

    @property
    def never_married(self) -> NDArray[np.bool_]:
        """Second task of the same paper."""
        return np.asarray(self.frame["marital_status"] == "Never married")

    def features(self) -> pd.DataFrame:
        """The columns without both targets and the weight."""
        return self.frame.drop(columns=["income", "marital_status", "instance_weight"])


@dataclass(frozen=True, eq=False)
class CensusIncome:
    """Census-Income (KDD) of the UCI repository: the official training file (None where not there) and test file."""

    train: CensusTable | None
    test: CensusTable


def read_census_income(folder: str | Path) -> CensusIncome:
    """Read ``census-income.test`` and, where there, ``census-income.data``, plain or ``.gz``.

    Raises:
        FileNotFoundError: no test file; ValueError: a malformed line, by number.
    """
    folder = Path(folder)
    return CensusIncome(_census(folder / "census-income.data", False), _census(folder / "census-income.test", True))  # type: ignore[arg-type]


def _census(path: Path, needed: bool) -> CensusTable | None:
    packed = path.with_name(f"{path.name}.gz")
    path = path if path.exists() else packed
    if not path.exists():
        if needed:
            raise FileNotFoundError(f"{path} (or the same unpacked) does not exist")
        return None
    frame = read_table(path, {}, CENSUS_COLUMNS, header=False)
    for name in frame.columns[[kind == "str" for kind in CENSUS_COLUMNS.values()]]:
        frame[name] = frame[name].str.strip()
    unknown = ~frame["income"].isin(["- 50000.", "50000+."]).to_numpy()
    if unknown.any():
        row = int(np.argmax(unknown))
        raise ValueError(f"{path}, line {row + 1}: income {frame['income'][row]!r} is neither '- 50000.' nor '50000+.'")
    return CensusTable(frame)


# -- Inside Airbnb ---------------------------------------------------------------------------------
def read_airbnb(path: str | Path) -> pd.DataFrame:
    """Read an Inside Airbnb ``listings.csv.gz`` (detailed listings, whole or slim) into typed columns.

    ``price`` becomes dollars, rates become shares in [0, 1], ``t``/``f`` become booleans (nullable), dates become
    dates, ``amenities`` a list of texts; other columns keep what pandas reads. Ids are 64-bit integers.

    Raises:
        FileNotFoundError: no such file; ValueError: a malformed line, or no column ``id``.
    """
    path = Path(path)
    present = set(_header(path))
    kinds = {"id": "int64"}
    for name in ("host_id", "scrape_id"):
        if name in present:
            kinds[name] = "int64"
    for name in (*_AIRBNB_TYPED, "amenities", "license", "bathrooms_text"):
        if name in present:
            kinds[name] = "str"
    frame = read_table(path, {}, kinds)
    for name in [name for name in frame.columns if name in _AIRBNB_TYPED]:
        try:
            frame[name] = _AIRBNB_TYPED[name](frame[name].mask(frame[name].isin(["", "N/A"])))
        except ValueError as error:
            raise ValueError(f"{path}, column {name}: {error}") from error
    if "amenities" in frame:
        frame["amenities"] = frame["amenities"].map(json.loads)
    return frame


def _dollars(column: pd.Series) -> pd.Series:
    return pd.to_numeric(column.str.replace(r"[$,]", "", regex=True)).astype("float64")


def _share(column: pd.Series) -> pd.Series:
    return pd.to_numeric(column.str.removesuffix("%")).astype("float64") / 100


def _yes_no(column: pd.Series) -> pd.Series:
    unknown = column[~column.isin(["t", "f"]) & column.notna()]
    if len(unknown):
        raise ValueError(f"data row {unknown.index[0] + 1}: {unknown.iloc[0]!r} is neither 't' nor 'f'")
    return column.map({"t": True, "f": False}).astype("boolean")


def _date(column: pd.Series) -> pd.Series:
    return pd.to_datetime(column, format="%Y-%m-%d")


_AIRBNB_TYPED: dict[str, Callable[[pd.Series], pd.Series]] = {
    "price": _dollars,
    "host_response_rate": _share,
    "host_acceptance_rate": _share,
    "host_is_superhost": _yes_no,
    "host_has_profile_pic": _yes_no,
    "host_identity_verified": _yes_no,
    "has_availability": _yes_no,
    "instant_bookable": _yes_no,
    "last_scraped": _date,
    "host_since": _date,
    "first_review": _date,
    "last_review": _date,
}


@dataclass(frozen=True, eq=False)
class Airbnb:
    """Listings of one city at one day (Inside Airbnb); the set has no interactions."""

    listings: pd.DataFrame


# -- OTTO ------------------------------------------------------------------------------------------
@dataclass(frozen=True, eq=False)
class Otto:
    """OTTO sessions (Normann et al., 2022).

    Attributes:
        events: ``session, item, time`` (milliseconds since 1970) and ``type`` (clicks, carts or orders), in file order.
    """

    events: pd.DataFrame

    @property
    def interactions(self) -> Interactions:
        """Sessions as users, any event as implicit feedback at its last time, in whole seconds (rounded down)."""
        events = self.events
        seconds = events["time"].to_numpy() // 1000
        return Interactions.from_arrays(
            events["session"].to_numpy(), events["item"].to_numpy(), time=seconds, duplicates="last"
        )


def read_otto(path: str | Path, *, limit: int | None = None) -> Otto:
    """Read a JSON-lines file of OTTO: one session a line, ``{"session": .., "events": [{"aid", "ts", "type"}, ..]}``.

    Args:
        path: the file, plain or ``.gz``.
        limit: read at most this many sessions; the whole training file has 12.9 million and 217 million events.

    Raises:
        ValueError: a malformed line, by number.
    """
    path = Path(path)
    kinds = {"clicks": 0, "carts": 1, "orders": 2}
    sessions: list[int] = []
    items: list[int] = []
    times: list[int] = []
    types: list[int] = []
    expected = 'an object with an integer "session" and "events" of integer "aid", integer "ts" and a known "type"'
    lines = ((number, line) for number, line in numbered_lines(path, "utf-8") if line.strip())
    for number, line in tqdm(islice(lines, limit), desc=path.name, unit=" sessions", delay=2):
        try:
            record = json.loads(line)
            session = record["session"]
            if type(session) is not int:
                raise TypeError
            for event in record["events"]:
                row = (session, event["aid"], event["ts"])
                if not all(type(value) is int for value in row):
                    raise TypeError
                sessions.append(row[0])
                items.append(row[1])
                times.append(row[2])
                types.append(kinds[event["type"]])
        except (json.JSONDecodeError, KeyError, TypeError):
            malformed(path, number, line, expected)
    if not sessions:
        raise ValueError(f"{path} holds no event")
    events = pd.DataFrame(
        {
            "session": np.array(sessions, dtype=np.int64),
            "item": np.array(items, dtype=np.int64),
            "time": np.array(times, dtype=np.int64),
            "type": pd.Categorical.from_codes(np.array(types), categories=list(kinds)),
        }
    )
    return Otto(events)


# -- tables ----------------------------------------------------------------------------------------
def read_table(path: Path, rename: dict[str, str], kinds: dict[str, str], *, header: bool = True) -> pd.DataFrame:
    """A comma-separated file with the given column types; columns of ``kinds`` must be there, index columns go.

    With ``header=False`` the keys of ``kinds`` are the file's columns in order.
    """
    columns: Sequence[str] = _header(path) if header else list(kinds)
    missing = [name for name in kinds if name not in columns]
    if missing:
        raise ValueError(f"{path} has no column {missing[0]!r}; its columns are {list(columns)[:12]}")
    try:
        with np.errstate(invalid="ignore"):
            frame = pd.read_csv(
                path,
                names=None if header else list(columns),
                header=0 if header else None,
                dtype=kinds,
                keep_default_na=False,
                na_values={name: [""] for name in columns if kinds.get(name) != "str" or name == columns[-1]},
                skipinitialspace=not header,
                low_memory=False,
                encoding="utf-8",
            )
    except (ValueError, OverflowError, EOFError, pd.errors.ParserError) as error:
        _bad_row(path, columns, kinds, header)
        raise ValueError(f"{path} could not be read: {error}") from error
    # A short row leaves its last field missing, a long first row turns into an index, and one "7.0" makes the parser
    # read a column of integers as floats, where large ids lose digits.
    suspect = not isinstance(frame.index, pd.RangeIndex) or bool(frame.iloc[:, -1].isna().any())
    for name in [name for name, kind in kinds.items() if kind == "int64"]:
        suspect = suspect or bool((np.abs(frame[name].to_numpy().astype(np.float64)) >= 2**53).any())
    if suspect:
        _bad_row(path, columns, kinds, header)
    if kinds.get(columns[-1]) == "str":
        frame[columns[-1]] = frame[columns[-1]].fillna("")
    unnamed = [name for name in frame.columns if name == "" or name.startswith("Unnamed: ")]
    return frame.drop(columns=unnamed).rename(columns=rename)


def _header(path: Path) -> list[str]:
    for _, line in numbered_lines(path, "utf-8"):
        return next(csv.reader([line]), [])
    raise ValueError(f"{path} is empty; it must hold a header and rows")


def _bad_row(path: Path, columns: Sequence[str], kinds: dict[str, str], header: bool) -> None:
    """Raise for the first row with a wrong number of fields or a field of the wrong type."""
    for number, line, fields in _rows(path):
        if header and number == 1:
            continue
        if len(fields) != len(columns):
            malformed(path, number, line, f"{len(columns)} fields; it has {len(fields)}")
        for name, value in zip(columns, fields):
            kind = kinds.get(name)
            try:
                if kind == "float64":
                    float(value or "nan")
                elif kind == "int64" or (kind == "Int64" and value):
                    int(value)
            except ValueError:
                sort = "number" if kind == "float64" else "whole number"
                malformed(path, number, line, f"a {sort} as {name}; it is {value!r}")


def _rows(path: Path) -> Iterator[tuple[int, str, list[str]]]:
    last: list[Any] = [0, ""]

    def texts() -> Iterator[str]:
        for number, line in numbered_lines(path, "utf-8"):
            last[:] = [number, line]
            yield line + "\n"

    for fields in csv.reader(texts()):
        if fields:
            yield last[0], last[1], fields


def read_records(path: Path, sep: str, columns: dict[str, type], encoding: str) -> pd.DataFrame:
    """A small file of fields between separators, without quotes or header, into typed columns."""
    rows: list[list[Any]] = []
    for number, line in numbered_lines(path, encoding):
        if not line.strip():
            continue
        fields = line.split(sep)
        if len(fields) != len(columns):
            expected = f"{len(columns)} fields ({', '.join(columns)}) separated by {sep!r}; it has {len(fields)}"
            malformed(path, number, line, expected)
        try:
            rows.append([kind(field) for kind, field in zip(columns.values(), fields)])
        except ValueError as error:
            malformed(path, number, line, f"{', '.join(columns)}: {error}")
    if not rows:
        raise ValueError(f"{path} is empty; it must hold rows of {', '.join(columns)}")
    return pd.DataFrame(rows, columns=list(columns))
