"""Explorables of the chapter on factorization machines: numbers by another route, marks in place, answers hold."""

from __future__ import annotations

import math
import re
import subprocess
import sys
from collections.abc import Callable
from functools import cache
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.stats import rankdata

from rectutor.retrieval.fm import FM, adagrad, adagrad_reference, ftrl_reference
from rectutor.widgets.explorer import Explorer, Frame
from rectutor.widgets.fm import (
    CROSSES,
    EPOCHS,
    EXAMPLES,
    FACTORS,
    FEW_USERS,
    FIELDS,
    L1_STRENGTHS,
    L2_STRENGTHS,
    LEARNT_DAYS,
    NOTES,
    READERS,
    SEEN,
    SIZES,
    CrossTerms,
    FactorSize,
    Sparsity,
    auc_curves,
    crossed,
    explicit_crosses,
    few_encoded,
    few_users,
    fitted,
    impressions,
    log_encoded,
    sparse_model,
    world,
)
from rectutor.widgets.scene import Mark, Panel, Scene

Floats = NDArray[np.float64]

PIXEL = 0.1 + 1e-9
"""Marks and tick labels are each rounded to a tenth of a pixel, so they may differ by one."""


DRAWN: dict[str, list[Frame]] = {}


def frames(kind: type[Explorer]) -> list[Frame]:
    if kind.__name__ not in DRAWN:
        DRAWN[kind.__name__] = list(kind().frames())
    return DRAWN[kind.__name__]


def scene(kind: type[Explorer], **values: Any) -> Scene:
    return next(f.scene for f in frames(kind) if all(f.values[n] == v for n, v in values.items()))


def marks(panel: Panel, start: str = "") -> dict[str, Mark]:
    return {m.key.removeprefix(start): m for m in panel.marks if m.key.startswith(start)}


def at(mark: Mark, *names: str) -> list[float]:
    return [float(mark.attributes[name]) for name in names]


def points(mark: Mark) -> Floats:
    """The corners of a path, [points, 2]."""
    return np.array(re.findall(r"-?\d+\.?\d*", mark.attributes["d"]), dtype=float).reshape(-1, 2)


def number(text: str) -> float:
    """A label as a reader takes it."""
    value = float(text.replace("\N{MINUS SIGN}", "-").replace(",", "").rstrip("%"))
    return value / 100 if text.endswith("%") else value


def axis(panel: Panel, which: str, log: bool = False) -> Callable[[float], float]:
    """From a value to a pixel as a reader does it: between the outermost tick labels of an axis."""
    labels = [m for key, m in marks(panel, f"axes/{which}-").items() if re.fullmatch(r"-?[\d.e+]+", key)]
    ticks = {number(m.text): at(m, which)[0] - (4 if which == "y" else 0) for m in labels}
    scale: Callable[[float], float] = math.log if log else float
    (low, first), (high, last) = min(ticks.items()), max(ticks.items())
    return lambda value: first + (scale(value) - scale(low)) / (scale(high) - scale(low)) * (last - first)


def area(label: Any, score: Any) -> float:
    """AUC by ranks, ties counting half."""
    ranks, positive = rankdata(score), np.asarray(label) == 1
    n, m = positive.sum(), (~positive).sum()
    return float((ranks[positive].sum() - n * (n + 1) / 2) / (n * m))


def logits(model: FM, rows: Any, leave_out: tuple[int, int] | None = None) -> Floats:
    """By the double sum, rows [N, S] of the table; without the cross term of two slots."""
    table = model.table.weight.detach().numpy().astype(float)
    v, z = table[rows, :-1], float(model.bias.detach()) + table[rows, -1].sum(axis=1)
    slots = range(rows.shape[1])
    for one in slots:
        for other in slots[one + 1 :]:
            if (one, other) != leave_out:
                z = z + (v[:, one] * v[:, other]).sum(axis=1)
    return np.asarray(z, dtype=np.float64)


def sigmoid(z: Floats) -> Floats:
    return np.asarray(1 / (1 + np.exp(-z)))


def test_importing_trains_nothing_and_loads_no_torch() -> None:
    code = (
        "import sys, rectutor.widgets.fm as fm; assert 'torch' not in sys.modules;"
        "assert all(f.cache_info().currsize == 0 for f in vars(fm).values() if hasattr(f, 'cache_info'))"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


# -- cross terms -----------------------------------------------------------------------------------------------
@cache
def columns() -> dict[str, Any]:
    """The fields of the log, from the tables of the world."""
    w = world()
    shown = w.impressions
    users, notes = w.users.iloc[shown.user], w.notes.iloc[shown.note]
    return {
        "gender": users.gender.to_numpy(),
        "device": users.device.to_numpy(),
        "hours": shown.hour.to_numpy() % 24 // 4,
        "weekend": np.isin(shown.weekday, (5, 6)),
        "level1": notes.level1.to_numpy(),
        "type": notes.type.to_numpy(),
    }


def of_pair(reader: str, note: str) -> Any:
    """Which impressions have both values."""
    (f, a), (g, b) = READERS[reader], NOTES[note]
    return (columns()[f] == a) & (columns()[g] == b)


def test_readers_and_notes_are_all_values_of_their_fields() -> None:
    for side, fields in ((READERS, FIELDS[:4]), (NOTES, FIELDS[4:])):
        named = {f: {value for g, value in side.values() if g == f} for f in fields}
        assert named == {f: set(np.unique(np.asarray(columns()[f]))) for f in fields}
    names = world().categories.drop_duplicates("level1").set_index("level1").level1_name
    assert [names[value] for f, value in NOTES.values() if f == "level1"] == list(NOTES)[:12]


@pytest.mark.parametrize("examples", EXAMPLES)
def test_rates_are_the_means_over_the_impressions_of_a_pair(examples: int) -> None:
    """By the double sum over the impressions themselves, the term left out of it."""
    _, data = log_encoded()
    model, true = fitted(examples), world().impressions.true_p_click.to_numpy().astype(float)
    for reader, note in (("women", "home"), ("4 to 8 h", "cars"), ("tablets", "videos"), ("weekends", "images")):
        here = np.flatnonzero(of_pair(reader, note))
        rows = np.column_stack(
            [data.layout.rows_of(f).start + data.ids[here, n] for n, f in enumerate(data.layout.fields)]
        )
        pair = FIELDS.index(READERS[reader][0]), FIELDS.index(NOTES[note][0])
        numbers = scene(CrossTerms, reader=reader, note=note, examples=examples).numbers
        assert numbers["with"] == pytest.approx(sigmoid(logits(model, rows)).mean(), rel=1e-5)
        assert numbers["without"] == pytest.approx(sigmoid(logits(model, rows, pair)).mean(), rel=1e-5)
        assert numbers["true"] == pytest.approx(true[here].mean(), rel=1e-12)
        term = logits(model, rows[:1]) - logits(model, rows[:1], pair)
        assert numbers["term"] == pytest.approx(term[0], abs=1e-12)


def test_terms_are_sums_of_products_of_the_fitted_vectors() -> None:
    encoder, data = log_encoded()
    for values, shown in frames(CrossTerms):
        table = fitted(values["examples"]).table.weight.detach().numpy().astype(float)
        u, v = (
            table[data.layout.rows_of(field).start + encoder.code(field, value), :-1]
            for field, value in (READERS[values["reader"]], NOTES[values["note"]])
        )
        assert shown.numbers["products"] == pytest.approx([float(a) * float(b) for a, b in zip(u, v, strict=True)])
        assert shown.numbers["term"] == pytest.approx(math.fsum(shown.numbers["products"]), abs=1e-12)
        assert len(shown.numbers["products"]) == FACTORS


def centred(table: Any) -> Floats:
    x = np.asarray(table, dtype=float)
    return np.asarray(x - x.mean(0) - x.mean(1)[:, None] + x.mean())


def test_much_data_finds_the_planted_crosses_and_little_data_does_not() -> None:
    for field, planted, least in (("gender", "gender", 0.97), ("hours", "hour_block", 0.8)):
        table = world().crosses(planted)
        order = [list(READERS.values()).index((field, value)) for value in table.index]
        alike = {}
        for examples in EXAMPLES:
            terms = crossed(examples).reader[order] @ crossed(examples).note[:12].T
            alike[examples] = np.corrcoef(centred(table).ravel(), centred(terms).ravel())[0, 1]
        assert alike[900_000] > least
        assert alike[10_000] < alike[900_000] - 0.05


def test_products_are_drawn_end_to_end() -> None:
    for _, shown in frames(CrossTerms):
        left, numbers = shown.panels[0], shown.numbers
        zero, unit = at(marks(left)["grid/0-name"], "x")[0], at(marks(left)["grid/0.4-name"], "x")[0]
        scale = (unit - zero) / 0.4
        end = 0.0
        for f, product in enumerate(numbers["products"]):
            start, end = end, end + product
            row = marks(left, f"factor-{f + 1}/")
            x, width = at(row["bar"], "x", "width")
            assert [x, x + width] == pytest.approx(
                [zero + scale * min(start, end), zero + scale * max(start, end)], abs=0.2
            )
            assert ("vermillion" in row["bar"].attributes["fill"]) == (product < 0)
            assert number(row["reader"].text) * number(row["note"].text) == pytest.approx(product, abs=0.01)
        assert end == pytest.approx(numbers["term"], abs=1e-12)
        assert number(marks(left)["sum/value"].text) == pytest.approx(end, abs=0.005 + 1e-9)
        x, width = at(marks(left)["sum/bar"], "x", "width")
        assert [x, x + width] == pytest.approx([zero + scale * min(0, end), zero + scale * max(0, end)], abs=0.2)


def test_rows_show_all_three_rates_and_their_mean_distances() -> None:
    for values, shown in frames(CrossTerms):
        left, right = shown.panels
        x = axis(right, "x")
        reader, examples = values["reader"], values["examples"]
        off = np.zeros((2, len(NOTES)))
        for n, note in enumerate(NOTES):
            row = marks(right, f"{note}/")
            others = scene(CrossTerms, reader=reader, note=note, examples=examples).numbers
            for name in ("without", "with"):
                assert at(row[name], "cx")[0] == pytest.approx(x(others[name]), abs=PIXEL)
            assert points(row["true"])[:, 0] == pytest.approx([x(others["true"])] * 2, abs=PIXEL)
            assert ("font-weight" in row["name"].attributes) == (note == values["note"])
            off[:, n] = [100 * abs(others[name] - others["true"]) for name in ("without", "with")]
        for name, mean in zip(("without", "with"), off.mean(axis=1), strict=True):
            assert shown.numbers[f"off_{name}"] == pytest.approx(mean, rel=1e-9)
            assert marks(left)[f"off/{name}-value"].text == f"{mean:.2f} points"
        assert f"{shown.numbers['without']:.1%} without it, {shown.numbers['with']:.1%} with it" in shown.says
        assert f"{shown.numbers['true']:.1%} in truth" in shown.says


def test_terms_mend_mens_row_most_and_mislead_where_little_was_seen() -> None:
    def gain(reader: str, examples: int) -> float:
        numbers = scene(CrossTerms, reader=reader, note="food", examples=examples).numbers
        return float(numbers["off_without"] - numbers["off_with"])

    much, little = ({reader: gain(reader, examples) for reader in READERS} for examples in (900_000, 10_000))
    assert max(much, key=lambda r: much[r]) == "men"
    assert min(much.values()) > -0.05
    assert sum(g > 0.5 for g in much.values()) >= 5
    assert sorted(little, key=lambda r: little[r])[:2] == ["4 to 8 h", "tablets"]
    assert sum(g < 0 for g in little.values()) >= 5
    seen = {reader: (np.asarray(columns()[f]) == a).mean() for reader, (f, a) in READERS.items()}
    rare = {reader for reader, share in seen.items() if share < 0.1}
    assert rare == {"0 to 4 h", "4 to 8 h", "tablets"}
    assert all(little[reader] < 0 for reader in rare)
    assert all(abs(much[reader]) < 0.15 for reader, (f, _) in READERS.items() if f == "device")  # nothing is planted
    home = scene(CrossTerms, reader="men", note="home", examples=900_000).numbers
    assert [f"{home[rate]:.1%}" for rate in ("without", "with", "true")] == ["10.6%", "7.5%", "6.7%"]  # the answer's


# -- length of the vectors -------------------------------------------------------------------------------------
def test_few_users_are_the_first_ones_and_the_week_comes_after() -> None:
    learnt, later = few_users()
    shown = world().impressions
    for part, days in ((learnt, range(LEARNT_DAYS)), (later, range(LEARNT_DAYS, 28))):
        wanted = shown[(shown.user < FEW_USERS) & (shown.hour // 24).isin(days)]
        assert (part.index == wanted.index).all()
        assert (part.click.to_numpy() == wanted.click.to_numpy()).all()
        assert (part.note.to_numpy() == wanted.note.to_numpy()).all()
    assert len(impressions()) == len(shown)


@pytest.mark.parametrize(("k", "l2", "epochs"), [(1, 0.0, 12), (4, 0.01, 5), (32, 0.03, 2)])
def test_curves_are_the_aucs_of_models_that_stop_there(k: int, l2: float, epochs: int) -> None:
    learnt, later = few_encoded()
    model = FM(learnt.layout, k, seed=0)
    adagrad(model, learnt, epochs=epochs, lr=0.2, l2=l2, n_threads=1, progress=False)
    for data, curve in zip((learnt, later), auc_curves(k, l2), strict=True):
        assert len(curve) == EPOCHS
        z = logits(model, data.ids + data.layout.offsets)
        assert curve[epochs - 1] == pytest.approx(area(data.label, z), abs=2e-5)


def test_the_first_epoch_is_that_of_the_reference() -> None:
    learnt, later = few_encoded()
    model = FM(learnt.layout, 2, seed=0)
    weight = model.table.weight.detach().numpy()
    fields = np.zeros(learnt.ids.shape[1], dtype=int)
    v, w, _, bias, _ = adagrad_reference.adagrad_steps(
        learnt.ids + learnt.layout.offsets,
        None,
        learnt.dense,
        np.asarray(learnt.label),
        fields,
        weight[:, None, :-1],
        weight[:, -1],
        np.zeros(0),
        0.0,
        np.random.default_rng(0).permutation(len(learnt)),
        lr=0.2,
        l2=0.01,
    )
    for data, curve in zip((learnt, later), auc_curves(2, 0.01), strict=True):
        rows = data.ids + data.layout.offsets
        total = v[rows, 0].sum(axis=1)
        z = bias + w[rows].sum(axis=1) + ((total**2).sum(1) - (v[rows, 0] ** 2).sum((1, 2))) / 2
        assert curve[0] == pytest.approx(area(data.label, z), abs=2e-4)


def test_sizes_are_drawn_at_their_aucs() -> None:
    for values, shown in frames(FactorSize):
        left, right = shown.panels
        k, l2, epoch = values["k"], values["l2"], values["epoch"]
        y, x = axis(left, "y"), axis(left, "x")
        for n, key in enumerate(("known", "new")):
            curve = auc_curves(k, l2)[n]
            line, now = points(marks(left)[key]), marks(left)[f"{key}-now"]
            assert len(line) == epoch
            assert line[:, 1] == pytest.approx([y(v) for v in curve[:epoch]], abs=PIXEL)
            assert line[:, 0] == pytest.approx([x(e + 1) for e in range(epoch)], abs=PIXEL)
            assert at(now, "cx", "cy") == pytest.approx([x(epoch), y(curve[epoch - 1])], abs=PIXEL)
            assert points(marks(left)[f"{key}-ahead"])[:, 1] == pytest.approx([y(v) for v in curve], abs=PIXEL)
            assert marks(left)[f"{key}-value"].text == f"{curve[epoch - 1]:.3f}"
            aucs = [auc_curves(size, l2)[n][epoch - 1] for size in SIZES]
            assert shown.numbers[key] == pytest.approx(aucs, abs=0)
            for size, value in zip(SIZES, aucs, strict=True):
                dot = marks(right)[f"{key}-{size}"]
                assert at(dot, "cy")[0] == pytest.approx(axis(right, "y")(value), abs=PIXEL)
                assert at(dot, "r")[0] == (5.5 if size == k else 4)
        assert shown.numbers["best_k"] == max(SIZES, key=lambda s: auc_curves(s, l2)[1][epoch - 1])
        peak = shown.numbers["peak"]
        assert 1 <= peak <= epoch
        assert shown.numbers["peak_auc"] == auc_curves(k, l2)[1][peak - 1] == max(auc_curves(k, l2)[1][:epoch])
        assert f"epoch {epoch} the FM with k = {k} has" in shown.says
        assert f"best: {shown.numbers['peak_auc']:.3f}, epoch {peak})" in shown.says


def test_long_vectors_over_fit_and_l2_makes_their_length_harmless() -> None:
    end = {(k, l2): auc_curves(k, l2)[1][-1] for k in SIZES for l2 in L2_STRENGTHS}
    assert max(SIZES, key=lambda k: end[k, 0.0]) == 4
    known, new = auc_curves(32, 0.0)
    assert known[-1] > 0.995
    assert int(new.argmax()) + 1 == 2
    assert new[1] - new[-1] > 0.03
    assert (np.diff([auc_curves(k, 0.0)[0][-1] for k in SIZES]) > 0).all()
    assert [l2 for l2 in L2_STRENGTHS if end[32, l2] > max(end[k, 0.0] for k in SIZES)] == [0.03]
    assert min(end[k, 0.03] for k in (8, 16, 32)) > max(end[k, 0.03] for k in (1, 2, 4))
    assert np.ptp([end[k, 0.1] for k in SIZES]) < 0.005  # the vectors are gone, logistic regression is left
    assert max(end[k, 0.1] for k in SIZES) < min(end[k, 0.0] for k in SIZES)


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_the_shown_seed_is_no_lucky_one(seed: int) -> None:
    learnt, later = few_encoded()

    def curve(k: int, l2: float) -> Floats:
        model, options = FM(learnt.layout, k, seed=seed), {"n_threads": 1, "progress": False, "seed": seed}
        return np.asarray(adagrad(model, learnt, later, epochs=EPOCHS, lr=0.2, l2=l2, **options)["auc"])  # type: ignore[arg-type]

    free = {k: curve(k, 0.0) for k in SIZES}
    assert max(SIZES, key=lambda k: free[k][-1]) in (4, 8)
    assert int(free[32].argmax()) + 1 <= 3
    assert curve(32, 0.03)[-1] > max(free[k][-1] for k in SIZES)


# -- sparse weights --------------------------------------------------------------------------------------------
@cache
def dictionaries() -> tuple[list[list[Any]], list[list[Any]], dict[Any, int]]:
    """The features of each impression by name, and how often what is learnt from has each."""
    parts = [
        [[(fields, *map(row.__getitem__, fields)) for fields in CROSSES] for row in shown.to_dict("records")]
        for shown in few_users()
    ]
    times: dict[Any, int] = {}
    for row in parts[0]:
        for feature in row:
            times[feature] = times.get(feature, 0) + 1
    return parts[0], parts[1], times


def test_features_are_the_single_fields_and_the_pairs() -> None:
    learnt, later, times = explicit_crosses()
    names: dict[int, Any] = {}
    for rows, wanted in zip((learnt, later), dictionaries()[:2], strict=True):
        assert len(rows) == len(wanted)
        assert set(rows.values) == {1.0}
        for n, features in enumerate(wanted):
            kept = [f for f in features if f in dictionaries()[2]]
            ids = rows.ids[rows.indptr[n] : rows.indptr[n + 1]].tolist()
            assert len(ids) == len(kept)
            for i, feature in zip(ids, kept, strict=True):
                assert names.setdefault(i, feature) == feature
    assert len(set(names.values())) == len(names) == len(times)
    assert all(times[i] == dictionaries()[2][feature] for i, feature in names.items())
    assert times.min() == 1


@pytest.mark.parametrize(("l1", "alpha"), [(0.0, 0.2), (0.5, 0.2), (3.0, 0.05)])
def test_weights_are_those_of_the_reference(l1: float, alpha: float) -> None:
    learnt, later, times = explicit_crosses()
    weights, intercept, _ = ftrl_reference.ftrl(learnt, len(times), alpha=alpha, l1=l1, l2=0.0)
    model = sparse_model(l1, alpha, 1)
    assert model.weights == pytest.approx(weights, rel=1e-7, abs=1e-9)
    assert ((model.weights == 0) == (weights == 0)).all()
    for rows, shown in ((learnt, model.known), (later, model.new)):
        z = np.array([weights[rows.ids[a:b]].sum() for a, b in zip(rows.indptr[:-1], rows.indptr[1:], strict=True)])
        assert shown == pytest.approx(area(rows.label, z + intercept), abs=1e-6)


def test_zeros_are_counted_by_how_often_a_feature_was_seen() -> None:
    times = explicit_crosses()[2]
    begins = [*SEEN.values(), math.inf]
    groups = [(times >= low) & (times < high) for low, high in pairwise(begins)]
    for values, shown in frames(Sparsity):
        left, right = shown.panels
        model, numbers = sparse_model(values["l1"], values["alpha"], values["passes"]), shown.numbers
        zero, x = model.weights == 0, axis(left, "x")
        assert numbers["members"].tolist() == [int(g.sum()) for g in groups]
        assert numbers["zeros"] == pytest.approx([zero[g].mean() for g in groups])
        assert numbers["zero"] == pytest.approx(zero.mean())
        assert numbers["left"] == (~zero).sum()
        for name, share in zip(SEEN, numbers["zeros"], strict=True):
            start, width = at(marks(left, f"{name}/")["bar"], "x", "width")
            assert [start, start + width] == pytest.approx([x(0), x(share)], abs=PIXEL)
            assert marks(left, f"{name}/")["share"].text == f"{share:.0%}"
        left_at, auc_at = axis(right, "x", log=True), axis(right, "y")
        for strength in L1_STRENGTHS:
            other = sparse_model(strength, values["alpha"], values["passes"])
            for key, value in (("known", other.known), ("new", other.new)):
                dot = marks(right)[f"{key}-{strength:g}"]
                place = [left_at(float(np.count_nonzero(other.weights))), auc_at(value)]
                assert at(dot, "cx", "cy") == pytest.approx(place, abs=PIXEL)
                assert at(dot, "r")[0] == (5.5 if strength == values["l1"] else 3)
        assert f"{numbers['left']:,} are left" in shown.says
        assert f"AUC is {model.known:.3f} on what was learnt from and {model.new:.3f} in the week after" in shown.says
        assert numbers["free"] == sparse_model(0.0, values["alpha"], values["passes"]).new


def test_l1_empties_the_rare_features_first_and_further_passes_fill_them() -> None:
    def shown(l1: float, passes: int = 1) -> dict[str, Any]:
        return scene(Sparsity, l1=l1, alpha=0.2, passes=passes).numbers

    assert min(l1 for l1 in L1_STRENGTHS if shown(l1)["zero"] >= 0.75) == 0.5
    assert 0.004 < shown(0.0)["new"] - shown(0.5)["new"] < 0.01
    assert (np.diff(shown(0.5)["zeros"]) < 0).all()
    assert [f"{shown(l1)['new']:.3f}" for l1 in (0.0, 0.5)] == ["0.722", "0.715"]  # the answer's
    assert shown(0.5, 4)["zero"] < 0.5
    for passes in (1, 2, 4):
        assert shown(0.0, passes)["zero"] == 0
        assert (np.diff([shown(l1, passes)["zero"] for l1 in L1_STRENGTHS]) > 0).all()
    # a gradient is less than 1, so what was seen once cannot get over an L1 strength of 1 in one pass
    for l1 in (strength for strength in L1_STRENGTHS if strength >= 1):
        assert shown(l1)["zeros"][0] == 1
    assert shown(1.0, 2)["zeros"][0] < 1
