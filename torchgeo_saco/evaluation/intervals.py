# Copyright (c) torchgeo_saco Contributors. All rights reserved.
# Licensed under the MIT License.

"""Intervals of differences between encoders."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from scipy import stats

_DRAWS = 2000


class Interval(NamedTuple):
    """A difference and its 95 % interval."""

    #: Mean difference over seeds.
    difference: float

    #: Lower end.
    low: float

    #: Upper end.
    high: float


def paired_interval(
    scores: Sequence[np.ndarray],
    reference: Sequence[np.ndarray],
    locations: np.ndarray,
    seed: int = 0,
) -> Interval:
    """Compute the paired difference of mean scores of images, with an interval.

    Both sides have the same seeds and images. The variance over locations is that of a bootstrap
    that draws them with replacement, images of one location together, since they are no
    independent witnesses; that over seeds is of the differences of single seeds. A bootstrap of
    three or five seeds would be far too narrow, so their sum is scaled by Student's t with one
    degree of freedom less than there are seeds. One seed says nothing of others: its interval is
    of locations alone.

    Args:
        scores: Scores of each image, one array (N) for each seed; NaN where there is none.
        reference: Those of the encoder to compare with, of the same seeds and images.
        locations: Number of the location of each image, (N).
        seed: Seed of the draws.

    Returns:
        The interval.

    Raises:
        ValueError: If the arrays do not have the same shapes.

    References:
        Efron and Tibshirani, 1993, An Introduction to the Bootstrap, chapter 6 (standard errors).
    """
    shapes = {array.shape for array in (*scores, *reference, locations)}
    if len(shapes) > 1 or len(scores) != len(reference) or not len(scores):
        raise ValueError(
            f'both encoders need the same seeds and images, got {len(scores)} and '
            f'{len(reference)} seeds and the shapes {sorted(shapes)}'
        )
    differences = np.stack(scores) - np.stack(reference)
    _, places = np.unique(locations, return_inverse=True)
    valid = ~np.isnan(differences)
    sums, counts = (
        np.stack([np.bincount(places, row) for row in part])
        for part in (np.where(valid, differences, 0), valid.astype(float))
    )
    random = np.random.default_rng(seed)
    drawn = random.integers(sums.shape[1], size=(_DRAWS, sums.shape[1]))
    # A draw may hit only locations without a score.
    with np.errstate(invalid='ignore'):
        means = [(sums[:, columns].sum(1) / counts[:, columns].sum(1)).mean() for columns in drawn]
    of_seeds = sums.sum(1) / counts.sum(1)
    variance, count = np.nanvar(means), len(of_seeds)
    quantile = stats.norm.ppf(0.975)
    if count > 1:
        variance += of_seeds.var(ddof=1) / count
        quantile = stats.t.ppf(0.975, count - 1)
    center, half = float(of_seeds.mean()), float(quantile * np.sqrt(variance))
    return Interval(center, center - half, center + half)
