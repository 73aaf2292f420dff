"""Lazy Adam and AdaGrad: PyTorch's own optimisers as other routes, bits that stay, states that come back, refusals."""

from __future__ import annotations

import copy
import io
import math
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from rectutor.features import Layout
from rectutor.nn import EmbeddingTable, LazyAdaGrad, LazyAdam, kernels, lazy_adagrad_step, lazy_adam_step
from rectutor.nn.optim import _Lazy

BOTH = [LazyAdam, LazyAdaGrad]
rows_and_dims = st.integers(1, 300), st.sampled_from([1, 3, 8, 16, 17, 35])


def sparse(rows: Tensor, values: Tensor, shape: tuple[int, ...]) -> Tensor:
    """A sparse gradient that is not coalesced."""
    return torch.sparse_coo_tensor(rows[None], values, shape, check_invariants=True)


def gradients(rng: np.random.Generator, n_rows: int, dim: int, steps: int, every: bool = False) -> list[Tensor]:
    """Gradients whose rows repeat; with ``every``, each row occurs in each."""
    result = []
    for _ in range(steps):
        rows = rng.integers(0, n_rows, int(rng.integers(1, 2 * n_rows + 2)))
        rows = np.concatenate([rows, rng.permutation(n_rows)]) if every else rows
        values = rng.standard_normal((len(rows), dim)).astype(np.float32)
        result.append(sparse(torch.from_numpy(rows), torch.from_numpy(values), (n_rows, dim)))
    return result


def parameter(rng: np.random.Generator, n_rows: int, dim: int) -> nn.Parameter:
    return nn.Parameter(torch.from_numpy(rng.standard_normal((n_rows, dim)).astype(np.float32)))


def train(optimizer: torch.optim.Optimizer, weight: nn.Parameter, grads: list[Tensor], dense: bool = False) -> Tensor:
    """The parameter after a step with each gradient."""
    for grad in grads:
        weight.grad = grad.to_dense() if dense else grad.clone()
        optimizer.step()
    return weight.detach()


# -- other routes ------------------------------------------------------------------------------------------------
@settings(deadline=None, max_examples=40)
@given(st.integers(0, 10**6), *rows_and_dims)
def test_lazy_adam_is_sparse_adam(seed: int, n_rows: int, dim: int) -> None:
    rng = np.random.default_rng(seed)
    ours = parameter(rng, n_rows, dim)
    theirs = nn.Parameter(ours.detach().clone())
    grads = gradients(rng, n_rows, dim, steps=4)
    expected = train(torch.optim.SparseAdam([theirs], lr=0.1), theirs, grads)
    torch.testing.assert_close(train(LazyAdam([ours], lr=0.1), ours, grads), expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("weight_decay", [0.0, 0.1])
def test_lazy_adam_is_adam_where_every_row_is_touched(weight_decay: float) -> None:
    rng = np.random.default_rng(0)
    ours = parameter(rng, 50, 6)
    theirs = nn.Parameter(ours.detach().clone())
    grads = gradients(rng, 50, 6, steps=5, every=True)
    expected = train(torch.optim.Adam([theirs], lr=0.1, weight_decay=weight_decay), theirs, grads, dense=True)
    got = train(LazyAdam([ours], lr=0.1, weight_decay=weight_decay), ours, grads)
    torch.testing.assert_close(got, expected, rtol=1e-4, atol=1e-5)


@settings(deadline=None, max_examples=40)
@given(st.integers(0, 10**6), *rows_and_dims, st.sampled_from([0.0, 0.1]))
def test_lazy_adagrad_is_adagrad(seed: int, n_rows: int, dim: int, initial: float) -> None:
    rng = np.random.default_rng(seed)
    ours = parameter(rng, n_rows, dim)
    theirs = nn.Parameter(ours.detach().clone())
    grads = gradients(rng, n_rows, dim, steps=4)
    adagrad = torch.optim.Adagrad([theirs], lr=0.1, initial_accumulator_value=initial)
    got = train(LazyAdaGrad([ours], lr=0.1, initial=initial), ours, grads)
    with torch.sparse.check_sparse_tensor_invariants(True):  # type: ignore[no-untyped-call]  # or it warns
        expected = train(adagrad, theirs, grads)
    torch.testing.assert_close(got, expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("kind", BOTH)
@pytest.mark.parametrize("weight_decay", [0.0, 0.1])
@pytest.mark.parametrize("dim", [1, 16, 17])
def test_compiled_and_plain_paths_agree(kind: type[_Lazy], weight_decay: float, dim: int) -> None:
    """In float64 PyTorch's operations do the step, as on another device."""
    rng = np.random.default_rng(1)
    ours = parameter(rng, 60, dim)
    wide = nn.Parameter(ours.detach().double())
    grads = gradients(rng, 60, dim, steps=5)
    got = train(kind([ours], lr=0.1, weight_decay=weight_decay), ours, grads)  # type: ignore[call-arg]
    optimizer = kind([wide], lr=0.1, weight_decay=weight_decay)  # type: ignore[call-arg]
    expected = train(optimizer, wide, [g.double() for g in grads])
    torch.testing.assert_close(got.double(), expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("kind", BOTH)
def test_a_descent_ends_in_the_valley(kind: type[_Lazy]) -> None:
    table = EmbeddingTable(Layout.of([30]), 4, std=1.0)
    goal = torch.randn(30, 4, generator=torch.Generator().manual_seed(0))
    optimizer = kind(table.parameters(), lr=0.1 if kind is LazyAdam else 1.0)  # type: ignore[call-arg]
    rng = np.random.default_rng(0)
    for _ in range(1500):
        ids = torch.from_numpy(rng.integers(0, 30, (8, 1)))
        optimizer.zero_grad()
        (table(ids)[:, 0] - goal[ids[:, 0]]).square().sum().backward()
        optimizer.step()
    assert float((table.weight.detach() - goal).abs().max()) < 0.01


# -- only the rows of the batch ----------------------------------------------------------------------------------
@pytest.mark.parametrize("kind", BOTH)
def test_other_rows_and_their_states_keep_every_bit(kind: type[_Lazy]) -> None:
    rng = np.random.default_rng(2)
    weight = parameter(rng, 20_000, 5)
    optimizer = kind([weight], weight_decay=0.1)  # type: ignore[call-arg]
    train(optimizer, weight, gradients(rng, 20_000, 5, steps=1, every=True))
    before = [weight.detach().clone()] + [x.clone() for x in states(optimizer)]
    touched = torch.tensor([0, 19_999, 4096, 4095, 0])
    grad = sparse(touched, torch.ones(5, 5), (20_000, 5))
    train(optimizer, weight, [grad])
    others = torch.ones(20_000, dtype=torch.bool)
    others[touched] = False
    for old, new in zip(before, [weight.detach(), *states(optimizer)], strict=True):
        assert torch.equal(old[others], new[others])
        assert not torch.equal(old[touched], new[touched])


def states(optimizer: torch.optim.Optimizer) -> list[Tensor]:
    return [x for state in optimizer.state.values() for x in state.values() if isinstance(x, Tensor)]


@pytest.mark.parametrize("n_rows", [1, 3, 64, 65, 5000, 300_000])
@pytest.mark.parametrize("kernel", [kernels.adam, kernels.adagrad])
def test_the_number_of_threads_changes_no_bit(kernel: Any, n_rows: int) -> None:
    """One, two and seven threads, whatever the width of the buckets."""
    rng = np.random.default_rng(3)
    dim = 5
    rows = rng.geometric(0.02, 3000) * 977 % n_rows  # some rows often, some once
    grads = rng.standard_normal((3000, dim)).astype(np.float32)
    start = rng.standard_normal((n_rows, dim)).astype(np.float32)
    numbers = np.array([0.1, 0.1, 0.001, 1e-8, 0.01][: 5 if kernel is kernels.adam else 3], np.float32)
    results = []
    for threads in (1, 2, 7):
        shape = (n_rows, 2, dim) if kernel is kernels.adam else (n_rows, dim)
        weight, state = start.copy(), np.zeros(shape, np.float32)
        kernel(weight, state, rows, grads, numbers, threads)
        kernel(weight, state, rows[::-1].copy(), grads, numbers, threads)
        results.append((weight, state))
    assert len(np.unique(rows)) > 0.9 * min(n_rows, 100)
    for weight, state in results[1:]:
        assert np.array_equal(weight, results[0][0])
        assert np.array_equal(state, results[0][1])


@given(st.integers(1, 2**33))
def test_buckets_are_neither_few_nor_many(n_rows: int) -> None:
    bits = kernels.bucket_bits(n_rows)
    buckets = ((n_rows - 1) >> bits) + 1
    assert buckets <= 2 ** (kernels.MANY_BITS + 1)
    assert buckets >= min(n_rows, 2**kernels.FEW_BITS)
    assert 2**bits <= max(2**kernels.WIDTH_BITS, n_rows / 2**kernels.MANY_BITS)


# -- states, groups, closures --------------------------------------------------------------------------------------
@pytest.mark.parametrize("kind", BOTH)
def test_saved_and_loaded_it_goes_on_to_the_bit(kind: type[_Lazy]) -> None:
    rng = np.random.default_rng(4)
    weight = parameter(rng, 40, 6)
    grads = gradients(rng, 40, 6, steps=6)
    optimizer = kind([weight], lr=0.03)  # type: ignore[call-arg]
    train(optimizer, weight, grads[:3])
    file = io.BytesIO()
    torch.save({"weight": weight.detach(), "optimizer": optimizer.state_dict()}, file)
    expected = train(optimizer, weight, grads[3:]).clone()
    file.seek(0)
    saved = torch.load(file, weights_only=True)
    again = nn.Parameter(saved["weight"])
    other = kind([again], lr=99.0)  # type: ignore[call-arg]
    other.load_state_dict(saved["optimizer"])
    assert torch.equal(train(other, again, grads[3:]), expected)
    for old, new in zip(states(optimizer), states(other), strict=True):
        assert torch.equal(old, new)
    assert other.state[again]["step"] == 6


@pytest.mark.parametrize("kind", BOTH)
def test_a_deep_copy_goes_on_alone(kind: type[_Lazy]) -> None:
    rng = np.random.default_rng(5)
    weight = parameter(rng, 30, 3)
    grads = gradients(rng, 30, 3, steps=4)
    optimizer = kind([weight])  # type: ignore[call-arg]
    train(optimizer, weight, grads[:2])
    twin_weight, twin = copy.deepcopy((weight, optimizer))
    assert torch.equal(train(optimizer, weight, grads[2:]), train(twin, twin_weight, grads[2:]))


def test_groups_have_numbers_of_their_own() -> None:
    rng = np.random.default_rng(6)
    first, second, apart = parameter(rng, 9, 2), parameter(rng, 9, 2), parameter(rng, 9, 2)
    with torch.no_grad():
        apart.copy_(second)
    grads = gradients(rng, 9, 2, steps=2)
    optimizer = LazyAdam([{"params": [first], "lr": 0.0}, {"params": [second], "lr": 0.5, "weight_decay": 0.1}])
    before = first.detach().clone()
    for grad in grads:
        first.grad = second.grad = grad.clone()
        optimizer.step()
    assert torch.equal(first, before)
    assert torch.equal(second, train(LazyAdam([apart], lr=0.5, weight_decay=0.1), apart, grads))


def test_without_a_gradient_nothing_happens_and_a_closure_gives_the_loss() -> None:
    table = EmbeddingTable(Layout.of([5]), 2, std=1.0)
    optimizer = LazyAdam(table.parameters())
    before = table.weight.detach().clone()
    optimizer.step()
    assert torch.equal(table.weight, before)
    assert not optimizer.state[table.weight]

    def closure() -> Tensor:
        optimizer.zero_grad()
        loss: Tensor = table(torch.tensor([[1]])).sum()
        loss.backward()  # type: ignore[no-untyped-call]
        return loss

    assert optimizer.step(closure).detach() == before[1].sum()
    assert not torch.equal(table.weight, before)


@pytest.mark.parametrize("kind", BOTH)
def test_the_gradient_stays_as_it_was(kind: type[_Lazy]) -> None:
    rng = np.random.default_rng(7)
    weight = parameter(rng, 10, 4)
    (grad,) = gradients(rng, 10, 4, steps=1)
    weight.grad = grad.clone()
    kind([weight]).step()  # type: ignore[call-arg]
    assert torch.equal(weight.grad._values(), grad._values())
    assert torch.equal(weight.grad._indices(), grad._indices())


# -- refusals ----------------------------------------------------------------------------------------------------
@pytest.mark.parametrize("kind", BOTH)
def test_a_dense_gradient_is_refused(kind: type[_Lazy]) -> None:
    weight = nn.Parameter(torch.ones(3, 2))
    weight.grad = torch.ones(3, 2)
    with pytest.raises(TypeError, match=r"got a dense gradient of shape \(3, 2\); it is for embedding tables"):
        kind([weight]).step()  # type: ignore[call-arg]
    weight.grad = torch.ones(3, 2).to_sparse()  # sparse in rows and columns
    with pytest.raises(TypeError, match=r"got a sparse gradient of shape \(3, 2\)"):
        kind([weight]).step()  # type: ignore[call-arg]
    assert torch.equal(weight, torch.ones(3, 2))


@pytest.mark.parametrize(
    ("kind", "name", "value"),
    [
        (LazyAdam, "lr", -1.0),
        (LazyAdam, "lr", math.nan),
        (LazyAdam, "betas", (0.9, 1.0)),
        (LazyAdam, "betas", (-0.1, 0.9)),
        (LazyAdam, "eps", -1e-8),
        (LazyAdam, "weight_decay", math.inf),
        (LazyAdaGrad, "lr", -1.0),
        (LazyAdaGrad, "initial", -1.0),
        (LazyAdaGrad, "eps", math.nan),
        (LazyAdaGrad, "weight_decay", -0.1),
    ],
)
def test_wrong_numbers(kind: Any, name: str, value: Any) -> None:
    with pytest.raises(ValueError, match=rf"{name} is \(?{value if name != 'betas' else value[0]}"):
        kind([nn.Parameter(torch.ones(2, 2))], **{name: value})


def test_the_pure_steps_check_their_arrays() -> None:
    w, ids, g = np.ones((4, 2), np.float32), np.array([0, 3]), np.ones((2, 2), np.float32)
    lazy_adagrad_step(w, w, ids, g)
    for bad in (np.array([0, 4]), np.array([-1, 0])):
        with pytest.raises(ValueError, match="the rows are 0 to 3"):
            lazy_adagrad_step(w, w, bad, g)
    with pytest.raises(ValueError, match=r"grads \(2, 2\); give \[n\] and \[n, 2\]"):
        lazy_adam_step(w, w, w, np.array([0]), g, 1)
    with pytest.raises(ValueError, match=r"m has shape \(3, 2\)"):
        lazy_adam_step(w, w[:3], w, ids, g, 1)
    with pytest.raises(ValueError, match="step is 0; steps count from 1"):
        lazy_adam_step(w, w, w, ids, g, 0)
    with pytest.raises(TypeError, match="v is float64; give float32"):
        lazy_adam_step(w, w, w.astype(np.float64), ids, g, 1)
    with pytest.raises(TypeError, match="ids is int32"):
        lazy_adagrad_step(w, w, ids.astype(np.int32), g)
