"""The real files, where RECTUTOR_SAMPLES names them; figures from the sets' own descriptions, or counted by hand."""

from __future__ import annotations

import csv
import gzip
import json
import os
from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from rectutor.data import (
    MovieLens,
    check_no_leak,
    k_core,
    leave_one_out,
    load,
    only_known,
    time_split,
)

FOLDER = Path(os.environ.get("RECTUTOR_SAMPLES", ""))


@pytest.fixture(scope="module")
def movielens() -> MovieLens:
    return load("ml-latest-small", download=False)


def test_movielens_counts_as_its_readme_says(movielens: MovieLens) -> None:
    readme = (FOLDER / "ml-latest-small" / "README.txt").read_text("utf-8")
    x, tags = movielens.interactions, movielens.tags
    assert tags is not None
    assert f"contains {len(x)} ratings and {len(tags)} tag applications across {len(movielens.movies)} movies" in readme
    assert f"created by {x.n_users} users" in readme
    assert set(np.unique(x.value)) == {k / 2 for k in range(1, 11)}
    assert np.bincount(x.user).min() >= 20
    assert set(x.item_ids) <= set(movielens.movies["item"])
    assert movielens.links is not None
    assert movielens.links["imdb"].str.len().min() == 7


def test_movielens_rows_as_the_csv_module_reads_them(movielens: MovieLens) -> None:
    with (FOLDER / "ml-latest-small" / "ratings.csv").open(newline="") as file:
        lines = list(csv.reader(file))[1:]
    rows = {(int(user), int(movie)): (float(rating), int(time)) for user, movie, rating, time in lines}
    frame = movielens.interactions.frame()
    got = zip(zip(frame["user"].tolist(), frame["item"].tolist()), zip(frame["value"].tolist(), frame["time"].tolist()))
    assert dict(got) == rows


def test_movielens_splits(movielens: MovieLens) -> None:
    x = movielens.interactions
    split = time_split(x)
    check_no_leak(split.train, split.test)
    check_no_leak(split.train, split.valid)
    assert 10_000 <= len(split.test) < 10_100  # ties at the cut may add some
    kept, dropped = only_known(split.test, split.train)
    assert len(kept) + dropped.rows == len(split.test)
    split = leave_one_out(x)
    check_no_leak(split.train, split.test, order="user")
    assert len(split.test) == len(split.valid) == x.n_users
    core = k_core(x, user=20, item=20)
    assert np.bincount(core.user).min() >= 20
    assert np.bincount(core.item).min() >= 20


def test_goodbooks() -> None:
    x = load("goodbooks-10k", download=False)
    assert x.books["item"].tolist() == list(range(1, 10_001))
    assert len(x.tags) == 34_252
    assert x.tags["tag_id"].tolist() == list(range(34_252))
    assert x.books.set_index("item").loc[1, "title"] == "The Hunger Games (The Hunger Games, #1)"
    if x.sample:
        assert len(x.interactions) == 99
        assert len(x.to_read) == len(x.book_tags) == 99


def test_open_bandit() -> None:
    x = load("openbandit", download=False)
    for log, clicks in ((x.random, 46), (x.bts, 69)):
        assert len(log) == 10_000
        assert log.log["click"].sum() == clicks  # rates .0046 and .0069
        assert sorted(log.log["position"].unique()) == [1, 2, 3]
        assert log.items["item"].tolist() == list(range(34))
        assert log.log.filter(like="affinity_").shape[1] == 34
        assert log.log["time"].is_monotonic_increasing
    assert np.allclose(x.random.log["propensity"], 1 / 34, atol=1e-6)  # uniform over 34 items


def test_census_income() -> None:
    x = load("census-income", download=False)
    assert len(x.test) == 99_762
    with gzip.open(FOLDER / "census-income" / "census-income.test.gz", "rt") as file:
        lines = file.read().splitlines()
    assert x.test.income_over_50k.sum() == sum(line.endswith(" 50000+.") for line in lines) == 6186
    assert x.test.never_married.sum() == sum(", Never married, " in line for line in lines)
    some = [[field.strip() for field in line.split(",")] for line in lines[::97]]
    assert x.test.frame["instance_weight"].tolist()[::97] == [float(fields[24]) for fields in some]
    assert x.test.frame["birth_country"].tolist()[::97] == [fields[34] for fields in some]
    assert x.test.frame["age"].tolist()[::97] == [int(fields[0]) for fields in some]
    assert set(x.test.frame["year"].unique()) == {94, 95}
    assert x.test.frame["weeks_worked"].between(0, 52).all()
    assert set(x.test.frame["sex"]) == {"Female", "Male"}
    assert x.test.features().shape[1] == 39


def test_airbnb() -> None:
    x = load("airbnb-boston", download=False).listings
    assert x.shape == (3349, 33)
    assert x["id"].is_unique
    assert x["price"].notna().all()
    assert x["price"].min() >= 0
    assert x["latitude"].between(42.2, 42.4).all()
    assert x["longitude"].between(-71.2, -70.9).all()
    assert x["host_response_rate"].dropna().between(0, 1).all()
    assert all(isinstance(amenity, str) for amenities in x["amenities"] for amenity in amenities)


def test_otto() -> None:
    x = load("otto-sample", download=False)
    with (FOLDER / "otto-sample" / "train.jsonl").open() as file:
        events = [(s["session"], e["aid"], e["ts"], e["type"]) for s in map(json.loads, file) for e in s["events"]]
    assert list(x.events.itertuples(index=False, name=None)) == events
    assert x.events["session"].nunique() == 20
    pairs = Counter((session, item) for session, item, _, _ in events)
    assert len(x.interactions) == len(pairs)
