r"""FTRL-Proximal: logistic regression and factorization machines learnt from a stream, one example at a time.

Per-coordinate FTRL-Proximal (McMahan et al., 2013, Algorithm 1) keeps two sums for each weight, and makes the weight of
them when an example needs it:

.. math::
    w_i = 0 \text{ if } |z_i| \le \lambda_1, \text{ else }
    -\Bigl(\frac{\beta + \sqrt{n_i}}{\alpha} + \lambda_2\Bigr)^{-1} (z_i - \operatorname{sgn}(z_i) \lambda_1), \qquad
    z_i \mathrel{+}= g_i - \frac{\sqrt{n_i + g_i^2} - \sqrt{n_i}}{\alpha} w_i, \quad n_i \mathrel{+}= g_i^2

The step falls with the gradients that the coordinate itself has seen, so rare features still learn when common ones
have settled, and :math:`\lambda_1` keeps weights at exactly zero.

The examples are learnt in the order in which they come. An example is predicted before it is learnt, so the loss of
these predictions is an honest one (progressive validation) and costs nothing. x is a vector: a feature that an example
repeats counts once, with the sum of its values. Fields play no part, ids alone do.

Shapes: N examples, R features, k factors.
"""

from __future__ import annotations

import json
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal, Self

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.special import expit

from rectutor.data.sparse import BLOCK_BYTES, LARGEST_ID, Format, SparseRows, stream_rows
from rectutor.fastpath import fast_path
from rectutor.metrics import auc
from rectutor.retrieval.fm import ftrl_cases as cases
from rectutor.retrieval.fm import ftrl_reference as reference
from rectutor.retrieval.fm.ftrl_kernels import go_over

Floats = NDArray[np.float64]
Hashing = Literal["splitmix64"]

_MARK = "rectutor FTRL 1"
_FINEST = 2048  # steps that log-odds of 1 are cut into where predictions are counted
_HALF = 16 * _FINEST
_RATES = ("alpha", "beta", "l1", "l2", "v_l1", "v_l2", "init")
_REMEDY = "raise n_features (--features), or fold ids with hashing='splitmix64' (--hash)"


class Tally:
    """Log-loss and AUC of a stream of predictions, in constant memory.

    The AUC is that of log-odds rounded to 1/2048 and cut at -16 and 16: what is nearer than that is a tie.

    Attributes:
        rows: number of predictions.

    >>> tally = Tally()
    >>> _ = tally.add(np.array([0.0, 1.0, 1.0]), np.array([-1.0, 2.0, -1.0]))
    >>> tally.rows, tally.auc, round(tally.log_loss, 4)
    (3, 0.75, 0.5845)
    """

    def __init__(self) -> None:
        self.rows = 0
        self._loss = 0.0
        self._counts = np.zeros((2, 2 * _HALF + 1), np.int64)

    def add(self, label: NDArray[Any], log_odds: Floats) -> float:
        """Count predictions [N] of labels 0 or 1 [N]; the sum of their losses."""
        loss = float(np.logaddexp(0, np.where(label == 1, -log_odds, log_odds)).sum())
        self.rows += len(label)
        self._loss += loss
        score = np.clip(np.rint(log_odds * _FINEST), -_HALF, _HALF).astype(np.int64) + _HALF
        np.add.at(self._counts, (label.astype(np.int64), score), 1)
        return loss

    @property
    def log_loss(self) -> float:
        """Mean log-loss in nats; NaN where there is no prediction."""
        return self._loss / self.rows if self.rows else float("nan")

    @property
    def auc(self) -> float:
        """AUC of all predictions; NaN where there are labels of one class only."""
        label, score = self._counts.nonzero()
        if len(set(label.tolist())) < 2:
            return float("nan")
        return auc(label, score.astype(np.float64), self._counts[label, score])


class _Stream:
    """What the two models share: the sums, and how examples get at them."""

    def __init__(
        self,
        k: int,
        rates: dict[str, float],
        n_features: int,
        hashing: Hashing | None,
        intercept: bool,
        seed: int | np.random.Generator,
    ) -> None:
        for name, value in rates.items():
            positive = name in ("alpha", "beta")
            if not (np.isfinite(value) and (value > 0 if positive else value >= 0)):
                raise ValueError(f"{name} is {value}; it must be {'above' if positive else 'at least'} 0 and finite")
        if n_features < 1:
            raise ValueError(f"n_features is {n_features}; it must be at least 1")
        if hashing not in (None, "splitmix64"):
            raise ValueError(f'hashing is {hashing!r}; it must be None or "splitmix64"')
        self.n_features, self.hashing, self.intercept = n_features, hashing, intercept
        self._rates, self._k = rates, k
        self._key = int(np.random.default_rng(seed).integers(2**63))
        self._state = np.zeros((n_features, 2 + 2 * k))
        self._bias = np.zeros(2) if intercept else np.array([0.0, -1.0])
        self.progressive_ = Tally()
        self._history: list[tuple[int, float, float]] = []

    # -- learning ------------------------------------------------------------------------------------------------
    def partial_fit(self, rows: SparseRows) -> Self:
        """Learn from each example in turn, after predicting it; adds a row to ``history_``.

        Raises:
            ValueError: an id of ``n_features`` or more, where ids are not hashed; log-odds that are no longer finite.
        """
        self._learn(rows, record=True)
        return self

    def fit_file(
        self,
        *paths: str | Path,
        epochs: int = 1,
        form: Format | Literal["auto"] = "auto",
        block_bytes: int = BLOCK_BYTES,
        progress: bool = True,
    ) -> Self:
        """Learn from libsvm or libffm files, one after the other, in memory for one block.

        Args:
            paths: files, plain or ``.gz``; ``"-"`` is what is piped in.
            epochs: passes over all files. Progressive validation is that of the first one, in which the examples are
                new.
            form, block_bytes, progress: as of :func:`rectutor.data.sparse.stream_rows`.

        Raises:
            FileNotFoundError: no such file.
            ValueError: a malformed line, or an id of ``n_features`` or more where ids are not hashed, with the line's
                number; what came in blocks before it has been learnt. No path, or what is piped in read twice.
        """
        names = [str(path) for path in paths]
        if not names:
            raise ValueError("paths is empty; name at least one file")
        if epochs < 1 or (epochs > 1 and "-" in names):
            raise ValueError(f"epochs is {epochs}; it must be at least 1, and 1 for what is piped in ('-')")
        if names.count("-") > 1:
            raise ValueError("paths holds '-' twice; what is piped in can be read once")
        for epoch in range(epochs):
            for name in names:
                for rows in self.blocks(name, form=form, block_bytes=block_bytes, progress=progress):
                    self._learn(rows, record=epoch == 0)
        return self

    def blocks(
        self,
        path: str | Path,
        *,
        form: Format | Literal["auto"] = "auto",
        block_bytes: int = BLOCK_BYTES,
        progress: bool = True,
    ) -> Iterator[SparseRows]:
        """The examples of a file block by block, with ids that this model has weights for."""
        largest = self.n_features - 1 if self.hashing is None else LARGEST_ID
        return stream_rows(path, form, block_bytes=block_bytes, largest_id=largest, remedy=_REMEDY, progress=progress)

    def _learn(self, rows: SparseRows, record: bool) -> None:
        log_odds = self._go_over(rows, learn=True)
        if not np.isfinite(log_odds).all():
            row = int((~np.isfinite(log_odds)).argmax())
            raise ValueError(f"learning diverged at row {row} of a block; scale the values to about 1, or lower alpha")
        if record and len(rows):
            loss = self.progressive_.add(rows.label, log_odds)
            self._history.append((self.progressive_.rows, loss / len(rows), self.progressive_.log_loss))

    # -- predicting ----------------------------------------------------------------------------------------------
    def log_odds(self, rows: SparseRows) -> Floats:
        """Log-odds of label 1 [N]; a feature that has not been learnt counts nothing."""
        return self._go_over(rows, learn=False)

    def predict(self, rows: SparseRows) -> Floats:
        """Probabilities of label 1 [N]."""
        return np.asarray(expit(self.log_odds(rows)))

    def predict_file(self, path: str | Path, *, form: Format | Literal["auto"] = "auto") -> Floats:
        """Probabilities of label 1 for the examples of a file [N]; errors as of :meth:`fit_file`."""
        return np.concatenate([self.predict(rows) for rows in self.blocks(path, form=form)])

    def _go_over(self, rows: SparseRows, learn: bool) -> Floats:
        if self.hashing is None and len(rows.ids) and rows.ids.max() >= self.n_features:
            pair = int((rows.ids >= self.n_features).argmax())
            row = int(rows.indptr.searchsorted(pair, side="right")) - 1
            raise ValueError(f"row {row} has id {rows.ids[pair]}; it may be {self.n_features - 1} at most; {_REMEDY}")
        log_odds = np.empty(len(rows))
        rates = np.array([self._rates[name] for name in _RATES])
        go_over(
            rows.indptr,
            rows.ids,
            rows.values,
            rows.label,
            self.hashing is not None,
            learn,
            self._state,
            self._bias,
            rates,
            self._key,
            log_odds,
        )
        return log_odds

    # -- looking inside ------------------------------------------------------------------------------------------
    @property
    def weights_(self) -> Floats:
        """w, with 0 where L1 holds it or nothing was learnt [R]."""
        return self._closed_form(self._state[:, 0], self._state[:, 1], self._rates["l1"], self._rates["l2"])

    @property
    def intercept_(self) -> float:
        """The log-odds of an example without features; learnt without regularisation, 0 where there is none."""
        return float(self._closed_form(self._bias[:1], self._bias[1:], 0.0, 0.0)[0]) if self.intercept else 0.0

    @property
    def nonzero_(self) -> int:
        """How many weights are not 0."""
        return int(np.count_nonzero(self.weights_))

    @property
    def seen_(self) -> int:
        """How many features have had a gradient."""
        return int(np.count_nonzero(self._state[:, 1]))

    @property
    def history_(self) -> pd.DataFrame:
        """Progressive validation: examples so far, mean log-loss of the last block and of all, a row a block.

        ``progressive_`` holds log-loss and AUC over all blocks.
        """
        return pd.DataFrame(self._history, columns=["rows", "log_loss", "average"]).astype({"rows": np.int64})

    def _closed_form(self, z: Floats, n: Floats, l1: float, l2: float) -> Floats:
        shrunk = np.sign(z) * np.maximum(np.abs(z) - l1, 0)
        rate = (self._rates["beta"] + np.sqrt(n)) / self._rates["alpha"] + l2
        return np.asarray(np.divide(-shrunk, rate, out=np.zeros_like(z), where=shrunk != 0))

    # -- keeping -------------------------------------------------------------------------------------------------
    def save(self, path: str | Path) -> None:
        """Write the whole state, from which :meth:`load` goes on as if nothing had happened (NumPy's ``.npz``)."""
        seen = np.flatnonzero(self._state.any(axis=1))
        label, score = self.progressive_._counts.nonzero()
        settings = {"n_features": self.n_features, "hashing": self.hashing, "intercept": self.intercept}
        with open(path, "wb") as file:  # np.savez would add .npz to a path
            np.savez(
                file,
                mark=np.array(f"{_MARK} {type(self).__name__}"),
                settings=np.array(json.dumps(settings | {"rates": self._rates, "k": self._k, "key": self._key})),
                seen=seen,
                state=self._state[seen],
                bias=self._bias,
                loss=np.array([self.progressive_._loss]),
                counts=np.stack([label, score, self.progressive_._counts[label, score]]),
                history=np.array(self._history, np.float64).reshape(-1, 3),
            )

    @classmethod
    def load(cls, path: str | Path) -> Self:
        """Read what :meth:`save` wrote.

        Raises:
            FileNotFoundError: no such file.
            ValueError: a file that is damaged, cut short, or of something else.
        """
        try:
            with open(path, "rb") as file, np.load(file, allow_pickle=False) as archive:
                content = {name: archive[name] for name in archive.files}
        except (ValueError, EOFError, zipfile.BadZipFile, AttributeError, TypeError) as error:
            raise ValueError(f"{path} is damaged, cut short or no model: {error}") from error
        mark = str(content.get("mark"))
        if mark != f"{_MARK} {cls.__name__}":
            found = mark.removeprefix(f"{_MARK} ") if mark.startswith(_MARK) else "something else"
            raise ValueError(f"{path} holds {found}; it must hold a saved {cls.__name__}")
        settings = json.loads(str(content["settings"]))
        model = cls.__new__(cls)
        _Stream.__init__(
            model,
            settings["k"],
            settings["rates"],
            settings["n_features"],
            settings["hashing"],
            settings["intercept"],
            seed=0,
        )
        model._key, model._bias = settings["key"], content["bias"]
        model._state[content["seen"]] = content["state"]
        label, score, count = content["counts"]
        model.progressive_._counts[label, score] = count
        model.progressive_._loss, model.progressive_.rows = float(content["loss"][0]), int(count.sum())
        model._history = [(int(rows), loss, average) for rows, loss, average in content["history"].tolist()]
        return model


class FTRL(_Stream):
    """Logistic regression learnt by FTRL-Proximal (McMahan et al., 2013, Algorithm 1).

    Args:
        alpha, beta: the step of a coordinate is about alpha / (beta + sqrt(n)); alpha is the one to tune.
        l1, l2: regularisation of the weights. l1 is weighed against |z|, a sum of gradients: a feature whose gradients
            nearly cancel stays at exactly 0.
        n_features: the number of weights; ids go from 0 to ``n_features - 1`` unless they are hashed.
        hashing: ``"splitmix64"`` takes any id and gives it the weight splitmix64(id) mod ``n_features``, where
            splitmix64(id) is the id-th number of the generator of that name with seed 0. Ids that meet there share
            it: of u ids about u^2 / (2 ``n_features``) pairs do.
        intercept: whether there is one; it is not regularised.

    Raises:
        ValueError: alpha or beta <= 0, another parameter < 0, n_features < 1, an unknown hashing.

    >>> rows = SparseRows.of([(1, {0: 1.0, 2: 1.0}), (0, {1: 1.0, 2: 1.0})] * 50)
    >>> model = FTRL(alpha=0.5, l1=0.5, n_features=3).partial_fit(rows)
    >>> model.weights_.round(2).tolist(), model.nonzero_
    ([1.97, -1.98, 0.0], 2)
    """

    def __init__(
        self,
        *,
        alpha: float = 0.05,
        beta: float = 1.0,
        l1: float = 1.0,
        l2: float = 1.0,
        n_features: int = 2**20,
        hashing: Hashing | None = None,
        intercept: bool = True,
    ) -> None:
        rates = {"alpha": alpha, "beta": beta, "l1": l1, "l2": l2, "v_l1": 0.0, "v_l2": l2, "init": 0.0}
        super().__init__(0, rates, n_features, hashing, intercept, seed=0)


class FTRLFM(_Stream):
    r"""A factorization machine (Rendle, 2010) learnt by FTRL-Proximal, coordinate by coordinate, from a stream.

    .. math:: \hat y = \sigma\Bigl(w_0 + \sum_i w_i x_i + \sum_{i<j} \langle v_i, v_j \rangle x_i x_j\Bigr)

    A factor :math:`v_{if}` is its first value until it has its first gradient; from then on it is what its sums make
    of it, as in alphaFM. The first value depends on seed, feature and f alone, so blocks, files and other examples do
    not change it. In prediction a factor without any gradient counts as 0.

    Args:
        k: factors of a feature.
        alpha, beta: as of :class:`FTRL`, for weights and factors.
        l1, l2, n_features, hashing, intercept: as of :class:`FTRL`.
        v_l1, v_l2: regularisation of the factors.
        init: spread of the normal distribution of the first values.
        seed: draws them.

    Raises:
        ValueError: as :class:`FTRL`; k < 1.

    >>> unlike = [(1, {0: 1.0, 2: 1.0}), (1, {1: 1.0, 3: 1.0}), (0, {0: 1.0, 3: 1.0}), (0, {1: 1.0, 2: 1.0})]
    >>> rows = SparseRows.of(unlike * 200)
    >>> model = FTRLFM(k=4, alpha=0.5, l1=0.0, v_l2=0.0, n_features=4).partial_fit(rows)
    >>> model.predict(rows[:4]).round(1).tolist()  # no weighted sum can do this
    [1.0, 1.0, 0.0, 0.0]
    """

    def __init__(
        self,
        k: int = 8,
        *,
        alpha: float = 0.05,
        beta: float = 1.0,
        l1: float = 1.0,
        l2: float = 1.0,
        v_l1: float = 0.0,
        v_l2: float = 1.0,
        init: float = 0.02,
        n_features: int = 2**20,
        hashing: Hashing | None = None,
        intercept: bool = True,
        seed: int | np.random.Generator = 0,
    ) -> None:
        if k < 1:
            raise ValueError(f"k is {k}; it must be at least 1 (FTRL has no factors)")
        rates = {"alpha": alpha, "beta": beta, "l1": l1, "l2": l2, "v_l1": v_l1, "v_l2": v_l2, "init": init}
        super().__init__(k, rates, n_features, hashing, intercept, seed)

    @property
    def factors_(self) -> Floats:
        """v, with 0 where L1 holds it or nothing was learnt [R, k]."""
        z, n = self._state[:, 2 : 2 + self._k], self._state[:, 2 + self._k :]
        return self._closed_form(z, n, self._rates["v_l1"], self._rates["v_l2"])


# -- the pairs ---------------------------------------------------------------------------------------------------
@fast_path(
    reference.ftrl, cases=cases.ftrl, rtol=1e-11, atol=1e-12, bench=cases.ftrl_of_size, sizes=(100, 1000, 10_000)
)
def ftrl(
    rows: SparseRows,
    n_features: int,
    *,
    alpha: float = 0.05,
    beta: float = 1.0,
    l1: float = 1.0,
    l2: float = 1.0,
    intercept: bool = True,
    hashing: Hashing | None = None,
) -> tuple[Floats, float, Floats]:
    """One pass of :class:`FTRL`: weights [R], intercept, and the predictions before each example was learnt [N].

    >>> w, b, p = ftrl(SparseRows.of([(1, {0: 1.0}), (1, {0: 1.0})]), 1, l1=0.0)
    >>> p.round(3).tolist()
    [0.5, 0.508]
    """
    model = FTRL(alpha=alpha, beta=beta, l1=l1, l2=l2, n_features=n_features, hashing=hashing, intercept=intercept)
    p = expit(model._go_over(rows, learn=True))
    return model.weights_, model.intercept_, p


@fast_path(
    reference.ftrl_fm,
    cases=cases.ftrl_fm,
    rtol=1e-9,  # crosses by the identity lose digits where large values cancel
    atol=1e-11,
    bench=cases.ftrl_fm_of_size,
    sizes=(100, 1000, 10_000),
)
def ftrl_fm(
    rows: SparseRows,
    n_features: int,
    k: int = 8,
    *,
    alpha: float = 0.05,
    beta: float = 1.0,
    l1: float = 1.0,
    l2: float = 1.0,
    v_l1: float = 0.0,
    v_l2: float = 1.0,
    init: float = 0.02,
    intercept: bool = True,
    hashing: Hashing | None = None,
    seed: int | np.random.Generator = 0,
) -> tuple[Floats, Floats, float, Floats]:
    """One pass of :class:`FTRLFM`: weights [R], factors [R, k], intercept, the predictions before learning [N].

    >>> w, v, b, p = ftrl_fm(SparseRows.of([(1, {0: 1.0, 1: 1.0})]), 3, 2)
    >>> w.shape, v.shape, p.round(2).tolist()
    ((3,), (3, 2), [0.5])
    """
    model = FTRLFM(
        k,
        alpha=alpha,
        beta=beta,
        l1=l1,
        l2=l2,
        v_l1=v_l1,
        v_l2=v_l2,
        init=init,
        n_features=n_features,
        hashing=hashing,
        intercept=intercept,
        seed=seed,
    )
    p = expit(model._go_over(rows, learn=True))
    return model.weights_, model.factors_, model.intercept_, p
