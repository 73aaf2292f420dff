"""FTRL and FTRL-FM from a text file, beside xLearn's FTRL and scikit-learn's SGD, each on one core.

``python -m benchmarks.bench_ftrl [lr] [fm]`` runs the named races, or both. One pass over a libsvm file, from opening
it to a model, as one has it the first time a file comes (xLearn keeps a binary copy beside a file; it is removed before
each run). Labels are drawn from a planted factorization machine. AUC and log-loss are those of examples that nobody has
learnt from, at the same alpha, beta, L1 and L2 for all that have them.
"""

from __future__ import annotations

import contextlib
import os
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from benchmarks.harness import Race  # isort: skip  (sets the number of threads before NumPy is loaded)

import numpy as np
from numpy.typing import NDArray

from rectutor import metrics
from rectutor.data.sparse import SparseRows, read_libsvm, write_libsvm
from rectutor.retrieval.fm.ftrl import FTRL, FTRLFM

TRAIN, TEST, FIELDS, VALUES, K = 200_000, 50_000, 24, 5000, 4
FEATURES = FIELDS * VALUES
ALPHA, BETA = 0.1, 1.0
Floats = NDArray[Any]


def write_examples(folder: Path) -> tuple[Path, Path]:
    """Train and test file: 24 fields whose values are skewed, labels of a planted factorization machine."""
    rng = np.random.default_rng(0)
    n = TRAIN + TEST
    ids = np.minimum(rng.zipf(1.3, (n, FIELDS)), VALUES) - 1 + np.arange(FIELDS) * VALUES
    w, v = 0.3 * rng.standard_normal(FEATURES), 0.2 * rng.standard_normal((FEATURES, K))
    logit = w[ids].sum(axis=1) - 1
    for f in range(K):
        x = v[ids, f]
        logit += 0.5 * (x.sum(axis=1) ** 2 - (x * x).sum(axis=1))
    label = (rng.random(n) < 1 / (1 + np.exp(-logit))).astype(np.float32)
    indptr = np.arange(0, n * FIELDS + 1, FIELDS)
    rows = SparseRows(label, indptr, ids.ravel(), np.ones(n * FIELDS, np.float32))
    paths = folder / "train.libsvm", folder / "test.libsvm"
    write_libsvm(paths[0], rows[:TRAIN])
    write_libsvm(paths[1], rows[TRAIN:])
    return paths


@contextlib.contextmanager
def silent() -> Iterator[None]:
    """Keep what a compiled library prints from the table."""
    sys.stdout.flush()
    kept, nothing = os.dup(1), os.open(os.devnull, os.O_WRONLY)
    os.dup2(nothing, 1)
    try:
        yield
    finally:
        os.dup2(kept, 1)
        os.close(kept)
        os.close(nothing)


def judged(test: SparseRows, p: Floats, zeros: str = "") -> str:
    return f"AUC {metrics.auc(test.label, p):.4f}, log-loss {metrics.log_loss(test.label, p):.4f}{zeros}"


def ours(model: Callable[[], FTRL | FTRLFM], train: Path, test: SparseRows) -> dict[str, Any]:
    def quality(fitted: FTRL | FTRLFM) -> str:
        return judged(test, fitted.predict(test), f", {1 - fitted.nonzero_ / fitted.seen_:.0%} of the weights zero")

    return {"run": lambda: model().fit_file(train, progress=False), "quality": quality, "ours": True}


def xlearn(kind: str, paths: tuple[Path, Path], test: SparseRows, l1: float, l2: float) -> dict[str, Any]:
    folder = paths[0].parent
    weights, out = folder / "xlearn.model", folder / "xlearn.txt"

    def make() -> Any:
        os.environ.setdefault("USER", "nobody")  # it names its log file so, and ends the process where there is none
        import xlearn as xl

        model = xl.create_fm() if kind == "fm" else xl.create_linear()
        model.setQuiet()
        model.disableNorm()
        model.disableLockFree()
        return model

    def run() -> Any:
        for copy in folder.glob("*.bin"):
            copy.unlink()
        with silent():
            model = make()
            model.setTrain(str(paths[0]))
            options = {"task": "binary", "opt": "ftrl", "epoch": 1, "k": 8, "nthread": 1, "metric": "auc"}
            rates = {"alpha": ALPHA, "beta": BETA, "lambda_1": l1, "lambda_2": l2}
            model.fit({**options, **rates}, str(weights))
        return model

    def quality(model: Any) -> str:
        with silent():
            model.setTest(str(paths[1]))
            model.setSigmoid()
            model.predict(str(weights), str(out))
        return judged(test, np.loadtxt(out))

    return {"run": run, "quality": quality}


def scikit(train: Path, test: SparseRows) -> dict[str, Any]:
    def run() -> Any:
        from sklearn.datasets import load_svmlight_file
        from sklearn.linear_model import SGDClassifier

        x, y = load_svmlight_file(str(train), n_features=FEATURES, zero_based=True)
        x.indices, x.indptr = x.indices.astype(np.int32), x.indptr.astype(np.int32)  # SGDClassifier asks for it
        steps = {"learning_rate": "invscaling", "eta0": 0.2, "power_t": 0.2}  # the best of several that were tried
        return SGDClassifier(loss="log_loss", alpha=1e-6, random_state=0, **steps).partial_fit(x, y, classes=[0, 1])

    def quality(model: Any) -> str:
        from scipy.sparse import csr_matrix

        ids, indptr = test.ids.astype(np.int32), test.indptr.astype(np.int32)
        x = csr_matrix((test.values, ids, indptr), shape=(len(test), FEATURES))
        return judged(test, model.predict_proba(x)[:, 1])

    return {"run": run, "quality": quality}


def lr(paths: tuple[Path, Path], test: SparseRows) -> None:
    note = f"one pass over {paths[0].stat().st_size / 1e6:.0f} MB of text, one core; alpha {ALPHA}, beta {BETA}"
    race = Race("FTRL from a file", unit="non-zeros", work=TRAIN * FIELDS, note=note, target=1.0)
    for both in (0.0, 1.0):
        rates: dict[str, Any] = {"alpha": ALPHA, "beta": BETA, "l1": both, "l2": both}
        make = lambda rates=rates: FTRL(n_features=FEATURES, **rates)  # noqa: E731
        race.add(f"rectutor FTRL, L1 = L2 = {both:g}", **ours(make, paths[0], test))
        race.add(f"xLearn linear, FTRL, L1 = L2 = {both:g}", **xlearn("linear", paths, test, both, both))
    hashed: dict[str, Any] = {"n_features": 2**20, "hashing": "splitmix64"}
    race.add("rectutor FTRL, hashed, L1 = L2 = 1", **ours(lambda: FTRL(**hashed, **rates), paths[0], test))
    race.add("scikit-learn SGDClassifier", **scikit(paths[0], test))
    race.run()


def fm(paths: tuple[Path, Path], test: SparseRows) -> None:
    note = f"one pass over {paths[0].stat().st_size / 1e6:.0f} MB of text, one core; k = 8, alpha {ALPHA}, beta {BETA}"
    race = Race("FTRL-FM from a file", unit="non-zeros", work=TRAIN * FIELDS, note=note, target=1.0)
    for both in (0.0, 1.0):
        rates: dict[str, Any] = {"alpha": ALPHA, "beta": BETA, "l1": both, "l2": both, "v_l1": both, "v_l2": both}
        make = lambda rates=rates: FTRLFM(8, n_features=FEATURES, **rates)  # noqa: E731
        race.add(f"rectutor FTRLFM, L1 = L2 = {both:g}", **ours(make, paths[0], test))
        race.add(f"xLearn FM, FTRL, L1 = L2 = {both:g}", **xlearn("fm", paths, test, both, both))
    race.run()


def main(names: list[str]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        paths = write_examples(Path(folder))
        test = read_libsvm(paths[1])
        for name, race in (("lr", lr), ("fm", fm)):
            if not names or name in names:
                race(paths, test)


if __name__ == "__main__":
    main(sys.argv[1:])
