# Copyright (c) torchgeo_saco Contributors. All rights reserved.
# Licensed under the MIT License.

"""kNN and linear-probe evaluation of frozen features."""

import copy
import warnings
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression
from sklearn.preprocessing import StandardScaler
from torch import Tensor
from torch.nn.functional import one_hot
from torchmetrics.functional.classification import multiclass_confusion_matrix

from ..losses import l2_normalize
from . import accuracy_scores, multilabel_scores

# Similarities that are held at once: 256 MiB in float32.
_PAIRS = 2**26

_MAX_ITERATIONS = 1000

# What the strength of a linear probe is chosen by.
_MULTICLASS = ('OverallAccuracy',)
_MULTILABEL = ('AverageAveragePrecision', 'OverallF1Score')


class LinearProbe(NamedTuple):
    """Scores of a linear classifier."""

    #: Scores of the test split, as :func:`knn_scores` names them.
    scores: dict[str, Tensor]

    #: Inverse strength of the regularization that was best on the validation split.
    C: float

    #: Class of each image of the test split, (M), or None where images carry several labels.
    predicted: Tensor | None


def knn_scores(
    train_features: Tensor,
    train_labels: Tensor,
    test_features: Tensor,
    test_labels: Tensor,
    k: int = 5,
) -> dict[str, Tensor]:
    """Scores of a vote among the *k* training images of the largest cosine.

    The majority decides. Of classes with equal votes, the one whose neighbours are nearer wins,
    then the one of the lower number.

    Args:
        train_features: Features to search, (N, D).
        train_labels: Class of each, (N), or its labels, (N, L), 0 or 1.
        test_features: Features to classify, (M, D), on the device of the others.
        test_labels: Truth, (M) or (M, L).
        k: Number of neighbours.

    Returns:
        Scores of :func:`~torchgeo_saco.metrics.accuracy_scores`, or of
        :func:`~torchgeo_saco.metrics.multilabel_scores` where images carry several labels; the
        probability of a label is the share of the neighbours that carry it.

    Raises:
        ValueError: If shapes do not fit, features are not finite, or there are fewer than *k*
            images to search.
    """
    return knn_probe(train_features, train_labels, test_features, test_labels, k)[0]


def knn_probe(
    train_features: Tensor,
    train_labels: Tensor,
    test_features: Tensor,
    test_labels: Tensor,
    k: int = 5,
) -> tuple[dict[str, Tensor], Tensor | None]:
    """Scores of :func:`knn_scores`, and the class that each image was given.

    Args:
        train_features: See :func:`knn_scores`.
        train_labels: See :func:`knn_scores`.
        test_features: See :func:`knn_scores`.
        test_labels: See :func:`knn_scores`.
        k: See :func:`knn_scores`.

    Returns:
        Scores; and classes, (M), on the CPU, or None where images carry several labels.

    Raises:
        ValueError: See :func:`knn_scores`.
    """
    _require_split('train', train_features, train_labels)
    _require_split('test', test_features, test_labels, train_features, train_labels)
    if not 1 <= k <= len(train_features):
        raise ValueError(f'k must be from 1 to the {len(train_features)} training images, got {k}')
    classes = _class_count(train_labels, test_labels)
    votes = train_labels if classes is None else one_hot(train_labels.long(), classes)
    blocks = _neighbourhoods(train_features, test_features, votes.to(train_features.device), k)
    shares, nearness = (torch.cat(parts).cpu() for parts in zip(*blocks, strict=True))
    if classes is None:
        return multilabel_scores(shares, test_labels.cpu()), None
    # Nearness adds up to at most 1 over all classes; a vote is worth 1/k.
    predicted = (shares + nearness / (2 * k)).argmax(1)
    return _accuracies(predicted, test_labels.cpu(), classes), predicted


def linear_probe(
    train_features: Tensor,
    train_labels: Tensor,
    val_features: Tensor,
    val_labels: Tensor,
    test_features: Tensor,
    test_labels: Tensor,
    strengths: Sequence[float] = (1e-4, 1e-3, 1e-2, 1e-1, 1.0, 10.0),
) -> LinearProbe:
    """Scores of logistic regression, solved by L-BFGS on standardized features.

    The strength of the regularization is chosen on the validation split, by overall accuracy; or
    where images carry several labels, by mean average precision of the classes, then by F1, for
    a ranking may be perfect long before its probabilities pass 0.5. Of equals, the strongest is
    taken. The test split is seen once, by the model that was chosen. Several labels are so many
    binary regressions; a label that all or none of the training images carry is constant.

    Args:
        train_features: Features to train on, (N, D).
        train_labels: Class of each, (N), or its labels, (N, L), 0 or 1.
        val_features: Features to choose on, (V, D).
        val_labels: Their target.
        test_features: Features to report on, (M, D).
        test_labels: Their target.
        strengths: Inverse strengths of regularization to try, ascending.

    Returns:
        Scores of the test split and the inverse strength chosen.

    Raises:
        ValueError: If shapes do not fit, features are not finite, there are no *strengths*, or
            the training images are all of one class.
    """
    _require_split('train', train_features, train_labels)
    _require_split('val', val_features, val_labels, train_features, train_labels)
    _require_split('test', test_features, test_labels, train_features, train_labels)
    if not strengths or list(strengths) != sorted(strengths) or strengths[0] <= 0:
        raise ValueError(f'strengths must be positive and ascending, got {tuple(strengths)}')
    classes = _class_count(train_labels, val_labels, test_labels)
    if classes is not None and len(train_labels.unique()) < 2:
        raise ValueError(
            f'all {len(train_labels)} training images are of class {int(train_labels[0])}; a '
            'linear probe needs images of two classes'
        )
    scaler = StandardScaler().fit(_array(train_features))
    train, val, test = (
        scaler.transform(_array(features))
        for features in (train_features, val_features, test_features)
    )
    models: list[_Linear] = []
    for strength in strengths:
        models.append(_Linear(train, train_labels, strength, classes, models[-1:]))
    best = max(models, key=lambda model: model.rank(val, val_labels))
    if not best.converged:
        warnings.warn(
            f'the linear probe with C={best.strength:g} had not converged after '
            f'{_MAX_ITERATIONS} steps; its scores may be too low',
            stacklevel=2,
        )
    return LinearProbe(best.scores(test, test_labels), best.strength, best.predict(test))


class _Linear:
    """Logistic regressions of one strength."""

    def __init__(
        self,
        features: np.ndarray,
        labels: Tensor,
        strength: float,
        classes: int | None,
        weaker: Sequence['_Linear'] = (),
    ) -> None:
        """Fit to standardized features, starting from where a *weaker* one ended.

        *classes* is None for several labels an image.
        """
        self.strength = strength
        self.classes = classes
        columns = labels.cpu().numpy()
        columns = columns[:, None] if classes is not None else columns
        starts = weaker[0].models if weaker else [None] * columns.shape[1]
        self.models: list[Any] = [
            self._fit_label(features, column, start)
            for column, start in zip(columns.T, starts, strict=True)
        ]
        self.converged = all(
            isinstance(model, float) or model.n_iter_.max() < _MAX_ITERATIONS
            for model in self.models
        )

    def scores(self, features: np.ndarray, labels: Tensor) -> dict[str, Tensor]:
        """Scores of other features."""
        predicted = self.predict(features)
        if predicted is not None and self.classes is not None:
            return _accuracies(predicted, labels.cpu(), self.classes)
        columns = [
            np.full(len(features), model)
            if isinstance(model, float)
            else model.predict_proba(features)[:, 1]
            for model in self.models
        ]
        return multilabel_scores(torch.from_numpy(np.stack(columns, 1)), labels.cpu())

    def predict(self, features: np.ndarray) -> Tensor | None:
        """Class of other features; None for several labels an image."""
        if self.classes is None:
            return None
        return torch.from_numpy(self.models[0].predict(features))

    def rank(self, features: np.ndarray, labels: Tensor) -> list[float]:
        """How good the scores of other features are, best criterion first."""
        scores = self.scores(features, labels)
        names = _MULTILABEL if self.classes is None else _MULTICLASS
        # Rounded, so that the last bit of a sum in float32 does not decide.
        return [round(float(scores[name].nan_to_num(-1)), 6) for name in names]

    def _fit_label(self, features: np.ndarray, labels: np.ndarray, start: Any) -> Any:
        """A regression, or the label itself where all are equal."""
        if (labels == labels[0]).all():
            return float(labels[0])
        start = start or LogisticRegression(max_iter=_MAX_ITERATIONS, warm_start=True)
        model = copy.deepcopy(start).set_params(C=self.strength)
        with warnings.catch_warnings():
            # Said once, of the strength that is chosen.
            warnings.simplefilter('ignore', ConvergenceWarning)
            return model.fit(features, labels)


def _neighbourhoods(
    train: Tensor, test: Tensor, votes: Tensor, k: int
) -> Iterator[tuple[Tensor, Tensor]]:
    """Of blocks of images: share of the neighbours in each class, and sum of their nearness."""
    train, test = l2_normalize(train.float()).T, l2_normalize(test.float())
    for block in test.split(max(1, _PAIRS // train.shape[1])):
        cosine, neighbours = (block @ train).topk(k, dim=1)
        near = votes[neighbours].float()
        yield near.mean(1), (near * (1 + cosine.clamp(-1, 1))[:, :, None] / 2).mean(1)


def _accuracies(predicted: Tensor, target: Tensor, classes: int) -> dict[str, Tensor]:
    """Accuracy of class numbers."""
    matrix = multiclass_confusion_matrix(
        predicted.to(target.device), target, classes, validate_args=False
    )
    return accuracy_scores(matrix)


def _class_count(*labels: Tensor) -> int | None:
    """Number of classes, or None where images carry several labels."""
    return None if labels[0].ndim == 2 else 1 + max(int(split.max()) for split in labels)


def _array(features: Tensor) -> np.ndarray:
    """Features in the precision that L-BFGS needs to converge."""
    return features.detach().double().cpu().numpy()


def _require_split(
    name: str,
    features: Tensor,
    labels: Tensor,
    train_features: Tensor | None = None,
    train_labels: Tensor | None = None,
) -> None:
    """Refuse features and labels that do not belong together."""
    if features.ndim != 2 or labels.ndim not in (1, 2) or not 0 < len(features) == len(labels):
        raise ValueError(
            f'{name} features must be (N, D) and labels (N) or (N, L) with N above 0, got '
            f'{tuple(features.shape)} and {tuple(labels.shape)}'
        )
    if not features.isfinite().all():
        raise ValueError(f'{name} features hold NaN or infinity; the encoder has diverged')
    for what, ours, theirs in (
        ('features', features, train_features),
        ('labels', labels, train_labels),
    ):
        if theirs is not None and ours.shape[1:] != theirs.shape[1:]:
            raise ValueError(
                f'{name} {what} {tuple(ours.shape)} do not fit train {what} {tuple(theirs.shape)}'
            )
