"""The libraries that readers would use instead, behind the two methods that the protocol needs.

Each is fitted and asked for scores through its own public interface; only ids are translated.
"""

from __future__ import annotations

import contextlib
import importlib.metadata
import logging
import os
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from rectutor.data import Interactions

THREADS = int(os.environ.get("RECTUTOR_THREADS", "2"))
Scores = NDArray[np.float32]


@dataclass(frozen=True)
class Peer:
    """Another library's model: what makes it, and the distribution whose version is reported."""

    label: str
    distribution: str
    make: Callable[..., Any]

    @property
    def version(self) -> str:
        """The installed version."""
        return importlib.metadata.version(self.distribution)


class Implicit:
    """A model of implicit; scores come from its own ``recommend`` with nothing filtered."""

    def __init__(self, model: Any) -> None:
        self.model = model

    def fit(self, interactions: Interactions) -> Self:
        from threadpoolctl import threadpool_limits

        self.matrix = interactions.matrix()
        # implicit asks for single-threaded BLAS and says so in a warning
        with threadpool_limits(1), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            from scipy import sparse

            self.model.fit(sparse.csr_matrix(self.matrix), show_progress=False)
        return self

    def score(self, users: NDArray[np.int32]) -> Scores:
        from scipy import sparse

        n_items = self.matrix.shape[1]
        items, values = self.model.recommend(
            users, sparse.csr_matrix(self.matrix[users]), N=n_items, filter_already_liked_items=False
        )
        scores = np.full((len(users), n_items), -np.inf, dtype=np.float32)
        rows, columns = np.nonzero(items >= 0)
        scores[rows, items[rows, columns]] = values[rows, columns]
        return scores


def item_knn(kind: str, k: int) -> Implicit:
    from implicit import nearest_neighbours as nn

    model = {"cosine": nn.CosineRecommender, "tfidf": nn.TFIDFRecommender}[kind]
    return Implicit(model(K=k + 1, num_threads=THREADS))  # its K counts the item itself


def item_bm25(k: int, b: float) -> Implicit:
    from implicit.nearest_neighbours import BM25Recommender

    return Implicit(BM25Recommender(K=k + 1, K1=1.2, B=b, num_threads=THREADS))


def implicit_als(factors: int, reg: float, alpha: float, seed: int) -> Implicit:
    from implicit.cpu.als import AlternatingLeastSquares

    return Implicit(
        AlternatingLeastSquares(
            factors=factors,
            regularization=reg,
            alpha=1 + alpha,  # its confidence in a click is alpha, ours 1 + alpha: the same problem
            iterations=15,
            num_threads=THREADS,
            random_state=seed,
        )
    )


def implicit_bpr(factors: int, reg: float, epochs: int, seed: int) -> Implicit:
    from implicit.cpu.bpr import BayesianPersonalizedRanking

    return Implicit(
        BayesianPersonalizedRanking(
            factors=factors, regularization=reg, learning_rate=0.05, iterations=epochs, num_threads=1, random_state=seed
        )
    )


class LensKit:
    """A scorer of LensKit, asked user by user for all items."""

    def __init__(self, scorer: Any, rated: bool = False) -> None:
        self.scorer, self.rated = scorer, rated

    def fit(self, interactions: Interactions) -> Self:
        from lenskit.data import from_interactions_df

        logging.getLogger("lenskit").setLevel(logging.ERROR)
        columns: dict[str, Any] = {"user_id": interactions.user, "item_id": interactions.item}
        if self.rated:
            columns["rating"] = interactions.value
        self.data = from_interactions_df(pd.DataFrame(columns))
        self.n_items = interactions.n_items
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            self.scorer.train(self.data)
        return self

    def score(self, users: NDArray[np.int32]) -> Scores:
        from lenskit.data import ItemList, RecQuery

        every = ItemList(item_ids=np.arange(self.n_items))
        scores = np.full((len(users), self.n_items), -np.inf, dtype=np.float32)
        for row, user in enumerate(users.tolist()):
            query = RecQuery(user_id=user, user_items=self.data.user_row(user))
            found = self.scorer(query, every).scores()
            scores[row] = np.nan_to_num(np.asarray(found, dtype=np.float32), nan=-np.inf)
        return scores

    def predict(self, users: NDArray[np.int32], items: NDArray[np.int32]) -> Scores:
        unique, row = np.unique(users, return_inverse=True)
        return np.asarray(self.score(unique.astype(np.int32))[row, items])


def lenskit_user_knn(k: int) -> LensKit:
    from lenskit.knn import UserKNNScorer

    return LensKit(UserKNNScorer(max_nbrs=k, min_nbrs=1, feedback="implicit"))


def lenskit_item_knn(k: int) -> LensKit:
    from lenskit.knn import ItemKNNScorer

    return LensKit(ItemKNNScorer(max_nbrs=k, min_nbrs=1, save_nbrs=k, feedback="implicit"))


class RecTools:
    """A model of RecTools, asked for a full ranking of the catalogue."""

    def __init__(self, model: Any) -> None:
        self.model = model

    def fit(self, interactions: Interactions) -> Self:
        from rectools.dataset import Dataset

        self.n_items = interactions.n_items
        self.data = Dataset.construct(
            pd.DataFrame(
                {
                    "user_id": interactions.user,
                    "item_id": interactions.item,
                    "weight": interactions.value,
                    "datetime": pd.Timestamp("2020-01-01"),
                }
            )
        )
        self.model.fit(self.data)
        return self

    def score(self, users: NDArray[np.int32]) -> Scores:
        listed = self.model.recommend(users=users, dataset=self.data, k=self.n_items, filter_viewed=False)
        scores = np.full((len(users), self.n_items), -np.inf, dtype=np.float32)
        row = pd.Index(users).get_indexer(listed["user_id"])
        scores[row, listed["item_id"].to_numpy()] = listed["score"].to_numpy()
        return scores


def rectools_popular() -> RecTools:
    from rectools.models import PopularModel

    return RecTools(PopularModel())


def rectools_pure_svd(factors: int) -> RecTools:
    from rectools.models import PureSVDModel

    return RecTools(PureSVDModel(factors=factors, random_state=0))


class Surprise:
    """scikit-surprise's SVD, for the error of predicted ratings."""

    def __init__(self, factors: int, reg: float, learning_rate: float, epochs: int, seed: int) -> None:
        self.arguments = {
            "n_factors": factors,
            "reg_all": reg,
            "lr_all": learning_rate,
            "n_epochs": epochs,
            "random_state": seed,
        }

    def fit(self, interactions: Interactions) -> Self:
        from surprise import SVD, Dataset, Reader

        frame = pd.DataFrame({"u": interactions.user, "i": interactions.item, "r": interactions.value})
        scale = (float(interactions.value.min()), float(interactions.value.max()))
        trainset = Dataset.load_from_df(frame, Reader(rating_scale=scale)).build_full_trainset()
        self.model = SVD(**self.arguments).fit(trainset)
        return self

    def predict(self, users: NDArray[np.int32], items: NDArray[np.int32]) -> Scores:
        pairs = zip(users.tolist(), items.tolist(), strict=True)
        # clip=False: ours does not clip either
        return np.array([self.model.predict(u, i, clip=False).est for u, i in pairs], dtype=np.float32)


PEERS: dict[str, Peer] = {
    "popular": Peer("RecTools PopularModel", "rectools", rectools_popular),
    "usercf": Peer("LensKit UserKNN", "lenskit", lenskit_user_knn),
    "itemcf": Peer("implicit Cosine", "implicit", lambda k: item_knn("cosine", k)),
    "itemcf-tfidf": Peer("implicit TF-IDF", "implicit", lambda k: item_knn("tfidf", k)),
    "itemcf-bm25": Peer("implicit BM25", "implicit", item_bm25),
    "itemcf-shrunk": Peer("LensKit ItemKNN", "lenskit", lenskit_item_knn),
    "puresvd": Peer("RecTools PureSVD", "rectools", rectools_pure_svd),
    "funksvd": Peer("scikit-surprise SVD", "scikit-surprise", Surprise),
    "als": Peer("implicit ALS", "implicit", implicit_als),
    "bpr": Peer("implicit BPR", "implicit", implicit_bpr),
}


@contextlib.contextmanager
def quiet() -> Any:
    """Peers warn about versions and settings that do not concern the figures."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield
