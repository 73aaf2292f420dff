"""CLIP as its paper states it: one logit, one softmax, one pair at a time.

Source: Radford, Kim, Hallacy et al., Learning transferable visual models from natural language supervision, ICML 2021,
figure 3 and section 2.5; the optimizer: Kingma and Ba, Adam: a method for stochastic optimization, ICLR 2015,
algorithm 1. The gradients are worked out here; the tests compare them with central differences.

Shapes: N pairs, B pairs of a batch, D numbers of an input vector, d of an embedding. The image and the text side may
differ in D.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
START_TEMPERATURE, MAX_SCALE = 0.07, 100.0
"""Where a learned temperature starts, and what its inverse may not exceed (section 2.5)."""


def log_sum_exp(values: list[float]) -> float:
    """``log(sum(exp(values)))``; the greatest value is taken off first, so that nothing overflows.

    >>> log_sum_exp([1000.0, 1000.0]) == 1000 + math.log(2)
    True
    """
    top = max(values)
    return top + math.log(sum(math.exp(v - top) for v in values))


def contrastive_loss(image: Array, text: Array, scale: float) -> tuple[float, Array, Array, float]:
    r"""Symmetric cross-entropy of B pairs, and its gradients.

    .. math:: z_{nm} = s\, a_n^\top b_m, \qquad L = -\frac{1}{2B} \sum_n \Bigl(
              \log \frac{e^{z_{nn}}}{\sum_m e^{z_{nm}}} + \log \frac{e^{z_{nn}}}{\sum_m e^{z_{mn}}} \Bigr).

    With :math:`p_{nm}` the softmax along row n and :math:`q_{nm}` the one along column m,

    .. math:: g_{nm} = \frac{\partial L}{\partial z_{nm}} = \frac{p_{nm} + q_{nm}}{2B} - \frac{[n = m]}{B}.

    ``image`` a [B, d], ``text`` b [B, d], ``scale`` s; returns L and its derivatives by a [B, d], b [B, d] and s.
    """
    size, image, text = len(image), image.astype(float), text.astype(float)
    z = [[scale * float(a @ b) for b in text] for a in image]
    row = [log_sum_exp(z[n]) for n in range(size)]  # over the texts, for image n
    column = [log_sum_exp([z[n][m] for n in range(size)]) for m in range(size)]  # over the images, for text m
    loss = -sum((z[n][n] - row[n]) + (z[n][n] - column[n]) for n in range(size)) / (2 * size)
    d_image, d_text, d_scale = np.zeros(image.shape), np.zeros(text.shape), 0.0
    for n in range(size):
        for m in range(size):
            p, q = math.exp(z[n][m] - row[n]), math.exp(z[n][m] - column[m])
            g = (p + q) / (2 * size) - (n == m) / size
            d_image[n] += g * scale * text[m]
            d_text[m] += g * scale * image[n]
            d_scale += g * float(image[n] @ text[m])
    return loss, d_image, d_text, d_scale


def encode(x: Array, weight: Array) -> Array:
    """Linear encoder, unit rows [B, d]: ``x W / |x W|``, for x [B, D] and W [D, d]."""
    outputs = [row @ weight for row in x]
    return np.array([y / math.sqrt(y @ y) for y in outputs])


def encode_gradient(x: Array, weight: Array, d_embedding: Array) -> Array:
    r"""The loss's derivative by W [D, d], from its derivative h by the embeddings [B, d].

    For :math:`y = W^\top x` and :math:`e = y / \lVert y \rVert`:
    :math:`\partial L / \partial y = (h - (h^\top e)\, e) / \lVert y \rVert` and
    :math:`\partial L / \partial W = \sum_n x_n\, (\partial L / \partial y_n)^\top`.
    """
    total = np.zeros(weight.shape)
    for row, h in zip(x, d_embedding, strict=True):
        y = row @ weight
        length = math.sqrt(y @ y)
        e = y / length
        total += np.outer(row, (h - (h @ e) * e) / length)
    return total


def adam(
    value: Array, gradient: Array, first: Array, second: Array, step: int, lr: float
) -> tuple[Array, Array, Array]:
    """Step number ``step`` = 1, 2, ... of Adam; the new value, first and second moment."""
    first = 0.9 * first + 0.1 * gradient
    second = 0.999 * second + 0.001 * gradient**2
    mean, square = first / (1 - 0.9**step), second / (1 - 0.999**step)
    return value - lr * mean / (np.sqrt(square) + 1e-8), first, second


def clip_gradients(image: Array, text: Array, weights: tuple[Array, Array, Array]) -> tuple[float, list[Array]]:
    """Loss of a batch, image [B, D_i] and text [B, D_t], and its derivatives by both encoders and by log(scale)."""
    w_image, w_text, log_scale = weights
    scale = math.exp(float(log_scale))
    loss, d_image, d_text, d_scale = contrastive_loss(encode(image, w_image), encode(text, w_text), scale)
    by_image, by_text = encode_gradient(image, w_image, d_image), encode_gradient(text, w_text, d_text)
    return loss, [by_image, by_text, np.array(scale * d_scale)]


def train_clip(
    image: Array,
    text: Array,
    dim: int,
    batch: int,
    epochs: int,
    lr: float,
    temperature: float | None = None,
    seed: int = 0,
) -> tuple[Array, Array, Array, Array]:
    """Train both encoders; ``image_weights, text_weights, loss, temperature``, the last two after each epoch [epochs].

    Every epoch shuffles the pairs and cuts them into batches of B; what is left over waits for the next shuffle. With
    ``temperature`` None the scale is learned in its logarithm and cut off at 100; a number holds it.
    """
    rng = np.random.default_rng(seed)
    starts = [rng.normal(0.0, x.shape[1] ** -0.5, (x.shape[1], dim)) for x in (image, text)]
    values = [*starts, np.array(-math.log(temperature or START_TEMPERATURE))]
    moments = [(np.zeros(v.shape), np.zeros(v.shape)) for v in values]
    step, losses, temperatures = 0, [], []
    for _ in range(epochs):
        order, in_batches = rng.permutation(len(image)), []
        for begin in range(0, len(image) - batch + 1, batch):
            rows = order[begin : begin + batch]
            loss, gradients = clip_gradients(image[rows], text[rows], (values[0], values[1], values[2]))
            in_batches.append(loss)
            step += 1
            for j in range(3 if temperature is None else 2):
                values[j], *moments[j] = adam(values[j], gradients[j], *moments[j], step, lr)  # type: ignore[call-overload]
            if temperature is None:
                values[2] = np.minimum(values[2], math.log(MAX_SCALE))
        losses.append(sum(in_batches) / len(in_batches))
        temperatures.append(math.exp(-float(values[2])))
    return values[0], values[1], np.array(losses), np.array(temperatures)
