# Copyright (c) torchgeo_saco Contributors. All rights reserved.
# Licensed under the MIT License.

"""Embeddings in few bytes, for a search in the browser."""

from typing import NamedTuple

import numpy as np

from ..runtime.checks import check_range

#: Queries, and embeddings, that the fidelity is measured on at most.
_QUERIES, _OTHERS = 64, 20_000


class Fidelity(NamedTuple):
    """How well similarities of reduced embeddings agree with those of the full ones."""

    #: Rank correlation of the similarities to one query, the mean over queries.
    rank_correlation: float

    #: Share of the 1 % most similar that are found, the mean over queries.
    found: float

    #: Largest difference of two similarities.
    error: float


class ReducedEmbeddings(NamedTuple):
    """Embeddings of length one as few numbers of 8 bits.

    With the mean m, embeddings m + x and m + y have the cosine m.m + m.x + m.y + x.y. The first
    three are kept; x.y is taken in the first principal components. So nothing is lost of what
    all embeddings share, which is most of a cosine.
    """

    #: Scores, (N, K), int8; times *scale*, the principal components.
    scores: np.ndarray

    #: Size of a step of each component, (K), float32.
    scale: np.ndarray

    #: m.m / 2 + m.x of each, (N), float32.
    common: np.ndarray

    #: Share of the variance that is kept.
    explained: float

    def similarity(self, row: int) -> np.ndarray:
        """Cosine similarity of all to one, as the page computes it.

        Args:
            row: Position of that one.

        Returns:
            Similarities, (N), float32.
        """
        wanted = self.scores[row] * self.scale**2
        return np.asarray(self.common + self.common[row] + self.scores @ wanted, 'float32')


def reduced(values: np.ndarray, count: int = 32) -> ReducedEmbeddings:
    """Reduce embeddings.

    Args:
        values: Embeddings of length one, (N, D).
        count: Principal components to keep; all if there are not as many.

    Returns:
        Reduced embeddings.

    Raises:
        ValueError: If *count* is below 1.
    """
    check_range('components', count, 'int [1, inf)')
    mean = values.mean(0, dtype='float64').astype('float32')
    apart = values - mean
    variances, directions = np.linalg.eigh((apart.T @ apart).astype('float64'))
    kept = slice(None, -count - 1, -1)
    scores = apart @ directions[:, kept].astype('float32')
    scale = np.maximum(np.abs(scores).max(0), 1e-12) / 127
    return ReducedEmbeddings(
        np.rint(scores / scale).astype('int8'),
        scale.astype('float32'),
        (mean @ mean / 2 + apart @ mean).astype('float32'),
        float(variances[kept].sum() / max(variances.sum(), 1e-300)),
    )


def fidelity(values: np.ndarray, reduction: ReducedEmbeddings, seed: int = 0) -> Fidelity:
    """Compare similarities of reduced embeddings with those of the full ones.

    Args:
        values: Embeddings of length one, (N, D).
        reduction: The same, reduced.
        seed: Seed of the queries, 64, and of 20,000 embeddings that they are compared with.

    Returns:
        How well they agree.
    """
    random = np.random.default_rng(seed)
    queries = random.permutation(len(values))[:_QUERIES]
    others = random.permutation(len(values))[:_OTHERS]
    best = max(1, len(others) // 100)
    ranks, shares, errors = [], [], []
    for query in queries:
        full = values[others] @ values[query]
        few = reduction.similarity(int(query))[others]
        errors.append(np.abs(full - few).max())
        orders = [np.argsort(each, kind='stable') for each in (full, few)]
        shares.append(np.isin(orders[0][-best:], orders[1][-best:]).mean())
        if len(others) > 1:
            ranks.append(np.corrcoef(np.stack([np.argsort(order) for order in orders]))[0, 1])
    return Fidelity(float(np.mean(ranks or [1.0])), float(np.mean(shares)), float(np.max(errors)))
