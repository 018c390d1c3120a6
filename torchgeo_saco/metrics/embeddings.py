# Copyright (c) torchgeo_saco Contributors. All rights reserved.
# Licensed under the MIT License.

"""Measures of an embedding that need no labels."""

import torch
from torch import Tensor

from ..losses import l2_normalize

# Cosines that are held at once: 32 MiB.
_PAIRS = 2**22


def feature_std(features: Tensor) -> Tensor:
    """Mean standard deviation of features scaled to length one, times the root of their number.

    1 where features spread evenly over the sphere, 0 where all are equal (collapse).

    Args:
        features: Features, (N, D).

    Returns:
        A number.

    References:
        Chen and He, 2021, https://arxiv.org/abs/2011.10566, section 4.1.
    """
    return l2_normalize(features).std(0).mean() * features.shape[1] ** 0.5


def alignment(first: Tensor, second: Tensor) -> Tensor:
    """Mean squared distance of positive pairs on the sphere; 0 is best.

    Args:
        first: Features, (N, D).
        second: Their positives, (N, D).

    Returns:
        A number from 0 to 4.

    References:
        Wang and Isola, 2020, https://arxiv.org/abs/2005.10242, equation 1 with exponent 2.
    """
    return (l2_normalize(first) - l2_normalize(second)).square().sum(1).mean()


def uniformity(features: Tensor) -> Tensor:
    """Logarithm of the mean Gaussian potential of all pairs on the sphere; lower is better.

    Args:
        features: Features, (N, D), N at least 2.

    Returns:
        A number from -8, of two opposite points, to 0 (collapse).

    References:
        Wang and Isola, 2020, https://arxiv.org/abs/2005.10242, equation 2 with scale 2.
    """
    return torch.pdist(l2_normalize(features)).square().mul(-2).exp().mean().log()


def effective_rank(features: Tensor) -> Tensor:
    """Exponential of the entropy of the singular values: dimensions that are in use.

    Args:
        features: Features, (N, D).

    Returns:
        A number from 1 to the smaller of N and D.

    References:
        Garrido et al., 2023, https://arxiv.org/abs/2210.02885, equation 1 (RankMe).
    """
    values = torch.linalg.svdvals(features.float())
    shares = values / values.sum().clamp_min(torch.finfo(values.dtype).tiny)
    return torch.special.entr(shares).sum().exp()


def same_location_auc(features: Tensor, locations: Tensor) -> Tensor:
    """Compute how often another date of an image's location is closer than one of another.

    For every image, the share of the pairs of an image of its own location and one of another in
    which the former has the larger cosine; ties count half. 0.5 is chance.

    Args:
        features: Features, (N, D).
        locations: Number of the location of each, (N).

    Returns:
        Shares, (N), float64; NaN where a location has one image, or there is no other location.
    """
    if len(locations.unique()) == len(locations):
        return torch.full((len(features),), torch.nan, dtype=torch.float64)
    features = l2_normalize(features.double())
    numbers = torch.arange(len(features), device=features.device)
    found = []
    # Some rows of all pairs at a time.
    for block in numbers.split(max(1, _PAIRS // len(features))):
        own = block[:, None] == numbers
        same = locations[block, None] == locations
        # Ranks from 1 among all but the image itself, of equal ones their mean.
        cosine = (features[block] @ features.T).masked_fill(own, -torch.inf)
        ordered = cosine.sort(dim=1).values
        less = torch.searchsorted(ordered, cosine)
        most = torch.searchsorted(ordered, cosine, right=True)
        # The image itself is below all others.
        ranks = (less + most + 1).double() / 2 - 1
        positive = same & ~own
        count, others = positive.sum(1), (~same).sum(1)
        wins = (ranks * positive).sum(1) - count * (count + 1) / 2
        found.append(wins / (count * others))
    return torch.cat(found)


def embedding_measures(query: Tensor, key: Tensor) -> dict[str, Tensor]:
    """Compute all measures of an embedding.

    Args:
        query: Features, (N, D).
        key: Their positives, (N, D).

    Returns:
        Numbers by name: ``feature_std``, ``alignment``, ``uniformity`` and ``effective_rank``.
    """
    return {
        'feature_std': feature_std(query),
        'alignment': alignment(query, key),
        'uniformity': uniformity(query),
        'effective_rank': effective_rank(query),
    }
