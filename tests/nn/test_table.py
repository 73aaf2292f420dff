"""The embedding table and the MLP: other routes to the same numbers and gradients, and what they refuse."""

from __future__ import annotations

import copy
import io

import numba
import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from rectutor.features import Layout
from rectutor.nn import MLP, EmbeddingTable, gather, kernels

SHARED = Layout(("user", "note", "history"), (1, 1, 3), ("user", "note", "note"), {"user": 7, "note": 5})


def draw(layout: Layout, batch: int, seed: int = 0) -> tuple[Tensor, Tensor]:
    """Codes [B, S] and weights [B, S], some of them zero."""
    rng = np.random.default_rng(seed)
    sizes = [layout.sizes[layout.vocabularies[f]] for f in layout.field_of_slot]
    ids = np.stack([rng.integers(0, size, batch) for size in sizes], 1)
    weights = rng.standard_normal(ids.shape).astype(np.float32) * (rng.random(ids.shape) < 0.7)
    return torch.from_numpy(ids), torch.from_numpy(weights)


def loop(table: EmbeddingTable, ids: Tensor, weights: Tensor | None) -> Tensor:
    """One dense ``F.embedding`` a slot."""
    columns = [F.embedding(ids[:, s] + table.offsets[s], table.weight) for s in range(ids.shape[1])]
    vectors = torch.stack(columns, 1)
    return vectors if weights is None else vectors * weights[..., None]


# -- other routes ------------------------------------------------------------------------------------------------
@settings(deadline=None, max_examples=40)
@given(st.integers(0, 10**6), st.integers(0, 40), st.sampled_from([1, 3, 8, 16, 17]), st.booleans(), st.booleans())
def test_values_and_gradients_are_those_of_a_loop_over_slots(
    seed: int, batch: int, dim: int, weighted: bool, double: bool
) -> None:
    """In float32 the compiled loops run, in float64 PyTorch's operations."""
    kind = torch.float64 if double else torch.float32
    table = EmbeddingTable(SHARED, dim, std=1.0, seed=seed).to(kind)
    ids, weights = draw(SHARED, batch, seed)
    given_weights = weights.to(kind) if weighted else None
    direction = torch.from_numpy(np.random.default_rng(seed).standard_normal((batch, 5, dim))).to(kind)
    expected = loop(table, ids, given_weights)
    got = table(ids, given_weights)
    assert torch.equal(got, expected)
    (of_loop,) = torch.autograd.grad(expected, table.weight, direction)
    got.backward(direction)
    assert table.weight.grad is not None
    assert table.weight.grad.is_sparse
    torch.testing.assert_close(table.weight.grad.to_dense(), of_loop, rtol=1e-5, atol=1e-5)


def test_a_weight_that_is_learnt_gets_its_gradient() -> None:
    table = EmbeddingTable(SHARED, 4, std=1.0)
    ids, weights = draw(SHARED, 6)
    direction = torch.randn(6, 5, 4, generator=torch.Generator().manual_seed(0))
    mine, plain = weights.clone().requires_grad_(), weights.clone().requires_grad_()
    table(ids, mine).backward(direction)
    loop(table, ids, plain).backward(direction)  # type: ignore[no-untyped-call]
    assert mine.grad is not None
    assert plain.grad is not None
    torch.testing.assert_close(mine.grad, plain.grad)


def test_slots_of_one_field() -> None:
    table = EmbeddingTable(SHARED, 3, std=1.0)
    ids, weights = draw(SHARED, 9)
    history = SHARED.slots("history")
    part = table(ids[:, history], weights[:, history], slots=history)
    assert torch.equal(part, table(ids, weights)[:, history])


def test_fields_of_one_vocabulary_share_their_rows() -> None:
    table = EmbeddingTable(SHARED, 3, std=1.0)
    got = table(torch.tensor([[0, 4, 4, 0, 1]]))[0]
    assert torch.equal(got[1], got[2])
    assert torch.equal(got[3], table.weight[7])
    assert not torch.equal(got[0], got[3])


def test_several_uses_in_one_step_add_up() -> None:
    table = EmbeddingTable(SHARED, 3, std=1.0)
    ids, _ = draw(SHARED, 8)
    (table(ids).sum() + 2 * table(ids[:, 2:], slots=SHARED.slots("history")).sum()).backward()
    assert table.weight.grad is not None
    dense = table.weight.grad.to_dense()[:, 0]
    expected = np.zeros(12)
    np.add.at(expected, (ids + table.offsets).numpy(), [1, 1, 3, 3, 3])
    assert dense.tolist() == expected.tolist()


def test_columns_of_a_wider_array_and_a_gradient_that_is_expanded() -> None:
    ids, _ = draw(SHARED, 5)
    wide = torch.cat([ids, ids + 1], 1)
    table = EmbeddingTable(SHARED, 2)
    table(wide[:, :5]).sum().backward()  # the gradient of a sum is one number, expanded
    assert table.weight.grad is not None
    assert table.weight.grad.to_dense().sum() == 5 * 5 * 2


@pytest.mark.parametrize("n", [1, 2, 5])
def test_the_number_of_threads_changes_nothing(n: int) -> None:
    rng = np.random.default_rng(0)
    weight = rng.standard_normal((40, 3)).astype(np.float32)
    ids = rng.integers(0, 20, (33, 2))
    args = weight, ids, np.array([0, 20]), np.array([20, 20]), np.zeros((0, 0), np.float32)
    out, rows, fine = kernels.gather(*args, n)
    assert fine
    expected = ids + np.array([0, 20])
    assert np.array_equal(rows, expected.ravel())
    assert np.array_equal(out, weight[expected])


def test_under_autocast_vectors_stay_float32() -> None:
    table = EmbeddingTable(SHARED, 3)
    with torch.autocast("cpu", torch.bfloat16):
        assert table(draw(SHARED, 2)[0]).dtype == torch.float32


# -- how it starts, and what is kept -------------------------------------------------------------------------------
def test_seeds() -> None:
    layout = Layout.of([2000])
    first = EmbeddingTable(layout, 8, std=0.1, seed=3).weight.detach()
    assert torch.equal(first, EmbeddingTable(layout, 8, std=0.1, seed=np.random.default_rng(3)).weight)
    assert not torch.equal(first, EmbeddingTable(layout, 8, std=0.1, seed=4).weight)
    assert abs(float(first.std()) - 0.1) < 0.005
    assert abs(float(first.mean())) < 0.005
    assert not EmbeddingTable(layout, 8, std=0).weight.any()


def test_the_state_is_the_table_alone() -> None:
    table, other = EmbeddingTable(SHARED, 3, seed=1), EmbeddingTable(SHARED, 3, seed=2)
    assert list(table.state_dict()) == ["weight"]
    file = io.BytesIO()
    torch.save(table.state_dict(), file)
    file.seek(0)
    other.load_state_dict(torch.load(file, weights_only=True))
    assert torch.equal(table.weight, other.weight)
    with pytest.raises(RuntimeError, match="size mismatch"):
        EmbeddingTable(SHARED, 4).load_state_dict(table.state_dict())


def test_a_copy_is_independent() -> None:
    table = EmbeddingTable(SHARED, 3)
    twin = copy.deepcopy(table)
    with torch.no_grad():
        twin.weight.add_(1)
    ids, _ = draw(SHARED, 3)
    assert torch.allclose(twin(ids), table(ids) + 1)


# -- refusals ----------------------------------------------------------------------------------------------------
@pytest.mark.parametrize("double", [False, True])
@pytest.mark.parametrize("code", [5, -1, 10**12, -(2**63)])
def test_an_id_out_of_range_is_named(code: int, double: bool) -> None:
    """Without the check, code 5 of ``history`` would read another vocabulary's row."""
    table = EmbeddingTable(SHARED, 3)
    table = table.double() if double else table
    ids, _ = draw(SHARED, 4)
    ids[2, 3] = code
    with pytest.raises(ValueError, match=rf"ids\[2, 3\] is {code}; slot 3 \('history'\) has the codes 0 to 4"):
        table(ids)
    with pytest.raises(ValueError, match=rf"ids\[2, 1\] is {code}; slot 3 \('history'\) has the codes 0 to 4"):
        table(ids[:, 2:], slots=SHARED.slots("history"))


@pytest.mark.parametrize(
    ("ids", "weights", "kind", "message"),
    [
        (torch.zeros(2, 5, dtype=torch.int32), None, TypeError, "ids is torch.int32; give torch.int64"),
        (torch.zeros(2, 5), None, TypeError, "ids is torch.float32"),
        (torch.zeros(2, 4, dtype=torch.int64), None, ValueError, r"ids has shape \(2, 4\); it must be \[B, 5\]"),
        (torch.zeros(5, dtype=torch.int64), None, ValueError, r"ids has shape \(5,\)"),
        (torch.zeros(2, 5, dtype=torch.int64), torch.zeros(2, 4), ValueError, r"weights has shape \(2, 4\); ids has"),
        (torch.zeros(2, 5, dtype=torch.int64), torch.zeros(2, 5).double(), TypeError, "weights is torch.float64"),
    ],
)
def test_wrong_input(ids: Tensor, weights: Tensor | None, kind: type[Exception], message: str) -> None:
    with pytest.raises(kind, match=message):
        EmbeddingTable(SHARED, 3)(ids, weights)


def test_wrong_arguments() -> None:
    with pytest.raises(ValueError, match=r"dim is 0; it must be"):
        EmbeddingTable(SHARED, 0)
    with pytest.raises(ValueError, match=r"dim is 2\.5"):
        EmbeddingTable(SHARED, 2.5)  # type: ignore[arg-type]
    for std in (-1.0, float("nan"), float("inf")):
        with pytest.raises(ValueError, match=rf"std is {std}"):
            EmbeddingTable(SHARED, 2, std=std)
    with pytest.raises(ValueError, match="nothing to look up"):
        EmbeddingTable(Layout((), (), (), {}, ("words",)), 2)
    with pytest.raises(ValueError, match="outside the table, which has 3"):
        gather(np.ones((3, 2), np.float32), np.array([1]), np.array([[2]]))


def test_threads_are_those_of_torch_and_numba() -> None:
    from rectutor.nn.table import n_threads

    before = torch.get_num_threads()
    try:
        torch.set_num_threads(1)
        assert n_threads() == 1
    finally:
        torch.set_num_threads(before)
    assert n_threads() == min(before, numba.get_num_threads())


# -- MLP ---------------------------------------------------------------------------------------------------------
def test_mlp_is_its_formula() -> None:
    torch.manual_seed(0)
    mlp, x = MLP(5, [4, 3], out=2), torch.randn(7, 5)
    (w1, b1), (w2, b2), (w3, b3) = [
        (layer.weight.detach().numpy(), layer.bias.detach().numpy())
        for layer in mlp.layers
        if isinstance(layer, nn.Linear)
    ]
    h = np.maximum(0, np.maximum(0, x.numpy() @ w1.T + b1) @ w2.T + b2)
    np.testing.assert_allclose(mlp(x).detach().numpy(), h @ w3.T + b3, rtol=1e-5, atol=1e-6)
    last = MLP(5, [4, 3])
    assert last(x).shape == (7, 3)
    assert float(last(x).detach().min()) == 0  # the last hidden layer ends with its ReLU


def test_mlp_takes_its_input_in_parts() -> None:
    torch.manual_seed(0)
    mlp, x = MLP(6, [4], out=1), torch.randn(7, 6)
    together, parts = mlp(x), mlp(x[:, :3], x[:, 3:5], x[:, 5:])
    torch.testing.assert_close(parts, together)
    ours = torch.autograd.grad(parts.sum(), list(mlp.parameters()))
    for got, expected in zip(ours, torch.autograd.grad(together.sum(), list(mlp.parameters())), strict=True):
        torch.testing.assert_close(got, expected)
    with pytest.raises(ValueError, match=r"the input has 3 \+ 2 columns; it must have 6"):
        mlp(x[:, :3], x[:, 3:5])


def test_mlp_drops_out_in_training_only() -> None:
    torch.manual_seed(0)
    mlp, x = MLP(3, [1000], dropout=0.5), torch.ones(1, 3)
    assert abs(float((mlp.eval()(x) == 0).float().mean()) - 0.5) < 0.1  # ReLU alone: about half
    assert abs(float((mlp.train()(x) == 0).float().mean()) - 0.75) < 0.1


@pytest.mark.parametrize(("inputs", "hidden", "out"), [(0, [3], None), (3, [0], None), (3, [], None), (3, [2], 0)])
def test_mlp_refuses_widths(inputs: int, hidden: list[int], out: int | None) -> None:
    with pytest.raises(ValueError, match="the widths are"):
        MLP(inputs, hidden, out)


@pytest.mark.parametrize("dropout", [-0.1, 1.0, float("nan")])
def test_mlp_refuses_a_dropout(dropout: float) -> None:
    with pytest.raises(ValueError, match=f"dropout is {dropout}"):
        MLP(3, [2], dropout=dropout)
