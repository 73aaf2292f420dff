"""The protocol by which retrieval models are compared: tune on valid, fit, rank for every test user, measure.

Two ways to rank are known. *Full ranking*: all items of the catalogue compete. *Given candidates*: a user's test items
and the negatives that a published test file lists for that user compete. In both, items that the user has in train
never compete, not even where a list of negatives names them.

Shapes: B users of a batch, U users, I items, T users measured, S seeds, k length of the list.
"""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol, Self

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy import sparse
from tqdm import tqdm

from rectutor.data import (
    Interactions,
    Split,
    align,
    leave_one_out,
    only_known,
    random_split,
    read_interactions,
    read_lists,
    read_negatives,
    time_split,
    union,
    user_time_split,
)
from rectutor.data.readers import Separator
from rectutor.metrics import coverage, novelty, topk_metrics
from rectutor.retrieval.cf import BPR, FunkSVD, ImplicitALS, ItemCF, Popular, PureSVD, UserCF
from rectutor.retrieval.topk import top_k

MEASURES = ("recall", "precision", "hit_rate", "ndcg", "mrr", "map")


class Recommender(Protocol):
    """What the protocol needs of a model; every retrieval model of the book has it."""

    def fit(self, interactions: Interactions) -> Self:
        """Learn from interactions."""
        ...

    def score(self, users: NDArray[np.int32]) -> NDArray[np.float32]:
        """Scores of all items for users [B], float32 [B, I]; higher is better."""
        ...


@dataclass(frozen=True)
class Model:
    """A model the protocol knows by name: how it is made, what is tried when it is tuned."""

    make: Callable[..., Recommender]
    grid: Mapping[str, Sequence[Any]] = field(default_factory=dict)
    seeded: bool = False
    ratings: bool = False
    """Whether it learns from the ratings themselves; the others see ones."""


def _item_cf(**fixed: Any) -> Callable[..., Recommender]:
    return lambda **chosen: ItemCF(**{**fixed, **chosen})


NEIGHBOURS = (20, 50, 100, 200)
MODELS: dict[str, Model] = {
    "popular": Model(Popular),
    "usercf": Model(UserCF, {"k": (10, *NEIGHBOURS), "among": ("all", "raters")}),
    "itemcf": Model(ItemCF, {"k": NEIGHBOURS}),
    "itemcf-tfidf": Model(_item_cf(weighting="tfidf"), {"k": NEIGHBOURS}),
    "itemcf-bm25": Model(_item_cf(similarity="dot", weighting="bm25"), {"k": NEIGHBOURS, "b": (0.25, 0.75)}),
    "itemcf-shrunk": Model(ItemCF, {"k": NEIGHBOURS, "shrink": (5.0, 20.0, 100.0), "damping": (0.3, 0.5)}),
    "swing": Model(_item_cf(similarity="swing"), {"k": NEIGHBOURS}),
    "puresvd": Model(PureSVD, {"factors": (8, 16, 32, 64)}),
    "funksvd": Model(
        FunkSVD,
        {"factors": (64,), "reg": (0.1, 0.15, 0.2), "learning_rate": (0.005, 0.01, 0.02), "epochs": (80,)},
        seeded=True,
        ratings=True,
    ),
    "als": Model(
        ImplicitALS, {"factors": (16, 32, 64), "reg": (0.01, 1.0, 10.0), "alpha": (0.0, 1.0, 10.0)}, seeded=True
    ),
    "bpr": Model(
        BPR,
        {"factors": (16, 64), "reg": (0.01, 0.05), "epochs": (30, 100), "negatives": ("uniform", "popular")},
        seeded=True,
    ),
}


@dataclass(frozen=True)
class Evaluation:
    """What was measured for each user, and what was left out.

    Attributes:
        users: codes of the users measured [T].
        per_user: ``"ndcg@10"`` and so on -> one figure a user, float64 [T].
        overall: figures that belong to all lists together, such as ``"coverage@10"``.
        no_history: test users without a row in train; they are not measured.
        masked: test rows that stand in train too; they count neither as a candidate nor as a truth.
        cold: test rows whose item has no row in train; no neighbour or factor knows it, and it counts as missed.
        seconds: how long ranking took.
    """

    users: NDArray[np.int32]
    per_user: dict[str, NDArray[np.float64]]
    overall: dict[str, float]
    no_history: int
    masked: int
    cold: int
    seconds: float

    def means(self) -> dict[str, float]:
        """The mean over users of each figure, and the overall figures."""
        return {name: float(values.mean()) for name, values in self.per_user.items()} | self.overall


def evaluate(
    model: Recommender,
    train: Interactions,
    test: Interactions,
    *,
    k: Iterable[int] = (10,),
    negatives: Mapping[int, Sequence[int]] | None = None,
    batch: int = 1024,
) -> Evaluation:
    """Rank for every test user with a history, and measure.

    Args:
        model: fitted on ``train``.
        train: what the model has seen; its items are masked, user by user.
        test: what it should have recommended; codes as in ``train``.
        k: lengths of list to measure at, each at most the catalogue.
        negatives: user code -> codes of the items that compete with the user's test items; None ranks the catalogue.
        batch: users scored at once.

    Raises:
        ValueError: vocabularies that differ, no test user with a history, a test user without given negatives, k beyond
            the catalogue.
    """
    if not (train.user_ids.equals(test.user_ids) and train.item_ids.equals(test.item_ids)):
        raise ValueError("train and test have different vocabularies; split one log, or read test with like=train")
    lengths = sorted(set(k))
    if not lengths or lengths[0] < 1 or lengths[-1] > train.n_items:
        raise ValueError(f"k is {lengths}; it must lie between 1 and the {train.n_items:,} items of the catalogue")
    seen = train.matrix()  # [U, I]
    truth = test.matrix()  # [U, I]
    both = truth.multiply(seen != 0)
    masked = int(both.nnz)
    truth = truth - both
    truth.eliminate_zeros()
    history, wanted = np.diff(seen.indptr) > 0, np.diff(truth.indptr) > 0
    users = np.flatnonzero(wanted & history).astype(np.int32)
    if len(users) == 0:
        raise ValueError("no test user has both a row in train and a test item that is not in train; look at the split")
    known_items = np.zeros(train.n_items, dtype=bool)
    known_items[train.item] = True
    start = time.perf_counter()
    ranked = np.empty((len(users), lengths[-1]), dtype=np.int32)  # [T, k]
    for first in range(0, len(users), batch):
        some = users[first : first + batch]
        scores = np.array(model.score(some), dtype=np.float32)  # [B, I]
        if negatives is not None:
            scores[~_candidates(some, truth, negatives)] = -np.inf
        ranked[first : first + batch], _ = top_k(scores, lengths[-1], exclude=seen[some])
    taken = time.perf_counter() - start
    relevant = truth[users]
    popularity = (
        np.bincount(train.item, minlength=train.n_items) / train.n_users
    )  # [I] share of users that met the item
    per_user: dict[str, NDArray[np.float64]] = {}
    overall: dict[str, float] = {}
    for n in lengths:
        measured = topk_metrics(ranked, relevant, n, per_user=True)
        per_user |= {f"{name}@{n}": np.asarray(measured[name], dtype=np.float64) for name in MEASURES}
        overall[f"coverage@{n}"] = coverage(ranked[:, :n], train.n_items)
        overall[f"popularity@{n}"] = novelty(ranked[:, :n], popularity, kind="popularity")
    return Evaluation(
        users,
        per_user,
        overall,
        no_history=int((wanted & ~history).sum()),
        masked=masked,
        cold=int((~known_items[test.item]).sum()),
        seconds=taken,
    )


def _candidates(
    users: NDArray[np.int32], truth: sparse.csr_array, negatives: Mapping[int, Sequence[int]]
) -> NDArray[np.bool_]:
    """Which items compete for each user, bool [B, I]."""
    allowed: NDArray[np.bool_] = truth[users].toarray() != 0
    for row, user in enumerate(users.tolist()):
        if user not in negatives:
            raise ValueError(f"no negatives are given for test user code {user}; every test user needs a line")
        allowed[row, np.asarray(negatives[user], dtype=np.int64)] = True
    return allowed


def rmse(model: Any, test: Interactions) -> float:
    """Root mean squared error of predicted ratings, in units of the rating."""
    error = model.predict(test.user, test.item).astype(np.float64) - test.value
    return float(np.sqrt(np.mean(error**2)))


def make(name: str, /, **parameters: Any) -> Recommender:
    """A model by its name in ``MODELS``.

    Raises:
        ValueError: an unknown name, or a parameter the model does not have.
    """
    if name not in MODELS:
        raise ValueError(f"unknown model {name!r}; there are {', '.join(MODELS)}")
    try:
        return MODELS[name].make(**parameters)
    except TypeError as error:
        raise ValueError(f"{name} cannot be made with {parameters}: {error}") from error


def fit(name: str, train: Interactions, /, **parameters: Any) -> Recommender:
    """Make a model by name and fit it on what it learns from: ratings or ones."""
    model = make(name, **parameters)
    return model.fit(train if MODELS[name].ratings else train.implicit())


def grid_points(name: str) -> list[dict[str, Any]]:
    """Every combination of the values that are tried when the model is tuned."""
    grid = MODELS[name].grid
    return [dict(zip(grid, values, strict=True)) for values in itertools.product(*grid.values())]


def measure(
    model: Recommender,
    train: Interactions,
    test: Interactions,
    metric: str,
    negatives: Mapping[int, Sequence[int]] | None = None,
) -> float:
    """One figure of a fitted model, named like ``"ndcg@10"`` or ``"rmse"``; higher is better (rmse comes negated)."""
    if metric == "rmse":
        return -rmse(model, only_known(test, train)[0])
    name, _, length = metric.partition("@")
    if name not in MEASURES or not length.isdigit():
        raise ValueError(f"metric is {metric!r}; it must be rmse or one of {', '.join(MEASURES)} with @k, as ndcg@10")
    return evaluate(model, train, test, k=(int(length),), negatives=negatives).means()[metric]


def tune(
    name: str,
    train: Interactions,
    valid: Interactions,
    *,
    metric: str = "ndcg@10",
    negatives: Mapping[int, Sequence[int]] | None = None,
    fixed: Mapping[str, Any] | None = None,
    seed: int = 0,
) -> tuple[dict[str, Any], pd.DataFrame]:
    """Try every point of the model's grid on the validation part.

    Args:
        name: a name in ``MODELS``.
        train, valid: what is fitted on, what is measured on.
        metric: what decides, see :func:`measure`.
        negatives: as in :func:`evaluate`.
        fixed: parameters that every point shares; the grid's own values for them are not tried.
        seed: of models that draw random numbers.

    Returns:
        The best parameters (the first of equals), and a frame with one row a point and the metric as the last column.
    """
    points: list[dict[str, Any]] = []
    for point in (point | dict(fixed or {}) for point in grid_points(name)):
        if point not in points:
            points.append(point)
    seeded = {"seed": seed} if MODELS[name].seeded else {}
    reached = [
        measure(fit(name, train, **point, **seeded), train, valid, metric, negatives)
        for point in tqdm(points, desc=f"tuning {name}", disable=len(points) < 2, leave=False)
    ]
    return points[int(np.argmax(reached))], pd.DataFrame(points).assign(**{metric: reached})


@dataclass(frozen=True)
class Parts:
    """What a protocol runs on.

    Attributes:
        train, test: parts of one log, or files read under one vocabulary.
        valid: what models are tuned on; None holds out a part of train where it is needed.
        negatives: user code -> codes that compete with the user's test items; None ranks the catalogue.
        protocol: how the parts were made, for the report.
    """

    train: Interactions
    test: Interactions
    valid: Interactions | None = None
    negatives: Mapping[int, Sequence[int]] | None = None
    protocol: str = "given files"


SPLITS: dict[str, tuple[Callable[[Interactions], Split], str]] = {
    "time": (lambda log: time_split(log), "time split 80/10/10 at two moments"),
    "user-time": (lambda log: user_time_split(log), "time split 80/10/10 of each user's history"),
    "leave-one-out": (lambda log: leave_one_out(log), "leave-one-out by time"),
    "random": (lambda log: random_split(log, seed=0), "random split 80/10/10, seed 0"),
}


def split_log(log: Interactions, how: str) -> Parts:
    """Split one log by a name in ``SPLITS``."""
    if how not in SPLITS:
        raise ValueError(f"unknown split {how!r}; there are {', '.join(SPLITS)}")
    cut, protocol = SPLITS[how]
    split = cut(log)
    return Parts(split.train, split.test, split.valid, protocol=protocol)


def read_log(
    path: str | Path,
    *,
    form: str = "table",
    columns: Sequence[str] | None = None,
    sep: Separator | None = None,
    min_rating: float = 0.0,
) -> Interactions:
    """Read one file: ``form="table"`` has a line an interaction, ``form="lists"`` a line a user.

    Rows rated below ``min_rating`` are left out; a user and item that meet again keep the last row.
    """
    if form == "lists":
        return read_lists(path)
    if form != "table":
        raise ValueError(f"form is {form!r}; it must be 'table' or 'lists'")
    log = read_interactions(path, columns, sep=sep, duplicates="last")
    return log.subset(log.value >= min_rating) if min_rating > 0 else log


def read_parts(
    train: str | Path,
    test: str | Path | None = None,
    valid: str | Path | None = None,
    negatives: str | Path | None = None,
    **reading: Any,
) -> Parts:
    """Read a published split under one vocabulary: every id of every file is in it.

    Args:
        train, test, valid: files as :func:`read_log` reads them.
        negatives: file of held-out rows with their negatives (:func:`rectutor.data.read_negatives`). Its rows are the
            test rows; with ``test`` given too, both must hold the same pairs.
        reading: what :func:`read_log` takes.

    Raises:
        ValueError: neither ``test`` nor ``negatives``, or test rows that differ between the two.
    """
    given = None if negatives is None else read_negatives(negatives)
    held = None if given is None else Interactions.from_arrays(given.user, given.item)
    if test is None and held is None:
        raise ValueError("neither test nor negatives is given; one of them must hold the rows to be recommended")
    fitted = read_log(train, **reading)
    wanted = held if test is None else read_log(test, **reading)
    assert wanted is not None
    if held is not None and test is not None:
        pairs = [
            set(zip(*part.frame()[["user", "item"]].to_numpy().T.tolist(), strict=True)) for part in (wanted, held)
        ]
        if pairs[0] != pairs[1]:
            raise ValueError(
                f"{test} holds {len(pairs[0] - pairs[1])} rows that {negatives} lacks, and lacks"
                f" {len(pairs[1] - pairs[0])} of its rows; give one of the two files"
            )
    more = [] if valid is None else [read_log(valid, **reading)]
    parts = align(fitted, wanted, *more, item_ids=() if given is None else given.negatives)
    codes: dict[int, list[int]] | None = None
    if given is not None:
        codes = {}
        users, items = parts[1].user_codes(given.user), parts[1].item_codes(given.negatives)
        for row, user in enumerate(users.tolist()):
            codes.setdefault(user, []).extend(items[given.indptr[row] : given.indptr[row + 1]].tolist())
    return Parts(parts[0], parts[1], parts[2] if more else None, codes)


@dataclass(frozen=True)
class Line:
    """One model's row of a report: parameters, and each figure over users and seeds.

    Attributes:
        per_user: figure -> mean over seeds for each user [T].
        per_seed: figure -> its mean over users for each seed [S].
    """

    model: str
    parameters: dict[str, Any]
    per_user: dict[str, NDArray[np.float64]]
    per_seed: dict[str, list[float]]
    fit_seconds: float
    evaluation: Evaluation

    def mean(self, figure: str) -> float:
        """The mean over seeds."""
        return float(np.mean(self.per_seed[figure]))

    def interval(self, figure: str) -> tuple[float, float]:
        """95 % interval of the mean: over users where the figure has one a user, else over seeds."""
        values = self.per_user.get(figure, np.asarray(self.per_seed[figure]))
        half = 1.96 * values.std(ddof=1) / np.sqrt(len(values)) if len(values) > 1 else 0.0
        return self.mean(figure) - half, self.mean(figure) + half

    def spread(self, figure: str) -> float:
        """Standard deviation over seeds; 0 for a model without randomness."""
        return float(np.std(self.per_seed[figure], ddof=1)) if len(self.per_seed[figure]) > 1 else 0.0


@dataclass(frozen=True)
class Report:
    """What ``rectutor evaluate`` prints."""

    parts: Parts
    lines: list[Line]
    figures: list[str]

    def text(self) -> str:
        """The protocol in words and one row a model."""
        parts, first = self.parts, self.lines[0].evaluation
        ranking = "given candidates" if parts.negatives is not None else f"all {parts.train.n_items:,} items"
        head = [
            f"train {parts.train}",
            f"test  {len(parts.test):,} rows; {parts.protocol}; ranked against {ranking}, items seen in train masked",
            f"measured on {len(first.users):,} users; {first.no_history:,} test users without history left out;"
            f" {first.cold:,} test rows of items unknown to train count as missed;"
            f" {first.masked:,} test rows are in train too",
            "",
            "model          " + "".join(f"{name:>20}" for name in self.figures) + "   fit s  parameters",
        ]
        rows = []
        for line in self.lines:
            cells = ""
            for name in self.figures:
                if name not in line.per_seed:
                    cells += f"{'-':>20}"
                    continue
                half = line.interval(name)[1] - line.mean(name)
                cells += f"{line.mean(name):>12.4f} ±{half:.4f}"
            rows.append(f"{line.model:<15}{cells}{line.fit_seconds:8.2f}  {line.parameters}")
        return (
            "\n".join(head + rows)
            + "\n± is the 95 % interval over users (over seeds for coverage, popularity and rmse)"
        )

    def document(self) -> dict[str, Any]:
        """Everything measured, as JSON holds it."""
        return {
            "protocol": self.parts.protocol,
            "train_rows": len(self.parts.train),
            "test_rows": len(self.parts.test),
            "models": [
                {
                    "model": line.model,
                    "parameters": line.parameters,
                    "users": len(line.evaluation.users),
                    "seeds": len(next(iter(line.per_seed.values()))),
                    "fit_seconds": line.fit_seconds,
                    "figures": {
                        name: {"mean": line.mean(name), "interval": line.interval(name), "spread": line.spread(name)}
                        for name in line.per_seed
                    },
                }
                for line in self.lines
            ],
        }


def run(
    names: Sequence[str],
    parts: Parts,
    *,
    parameters: Mapping[str, Any] | None = None,
    tuned: bool = False,
    metric: str = "ndcg@10",
    k: Sequence[int] = (10, 20),
    seeds: int = 3,
) -> Report:
    """The whole protocol for each model: tune on valid, fit on train and valid together, rank, measure.

    Args:
        names: names in ``MODELS``.
        parts: what to run on.
        parameters: fixed parameters of the models; the others are tuned beside them.
        tuned: choose the other parameters on ``parts.valid``; without one, each user's last training row is held out
            for it (a tenth of the rows at random where there are no times).
        metric: what tuning looks at.
        k: lengths of list.
        seeds: runs of a model that draws random numbers.
    """
    fixed = dict(parameters or {})
    for name in names:
        make(name, **fixed)
    fitted_on = parts.train if parts.valid is None else union(parts.train, parts.valid)
    inner, valid = parts.train, parts.valid
    if tuned and valid is None:
        cut = random_split(inner, test=0, valid=0.1, seed=0) if inner.time is None else _last_as_valid(inner)
        inner, valid = cut.train, cut.valid
    lines = []
    for name in names:
        chosen = dict(fixed)
        if tuned and valid is not None and MODELS[name].grid:
            chosen = tune(name, inner, valid, metric=metric, fixed=fixed)[0]
        lines.append(_line(name, chosen, fitted_on, parts, k, seeds))
    figures = [f"{measure_}@{n}" for n in k for measure_ in ("recall", "ndcg")] + [f"coverage@{k[-1]}"]
    if any("rmse" in line.per_seed for line in lines):
        figures.append("rmse")
    return Report(parts, lines, figures)


def _line(name: str, chosen: dict[str, Any], train: Interactions, parts: Parts, k: Sequence[int], seeds: int) -> Line:
    runs: list[Evaluation] = []
    errors: list[float] = []
    fit_seconds = 0.0
    for seed in range(seeds if MODELS[name].seeded else 1):
        start = time.perf_counter()
        model = fit(name, train, **chosen, **({"seed": seed} if MODELS[name].seeded else {}))
        fit_seconds += time.perf_counter() - start
        runs.append(evaluate(model, train, parts.test, k=k, negatives=parts.negatives))
        if MODELS[name].ratings:
            errors.append(rmse(model, only_known(parts.test, train)[0]))
    per_user = {figure: np.mean([run.per_user[figure] for run in runs], axis=0) for figure in runs[0].per_user}
    per_seed = {figure: [run.means()[figure] for run in runs] for figure in runs[0].means()}
    if errors:
        per_seed["rmse"] = errors
    return Line(name, chosen, per_user, per_seed, fit_seconds / len(runs), runs[0])


def _last_as_valid(train: Interactions) -> Split:
    split = leave_one_out(train, valid=False)
    return Split(split.train, split.test, split.valid)
