# Copyright (c) torchgeo_saco Contributors. All rights reserved.
# Licensed under the MIT License.

"""Scores of images that carry several labels."""

from collections.abc import Sequence

import torch
from torch import Tensor
from torchmetrics import Metric
from torchmetrics.functional.classification import binary_average_precision, multilabel_f1_score
from torchmetrics.utilities import dim_zero_cat


def multilabel_scores(scores: Tensor, target: Tensor) -> dict[str, Tensor]:
    """Average precision over all labels, over classes, and of each class; F1 of the whole.

    Args:
        scores: Probability of each label, (N, L).
        target: Labels of each image, (N, L), 0 or 1.

    Returns:
        ``OverallAveragePrecision`` (micro mAP) of all N x L pairs in one ranking, NaN without
        any label; ``AveragePrecision``, (L), NaN for a class that no image has;
        ``AverageAveragePrecision`` (macro mAP), the mean of those that are numbers; and
        ``OverallF1Score`` (micro) and ``AverageF1Score`` (macro) at probability 0.5, 0 where
        nothing is true or predicted.

    Raises:
        ValueError: If shapes differ, *scores* are no probabilities, or *target* is not 0 or 1.

    Example:
        >>> scores = torch.tensor([[0.9, 0.2], [0.8, 0.6], [0.1, 0.3]])
        >>> target = torch.tensor([[1, 0], [0, 1], [1, 0]])
        >>> multilabel_scores(scores, target)['AveragePrecision']
        tensor([0.8333, 1.0000])
    """
    _require_pairs(scores, target)
    # A half has too few values to rank with, and the curves of torchmetrics want float32.
    scores, target = scores.float(), target.long()
    by_class = torch.stack(
        [
            _average_precision(column, target)
            for column, target in zip(scores.T, target.T, strict=True)
        ]
    )
    micro, macro = (
        multilabel_f1_score(scores, target, scores.shape[1], average=of, validate_args=False)
        for of in ('micro', 'macro')
    )
    return {
        'OverallAveragePrecision': _average_precision(scores.flatten(), target.flatten()),
        'AverageAveragePrecision': by_class.nanmean(),
        'OverallF1Score': micro,
        'AverageF1Score': macro,
        'AveragePrecision': by_class,
    }


class MultilabelScores(Metric):
    """Scores of :func:`multilabel_scores` over a whole split.

    Probabilities are kept until the end of the epoch: 80 bytes an image of 19 labels on each
    rank, and no bins.
    """

    is_differentiable = False
    higher_is_better = True
    full_state_update = False

    scores: list[Tensor]
    targets: list[Tensor]

    def __init__(self, labels: Sequence[str]) -> None:
        """Initialize a new MultilabelScores instance.

        Args:
            labels: Class names, in the order of the columns.

        Raises:
            ValueError: If there is no label.
        """
        super().__init__()
        if not labels:
            raise ValueError('labels is empty; name at least one class')
        self.labels = tuple(labels)
        self.add_state('scores', [], dist_reduce_fx='cat')
        self.add_state('targets', [], dist_reduce_fx='cat')

    def update(self, scores: Tensor, target: Tensor) -> None:
        """Keep a batch.

        Args:
            scores: Probability of each label, (B, L).
            target: Labels of each image, (B, L), 0 or 1.

        Raises:
            ValueError: As :func:`multilabel_scores`, or if columns and labels differ in number.
        """
        _require_pairs(scores, target)
        if scores.shape[1] != len(self.labels):
            raise ValueError(
                f'scores must have a column for each of the {len(self.labels)} labels, '
                f'got {tuple(scores.shape)}'
            )
        self.scores.append(scores.detach().float())
        self.targets.append(target.to(torch.uint8))

    def compute(self) -> dict[str, Tensor]:
        """Scores, those of single classes as ``AveragePrecision_<label>``."""
        scores = multilabel_scores(dim_zero_cat(self.scores), dim_zero_cat(self.targets))
        by_class = scores.pop('AveragePrecision')
        return scores | {
            f'AveragePrecision_{label}': score
            for label, score in zip(self.labels, by_class, strict=True)
        }


def _average_precision(scores: Tensor, target: Tensor) -> Tensor:
    """Average precision of one ranking, or NaN where nothing is to be found."""
    if not target.any():
        return scores.new_tensor(torch.nan)
    return binary_average_precision(scores, target, validate_args=False)


def _require_pairs(scores: Tensor, target: Tensor) -> None:
    """Refuse what cannot be ranked."""
    if scores.ndim != 2 or scores.shape != target.shape:
        raise ValueError(
            f'scores and target must both be (N, L), got {tuple(scores.shape)} and '
            f'{tuple(target.shape)}'
        )
    # A comparison with NaN is false, so NaN is refused too.
    if not ((scores >= 0) & (scores <= 1)).all():
        raise ValueError(
            f'scores must be probabilities from 0 to 1, got {scores.min():.3g} to '
            f'{scores.max():.3g}; apply a sigmoid to logits'
        )
    if not ((target == 0) | (target == 1)).all():
        raise ValueError(f'target must be 0 or 1, got {target.min()} to {target.max()}')
