"""CLIP: put images and texts into one space, from pairs alone, without labels.

Two encoders trained apart put their outputs into two unrelated spaces: the dot product of an image and a text means
nothing. CLIP trains them together, so that among the B texts of a batch the image finds its own, and the text its
image. The other pairs of the batch serve as negatives.

Source: Radford, Kim, Hallacy et al., Learning transferable visual models from natural language supervision, ICML 2021.

Shapes: N pairs, B pairs of a batch, D numbers of an input vector, d of an embedding.
"""

from __future__ import annotations

import math
from typing import Any, Self

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray
from tqdm import tqdm

from rectutor.fastpath import fast_path
from rectutor.rerank import clip_cases as cases
from rectutor.rerank import clip_reference as reference
from rectutor.rerank.clip_reference import MAX_SCALE, START_TEMPERATURE

Floats = NDArray[np.float64]


@fast_path(
    reference.contrastive_loss,
    cases=cases.contrastive_loss,
    rtol=1e-10,
    atol=1e-12,
    bench=cases.bench_contrastive_loss,
    sizes=(32, 64, 128, 256),
    unit="pairs",
)
def contrastive_loss(image: ArrayLike, text: ArrayLike, scale: float) -> tuple[float, Floats, Floats, float]:
    r"""Symmetric cross-entropy of a batch of pairs, and its gradients.

    Radford et al. 2021, figure 3: with the logits :math:`Z = s A B^\top`, each row says which text an image goes with,
    each column which image a text goes with, and the right answers are on the diagonal:

    .. math:: L = -\frac{1}{2B} \sum_n \bigl( \log \operatorname{softmax}_m(Z)_{nn}
              + \log \operatorname{softmax}_n(Z)_{nn} \bigr).

    Args:
        image: embeddings A [B, d], as a rule unit rows.
        text: embeddings B [B, d]; row n belongs to row n of ``image``.
        scale: s, the inverse of the temperature.

    Returns:
        L, and its derivatives by ``image`` [B, d], by ``text`` [B, d] and by ``scale``.

    Raises:
        ValueError: shapes that differ, no pair, NaN or infinity.

    >>> loss, *_ = contrastive_loss([[1.0, 0.0], [0.0, 1.0]], [[1.0, 0.0], [0.0, 1.0]], scale=2.0)
    >>> round(loss, 6), round(math.log(1 + math.exp(-2)), 6)
    (0.126928, 0.126928)
    """
    a, b = _matrix(image, "image"), _matrix(text, "text")
    if a.shape != b.shape:
        raise ValueError(f"image has shape {a.shape}, text has {b.shape}; row n of one belongs to row n of the other")
    if not math.isfinite(scale):
        raise ValueError(f"scale is {scale}; give a finite number")
    return _loss(a, b, scale)


def _loss(a: Floats, b: Floats, scale: float) -> tuple[float, Floats, Floats, float]:
    """What :func:`contrastive_loss` computes, of float64 matrices that need no check."""
    size = len(a)
    cosine = _product(a, b.T)  # [B, B]
    z = scale * cosine
    right = z.diagonal().copy()  # [B]
    top = z.max(axis=1, keepdims=True)  # [B, 1]
    by_row = np.exp(z - top)
    total = by_row.sum(axis=1, keepdims=True)
    loss = float((top + np.log(total)).sum())
    by_row /= total
    top = z.max(axis=0)  # [B]
    z -= top
    by_column = np.exp(z, out=z)
    total = by_column.sum(axis=0)
    loss += float((top + np.log(total)).sum())
    by_column /= total
    g = by_row  # becomes the derivative by the logits [B, B]
    g += by_column
    g /= 2 * size
    g.flat[:: size + 1] -= 1 / size
    d_scale = float(np.einsum("nm,nm->", g, cosine))
    g *= scale
    return loss / (2 * size) - float(right.mean()), _product(g, b), _product(g.T, a), d_scale


ON_ONE_THREAD = 2**18
"""Multiply-adds up to which OpenBLAS, which NumPy's wheels bring along, takes one thread."""


def _product(a: Floats, b: Floats) -> Floats:
    """``a @ b``, in blocks of rows so small that one thread computes each.

    A batch's products take some ten microseconds. To share them out gains nothing, and where other programs hold the
    cores a product then waits milliseconds for its other thread: a fit took 0.2 s on one thread and 8 s on two.
    """
    rows = max(1, ON_ONE_THREAD // b.size)
    out: Floats = np.empty((len(a), b.shape[1]))
    for begin in range(0, len(a), rows):
        np.matmul(a[begin : begin + rows], b, out=out[begin : begin + rows])
    return out


class Clip:
    r"""Two linear encoders into one space, trained on pairs of an image and a text.

    Radford et al. 2021, figure 3. An input x becomes :math:`e = W^\top x / \lVert W^\top x \rVert`; a batch of B pairs
    moves both encoders along the gradient of :func:`contrastive_loss`, by Adam. The inverse temperature s is learned in
    its logarithm, from 1 / 0.07, and may not exceed 100 (section 2.5). Nothing is learned from labels: that row n
    of the images and row n of the texts belong to one note is all there is, and it may be wrong for some rows.

    An epoch shuffles the pairs and cuts them into batches of B; the fewer than B pairs that are left over wait for the
    next epoch's shuffle.

    Args:
        dim: d, numbers of an embedding, at least 2 (in one dimension a unit vector is +1 or -1 and cannot turn).
        batch: B, pairs of a batch, from 2 to N. Each image is compared with B texts.
        epochs: passes over the pairs.
        lr: step size of Adam.
        temperature: None learns it; a number of at least 0.01 holds it. A low temperature makes the embeddings tell
            single notes apart, a high one keeps what many notes have in common.
        seed: draws the starting weights and the batches.
        progress: show a progress bar always, never, or (None) when fitting lasts over two seconds.

    Attributes:
        image_weights_, text_weights_: float64 [D, d]; images and texts may differ in D.
        temperature_: the temperature at the end.
        history_: a DataFrame with a row an epoch: ``epoch`` from 1, ``loss`` (mean over the batches, each before its
            step), ``temperature`` at the end of the epoch.

    >>> rng = np.random.default_rng(0)
    >>> hidden = rng.normal(size=(200, 4))
    >>> image, text = hidden @ rng.normal(size=(4, 8)), hidden @ rng.normal(size=(4, 8))
    >>> model = Clip(dim=4, batch=50, epochs=60, seed=0).fit(image, text)
    >>> match = model.encode_image(image) @ model.encode_text(text).T
    >>> bool((match.argmax(axis=1) == np.arange(200)).mean() > 0.9)
    True
    """

    image_weights_: Floats
    text_weights_: Floats
    temperature_: float
    history_: pd.DataFrame

    def __init__(
        self,
        dim: int = 32,
        *,
        batch: int = 256,
        epochs: int = 10,
        lr: float = 0.01,
        temperature: float | None = None,
        seed: int | np.random.Generator = 0,
        progress: bool | None = None,
    ) -> None:
        self.dim = dim
        self.batch = batch
        self.epochs = epochs
        self.lr = lr
        self.temperature = temperature
        self.seed = seed
        self.progress = progress

    def fit(self, image: ArrayLike, text: ArrayLike) -> Self:
        """Learn from N pairs, image [N, D_i] and text [N, D_t].

        Raises:
            ValueError: different numbers of rows, NaN or infinity, a row of zeros, a parameter out of its range, a
                batch greater than N, or a diverging fit.
            TypeError: a whole number that is not one.
        """
        x, y = _inputs(image, "image"), _inputs(text, "text")
        self._check(len(x), len(y))
        rng = np.random.default_rng(self.seed)
        weights = [rng.normal(0.0, side.shape[1] ** -0.5, (side.shape[1], self.dim)) for side in (x, y)]
        start = START_TEMPERATURE if self.temperature is None else self.temperature
        values = [*weights, np.array(-math.log(start))]
        learned = values if self.temperature is None else weights
        adam = _Adam(learned, self.lr)
        history: list[tuple[int, float, float]] = []
        for epoch in _bar(self.epochs, self.progress):
            order, losses = rng.permutation(len(x)), []
            with np.errstate(over="ignore", invalid="ignore", divide="ignore"):  # what they leave is looked for below
                for begin in range(0, len(x) - self.batch + 1, self.batch):
                    rows = order[begin : begin + self.batch]
                    loss, gradients = _gradients(x[rows], y[rows], values)
                    adam.step(gradients[: len(learned)])
                    np.minimum(values[2], math.log(MAX_SCALE), out=values[2])
                    losses.append(loss)
                history.append((epoch, float(np.mean(losses)), float(np.exp(-values[2]))))
            if not np.isfinite(history[-1]).all() or not all(np.isfinite(v).all() for v in values):
                raise ValueError(f"the fit diverged in epoch {epoch} with lr={self.lr}; choose a lower one")
        self.image_weights_, self.text_weights_ = weights
        self.temperature_ = history[-1][2]
        self.history_ = pd.DataFrame(history, columns=["epoch", "loss", "temperature"])
        return self

    def encode_image(self, image: ArrayLike) -> Floats:
        """Embeddings of images [n, D_i]: unit rows, float64 [n, d].

        Raises:
            ValueError: the model is not fitted, rows of another length, NaN or infinity, a row of zeros.
        """
        return self._encode(image, "image")

    def encode_text(self, text: ArrayLike) -> Floats:
        """Embeddings of texts [n, D_t]: unit rows, float64 [n, d]; errors as with :meth:`encode_image`."""
        return self._encode(text, "text")

    def fuse(self, image: ArrayLike, text: ArrayLike) -> Floats:
        """One content vector a note: the mean of both embeddings, at unit length, float64 [n, d].

        Raises:
            ValueError: as with :meth:`encode_image`; different numbers of rows; an image and a text that point exactly
                opposite ways.
        """
        a, b = self.encode_image(image), self.encode_text(text)
        if len(a) != len(b):
            raise ValueError(f"image has {len(a)} rows, text has {len(b)}; give one text for each image")
        return _unit(a + b, "the sum of image and text")[0]

    def _encode(self, rows: ArrayLike, side: str) -> Floats:
        weights = getattr(self, f"{side}_weights_", None)
        if weights is None:
            raise ValueError("this Clip is not fitted yet; call fit first")
        x = _inputs(rows, side)
        if x.shape[1] != len(weights):
            raise ValueError(f"{side} has rows of {x.shape[1]} numbers; the model was fitted on rows of {len(weights)}")
        return _unit(x @ weights, f"the encoded {side}")[0]

    def _check(self, n_image: int, n_text: int) -> None:
        if n_image != n_text:
            raise ValueError(f"image has {n_image} rows, text has {n_text}; give one text for each image")
        for name, least in (("dim", 2), ("batch", 2), ("epochs", 1)):
            value = getattr(self, name)
            if isinstance(value, bool) or not isinstance(value, int | np.integer):
                raise TypeError(f"{name} is {value!r}; give a whole number")
            if value < least:
                raise ValueError(f"{name} is {value}; it must be >= {least}")
        if self.batch > n_image:
            raise ValueError(f"batch={self.batch} is larger than the {n_image} pairs; choose one from 2 to {n_image}")
        if not 0 < self.lr < math.inf:
            raise ValueError(f"lr is {self.lr}; it must be > 0 and finite")
        if self.temperature is not None and not 1 / MAX_SCALE <= self.temperature < math.inf:
            raise ValueError(f"temperature is {self.temperature}; give at least {1 / MAX_SCALE}, or None to learn it")


# -- one step ------------------------------------------------------------------------------------------
def _gradients(x: Floats, y: Floats, values: list[Floats]) -> tuple[float, list[Floats]]:
    """Loss of a batch, x [B, D_i] and y [B, D_t], and its derivatives by both encoders and by log(scale)."""
    image, image_length = _unit(_product(x, values[0]), "an encoded image")
    text, text_length = _unit(_product(y, values[1]), "an encoded text")
    scale = math.exp(float(values[2]))
    loss, d_image, d_text, d_scale = _loss(image, text, scale)
    by_image = _product(x.T, _through_unit(d_image, image, image_length))
    by_text = _product(y.T, _through_unit(d_text, text, text_length))
    return loss, [by_image, by_text, np.array(scale * d_scale)]


def _unit(rows: Floats, name: str) -> tuple[Floats, Floats]:
    """The rows at length one [n, d], and the lengths they had [n, 1]."""
    length: Floats = np.sqrt(np.einsum("nd,nd->n", rows, rows))[:, None]
    if not length.all():
        raise ValueError(f"{name} is zero in row {int(length.argmin())}; a zero vector has no direction")
    return rows / length, length


def _through_unit(h: Floats, unit: Floats, length: Floats) -> Floats:
    """Derivative by the rows y [n, d], from the one h by e = y / |y|: ``(h - (h . e) e) / |y|``."""
    along: Floats = np.einsum("nd,nd->n", h, unit)[:, None]
    return (h - along * unit) / length


class _Adam:
    """Adam (Kingma and Ba 2015, algorithm 1) over a list of arrays, which change in place."""

    def __init__(self, values: list[Floats], lr: float) -> None:
        self.values, self.lr, self.steps = values, lr, 0
        self.first = [np.zeros_like(v) for v in values]
        self.second = [np.zeros_like(v) for v in values]

    def step(self, gradients: list[Floats]) -> None:
        """Move every value against its gradient."""
        self.steps += 1
        for value, gradient, first, second in zip(self.values, gradients, self.first, self.second, strict=True):
            first += 0.1 * (gradient - first)
            second += 0.001 * (gradient**2 - second)
            mean, square = first / (1 - 0.9**self.steps), second / (1 - 0.999**self.steps)
            value -= self.lr * mean / (np.sqrt(square) + 1e-8)


@fast_path(
    reference.train_clip,
    cases=cases.train_clip,
    rtol=1e-9,
    atol=1e-12,
    bench=cases.bench_train_clip,
    sizes=(64, 128, 256),
    unit="pairs",
)
def train_clip(
    image: ArrayLike,
    text: ArrayLike,
    dim: int,
    batch: int,
    epochs: int,
    lr: float,
    temperature: float | None = None,
    seed: int = 0,
) -> tuple[Floats, Floats, Floats, Floats]:
    """Fit :class:`Clip`; ``image_weights, text_weights, loss, temperature``, the last two after each epoch [epochs]."""
    model = Clip(dim, batch=batch, epochs=epochs, lr=lr, temperature=temperature, seed=seed, progress=False)
    history = model.fit(image, text).history_
    return model.image_weights_, model.text_weights_, history.loss.to_numpy(), history.temperature.to_numpy()


# -- input ---------------------------------------------------------------------------------------------
def _matrix(rows: ArrayLike, name: str) -> Floats:
    """The rows as a float64 matrix with at least one row and finite numbers."""
    x = np.asarray(rows)
    if x.ndim != 2 or not x.shape[1]:
        raise ValueError(f"{name} has shape {x.shape}; give a matrix with a row for each note")
    if not np.issubdtype(x.dtype, np.floating) and not np.issubdtype(x.dtype, np.integer):
        raise ValueError(f"{name} has dtype {x.dtype}; give numbers")
    x = x.astype(np.float64, copy=False)
    if not len(x):
        raise ValueError(f"{name} has no rows")
    finite = np.isfinite(x).all(axis=1)
    if not finite.all():
        raise ValueError(f"{name} has NaN or infinity in row {int(finite.argmin())}; leave such notes out")
    return x


def _inputs(rows: ArrayLike, name: str) -> Floats:
    """What an encoder reads: a matrix none of whose rows is zero."""
    x = _matrix(rows, name)
    some = x.any(axis=1)
    if not some.all():
        raise ValueError(f"{name} is zero in row {int(some.argmin())}; a zero vector has no direction")
    return x


def _bar(epochs: int, progress: bool | None) -> Any:
    """Numbers of the epochs from 1; a bar at once if True, never if False, past two seconds if None."""
    return tqdm(
        range(1, epochs + 1), desc="CLIP", disable=progress is False, delay=0 if progress else 2, leave=bool(progress)
    )
