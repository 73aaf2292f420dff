"""Explorables of the chapter on evaluation: what AUC and log-loss see, recall against precision, thinned negatives."""

from __future__ import annotations

from functools import cache
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy import sparse
from scipy.optimize import brentq
from scipy.special import expit

from rectutor import metrics
from rectutor.widgets.explorer import Choice, Continuous, Discrete, Explorer, Steps
from rectutor.widgets.scene import Panel, Scale, Scene

Floats = NDArray[np.float64]
Labels = NDArray[np.int64]

GOLDEN = (np.sqrt(5) - 1) / 2


# -- order and probabilities -----------------------------------------------------------------------------------
@cache
def _bells(rows: int = 50, seed: int = 25) -> tuple[Floats, Floats]:
    """Scores of clicked and of unclicked rows before they are moved apart, each [rows], ascending, spread about 1."""
    rng = np.random.default_rng(seed)
    return np.sort(rng.standard_normal(rows)), np.sort(rng.standard_normal(rows))


def scored(distance: float, stretch: float) -> tuple[Labels, Floats]:
    """Labels and predicted probabilities of the rows in :class:`ThresholdAUC`, clicked ones first, [100] each.

    Args:
        distance: between the middles of the two classes, in units of their spread.
        stretch: factor on the log-odds; 1 leaves them as they are.
    """
    clicked, other = _bells()
    log_odds = np.concatenate([clicked + distance / 2, other - distance / 2])
    return np.repeat([1, 0], [len(clicked), len(other)]), expit(stretch * log_odds)


def _corners(xs: Floats, ys: Floats) -> tuple[Floats, Floats]:
    """A staircase without the points in the middle of its steps."""
    dx, dy = np.diff(xs), np.diff(ys)
    turns = np.r_[True, dx[:-1] * dy[1:] != dy[:-1] * dx[1:], True]
    return xs[turns], ys[turns]


class ThresholdAUC(Explorer):
    """Scores of two classes that slide apart and stretch: the ROC curve sees their order, log-loss their probabilities.

    On the left every row is a dot at its predicted probability, clicked ones above, with the threshold as a line and
    the log-loss as a bar below. On the right is the ROC curve with the point of that threshold.
    """

    title = "Two classes, a threshold, and two judges"
    question = (
        "Leave the distance at 1.5. How far must the log-odds be stretched until the log-loss is worse than a coin's, "
        "and what has the AUC lost by then?"
    )
    distance = Continuous("distance of the classes", 0, 3, stops=[0, 0.5, 1, 1.5, 2, 3], start=1.5, fine=61)
    stretch = Continuous(
        "log-odds times", 0.25, 6, stops=[0.25, 0.5, 1, 1.5, 2.5, 4, 6], start=1, log=True, fine=81, format=".3g"
    )
    threshold = Continuous(
        "threshold",
        0.05,
        0.95,
        stops=[0.05, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95],
        start=0.5,
        fine=91,
        format=".2f",
    )

    def compute(self, distance: float, stretch: float, threshold: float) -> Scene:
        """The scene for one distance, stretch and threshold."""
        labels, p = scored(distance, stretch)
        fpr, tpr, thresholds = metrics.roc_curve(labels, p)
        at = int(np.count_nonzero(thresholds >= threshold)) - 1  # the last step that the threshold has reached
        false, true = float(fpr[at]), float(tpr[at])
        area, loss, coin = (
            metrics.auc(labels, p),
            metrics.log_loss(labels, p),
            metrics.log_loss(labels, np.full_like(p, 0.5)),
        )
        rows = len(labels) // 2
        scene = Scene(
            f"Threshold {threshold:.2f} calls {true * rows:.0f} of {rows} clicked and {false * rows:.0f} of {rows} "
            f"unclicked rows positive. AUC {area:.3f}; log-loss {loss:.3f}, coin {coin:.3f}.",
            {
                "true-positive rate": true,
                "false-positive rate": false,
                "AUC": area,
                "log-loss": loss,
                "log-loss of a coin": coin,
            },
        )
        self._scores(scene.panel(300, title="Predicted probabilities"), p, threshold, scene.numbers)
        self._roc(scene.panel(300, title=f"ROC curve, AUC {area:.3f}"), fpr, tpr, scene.numbers)
        return scene

    @staticmethod
    def _scores(panel: Panel, p: Floats, threshold: float, numbers: dict[str, Any]) -> None:
        rows = len(p) // 2
        with panel.group("scores"):
            panel.axes((0, 1), Scale(0, 2, at=()), margin=(8, 24, 12, 134))
            panel.text("x-label", 0.5, 0, "predicted probability of a click", anchor="middle", dy=33, colour="muted")
            panel.rect("called", threshold, 0, 1, 2, colour="sky", opacity=0.2)
            panel.line(
                "threshold", [threshold, threshold], [0, 2], tip=f"threshold {threshold:.2f}: positive from here on"
            )
            for bottom, name, colour, rate in (
                (1, "clicked", "blue", "true-positive rate"),
                (0, "not clicked", "vermillion", "false-positive rate"),
            ):
                for n, score in enumerate(p[:rows] if bottom else p[rows:]):
                    height = bottom + 0.07 + 0.64 * (n * GOLDEN % 1)  # neighbours in score far apart in height
                    panel.circle(f"{name}/{n}", float(score), height, r=3.5, colour=colour)
                panel.text(
                    f"{name}/says",
                    0,
                    bottom + 0.87,
                    f"{name}: {numbers[rate] * rows:.0f} of {rows} called positive",
                    dx=5,
                    colour=colour,
                    halo=True,
                )
        loss, coin = numbers["log-loss"], numbers["log-loss of a coin"]
        with panel.group("loss"):
            panel.axes((0, 2.5), Scale(0, 1, at=()), margin=(8, 250, 12, 24))
            panel.text("says", 0, 1, f"Log-loss {loss:.3f}", dx=-8, dy=-22, size=14, bold=True)
            panel.rect("bar", 0, 0.15, loss, 0.85, colour="green", tip=f"log-loss {loss:.3f}: less is better")
            panel.line("coin", [coin, coin], [0.9, 1.5], tip=f"a coin says 0.5 for every row: log-loss {coin:.3f}")
            panel.text("coin-label", coin, 1.5, f"a coin: {coin:.3f}", dx=4, dy=5)

    @staticmethod
    def _roc(panel: Panel, fpr: Floats, tpr: Floats, numbers: dict[str, Any]) -> None:
        false, true = numbers["false-positive rate"], numbers["true-positive rate"]
        panel.axes((0, 1), (0, 1), xlabel="false-positive rate", ylabel="true-positive rate")
        xs, ys = _corners(fpr, tpr)
        panel.polygon(
            "area", [*xs, 1], [*ys, 0], opacity=0.18, tip=f"the area below the curve: AUC {numbers['AUC']:.3f}"
        )
        panel.line("coin", [0, 1], [0, 1], colour="muted", width=1.5, dash="2 4", tip="what a coin gets: AUC 0.5")
        panel.line("curve", xs, ys, colour="blue")
        panel.line("across", [0, false], [true, true], width=1, dash="4 3")
        panel.line("down", [false, false], [0, true], width=1, dash="4 3")
        tip = f"true-positive rate {true:.3f}, false-positive rate {false:.3f}"
        panel.circle("operating", false, true, r=6, colour="vermillion", tip=tip)
        panel.text("true", 1, 0.16, f"true-positive rate {true:.2f}", dx=-6, anchor="end")
        panel.text("false", 1, 0.07, f"false-positive rate {false:.2f}", dx=-6, anchor="end")


# -- lists of k ------------------------------------------------------------------------------------------------
NOTES = 30
"""Notes in the list of :class:`PrecisionRecallAtK`; the user's taste orders them 0, 1, 2, ..., the best first."""
RANKERS = {"guessing": 0.0, "fair": 1.0, "perfect": np.inf}
"""How much of a ranker's score is taste, next to noise of spread 1."""


@cache
def ranked(ranker: str, seed: int = 2) -> tuple[int, ...]:
    """The order in which one of :data:`RANKERS` shows the notes, the best first; two of them share their noise."""
    taste, noise = np.linspace(1.7, -1.7, NOTES), np.random.default_rng(seed).standard_normal(NOTES)
    score = taste if np.isinf(RANKERS[ranker]) else RANKERS[ranker] * taste + noise
    return tuple(int(n) for n in np.argsort(-score, kind="stable"))


class Curves(NamedTuple):
    """Metrics of the first k of a list, k = 1, 2, ..., each [NOTES]."""

    precision: Floats
    recall: Floats
    f1: Floats


@cache
def curves(ranker: str, liked: int) -> Curves:
    """Precision, recall and F1 of every length of a ranker's list, where the user likes the notes below ``liked``."""
    items = np.array([ranked(ranker)])
    truth = sparse.csr_array((np.ones(liked), (np.zeros(liked, int), np.arange(liked))), shape=(1, NOTES))
    by_k = [metrics.topk_metrics(items, truth, k) for k in range(1, NOTES + 1)]
    return Curves(*(np.array([m[name] for m in by_k]) for name in ("precision", "recall", "f1")))


class PrecisionRecallAtK(Explorer):
    """A ranked list of thirty notes that is cut after k: precision, recall and F1 of what is above the cut.

    On the left stands the list, liked notes as discs and the others as crosses, with the first k lit; below it the hits
    stand in two frames, one as long as the list shown and one as long as what is liked. On the right are the curves.
    """

    title = "The same hits, two denominators"
    question = (
        "Away from zero the three curves meet at one k only, whichever ranker you choose and however much is liked. "
        "At which k?"
    )
    k = Steps("k, notes shown", list(range(1, NOTES + 1)), start=5, seconds=0.35)
    liked = Discrete("notes truly liked", [5, 10, 15], start=10)
    ranker = Choice("ranker", list(RANKERS), start="fair")

    def compute(self, k: int, liked: int, ranker: str) -> Scene:
        """The scene for one length of the list, number of liked notes and ranker."""
        order, curve = ranked(ranker), curves(ranker, liked)
        hits = sum(note < liked for note in order[:k])
        at = {name: float(values[k - 1]) for name, values in curve._asdict().items()}
        scene = Scene(
            f"Cut after {k} of {NOTES} notes, the list holds {hits} of the {liked} liked ones. "
            f"Precision {hits}/{k} = {at['precision']:.3f}, recall {hits}/{liked} = {at['recall']:.3f}, "
            f"F1 {at['f1']:.3f}.",
            {"hits": hits, **at},
        )
        self._list(scene.panel(260, title="The list, best first"), k, liked, order, at)
        self._curves(scene.panel(260, title="As the list grows"), k, curve)
        return scene

    @staticmethod
    def _list(panel: Panel, k: int, liked: int, order: tuple[int, ...], at: dict[str, float]) -> None:
        for rank, note in enumerate(order):
            x, y = 34.0 + 27 * (rank % 10), 42.0 + 30 * (rank // 10)
            if rank < k:
                panel.rect(f"lit/{rank}", x - 13.5, y - 14, x + 13.5, y + 14, colour="sky", opacity=0.3)
            if rank % 10 == 0:
                panel.text(f"rank/{rank}", 8, y, str(rank + 1), anchor="middle", colour="muted", size=11.5)
            seen = 1.0 if rank < k else 0.5
            if note < liked:
                panel.circle(f"note/{note}", x, y, r=7, colour="ink", opacity=seen, tip=f"rank {rank + 1}: liked")
            else:
                arms = [("M", x - 5, y - 5), ("L", x + 5, y + 5), ("M", x - 5, y + 5), ("L", x + 5, y - 5)]
                panel.path(f"note/{note}", arms, colour="muted", opacity=seen, tip=f"rank {rank + 1}: not liked")
        hits = sum(note < liked for note in order[:k])
        for y, name, length, of, colour in (
            (154.0, "precision", k, "shown", "vermillion"),
            (211.0, "recall", liked, "liked", "blue"),
        ):
            says = f"{name}: {hits} of {length} {of} = {at[name]:.3f}"
            panel.text(f"{name}/says", 8, y, says, colour=colour, bold=True)
            panel.rect(f"{name}/all", 8, y + 10, 8 + 9 * length, y + 34, colour="soft", outline=colour, tip=says)
            for n in range(hits):
                panel.circle(f"{name}/{n}", 8 + 9 * (n + 0.5), y + 22, r=3, colour="ink", outline="none")

    @staticmethod
    def _curves(panel: Panel, k: int, curve: Curves) -> None:
        ks = np.arange(1, NOTES + 1)
        panel.axes(
            Scale(1, NOTES, at=(1, 5, 10, 15, 20, 25, 30)), (0, 1), xlabel="k, notes shown", margin=(34, 30, 62, 42)
        )
        panel.line("k", [k, k], [0, 1], width=1, dash="4 3")
        named = (
            ("precision", "vermillion", curve.precision),
            ("recall", "blue", curve.recall),
            ("F1", "green", curve.f1),
        )
        for name, colour, values in named:
            panel.line(f"{name}/curve", ks, values, colour=colour)
            panel.text(f"{name}/name", NOTES, values[-1], name, dx=6, colour=colour)
        for name, colour, values in named:
            value = float(values[k - 1])
            panel.circle(f"{name}/at", k, value, r=5, colour=colour, tip=f"{name} of the first {k}: {value:.3f}")


# -- thinned negatives -----------------------------------------------------------------------------------------
@cache
def impressions(rate: float, rows: int = 20_000, seed: int = 0) -> tuple[Labels, Floats]:
    """Clicks and true click probabilities of simulated impressions with a mean probability of ``rate``, [rows] each."""
    rng = np.random.default_rng(seed)
    log_odds = rng.standard_normal(rows)
    shift = brentq(lambda b: expit(log_odds + b).mean() - rate, -10, 10)
    p = expit(log_odds + shift)
    return (rng.random(rows) < p).astype(np.int64), p


class DownsamplingCalibration(Explorer):
    """What a perfect model of thinned data promises, and what the correction makes of it.

    On the left is the reliability diagram in ten bins of equal size, on logarithmic axes. On the right are the training
    set that is left, the clicks promised and those that come, ECE and AUC.
    """

    title = "Promises of a model trained on thinned data"
    question = (
        "One impression in ten is clicked. At which \N{GREEK SMALL LETTER ALPHA} does the model as trained promise "
        "five times the clicks that come, and does AUC notice?"
    )
    alpha = Continuous(
        "\N{GREEK SMALL LETTER ALPHA}, share of negatives kept",
        0.01,
        1,
        stops=[0.01, 0.02, 0.03, 0.05, 0.075, 0.1, 0.15, 0.2, 0.3, 0.5, 0.75, 1],
        start=0.5,
        log=True,
        fine=101,
        format=".3g",
    )
    rate = Discrete("clicked in all", [0.02, 0.1, 0.3], start=0.1, format=".0%")
    shown = Choice("probabilities", ["as trained", "corrected"])

    def compute(self, alpha: float, rate: float, shown: str) -> Scene:
        """The scene for one share of kept negatives, click rate and kind of probabilities."""
        labels, p = impressions(rate)
        q = metrics.downsampled(p, alpha)
        if shown == "corrected":
            q = metrics.correct_downsampling(q, alpha)
        numbers = {
            "kept": float(np.where(labels == 1, 1, alpha).mean()),
            "promised": float(q.mean()),
            "clicked": float(labels.mean()),
            "promised over clicked": metrics.calibration(labels, q),
            "ECE": metrics.expected_calibration_error(labels, q, 10, "quantile"),
            "AUC": metrics.auc(labels, q),
        }
        times = numbers["promised over clicked"]
        model = "model as trained" if shown == "as trained" else "corrected model"
        scene = Scene(
            f"With {alpha:.3g} of the negatives kept, the {model} promises {times:.2f} times the clicks that come. "
            f"ECE is {numbers['ECE']:.3f}, AUC {numbers['AUC']:.3f}.",
            numbers,
        )
        colour = "vermillion" if shown == "as trained" else "blue"
        table = metrics.calibration_table(labels, q, 10, "quantile")
        self._reliability(scene.panel(270, title=f"Reliability, {shown}"), table, colour)
        self._judges(scene.panel(270, title=f"{times:.2f} promised for each click"), alpha, numbers, colour)
        return scene

    @staticmethod
    def _reliability(panel: Panel, table: dict[str, Any], colour: str) -> None:
        axis = Scale(0.0015, 1, log=True, at=(0.002, 0.01, 0.05, 0.2, 1))
        panel.axes(axis, axis, xlabel="mean prediction of the bin", ylabel="share clicked")
        panel.line(
            "kept", [0.0015, 1], [0.0015, 1], colour="muted", width=1.5, dash="2 4", tip="what is promised comes"
        )
        panel.text("above", 0.0015, 1, "dotted: promised = clicked", dx=8, dy=16, colour="muted")
        panel.text("below", 0.0015, 1, "below: too many promised", dx=8, dy=33, colour="muted")
        panel.line("curve", table["predicted"], table["observed"], colour=colour, width=1.5)
        for n, (predicted, observed) in enumerate(zip(table["predicted"], table["observed"], strict=True)):
            tip = f"{table['count'][n]:,} impressions: {predicted:.1%} promised, {observed:.1%} clicked"
            panel.circle(f"bin/{n}", predicted, observed, r=4.5, colour=colour, tip=tip)

    @staticmethod
    def _judges(panel: Panel, alpha: float, numbers: dict[str, float], colour: str) -> None:
        clicked, kept = numbers["clicked"], numbers["kept"]
        panel.axes(
            (0, 1),
            ["kept", "promised", "clicked", "ECE", "AUC"],
            margin=(64, 30, 56, 42),
        )
        tip = f"kept for training: all of the {clicked:.1%} clicked, {alpha:.3g} of the {1 - clicked:.1%} not clicked"
        panel.rect("kept/clicked", 0, -0.3, clicked, 0.3, colour="ink", tip=tip)
        panel.rect("kept/others", clicked, -0.3, kept, 0.3, colour="muted", opacity=0.6, tip=tip)
        panel.rect("kept/all", 0, -0.3, 1, 0.3, colour="none", outline="line")
        panel.text("kept/says", 1, 0, f"{kept:.1%}", dx=8)
        for row, (name, paint) in enumerate(
            (("promised", colour), ("clicked", "ink"), ("ECE", colour), ("AUC", "green")), start=1
        ):
            value = numbers[name]
            says = f"{value:.1%}" if name in ("promised", "clicked") else f"{value:.3f}"
            panel.rect(f"{name}/bar", 0, row - 0.3, value, row + 0.3, colour=paint, tip=f"{name} {says}")
            panel.text(f"{name}/says", 1, row, says, dx=8, bold=name != "clicked")
