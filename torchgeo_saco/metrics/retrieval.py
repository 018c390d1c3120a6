# Copyright (c) torchgeo_saco Contributors. All rights reserved.
# Licensed under the MIT License.

"""Retrieval of one modality by another."""

from typing import Any

import torch
from torch import Tensor
from torchmetrics import Metric

from ..losses import l2_normalize

# Cosines that are held at once: 32 MiB.
_PAIRS = 2**22

_TOP = (1, 5, 10)


def retrieval_ranks(query: Tensor, target: Tensor) -> Tensor:
    """Rank of the target of every query among all targets by cosine, from 1.

    Of equal cosines the mean rank; the last one where the cosine is NaN.

    Args:
        query: Features, (N, D).
        target: Features of which the one in the same row is right, (N, D).

    Returns:
        Ranks, (N), float64.
    """
    query, target = l2_normalize(query), l2_normalize(target)
    ranks = []
    for rows in torch.arange(len(query), device=query.device).split(
        max(1, _PAIRS // max(1, len(target)))
    ):
        cosines = query[rows] @ target.T
        right = cosines.gather(1, rows[:, None])
        better, equal = (cosines > right).sum(1), (cosines == right).sum(1)
        found = better + (equal + 1) / 2
        # What is no number finds nothing.
        ranks.append(torch.where(right[:, 0].isnan(), len(target), found))
    return torch.cat(ranks).double()


class RetrievalScores(Metric):
    """How well either of two modalities finds the other at its own location.

    Median rank, and the shares of queries whose target is among the first 1, 5 and 10, both ways.

    References:
        Windsor et al., 2021, https://arxiv.org/abs/2107.06652
    """

    full_state_update = False

    def __init__(self, first: str, second: str, **kwargs: Any) -> None:
        """Initialize a new RetrievalScores instance.

        Args:
            first: Name of the first modality.
            second: Name of the second modality.
            **kwargs: See :class:`torchmetrics.Metric`.
        """
        super().__init__(**kwargs)
        self.names = first, second
        self.add_state('features', default=[], dist_reduce_fx='cat')
        self.features: list[Tensor]

    def update(self, first: Tensor, second: Tensor) -> None:
        """Add pairs of features.

        Args:
            first: Features of the first modality, (B, D).
            second: Features of the second modality, (B, D).
        """
        self.features.append(torch.stack([first, second], dim=1))

    def compute(self) -> dict[str, Tensor]:
        """Compute the scores.

        Returns:
            ``<first>_to_<second>_median_rank``, ``..._top1``, ``..._top5``, ``..._top10``, and the
            same of ``<second>_to_<first>``.
        """
        found: Any = self.features
        pairs = torch.cat(found) if isinstance(found, list) else found
        scores = {}
        for query in (0, 1):
            ranks = retrieval_ranks(pairs[:, query], pairs[:, 1 - query])
            name = f'{self.names[query]}_to_{self.names[1 - query]}'
            scores[f'{name}_median_rank'] = ranks.median()
            scores |= {f'{name}_top{k}': (ranks <= k).double().mean() for k in _TOP}
        return {name: score.float() for name, score in scores.items()}
