"""Implicit ALS: all cells of the matrix count, the seen ones more, and every half of the problem is a linear system.

Source: Hu, Koren and Volinsky, Collaborative filtering for implicit feedback datasets, ICDM 2008; conjugate gradient in
place of the exact solution: Takacs, Pilaszy and Tikk, Applications of the conjugate gradient method for implicit
feedback collaborative filtering, RecSys 2011.

Shapes: U users, I items, f factors, n rows solved for, m rows held fixed.
"""

from __future__ import annotations

from typing import Self

import numpy as np
from numba import njit, prange
from numpy.typing import NDArray
from scipy import sparse

from rectutor.data import Interactions
from rectutor.fastpath import fast_path
from rectutor.retrieval.cf import factors_cases as cases
from rectutor.retrieval.cf import factors_reference as reference
from rectutor.retrieval.cf.factor_model import FactorModel, Floats, Solver, starting_factors
from rectutor.retrieval.loops import REASSOCIATE, bar, check_at_least, threads

ROWS_PER_TASK = 64
"""Enough rows that handing out tasks costs nothing, few enough that threads finish together."""
LOSS_ROWS = 1 << 16
"""Stored cells the loss takes at a time, which bounds its memory."""


class ImplicitALS(FactorModel):
    r"""Matrix factorization of implicit feedback by alternating least squares.

    Hu, Koren and Volinsky 2008, equations 3 to 5. With :math:`p_{ui} = 1` where :math:`r_{ui} > 0`, else 0, and the
    confidence :math:`c_{ui} = 1 + \alpha r_{ui}`,

    .. math:: L = \sum_{u,i} c_{ui} (p_{ui} - x_u^\top y_i)^2
              + \lambda \Bigl(\sum_u \lVert x_u \rVert^2 + \sum_i \lVert y_i \rVert^2\Bigr)

    is minimised over all users with the items fixed, then over all items with the users fixed, and so on. A user or
    item without a positive value gets zero factors (the minimum of its part of the loss), so all its scores are 0.

    The weight :math:`\lambda` is not multiplied by the number of ratings. ``implicit`` uses the same weight but reads
    :math:`c_{ui}` itself from its matrix: fit it on ``1 + alpha * r`` in the stored cells to get the same problem.

    Args:
        factors: f, length of the hidden vectors.
        epochs: passes; each solves for all users, then for all items.
        reg: :math:`\lambda`, at least 0.
        alpha: :math:`\alpha`, how much confidence a unit of feedback adds.
        solver: ``"cg"`` takes ``cg_steps`` steps of conjugate gradient from the last pass's solution; ``"cholesky"``
            solves exactly, in float64.
        cg_steps: steps of conjugate gradient; three are close to exact after a few passes.
        init_std: standard deviation of the items' starting factors; users start at zero.
        track_loss: keep L after each pass in ``loss_``.
        n_threads: threads of the compiled loops; None for all, or one where there is little to do. It changes the time
            only.
        seed: draws the starting factors.
        progress: show a progress bar always, never, or (None) when fitting lasts over two seconds.

    Attributes:
        user_factors_: float32 [U, f].
        item_factors_: float32 [I, f].
        loss_: L after each pass, float64 [epochs]; only with ``track_loss``.

    >>> from rectutor.data import Interactions
    >>> log = Interactions.from_arrays(list("aabbcc"), [1, 2, 1, 2, 3, 4])
    >>> model = ImplicitALS(factors=2, reg=0.1, alpha=10.0, solver="cholesky").fit(log)
    >>> bool(model.score([0])[0, 1] > 0.9), bool(abs(model.score([0])[0, 3]) < 0.1)
    (True, True)
    """

    loss_: NDArray[np.float64]

    def __init__(
        self,
        factors: int = 64,
        *,
        epochs: int = 15,
        reg: float = 0.01,
        alpha: float = 1.0,
        solver: Solver = "cg",
        cg_steps: int = 3,
        init_std: float = 0.01,
        track_loss: bool = False,
        n_threads: int | None = None,
        seed: int | np.random.Generator = 0,
        progress: bool | None = None,
    ) -> None:
        self.factors = factors
        self.epochs = epochs
        self.reg = reg
        self.alpha = alpha
        self.solver = solver
        self.cg_steps = cg_steps
        self.init_std = init_std
        self.track_loss = track_loss
        self.n_threads = n_threads
        self.seed = seed
        self.progress = progress

    def fit(self, interactions: Interactions | sparse.csr_array) -> Self:
        """Learn from interactions; values are the strengths r.

        Raises:
            ValueError: a parameter out of its range, no interactions, or a negative or infinite value.
        """
        check_at_least("factors", self.factors, 1, whole=True)
        check_at_least("epochs", self.epochs, 1, whole=True)
        check_at_least("cg_steps", self.cg_steps, 1, whole=True)
        for name in ("reg", "alpha"):
            check_at_least(name, getattr(self, name), 0)
        check_at_least("init_std", self.init_std, 0, strictly=True)
        if self.solver not in ("cg", "cholesky"):
            raise ValueError(f"solver is {self.solver!r}; choose 'cg' or 'cholesky'")
        by_user = self._begin(interactions)
        if not by_user.data.all():
            by_user = by_user.copy()
            by_user.eliminate_zeros()  # r = 0 is p = 0 with confidence 1: the same as a cell that is not stored
        by_item = by_user.T.tocsr()
        n_users, n_items = by_user.shape
        self.item_factors_ = starting_factors(np.random.default_rng(self.seed), n_items, self.factors, self.init_std)
        self.user_factors_ = np.zeros((n_users, self.factors), dtype=np.float32)
        losses = []
        with threads(self.n_threads, work=by_user.nnz * self.factors):
            for _ in bar(range(self.epochs), "ALS", self.progress):
                self._half(by_user, self.user_factors_, self.item_factors_)
                self._half(by_item, self.item_factors_, self.user_factors_)
                if self.track_loss:
                    losses.append(als_loss(by_user, self.user_factors_, self.item_factors_, self.reg, self.alpha))
        self.loss_ = np.array(losses)
        return self

    def _half(self, matrix: sparse.csr_array, rows: Floats, fixed: Floats) -> None:
        if self.solver == "cg":
            _cg_rows(matrix, rows, fixed, self.reg, self.alpha, self.cg_steps)
        else:
            _exact_rows(matrix, rows, fixed, self.reg, self.alpha)


def _parts(matrix: sparse.csr_array, alpha: float) -> tuple[NDArray[np.int64], NDArray[np.int32], Floats]:
    """``indptr``, ``indices`` and the extra confidence alpha * r in the types the kernels are compiled for."""
    return (
        matrix.indptr.astype(np.int64, copy=False),
        matrix.indices.astype(np.int32, copy=False),
        np.float32(alpha) * matrix.data,
    )


def _cg_rows(matrix: sparse.csr_array, rows: Floats, fixed: Floats, reg: float, alpha: float, steps: int) -> None:
    gram = fixed.T @ fixed + np.float32(reg) * np.eye(fixed.shape[1], dtype=np.float32)  # [f, f]
    _solve_cg(*_parts(matrix, alpha), gram, rows, fixed, steps)


def _exact_rows(matrix: sparse.csr_array, rows: Floats, fixed: Floats, reg: float, alpha: float) -> None:
    wide = fixed.astype(np.float64)
    gram = wide.T @ wide + reg * np.eye(wide.shape[1])  # [f, f]
    failed = np.empty((len(rows) + ROWS_PER_TASK - 1) // ROWS_PER_TASK, dtype=np.int64)
    _solve_exact(*_parts(matrix, alpha), gram, rows, fixed, failed)
    if (failed >= 0).any():
        raise ValueError(f"the system of row {failed.max()} is singular with reg={reg}; choose a greater reg")


@njit(cache=True, fastmath=REASSOCIATE)
def _residual(
    indices: NDArray[np.int32],
    extra: Floats,
    begin: int,
    end: int,
    gram: Floats,
    fixed: Floats,
    v: Floats,
    target: np.float32,
    out: Floats,
) -> None:
    """Write ``target * b - A v`` to ``out`` [f], where A x = b is the system of one row.

    A is never formed: A v = (Y'Y + reg I) v + sum of extra_i (y_i . v) y_i over the row's items. Four rows of a matrix
    are taken at a time, because ``v`` and ``out`` are then loaded once for four multiply-adds.
    """
    f = len(v)
    out[:] = 0
    i = 0
    while i + 4 <= f:
        v0, v1, v2, v3 = v[i], v[i + 1], v[i + 2], v[i + 3]
        for d in range(f):
            out[d] -= v0 * gram[i, d] + v1 * gram[i + 1, d] + v2 * gram[i + 2, d] + v3 * gram[i + 3, d]
        i += 4
    while i < f:
        v0 = v[i]
        for d in range(f):
            out[d] -= v0 * gram[i, d]
        i += 1
    n = begin
    while n + 4 <= end:
        i0, i1, i2, i3 = indices[n], indices[n + 1], indices[n + 2], indices[n + 3]
        s0 = s1 = s2 = s3 = np.float32(0)
        for d in range(f):
            vd = v[d]
            s0 += vd * fixed[i0, d]
            s1 += vd * fixed[i1, d]
            s2 += vd * fixed[i2, d]
            s3 += vd * fixed[i3, d]
        c0 = target + extra[n] * (target - s0)
        c1 = target + extra[n + 1] * (target - s1)
        c2 = target + extra[n + 2] * (target - s2)
        c3 = target + extra[n + 3] * (target - s3)
        for d in range(f):
            out[d] += c0 * fixed[i0, d] + c1 * fixed[i1, d] + c2 * fixed[i2, d] + c3 * fixed[i3, d]
        n += 4
    while n < end:
        i0 = indices[n]
        s0 = np.float32(0)
        for d in range(f):
            s0 += v[d] * fixed[i0, d]
        c0 = target + extra[n] * (target - s0)
        for d in range(f):
            out[d] += c0 * fixed[i0, d]
        n += 1


@njit(cache=True, fastmath=REASSOCIATE)
def _cg_task(
    first: int,
    last: int,
    indptr: NDArray[np.int64],
    indices: NDArray[np.int32],
    extra: Floats,
    gram: Floats,
    rows: Floats,
    fixed: Floats,
    steps: int,
) -> None:
    """Improve ``rows[first:last]`` by conjugate gradient, each on its own system, starting where it is."""
    f = rows.shape[1]
    residual = np.empty(f, np.float32)
    direction = np.empty(f, np.float32)
    image = np.empty(f, np.float32)  # -A direction
    for row in range(first, last):
        begin, end = indptr[row], indptr[row + 1]
        x = rows[row]
        if begin == end:
            x[:] = 0
            continue
        _residual(indices, extra, begin, end, gram, fixed, x, np.float32(1), residual)
        error = np.float32(0)
        for d in range(f):
            direction[d] = residual[d]
            error += residual[d] * residual[d]
        enough = max(np.float32(1e-12) * error, np.float32(1e-20))  # below it, only rounding errors would be divided
        for _ in range(steps):
            if error <= enough:
                break
            _residual(indices, extra, begin, end, gram, fixed, direction, np.float32(0), image)
            curvature = np.float32(0)
            for d in range(f):
                curvature -= direction[d] * image[d]
            if curvature <= np.float32(0):  # A is singular along this direction: nothing to gain there
                break
            step = error / curvature
            left = np.float32(0)
            for d in range(f):
                x[d] += step * direction[d]
                residual[d] += step * image[d]
                left += residual[d] * residual[d]
            ratio = left / error
            for d in range(f):
                direction[d] = residual[d] + ratio * direction[d]
            error = left


@njit(cache=True, parallel=True)
def _solve_cg(
    indptr: NDArray[np.int64],
    indices: NDArray[np.int32],
    extra: Floats,
    gram: Floats,
    rows: Floats,
    fixed: Floats,
    steps: int,
) -> None:
    """Improve each of ``rows`` [n, f]."""
    n_rows = len(rows)
    for task in prange((n_rows + ROWS_PER_TASK - 1) // ROWS_PER_TASK):
        first = task * ROWS_PER_TASK
        _cg_task(first, min(n_rows, first + ROWS_PER_TASK), indptr, indices, extra, gram, rows, fixed, steps)


@njit(cache=True, fastmath=REASSOCIATE)
def _cholesky_solve(a: NDArray[np.float64], b: NDArray[np.float64]) -> bool:
    """Solve A x = b in place, A [f, f] positive definite with its lower triangle given; False where it is not."""
    f = len(b)
    for j in range(f):
        for k in range(j):
            s = 0.0
            for d in range(k):
                s += a[j, d] * a[k, d]
            a[j, k] = (a[j, k] - s) / a[k, k]
        s = 0.0
        for d in range(j):
            s += a[j, d] * a[j, d]
        pivot = a[j, j] - s
        if not pivot > 1e-14 * a[j, j]:
            return False
        a[j, j] = np.sqrt(pivot)
        s = 0.0
        for d in range(j):
            s += a[j, d] * b[d]
        b[j] = (b[j] - s) / a[j, j]  # forward substitution as the rows of the factor appear
    for j in range(f - 1, -1, -1):
        b[j] /= a[j, j]
        for d in range(j):
            b[d] -= b[j] * a[j, d]
    return True


@njit(cache=True, fastmath=REASSOCIATE)
def _exact_task(
    first: int,
    last: int,
    indptr: NDArray[np.int64],
    indices: NDArray[np.int32],
    extra: Floats,
    gram: NDArray[np.float64],
    rows: Floats,
    fixed: Floats,
) -> int:
    """Replace ``rows[first:last]`` by the solutions of their systems; the first row whose system is singular, or -1."""
    f = rows.shape[1]
    a = np.empty((f, f), np.float64)
    b = np.empty(f, np.float64)
    y = np.empty(f, np.float64)
    for row in range(first, last):
        if indptr[row] == indptr[row + 1]:
            rows[row, :] = 0
            continue
        for j in range(f):
            b[j] = 0
            for d in range(j + 1):
                a[j, d] = gram[j, d]
        for n in range(indptr[row], indptr[row + 1]):
            c = np.float64(extra[n])
            for d in range(f):
                y[d] = fixed[indices[n], d]
            for j in range(f):
                cy = c * y[j]
                b[j] += y[j] + cy
                for d in range(j + 1):
                    a[j, d] += cy * y[d]
        if not _cholesky_solve(a, b):
            return row
        for d in range(f):
            rows[row, d] = b[d]
    return -1


@njit(cache=True, parallel=True)
def _solve_exact(
    indptr: NDArray[np.int64],
    indices: NDArray[np.int32],
    extra: Floats,
    gram: NDArray[np.float64],
    rows: Floats,
    fixed: Floats,
    failed: NDArray[np.int64],
) -> None:
    """Replace each of ``rows`` [n, f]; ``failed`` tells of each task's singular row, or -1."""
    n_rows = len(rows)
    for task in prange(len(failed)):
        first = task * ROWS_PER_TASK
        last = min(n_rows, first + ROWS_PER_TASK)
        failed[task] = _exact_task(first, last, indptr, indices, extra, gram, rows, fixed)


@fast_path(
    reference.als_half,
    cases=cases.als_half,
    rtol=2e-5,
    atol=2e-6,
    bench=cases.bench_als_half,
    sizes=(100, 300, 1_000),
    unit="users",
)
def als_half(
    matrix: sparse.csr_array, rows: Floats, fixed: Floats, reg: float, alpha: float, cg_steps: int | None = None
) -> Floats:
    """New factors [n, f] of every row of the matrix [n, m] with the columns' factors ``fixed`` [m, f].

    Exact where ``cg_steps`` is None, else so many steps of conjugate gradient from ``rows``.
    """
    solved = rows.copy()
    if cg_steps is None:
        _exact_rows(matrix, solved, fixed, reg, alpha)
    else:
        _cg_rows(matrix, solved, fixed, reg, alpha, cg_steps)
    return solved


@fast_path(reference.als_loss, cases=cases.als_loss, rtol=1e-6, bench=cases.bench_als_loss, sizes=(30, 100, 300))
def als_loss(matrix: sparse.csr_array, x: Floats, y: Floats, reg: float, alpha: float) -> float:
    """The loss over all cells, without visiting those that are zero.

    The squared scores of all cells sum to trace(X'X Y'Y); what the stored cells differ by is added.
    """
    x_, y_ = x.astype(np.float64), y.astype(np.float64)
    total = float(((x_.T @ x_) * (y_.T @ y_)).sum() + reg * ((x_**2).sum() + (y_**2).sum()))
    user = np.repeat(np.arange(matrix.shape[0]), np.diff(matrix.indptr))
    for start in range(0, matrix.nnz, LOSS_ROWS):
        part = slice(start, start + LOSS_ROWS)
        r = matrix.data[part].astype(np.float64)
        score = np.einsum("nf,nf->n", x_[user[part]], y_[matrix.indices[part]])
        total += float(((1 + alpha * r) * ((r > 0) - score) ** 2 - score**2).sum())
    return total


@fast_path(reference.implicit_als, cases=cases.implicit_als, rtol=1e-4, atol=1e-4)
def train_als(
    matrix: sparse.csr_array,
    factors: int,
    epochs: int,
    reg: float,
    alpha: float,
    cg_steps: int | None = None,
    init_std: float = 0.01,
    seed: int = 0,
) -> tuple[Floats, Floats]:
    """Fit :class:`ImplicitALS`, exactly where ``cg_steps`` is None; ``user_factors, item_factors``."""
    model = ImplicitALS(
        factors,
        epochs=epochs,
        reg=reg,
        alpha=alpha,
        solver="cholesky" if cg_steps is None else "cg",
        cg_steps=cg_steps or 1,
        init_std=init_std,
        seed=seed,
        progress=False,
    ).fit(matrix)
    return model.user_factors_, model.item_factors_
