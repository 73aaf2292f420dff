"""The factorization-machine family: hand-worked values, limit cases, modules against the paper's sums, retrieval."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from numpy.typing import NDArray

from rectutor.features import Categorical, Dense, Encoded, Layout, Schema, Sequence, Special
from rectutor.nn import Batch, batches
from rectutor.retrieval.fm import FFM, FM, LR, FwFM, cross_terms, crosses, fm_user_item_vectors, reference

Floats = NDArray[np.float64]


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(0)


# -- the references, by other routes ---------------------------------------------------------------------------
def test_fm_by_hand() -> None:
    """w0 + w1 x1 + w3 x3 + <v1, v3> x1 x3 = 0.5 + 1*2 + 3*(-1) + (1*0 + 2*3) * 2 * (-1) = -12.5."""
    w, x = np.array([1.0, 2.0, 3.0]), np.array([2.0, 0.0, -1.0])
    v = np.array([[1.0, 2.0], [9.0, 9.0], [0.0, 3.0]])
    assert reference.fm(0.5, w, v, x) == -12.5


def test_ffm_by_hand() -> None:
    """User 0 (field 0) meets item 2 (field 1): <v_{0,1}, v_{2,0}> x0 x2 = (1*5 + 2*6) * 1 * 2, and w2 x2 = 0.5 * 2."""
    v = np.zeros((3, 2, 2))
    v[0, 1], v[2, 0] = [1.0, 2.0], [5.0, 6.0]
    v[0, 0], v[2, 1] = [7.0, 7.0], [8.0, 8.0]  # a feature's vector for its own field meets nobody here
    fields = np.array([0, 0, 1])
    assert reference.ffm(0.0, np.array([0.0, 0.0, 0.5]), v, np.array([1.0, 0.0, 2.0]), fields) == 35.0


def test_two_one_hot_fields_are_matrix_factorization(rng: np.random.Generator) -> None:
    """With a user and an item only, an FM's logit is w0 + w_u + w_i + <v_u, v_i>."""
    users, items, k = 4, 5, 3
    w, v = rng.standard_normal(users + items), rng.standard_normal((users + items, k))
    for u in range(users):
        for i in range(items):
            x = np.zeros(users + items)
            x[[u, users + i]] = 1.0
            expected = 0.3 + w[u] + w[users + i] + v[u] @ v[users + i]
            assert reference.fm(0.3, w, v, x) == pytest.approx(expected, abs=1e-12)


def test_fm_is_a_linear_model_with_a_low_rank_matrix_of_crosses(rng: np.random.Generator) -> None:
    """The explicit crosses of a degree-2 polynomial with W = V V' give the same logit."""
    w, v, x = rng.standard_normal(7), rng.standard_normal((7, 2)), rng.standard_normal(7)
    upper = np.triu(v @ v.T, 1)
    assert reference.fm(1.0, w, v, x) == pytest.approx(1.0 + w @ x + x @ upper @ x, abs=1e-12)


def test_fm_gradient_is_the_slope(rng: np.random.Generator) -> None:
    """Central differences of the logit in every parameter."""
    w, v, x = rng.standard_normal(5), rng.standard_normal((5, 2)), rng.standard_normal(5)
    _, by_w, by_v = reference.fm_gradient(0.2, w, v, x)
    h = 1e-6
    for i in range(5):
        step = np.zeros(5)
        step[i] = h
        slope = (reference.fm(0.2, w + step, v, x) - reference.fm(0.2, w - step, v, x)) / (2 * h)
        assert by_w[i] == pytest.approx(slope, abs=1e-8)
        for f in range(2):
            step = np.zeros((5, 2))
            step[i, f] = h
            slope = (reference.fm(0.2, w, v + step, x) - reference.fm(0.2, w, v - step, x)) / (2 * h)
            assert by_v[i, f] == pytest.approx(slope, abs=1e-8)


def test_fwfm_with_weights_one_is_fm_and_ffm_with_shared_vectors_is_fwfm(rng: np.random.Generator) -> None:
    """FwFM lies between: r = 1 is the FM; an FFM whose vectors are r-scaled copies of one vector is the FwFM."""
    w, v, x = rng.standard_normal(6), rng.standard_normal((6, 3)), rng.standard_normal(6)
    fields = np.array([0, 0, 1, 1, 2, 2])
    ones = np.ones((3, 3))
    assert reference.fwfm(0.1, w, v, ones, x, fields) == pytest.approx(reference.fm(0.1, w, v, x), abs=1e-12)
    s = rng.random(3) + 0.5
    by_field = v[:, None, :] * s[None, :, None]  # v_{i,g} = s_g v_i, so <v_{i,f_j}, v_{j,f_i}> = s_f s_g <v_i, v_j>
    expected = reference.fwfm(0.1, w, v, np.outer(s, s), x, fields)
    assert reference.ffm(0.1, w, by_field, x, fields) == pytest.approx(expected, abs=1e-12)


def test_fm_of_a_batch(rng: np.random.Generator) -> None:
    w, v, x = rng.standard_normal(6), rng.standard_normal((6, 3)), rng.standard_normal((4, 6))
    np.testing.assert_allclose(crosses.fm(0.1, w, v, x), [reference.fm(0.1, w, v, row) for row in x], rtol=1e-10)


# -- the modules against the paper's sums -----------------------------------------------------------------------
@pytest.fixture(scope="module")
def layout() -> Layout:
    """Two one-slot fields, a sequence of three that shares the second one's vocabulary, two dense columns."""
    return Layout(("user", "note", "history"), (1, 1, 3), ("user", "note", "note"), {"user": 6, "note": 9}, ("a", "b"))


def data_of(layout: Layout, n: int, rng: np.random.Generator) -> Encoded:
    """Random examples; one whose history is empty, one whose history repeats its note."""
    slots = len(layout.field_of_slot)
    sizes = np.array([layout.sizes[layout.vocabularies[f]] for f in layout.field_of_slot])
    ids = rng.integers(1, sizes, (n, slots))
    weights = rng.random((n, slots)).astype(np.float32)
    weights[:, :2] = 1.0
    ids[0, 2:], weights[0, 2:] = 0, 0.0
    ids[1, 2:4] = ids[1, 1]
    return Encoded(layout, ids, rng.standard_normal((n, len(layout.dense))).astype(np.float32), weights)


def batch_of(data: Encoded) -> Batch:
    return next(batches(data, len(data)))


def x_of(data: Encoded, row: int) -> tuple[NDArray[np.int64], Floats]:
    """The rows of the table that an example touches, slot by slot, and its x: what the paper's sums run over."""
    assert data.weights is not None
    return data.layout.offsets + data.ids[row], data.weights[row].astype(float)


def randomize(model: torch.nn.Module, rng: np.random.Generator) -> None:
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.copy_(torch.as_tensor(rng.standard_normal(tuple(parameter.shape)), dtype=torch.float32))


def expected_logit(model: Any, data: Encoded, row: int) -> float:
    """The reference's logit of one example."""
    slots, x = x_of(data, row)
    table = model.table.weight.detach().double().numpy()[slots]
    fields = data.layout.field_of_slot
    bias = model.bias.item() + float(data.dense[row].astype(float) @ model.dense.detach().double().numpy())
    w, v = table[:, -1], table[:, :-1]
    if isinstance(model, LR):
        return reference.lr(bias, w, x)
    if isinstance(model, FFM):
        x = x / np.linalg.norm(x) if model.normalize else x
        return reference.ffm(bias, w, v.reshape(len(v), len(data.layout.fields), model.k), x, fields)
    if isinstance(model, FwFM):
        r = model.field_weights().detach().double().numpy()
        return reference.fwfm(bias, w, v, r, x, fields)
    return reference.fm(bias, w, v, x)


MODELS: dict[str, Any] = {
    "lr": LR,
    "fm": FM,
    "fwfm": FwFM,
    "ffm": FFM,
    "ffm, normalized": lambda layout, **kw: FFM(layout, normalize=True, **kw),
}


@pytest.mark.parametrize("name", MODELS)
def test_modules_give_the_papers_logits(name: str, layout: Layout, rng: np.random.Generator) -> None:
    model, data = MODELS[name](layout), data_of(layout, 12, rng)
    randomize(model, rng)
    logits = model(batch_of(data)).detach().numpy()
    np.testing.assert_allclose(logits, [expected_logit(model, data, n) for n in range(12)], rtol=2e-5, atol=2e-5)


@pytest.mark.parametrize("name", MODELS)
def test_padding_says_nothing(name: str, layout: Layout, rng: np.random.Generator) -> None:
    """Whatever the padding's row holds, an example with an empty history does not change, and sends it no gradient."""
    model, data = MODELS[name](layout), data_of(layout, 2, rng)[:1]
    randomize(model, rng)
    before = model(batch_of(data)).detach()
    with torch.no_grad():
        model.table.weight[layout.rows_of("note").start] = 100.0
    after = model(batch_of(data))
    assert torch.equal(before, after.detach())
    (gradient,) = torch.autograd.grad(after.sum(), model.table.weight)
    gradient = gradient.to_dense()
    assert not gradient[layout.rows_of("note").start].any()
    assert gradient.any()


def test_without_weights_every_slot_counts_one(rng: np.random.Generator) -> None:
    layout = Layout.of([5, 6, 7])
    ids = rng.integers(1, 5, (8, 3))
    bare, ones = Encoded(layout, ids), Encoded(layout, ids, weights=np.ones((8, 3), np.float32))
    for make in MODELS.values():
        model = make(layout)
        randomize(model, rng)
        torch.testing.assert_close(model(batch_of(bare)), model(batch_of(ones)))


def test_fwfm_starts_as_the_fm_of_its_seed(layout: Layout, rng: np.random.Generator) -> None:
    batch = batch_of(data_of(layout, 5, rng))
    torch.testing.assert_close(FwFM(layout, 4, seed=3)(batch), FM(layout, 4, seed=3)(batch))
    assert not torch.equal(FM(layout, 4, seed=3).table.weight, FM(layout, 4, seed=4).table.weight)


def test_a_one_hot_linear_layer_is_a_look_up(rng: np.random.Generator) -> None:
    """x one-hot of all fields: x W and the sum of looked-up rows are the same function, and so are their gradients."""
    layout = Layout.of([5, 4])
    ids = rng.integers(0, 4, (6, 2))
    model = LR(layout)
    randomize(model, rng)
    one_hot = np.zeros((6, 9), np.float32)
    one_hot[np.arange(6)[:, None], ids + layout.offsets] = 1.0
    weight = model.table.weight.detach().clone().requires_grad_()
    by_layer = torch.as_tensor(one_hot) @ weight[:, 0] + model.bias.detach()
    by_look_up = model(batch_of(Encoded(layout, ids)))
    torch.testing.assert_close(by_layer, by_look_up)
    (of_layer,) = torch.autograd.grad(by_layer.square().sum(), weight)
    (of_look_up,) = torch.autograd.grad(by_look_up.square().sum(), model.table.weight)
    torch.testing.assert_close(of_layer, of_look_up.to_dense())


# -- retrieval --------------------------------------------------------------------------------------------------
def test_user_and_item_vectors_give_the_logit_of_every_pair(layout: Layout, rng: np.random.Generator) -> None:
    """Users with a history and a dense column, items with an id and another: the inner product is the model's logit."""
    model = FM(layout, 4)
    randomize(model, rng)
    users, items = data_of(layout, 5, rng), data_of(layout, 7, rng)
    u, i = fm_user_item_vectors(model, users, items, item_fields=["note", "b"])
    assert u.shape == (5, 6)
    assert i.shape == (7, 6)
    for a in range(5):
        ids, weights, dense = users.ids[a].copy(), users.weights[a].copy(), users.dense[a].copy()  # type: ignore[index]
        for b in range(7):
            ids[1], weights[1], dense[1] = items.ids[b, 1], items.weights[b, 1], items.dense[b, 1]  # type: ignore[index]
            pair = Encoded(layout, ids[None], dense[None], weights[None])
            assert u[a] @ i[b] == pytest.approx(expected_logit(model, pair, 0), abs=2e-5)


@pytest.mark.parametrize(
    ("names", "words"),
    [(["price"], "no 'price'"), ([], "no field"), (["user", "note", "history", "a", "b"], "every field")],
)
def test_vectors_refuse(names: list[str], words: str, layout: Layout, rng: np.random.Generator) -> None:
    data = data_of(layout, 2, rng)
    with pytest.raises(ValueError, match=words):
        fm_user_item_vectors(FM(layout), data, data, item_fields=names)


def test_vectors_refuse_data_of_another_layout(layout: Layout, rng: np.random.Generator) -> None:
    data = data_of(layout, 2, rng)
    other = Layout.of([5, 6])
    with pytest.raises(ValueError, match="encoder whose layout"):
        fm_user_item_vectors(FM(layout), data, Encoded(other, np.ones((2, 2), np.int64)), item_fields=["note"])


# -- inspection -------------------------------------------------------------------------------------------------
@pytest.mark.parametrize("make", [FM, FwFM, FFM])
def test_a_cross_term_is_what_the_logit_gains(make: Any, rng: np.random.Generator) -> None:
    """logit(a, b) - what a and b say alone, for every pair of values, is the frame's entry."""
    frame = pd.DataFrame({"gender": ["f", "m", "f"], "topic": ["food", "cars", "pets"], "age": [20.0, 30.0, 40.0]})
    encoder = Schema([Categorical("gender"), Categorical("topic"), Dense("age")]).fit(frame)
    model = make(encoder.layout, 3)
    randomize(model, rng)
    terms = cross_terms(model, encoder, "gender", "topic")
    assert set(terms.index) == {Special.MISSING, Special.UNKNOWN, "f", "m"}
    everyone = frame[["gender", "age"]].merge(frame[["topic"]], how="cross").drop_duplicates(["gender", "topic"])
    data = encoder.transform(everyone.assign(age=30.0))
    row = model.table.weight.detach().double().numpy()[encoder.layout.offsets + data.ids]  # [n, 2, ...]
    alone = model.bias.item() + data.dense.astype(float) @ model.dense.detach().double().numpy() + row[..., -1].sum(1)
    gained = model(batch_of(data)).detach().double().numpy() - alone
    expected = [terms.loc[g, t] for g, t in zip(everyone["gender"], everyone["topic"])]
    np.testing.assert_allclose(gained, expected, atol=1e-5)
    np.testing.assert_allclose(cross_terms(model, encoder, "topic", "gender").T, terms, rtol=1e-6)


def test_cross_terms_refuse_a_strange_field(rng: np.random.Generator) -> None:
    encoder = Schema([Categorical("a"), Sequence("b", length=2)]).fit(pd.DataFrame({"a": [1, 2], "b": [[1], [2]]}))
    with pytest.raises(ValueError, match="no field 'c'"):
        cross_terms(FM(encoder.layout), encoder, "a", "c")
