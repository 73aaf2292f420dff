"""Per-example AdaGrad: steps by hand and by automatic differentiation, limit cases, learning, threads, bad input.

That the compiled loops agree with the reference is checked by the one test of all pairs.
"""

from __future__ import annotations

import math
from typing import Any

import numba
import numpy as np
import pytest
import torch
from torch import nn
from torch.nn.functional import binary_cross_entropy_with_logits

from rectutor.features import Encoded, Layout
from rectutor.metrics import auc
from rectutor.nn import batches
from rectutor.retrieval.fm import FFM, FM, LR, FwFM
from rectutor.retrieval.fm.adagrad import adagrad, adagrad_steps, fm_logits

LAYOUT = Layout.of([6, 5, 7], dense=2, lengths=[1, 3, 2])


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(0)


def examples(rng: np.random.Generator, n: int, *, weighted: bool = True, layout: Layout = LAYOUT) -> Encoded:
    """Random examples; without weights no row stands twice in one."""
    sizes = [layout.sizes[layout.vocabularies[f]] for f in layout.field_of_slot]
    ids = np.stack([rng.integers(size, size=n) for size in sizes], axis=1)
    for f in range(len(layout.fields)):
        slots = np.flatnonzero(layout.field_of_slot == f)
        if len(slots) > 1:
            ids[:, slots] = np.argsort(rng.random((n, sizes[slots[0]])), axis=1)[:, : len(slots)]
    x = (rng.standard_normal(ids.shape) * (rng.random(ids.shape) < 0.7)).astype(np.float32) if weighted else None
    dense = rng.standard_normal((n, len(layout.dense))).astype(np.float32)
    return Encoded(layout, ids, dense, x, (rng.random(n) < 0.5).astype(np.float32))


def models(seed: int = 0) -> list[Any]:
    """One of each kind, with weights that are far from zero."""
    kinds = [LR(LAYOUT), FM(LAYOUT, 3), FM(LAYOUT, 20), FFM(LAYOUT, 4), FFM(LAYOUT, 5, normalize=True)]
    generator = torch.Generator().manual_seed(seed)
    for model in kinds:
        for parameter in model.parameters():
            nn.init.normal_(parameter, std=0.4, generator=generator)
    return kinds


def planted(n: int, seed: int) -> tuple[Encoded, Encoded]:
    """Labels that only crosses explain: the signs of the hidden numbers of two ids of 30, multiplied, with noise."""
    rng = np.random.default_rng(seed)
    layout = Layout.of([30, 30, 30])
    sign = np.random.default_rng(1).permuted(np.tile([-1, 1], (2, 15)), axis=1)  # as many of one as of the other
    ids = rng.integers(30, size=(n + 4000, 3))
    logit = 2.0 * sign[0, ids[:, 0]] * sign[1, ids[:, 1]]
    data = Encoded(layout, ids, label=(rng.random(len(ids)) < 1 / (1 + np.exp(-logit))).astype(np.float32))
    return data[:n], data[n:]


def label_of(batch: Any) -> Any:
    """The labels, which these examples have."""
    assert batch.label is not None
    return batch.label


def most_threads() -> int:
    """Threads that numba may use."""
    limit: Any = vars(numba.config)["NUMBA_NUM_THREADS"]
    return int(limit)


# -- one step, by other routes -----------------------------------------------------------------------------
def test_a_step_by_hand() -> None:
    """Two features, <v1, v2> = 2 and w1 + w2 + b = -2: z = 0, so e = 1/2 where the label is 0."""
    v = np.array([[[1.0]], [[2.0]]])
    new_v, new_w, _, bias, loss = adagrad_steps(
        [[0, 1]], None, np.zeros((1, 0)), [0.0], [0, 0], v, [-1.0, -2.0], [], 1.0, [0], lr=0.1
    )
    assert loss == pytest.approx(math.log(2), rel=1e-6)
    by_v = [0.5 * 2, 0.5 * 1]
    assert new_v[:, 0, 0] == pytest.approx([p - 0.1 * g / math.sqrt(1 + g * g) for p, g in zip([1, 2], by_v)], rel=1e-6)
    move = 0.1 * 0.5 / math.sqrt(1.25)
    assert [*new_w, bias] == pytest.approx([-1 - move, -2 - move, 1 - move], rel=1e-6)


@pytest.mark.parametrize("which", range(5))
@pytest.mark.parametrize("weighted", [True, False])
def test_a_step_follows_the_gradient_of_the_module(which: int, weighted: bool, rng: np.random.Generator) -> None:
    """Automatic differentiation gives g; the step is g / sqrt(1 + g²), and what has no gradient stays where it is."""
    model = models()[which]
    for n in range(20):
        one = examples(rng, 20, weighted=weighted)[n : n + 1]
        before = [p.detach().clone() for p in model.parameters()]
        model.zero_grad()
        (batch,) = batches(one, 1)
        loss: Any = binary_cross_entropy_with_logits(model(batch), label_of(batch))
        loss.backward()
        gradients = [p.grad.to_dense() for p in model.parameters()]
        adagrad(model, one, epochs=1, lr=0.3, l2=0.0, n_threads=1)
        for p, old, g in zip(model.parameters(), before, gradients, strict=True):
            torch.testing.assert_close(p.detach(), old - 0.3 * g / (1 + g * g).sqrt(), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("which", range(5))
def test_compiled_logits_are_those_of_the_module(which: int, rng: np.random.Generator) -> None:
    model, data = models()[which], examples(rng, 200)
    (batch,) = batches(data, 200)
    with torch.no_grad():
        expected = model(batch).numpy()
    theta = model.table.weight.detach().numpy()
    n_fields = 3 if isinstance(model, FFM) else 1
    fields = LAYOUT.field_of_slot if isinstance(model, FFM) else np.zeros(6, np.int64)
    v = theta[:, :-1].reshape(len(theta), n_fields, -1) if theta.shape[1] > 1 else np.zeros((len(theta), 1, 0))
    got = fm_logits(
        data.ids + LAYOUT.offsets, data.weights, data.dense, fields, v, theta[:, -1], model.dense.detach().numpy(),
        model.bias.item(), getattr(model, "normalize", False),
    )  # fmt: skip
    np.testing.assert_allclose(got, expected, rtol=1e-5, atol=1e-5)


def test_l2_pulls_only_what_the_example_touches() -> None:
    """Rows 0 and 2 stand in the example; of an FFM's vectors those for the other's field."""
    v = np.ones((4, 2, 3))
    new_v, new_w, *_ = adagrad_steps(
        [[0, 2]], None, np.zeros((1, 0)), [1.0], [0, 1], v, np.ones(4), [], 100.0, [0], lr=0.1, l2=0.5
    )
    pulled = np.float32(1 - 0.1 * 0.5 / math.sqrt(1.25))  # the logit is above 100, so e is 0 and g is l2 alone
    expected = np.ones((4, 2, 3))
    expected[0, 1] = expected[2, 0] = pulled
    np.testing.assert_allclose(new_v, expected, rtol=1e-6)
    np.testing.assert_allclose(new_w, np.array([pulled, 1, pulled, 1]), rtol=1e-6)


def test_an_ffm_of_one_field_is_an_fm(rng: np.random.Generator) -> None:
    layout = Layout.of([9], lengths=[4])
    data = examples(rng, 60, layout=layout)
    fm, ffm = FM(layout, 5), FFM(layout, 5)
    ffm.load_state_dict(fm.state_dict(), strict=False)
    for model in (fm, ffm):
        adagrad(model, data, epochs=3, n_threads=1)
    assert torch.equal(fm.table.weight, ffm.table.weight)


def test_padding_changes_nothing(rng: np.random.Generator) -> None:
    """A slot of value 0 might as well hold any id, and a field of padding alone might as well not be there."""
    data = examples(rng, 50)
    assert data.weights is not None
    other = data.ids.copy()
    other[data.weights == 0] = 0
    tables = []
    for ids in (data.ids, other):
        model = FFM(LAYOUT, 4)
        adagrad(model, Encoded(LAYOUT, ids, data.dense, data.weights, data.label), epochs=2, n_threads=1)
        tables.append(model.table.weight)
    assert torch.equal(*tables)


# -- training ------------------------------------------------------------------------------------------------
def test_crosses_are_learned_and_lr_cannot() -> None:
    """The best AUC possible with labels of log-odds ±2 is that of the signs themselves, 0.88."""
    train, valid = planted(20_000, 0)
    best = {}
    for model in (LR(train.layout), FM(train.layout, 4), FFM(train.layout, 4)):
        history = adagrad(model, train, valid, epochs=8, lr=0.2, l2=1e-5, n_threads=1)
        best[type(model).__name__] = history["auc"].max()
    assert best["LR"] < 0.55
    assert best["FM"] > 0.85
    assert best["FFM"] > 0.85


def test_the_best_epoch_stays_and_patience_ends_the_run() -> None:
    """With few examples the model first learns the signs, then the noise."""
    train, valid = planted(3_000, 0)
    model = FM(train.layout, 4)
    history = adagrad(model, train, valid, epochs=50, lr=0.2, l2=0.0, monitor="log_loss", patience=3, n_threads=1)
    assert list(history.columns) == ["epoch", "loss", "auc", "log_loss", "seconds"]
    best = int(history["log_loss"].argmin())
    assert best > 0
    assert len(history) == best + 4 < 50
    (batch,) = batches(valid, len(valid))
    with torch.no_grad():
        loss = binary_cross_entropy_with_logits(model(batch), label_of(batch)).item()
    assert loss == pytest.approx(history["log_loss"][best], rel=1e-5)


def test_a_seed_gives_one_result_on_one_thread() -> None:
    train, _ = planted(2_000, 0)
    tables = []
    for seed in (3, 3, 4):
        model = FFM(train.layout, 4)
        adagrad(model, train, epochs=2, seed=seed, n_threads=1)
        tables.append(model.table.weight.detach())
    assert torch.equal(tables[0], tables[1])
    assert not torch.equal(tables[0], tables[2])


@pytest.mark.skipif(most_threads() < 2, reason="needs two threads")
@pytest.mark.parametrize("kind", [FM, FFM])
def test_two_threads_learn_as_well_as_one(kind: Any) -> None:
    """On 90 rows, where the threads meet all the time; in trials the mean of five differed by 0.001 at most."""
    difference = []
    for seed in range(5):
        train, valid = planted(20_000, seed)
        found = []
        for n_threads in (1, 2):
            model = kind(train.layout, 4, seed=seed)
            history = adagrad(model, train, valid, epochs=6, lr=0.2, l2=1e-5, seed=seed, n_threads=n_threads)
            found.append(history["auc"].iloc[-1])
        difference.append(found[1] - found[0])
    assert abs(np.mean(difference)) < 0.003


# -- bad input -----------------------------------------------------------------------------------------------
def test_other_models_are_refused(rng: np.random.Generator) -> None:
    with pytest.raises(TypeError, match=r"model is FwFM; .*rectutor\.nn\.fit"):
        adagrad(FwFM(LAYOUT, 3), examples(rng, 4))


@pytest.mark.parametrize(
    ("keywords", "message"),
    [
        ({"epochs": 0}, "epochs is 0"),
        ({"lr": 0.0}, "lr is 0"),
        ({"l2": -1.0}, "l2 is -1"),
        ({"monitor": "accuracy"}, "monitor is 'accuracy'; choose 'auc' or 'log_loss'"),
        ({"patience": 2}, "patience is 2 without valid"),
        ({"n_threads": 0}, "n_threads is 0"),
    ],
)
def test_arguments_out_of_range(keywords: dict[str, Any], message: str, rng: np.random.Generator) -> None:
    with pytest.raises(ValueError, match=message):
        adagrad(LR(LAYOUT), examples(rng, 4), **keywords)


def test_examples_that_cannot_be_learned_from(rng: np.random.Generator) -> None:
    data, model = examples(rng, 4), LR(LAYOUT)
    label = np.array([0, 1, 2, 0], np.float32)
    for bad, message in (
        (examples(rng, 4, layout=Layout.of([3])), "train has another layout"),
        (data[:0], "train is empty"),
        (Encoded(LAYOUT, data.ids, data.dense), "train has no label"),
        (Encoded(LAYOUT, data.ids, data.dense, label=np.zeros((4, 2), np.float32)), "train has 2 labels an example"),
        (Encoded(LAYOUT, data.ids, data.dense, label=label), "label 2 of train is 2.0; it must be 0 or 1"),
    ):
        with pytest.raises(ValueError, match=message):
            adagrad(model, bad)


def test_a_diverging_run_is_stopped(rng: np.random.Generator) -> None:
    with pytest.raises(ValueError, match=r"the loss is nan in epoch 1; lower lr \(1e\+30\)"):
        adagrad(FM(LAYOUT, 4), examples(rng, 50), lr=1e30, n_threads=1)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"rows": [[0, 9]]}, "rows has 0 to 9; v has the rows 0 to 3"),
        ({"fields": [1, 0]}, "it must ascend from 0"),
        ({"fields": [0]}, "one for each of the 2 slots"),
        ({"fields": [0, 5]}, "fields has 5; v has the fields 0 to 1"),
        ({"w": [1.0]}, r"v has shape \(4, 2, 3\) and w \(1,\)"),
    ],
)
def test_arrays_that_do_not_fit(change: dict[str, Any], message: str) -> None:
    arguments: dict[str, Any] = {
        "rows": [[0, 2]],
        "x": None,
        "dense": np.zeros((1, 0)),
        "fields": [0, 1],
        "v": np.ones((4, 2, 3)),
    }
    arguments |= {"w": np.ones(4), "w_dense": [], "bias": 0.0}
    with pytest.raises(ValueError, match=message):
        fm_logits(**(arguments | change))


def test_history_is_scored_as_the_metrics_do() -> None:
    train, valid = planted(3_000, 0)
    model = FM(train.layout, 4)
    history = adagrad(model, train, valid, epochs=1, n_threads=1)
    (batch,) = batches(valid, len(valid))
    with torch.no_grad():
        assert history["auc"][0] == pytest.approx(auc(label_of(batch), model(batch).numpy()), abs=1e-6)
