"""Batches: every example once, exact ids, views where possible, one seed one order, and cheap."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
import pytest
import torch

from rectutor.features import Encoded, Layout
from rectutor.nn.batches import Batch, batches


def examples(n: int = 10, *, weights: bool = True, label: int | None = 0, dense: int = 2) -> Encoded:
    """Row n has the id n in slot 0, so that a row can be followed through everything."""
    ids = np.stack([np.arange(n), np.arange(n) % 7], axis=1)
    rows = np.arange(n, dtype=np.float32)
    return Encoded(
        Layout.of([max(n, 1), 7], dense=dense),
        ids,
        np.repeat(rows[:, None] * 10, dense, axis=1),
        np.stack([rows * 100, rows * 100 + 1], axis=1) if weights else None,
        None if label is None else (np.stack([rows % 2] * label, axis=1) if label else rows % 2),
    )


@pytest.mark.parametrize("seed", [None, 0, 5])
@pytest.mark.parametrize(("n", "size"), [(10, 3), (10, 5), (10, 10), (10, 99), (1, 1)])
def test_each_example_comes_once_with_all_that_belongs_to_it(n: int, size: int, seed: int | None) -> None:
    data = examples(n)
    found = list(batches(data, size, seed=seed))
    full, rest = divmod(n, size)
    assert [len(batch) for batch in found] == [size] * full + [rest] * (rest > 0)
    order = torch.cat([batch.ids[:, 0] for batch in found]).numpy()
    assert sorted(order) == list(range(n))
    for name in ("ids", "dense", "weights", "label"):
        expected = getattr(data, name)[order]
        got = torch.cat([getattr(batch, name) for batch in found]).numpy()
        assert got.dtype == expected.dtype
        np.testing.assert_array_equal(got, expected)
    if seed is None:
        assert list(order) == list(range(n))


def test_drop_last_leaves_out_the_short_batch_only() -> None:
    assert [len(b) for b in batches(examples(10), 4, drop_last=True)] == [4, 4]
    assert [len(b) for b in batches(examples(8), 4, drop_last=True)] == [4, 4]
    with pytest.raises(ValueError, match=r"size is 11 for 10 examples, and drop_last leaves none; choose a lower size"):
        batches(examples(10), 11, drop_last=True)


def test_what_is_absent_stays_absent() -> None:
    for seed in (None, 0):
        (batch,) = batches(examples(3, weights=False, label=None, dense=0), 5, seed=seed)
        assert batch.weights is None
        assert batch.label is None
        assert batch.dense.shape == (3, 0)
        assert batch.to("cpu").weights is None


def test_labels_of_several_tasks_keep_their_columns() -> None:
    (batch,) = batches(examples(5, label=3), 5, seed=0)
    assert batch.label is not None
    assert batch.label.shape == (5, 3)


def test_ids_never_pass_through_floats() -> None:
    large = 2**53 + np.array([[1], [3], [5], [7]])  # in float64 these are already wrong, in float32 all are one
    data = Encoded(Layout.of([2**53 + 8]), large)
    for seed in (None, 1):
        got = torch.cat([batch.to("cpu").ids for batch in batches(data, 3, seed=seed)])
        assert got.dtype == torch.int64
        assert sorted(got[:, 0].tolist()) == large[:, 0].tolist()


def test_in_order_a_batch_is_a_view() -> None:
    data = examples(10)
    for n, batch in enumerate(batches(data, 4)):
        assert batch.ids.data_ptr() == data.ids[4 * n :].ctypes.data
        assert batch.dense.data_ptr() == data.dense[4 * n :].ctypes.data


def test_shuffled_batches_do_not_share_the_memory_of_the_data() -> None:
    data = examples(10)
    for batch in batches(data, 4, seed=0):
        batch.ids.zero_()
    assert data.ids[:, 0].tolist() == list(range(10))


def test_arrays_that_torch_dislikes_are_read_all_the_same() -> None:
    data = examples(10)
    for array in (data.ids, data.dense):
        array.flags.writeable = False
    reversed_ = data[::-1]
    odd = Encoded(data.layout, np.asfortranarray(data.ids), data.dense[:, ::-1], data.weights, data.label)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert torch.cat([b.ids for b in batches(data, 4)])[:, 0].tolist() == list(range(10))
        assert torch.cat([b.ids for b in batches(reversed_, 4)])[:, 0].tolist() == list(range(9, -1, -1))
        assert torch.cat([b.ids for b in batches(odd, 4)])[:, 0].tolist() == list(range(10))


def order_of(seed: Any, n: int = 50) -> list[int]:
    return [i for batch in batches(examples(n), 7, seed=seed) for i in batch.ids[:, 0].tolist()]


def test_one_seed_one_order_and_a_generator_moves_on() -> None:
    assert order_of(3) == order_of(3)
    assert order_of(3) != order_of(4)
    assert order_of(3) != list(range(50))
    rng = np.random.default_rng(3)
    assert order_of(rng) == order_of(3)  # the first epoch
    assert order_of(rng) != order_of(3)  # the second is another


def test_the_order_does_not_depend_on_torch_s_generator_nor_move_it() -> None:
    torch.manual_seed(1)
    before = torch.get_rng_state()
    first = order_of(3)
    assert torch.equal(torch.get_rng_state(), before)
    torch.manual_seed(2)
    assert order_of(3) == first


def test_every_order_is_as_likely() -> None:
    """Chi-square over the 24 orders of four examples; the 99.99 % quantile at 23 degrees of freedom is 58.6."""
    rng = np.random.default_rng(0)
    counts: dict[tuple[int, ...], int] = {}
    for _ in range(2400):
        order = tuple(order_of(rng, 4))
        counts[order] = counts.get(order, 0) + 1
    assert len(counts) == 24
    assert sum((count - 100) ** 2 / 100 for count in counts.values()) < 58.6


@pytest.mark.parametrize(("size", "error", "message"), [
    (0, ValueError, r"size is 0; it must be at least 1"),
    (-2, ValueError, r"size is -2; it must be at least 1"),
    (2.0, TypeError, r"size is 2.0; give an integer"),
    (True, TypeError, r"size is True; give an integer"),
])  # fmt: skip
def test_bad_sizes_are_refused_at_the_call(size: Any, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        batches(examples(), size)


def test_no_examples_are_refused_at_the_call() -> None:
    with pytest.raises(ValueError, match="data is empty; there is no batch to cut"):
        batches(examples(0), 4)


def test_a_batch_on_its_device_is_not_copied() -> None:
    (batch,) = batches(examples(3), 3)
    assert batch.to("cpu").ids is batch.ids


def test_a_batch_moves_as_a_whole() -> None:
    (batch,) = batches(examples(3), 3)
    moved = batch.to("meta")
    assert isinstance(moved, Batch)
    tensors = [moved.ids, moved.dense, moved.weights, moved.label]
    assert all(x is not None and x.device.type == "meta" for x in tensors)
