"""Explorables of the chapter on evaluation: numbers by another route, marks in their places, answers that hold."""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from fractions import Fraction
from functools import cache
from typing import Any

import numpy as np
import pytest
from scipy.special import logit
from scipy.stats import rankdata

from rectutor.metrics import reference
from rectutor.widgets.evaluation import (
    NOTES,
    RANKERS,
    DownsamplingCalibration,
    PrecisionRecallAtK,
    ThresholdAUC,
    curves,
    impressions,
    ranked,
    scored,
)
from rectutor.widgets.explorer import Explorer, Frame
from rectutor.widgets.scene import Mark, Panel

PIXEL = 0.1 + 1e-9
"""Marks and tick labels are each rounded to a tenth of a pixel, so they may differ by one."""


@cache
def frames(kind: type[Explorer]) -> list[Frame]:
    return list(kind().frames())


def marks(panel: Panel, start: str = "") -> dict[str, Mark]:
    """Marks of a panel by what follows ``start`` in their keys."""
    return {m.key.removeprefix(start): m for m in panel.marks if m.key.startswith(start)}


def at(mark: Mark, *names: str) -> list[float]:
    return [float(mark.attributes[name]) for name in names]


def points(mark: Mark) -> np.ndarray[Any, Any]:
    """The corners of a path, [points, 2]."""
    return np.array(re.findall(r"-?\d+\.?\d*", mark.attributes["d"]), dtype=float).reshape(-1, 2)


def axis(panel: Panel, which: str, group: str = "", log: bool = False) -> Callable[[float], float]:
    """From a value to a pixel as a reader does it: between the outermost tick labels of an axis."""
    ticks = {
        float(name): at(m, which)[0]
        for name, m in marks(panel, f"{group}axes/{which}-").items()
        if re.fullmatch(r"[\d.]+", name)
    }
    scale: Callable[[float], float] = math.log if log else float
    (low, first), (high, last) = min(ticks.items()), max(ticks.items())
    first, last = (first - 4, last - 4) if which == "y" else (first, last)  # a label hangs 4 pixels below its tick
    return lambda value: first + (scale(value) - scale(low)) / (scale(high) - scale(low)) * (last - first)


# -- order and probabilities -----------------------------------------------------------------------------------
@cache
def judged(distance: float, stretch: float) -> tuple[float, float]:
    """AUC by counting pairs and log-loss by a loop."""
    labels, p = scored(distance, stretch)
    return reference.auc(labels, p), reference.log_loss(labels, p)


def test_the_classes_slide_apart_and_the_log_odds_stretch() -> None:
    labels, p = scored(0, 1)
    assert labels.sum() == len(labels) / 2 == 50
    for distance in ThresholdAUC.distance.stops:
        for stretch in ThresholdAUC.stretch.stops:
            again, q = scored(distance, stretch)
            assert (again == labels).all()
            np.testing.assert_allclose(
                logit(q), stretch * (logit(p) + np.where(labels, 1, -1) * distance / 2), rtol=1e-7
            )


def test_threshold_numbers_are_those_of_the_sample() -> None:
    assert len(frames(ThresholdAUC)) == 462
    for values, scene in frames(ThresholdAUC):
        labels, p = scored(values["distance"], values["stretch"])
        area, loss = judged(values["distance"], values["stretch"])
        called = p >= values["threshold"]
        assert scene.numbers["true-positive rate"] == called[labels == 1].sum() / 50
        assert scene.numbers["false-positive rate"] == called[labels == 0].sum() / 50
        assert scene.numbers["AUC"] == pytest.approx(area, rel=1e-12)
        assert scene.numbers["log-loss"] == pytest.approx(loss, rel=1e-11)
        assert scene.numbers["log-loss of a coin"] == pytest.approx(math.log(2), rel=1e-12)
        assert scene.says == (
            f"Threshold {values['threshold']:.2f} calls {called[labels == 1].sum()} of 50 clicked and "
            f"{called[labels == 0].sum()} of 50 unclicked rows positive. "
            f"AUC {area:.3f}; log-loss {loss:.3f}, coin 0.693."
        )


def test_rows_threshold_and_log_loss_stand_where_the_axes_say() -> None:
    for values, scene in frames(ThresholdAUC):
        panel = scene.panels[0]
        labels, p = scored(values["distance"], values["stretch"])
        x = axis(panel, "x", "scores/")
        scores = marks(panel, "scores/")
        for name, label in (("clicked", 1), ("not clicked", 0)):
            drawn = [at(m, "cx")[0] for key, m in scores.items() if re.fullmatch(rf"{name}/\d+", key)]
            assert drawn == pytest.approx([x(v) for v in p[labels == label]], abs=PIXEL)
        line = x(values["threshold"])
        assert points(scores["threshold"])[:, 0] == pytest.approx([line, line], abs=PIXEL)
        left, width = at(scores["called"], "x", "width")
        assert (left, left + width) == pytest.approx((line, x(1)), abs=2 * PIXEL)  # the width is rounded, too
        x, loss = axis(panel, "x", "loss/"), marks(panel, "loss/")
        left, width = at(loss["bar"], "x", "width")
        assert (left, width) == pytest.approx((x(0), x(scene.numbers["log-loss"]) - x(0)), abs=PIXEL)
        assert points(loss["coin"])[:, 0] == pytest.approx([x(math.log(2))] * 2, abs=PIXEL)


def test_roc_curve_runs_through_the_points_of_all_thresholds() -> None:
    seen: dict[float, str] = {}
    for values, scene in frames(ThresholdAUC):
        panel = scene.panels[1]
        drawn = marks(panel)
        x, y = axis(panel, "x"), axis(panel, "y")
        expected = x(scene.numbers["false-positive rate"]), y(scene.numbers["true-positive rate"])
        assert at(drawn["operating"], "cx", "cy") == pytest.approx(expected, abs=PIXEL)
        curve = seen.setdefault(values["distance"], drawn["curve"].attributes["d"])
        assert drawn["curve"].attributes["d"] == curve  # whatever the stretch and the threshold
        area = points(drawn["area"])
        corners = points(drawn["curve"])
        assert (area[:-1] == corners).all()
        assert area[-1] == pytest.approx([x(1), y(0)], abs=PIXEL)
    for distance, scene in {f.values["distance"]: f.scene for f in frames(ThresholdAUC)}.items():
        panel = scene.panels[1]
        x, y = axis(panel, "x"), axis(panel, "y")
        fpr, tpr, _ = reference.roc_curve(*scored(distance, 1))
        truth = np.array([(x(f), y(t)) for f, t in zip(fpr, tpr, strict=True)])
        corners = points(marks(panel)["curve"])
        assert all(np.abs(truth - corner).max(axis=1).min() <= PIXEL for corner in corners)
        assert (np.abs(np.diff(corners, axis=0)).min(axis=1) == 0).all()  # no ties: each step is up or to the right
        for point in truth:  # on one of the steps
            low, high = np.minimum(corners[:-1], corners[1:]), np.maximum(corners[:-1], corners[1:])
            assert ((low - PIXEL <= point) & (point <= high + PIXEL)).all(axis=1).any()


def test_only_the_longest_stretch_is_worse_than_a_coin_and_auc_is_what_it_was() -> None:
    start = ThresholdAUC().values
    assert start["distance"] == 1.5
    found = {
        f.values["stretch"]: f.scene.numbers
        for f in frames(ThresholdAUC)
        if f.values["distance"] == 1.5 and f.values["threshold"] == start["threshold"]
    }
    assert [s for s, n in found.items() if n["log-loss"] > math.log(2)] == [6]
    assert len({n["AUC"] for n in found.values()}) == 1
    assert found[6]["AUC"] > 0.85
    assert min(found, key=lambda s: found[s]["log-loss"]) == 1.5  # as far as the classes are apart
    assert judged(1.5, 4.5)[1] < math.log(2) < judged(1.5, 4.7)[1]  # with a kernel: from 4.6 on


# -- lists of k ------------------------------------------------------------------------------------------------
def drawn_list(panel: Panel) -> tuple[list[str], list[bool]]:
    """Names of the notes in the order of their places, and whether each is drawn as liked."""
    notes = [(m.box, m) for m in marks(panel, "note/").values()]
    notes.sort(key=lambda n: (round((n[0][1] + n[0][3]) / 2), (n[0][0] + n[0][2]) / 2))
    return [m.key for _, m in notes], [m.tag == "circle" for _, m in notes]


def test_list_numbers_are_those_of_the_marks() -> None:
    assert len(frames(PrecisionRecallAtK)) == 270
    for values, scene in frames(PrecisionRecallAtK):
        k, liked = values["k"], values["liked"]
        names, hit = drawn_list(scene.panels[0])
        assert sorted(names) == sorted(f"note/{n}" for n in range(NOTES))
        assert names == [f"note/{n}" for n in ranked(values["ranker"])]
        assert sum(hit) == liked
        assert list(marks(scene.panels[0], "lit/")) == [str(n) for n in range(k)]
        hits = sum(hit[:k])
        assert scene.numbers == {
            "hits": hits,
            "precision": float(Fraction(hits, k)),
            "recall": float(Fraction(hits, liked)),
            "f1": pytest.approx(float(Fraction(2 * hits, k + liked)), rel=1e-15),
        }
        assert scene.says == (
            f"Cut after {k} of 30 notes, the list holds {hits} of the {liked} liked ones. Precision {hits}/{k} = "
            f"{hits / k:.3f}, recall {hits}/{liked} = {hits / liked:.3f}, F1 {2 * hits / (k + liked):.3f}."
        )


def test_hits_stand_in_frames_as_long_as_their_denominators() -> None:
    for values, scene in frames(PrecisionRecallAtK):
        for name, denominator in (("precision", values["k"]), ("recall", values["liked"])):
            part = marks(scene.panels[0], f"{name}/")
            assert at(part["all"], "x", "width") == [8, 9 * denominator]
            hits = [at(m, "cx")[0] for key, m in part.items() if key.isdigit()]
            assert hits == [8 + 9 * n + 4.5 for n in range(scene.numbers["hits"])]


def test_curves_stand_where_the_axes_say() -> None:
    lines: dict[tuple[str, int, str], list[float]] = {}
    for values, scene in frames(PrecisionRecallAtK):
        panel = scene.panels[1]
        x, y = axis(panel, "x"), axis(panel, "y")
        for name, key in (("precision", "precision"), ("recall", "recall"), ("F1", "f1")):
            value, point = scene.numbers[key], marks(panel)[f"{name}/at"]
            assert at(point, "cx", "cy") == pytest.approx((x(values["k"]), y(value)), abs=PIXEL)
            lines.setdefault((values["ranker"], values["liked"], name), []).append(value)
        assert points(marks(panel)["k"])[:, 0] == pytest.approx([x(values["k"])] * 2, abs=PIXEL)
    for values, scene in frames(PrecisionRecallAtK):
        panel = scene.panels[1]
        x, y = axis(panel, "x"), axis(panel, "y")
        for name in ("precision", "recall", "F1"):
            truth = lines[values["ranker"], values["liked"], name]  # k = 1, 2, ... as the frames have shown them
            expected = np.array([(x(n), y(v)) for n, v in enumerate(truth, start=1)])
            np.testing.assert_allclose(points(marks(panel)[f"{name}/curve"]), expected, rtol=0, atol=PIXEL)


def test_the_three_curves_meet_only_where_as_much_is_shown_as_is_liked() -> None:
    met: dict[tuple[str, int], list[int]] = {}
    for values, scene in frames(PrecisionRecallAtK):
        n = scene.numbers
        if n["precision"] == n["recall"] > 0:
            met.setdefault((values["ranker"], values["liked"]), []).append(values["k"])
            assert n["f1"] == pytest.approx(n["recall"], rel=1e-15)
    assert met == {(ranker, liked): [liked] for ranker in RANKERS for liked in (5, 10, 15)}


@pytest.mark.parametrize("liked", [5, 10, 15])
def test_better_rankers_have_better_curves(liked: int) -> None:
    guessing, fair, perfect = (curves(ranker, liked).precision for ranker in ("guessing", "fair", "perfect"))
    assert guessing.mean() < fair.mean() < perfect.mean()
    assert (fair <= perfect).all()
    assert (perfect == [min(1, liked / k) for k in range(1, NOTES + 1)]).all()


# -- thinned negatives -----------------------------------------------------------------------------------------
@cache
def truth(rate: float) -> tuple[np.ndarray[Any, Any], np.ndarray[Any, Any], float, list[np.ndarray[Any, Any]]]:
    """Labels and probabilities, AUC by ranks, and the rows of ten bins of 2,000 in the order of the probabilities."""
    labels, p = impressions(rate)
    clicks = labels.sum()
    won = rankdata(p)[labels == 1].sum() - clicks * (clicks + 1) / 2
    return labels, p, float(won / (clicks * (len(labels) - clicks))), np.split(np.argsort(p), 10)


@pytest.mark.parametrize("rate", DownsamplingCalibration.rate.stops)
def test_impressions_are_clicked_as_their_probabilities_say(rate: float) -> None:
    labels, p, _, _ = truth(rate)
    assert len(labels) == 20_000
    assert p.mean() == pytest.approx(rate, rel=1e-9)
    assert abs(labels.sum() - p.sum()) < 2 * math.sqrt((p * (1 - p)).sum())


def test_thinning_numbers_by_counting() -> None:
    assert len(frames(DownsamplingCalibration)) == 72
    for values, scene in frames(DownsamplingCalibration):
        alpha, shown = values["alpha"], values["shown"]
        labels, p, area, bins = truth(values["rate"])
        kept_clicked, kept_other = p, alpha * (1 - p)  # of each impression, what stays of its clicks and non-clicks
        q = kept_clicked / (kept_clicked + kept_other) if shown == "as trained" else p
        clicks = int(labels.sum())
        gaps = [abs(q[rows].mean() - labels[rows].mean()) for rows in bins]
        assert scene.numbers == pytest.approx(
            {
                "kept": (clicks + alpha * (20_000 - clicks)) / 20_000,
                "promised": q.mean(),
                "clicked": clicks / 20_000,
                "promised over clicked": q.sum() / clicks,
                "ECE": np.mean(gaps),
                "AUC": area,
            },
            rel=1e-11,
        )
        model = {"as trained": "model as trained", "corrected": "corrected model"}[shown]
        assert scene.says == (
            f"With {alpha:.3g} of the negatives kept, the {model} promises {q.sum() / clicks:.2f} times the clicks "
            f"that come. ECE is {np.mean(gaps):.3f}, AUC {area:.3f}."
        )


def test_bins_and_bars_stand_where_the_axes_say() -> None:
    for values, scene in frames(DownsamplingCalibration):
        labels, p, _, bins = truth(values["rate"])
        q = p / (p + values["alpha"] * (1 - p)) if values["shown"] == "as trained" else p
        reliability, judges = scene.panels
        x, y = axis(reliability, "x", log=True), axis(reliability, "y", log=True)
        for n, rows in enumerate(bins):
            point = marks(reliability)[f"bin/{n}"]
            expected = x(q[rows].mean()), y(labels[rows].mean())
            assert at(point, "cx", "cy") == pytest.approx(expected, abs=PIXEL)
            assert points(marks(reliability)["curve"])[n] == pytest.approx(expected, abs=PIXEL)
        (left, bottom), (right, top) = points(marks(reliability)["kept"])
        assert (right, top) == pytest.approx((x(1), y(1)), abs=PIXEL)
        assert x(0.0015) == pytest.approx(left, abs=2 * PIXEL)  # a little beyond the first tick
        assert y(0.0015) == pytest.approx(bottom, abs=2 * PIXEL)
        x, bars = axis(judges, "x"), marks(judges)
        for name in ("promised", "clicked", "ECE", "AUC"):
            left, width = at(bars[f"{name}/bar"], "x", "width")
            assert (left, width) == pytest.approx((x(0), x(scene.numbers[name]) - x(0)), abs=PIXEL)
        left, width = at(bars["kept/others"], "x", "width")
        assert left == pytest.approx(x(scene.numbers["clicked"]), abs=PIXEL)
        assert left + width == pytest.approx(x(scene.numbers["kept"]), abs=PIXEL)


def test_five_times_the_clicks_are_promised_far_below_one_in_five() -> None:
    found = {
        f.values["alpha"]: f.scene.numbers
        for f in frames(DownsamplingCalibration)
        if f.values["rate"] == 0.1 and f.values["shown"] == "as trained"
    }
    assert DownsamplingCalibration().values["rate"] == 0.1
    assert min(found, key=lambda a: abs(found[a]["promised over clicked"] - 5)) == 0.075
    assert f"{found[0.075]['promised over clicked']:.2f}" == "5.00"
    assert f"{found[0.2]['promised over clicked']:.1f}" == "3.1"


@pytest.mark.parametrize("rate", DownsamplingCalibration.rate.stops)
def test_auc_does_not_notice_and_the_correction_takes_all_back(rate: float) -> None:
    here = [f for f in frames(DownsamplingCalibration) if f.values["rate"] == rate]
    assert len({f.scene.numbers["AUC"] for f in here}) == 1
    full = next(f.scene.numbers for f in here if f.values["alpha"] == 1 and f.values["shown"] == "as trained")
    for frame in here:
        if frame.values["shown"] == "corrected":
            for name in ("promised", "promised over clicked", "ECE"):
                assert frame.scene.numbers[name] == pytest.approx(full[name], rel=1e-9)
    if rate == 0.3:  # more than every impression cannot be promised
        assert max(f.scene.numbers["promised over clicked"] for f in here) < 1 / 0.29
