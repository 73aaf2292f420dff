"""CLIP's loss and gradients by hand and by differences, what training finds, and what is refused."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from rectutor.rerank import clip_reference as reference
from rectutor.rerank.clip import Clip, contrastive_loss
from rectutor.rerank.clip_cases import pairs, unit
from rectutor.world import FeedWorld

Array = NDArray[np.float64]
BOTH = pytest.mark.parametrize("loss_of", [reference.contrastive_loss, contrastive_loss])


def embeddings(n: int, d: int, seed: int = 0) -> tuple[Array, Array]:
    rng = np.random.default_rng(seed)
    return unit(rng.normal(size=(n, d))), unit(rng.normal(size=(n, d)))


def slope(value_at: Any, x: Array, h: float = 1e-5) -> Array:
    """Central differences of a function of a matrix, one number at a time."""
    result = np.zeros(x.shape)
    for cell in np.ndindex(x.shape):
        up, down = x.copy(), x.copy()
        up[cell] += h
        down[cell] -= h
        result[cell] = (value_at(up) - value_at(down)) / (2 * h)
    return result


# -- the loss ------------------------------------------------------------------------------------------
@BOTH
def test_two_pairs_by_hand(loss_of: Any) -> None:
    """Images (1, 0), (0, 1), texts (1, 0), (0.6, 0.8), s = 2: the logits are 2, 1.2 over 0, 1.6."""
    a, b = np.eye(2), np.array([[1.0, 0.0], [0.6, 0.8]])
    loss, d_image, d_text, d_scale = loss_of(a, b, 2.0)
    # a softmax of two numbers is the sigmoid of their difference: rows 0.8 and 1.6, columns 2.0 and 0.4
    terms = [math.log1p(math.exp(-gap)) for gap in (0.8, 1.6, 2.0, 0.4)]
    assert loss == pytest.approx(sum(terms) / 4, rel=1e-14)
    # chances of the wrong answer: of row 0, of row 1, of column 0, of column 1
    r0, r1, c0, c1 = (1 / (1 + math.exp(gap)) for gap in (0.8, 1.6, 2.0, 0.4))
    g = np.array([[-(r0 + c0), r0 + c1], [r1 + c0, -(r1 + c1)]]) / 4
    np.testing.assert_allclose(d_image, 2 * g @ b, rtol=1e-13, atol=1e-15)
    np.testing.assert_allclose(d_text, 2 * g.T @ a, rtol=1e-13, atol=1e-15)
    assert d_scale == pytest.approx(g[0, 0] * 1 + g[0, 1] * 0.6 + g[1, 1] * 0.8, rel=1e-13)


@BOTH
@pytest.mark.parametrize("scale", [0.5, 3.0, 14.3])
def test_gradients_are_the_slopes(loss_of: Any, scale: float) -> None:
    a, b = embeddings(6, 4)
    _, d_image, d_text, d_scale = loss_of(a, b, scale)
    np.testing.assert_allclose(d_image, slope(lambda x: loss_of(x, b, scale)[0], a), rtol=1e-6, atol=1e-8)
    np.testing.assert_allclose(d_text, slope(lambda x: loss_of(a, x, scale)[0], b), rtol=1e-6, atol=1e-8)
    by_scale = slope(lambda s: loss_of(a, b, float(s[0]))[0], np.array([scale]))[0]
    assert d_scale == pytest.approx(by_scale, rel=1e-6)


@BOTH
def test_aligned_pairs_lose_nothing(loss_of: Any) -> None:
    """With orthogonal pairs L is log(1 + (B - 1) exp(-s)); opposed ones lose that and s, when B is 2."""
    for scale in (1.0, 10.0, 100.0):
        loss = loss_of(np.eye(8), np.eye(8), scale)[0]
        assert loss == pytest.approx(math.log1p(7 * math.exp(-scale)), rel=1e-10, abs=1e-14)
    swapped = loss_of(np.eye(2), np.eye(2)[::-1], 5.0)[0]
    assert swapped == pytest.approx(5 + math.log1p(math.exp(-5)), rel=1e-12)


@BOTH
def test_nothing_known_costs_log_b(loss_of: Any) -> None:
    a, b = embeddings(7, 5)
    for image, text, scale in ((a, b, 0.0), (np.ones((7, 5)), np.ones((7, 5)), 9.0)):
        assert loss_of(image, text, scale)[0] == pytest.approx(math.log(7), rel=1e-12)
    assert loss_of(a[:1], b[:1], 4.0)[0] == pytest.approx(0, abs=1e-15)


@BOTH
def test_image_and_text_may_be_exchanged(loss_of: Any) -> None:
    a, b = embeddings(9, 5)
    loss, d_image, d_text, d_scale = loss_of(a, b, 6.0)
    other, d_text_too, d_image_too, d_scale_too = loss_of(b, a, 6.0)
    assert (loss, d_scale) == pytest.approx((other, d_scale_too), rel=1e-13)
    np.testing.assert_allclose(d_image, d_image_too, rtol=1e-12, atol=1e-15)
    np.testing.assert_allclose(d_text, d_text_too, rtol=1e-12, atol=1e-15)


def test_large_batches_are_cut_into_blocks_without_a_trace() -> None:
    """700 pairs of 48 dimensions need several blocks; the loss by another way, with scipy's log-sum-exp."""
    from scipy.special import logsumexp

    a, b = embeddings(700, 48)
    loss, d_image, d_text, _ = contrastive_loss(a, b, 20.0)
    z = 20 * a @ b.T
    by_scipy = (logsumexp(z, axis=1) + logsumexp(z, axis=0)).mean() / 2 - np.trace(z) / 700
    assert loss == pytest.approx(by_scipy, rel=1e-13)
    p, q = np.exp(z - logsumexp(z, axis=1, keepdims=True)), np.exp(z - logsumexp(z, axis=0))
    g = (p + q) / 1400 - np.eye(700) / 700
    np.testing.assert_allclose(d_image, 20 * g @ b, rtol=1e-10, atol=1e-14)
    np.testing.assert_allclose(d_text, 20 * g.T @ a, rtol=1e-10, atol=1e-14)


# -- one step ------------------------------------------------------------------------------------------
def test_the_encoders_gradients_are_the_slopes() -> None:
    image, text = pairs(np.random.default_rng(1), 8, (5, 6))
    rng = np.random.default_rng(2)
    values = [rng.normal(size=(5, 3)), rng.normal(size=(6, 3)), np.array([math.log(4.0)])]

    def loss_with(j: int, x: Array) -> float:
        w_image, w_text, log_scale = (x if k == j else v for k, v in enumerate(values))
        return reference.clip_gradients(image, text, (w_image, w_text, log_scale[0]))[0]

    _, gradients = reference.clip_gradients(image, text, (values[0], values[1], values[2][0]))
    for j in range(3):
        by_differences = slope(lambda x, j=j: loss_with(j, x), values[j])
        np.testing.assert_allclose(gradients[j].reshape(by_differences.shape), by_differences, rtol=1e-6, atol=1e-8)


def test_adam_by_hand() -> None:
    """The first step has length lr whatever the gradient; the second, with gradients 4 and -2, is worked out here."""
    one = np.array(1.0)
    value, first, second = reference.adam(one, np.array(4.0), 0 * one, 0 * one, 1, 0.1)
    assert float(value) == pytest.approx(0.9, abs=1e-9)
    value, first, second = reference.adam(value, np.array(-2.0), first, second, 2, 0.1)
    mean, square = (0.9 * 0.4 - 0.2) / 0.19, (0.999 * 0.016 + 0.004) / 0.001999
    assert float(value) == pytest.approx(0.9 - 0.1 * mean / math.sqrt(square), abs=1e-8)


# -- what training finds -------------------------------------------------------------------------------
def recall(image: NDArray[Any], text: NDArray[Any], k: int) -> float:
    """Share of the images whose own text is among the k best of all texts."""
    scores = image @ text.T
    return float(((scores > scores.diagonal()[:, None]).sum(axis=1) < k).mean())


@pytest.fixture(scope="module")
def world() -> FeedWorld:
    return FeedWorld.generate("tiny", seed=0)


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_held_out_images_find_their_texts(world: FeedWorld, seed: int) -> None:
    """Of 400 notes 300 teach: among the texts of the other 100, the right one is first for more than 60 images."""
    order = np.random.default_rng(seed).permutation(400)
    learn, judge = order[:300], order[300:]
    image, text = world.image_vectors, world.text_vectors
    assert recall(image[judge], text[judge], 10) < 0.25
    model = Clip(dim=32, batch=100, epochs=100, temperature=0.5, seed=seed).fit(image[learn], text[learn])
    found = model.encode_image(image[judge]), model.encode_text(text[judge])
    assert recall(*found, 1) > 0.6
    assert recall(*found, 10) > 0.8


def test_mismatched_pairs_stand_apart_though_nobody_said_which(world: FeedWorld) -> None:
    image, text = world.image_vectors, world.text_vectors
    mismatched = world.notes.true_described_as.to_numpy() != np.arange(400)
    assert 15 < mismatched.sum() < 60
    model = Clip(batch=100, epochs=60, temperature=0.5).fit(image, text)
    cosine = (model.encode_image(image) * model.encode_text(text)).sum(axis=1)
    won = cosine[~mismatched][:, None] > cosine[mismatched]
    assert won.mean() > 0.97


def test_the_scale_is_learned_and_cut_off_at_a_hundred() -> None:
    """Where texts equal their images the loss falls with every rise of the scale, so that it grows until the cut."""
    image, _ = pairs(np.random.default_rng(0), 40, (6, 6), noise=1.0)
    history = Clip(12, batch=10, epochs=15, lr=0.5).fit(image, image).history_
    assert len(set(history.temperature)) > 5
    assert history.temperature.min() == pytest.approx(0.01, rel=1e-12)
    assert (history.temperature == history.temperature.min()).sum() > 3  # it would have gone on
    held = Clip(4, batch=10, epochs=3, temperature=0.2).fit(image, image).history_
    assert held.temperature.tolist() == pytest.approx([0.2] * 3, rel=1e-14)
    assert held.epoch.tolist() == [1, 2, 3]


def test_embeddings_and_their_mean_have_length_one() -> None:
    image, text = pairs(np.random.default_rng(3), 30, (7, 5))
    model = Clip(4, batch=10, epochs=2).fit(image, text)
    a, b, both = model.encode_image(image), model.encode_text(text), model.fuse(image, text)
    for e in (a, b, both):
        np.testing.assert_allclose((e * e).sum(axis=1), 1, rtol=1e-14)
    np.testing.assert_allclose((both * a).sum(axis=1), (both * b).sum(axis=1), atol=1e-14)  # halfway between the two
    np.testing.assert_allclose(model.encode_image(5 * image), a, rtol=1e-14, atol=1e-15)
    np.testing.assert_allclose(model.encode_image(image[[4]]), a[[4]], rtol=1e-13, atol=1e-15)


def test_a_seed_gives_one_model_and_the_input_stays_as_it_is() -> None:
    image, text = pairs(np.random.default_rng(4), 30, (6, 6))
    before = image.copy(), text.copy()

    def fitted(seed: int | np.random.Generator) -> Clip:
        return Clip(4, batch=8, epochs=3, seed=seed).fit(image, text)

    first = fitted(1)
    for again in (fitted(1), fitted(np.random.default_rng(1)), first.fit(image, text)):
        np.testing.assert_array_equal(first.image_weights_, again.image_weights_)
        np.testing.assert_array_equal(first.text_weights_, again.text_weights_)
        assert first.history_.equals(again.history_)
    assert not np.array_equal(first.image_weights_, fitted(2).image_weights_)
    np.testing.assert_array_equal(image, before[0])
    np.testing.assert_array_equal(text, before[1])


def test_progress_is_shown_on_demand_only(capsys: pytest.CaptureFixture[str]) -> None:
    image, text = pairs(np.random.default_rng(4), 20, (6, 6))
    Clip(4, batch=10, epochs=3).fit(image, text)  # far from two seconds
    Clip(4, batch=10, epochs=3, progress=False).fit(image, text)
    assert capsys.readouterr().err == ""
    Clip(4, batch=10, epochs=3, progress=True).fit(image, text)
    assert "3/3" in capsys.readouterr().err


# -- bad input -----------------------------------------------------------------------------------------
def spoiled(value: float, rows: Any = 3) -> Array:
    x = pairs(np.random.default_rng(0), 20, (6, 6))[0]
    x[rows] = value
    return x


GOOD = pairs(np.random.default_rng(0), 20, (6, 6))[1]


@pytest.mark.parametrize(
    ("image", "text", "message"),
    [
        (GOOD[:19], GOOD, "image has 19 rows, text has 20; give one text for each image"),
        (spoiled(np.nan), GOOD, "image has NaN or infinity in row 3"),
        (GOOD, spoiled(np.inf, (5, 2)), "text has NaN or infinity in row 5"),
        (spoiled(0.0), GOOD, "image is zero in row 3; a zero vector has no direction"),
        (GOOD, spoiled(0.0, 7), "text is zero in row 7"),
        (GOOD[0], GOOD, r"image has shape \(6,\); give a matrix"),
        (GOOD, GOOD[:, :0], r"text has shape \(20, 0\); give a matrix"),
        (GOOD[:0], GOOD[:0], "image has no rows"),
        (np.full((20, 6), "x"), GOOD, "image has dtype <U1; give numbers"),
    ],
)
def test_bad_pairs_are_refused(image: Array, text: Array, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Clip(4, batch=5, epochs=1).fit(image, text)


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"dim": 1}, "dim is 1; it must be >= 2"),
        ({"batch": 1}, "batch is 1; it must be >= 2"),
        ({"batch": 21}, "batch=21 is larger than the 20 pairs; choose one from 2 to 20"),
        ({"epochs": 0}, "epochs is 0; it must be >= 1"),
        ({"lr": 0}, "lr is 0; it must be > 0 and finite"),
        ({"lr": math.nan}, "lr is nan; it must be > 0"),
        ({"temperature": 0.0}, "temperature is 0.0; give at least 0.01"),
        ({"temperature": 0.009}, "temperature is 0.009; give at least 0.01, or None to learn it"),
        ({"temperature": math.inf}, "temperature is inf"),
        ({"lr": 1e200}, "the fit diverged in epoch 1 with lr=1e\\+200; choose a lower one"),
    ],
)
def test_bad_parameters_are_refused(parameters: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Clip(**{"dim": 4, "batch": 5, "epochs": 2, **parameters}).fit(GOOD, GOOD)


@pytest.mark.parametrize("name", ["dim", "batch", "epochs"])
@pytest.mark.parametrize("value", [2.0, True])
def test_what_counts_must_be_whole(name: str, value: Any) -> None:
    with pytest.raises(TypeError, match=f"{name} is {value}; give a whole number"):
        Clip(**{"dim": 4, "batch": 5, "epochs": 2, name: value}).fit(GOOD, GOOD)


def test_bad_requests_are_refused() -> None:
    with pytest.raises(ValueError, match="this Clip is not fitted yet; call fit first"):
        Clip().encode_image(GOOD)
    model = Clip(4, batch=5, epochs=1).fit(GOOD, GOOD[:, :5])
    with pytest.raises(ValueError, match="text has rows of 6 numbers; the model was fitted on rows of 5"):
        model.encode_text(GOOD)
    with pytest.raises(ValueError, match="image has NaN or infinity in row 3"):
        model.encode_image(spoiled(np.nan))
    with pytest.raises(ValueError, match="image is zero in row 3"):
        model.fuse(spoiled(0.0), GOOD[:, :5])
    with pytest.raises(ValueError, match="image has 20 rows, text has 4"):
        model.fuse(GOOD, GOOD[:4, :5])
    model.text_weights_ = -model.image_weights_
    with pytest.raises(ValueError, match="the sum of image and text is zero in row 0"):
        model.fuse(GOOD, GOOD)


@pytest.mark.parametrize(
    ("image", "text", "scale", "message"),
    [
        (GOOD, GOOD[:4], 1.0, r"image has shape \(20, 6\), text has \(4, 6\)"),
        (GOOD, GOOD[:, :4], 1.0, r"image has shape \(20, 6\), text has \(20, 4\)"),
        (spoiled(np.nan), GOOD, 1.0, "image has NaN or infinity in row 3"),
        (GOOD, GOOD, math.inf, "scale is inf; give a finite number"),
        (GOOD[:0], GOOD[:0], 1.0, "image has no rows"),
    ],
)
def test_the_loss_refuses_what_it_cannot_use(image: Array, text: Array, scale: float, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        contrastive_loss(image, text, scale)
