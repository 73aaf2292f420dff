"""A training step of DeepFM (Guo et al., 2017) beside DeepCTR-Torch, FuxiCTR, torch-rechub and RecBole; its embeddings.

``python -m benchmarks.bench_ctr [embedding|million|step|bf16|auc|feeding ...]`` runs the named parts, or all. A step is
forward, loss, backward and Adam on prepared tensors: 26 fields of 10 000 codes, 13 dense columns, 16 dimensions, an MLP
of 256 and 128, batches of 4096. All libraries get the same examples in the same order, no dropout, no regularisation.
"""

from __future__ import annotations

import importlib
import json
import logging
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path
from typing import Any

from benchmarks.harness import RESULTS, THREADS, Race  # isort: skip  (sets the number of threads before torch is loaded)

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor, nn

from rectutor.features import Encoded, Layout
from rectutor.metrics import auc, log_loss
from rectutor.nn import MLP, Batch, EmbeddingTable, LazyAdam, batches, optimizers_for
from rectutor.retrieval.fm.crosses import fm_crosses

FIELDS, CODES, DENSE, DIM, HIDDEN, BATCH = 26, 10_000, 13, 16, (256, 128), 4096
STEPS = 4
LAYOUT = Layout.of([CODES] * FIELDS, dense=DENSE)
torch.set_num_threads(THREADS)


# -- data --------------------------------------------------------------------------------------------
def zipf(rng: np.random.Generator, codes: int, shape: tuple[int, ...]) -> NDArray[np.int64]:
    """Codes that are drawn like words, 1 / (rank + 3)^1.05."""
    share = np.cumsum(1 / np.arange(3.0, codes + 3) ** 1.05)
    return np.searchsorted(share / share[-1], rng.random(shape)).clip(0, codes - 1)


@cache
def planted(n: int) -> Encoded:
    """Examples whose labels follow a factorization machine of 4 dimensions, and a line in the dense columns."""
    rng = np.random.default_rng(0)
    ids, dense = zipf(rng, CODES, (n, FIELDS)), rng.random((n, DENSE), dtype=np.float32)
    rows = ids + LAYOUT.offsets
    logit = rng.normal(0, 0.25, LAYOUT.rows)[rows].sum(1) + dense @ rng.normal(0, 0.5, DENSE) - 1
    for vector in rng.normal(0, 0.25, (4, LAYOUT.rows)):
        logit += 0.5 * (vector[rows].sum(1) ** 2 - (vector[rows] ** 2).sum(1))
    label = (rng.random(n) < 1 / (1 + np.exp(-logit))).astype(np.float32)
    return Encoded(LAYOUT, ids, dense, label=label)


# -- ours --------------------------------------------------------------------------------------------
class DeepFM(nn.Module):
    """What a reader writes."""

    def __init__(self, layout: Layout) -> None:
        super().__init__()
        self.v, self.w = EmbeddingTable(layout, DIM), EmbeddingTable(layout, 1)
        self.mlp = MLP(len(layout.offsets) * DIM + len(layout.dense), HIDDEN, out=1)
        self.linear = nn.Linear(len(layout.dense), 1)

    def forward(self, batch: Batch) -> Tensor:
        v = self.v(batch.ids, batch.weights)
        linear = self.w(batch.ids, batch.weights).sum((1, 2)) + self.linear(batch.dense)[:, 0]
        return linear + fm_crosses(v) + self.mlp(v.flatten(1), batch.dense)[:, 0]  # type: ignore[no-any-return]


Trainer = tuple[Callable[[Any, Tensor], Tensor], Callable[[Any], Tensor], Callable[[Encoded], Iterator[Any]]]
"""One step on a batch and its labels, which gives the loss; probabilities; examples as batches of that library."""


def ours(*, bf16: bool = False) -> Trainer:
    torch.manual_seed(0)
    model = DeepFM(LAYOUT)
    optimizers = optimizers_for(model)

    def step(x: Batch, y: Tensor) -> Tensor:
        with torch.autocast("cpu", torch.bfloat16, enabled=bf16):
            logit = model(x)
        loss = F.binary_cross_entropy_with_logits(logit.float(), y)
        for optimizer in optimizers:
            optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        for optimizer in optimizers:
            optimizer.step()
        return loss.detach()

    return step, lambda x: torch.sigmoid(model(x)), lambda data: batches(data, BATCH)


# -- peers -------------------------------------------------------------------------------------------
def trainer(model: Any, pack: Callable[[Encoded], Iterator[Any]], loss_of: Any = None) -> Trainer:
    """A peer's module: probabilities out of ``forward``, dense gradients, Adam."""
    optimizer = torch.optim.Adam(model.parameters())

    def step(x: Any, y: Tensor) -> Tensor:
        model.train()
        loss: Tensor = F.binary_cross_entropy(model(x).reshape(-1), y) if loss_of is None else loss_of(x)
        optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
        return loss.detach()

    def probability(x: Any) -> Tensor:
        model.eval()
        return (model(x) if loss_of is None else model.predict(x)).reshape(-1)  # type: ignore[no-any-return]

    return step, probability, pack


def columns(data: Encoded) -> Iterator[dict[str, Tensor]]:
    """Batches as dictionaries of columns, C0 ... of codes and I0 ... of numbers."""
    for batch in batches(data, BATCH):
        codes = {f"C{i}": batch.ids[:, i].contiguous() for i in range(FIELDS)}
        yield codes | {f"I{i}": batch.dense[:, i].contiguous() for i in range(DENSE)}


def deepctr() -> Trainer:
    inputs, models = importlib.import_module("deepctr_torch.inputs"), importlib.import_module("deepctr_torch.models")
    fields = [inputs.SparseFeat(f"C{i}", CODES, DIM) for i in range(FIELDS)]
    fields += [inputs.DenseFeat(f"I{i}", 1) for i in range(DENSE)]
    none = {"l2_reg_linear": 0, "l2_reg_embedding": 0}
    model = models.DeepFM(fields, fields, dnn_hidden_units=HIDDEN, device="cpu", **none)
    return trainer(model, lambda data: (torch.cat([b.ids.float(), b.dense], 1) for b in batches(data, BATCH)))


def rechub() -> Trainer:
    features = importlib.import_module("torch_rechub.basic.features")
    models = importlib.import_module("torch_rechub.models.ranking")
    codes = [features.SparseFeature(f"C{i}", CODES, DIM) for i in range(FIELDS)]
    numbers = [features.DenseFeature(f"I{i}") for i in range(DENSE)]
    mlp = {"dims": list(HIDDEN), "dropout": 0.0, "activation": "relu"}
    return trainer(models.DeepFM(numbers + codes, codes, mlp), columns)


def fuxi() -> Trainer:
    """Its DeepFM stands outside the wheel (model_zoo); it is put together from the wheel's layers in the same way."""
    layers = importlib.import_module("fuxictr.pytorch.layers")
    fields = importlib.import_module("fuxictr.features").FeatureMap("planted", ".")
    fields.labels, fields.default_emb_dim = ["label"], DIM
    for i in range(DENSE):
        fields.features[f"I{i}"] = {"source": "", "type": "numeric"}
    for i in range(FIELDS):
        fields.features[f"C{i}"] = {"source": "", "type": "categorical", "vocab_size": CODES}
    fields.num_fields = fields.get_num_fields()

    class Model(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.embedding = layers.FeatureEmbedding(fields, DIM)
            self.fm = layers.FactorizationMachine(fields)
            self.mlp = layers.MLP_Block(fields.num_fields * DIM, output_dim=1, hidden_units=list(HIDDEN))

        def forward(self, x: dict[str, Tensor]) -> Tensor:
            vectors = self.embedding(x)
            return torch.sigmoid(self.fm(x, vectors) + self.mlp(vectors.flatten(1)))

    return trainer(Model(), columns)


def recbole() -> Trainer:
    """It learns its vocabularies from a file, so it gets one in which every code occurs; code c becomes c + 1."""
    for name, kind in (("float_", np.float64), ("complex_", np.complex128), ("unicode_", np.str_), ("bool8", np.bool_)):
        if not hasattr(np, name):
            setattr(np, name, kind)  # it asks for names that NumPy 2 does not have
    codes, numbers = [f"C{i}" for i in range(FIELDS)], [f"I{i}" for i in range(DENSE)]
    config, data = importlib.import_module("recbole.config"), importlib.import_module("recbole.data")
    given, sys.argv = sys.argv, sys.argv[:1]
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "planted" / "planted.inter"
        path.parent.mkdir()
        kinds = [f"{c}:token" for c in codes] + [f"{c}:float" for c in numbers] + ["label:float"]
        rows = ("\t".join([str(c)] * FIELDS + [f"{c % 7 / 7:.3f}"] * DENSE + [str(c % 2)]) for c in range(CODES))
        path.write_text("\n".join(["\t".join(kinds), *rows]) + "\n")
        setting = {
            "data_path": folder, "load_col": {"inter": [*codes, *numbers, "label"]}, "LABEL_FIELD": "label",
            "USER_ID_FIELD": "C0", "ITEM_ID_FIELD": "C1", "numerical_features": numbers, "embedding_size": DIM,
            "mlp_hidden_size": list(HIDDEN), "dropout_prob": 0.0, "device": "cpu", "use_gpu": False, "state": "ERROR",
            "metrics": ["AUC"], "valid_metric": "AUC", "checkpoint_dir": folder, "show_progress": False,
            "eval_args": {"split": {"RS": [0.8, 0.1, 0.1]}, "order": "RO", "group_by": "none", "mode": "labeled"},
        }  # fmt: skip
        try:
            chosen = config.Config(model="DeepFM", dataset="planted", config_dict=setting)
            logging.disable(logging.WARNING)
            train, _, _ = data.data_preparation(chosen, data.create_dataset(chosen))
            model = importlib.import_module("recbole.utils").get_model("DeepFM")(chosen, train.dataset)
        finally:
            sys.argv = given
    interaction = importlib.import_module("recbole.data.interaction").Interaction

    def pack(data: Encoded) -> Iterator[Any]:
        for batch in batches(data, BATCH):
            x = {f"C{i}": batch.ids[:, i] + 1 for i in range(FIELDS)} | {"label": batch.label}
            ones = torch.ones(len(batch))
            yield interaction(x | {f"I{i}": torch.stack([batch.dense[:, i], ones], 1) for i in range(DENSE)})

    return trainer(model, pack, model.calculate_loss)


PEERS: dict[str, Callable[[], Trainer]] = {
    "DeepCTR-Torch": deepctr,
    "torch-rechub": rechub,
    "FuxiCTR, its layers": fuxi,
    "RecBole": recbole,
}


# -- races -------------------------------------------------------------------------------------------
def steps(make: Callable[[], Trainer]) -> Callable[[], str]:
    """A few steps on prepared batches."""
    step, _, pack = make()
    data = planted(STEPS * BATCH)
    ready = [(x, batch.label) for x, batch in zip(pack(data), batches(data, BATCH), strict=True)]

    def run() -> str:
        for x, y in ready:
            loss = step(x, y)  # type: ignore[arg-type]
        return f"{float(loss):.4f}"

    return run


def race_step(*, bf16: bool = False) -> None:
    name, target = ("DeepFM step, bf16", 3.0) if bf16 else ("DeepFM step", 1.9)
    race = Race(name, unit="examples", work=STEPS * BATCH, note=f"batch {BATCH}, {STEPS} steps", target=target)
    race.add("rectutor" + ", bf16 autocast" * bf16, steps(lambda: ours(bf16=bf16)), ours=True)
    for peer, make in PEERS.items():
        race.add(peer, steps(make))
    race.run(7)


def race_embedding(codes: int = CODES, target: float = 8.0) -> None:
    """Forward, backward with a given gradient, and a step of the optimiser on all vectors: no MLP."""
    rng, million = np.random.default_rng(0), codes > CODES
    ids = [torch.from_numpy(zipf(rng, codes, (BATCH, FIELDS))) for _ in range(STEPS)]
    gradient = torch.from_numpy(rng.standard_normal((BATCH, FIELDS, DIM), dtype=np.float32))
    layout = Layout.of([codes] * FIELDS)

    def repeat(lookup: Callable[[Tensor], Tensor], optimizer: torch.optim.Optimizer) -> Callable[[], None]:
        def run() -> None:
            for x in ids:
                optimizer.zero_grad()
                lookup(x).backward(gradient)  # type: ignore[no-untyped-call]
                optimizer.step()

        return run

    note = f"{FIELDS} x {codes:,} rows, {DIM} dimensions, batch {BATCH}, {STEPS} steps"
    race = Race(
        f"embedding and optimiser, {codes} codes", unit="examples", work=STEPS * BATCH, note=note, target=target,
        against="26 nn.Embedding, Adam",
    )  # fmt: skip
    table = EmbeddingTable(layout, DIM)
    race.add("rectutor EmbeddingTable, LazyAdam", repeat(table, LazyAdam(table.parameters())), ours=True)
    many = nn.ModuleList(nn.Embedding(codes, DIM) for _ in range(FIELDS))
    loop = lambda x: torch.stack([e(x[:, i]) for i, e in enumerate(many)], 1)  # noqa: E731
    rounds = 2 if million else None
    race.add("26 nn.Embedding, Adam", repeat(loop, torch.optim.Adam(many.parameters())), rounds=rounds)
    if not million:
        offsets = torch.tensor(layout.offsets)
        fused, thin = nn.Embedding(layout.rows, DIM), nn.Embedding(layout.rows, DIM, sparse=True)
        adam, sparse = torch.optim.Adam(fused.parameters(), fused=True), torch.optim.SparseAdam(thin.parameters())
        race.add("one nn.Embedding, fused Adam", repeat(lambda x: fused(x + offsets), adam))
        race.add("one sparse nn.Embedding, SparseAdam", repeat(lambda x: thin(x + offsets), sparse))
    race.run(3 if million else 10)


def save(name: str, rows: list[dict[str, Any]], note: str) -> None:
    RESULTS.mkdir(exist_ok=True)
    document = {"name": name, "note": note, "threads": THREADS, "date": time.strftime("%Y-%m-%d"), "rows": rows}
    path = RESULTS / (name.replace(" ", "-") + ".json")
    path.write_text(json.dumps(document, indent=1) + "\n", encoding="utf-8")


def quality(train: int = 100 * BATCH, test: int = 100_000, epochs: int = 2) -> None:
    """AUC and log-loss of all on held-out examples, after the same batches in the same order."""
    data = planted(train + test)
    first, last = data[:train], data[train:]
    assert last.label is not None
    rows = []
    note = f"{train:,} examples, {epochs} epochs, {test:,} held out"
    print(f"\n### DeepFM quality - {note}\n| contender | AUC | log-loss |\n|---|---|---|")
    contenders: dict[str, Callable[[], Trainer]] = {
        "rectutor": ours,
        "rectutor, bf16 autocast": lambda: ours(bf16=True),
    }
    for name, make in (contenders | PEERS).items():
        step, probability, pack = make()
        for _ in range(epochs):
            for x, batch in zip(pack(first), batches(first, BATCH), strict=True):
                step(x, batch.label)  # type: ignore[arg-type]
        with torch.no_grad():
            p = torch.cat([probability(x) for x in pack(last)]).numpy()
        row = {"name": name, "auc": auc(last.label, p), "log_loss": log_loss(last.label, p)}
        print(f"| {name} | {row['auc']:.4f} | {row['log_loss']:.4f} |", flush=True)
        rows.append(row)
    save("DeepFM quality", rows, note)


def feeding(rounds: int = 5) -> None:
    """Share of a step that cutting shuffled batches takes."""
    data = planted(100 * BATCH)
    step, _, _ = ours()
    cut, train = [], []
    for turn in range(rounds):
        start = time.perf_counter()
        for _ in batches(data, BATCH, seed=turn):
            pass
        cut.append((time.perf_counter() - start) / 100)
        few = [b for _, b in zip(range(10), batches(data, BATCH, seed=turn))]
        start = time.perf_counter()
        for batch in few:
            step(batch, batch.label)  # type: ignore[arg-type]
        train.append((time.perf_counter() - start) / 10)
    share = min(cut) / min(train)
    print(f"\n### feeding\ncut a batch: {1e3 * min(cut):.3g} ms, a step: {1e3 * min(train):.3g} ms, share {share:.1%}")
    save("DeepFM feeding", [{"name": "batches", "cut": cut, "step": train, "share": share}], f"batch {BATCH}, shuffled")


PARTS: dict[str, Callable[[], None]] = {
    "embedding": race_embedding,
    "million": lambda: race_embedding(1_000_000, 20.0),
    "step": race_step,
    "bf16": lambda: race_step(bf16=True),
    "auc": quality,
    "feeding": feeding,
}

if __name__ == "__main__":
    for part in sys.argv[1:] or PARTS:
        PARTS[part]()
