# Copyright (c) torchgeo_saco Contributors. All rights reserved.
# Licensed under the MIT License.

"""Intervals of differences between encoders."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

_DRAWS = 2000


class Interval(NamedTuple):
    """A difference, and the middle 95 % of those of the bootstrap."""

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
    """Compute the paired difference of mean scores of images, with a bootstrap interval.

    Seeds and locations are drawn with replacement, both sides from the same draw; images of one
    location stay together, since they are no independent witnesses.

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
        Efron and Tibshirani, 1993, An Introduction to the Bootstrap, chapter 13 (percentiles).
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
    seeds = random.integers(len(sums), size=(_DRAWS, len(sums)))
    places_drawn = random.integers(sums.shape[1], size=(_DRAWS, sums.shape[1]))
    # A draw may hit only locations without a score.
    with np.errstate(invalid='ignore'):
        draws = [
            (sums[rows][:, columns].sum(1) / counts[rows][:, columns].sum(1)).mean()
            for rows, columns in zip(seeds, places_drawn, strict=True)
        ]
    low, high = np.nanquantile(draws, (0.025, 0.975))
    return Interval(float((sums.sum(1) / counts.sum(1)).mean()), float(low), float(high))
