# Copyright (c) torchgeo_saco Contributors. All rights reserved.
# Licensed under the MIT License.

"""Scores of a whole data set, from its confusion matrix.

Nothing is averaged over batches, images or scenes: counts are summed first, and divided once.
"""

from collections.abc import Callable, Sequence
from typing import Literal

import torch
from torch import Tensor
from torchmetrics.classification import MulticlassConfusionMatrix

Protocol = Literal['classification', 'segmentation', 'pastis', 'change']

# torchgeo.datasets.PASTIS.classes
_PASTIS_CLASSES = 20
_PASTIS_BACKGROUND = 0
_PASTIS_VOID = 19


def accuracy_scores(matrix: Tensor) -> dict[str, Tensor]:
    """Accuracy over all samples, over classes, and of each class.

    Args:
        matrix: Counts, (C, C), rows target, columns prediction.

    Returns:
        ``OverallAccuracy``, the share of right predictions; ``Accuracy``, (C), the same by class
        of the target (its recall), NaN for a class that the target lacks; and
        ``AverageAccuracy``, the mean of those that are numbers. All NaN without samples.

    Raises:
        ValueError: If *matrix* is not square.

    Example:
        >>> scores = accuracy_scores(torch.tensor([[3, 1, 0], [2, 2, 0], [0, 0, 0]]))
        >>> scores['OverallAccuracy'], scores['Accuracy']
        (tensor(0.6250), tensor([0.7500, 0.5000,    nan]))
    """
    _require_square(matrix)
    recall = matrix.diagonal() / matrix.sum(1)
    return {
        'OverallAccuracy': matrix.trace() / matrix.sum(),
        'AverageAccuracy': recall.nanmean(),
        'Accuracy': recall,
    }


def jaccard_scores(matrix: Tensor) -> dict[str, Tensor]:
    """Accuracy over all pixels, and intersection over union (IoU) of classes.

    Args:
        matrix: Counts, (C, C), rows target, columns prediction.

    Returns:
        ``OverallAccuracy``, the share of right pixels; ``JaccardIndex``, (C), the IoU of each
        class, NaN for one that neither target nor prediction has; and ``AverageJaccardIndex``
        (mIoU), the mean of those that are numbers. All NaN without pixels.

    Raises:
        ValueError: If *matrix* is not square.

    Example:
        >>> jaccard_scores(torch.tensor([[3, 1], [2, 2]]))['JaccardIndex']
        tensor([0.5000, 0.4000])
    """
    _require_square(matrix)
    right = matrix.diagonal()
    index = right / (matrix.sum(0) + matrix.sum(1) - right)
    return {
        'OverallAccuracy': matrix.trace() / matrix.sum(),
        'AverageJaccardIndex': index.nanmean(),
        'JaccardIndex': index,
    }


def pastis_scores(matrix: Tensor) -> dict[str, Tensor]:
    """Scores of PASTIS in both conventions that are in use.

    SACo's counts the pixels of the 18 crops alone: whatever is predicted where the target is
    background or void is ignored, and background or void predicted in a field is wrong. U-TAE's
    drops row and column of void alone; background is a class like another.

    Args:
        matrix: Counts, (20, 20), rows target, columns prediction, background first, void last.

    Returns:
        ``OverallAccuracy``, ``AverageJaccardIndex`` and ``JaccardIndex`` as
        :func:`jaccard_scores`, of SACo's convention; and with suffix ``_UTAE`` of the other. The
        IoU by class are (20), NaN where the convention ignores the class.

    Raises:
        ValueError: If *matrix* is not (20, 20).

    References:
        SACo+, 2025, https://doi.org/10.1016/j.isprsjprs.2025.02.024. Garnot and Landrieu, 2021,
        https://arxiv.org/abs/2107.07933, section 4.2.
    """
    if tuple(matrix.shape) != (_PASTIS_CLASSES, _PASTIS_CLASSES):
        raise ValueError(
            f'a confusion matrix of PASTIS is ({_PASTIS_CLASSES}, {_PASTIS_CLASSES}), void and '
            f'background included, got {tuple(matrix.shape)}'
        )
    crops = _without_truth(matrix, _PASTIS_BACKGROUND, _PASTIS_VOID)
    known = matrix.clone()
    known[:, _PASTIS_VOID] = 0
    scores = _without_truth(known, _PASTIS_VOID)
    return crops | {f'{name}_UTAE': score for name, score in scores.items()}


def change_scores(matrix: Tensor) -> dict[str, Tensor]:
    """Precision, recall and F1 of changed pixels.

    A score of 0/0 is 1 if nothing changed and no change was predicted, for every pixel is
    right then, and 0 otherwise: precision is 0 where changes are missed and none is predicted.

    Args:
        matrix: Counts, (2, 2), rows target, columns prediction, unchanged first.

    Returns:
        ``F1Score``, ``Precision`` and ``Recall``. All NaN without pixels.

    Raises:
        ValueError: If *matrix* is not (2, 2).

    Example:
        >>> scores = change_scores(torch.tensor([[90, 2], [4, 4]]))
        >>> scores['Precision'], scores['Recall']
        (tensor(0.6667), tensor(0.5000))
    """
    if tuple(matrix.shape) != (2, 2):
        raise ValueError(
            f'a confusion matrix of changes is (2, 2), unchanged first, got {tuple(matrix.shape)}'
        )
    right = matrix[1, 1]
    predicted, true = matrix[:, 1].sum(), matrix[1].sum()
    trivial = torch.where(matrix.sum() > 0, (predicted + true == 0).float(), torch.nan)
    ratios = {
        'F1Score': (2 * right, predicted + true),
        'Precision': (right, predicted),
        'Recall': (right, true),
    }
    return {
        name: torch.where(below > 0, above / below, trivial)
        for name, (above, below) in ratios.items()
    }


_SCORES: dict[str, Callable[[Tensor], dict[str, Tensor]]] = {
    'classification': accuracy_scores,
    'segmentation': jaccard_scores,
    'pastis': pastis_scores,
    'change': change_scores,
}


class ConfusionScores(MulticlassConfusionMatrix):
    """Scores of a benchmark's protocol over a whole split.

    The state is one confusion matrix, summed over batches and ranks. As a part of a
    :class:`~torchmetrics.MetricCollection` it takes the prefix of the collection.
    """

    def __init__(
        self, labels: Sequence[str], protocol: Protocol = 'classification', ignore_index: int = -1
    ) -> None:
        """Initialize a new ConfusionScores instance.

        Args:
            labels: Class names, in the order of the class numbers.
            protocol: Which scores: 'classification' those of :func:`accuracy_scores`,
                'segmentation' of :func:`jaccard_scores`, 'pastis' of :func:`pastis_scores`,
                'change' of :func:`change_scores`.
            ignore_index: Truth of samples or pixels that do not count.

        Raises:
            ValueError: If *protocol* is unknown, or has another number of classes.
        """
        if protocol not in _SCORES:
            raise ValueError(f'unknown protocol {protocol!r}; choose one of {", ".join(_SCORES)}')
        super().__init__(len(labels), ignore_index, validate_args=False)
        self.labels = tuple(labels)
        self.protocol = protocol
        # A wrong number of labels is better known now than after an epoch.
        _SCORES[protocol](self.confmat)

    @property
    def matrix(self) -> Tensor:
        """Counts of the epoch so far, (C, C), rows target; on several ranks all must ask."""
        merged = self._is_synced
        with self.sync_context(self.dist_sync_fn, should_sync=not merged, should_unsync=not merged):
            return self.confmat.clone()

    def update(self, preds: Tensor, target: Tensor) -> None:
        """Count a batch.

        Args:
            preds: Class numbers, (B, ...), or logits, (B, C, ...).
            target: Class numbers, (B, ...), *ignore_index* where there is none.

        Raises:
            ValueError: If shapes do not fit, or a class number is out of range.
        """
        classes = len(self.labels)
        if preds.is_floating_point():
            if preds.ndim < 2 or preds.shape[1] != classes:
                raise ValueError(
                    f'logits must be (B, {classes}, ...), one channel a class, '
                    f'got {tuple(preds.shape)}'
                )
            preds = preds.argmax(1)
        if preds.shape != target.shape:
            raise ValueError(
                f'predictions {tuple(preds.shape)} and target {tuple(target.shape)} differ in '
                'shape; bring them to the same size'
            )
        _require_classes('target', target[target != self.ignore_index], classes)
        _require_classes('prediction', preds, classes)
        super().update(preds, target)

    def compute(self) -> dict[str, Tensor]:  # type: ignore[override]
        """Scores, those of single classes under their names.

        Returns:
            Numbers such as ``OverallAccuracy`` and ``Accuracy_Forest``, in the names of the
            protocol; NaN for classes without samples. Classes that PASTIS ignores are skipped.
        """
        scores: dict[str, Tensor] = {}
        for name, score in _SCORES[self.protocol](self.confmat).items():
            if score.ndim == 0:
                scores[name] = score
                continue
            for number, label in enumerate(self.labels):
                if number not in self._unscored_classes(name):
                    scores[f'{name}_{label}'] = score[number]
        return scores

    def _unscored_classes(self, name: str) -> tuple[int, ...]:
        """Classes that never have that score."""
        if self.protocol != 'pastis':
            return ()
        void = (_PASTIS_VOID,)
        return void if name.endswith('_UTAE') else (_PASTIS_BACKGROUND, *void)


def _without_truth(matrix: Tensor, *ignored: int) -> dict[str, Tensor]:
    """Score the pixels whose target is none of these classes, which are no class themselves."""
    matrix = matrix.clone()
    matrix[list(ignored)] = 0
    index = jaccard_scores(matrix)['JaccardIndex'].clone()
    index[list(ignored)] = torch.nan
    return {
        'OverallAccuracy': matrix.trace() / matrix.sum(),
        'AverageJaccardIndex': index.nanmean(),
        'JaccardIndex': index,
    }


def _require_square(matrix: Tensor) -> None:
    """Refuse what is no confusion matrix."""
    if matrix.ndim != 2 or matrix.shape[0] != matrix.shape[1]:
        raise ValueError(f'a confusion matrix is (C, C), got {tuple(matrix.shape)}')


def _require_classes(what: str, numbers: Tensor, classes: int) -> None:
    """Refuse class numbers that no class has."""
    if not numbers.numel():
        return
    low, high = (int(number) for number in numbers.aminmax())
    if low < 0 or high >= classes:
        raise ValueError(
            f'the {what} holds class {low if low < 0 else high}, but there are {classes} '
            f'classes, 0 to {classes - 1}; give every class a label, and -1 to pixels without one'
        )
