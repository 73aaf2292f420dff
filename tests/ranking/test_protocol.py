"""The protocol of click prediction, run by ``rectutor train-ctr`` on small files of every format."""

from __future__ import annotations

import gzip
import json
import re
from pathlib import Path
from typing import Any, get_args

import numpy as np
import pytest
from numpy.typing import NDArray
from torch import nn

from rectutor.cli import main
from rectutor.features import Encoded, Layout
from rectutor.nn import predict
from rectutor.ranking.files import CRITEO, Parts, read_parts, read_table
from rectutor.ranking.protocol import MODELS, Monitor, run
from rectutor.retrieval.fm import FM

SIZES = {"train": 900, "valid": 300, "test": 400}
FAST = ["--lr", "0.05", "--batch-size", "64", "--epochs", "4"]


# -- files -------------------------------------------------------------------------------------------------------
def examples(n: int, seed: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Ten fields of eight values; clicks follow the first and a cross of the next two."""
    rng = np.random.default_rng(seed)
    x = rng.integers(8, size=(n, 10))
    logit = 0.5 * (x[:, 0] - 3.5) + 1.0 * np.where((x[:, 1] < 4) == (x[:, 2] < 4), 1, -1)
    return x, (rng.random(n) < 1 / (1 + np.exp(-logit))).astype(np.int64)


def line(form: str, x: NDArray[np.int64], y: int) -> str:
    ids = (x + 100 * np.arange(10)).tolist()
    if form == "libsvm":
        return f"{2 * y - 1} " + " ".join(f"{i}:1" for i in ids)
    if form == "libffm":
        return f"{y} " + " ".join(f"{f}:{i}:1" for f, i in enumerate(ids))
    if form == "csv":
        genres = "|".join(f"g{g}" for g in sorted(set(x[3:6].tolist())) if g < 6)
        return f"u{x[0]},{'' if x[6] == 0 else f'{x[0]}.5'},{genres},{x[1]},{x[2]},{y}"
    numbers = [str(x[0] - 3), *("" if (x[9] + i) % 4 == 0 else str(i * x[9]) for i in range(12))]
    words = [f"{17 * i + 1:08x}" for i in ids[1:3]] + ["" if i % 8 == 0 else f"{i:08x}" for i in np.resize(ids, 24)]
    return "\t".join([str(y), *numbers, *words])


def write(folder: Path, form: str) -> dict[str, Path]:
    paths = {}
    for seed, (name, n) in enumerate(SIZES.items()):
        x, y = examples(n, seed)
        rows = ["user,price,genres,city,hour,click"] if form == "csv" else []
        rows += [line(form, a, b) for a, b in zip(x, y.tolist())]
        paths[name] = folder / f"{name}.{form}"
        paths[name].write_text("\n".join(rows) + "\n")
    return paths


OPTIONS: dict[str, list[str]] = {
    "libsvm": ["--fields", "position"],
    "libffm": [],
    "csv": ["--label", "click", "--dense", "price", "--sequence", "genres"],
    "criteo": ["--min-count", "2"],
}


def command(paths: dict[str, Path], *options: str, valid: bool = True) -> list[str]:
    given = ["--train", str(paths["train"]), "--test", str(paths["test"])]
    return ["train-ctr", *given, *(["--valid", str(paths["valid"])] if valid else []), *options]


def by_hand(label: NDArray[Any], p: NDArray[Any]) -> tuple[float, float]:
    """AUC by all pairs, and log-loss."""
    pairs = p[label == 1][:, None] - p[label == 0][None, :]
    p = np.clip(p.astype(np.float64), 1e-15, 1 - 1e-15)
    loss = -np.mean(np.where(label == 1, np.log(p), np.log1p(-p)))
    return float(np.mean((pairs > 0) + 0.5 * (pairs == 0))), float(loss)


# -- the command -------------------------------------------------------------------------------------------------
@pytest.mark.parametrize("form", list(OPTIONS))
@pytest.mark.parametrize("model", ["lr", "fm", "fwfm", "ffm"])
def test_printed_figures_are_those_of_the_predictions(
    form: str, model: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    paths, out = write(tmp_path, form), tmp_path / "p.txt"
    options = ["--model", model, "--k", "4", *FAST, *OPTIONS[form], "--predictions", str(out)]
    assert main(command(paths, *options)) == 0
    printed = capsys.readouterr().out
    label = examples(SIZES["test"], 2)[1]
    area, loss = by_hand(label, np.loadtxt(out))
    assert area > 0.6
    last = printed.splitlines()[-1]
    assert (found := re.fullmatch(r"test      AUC (\d\.\d{6}), log-loss (\d\.\d{6})", last))
    assert float(found[1]) == pytest.approx(area, abs=1e-6)
    assert float(found[2]) == pytest.approx(loss, abs=1e-6)
    clicks = 100 * label.mean()
    assert printed.startswith(f"data      {form}: train 900 rows")
    assert f"test 400 rows ({clicks:.2f} % clicks)" in printed


def test_seeds(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    paths, out, document = write(tmp_path, "libffm"), tmp_path / "p.txt", tmp_path / "out.json"
    options = ["--model", "fm", *FAST, "--seeds", "3", "--seed", "5"]
    assert main(command(paths, *options, "--predictions", str(out), "--json", str(document))) == 0
    printed = capsys.readouterr().out.splitlines()
    label, p = examples(SIZES["test"], 2)[1], np.loadtxt(out, delimiter="\t")
    assert p.shape == (SIZES["test"], 3)
    areas = [by_hand(label, column)[0] for column in p.T]
    assert len(set(areas)) == 3
    said = json.loads(document.read_text())
    assert [r["seed"] for r in said["runs"]] == [5, 6, 7]
    np.testing.assert_allclose([r["auc"] for r in said["runs"]], areas, rtol=1e-12)
    assert said["auc"] == pytest.approx({"mean": np.mean(areas), "sd": np.std(areas, ddof=1)})
    assert f"AUC {np.mean(areas):.6f} ± {np.std(areas, ddof=1):.6f}" in printed[-1]
    assert printed[-1].endswith("(mean ± sd of 3 seeds)")
    assert main(command(paths, "--model", "fm", *FAST, "--seed", "6", "--predictions", str(out))) == 0
    np.testing.assert_array_equal(np.loadtxt(out), p[:, 1])


def test_early_stopping_keeps_the_best_epoch(tmp_path: Path) -> None:
    paths, document = write(tmp_path, "libffm"), tmp_path / "out.json"
    options = ["--model", "ffm", "--lr", "0.05", "--batch-size", "64", "--json", str(document)]
    found: list[tuple[dict[str, Any], NDArray[Any]]] = []
    for patience, epochs in (("2", "30"), ("2", None), ("30", None)):
        out = tmp_path / "p.txt"
        epochs = epochs or str(found[0][0]["best_epoch"])
        limits = ["--patience", patience, "--epochs", epochs, "--predictions", str(out)]
        assert main(command(paths, *options, *limits)) == 0
        found.append((json.loads(document.read_text())["runs"][0], np.loadtxt(out)))
    stopped, exact = found[0][0], found[1][0]
    assert stopped["epochs"] == stopped["best_epoch"] + 2 < 30
    assert exact["epochs"] == exact["best_epoch"] == stopped["best_epoch"]
    np.testing.assert_array_equal(found[0][1], found[1][1])
    np.testing.assert_array_equal(found[0][1], found[2][1])


def test_what_is_said_of_valid_is_said_of_the_model_that_is_kept() -> None:
    parts = of_examples()
    kept: dict[str, nn.Module] = {}
    MODELS["kept"] = lambda layout, k, seed: kept.setdefault("model", FM(layout, k, seed=seed))
    try:
        for monitor in get_args(Monitor):
            kept.clear()
            report = run("kept", parts, lr=0.05, batch_size=64, monitor=monitor)
            area, loss = by_hand(np.asarray(parts.valid.label), predict(kept["model"], parts.valid))
            assert report.runs[0].valid_auc == pytest.approx(area, rel=1e-9)
            assert report.runs[0].valid_log_loss == pytest.approx(loss, rel=1e-5)
    finally:
        del MODELS["kept"]


def of_examples() -> Parts:
    layout = Layout.of([8] * 10)
    parts = []
    for seed, n in enumerate(SIZES.values()):
        x, y = examples(n, seed)
        parts.append(Encoded(layout, x, label=y.astype(np.float32)))
    return Parts(parts[0], parts[1], parts[2])


def test_a_run_goes_on_from_its_checkpoint(tmp_path: Path) -> None:
    paths = write(tmp_path, "libffm")
    options = ["--model", "fm", "--lr", "0.01", "--seeds", "2", "--patience", "9"]
    whole, resumed = tmp_path / "whole.txt", tmp_path / "resumed.txt"
    saved = ["--checkpoint", str(tmp_path / "run.pt")]
    assert main(command(paths, *options, "--epochs", "4", "--predictions", str(whole))) == 0
    assert main(command(paths, *options, "--epochs", "2", *saved)) == 0
    assert {path.name for path in tmp_path.glob("run*")} == {"run.pt.0", "run.pt.1"}
    assert main(command(paths, *options, "--epochs", "4", *saved, "--predictions", str(resumed))) == 0
    assert whole.read_text() == resumed.read_text()


def test_a_new_model_is_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    made: list[tuple[int, int]] = []

    def maker(layout: Layout, k: int, seed: int) -> nn.Module:
        made.append((k, seed))
        return FM(layout, k, seed=seed)

    monkeypatch.setitem(MODELS, "mine", maker)
    paths = write(tmp_path, "libffm")
    assert main(command(paths, "--model", "mine", "--k", "3", "--seeds", "2", *FAST)) == 0
    assert made == [(3, 0), (3, 1)]
    assert "model     mine" in capsys.readouterr().out


def test_without_valid_a_share_of_train_is_held_out(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    paths = write(tmp_path, "csv")
    options = ["--model", "lr", *FAST, *OPTIONS["csv"]]
    assert main(command(paths, *options, "--valid-share", "0.2", valid=False)) == 0
    printed = capsys.readouterr().out
    assert "train 720 rows" in printed
    assert "valid 180 rows" in printed
    assert "valid is 0.2 of the train file" in printed
    drawn = [read_parts(paths["train"], paths["test"], label="click", seed=seed) for seed in (0, 0, 1)]
    rows = [sorted(map(tuple, part.valid.ids[:, 0:1].tolist())) for part in drawn]
    labels = [part.valid.label for part in drawn]
    np.testing.assert_array_equal(drawn[0].valid.ids, drawn[1].valid.ids)
    assert len(rows[0]) == 90
    assert not np.array_equal(np.asarray(labels[0]), np.asarray(labels[2]))


@pytest.mark.parametrize("model", ["lr", "fm", "ffm"])
def test_adagrad(model: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    paths, out = write(tmp_path, "csv"), tmp_path / "p.txt"
    options = ["--model", model, "--optimizer", "adagrad", "--predictions", str(out), *OPTIONS["csv"]]
    assert main(command(paths, *options, "--l2", "0.001", "--monitor", "log_loss")) == 0
    printed = capsys.readouterr().out
    assert "optimizer adagrad, lr 0.05, l2 0.001, epochs 20, patience 2, monitor log_loss" in printed
    assert "batch_size" not in printed
    area, loss = by_hand(examples(SIZES["test"], 2)[1], np.loadtxt(out))
    assert printed.splitlines()[-1] == f"test      AUC {area:.6f}, log-loss {loss:.6f}"
    assert area > 0.6


# -- nothing of valid and test enters the encoder ------------------------------------------------------------------
@pytest.mark.parametrize("form", list(OPTIONS))
def test_codes_and_moments_are_those_of_train(form: str, tmp_path: Path) -> None:
    paths = write(tmp_path, form)
    columns: dict[str, Any] = {"label": "click", "dense": ["price"], "sequences": ["genres"]} if form == "csv" else {}
    first = read_parts(paths["train"], paths["test"], paths["valid"], **columns)
    for name in ("valid", "test"):  # every value, id and number is another one
        text = paths[name].read_text()
        head, _, rest = text.partition("\n") if form == "csv" else ("", "", text)
        changed = []
        for row in rest.splitlines():
            if form in ("libsvm", "libffm"):
                changed.append(re.sub(r"(\d+):1(?= |$)", lambda m: f"{int(m[1]) + 5000}:1", row))
            elif form == "csv":
                user, price, genres, *other = row.split(",")
                new = ["new" + user, price and f"{float(price) + 1000}", genres.replace("g", "new"), *other]
                changed.append(",".join(new))
            else:
                label, *cells = row.split("\t")
                new = [cell and str(int(cell) + 10**6) for cell in cells[:13]]
                changed.append("\t".join([label, *new, *(cell and "new" + cell for cell in cells[13:])]))
        paths[name].write_text("\n".join([head, *changed] if head else changed) + "\n")
    second = read_parts(paths["train"], paths["test"], paths["valid"], **columns)
    assert first.train.layout == second.train.layout
    for what in ("ids", "dense", "weights", "label"):
        np.testing.assert_array_equal(getattr(first.train, what), getattr(second.train, what))
    fields = first.test.ids if form != "csv" else first.test.ids[:, :-2]  # city and hour are as they were
    ids = second.test.ids if form != "csv" else second.test.ids[:, :-2]
    assert set(np.unique(ids[fields > 2])) == {2}
    np.testing.assert_array_equal(ids[fields <= 1], fields[fields <= 1])
    if form in ("csv", "criteo"):
        assert second.test.dense[:, 0].mean() > first.test.dense[:, 0].mean() + 3
        numbers = [j for j, name in enumerate(second.train.layout.dense) if ":" not in name]
        np.testing.assert_allclose(second.train.dense[:, numbers].mean(axis=0), 0, atol=1e-5)


def test_values_of_held_out_rows_are_unknown(tmp_path: Path) -> None:
    rows = ["label,user"] + [f"{i % 2},u{i}" for i in range(100)]
    (tmp_path / "all.csv").write_text("\n".join(rows) + "\n")
    parts = read_parts(tmp_path / "all.csv", tmp_path / "all.csv", valid_share=0.3)
    assert len(parts.train) == 70
    assert parts.train.layout.rows == 73
    assert (parts.valid.ids == 2).all()
    assert (parts.test.ids == 2).sum() == 30
    for seed in range(3):
        again = read_parts(tmp_path / "all.csv", tmp_path / "all.csv", valid_share=0.3, seed=seed)
        assert len(np.unique(again.train.ids)) == 70


def test_rare_ids_are_unknown_in_train_too(tmp_path: Path) -> None:
    path = tmp_path / "a.libsvm"
    path.write_text("1 7:1 123456789012:1\n0 7:1 9:0.5\n1 9:1 3:1\n0 3:2 5:1\n")
    parts = read_parts(path, path, path, min_count=2)
    assert parts.train.layout.sizes == {"features": 6}
    assert parts.train.ids.tolist() == [[4, 2], [4, 5], [5, 3], [3, 2]]
    assert parts.train.weights is not None
    assert parts.train.weights.tolist() == [[1, 1], [1, 0.5], [1, 1], [2, 1]]


# -- formats -----------------------------------------------------------------------------------------------------
def test_criteo(tmp_path: Path) -> None:
    def row(label: int, numbers: str, words: str) -> str:
        return "\t".join([str(label), *(numbers.split(",") + [""] * 13)[:13], *(words.split(",") + [""] * 26)[:26]])

    train = [row(1, "5,-3", "68fd1e64,80e26c9b"), row(0, ",0", "68fd1e64,"), row(0, "1,7", "05db9164,80e26c9b")]
    full = [CRITEO[1:14], [f"{i:08x}" for i in range(26)]]
    train += ["\t".join(["1", *map(str, range(13)), *full[1]])]  # every column has a value
    (tmp_path / "train").write_text("\n".join(train) + "\n")
    (tmp_path / "test").write_text("\n".join([row(1, "-1,", "nothing,"), row(0, "5,-3", "68fd1e64,80e26c9b")]) + "\n")
    with pytest.raises(ValueError, match="test, line 1: 'I2' is missing, but never is"):
        read_parts(tmp_path / "train", tmp_path / "test", tmp_path / "train")
    (tmp_path / "test").write_text("\n".join([row(1, "-1,2", "nothing,"), row(0, "5,-3", "68fd1e64,80e26c9b")]) + "\n")
    parts = read_parts(tmp_path / "train", tmp_path / "test", tmp_path / "train")
    layout = parts.train.layout
    assert layout.fields == CRITEO[14:]
    assert layout.dense[:3] == ("I1", "I1:missing", "I2")
    x = np.array([np.log(6), np.nan, np.log(2), 0.0])
    mean, std = np.nanmean(x), np.nanstd(x)
    np.testing.assert_allclose(parts.train.dense[:, 0], np.where(np.isnan(x), 0, (x - mean) / std), rtol=1e-5)
    assert parts.train.dense[:, 1].tolist() == [0, 1, 0, 0]
    assert parts.test.dense[0, 0] == pytest.approx((-np.log(2) - mean) / std, rel=1e-5)
    z = np.array([-np.log(4), 0, np.log(8), np.log(2)])
    np.testing.assert_allclose(parts.train.dense[:, 2], (z - z.mean()) / z.std(), rtol=1e-5)
    assert parts.test.ids[0, :3].tolist() == [2, 1, 1]  # unknown, missing, missing
    assert parts.test.ids[1, :2].tolist() == parts.train.ids[0, :2].tolist()


def test_buckets_make_fields_of_numbers(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    paths = write(tmp_path, "criteo")
    assert main(command(paths, "--model", "fm", "--buckets", "4", *FAST)) == 0
    assert "features  39 fields, 39 slots" in capsys.readouterr().out
    parts = read_parts(paths["train"], paths["test"], buckets=4)
    assert parts.train.dense.shape[1] == 0
    assert parts.train.layout.sizes["I1"] == 3 + 4


def test_frappe_by_position(tmp_path: Path) -> None:
    paths = write(tmp_path, "libsvm")
    plain = read_parts(paths["train"], paths["test"], paths["valid"])
    parts = read_parts(paths["train"], paths["test"], paths["valid"], fields="position")
    assert plain.train.layout.fields == ("features",)
    assert parts.train.layout.fields == tuple(map(str, range(10)))
    np.testing.assert_array_equal(parts.test.ids, plain.test.ids)
    np.testing.assert_array_equal(parts.test.label, examples(SIZES["test"], 2)[1])


def test_csv(tmp_path: Path) -> None:
    text = 'label,"the city",price,tags\n1,"Lhasa, Tibet",12.0,a|b|c\n\n0,"two\nlines",-1e3,\n1,,5,b\n'
    path, zipped = tmp_path / "a.csv", tmp_path / "a.csv.gz"
    path.write_text("\ufeff" + text)
    zipped.write_bytes(gzip.compress(text.encode()))
    for place in (path, zipped):
        frame = read_table(place)
        assert frame.index.tolist() == [2, 4, 6]
        assert frame["the city"].tolist()[:2] == ["Lhasa, Tibet", "two\nlines"]
        parts = read_parts(place, place, place, dense=["price"], sequences=["tags"])
        assert parts.train.layout.dense == ("price",)
        assert parts.train.ids.tolist() == [[3, 4, 3, 5], [4, 1, 0, 0], [1, 3, 0, 0]]
        assert parts.train.weights is not None
        assert parts.train.weights.tolist() == [[1, 1, 1, 1], [1, 1, 0, 0], [1, 1, 0, 0]]
    tabs = tmp_path / "a.tsv"
    tabs.write_text("label\tcity\n1\tLhasa, Tibet\n0\tXi'an\n")
    assert read_parts(tabs, tabs, tabs).train.ids.tolist() == [[3], [4]]


# -- errors ------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("form", "broken", "says"),
    [
        ("libsvm", "1 3:1 4", r"broken, line 901: .*'4'.*there is no ':'"),
        ("libsvm", "1 3:1 4:1", r"broken, line 901: 2 entries where the first row has 10; fields by position"),
        ("libsvm", "0 3:1", r"broken, line 901: .*labels"),
        ("libffm", "1 3:1", r"broken, line 901: .*has 2 parts"),
        ("csv", "u1,1.5,g1,2", r"broken, line 902: 4 cells, not 6; complete the row"),
        ("csv", "u1,cheap,g1,2,3,1", r"broken, line 902: 'price' is 'cheap'; it must be a finite number"),
        ("csv", "u1,inf,g1,2,3,1", r"broken, line 902: 'price' is 'inf'; it must be a finite number"),
        ("csv", "u1,1,g1,2,3,2", r"broken, line 902: the label 'click' is '2'; it must be 0 or 1"),
        ("csv", "u1,1,g1,2,3,", r"broken, line 902: the label 'click' is missing; it must be 0 or 1"),
        ("csv", '"u1,1,g1,2,3,1', r"broken, line \d+: unexpected end of data"),
        ("criteo", "1\t2\t3", r"broken, line 901: 3 cells, not 40; complete the row"),
        ("criteo", "1\t2.x" + "\t" * 38, r"broken, line 901: 'I1' is '2.x'"),
    ],
)
@pytest.mark.parametrize("where", ["train", "test"])
def test_a_broken_line_is_named(
    form: str, broken: str, says: str, where: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    paths = write(tmp_path, form)
    whole = paths["train"].read_text()
    paths[where] = tmp_path / "broken"
    paths[where].write_text(whole + broken + "\n")
    fails(command(paths, "--model", "lr", *OPTIONS[form]), says, capsys)


def fails(arguments: list[str], says: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(arguments) == 2
    printed = capsys.readouterr()
    assert printed.out == ""
    assert printed.err.count("\n") == 1
    assert printed.err.startswith("rectutor train-ctr: ")
    assert re.search(says, printed.err), printed.err


@pytest.mark.parametrize(
    ("form", "options", "says"),
    [
        ("libffm", ["--model", "gbdt"], "there is no model 'gbdt'; choose one of lr, fm"),
        ("libffm", ["--model", "fm", "--k", "0"], "k is 0"),
        ("libffm", ["--model", "fwfm", "--optimizer", "adagrad"], "adagrad has no compiled loop for fwfm"),
        ("libffm", ["--model", "fm", "--optimizer", "adagrad", "--checkpoint", "a"], "adagrad has none: leave"),
        ("libffm", ["--model", "fm", "--valid-share", "1"], "valid_share is 1"),
        ("libffm", ["--model", "fm", "--seeds", "0"], "seeds is 0"),
        ("libffm", ["--model", "fm", "--epochs", "0"], "epochs is 0"),
        ("libffm", ["--model", "fm", "--patience", "0"], "patience is 0"),
        ("libffm", ["--model", "fm", "--min-count", "0"], "min_count is 0"),
        ("libffm", ["--model", "fm", "--min-count", "9999"], "no id stands 9999 times in train"),
        ("libffm", ["--model", "fm", "--fields", "position"], "fields by position is for libsvm"),
        ("libffm", ["--model", "fm", "--dense", "price"], "name columns of a csv file"),
        ("libffm", ["--model", "fm", "--buckets", "4"], "buckets is for columns of numbers"),
        ("libffm", ["--model", "fm", "--format", "libsvm"], "line 1: .* as in a libffm file"),
        ("libffm", ["--model", "fm", "--format", "csv"], "train.libffm, line 1: there is no column 'label'"),
        ("libffm", ["--model", "fm", "--json", "no/folder/a.json"], "there is no folder no/folder"),
        ("libffm", ["--model", "fm", "--lr", "1e30", "--batch-size", "64"], "lower lr"),
        ("libsvm", ["--model", "ffm"], "ffm needs fields, and libsvm has none: add --fields position"),
        ("csv", ["--model", "fm"], "train.csv, line 1: there is no column 'label'; it has user, price"),
        ("csv", ["--model", "fm", "--label", "click", "--dense", "cost"], "there is no column 'cost'"),
        ("csv", ["--model", "fm", "--label", "click", "--dense", "click"], "'click' is named as two things"),
        ("csv", ["--model", "fm", "--label", "click", "--sequence", "genres", "--sep", ""], "sep is empty"),
        ("csv", ["--model", "fm", "--label", "click", "--min-count", "9999"], "train.csv: "),
    ],
)
def test_options_that_do_not_go(
    form: str,
    options: list[str],
    says: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    paths = write(tmp_path, form)
    monkeypatch.chdir(tmp_path)
    fails(command(paths, *options), says, capsys)


def test_files_that_do_not_go(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    def with_test(content: bytes, name: str = "other.csv") -> list[str]:
        (tmp_path / name).write_bytes(content)
        return command({**paths, "test": tmp_path / name}, "--model", "fm", "--label", "click", valid=False)

    paths = write(tmp_path, "csv")
    whole = paths["test"].read_bytes()
    fails(command({**paths, "test": tmp_path / "none"}, "--model", "fm", "--label", "click"), "none", capsys)
    fails(with_test(b""), "other.csv, line 1: the header is", capsys)
    fails(with_test(whole[: whole.index(b"\n") + 1]), "other.csv holds no row", capsys)
    fails(with_test(whole.replace(b"city", b"town")), "line 1: column 'city' is not in both", capsys)
    fails(with_test(whole.replace(b"city", b"user")), "line 1: the header is", capsys)
    fails(with_test(whole.replace(b",1\n", b",0\n")), "other.csv: all 400 labels are 0; AUC needs both", capsys)
    fails(with_test(whole.replace(b"u1", b"\xff1")), "other.csv: the text is not UTF-8", capsys)
    fails(with_test(gzip.compress(whole)[:-30], "other.csv.gz"), "other.csv.gz: .* cut short", capsys)
    (tmp_path / "odd").write_text("?\n")
    odd = command({"train": tmp_path / "odd", "test": paths["test"]}, "--model", "fm", valid=False)
    fails(odd, "odd: the format cannot be told from '\\?'", capsys)
    (tmp_path / "one.csv").write_text("label,a\n1,x\n")
    one = command({"train": tmp_path / "one.csv", "test": tmp_path / "one.csv"}, "--model", "fm", valid=False)
    fails(one, "one.csv has 1 rows; 0.1 of them leave nothing", capsys)
