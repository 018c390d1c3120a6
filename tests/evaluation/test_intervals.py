# Copyright (c) torchgeo_saco Contributors. All rights reserved.
# Licensed under the MIT License.

"""Tests of intervals of differences between encoders."""

import numpy as np
import pytest
from scipy import stats

from torchgeo_saco.evaluation import paired_interval

RANDOM = np.random.default_rng(0)


def test_interval_of_one_seed_is_that_of_the_mean_over_locations():
    scores = RANDOM.normal(0.1, 1, 400)
    found = paired_interval([scores], [np.zeros(400)], np.arange(400))
    standard = scores.std(ddof=1) / 20
    assert found.difference == pytest.approx(scores.mean())
    wanted = stats.norm.interval(0.95, scores.mean(), standard)
    assert (found.low, found.high) == pytest.approx(wanted, abs=0.1 * standard)


def test_images_of_a_location_are_one_witness():
    by_location = RANDOM.normal(0, 1, 25)
    once = paired_interval([by_location], [np.zeros(25)], np.arange(25))
    often = paired_interval([by_location.repeat(16)], [np.zeros(400)], np.arange(25).repeat(16))
    assert often == pytest.approx(once)


def test_interval_of_seeds_alone_is_that_of_the_t_test():
    # Seeds differ, locations do not.
    shifts = [-1.0, 0.0, 1.0, 2.0]
    scores = [np.full(50, shift) for shift in shifts]
    found = paired_interval(scores, [np.zeros(50)] * 4, np.arange(50))
    wanted = stats.ttest_1samp(shifts, 0).confidence_interval(0.95)
    assert (found.low, found.high) == pytest.approx((wanted.low, wanted.high))


@pytest.mark.slow
@pytest.mark.parametrize('seeds', [3, 5])
def test_the_interval_covers_the_truth_as_often_as_it_says(seeds):
    random = np.random.default_rng(seeds)
    covered = []
    for _ in range(150):
        shifts = random.normal(0.5, 0.2, seeds)
        locations = random.normal(0, 0.5, 30)
        scores = [shift + locations + random.normal(0, 0.3, 30) for shift in shifts]
        found = paired_interval(scores, [np.zeros(30)] * seeds, np.arange(30))
        covered.append(found.low <= 0.5 <= found.high)
    assert np.mean(covered) > 0.92


def test_pairs_cancel_what_both_share():
    shared = [RANDOM.normal(0, 5, 60) for _ in range(3)]
    found = paired_interval([array + 0.25 for array in shared], shared, np.arange(60))
    assert (found.difference, found.low, found.high) == pytest.approx((0.25,) * 3)


def test_images_without_a_score_do_not_count():
    scores = np.array([1.0, np.nan, 0.0, 0.5])
    found = paired_interval([scores], [np.zeros(4)], np.arange(4))
    assert found.difference == pytest.approx(0.5)


def test_other_images_or_seeds_are_refused():
    with pytest.raises(ValueError, match='both encoders need the same seeds and images, got 2 an'):
        paired_interval([np.zeros(3)] * 2, [np.zeros(3)], np.arange(3))
