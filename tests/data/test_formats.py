"""The public sets' formats on small files written as the releases write them."""

from __future__ import annotations

import gzip
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from rectutor.data import (
    read_airbnb,
    read_census_income,
    read_goodbooks,
    read_movielens,
    read_open_bandit,
    read_otto,
)
from rectutor.data.formats import CENSUS_COLUMNS


def write(folder: Path, **files: str) -> Path:
    """Files by name, with ``__`` for the dot and ``_`` otherwise kept."""
    for name, text in files.items():
        path = folder / name.replace("__", ".")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(text.encode("latin-1") if path.suffix in (".dat", ".item", ".user") else text.encode())
    return folder


# -- MovieLens -------------------------------------------------------------------------------------
def test_movielens_csv(tmp_path: Path) -> None:
    write(
        tmp_path,
        ratings__csv="userId,movieId,rating,timestamp\n2,10,4.5,900\n1,10,3.0,800\n1,30,0.5,700\n",
        movies__csv='movieId,title,genres\n10,"Misérables, Les (1995)",Drama|War\n30,NA,(no genres listed)\n',
        tags__csv='userId,movieId,tag,timestamp\n2,10,null,950\n2,10,"so, so",951\n',
        links__csv="movieId,imdbId,tmdbId\n10,0113828,45\n30,0000012,\n",
    )
    x = read_movielens(tmp_path)
    assert x.interactions.frame().to_numpy().tolist() == [[1, 10, 3.0, 800], [1, 30, 0.5, 700], [2, 10, 4.5, 900]]
    assert x.movies.to_numpy().tolist() == [
        [10, "Misérables, Les (1995)", "Drama|War"],
        [30, "NA", "(no genres listed)"],
    ]
    assert x.tags is not None
    assert x.tags["tag"].tolist() == ["null", "so, so"]
    assert x.links is not None
    assert x.links["imdb"].tolist() == ["0113828", "0000012"]
    assert x.links["tmdb"].isna().tolist() == [False, True]
    assert x.users is None
    (tmp_path / "tags.csv").unlink()
    assert read_movielens(tmp_path).tags is None


def test_movielens_genome(tmp_path: Path) -> None:
    write(
        tmp_path,
        ratings__csv="userId,movieId,rating,timestamp\n2,10,4.5,900\n",
        movies__csv="movieId,title,genres\n10,Film,Drama\n",
    )
    (tmp_path / "genome-scores.csv").write_text("movieId,tagId,relevance\n10,1,0.025\n")
    (tmp_path / "genome-tags.csv").write_text("tagId,tag\n1,007\n")
    scores, tags = read_movielens(tmp_path).genome()
    assert scores.to_numpy().tolist() == [[10, 1, 0.025]]
    assert tags["tag"].tolist() == ["007"]


def test_movielens_1m(tmp_path: Path) -> None:
    write(
        tmp_path,
        ratings__dat="1::1193::5::978300760\n2::661::3::978302109\n",
        movies__dat="1193::Star Wars: Episode IV - A New Hope (1977)::Action|Sci-Fi\n661::Café::Drama\n",
        users__dat="1::F::1::10::48067\n2::M::56::16::00231\n",
    )
    x = read_movielens(tmp_path)
    assert x.interactions.value.tolist() == [5.0, 3.0]
    assert x.movies["title"].tolist() == ["Star Wars: Episode IV - A New Hope (1977)", "Café"]
    assert x.users is not None
    assert x.users.to_numpy().tolist() == [[1, "F", 1, 10, "48067"], [2, "M", 56, 16, "00231"]]
    assert x.tags is None
    write(tmp_path, users__dat="1::F::1::10::48067\n2::M::old::16::00231\n")
    with pytest.raises(ValueError, match=r"users\.dat, line 2: '2::M::old::16::00231': expected user, gender, age"):
        read_movielens(tmp_path)
    write(tmp_path, movies__dat="1193::Star Wars\n")
    with pytest.raises(ValueError, match=r"movies\.dat, line 1: .* expected 3 fields .* separated by '::'; it has 2"):
        read_movielens(tmp_path)


def test_movielens_100k(tmp_path: Path) -> None:
    write(
        tmp_path,
        u__data="196\t242\t3\t881250949\n186\t302\t3\t891717742\n",
        u__genre="unknown|0\nAction|1\nDrama|2\n\n",
        u__item="242|Kolya (1996)|24-Jan-1997||http://x/242|0|1|1\n302|Café|||http://x/302|1|0|0\n",
        u__user="186|39|F|executive|00000\n196|49|M|writer|55105\n",
    )
    x = read_movielens(tmp_path)
    assert x.interactions.user_ids.tolist() == [186, 196]
    assert x.movies["genres"].tolist() == ["Action|Drama", "unknown"]
    assert x.movies["title"].tolist() == ["Kolya (1996)", "Café"]
    assert x.users is not None
    assert x.users["zip"].tolist() == ["00000", "55105"]


def test_no_movielens(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"holds none of ratings\.csv, ratings\.dat, u\.data"):
        read_movielens(tmp_path)


def test_malformed_rows_of_tables_are_named(tmp_path: Path) -> None:
    write(
        tmp_path,
        ratings__csv="userId,movieId,rating,timestamp\n1,10,3.0,800\n",
        movies__csv='movieId,title,genres\n10,"Two\nlines",Drama\n30,Short\n',
    )
    with pytest.raises(ValueError, match=r"movies\.csv, line 4: '30,Short': expected 3 fields; it has 2"):
        read_movielens(tmp_path)
    write(tmp_path, movies__csv="movieId,title,genres\n10,Film,Drama,1999\n")
    with pytest.raises(ValueError, match=r"movies\.csv, line 2: .*: expected 3 fields; it has 4"):
        read_movielens(tmp_path)
    write(tmp_path, movies__csv="movieId,title,genres\n10,Film,Drama\nten,Film,Drama\n")
    with pytest.raises(ValueError, match=r"movies\.csv, line 3: .*: expected a whole number as movieId; it is 'ten'"):
        read_movielens(tmp_path)
    write(tmp_path, movies__csv=f"movieId,title,genres\n{2**53 + 1},Film,Drama\n7.0,Film,Drama\n")
    with pytest.raises(ValueError, match=r"movies\.csv, line 3: .*: expected a whole number as movieId; it is '7\.0'"):
        read_movielens(tmp_path)
    write(tmp_path, movies__csv="id,title,genres\n10,Film,Drama\n")
    with pytest.raises(
        ValueError, match=r"movies\.csv has no column 'movieId'; its columns are \['id', 'title', 'genres'\]"
    ):
        read_movielens(tmp_path)


# -- goodbooks -------------------------------------------------------------------------------------
BOOKS = (
    "book_id,goodreads_book_id,best_book_id,work_id,books_count,isbn,isbn13,authors,original_publication_year,"
    "original_title,title,language_code,average_rating,ratings_count,work_ratings_count,work_text_reviews_count,"
    "ratings_1,ratings_2,ratings_3,ratings_4,ratings_5,image_url,small_image_url\n"
    '1,2767052,2767052,2792775,272,0439023483,9.78043902348e+12,"A, B",,,"Title (1)",eng,4.34,1,2,3,4,5,6,7,8,u,v\n'
)


def goodbooks(folder: Path, prefix: str = "") -> Path:
    write(folder, books__csv=BOOKS, tags__csv="tag_id,tag_name\n0,-\n1,null\n")
    (folder / f"{prefix}ratings.csv").write_text("user_id,book_id,rating\n1,1,5\n2,1,3\n1,1,4\n")
    (folder / f"{prefix}book_tags.csv").write_text("goodreads_book_id,tag_id,count\n2767052,1,7\n")
    (folder / f"{prefix}to_read.csv").write_text("user_id,book_id\n2,1\n")
    return folder


@pytest.mark.parametrize("prefix", ["", "sample_"])
def test_goodbooks(tmp_path: Path, prefix: str) -> None:
    x = read_goodbooks(goodbooks(tmp_path, prefix))
    assert x.interactions.value.tolist() == [4.0, 3.0]  # of the repeated pair the later row
    assert x.repeated == 1
    assert x.sample == bool(prefix)
    book = x.books.iloc[0]
    assert (book["item"], book["isbn"], book["isbn13"], book["original_title"]) == (
        1,
        "0439023483",
        "9.78043902348e+12",
        "",
    )
    assert np.isnan(book["original_publication_year"])
    assert x.tags["tag"].tolist() == ["-", "null"]
    assert x.book_tags.to_numpy().tolist() == [[2767052, 1, 7]]
    assert x.to_read.to_numpy().tolist() == [[2, 1]]


# -- Open Bandit -----------------------------------------------------------------------------------
def bandit_log(propensity: str = "0.5", name: str = "propensity_score") -> str:
    return (
        f",timestamp,item_id,position,click,{name},user_feature_0,user_feature_1,user_feature_2,user_feature_3,"
        "user-item_affinity_0,user-item_affinity_1\n"
        f"0,2019-11-24 00:00:03.800821+00:00,1,3,0,0.25,a,b,c,d,0.0,1.0\n"
        f"1,2019-11-24 00:00:04+00:00,0,1,1,{propensity},a,b,c,d,0.0,0.0\n"
    )


ITEMS = ",item_id,item_feature_0,item_feature_1,item_feature_2,item_feature_3\n0,0,-0.5,x,y,z\n1,1,0.25,x,y,z\n"


def test_open_bandit_in_both_layouts(tmp_path: Path) -> None:
    flat, nested = tmp_path / "flat", tmp_path / "nested"
    for policy in ("random", "bts"):
        write(flat, **{f"{policy}_all__csv": bandit_log(), f"{policy}_all_item_context__csv": ITEMS})
        write(nested / policy / "all", all__csv=bandit_log(name="action_prob"), item_context__csv=ITEMS)
    for folder in (flat, nested):
        x = read_open_bandit(folder, "all")
        assert len(x.bts) == 2
        log = x.random.log
        assert list(log.columns[:5]) == ["time", "item", "position", "click", "propensity"]
        assert list(log.columns[-2:]) == ["affinity_0", "affinity_1"]
        assert log["time"].tolist() == [
            pd.Timestamp("2019-11-24 00:00:03.800821", tz="UTC"),
            pd.Timestamp("2019-11-24 00:00:04", tz="UTC"),
        ]
        assert log["propensity"].tolist() == [0.25, 0.5]
        assert x.random.items["item_feature_0"].tolist() == [-0.5, 0.25]
        assert list(x.random.items.columns) == ["item", *(f"item_feature_{j}" for j in range(4))]


@pytest.mark.parametrize("bad", ["0", "1.5", "-0.1", ""])
def test_open_bandit_propensities(tmp_path: Path, bad: str) -> None:
    write(tmp_path, random_men__csv=bandit_log(bad), random_men_item_context__csv=ITEMS)
    with pytest.raises(ValueError, match=r"random_men\.csv, data row 2: propensity .* is outside \(0, 1\]"):
        read_open_bandit(tmp_path)


# -- Census-Income ---------------------------------------------------------------------------------
def census_row(income: str = "- 50000.", married: str = "Never married") -> str:
    values = {name: "1" if kind == "int64" else " ? " for name, kind in CENSUS_COLUMNS.items()}
    return (
        ", ".join((values | {"instance_weight": "10.5", "marital_status": married, "income": income}).values()) + "\n"
    )


def test_census_income(tmp_path: Path) -> None:
    (tmp_path / "census-income.test.gz").write_bytes(
        gzip.compress((census_row() + census_row("50000+.", "Divorced")).encode())
    )
    x = read_census_income(tmp_path)
    assert x.train is None
    assert len(x.test) == 2
    assert x.test.income_over_50k.tolist() == [False, True]
    assert x.test.never_married.tolist() == [True, False]
    assert x.test.frame["race"].tolist() == ["?", "?"]
    assert x.test.features().shape == (2, 39)
    (tmp_path / "census-income.data").write_text(census_row())
    train = read_census_income(tmp_path).train
    assert train is not None
    assert train.frame["instance_weight"].tolist() == [10.5]


def test_census_income_bad_input(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"census-income\.test"):
        read_census_income(tmp_path)
    path = tmp_path / "census-income.test"
    path.write_text(census_row() + census_row().replace("1, ", "", 1))
    with pytest.raises(ValueError, match=r"line 2: .*: expected 42 fields; it has 41"):
        read_census_income(tmp_path)
    path.write_text(census_row() + census_row().replace("1, ", "one, ", 1))
    with pytest.raises(ValueError, match=r"line 2: .*: expected a whole number as age; it is 'one'"):
        read_census_income(tmp_path)
    path.write_text(census_row() + census_row("rich"))
    with pytest.raises(ValueError, match=r"line 2: income 'rich' is neither"):
        read_census_income(tmp_path)
    for rows in (census_row() + census_row().strip() + ", 7\n", census_row().strip() + ", 7\n"):
        path.write_text(rows)
        with pytest.raises(ValueError, match=r"line \d: .*: expected 42 fields; it has 43"):
            read_census_income(tmp_path)


# -- Inside Airbnb ---------------------------------------------------------------------------------
def test_airbnb(tmp_path: Path) -> None:
    path = tmp_path / "listings.csv.gz"
    text = (
        "id,name,host_response_rate,host_is_superhost,has_availability,price,amenities,first_review,license\n"
        '713131319543289455,"A, b",97%,t,,"$1,250.00","[""Wifi"", ""Iron""]",2015-07-10,\n'
        "9007199254740993,NA,N/A,,t,,[],,X1\n"
    )
    path.write_bytes(gzip.compress(text.encode()))
    x = read_airbnb(path)
    assert x["id"].tolist() == [713131319543289455, 2**53 + 1]
    assert x["name"].tolist() == ["A, b", "NA"]
    assert x["host_response_rate"].tolist()[0] == 0.97
    assert x["host_response_rate"].isna().tolist() == [False, True]
    assert x["host_is_superhost"].tolist() == [True, pd.NA]
    assert x["price"].tolist()[0] == 1250.0
    assert x["amenities"].tolist() == [["Wifi", "Iron"], []]
    assert x["first_review"].tolist() == [pd.Timestamp("2015-07-10"), pd.NaT]
    path.write_bytes(gzip.compress(text.replace(",t,,", ",maybe,,").encode()))
    with pytest.raises(ValueError, match="column host_is_superhost: data row 1: 'maybe' is neither 't' nor 'f'"):
        read_airbnb(path)


# -- OTTO ------------------------------------------------------------------------------------------
def test_otto(tmp_path: Path) -> None:
    path = tmp_path / "train.jsonl"
    path.write_text(
        '{"session":3,"events":[{"aid":9,"ts":1659304800999,"type":"clicks"},{"aid":9,"ts":1659304801000,"type":"carts"}]}\n'
        "\n"
        '{"session":4,"events":[{"aid":7,"ts":1659304800000,"type":"orders"}]}\n'
    )
    x = read_otto(path)
    assert x.events.to_numpy().tolist() == [
        [3, 9, 1659304800999, "clicks"],
        [3, 9, 1659304801000, "carts"],
        [4, 7, 1659304800000, "orders"],
    ]
    assert x.interactions.frame().to_numpy().tolist() == [[3, 9, 1.0, 1659304801], [4, 7, 1.0, 1659304800]]
    assert x.interactions.user_ids.tolist() == [3, 4]
    assert len(read_otto(path, limit=1).events) == 2


@pytest.mark.parametrize(
    "line",
    [
        '{"session":3,"events":[',
        '{"events":[]}',
        '{"session":3,"events":[{"aid":"9","ts":1,"type":"clicks"}]}',
        '{"session":3.0,"events":[{"aid":9,"ts":1,"type":"clicks"}]}',
        '{"session":3,"events":[{"aid":9,"ts":1,"type":"views"}]}',
        "[]",
    ],
)
def test_otto_malformed_lines(tmp_path: Path, line: str) -> None:
    path = tmp_path / "train.jsonl"
    path.write_text('{"session":1,"events":[{"aid":1,"ts":1,"type":"clicks"}]}\n' + line + "\n")
    with pytest.raises(ValueError, match=r"train\.jsonl, line 2: .*expected an object with an integer \"session\""):
        read_otto(path)
