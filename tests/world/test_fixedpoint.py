from __future__ import annotations

from decimal import Decimal, getcontext

import numpy as np
import pytest

from rectutor.world import fixedpoint as fp
from rectutor.world.fixedpoint import Draws


def test_sigmoid_table_agrees_with_exact_decimals_and_stays_clear_of_rounding_edges() -> None:
    getcontext().prec = 40
    logits = np.arange(-fp.LOGIT_LIMIT, fp.LOGIT_LIMIT + 1)
    exact = [Decimal(2**24) / (1 + (Decimal(-x) / 256).exp()) for x in logits.tolist()]
    assert [int(e.to_integral_value()) for e in exact] == fp.sigmoid24(logits).tolist()
    # A libm would have to err by 1e-6 of a table step, thousands of its last bits, to move an entry.
    assert min(abs(e % 1 - Decimal("0.5")) for e in exact) > Decimal("1e-6")


def test_sigmoid_is_held_at_the_limit() -> None:
    far, edge = fp.sigmoid24(np.array([-99_999, 99_999])), fp.sigmoid24(np.array([-fp.LOGIT_LIMIT, fp.LOGIT_LIMIT]))
    assert (far == edge).all()


def test_probabilities_are_exact_in_float32() -> None:
    p24 = np.arange(0, 2**24 + 1, 997)
    assert (fp.as_probability(p24).astype(np.float64) * 2**24 == p24).all()


def test_powers_agree_with_exact_decimals() -> None:
    getcontext().prec = 40
    for base, exponent in [(40, 0), (40, 256), (40, -256), (90, 300), (90, -777), (1, 10), (120, 2_000), (3, -3_000)]:
        exact = Decimal(base) * Decimal(2) ** (Decimal(exponent) / 256)
        found = int(fp.scale_by_power(np.array([base]), np.array([exponent]))[0])
        assert abs(found - exact) <= max(Decimal("0.51"), exact / 10_000) or found == 1 > exact


def test_table_of_powers_stays_clear_of_rounding_edges() -> None:
    getcontext().prec = 40
    exact = [Decimal(2) ** (Decimal(i) / 256) * 2**16 for i in range(256)]
    assert [int(e.to_integral_value()) for e in exact] == fp._POWERS.tolist()
    assert min(abs(e % 1 - Decimal("0.5")) for e in exact) > Decimal("1e-4")


def test_bit_length_is_pythons() -> None:
    x = np.array([0, 1, 2, 3, 4, 7, 8, 1023, 1024, 2**40 - 1, 2**40])
    assert fp.bit_length(x).tolist() == [int(v).bit_length() for v in x]


def test_the_stream_is_the_documented_one() -> None:
    # PCG64 under SeedSequence([7, 1]): fixed by NumPy's stream guarantee.
    assert Draws(7, 1).raw(3).tolist() == [14206593023844375757, 2064693230803885548, 3488237491050697490]


def test_streams_with_different_keys_differ() -> None:
    assert (Draws(0, 1).raw(100) != Draws(0, 2).raw(100)).all()
    assert (Draws(0, 1).raw(100) != Draws(1, 1).raw(100)).all()


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_draws_have_the_distributions_they_claim(seed: int) -> None:
    n = 200_000
    draws = Draws(seed)
    normal = draws.normal(n, 1_000)
    assert abs(normal.mean()) < 5 * 1_000 / np.sqrt(n)
    assert normal.std() == pytest.approx(1_000, rel=0.01)
    assert (np.abs(normal) < 1_000).mean() == pytest.approx(0.683, abs=0.01)  # of a normal: 0.6827
    counts = np.bincount(draws.below(7, n), minlength=7)
    assert ((counts - n / 7) ** 2 / (n / 7)).sum() < 25  # chi-square, 6 degrees of freedom: p = 0.0003
    bounds = np.tile([1, 2, 1000], n // 3)
    assert (draws.below(bounds, len(bounds)) < bounds).all()
    weights = np.array([5, 0, 3, 2])
    expected = n * weights / 10
    counts = np.bincount(draws.weighted(weights, n), minlength=4)
    assert counts[1] == 0
    assert ((counts - expected)[expected > 0] ** 2 / expected[expected > 0]).sum() < 20  # 2 degrees: p = 0.00005
    for p in (0.001, 0.3, 0.999):
        hits = draws.hits(np.full(n, round(p * 2**24)))
        assert abs(hits.mean() - p) < 5 * np.sqrt(p * (1 - p) / n)


def test_certain_and_impossible_hits() -> None:
    assert Draws(0).hits(np.full(1_000, 2**24)).all()
    assert not Draws(0).hits(np.zeros(1_000, dtype=np.int64)).any()


def test_cosine_by_hand() -> None:
    assert fp.cosine(np.array([3, 4]), np.array([4, 3])) == pytest.approx(24 / 25)
    assert fp.unit_rows(np.array([[3, 4]])).tolist() == [[np.float32(0.6), np.float32(0.8)]]
