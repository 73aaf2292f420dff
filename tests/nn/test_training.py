"""The loop: what it learns, what it measures, when it stops, that it goes on bit for bit, and what it refuses."""

from __future__ import annotations

import os
import pickle
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from torch import Tensor, nn

from rectutor.features import Encoded, Layout
from rectutor.metrics import auc, log_loss
from rectutor.nn import MLP, EmbeddingTable, LazyAdam
from rectutor.nn.batches import Batch, batches
from rectutor.nn.training import auc_and_log_loss, binary_cross_entropy, fit, optimizers_for, predict

LAYOUT = Layout.of([20, 30, 5], dense=2)


def examples(n: int = 300, seed: int = 0, layout: Layout = LAYOUT) -> Encoded:
    """Clicks that depend on the first field and the first dense column."""
    rng = np.random.default_rng(seed)
    sizes = np.array([layout.sizes[name] for name in layout.vocabularies])
    ids = rng.integers(0, sizes, (n, len(sizes)))
    dense = rng.normal(size=(n, 2)).astype(np.float32)
    taste = np.random.default_rng(99).normal(size=sizes[0])
    label = (rng.random(n) < 1 / (1 + np.exp(-2 * taste[ids[:, 0]] - dense[:, 0]))).astype(np.float32)
    return Encoded(layout, ids, dense, label=label)


class Net(nn.Module):
    """A table, an MLP with dropout, and a buffer that training moves (batch normalization)."""

    def __init__(self, layout: Layout = LAYOUT, dim: int = 4, dropout: float = 0.3, seed: int = 0) -> None:
        super().__init__()
        self.table = EmbeddingTable(layout, dim, std=0.1, seed=seed)
        width = len(layout.fields) * dim + len(layout.dense)
        with torch.random.fork_rng(devices=()):
            torch.default_generator.manual_seed(seed)
            self.norm = nn.BatchNorm1d(width)
            self.mlp = MLP(width, [8], out=1, dropout=dropout)

    def forward(self, batch: Batch) -> Tensor:
        vectors = self.table(batch.ids, batch.weights).flatten(1)
        return self.mlp(self.norm(torch.cat([vectors, batch.dense], 1)))[:, 0]  # type: ignore[no-any-return]


class Linear(nn.Module):
    """Without a table: logits w x + b of the first dense column."""

    def __init__(self, w: float = 0.0, b: float = 0.0) -> None:
        super().__init__()
        self.w = nn.Parameter(torch.tensor(w))
        self.b = nn.Parameter(torch.tensor(b))

    def forward(self, batch: Batch) -> Tensor:
        return self.w * batch.dense[:, 0] + self.b


def weights(model: nn.Module) -> dict[str, Tensor]:
    return {name: x.clone() for name, x in model.state_dict().items()}


def same(a: dict[str, Tensor], b: dict[str, Tensor]) -> bool:
    return a.keys() == b.keys() and all(torch.equal(a[name], b[name]) for name in a)


def figures(history: pd.DataFrame) -> pd.DataFrame:
    return history.drop(columns="seconds")


# -- learning ------------------------------------------------------------------------------------------
def test_it_learns_what_there_is_to_learn() -> None:
    train, valid = examples(4000), examples(2000, seed=1)
    model = Net()
    history = fit(model, train, valid, epochs=8, batch_size=128, lr=0.01)
    assert list(history.columns) == ["epoch", "loss", "auc", "log_loss", "seconds"]
    assert history.epoch.tolist() == list(range(1, 9))
    assert history.loss.iloc[-1] < history.loss.iloc[0]
    taste = np.random.default_rng(99).normal(size=20)
    assert valid.label is not None
    best_possible = auc(valid.label, 2 * taste[valid.ids[:, 0]] + valid.dense[:, 0])
    assert best_possible - 0.02 < history.auc.max() < best_possible + 0.01
    assert (history.seconds > 0).all()


def test_an_epoch_is_the_loop_written_out() -> None:
    """Without dropout and shuffling left to chance: the same steps by hand, with torch's SparseAdam and Adam."""
    train = examples(50)
    model, twin = Net(dropout=0.0), Net(dropout=0.0)
    seen: list[Tensor] = []

    def loss(net: nn.Module, batch: Batch) -> Tensor:
        seen.append(batch.ids.clone())
        return binary_cross_entropy(net, batch)

    history = fit(model, train, epochs=2, batch_size=16, lr=0.02, loss=loss, device="cpu")
    assert [len(ids) for ids in seen] == [16, 16, 16, 2] * 2
    others = [p for name, p in twin.named_parameters() if name != "table.weight"]
    steppers = [torch.optim.SparseAdam([twin.table.weight], lr=0.02), torch.optim.Adam(others, lr=0.02)]
    row = {tuple(ids): n for n, ids in enumerate(train.ids)}
    assert len(row) == 50
    means = []
    for ids in seen:
        (batch,) = batches(train[np.array([row[tuple(i)] for i in ids.tolist()])], 16)
        value = nn.functional.binary_cross_entropy_with_logits(twin(batch), batch.label)  # type: ignore[arg-type]
        for stepper in steppers:
            stepper.zero_grad()
        value.backward()  # type: ignore[no-untyped-call]
        for stepper in steppers:
            stepper.step()
        means.append(value.item() * len(ids))
    np.testing.assert_allclose(history.loss, [sum(means[:4]) / 50, sum(means[4:]) / 50], rtol=1e-5)
    for name, x in twin.state_dict().items():
        torch.testing.assert_close(model.state_dict()[name], x, rtol=1e-4, atol=1e-6)


def test_every_epoch_has_an_order_of_its_own_and_every_example_once() -> None:
    train = examples(40, layout=Layout.of([20, 30, 5], dense=2))
    train = Encoded(train.layout, train.ids, np.arange(80, dtype=np.float32).reshape(40, 2), label=train.label)
    seen: list[float] = []

    def loss(net: nn.Module, batch: Batch) -> Tensor:
        seen.extend(batch.dense[:, 0].tolist())
        return 0.0 * net(batch).sum()  # type: ignore[no-any-return]

    fit(Linear(), train, epochs=3, batch_size=16, loss=loss)
    orders = [tuple(seen[k : k + 40]) for k in (0, 40, 80)]
    assert len(set(orders)) == 3
    assert all(sorted(order) == train.dense[:, 0].tolist() for order in orders)


def test_one_seed_one_result_whatever_the_caller_s_generators() -> None:
    train, valid = examples(), examples(seed=1)
    results = []
    for noise in (0, 1):
        torch.manual_seed(noise)
        model = Net()
        history = fit(model, train, valid, epochs=3, batch_size=64, seed=7)
        results.append((weights(model), figures(history)))
    assert same(results[0][0], results[1][0])
    pd.testing.assert_frame_equal(results[0][1], results[1][1], check_exact=True)
    other = Net()
    fit(other, train, valid, epochs=3, batch_size=64, seed=8)
    assert not same(weights(other), results[0][0])


def test_the_seed_draws_the_dropout_too() -> None:
    """One batch an epoch and no batch order that could matter to the masks: what is left of the seed is the dropout."""
    data = examples(64)
    alike = Encoded(data.layout, data.ids[[0] * 64], data.dense[[0] * 64], label=data.label)
    masks: dict[int, Tensor] = {}
    for seed in (0, 1):

        def loss(net: nn.Module, batch: Batch, seed: int = seed) -> Tensor:
            masks[seed] = net.get_submodule("mlp.layers.2")(torch.ones(64, 8))
            return binary_cross_entropy(net, batch)

        fit(Net(), alike, epochs=1, batch_size=64, seed=seed, loss=loss)
    assert not torch.equal(masks[0], masks[1])
    assert (masks[0] == 0).any()


def test_the_caller_s_generators_stay_where_they_were() -> None:
    torch.manual_seed(5)
    before = torch.get_rng_state()
    numpy_before = pickle.dumps(np.random.get_state())  # noqa: NPY002
    fit(Net(), examples(), examples(seed=1), epochs=1)
    assert torch.equal(torch.get_rng_state(), before)
    assert pickle.dumps(np.random.get_state()) == numpy_before  # noqa: NPY002


def test_a_generator_is_as_good_a_seed_as_a_number() -> None:
    a, b, c = Net(), Net(), Net()
    rng = np.random.default_rng(3)
    fit(a, examples(), epochs=1, seed=3)
    fit(b, examples(), epochs=1, seed=rng)
    fit(c, examples(), epochs=1, seed=rng)  # it has moved on
    assert same(weights(a), weights(b))
    assert not same(weights(a), weights(c))


def test_a_model_that_comes_in_evaluation_mode_is_trained_as_any_other() -> None:
    a, b = Net().train(), Net().eval()
    for model in (a, b):
        fit(model, examples(), examples(seed=1), epochs=2, batch_size=64)
        assert not any(module.training for module in model.modules())
    assert same(weights(a), weights(b))


# -- measuring -----------------------------------------------------------------------------------------
def uneven(n: int = 20_000) -> Encoded:
    """Two halves, in each the scores order the labels perfectly, while over both they do not."""
    x = np.concatenate([np.where(np.arange(n) % 2, 1.0, 0.0), np.where(np.arange(n) % 2, 11.0, 10.0)])
    label = (np.arange(2 * n) % 2).astype(np.float32)
    return Encoded(Layout.of([1], dense=1), np.zeros((2 * n, 1), np.int64), x.astype(np.float32)[:, None], label=label)


def test_auc_is_of_the_whole_set_and_not_the_mean_over_batches() -> None:
    """A pair (positive of the first half, negative of the second) is in the wrong order: 3 of 4 pairs are right."""
    data, model = uneven(), Linear(w=0.1, b=-0.5)
    half = len(data) // 2
    per_batch = [auc(batch.label, model(batch).detach()) for batch in batches(data, half)]  # type: ignore[arg-type]
    assert per_batch == [1.0, 1.0]
    assert auc_and_log_loss(model, data)["auc"] == 0.75
    for size in (1, half):
        probability = predict(model, data[: 2 * size] if size == 1 else data, batch_size=size)
        assert len(probability) == 2 * size
    history = fit(model, data, data, epochs=1, batch_size=half, lr=1e-9)
    assert history.auc.tolist() == [0.75]


def test_figures_are_those_of_the_model_at_the_end_of_the_epoch() -> None:
    train, valid = examples(), examples(seed=1)
    model = Net()
    history = fit(model, train, valid, epochs=1, batch_size=64)
    p = predict(model, valid)
    assert valid.label is not None
    assert history.auc[0] == auc(valid.label, p)
    assert history.log_loss[0] == log_loss(valid.label, p)


def test_the_score_is_taken_once_an_epoch_of_the_whole_set_and_once_before() -> None:
    valid, calls = examples(77, seed=1), []

    def score(model: nn.Module, data: Encoded) -> dict[str, float]:
        calls.append((data is valid, model.training, torch.is_grad_enabled(), torch.is_autocast_enabled("cpu")))
        return {"hits": len(calls)}

    history = fit(Net(), examples(), valid, epochs=3, batch_size=64, score=score, monitor="hits", autocast=True)
    assert calls == [(True, False, False, False)] * 4
    assert history.hits.tolist() == [2, 3, 4]


def test_predict_does_not_depend_on_the_batch_size_and_leaves_the_modes() -> None:
    model, data = Net(dropout=0.5), examples(100)
    model.train()
    model.norm.eval()  # frozen by its owner
    modes = [module.training for module in model.modules()]
    p = predict(model, data)
    assert [module.training for module in model.modules()] == modes
    assert p.dtype == np.float32
    assert p.shape == (100,)
    np.testing.assert_allclose(predict(model, data, batch_size=7), p, rtol=1e-5)
    np.testing.assert_array_equal(predict(model, data), p)  # no dropout
    with torch.no_grad():
        (batch,) = batches(data, 100)
        np.testing.assert_array_equal(torch.sigmoid(model.eval()(batch)).numpy(), p)


def test_predict_restores_the_modes_when_the_model_fails() -> None:
    model = Net(dropout=0.5).train()
    with pytest.raises(ValueError, match="ids has shape"):
        predict(model, Encoded(Layout.of([5], dense=2), np.zeros((3, 1), np.int64), np.zeros((3, 2), np.float32)))
    assert model.training
    assert model.mlp.training


def test_predict_takes_several_tasks_and_needs_no_label() -> None:
    class Two(nn.Module):
        def forward(self, batch: Batch) -> Tensor:
            return batch.dense

    data = examples(10)
    p = predict(Two(), Encoded(data.layout, data.ids, data.dense), batch_size=4)
    np.testing.assert_allclose(p, 1 / (1 + np.exp(-data.dense)), rtol=1e-6)


def test_two_tasks_with_a_loss_and_a_score_of_their_own() -> None:
    class Two(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.top = nn.Linear(2, 2)

        def forward(self, batch: Batch) -> Tensor:
            return self.top(batch.dense)  # type: ignore[no-any-return]

    one = examples()
    assert one.label is not None
    data = Encoded(one.layout, one.ids, one.dense, label=np.stack([one.label, 1 - one.label], axis=1))

    def score(model: nn.Module, data: Encoded) -> dict[str, float]:
        p = predict(model, data)
        assert data.label is not None
        return {f"auc_{t}": auc(data.label[:, t], p[:, t]) for t in range(2)}

    history = fit(Two(), data, data, epochs=10, lr=0.1, score=score, monitor="auc_1")
    assert history[["auc_0", "auc_1"]].iloc[-1].min() > 0.6
    with pytest.raises(ValueError, match=r"valid cannot be scored: label has shape \(300, 2\); for several tasks give"):
        fit(Two(), data, data, epochs=1)


def test_a_loss_without_labels_trains() -> None:
    """In-batch softmax of two towers: each row's own partner against the others'."""

    class Towers(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.table = EmbeddingTable(Layout.of([20, 20]), 4, std=0.5)

        def forward(self, batch: Batch) -> Tensor:
            user, item = self.table(batch.ids).unbind(1)
            return user @ item.T  # type: ignore[no-any-return]

    def loss(model: nn.Module, batch: Batch) -> Tensor:
        return nn.functional.cross_entropy(model(batch), torch.arange(len(batch)))

    pairs = Encoded(Layout.of([20, 20]), np.repeat(np.arange(20)[:, None], 2, axis=1))
    history = fit(Towers(), pairs, epochs=40, batch_size=20, lr=0.1, loss=loss, monitor="loss")
    assert history.loss.iloc[-1] < 0.1 < np.log(20) / 2 < history.loss[0]


# -- stopping ------------------------------------------------------------------------------------------
def scripted(values: Sequence[float], name: str = "auc") -> Callable[[nn.Module, Encoded], dict[str, float]]:
    """A score that gives what it is told, the first one before training."""
    left = iter([0.0, *values])
    return lambda model, data: {name: next(left)}


@pytest.mark.parametrize(("name", "values", "patience", "epochs", "best"), [
    ("auc", [0.5, 0.7, 0.6, 0.6, 0.9], 2, 4, 2),
    ("auc", [0.5, 0.7, 0.6, 0.8, 0.7, 0.7, 0.9], 2, 6, 4),
    ("auc", [0.7, 0.7, 0.9], 1, 2, 1),  # equal is not better
    ("auc", [0.1, 0.2, 0.3], 1, 3, 3),
    ("auc", [0.3, 0.2, 0.1], None, 3, 1),
    ("log_loss", [0.5, 0.4, 0.6, 0.3], 1, 3, 2),
    ("mean_error", [0.5, 0.4, 0.6, 0.3], 1, 3, 2),
    ("lossless", [0.5, 0.4, 0.6], 1, 2, 1),  # the name ends otherwise: higher is better
])  # fmt: skip
def test_it_stops_when_patience_ends_and_keeps_the_best_epoch(
    name: str, values: list[float], patience: int | None, epochs: int, best: int
) -> None:
    model, reference = Net(), Net()
    train, valid = examples(), examples(50, seed=1)
    history = fit(
        model, train, valid, epochs=len(values), batch_size=64, score=scripted(values, name), monitor=name,
        patience=patience,
    )  # fmt: skip
    assert len(history) == epochs
    assert history[name].tolist() == values[:epochs]
    fit(reference, train, epochs=best, batch_size=64)
    assert same(weights(model), weights(reference))
    assert not model.training


def test_without_valid_the_last_weights_stay_or_those_of_the_lowest_loss() -> None:
    train = examples()
    values = iter([1.0, 3.0, 2.0])

    def loss(model: nn.Module, batch: Batch) -> Tensor:
        """The gradient of the cross-entropy, the value from a script."""
        real = binary_cross_entropy(model, batch)
        return real - real.detach() + next(values)

    last, lowest = Linear(), Linear()
    history = fit(last, train, epochs=3, loss=loss)
    assert history.loss.tolist() == [1.0, 3.0, 2.0]
    values = iter([1.0, 3.0, 2.0])
    fit(lowest, train, epochs=3, loss=loss, monitor="loss")
    one, three = Linear(), Linear()
    fit(one, train, epochs=1)
    fit(three, train, epochs=3)
    assert same(weights(last), weights(three))
    assert same(weights(lowest), weights(one))


# -- going on from a checkpoint ------------------------------------------------------------------------
EPOCHS = 5


def whole_run(valid: Encoded | None, **options: Any) -> tuple[dict[str, Tensor], pd.DataFrame]:
    model = Net()
    history = fit(model, examples(), valid, epochs=EPOCHS, batch_size=64, lr=0.01, seed=11, **options)
    return weights(model), figures(history)


@pytest.mark.parametrize("stop", range(1, EPOCHS))
@pytest.mark.parametrize("with_valid", [True, False])
def test_it_goes_on_bit_for_bit_after_any_epoch(tmp_path: Path, stop: int, with_valid: bool) -> None:
    valid = examples(seed=1) if with_valid else None
    expected, history = whole_run(valid)
    path = tmp_path / "run.pt"
    fit(Net(), examples(), valid, epochs=stop, batch_size=64, lr=0.01, seed=11, checkpoint=path)
    torch.manual_seed(stop)  # what the caller's generator holds must not matter
    model = Net(seed=123)  # nor the weights it starts with
    resumed = fit(model, examples(), valid, epochs=EPOCHS, batch_size=64, lr=0.01, seed=11, checkpoint=path)
    assert same(weights(model), expected)
    pd.testing.assert_frame_equal(figures(resumed), history, check_exact=True)


def test_a_run_killed_within_an_epoch_goes_on_bit_for_bit(tmp_path: Path) -> None:
    valid, path = examples(seed=1), tmp_path / "run.pt"
    expected, history = whole_run(valid)
    calls = 0

    def fails(model: nn.Module, batch: Batch) -> Tensor:
        nonlocal calls
        calls += 1
        if calls == 13:  # five batches an epoch: the third epoch's third
            raise KeyboardInterrupt
        return binary_cross_entropy(model, batch)

    fails.__qualname__ = "binary_cross_entropy"
    model = Net()
    options: dict[str, Any] = {"epochs": EPOCHS, "batch_size": 64, "lr": 0.01, "seed": 11, "checkpoint": path}
    before = torch.get_rng_state()
    with pytest.raises(KeyboardInterrupt):
        fit(model, examples(), valid, loss=fails, **options)
    assert torch.equal(torch.get_rng_state(), before)
    resumed = fit(model, examples(), valid, **options)  # the very same model object, as in a notebook
    assert same(weights(model), expected)
    pd.testing.assert_frame_equal(figures(resumed), history, check_exact=True)


def test_in_a_new_process_it_goes_on_bit_for_bit(tmp_path: Path) -> None:
    script = """
import sys, torch
from tests.nn.test_training import EPOCHS, Net, examples, fit, weights
path, out, threads = sys.argv[1:]
torch.set_num_threads(int(threads))
model = Net(seed=5)
history = fit(model, examples(), examples(seed=1), epochs=EPOCHS, batch_size=64, lr=0.01, seed=11, checkpoint=path)
torch.save([weights(model), history.to_dict("list")], out)
"""
    valid, path, out = examples(seed=1), tmp_path / "run.pt", tmp_path / "out"
    expected, history = whole_run(valid)
    fit(Net(), examples(), valid, epochs=2, batch_size=64, lr=0.01, seed=11, checkpoint=path)
    command = [sys.executable, "-c", script, str(path), str(out), str(torch.get_num_threads())]
    quiet = {**os.environ, "TQDM_DISABLE": "1"}  # a busy machine shows the bar
    done = subprocess.run(command, cwd=Path(__file__).parents[2], env=quiet, capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")
    found, columns = torch.load(out, weights_only=True)
    assert same(found, expected)
    pd.testing.assert_frame_equal(figures(pd.DataFrame(columns)), history, check_exact=True)


def test_a_finished_run_is_read_back_and_not_trained_on(tmp_path: Path) -> None:
    valid, path = examples(seed=1), tmp_path / "run.pt"
    model, again = Net(), Net()
    options: dict[str, Any] = {"epochs": 3, "batch_size": 64, "checkpoint": path}
    history = fit(model, examples(), valid, **options)
    written = path.read_bytes()
    pd.testing.assert_frame_equal(fit(again, examples(), valid, **options), history, check_exact=True)
    assert same(weights(model), weights(again))
    assert path.read_bytes() == written


def test_early_stopping_counts_on_across_the_interruption(tmp_path: Path) -> None:
    path = tmp_path / "run.pt"
    values = [0.5, 0.7, 0.6, 0.6, 0.9]
    score = scripted(values)
    options: dict[str, Any] = {"batch_size": 64, "score": score, "patience": 2, "checkpoint": path}
    fit(Net(), examples(), examples(50, seed=1), epochs=3, **options)
    model, reference = Net(), Net()
    history = fit(model, examples(), examples(50, seed=1), epochs=5, **options)
    assert history.auc.tolist() == values[:4]
    fit(reference, examples(), epochs=2, batch_size=64)
    assert same(weights(model), weights(reference))
    assert len(fit(model, examples(), examples(50, seed=1), epochs=5, **options)) == 4  # it has stopped for good


OTHERS: list[tuple[str, dict[str, Any]]] = [
    ("batch_size", {"batch_size": 32}),
    ("seed", {"seed": 1}),
    ("optimizers", {"lr": 0.1}),
    ("monitor", {"monitor": "log_loss"}),
    ("patience", {"patience": 3}),
    ("autocast", {"autocast": True}),
    ("loss", {"loss": lambda model, batch: binary_cross_entropy(model, batch)}),
    ("score", {"score": lambda model, data: auc_and_log_loss(model, data)}),
    ("train", {"train": examples(seed=2)}),
    ("train", {"train": examples()[::-1]}),  # the same examples in another order
    ("valid", {"valid": examples(seed=2)}),
    ("valid", {"valid": None}),
    ("model", {"model": Net(dim=5)}),
    ("model", {"model": Net(dropout=0.1)}),
    ("model", {"model": Linear()}),
]


@pytest.mark.parametrize(("name", "change"), OTHERS)
def test_a_checkpoint_of_another_run_is_refused(tmp_path: Path, name: str, change: dict[str, Any]) -> None:
    path = tmp_path / "run.pt"
    options: dict[str, Any] = {"train": examples(), "valid": examples(seed=1), "batch_size": 64, "checkpoint": path}
    fit(Net(), epochs=1, **options)
    written = path.read_bytes()
    model = change.get("model", Net(seed=3))
    before = weights(model)
    with pytest.raises(
        ValueError, match=rf"is of another run: its {name} is .*, here it is .*give the same {name}, or"
    ):
        fit(**({"model": model, "epochs": 2} | options | change))
    assert path.read_bytes() == written
    assert same(weights(model), before)


def test_a_checkpoint_with_more_epochs_is_refused(tmp_path: Path) -> None:
    fit(Net(), examples(), epochs=3, checkpoint=tmp_path / "run.pt")
    with pytest.raises(ValueError, match=r"has 3 epochs already; epochs is 2"):
        fit(Net(), examples(), epochs=2, checkpoint=tmp_path / "run.pt")


class Harmful:
    def __reduce__(self) -> tuple[Any, ...]:
        return os.mkdir, ("harmful",)


def test_a_damaged_checkpoint_is_refused_and_runs_no_code(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "run.pt"
    fit(Net(), examples(), epochs=1, checkpoint=path)
    good = path.read_bytes()
    torch.save({"format": "another"}, tmp_path / "foreign")
    foreign = (tmp_path / "foreign").read_bytes()
    torch.save([1, 2], tmp_path / "foreign")
    cut = [good[: len(good) * k // 7] for k in range(7)] + [good[:-1]]
    for bad in [*cut, foreign, (tmp_path / "foreign").read_bytes(), pickle.dumps(Harmful()), b"not a checkpoint"]:
        path.write_bytes(bad)
        model = Net()
        before = weights(model)
        with pytest.raises(
            ValueError, match=r"run.pt cannot be read: it is damaged or no checkpoint of fit; delete it"
        ):
            fit(model, examples(), epochs=2, checkpoint=path)
        assert path.read_bytes() == bad
        assert same(weights(model), before)
    assert not (tmp_path / "harmful").exists()


def test_a_checkpoint_is_whole_or_the_one_before(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "run.pt"
    fit(Net(), examples(), epochs=1, checkpoint=path)
    good, save = path.read_bytes(), torch.save

    def full(state: Any, file: Any) -> None:
        file.write(b"half of it")
        raise OSError("No space left on device")

    monkeypatch.setattr(torch, "save", full)
    with pytest.raises(OSError, match="No space"):
        fit(Net(), examples(), epochs=2, checkpoint=path)
    monkeypatch.setattr(torch, "save", save)
    assert path.read_bytes() == good
    assert list(tmp_path.iterdir()) == [path]


def test_a_checkpoint_needs_a_place(tmp_path: Path) -> None:
    for path in (tmp_path / "no folder" / "run.pt", tmp_path):
        with pytest.raises(ValueError, match="is not a place for a file; give a path in a folder that exists"):
            fit(Net(), examples(), epochs=1, checkpoint=path)


# -- optimisers ----------------------------------------------------------------------------------------
def test_tables_get_lazy_adam_and_the_rest_adam() -> None:
    model = Net()
    lazy, adam = optimizers_for(model, lr=0.25, weight_decay=0.5)
    assert isinstance(lazy, LazyAdam)
    assert isinstance(adam, torch.optim.Adam)
    assert lazy.param_groups[0]["params"] == [model.table.weight]
    assert {id(p) for p in adam.param_groups[0]["params"]} == {
        id(p) for name, p in model.named_parameters() if name != "table.weight"
    }
    assert [o.param_groups[0][name] for o in (lazy, adam) for name in ("lr", "weight_decay")] == [0.25, 0.5] * 2
    assert adam.param_groups[0]["fused"]


def test_a_model_may_have_one_kind_of_parameter_or_none_or_frozen_ones() -> None:
    assert [type(o) for o in optimizers_for(Linear())] == [torch.optim.Adam]
    assert [type(o) for o in optimizers_for(EmbeddingTable(LAYOUT, 2))] == [LazyAdam]
    assert optimizers_for(nn.ReLU()) == []
    model = Net()
    model.table.requires_grad_(False)
    assert [type(o) for o in optimizers_for(model)] == [torch.optim.Adam]
    frozen = model.table.weight.clone()
    fit(model, examples(), epochs=1)
    assert torch.equal(model.table.weight, frozen)


def test_a_shared_table_is_stepped_once() -> None:
    model = nn.ModuleList([table := EmbeddingTable(LAYOUT, 2), table])
    (lazy,) = optimizers_for(model)
    assert len(lazy.param_groups[0]["params"]) == 1


def test_other_optimisers_step_instead() -> None:
    model, before = Linear(), Linear()
    fit(model, examples(), epochs=1, batch_size=300, optimizers=[torch.optim.SGD(model.parameters(), lr=0.5)])
    (batch,) = batches(examples(), 300)
    binary_cross_entropy(before, batch).backward()  # type: ignore[no-untyped-call]
    for name, p in before.named_parameters():
        assert p.grad is not None
        torch.testing.assert_close(model.get_parameter(name), -0.5 * p.grad)


def test_optimisers_of_another_model_or_half_of_it_are_refused() -> None:
    model, other = Linear(), Linear()
    with pytest.raises(ValueError, match="optimizers lack the parameter 'b'; add it, or set requires_grad_"):
        fit(model, examples(), epochs=1, optimizers=[torch.optim.SGD([model.w])])
    with pytest.raises(ValueError, match="optimizers lack the parameter 'w'"):
        fit(model, examples(), epochs=1, optimizers=optimizers_for(other))
    both = [torch.optim.SGD([*model.parameters(), *other.parameters()])]
    with pytest.raises(ValueError, match="optimizers hold 4 parameters, 2 of model are to be trained; give each once"):
        fit(model, examples(), epochs=1, optimizers=both)
    with pytest.raises(ValueError, match="model has no parameter that requires a gradient"):
        fit(nn.ReLU(), examples(), epochs=1)


# -- bfloat16 and devices ------------------------------------------------------------------------------
def test_autocast_computes_in_bfloat16_keeps_float32_and_learns_as_well() -> None:
    train, valid = examples(4000), examples(2000, seed=1)
    aucs, types = {}, set()

    def loss(model: nn.Module, batch: Batch) -> Tensor:
        types.add(model(batch).dtype)
        return binary_cross_entropy(model, batch)

    for autocast in (False, True):
        model = Net(dropout=0.0)
        history = fit(model, train, valid, epochs=5, batch_size=128, lr=0.01, autocast=autocast, loss=loss)
        aucs[autocast] = history.auc.max()
        assert {p.dtype for p in model.parameters()} == {torch.float32}
    assert types == {torch.float32, torch.bfloat16}
    assert abs(aucs[True] - aucs[False]) < 0.005
    rough = predict(model, valid, autocast=True)
    assert rough.dtype == np.float32
    np.testing.assert_allclose(rough, predict(model, valid), atol=0.02)
    assert not np.array_equal(rough, predict(model, valid))


def test_the_cpu_is_used_where_there_is_no_cuda() -> None:
    model = Linear()
    fit(model, examples(), epochs=1)
    assert model.w.device.type == ("cuda" if torch.cuda.is_available() else "cpu")


# -- progress ------------------------------------------------------------------------------------------
def test_progress_is_one_bar_with_the_last_figures(capfd: pytest.CaptureFixture[str]) -> None:
    fit(Net(), examples(), examples(seed=1), epochs=2, batch_size=64, progress=True)
    out, err = capfd.readouterr()
    assert out == ""
    assert "epoch 2/2" in err
    assert "10/10" in err  # five batches an epoch
    assert "auc=0." in err
    assert "log_loss=0." in err
    assert err.count("\n") == 1


@pytest.mark.parametrize("progress", [None, False])
def test_a_short_run_writes_nothing(capfd: pytest.CaptureFixture[str], progress: bool | None) -> None:
    fit(Net(), examples(), examples(seed=1), epochs=2, batch_size=64, progress=progress)
    assert capfd.readouterr() == ("", "")


def test_tqdm_disable_is_respected() -> None:
    script = "from tests.nn.test_training import *; fit(Net(), examples(), epochs=2, progress=True)"
    done = subprocess.run(
        [sys.executable, "-c", script],
        cwd=Path(__file__).parents[2],
        env=os.environ | {"TQDM_DISABLE": "1"},
        capture_output=True,
        text=True,
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


# -- bad input -----------------------------------------------------------------------------------------
def relabelled(label: list[float] | None) -> Encoded:
    data = examples(10 if label is None else len(label))
    return Encoded(data.layout, data.ids, data.dense, label=None if label is None else np.array(label, np.float32))


class Column(Linear):
    """The well-known slip: logits [B, 1] beside labels [B], which would broadcast to [B, B]."""

    def forward(self, batch: Batch) -> Tensor:
        return super().forward(batch)[:, None]


BAD: list[tuple[dict[str, Any], str]] = [
    ({"epochs": 0}, "epochs is 0; it must be at least 1"),
    ({"batch_size": 0}, "batch_size is 0; it must be at least 1"),
    ({"batch_size": -5}, "batch_size is -5; it must be at least 1"),
    ({"patience": 0}, "patience is 0; it must be at least 1"),
    ({"patience": 2, "valid": None}, 'patience is 2 without valid; give valid, or monitor="loss" to watch train'),
    ({"lr": -1.0}, "lr"),
    ({"train": examples(0)}, "train is empty; it must have at least one example"),
    ({"valid": examples(0)}, "valid is empty; it must have at least one example"),
    ({"train": relabelled(None)}, r"train has no label; name its column: encoder.transform\(frame, label=...\)"),
    ({"valid": relabelled(None)}, r"valid cannot be scored: there is no label; name its column"),
    ({"valid": relabelled([1] * 9)}, "valid cannot be scored: labels are all positive; AUC compares"),
    ({"valid": relabelled([0] * 9)}, "valid cannot be scored: labels are all negative; AUC compares"),
    ({"valid": relabelled([0, 1, 2])}, "valid cannot be scored: labels at row 2 is 2.0; labels must be 0"),
    ({"train": relabelled([0, 1, -1])}, "a label in train is -1.0; binary_cross_entropy needs 0 or 1"),
    ({"train": relabelled([0, 1, 0.5])}, "a label in train is 0.5; binary_cross_entropy needs 0 or 1"),
    ({"valid": examples(layout=Layout.of([20, 31, 5], dense=2))}, "valid has another layout than train; encode both"),
    ({"monitor": "ndcg"}, "monitor is 'ndcg'; score gives 'auc', 'log_loss', and there is 'loss'"),
    ({"score": lambda model, data: {"auc": 1.0, "loss": 1.0}}, "score gives a figure named 'loss', which the history"),
    ({"score": lambda model, data: {"auc": np.nan}}, "score gave auc = nan in epoch 1; repair it"),
    ({"model": Column(), "valid": None}, r"the model gave logits \(256, 1\) for labels \(256,\); the two must match"),
]  # fmt: skip


@pytest.mark.parametrize(("change", "message"), BAD)
def test_bad_input_is_refused(change: dict[str, Any], message: str) -> None:
    options: dict[str, Any] = {"model": Net(), "train": examples(256), "valid": examples(seed=1), "epochs": 1} | change
    model = options["model"]
    before = weights(model)
    with pytest.raises(ValueError, match=message):
        fit(**options)
    if "nan" not in message:  # that one can only be seen after an epoch
        assert all(torch.equal(p, before[name]) for name, p in model.named_parameters())


@pytest.mark.parametrize("name", ["epochs", "batch_size", "patience"])
def test_counts_are_integers(name: str) -> None:
    options: dict[str, Any] = {"epochs": 1, name: 2.0}
    with pytest.raises(TypeError, match=f"{name} is 2.0; give an integer"):
        fit(Net(), examples(), examples(seed=1), **options)


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_a_loss_that_is_not_finite_stops_before_it_spoils_the_weights(bad: float) -> None:
    model, kept = Net(), {}
    calls = 0

    def loss(net: nn.Module, batch: Batch) -> Tensor:
        nonlocal calls, kept
        calls += 1
        kept = weights(net)
        return binary_cross_entropy(net, batch) * (bad if calls == 7 else 1.0)

    message = rf"the loss is {bad} in epoch 2, batch 2 of 5; lower lr \(0.001\), or look for extreme values among the"
    with pytest.raises(ValueError, match=message):
        fit(model, examples(), epochs=3, batch_size=64, loss=loss)
    assert all(torch.equal(p, kept[name]) for name, p in model.named_parameters())
    assert all(bool(torch.isfinite(p).all()) for p in model.parameters())


def test_predict_refuses_no_examples_and_a_bad_batch_size() -> None:
    with pytest.raises(ValueError, match="data is empty"):
        predict(Net(), examples(0))
    with pytest.raises(ValueError, match="size is 0; it must be at least 1"):
        predict(Net(), examples(), batch_size=0)
