"""Explorables of the chapter on factorization machines: a cross term, the length of the vectors, sparse weights."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from rectutor.data.sparse import SparseRows
from rectutor.features import Categorical, Encoded, Encoder, Schema
from rectutor.metrics import auc
from rectutor.widgets.explorer import Discrete, Explorer, Steps
from rectutor.widgets.scene import Anchor, Panel, Scale, Scene
from rectutor.world import FeedWorld
from rectutor.world.coefficients import LEVEL1

if TYPE_CHECKING:
    from rectutor.retrieval.fm import FM

Floats = NDArray[np.float64]
Codes = NDArray[np.int64]

MINUS = "\N{MINUS SIGN}"
LAMBDA = "\N{GREEK SMALL LETTER LAMDA}"
ALPHA = "\N{GREEK SMALL LETTER ALPHA}"


def _signed(value: float, digits: int = 2) -> str:
    """A number with its sign; never "minus zero"."""
    return f"{round(value, digits) + 0.0:+.{digits}f}".replace("-", MINUS)


# -- the log ---------------------------------------------------------------------------------------------------
@cache
def world() -> FeedWorld:
    """The chapter's world; generating it takes about two seconds, once."""
    return FeedWorld.generate("small", seed=0)


@cache
def impressions() -> pd.DataFrame:
    """All impressions with what the models below are told of user, note and context."""
    w = world()
    shown = w.impressions
    user, note = shown.user.to_numpy(), shown.note.to_numpy()
    return pd.DataFrame(
        {
            "user": user,
            "gender": w.users.gender.astype(str).to_numpy()[user],
            "device": w.users.device.astype(str).to_numpy()[user],
            "hours": shown.hour_of_day.to_numpy() // 4,
            "weekend": (shown.weekday.to_numpy() >= 5).astype(np.int64),
            "note": note,
            "author": w.notes.author.to_numpy()[note],
            "level1": w.notes.level1.to_numpy()[note],
            "level2": w.notes.level2.to_numpy()[note],
            "type": w.notes.type.astype(str).to_numpy()[note],
            "position": shown.position.to_numpy(),
            "log_day": shown.hour.to_numpy() // 24,
            "click": shown.click.to_numpy(),
            "true_p_click": shown.true_p_click.to_numpy().astype(np.float64),
        }
    )


FEW_USERS, LEARNT_DAYS = 150, 21
"""The explorables of over-fitting and of sparsity see the first users only: they learn from three weeks of them."""


@cache
def few_users() -> tuple[pd.DataFrame, pd.DataFrame]:
    """The impressions of the first users in the first three weeks, and in the fourth."""
    shown = impressions()
    shown = shown[shown.user < FEW_USERS]
    return shown[shown.log_day < LEARNT_DAYS], shown[shown.log_day >= LEARNT_DAYS]


# -- cross terms -----------------------------------------------------------------------------------------------
FACTORS = 8
FIELDS = ("gender", "device", "hours", "weekend", "level1", "type")
READERS: dict[str, tuple[str, Any]] = {
    "women": ("gender", "female"),
    "men": ("gender", "male"),
    **{f"{4 * n} to {4 * n + 4} h": ("hours", n) for n in range(6)},
    "weekdays": ("weekend", 0),
    "weekends": ("weekend", 1),
    "Android": ("device", "android"),
    "iOS": ("device", "ios"),
    "tablets": ("device", "tablet"),
}
NOTES: dict[str, tuple[str, Any]] = {
    **{name: ("level1", n) for n, name in enumerate(LEVEL1)},
    "images": ("type", "image"),
    "videos": ("type", "video"),
}
EXAMPLES = {10_000: 10, 900_000: 3}
"""Passes of the cross-term models over so many impressions."""
REACH, FARTHEST, RATES = (-0.5, 0.5), 4.0, Scale(0, 0.25, at=(0, 0.1, 0.2), format=".0%")
"""Limits of the sums of products, of the distances and of the click rates, the same in all pictures."""


class Crossed(NamedTuple):
    """A fitted FM seen through its cross terms; R readers, C kinds of note, k factors.

    Attributes:
        reader, note: vectors [R, k] and [C, k].
        plain, full: mean click rates over the impressions of each pair, without its cross term and with it [R, C].
    """

    reader: Floats
    note: Floats
    plain: Floats
    full: Floats


@cache
def log_encoded() -> tuple[Encoder, Encoded]:
    """The whole log with the six fields of the cross-term models."""
    encoder = Schema([Categorical(name) for name in FIELDS]).fit(impressions())
    return encoder, encoder.transform(impressions(), label="click")


@cache
def _kinds_of_impression() -> tuple[Encoded, Floats]:
    """Each combination of values in the log once, and how often it is there."""
    encoder, data = log_encoded()
    sizes = tuple(encoder.layout.sizes[name] for name in encoder.layout.vocabularies)
    flat, times = np.unique(np.ravel_multi_index(tuple(data.ids.T), sizes), return_counts=True)
    return Encoded(data.layout, np.column_stack(np.unravel_index(flat, sizes)).astype(np.int64)), times.astype(float)


@cache
def true_rates() -> Floats:
    """Mean true click probability over the impressions of each pair of :data:`READERS` and :data:`NOTES` [R, C]."""
    shown = impressions()
    of = {(f, g): shown.groupby([f, g]).true_p_click.mean() for f in FIELDS[:4] for g in FIELDS[4:]}
    rates = [[of[f, g][a, b] for g, b in NOTES.values()] for f, a in READERS.values()]
    return np.array(rates, dtype=np.float64)


@cache
def fitted(examples: int) -> FM:
    """An FM fitted to so many impressions, drawn with seed 0; about a second for the most."""
    from rectutor.retrieval.fm import FM, adagrad

    data = log_encoded()[1]
    chosen = np.sort(np.random.default_rng(0).choice(len(data), examples, replace=False))
    model = FM(data.layout, FACTORS, seed=0)
    adagrad(model, data[chosen], epochs=EXAMPLES[examples], lr=0.1, l2=0.0, n_threads=1, progress=False)
    return model


@cache
def crossed(examples: int) -> Crossed:
    """What the cross terms of a fitted FM do to the click rates."""
    from rectutor.nn import predict

    encoder, layout, model = log_encoded()[0], log_encoded()[1].layout, fitted(examples)
    weight = model.table.weight.detach().numpy().astype(np.float64)
    kinds, times = _kinds_of_impression()
    p = predict(model, kinds).astype(np.float64)
    logit = np.log(p / (1 - p))
    codes = [[(layout.fields.index(f), encoder.code(f, a)) for f, a in side.values()] for side in (READERS, NOTES)]
    reader, note = (
        np.array([weight[layout.rows_of(layout.fields[f]).start + code, :-1] for f, code in side]) for side in codes
    )
    plain, full = np.empty((2, len(READERS), len(NOTES)))
    for i, (f, a) in enumerate(codes[0]):
        for j, (g, b) in enumerate(codes[1]):
            here = (kinds.ids[:, f] == a) & (kinds.ids[:, g] == b)
            without = 1 / (1 + np.exp(reader[i] @ note[j] - logit[here]))
            plain[i, j] = np.average(without, weights=times[here])
            full[i, j] = np.average(p[here], weights=times[here])
    return Crossed(reader, note, plain, full)


class CrossTerms(Explorer):
    """One cross term of a fitted FM, taken apart factor by factor, and what it does to the click rate.

    On the left the two vectors and their products, each beginning where the one before ends, so that they add up to
    the cross term; below, how far the click rates of this reader's row lie from the truth without and with its terms.
    On the right that row: for each kind of note the click rate without the term, with it, and in truth.
    """

    title = "Cross-term microscope"
    question = (
        "Learn from 900,000 impressions: whose click rates do the cross terms bring nearer to the truth by most? Then "
        "learn from 10,000: which two do they lead away by most, and what have these two in common?"
    )
    reader = Discrete("reader or time", list(READERS), start="women")
    note = Discrete("note", list(NOTES), start="home")
    examples = Discrete("impressions learnt from", list(EXAMPLES), start=900_000, format=",")

    def compute(self, reader: str, note: str, examples: int) -> Scene:
        """The two panels."""
        model, truth = crossed(examples), true_rates()
        i, j = list(READERS).index(reader), list(NOTES).index(note)
        products = model.reader[i] * model.note[j]
        term = float(products.sum())
        off = {name: np.abs(rates[i] - truth[i]) for name, rates in (("without", model.plain), ("with", model.full))}
        without, with_it, true = (float(rates[i, j]) for rates in (model.plain, model.full, truth))
        scene = Scene(
            f"{reader} \N{MULTIPLICATION SIGN} {note}: the cross term is {_signed(term)}. The mean click rate is "
            f"{without:.1%} without it, {with_it:.1%} with it, and {true:.1%} in truth.",
            numbers={
                "products": products,
                "term": term,
                "without": without,
                "with": with_it,
                "true": true,
                "off_without": 100 * float(off["without"].mean()),
                "off_with": 100 * float(off["with"].mean()),
            },
        )
        left = scene.panel(height=392, title="Factor by factor, in logits")
        self._distance(left, reader, scene.numbers["off_without"], scene.numbers["off_with"])
        self._factors(left, (reader, note), (model.reader[i], model.note[j]))
        right = scene.panel(height=392, title=f"Click rate: {reader}")
        self._row(right, note, model.plain[i], model.full[i], truth[i])
        return scene

    def _factors(self, panel: Panel, names: tuple[str, str], vectors: tuple[Floats, Floats]) -> None:
        """Both vectors, and their products end to end."""
        panel.x, panel.y = Scale(*REACH, 156, 288), Scale(0, 1, 74, 98)
        for side, name, dx in (("reader", names[0], -78), ("note", names[1], -8)):
            panel.text(f"head/{side}", REACH[0], -1, name, dx=dx, anchor="end", bold=True)
        for value in (-0.4, 0.0, 0.4):
            panel.line(f"grid/{value:g}", [value] * 2, [-0.5, FACTORS + 0.5], colour="line", width=1)
            panel.text(f"grid/{value:g}-name", value, -1, f"{value:g}".replace("-", MINUS), anchor="middle")
        ends = np.cumsum(vectors[0] * vectors[1]).tolist()
        links = [step for f, end in enumerate(ends) for step in (("M", end, f), ("L", end, f + 1))]
        panel.path("links", links, colour="muted", width=1)
        for f, (start, end) in enumerate(zip([0.0, *ends], ends, strict=False)):
            with panel.group(f"factor-{f + 1}"):
                panel.text("name", REACH[0], f, f"{f + 1}", dx=-156, colour="muted")
                panel.text("reader", REACH[0], f, _signed(vectors[0][f]), dx=-78, anchor="end")
                panel.text("note", REACH[0], f, _signed(vectors[1][f]), dx=-8, anchor="end")
                colour = "blue" if end >= start else "vermillion"
                tip = f"product {f + 1}: {_signed(end - start, 3)}"
                panel.rect("bar", start, f - 0.32, end, f + 0.32, colour=colour, rounded=1, tip=tip)
        end = ends[-1]
        panel.text("sum/name", REACH[0], FACTORS, "inner product", dx=-156, bold=True)
        panel.text("sum/value", REACH[0], FACTORS, _signed(end), dx=-8, anchor="end", bold=True)
        tip = f"the cross term: {_signed(end, 3)}"
        panel.rect("sum/bar", 0, FACTORS - 0.32, end, FACTORS + 0.32, colour="purple", rounded=1, tip=tip)

    def _distance(self, panel: Panel, reader: str, without: float, with_it: float) -> None:
        """How far the row on the right is from the truth, in points of click rate."""
        panel.text("off/head", 0, 324, "Mean distance to the truth, all notes", bold=True)
        panel.x, panel.y = Scale(0, FARTHEST, 62, 220), Scale(0, 1, 346, 368)
        for n, (name, value, colour) in enumerate((("without", without, "muted"), ("with", with_it, "blue"))):
            panel.text(f"off/{name}-name", 0, n, name, dx=-62)
            tip = f"{reader}, {name} the cross terms: {value:.2f} points of click rate"
            panel.rect(f"off/{name}", 0, n - 0.32, value, n + 0.32, colour=colour, rounded=1, tip=tip)
            panel.text(f"off/{name}-value", value, n, f"{value:.2f} points", dx=5)

    def _row(self, panel: Panel, note: str, plain: Floats, full: Floats, truth: Floats) -> None:
        """The reader's click rates on all kinds of note."""
        most = RATES.high
        panel.axes(RATES, Scale(len(NOTES) - 0.4, -0.6, at=()), margin=(74, 46, 8, 24))
        panel.legend([("muted", "without"), ("blue", "with"), ("vermillion", "truth")], top=36)
        panel.rect("here", 0, list(NOTES).index(note) - 0.46, most, list(NOTES).index(note) + 0.46, colour="soft")
        for n, name in enumerate(NOTES):
            without, with_it, true = float(plain[n]), float(full[n]), float(truth[n])
            with panel.group(name):
                panel.text("name", 0, n, name, dx=-8, anchor="end", bold=name == note)
                panel.line("step", [without, with_it], [n, n], colour="blue")
                panel.circle("without", without, n, r=4, colour="muted", tip=f"{name}, without: {without:.2%}")
                panel.circle("with", with_it, n, r=5, colour="blue", tip=f"{name}, with: {with_it:.2%}")
                tip = f"{name}, in truth: {true:.2%}"
                panel.line("true", [true, true], [n - 0.36, n + 0.36], colour="vermillion", width=3, tip=tip)


# -- length of the vectors -------------------------------------------------------------------------------------
SIZES = [1, 2, 4, 8, 16, 32]
L2_STRENGTHS = [0.0, 0.01, 0.03, 0.1]
EPOCHS = 12
AUCS = Scale(0.6, 1.06, at=(0.6, 0.7, 0.8, 0.9, 1.0))


@cache
def few_encoded() -> tuple[Encoded, Encoded]:
    """The first users' impressions to learn from, and later ones."""
    learnt, later = few_users()
    encoder = Schema([Categorical(name) for name in ("user", "author", "level2", "hours", "position")]).fit(learnt)
    return encoder.transform(learnt, label="click"), encoder.transform(later, label="click")


@cache
def auc_curves(k: int, l2: float) -> tuple[Floats, Floats]:
    """AUC of an FM after each epoch, on what it learns from and on later impressions [12] each; 0.2 s.

    The model learns twice, in the same steps: once for each set that it is measured on.
    """
    from rectutor.retrieval.fm import FM, adagrad

    learnt, later = few_encoded()
    known, new = (
        adagrad(
            FM(learnt.layout, k, seed=0), learnt, measured, epochs=EPOCHS, lr=0.2, l2=l2, n_threads=1, progress=False
        )["auc"].to_numpy()
        for measured in (learnt, later)
    )
    return known, new


class FactorSize(Explorer):
    """FMs of six sizes learn the clicks of few users, epoch by epoch, while later clicks tell what they understood.

    On the left the AUC of one size over the epochs, on the impressions it learns from and on those of the week after;
    on the right the same two after the epoch chosen, for all sizes.
    """

    title = "Length of the vectors, and over-fitting"
    question = (
        f"Play the epochs at {LAMBDA} = 0. Which k is best in the week after at the end, and after which epoch should "
        f"k = 32 have stopped? With which {LAMBDA} does k = 32 end above all ends at {LAMBDA} = 0?"
    )
    k = Discrete("length k of the vectors", SIZES, start=8)
    l2 = Discrete(f"L2 strength {LAMBDA}", L2_STRENGTHS, start=0.0, format="g")
    epoch = Steps("epoch", list(range(1, EPOCHS + 1)), start=3, seconds=0.6)

    def compute(self, k: int, l2: float, epoch: int) -> Scene:
        """Curves over the epochs and over the sizes."""
        curves = {size: auc_curves(size, l2) for size in SIZES}
        known, new = np.array([[curve[epoch - 1] for curve in curves[size]] for size in SIZES]).T
        at, best = SIZES.index(k), int(new.argmax())
        peak = int(curves[k][1][:epoch].argmax()) + 1
        scene = Scene(
            f"After epoch {epoch} the FM with k = {k} has an AUC of {known[at]:.3f} on what it learns from and "
            f"{new[at]:.3f} in the week after (best: {curves[k][1][peak - 1]:.3f}, epoch {peak}). Of all k, "
            f"{SIZES[best]} is best: {new[best]:.3f}.",
            numbers={
                "known": known,
                "new": new,
                "peak": peak,
                "peak_auc": float(curves[k][1][peak - 1]),
                "best_k": SIZES[best],
            },
        )
        colours = (("known", "blue", "learnt from"), ("new", "vermillion", "the week after"))
        left = scene.panel(height=290, title=f"Over the epochs, k = {k}")
        left.axes(Scale(1, EPOCHS, at=(1, 3, 6, 9, 12)), AUCS, xlabel="epoch", margin=(34, 50, 14, 42))
        left.legend([(colour, name) for _, colour, name in colours], top=36)
        left.line("now", [epoch] * 2, [AUCS.low, AUCS.high], colour="muted", width=1, dash="4 3")
        epochs = np.arange(1, EPOCHS + 1)
        for n, (key, colour, name) in enumerate(colours):
            curve = curves[k][n]
            left.line(f"{key}-ahead", epochs, curve, colour=colour, width=1, dash="2 3")
            left.line(key, epochs[:epoch], curve[:epoch], colour=colour)
            tip = f"{name}, epoch {epoch}: {curve[epoch - 1]:.4f}"
            left.circle(f"{key}-now", epoch, curve[epoch - 1], colour=colour, tip=tip)
            self._value(left, key, epoch, float(curve[epoch - 1]), colour, (epoch - 1) / (EPOCHS - 1), n == 0)

        right = scene.panel(height=290, title=f"Over the sizes, epoch {epoch}")
        right.axes([str(size) for size in SIZES], AUCS, xlabel="length k", margin=(34, 50, 14, 42))
        right.text("auc", len(SIZES) - 0.5, AUCS.high, "AUC", dy=-14, anchor="end", colour="muted")
        right.rect("here", at - 0.42, AUCS.low, at + 0.42, AUCS.high, colour="soft")
        for n, (key, colour, name) in enumerate(colours):
            values = (known, new)[n]
            right.line(key, np.arange(len(SIZES)), values, colour=colour)
            for m, size in enumerate(SIZES):
                tip = f"{name}, k = {size}: {values[m]:.4f}"
                right.circle(f"{key}-{size}", m, values[m], r=5.5 if m == at else 4, colour=colour, tip=tip)
        self._value(right, "best", best, float(new[best]), "vermillion", best / (len(SIZES) - 1), False)
        return scene

    def _value(self, panel: Panel, key: str, x: float, y: float, colour: str, across: float, above: bool) -> None:
        """An AUC beside its point, of which ``across`` tells the place in the panel, 0 to 1."""
        anchor: Anchor = "start" if across < 0.1 else "end" if across > 0.9 else "middle"
        dx = {"start": -3, "middle": 0, "end": 7}[anchor]
        dy = -10 if above else 20
        panel.text(f"{key}-value", x, y, f"{y:.3f}", anchor=anchor, dx=dx, dy=dy, colour=colour, halo=True)


# -- sparse weights --------------------------------------------------------------------------------------------
L1_STRENGTHS = [0.0, 0.1, 0.2, 0.3, 0.5, 1.0, 2.0, 3.0, 5.0, 10.0, 20.0, 50.0]
ALPHAS = [0.05, 0.2, 0.5]
PASSES = [1, 2, 4]
AUC_RANGE = (0.5, 1.0)
SEEN = {"once": 1, "2 to 3": 2, "4 to 7": 4, "8 to 15": 8, "16 to 63": 16, "64 to 255": 64, "256 and more": 256}
"""Classes of features by their number of impressions, and where each begins."""
CROSSES = (
    ("user",),
    ("note",),
    ("author",),
    ("level2",),
    ("hours",),
    ("position",),
    ("user", "level2"),
    ("user", "author"),
    ("hours", "level2"),
    ("gender", "level2"),
)
"""Features of the sparse model: single fields, and pairs of fields as features of their own."""


class Sparse(NamedTuple):
    """A fitted FTRL model; R features.

    Attributes:
        weights: R of them.
        known, new: AUC on what it learnt from and in the week after.
    """

    weights: Floats
    known: float
    new: float


@cache
def explicit_crosses() -> tuple[SparseRows, SparseRows, Codes]:
    """What to learn from, later impressions, and how often the former have each feature [R].

    A feature that is new in the later impressions is left out of them: it has no weight.
    """
    learnt, later = few_users()
    sizes, parts = 0, ([], [])  # type: tuple[int, tuple[list[Codes], list[Codes]]]
    for fields in CROSSES:
        keys = [pd.MultiIndex.from_frame(shown[list(fields)]) for shown in (learnt, later)]
        known = keys[0].unique()
        for part, key in zip(parts, keys, strict=True):
            code = known.get_indexer(key)
            part.append(np.where(code < 0, -1, code + sizes))
        sizes += len(known)

    def rows(ids: list[Codes], shown: pd.DataFrame) -> SparseRows:
        table = np.column_stack(ids)
        there = table >= 0
        indptr = np.concatenate([[0], there.sum(axis=1).cumsum()])
        ones = np.ones(int(indptr[-1]), np.float32)
        return SparseRows(shown.click.to_numpy().astype(np.float32), indptr, table[there], ones)

    first, second = rows(parts[0], learnt), rows(parts[1], later)
    return first, second, np.bincount(first.ids, minlength=sizes)


@cache
def sparse_model(l1: float, alpha: float, passes: int) -> Sparse:
    """Logistic regression on :data:`CROSSES` by FTRL-Proximal; 20 ms a pass."""
    from rectutor.retrieval.fm import FTRL

    learnt, later, times = explicit_crosses()
    model = FTRL(alpha=alpha, l1=l1, l2=0.0, n_features=len(times))
    for _ in range(passes):
        model.partial_fit(learnt)
    known, new = (auc(rows.label, model.log_odds(rows)) for rows in (learnt, later))
    return Sparse(model.weights_, known, new)


class Sparsity(Explorer):
    """FTRL-Proximal learns a weight for each user, note and pair of values; L1 keeps many of them at zero.

    On the left the share of zero weights among the features seen once, twice or three times, and so on; on the right
    the AUC on what was learnt from and on the week after against the number of weights that are left, over all L1
    strengths.
    """

    title = "L1 and the weights that are left"
    question = (
        "Take α = 0.2 and one pass. What is the least L1 strength that empties three "
        "quarters of the weights, and what AUC does it cost? What do four passes make of the same strength, and why?"
    )
    l1 = Discrete("L1 strength", L1_STRENGTHS, start=0.0, format="g")
    alpha = Discrete(f"step {ALPHA}", ALPHAS, start=0.2, format="g")
    passes = Discrete("passes over the data", PASSES, start=1)

    def compute(self, l1: float, alpha: float, passes: int) -> Scene:
        """Zeros by frequency, AUC by number of weights."""
        models = {strength: sparse_model(strength, alpha, passes) for strength in L1_STRENGTHS}
        here, free = models[l1], models[0.0]
        times = explicit_crosses()[2]
        left_over = {strength: int(np.count_nonzero(m.weights)) for strength, m in models.items()}
        zero = 1 - left_over[l1] / len(times)
        group = np.searchsorted(list(SEEN.values()), times, side="right") - 1
        members = np.bincount(group, minlength=len(SEEN))
        zeros = np.bincount(group[here.weights == 0], minlength=len(SEEN)) / members
        scene = Scene(
            f"L1 {l1:g}: {zero:.2%} of {len(times):,} weights are zero, {left_over[l1]:,} are left. The AUC is "
            f"{here.known:.3f} on what was learnt from and {here.new:.3f} in the week after; without L1 it is "
            f"{free.new:.3f} there.",
            numbers={
                "zero": zero,
                "left": left_over[l1],
                "known": here.known,
                "new": here.new,
                "free": free.new,
                "zeros": zeros,
                "members": members,
            },
        )
        left = scene.panel(height=300, title="Zero weights, by how often seen")
        left.axes(
            Scale(0, 1, at=(0, 0.5, 1), format=".0%"),
            Scale(len(SEEN) - 0.4, -0.6, at=()),
            xlabel="share of zero weights",
            margin=(92, 48, 46, 42),
        )
        left.text("head", 0, -0.6, "impressions", dx=-8, dy=-8, anchor="end", colour="muted")
        for n, (name, share, size) in enumerate(zip(SEEN, zeros, members, strict=True)):
            with left.group(name):
                left.text("name", 0, n, name, dx=-8, anchor="end")
                left.rect("all", 0, n - 0.34, 1, n + 0.34, colour="soft", rounded=2)
                tip = f"seen {name}: {share:.1%} of {size:,} weights are zero"
                left.rect("bar", 0, n - 0.34, float(share), n + 0.34, colour="blue", rounded=2, tip=tip)
                left.text("share", 1, n, f"{share:.0%}", dx=8)

        right = scene.panel(height=300, title="AUC against weights left")
        right.axes(
            Scale(40_000, 3, log=True, at=(10_000, 1_000, 100, 10), format=",.0f"),
            AUC_RANGE,
            xlabel="weights that are not zero",
            margin=(34, 50, 14, 42),
        )
        right.legend([("blue", "learnt from"), ("vermillion", "the week after")], top=36)
        right.line("now", [left_over[l1]] * 2, AUC_RANGE, colour="muted", width=1, dash="4 3")
        for key, colour, name in (("known", "blue", "learnt from"), ("new", "vermillion", "the week after")):
            ys = [getattr(m, key) for m in models.values()]
            right.line(key, list(left_over.values()), ys, colour=colour)
            for strength, y in zip(L1_STRENGTHS, ys, strict=True):
                tip = f"{name}, L1 {strength:g}, {left_over[strength]:,} weights: {y:.4f}"
                r = 5.5 if strength == l1 else 3
                right.circle(f"{key}-{strength:g}", left_over[strength], y, r=r, colour=colour, tip=tip)
            y = float(getattr(here, key))
            few, above = left_over[l1] < 20, y >= max(here.known, here.new)  # with few, there is no room to the right
            anchor: Anchor = "end" if few else "start"
            dx, dy = -8 if few else 8, -9 if above else 20
            right.text(
                f"{key}-value", left_over[l1], y, f"{y:.3f}", anchor=anchor, dx=dx, dy=dy, colour=colour, halo=True
            )
        return scene
