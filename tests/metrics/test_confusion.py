# Copyright (c) torchgeo_saco Contributors. All rights reserved.
# Licensed under the MIT License.

"""Tests of the scores of confusion matrices."""

import numpy as np
import pytest
import torch
from torchgeo.datasets import PASTIS
from torchmetrics import MetricCollection

from torchgeo_saco.metrics import (
    ConfusionScores,
    accuracy_scores,
    change_scores,
    jaccard_scores,
    pastis_scores,
)

CROPS = range(1, 19)


def close(score, expected):
    assert score.item() == pytest.approx(expected, nan_ok=True)


def random_labels(classes, count=5000, ignored=True, seed=0):
    """Predictions and target that agree more often than by chance, some of it without a class."""
    generator = np.random.default_rng(seed)
    target = generator.integers(classes, size=count)
    guess = generator.integers(classes, size=count)
    predictions = np.where(generator.random(count) < 0.4, target, guess)
    if ignored:
        target[generator.random(count) < 0.1] = -1
    return predictions, target


def numpy_jaccard(predictions, target, classes):
    """IoU by sets of pixels, without a confusion matrix."""
    index = []
    for number in classes:
        both = ((predictions == number) & (target == number)).sum()
        either = ((predictions == number) | (target == number)).sum()
        index.append(both / either if either else np.nan)
    return np.array(index)


def test_accuracy_by_hand():
    scores = accuracy_scores(torch.tensor([[6, 2, 0], [1, 1, 0], [0, 0, 0]]))
    close(scores['OverallAccuracy'], 7 / 10)
    close(scores['AverageAccuracy'], (6 / 8 + 1 / 2) / 2)
    assert scores['Accuracy'].tolist() == pytest.approx([0.75, 0.5, np.nan], nan_ok=True)


def test_a_class_that_is_predicted_but_absent_has_no_accuracy_and_an_iou_of_zero():
    matrix = torch.tensor([[6, 0, 2], [0, 2, 0], [0, 0, 0]])
    close(accuracy_scores(matrix)['AverageAccuracy'], (6 / 8 + 1) / 2)
    close(jaccard_scores(matrix)['AverageJaccardIndex'], (6 / 8 + 1 + 0) / 3)


def test_jaccard_by_hand():
    scores = jaccard_scores(torch.tensor([[6, 2, 0], [1, 1, 0], [0, 0, 0]]))
    close(scores['OverallAccuracy'], 7 / 10)
    close(scores['AverageJaccardIndex'], (6 / 9 + 1 / 4) / 2)
    assert scores['JaccardIndex'].tolist() == pytest.approx([6 / 9, 0.25, np.nan], nan_ok=True)


def test_change_by_hand():
    scores = change_scores(torch.tensor([[80, 5], [10, 15]]))
    close(scores['Precision'], 15 / 20)
    close(scores['Recall'], 15 / 25)
    close(scores['F1Score'], 2 * 0.75 * 0.6 / (0.75 + 0.6))


@pytest.mark.parametrize(
    ('matrix', 'precision', 'recall', 'score'),
    [
        ([[9, 0], [0, 0]], 1, 1, 1),  # nothing changed, nothing predicted
        ([[5, 0], [4, 0]], 0, 0, 0),  # all changes missed
        ([[5, 4], [0, 0]], 0, 0, 0),  # only false alarms
        ([[0, 0], [0, 0]], np.nan, np.nan, np.nan),
    ],
)
def test_change_of_zero_by_zero(matrix, precision, recall, score):
    scores = change_scores(torch.tensor(matrix))
    close(scores['Precision'], precision)
    close(scores['Recall'], recall)
    close(scores['F1Score'], score)


def test_numbers_of_pastis_classes():
    assert PASTIS.classes[0] == 'background'
    assert PASTIS.classes[19] == 'void_label'
    assert len(PASTIS.classes) == 20


@pytest.mark.parametrize('classes', [range(20), CROPS, [3]], ids=['all', 'crops', 'one'])
def test_perfect_pastis_is_one_whatever_classes_there_are(classes):
    matrix = torch.zeros(20, 20, dtype=torch.long)
    for number in classes:
        matrix[number, number] = 7
    scores = pastis_scores(matrix)
    for name in ('OverallAccuracy', 'AverageJaccardIndex'):
        close(scores[name], 1)
        close(scores[f'{name}_UTAE'], 1)


def test_wrong_pastis_is_zero():
    matrix = torch.roll(torch.eye(20, dtype=torch.long), 1, dims=1)
    scores = pastis_scores(matrix)
    for name in ('OverallAccuracy', 'AverageJaccardIndex'):
        close(scores[name], 0)
        close(scores[f'{name}_UTAE'], 0)


def test_pastis_by_hand():
    matrix = torch.zeros(20, 20, dtype=torch.long)
    matrix[1, 1], matrix[1, 2], matrix[1, 0], matrix[1, 19] = 10, 4, 3, 3
    matrix[2, 2] = 6
    matrix[0, 1], matrix[0, 0] = 50, 70  # background
    matrix[19, 2] = 900  # void
    scores = pastis_scores(matrix)
    close(scores['OverallAccuracy'], 16 / 26)
    close(scores['AverageJaccardIndex'], (10 / 20 + 6 / 10) / 2)
    close(scores['OverallAccuracy_UTAE'], 86 / 143)
    close(scores['AverageJaccardIndex_UTAE'], (70 / 123 + 10 / 67 + 6 / 10) / 3)
    assert scores['JaccardIndex'].isnan().sum() == 18
    assert scores['JaccardIndex_UTAE'].isnan().sum() == 17


def test_void_predicted_in_a_field_is_dropped_by_utae_alone():
    matrix = torch.zeros(20, 20, dtype=torch.long)
    matrix[3, 3] = matrix[3, 19] = 5
    scores = pastis_scores(matrix)
    close(scores['AverageJaccardIndex'], 0.5)
    close(scores['AverageJaccardIndex_UTAE'], 1)


def test_pastis_against_pixels():
    predictions, target = random_labels(20, ignored=False)
    metric = ConfusionScores(PASTIS.classes, 'pastis')
    metric.update(torch.tensor(predictions), torch.tensor(target))
    scores = metric.compute()
    crops = (target != 0) & (target != 19)
    index = numpy_jaccard(predictions[crops], target[crops], CROPS)
    close(scores['OverallAccuracy'], (predictions == target)[crops].mean())
    close(scores['AverageJaccardIndex'], index.mean())
    close(scores['JaccardIndex_corn'], index[2])
    known = (target != 19) & (predictions != 19)
    index = numpy_jaccard(predictions[known], target[known], range(19))
    close(scores['OverallAccuracy_UTAE'], (predictions == target)[known].mean())
    close(scores['AverageJaccardIndex_UTAE'], index.mean())
    assert len(scores) == 4 + 18 + 19
    assert 'JaccardIndex_background' not in scores
    assert 'JaccardIndex_UTAE_void_label' not in scores


@pytest.mark.parametrize('protocol', ['classification', 'segmentation'])
def test_scores_against_samples(protocol):
    predictions, target = random_labels(4)
    metric = ConfusionScores(['a', 'b', 'c', 'd'], protocol)
    metric.update(torch.tensor(predictions), torch.tensor(target))
    scores = metric.compute()
    predictions, target = predictions[target >= 0], target[target >= 0]
    close(scores['OverallAccuracy'], (predictions == target).mean())
    if protocol == 'classification':
        expected = np.array([(predictions == i)[target == i].mean() for i in range(4)])
        name = 'Accuracy'
    else:
        expected, name = numpy_jaccard(predictions, target, range(4)), 'JaccardIndex'
    close(scores[f'Average{name}'], expected.mean())
    assert [scores[f'{name}_{label}'].item() for label in 'abcd'] == pytest.approx(expected)
    assert len(scores) == 6


def test_change_against_pixels():
    predictions, target = random_labels(2)
    metric = ConfusionScores(['unchanged', 'changed'], 'change')
    metric.update(torch.tensor(predictions), torch.tensor(target))
    scores = metric.compute()
    found = ((predictions == 1) & (target == 1)).sum()
    close(scores['Precision'], found / ((predictions == 1) & (target >= 0)).sum())
    close(scores['Recall'], found / (target == 1).sum())
    assert set(scores) == {'Precision', 'Recall', 'F1Score'}


@pytest.mark.parametrize('protocol', ['classification', 'segmentation', 'pastis', 'change'])
@pytest.mark.parametrize('right', [True, False])
def test_perfect_is_one_and_all_wrong_is_zero(protocol, right):
    classes = {'pastis': 20, 'change': 2}.get(protocol, 5)
    target = torch.arange(classes).repeat(6).view(2, 3, -1)
    metric = ConfusionScores([str(i) for i in range(classes)], protocol)
    metric.update(target if right else (target + 1) % classes, target)
    assert [score.item() for score in metric.compute().values()] == pytest.approx(
        [float(right)] * len(metric.compute())
    )


def test_how_a_split_is_cut_into_batches_does_not_matter():
    predictions, target = (torch.tensor(numbers) for numbers in random_labels(5))
    whole, parts = (ConfusionScores('abcde', 'segmentation') for _ in range(2))
    whole.update(predictions, target)
    for size in (1, 999, 4000):
        parts.update(predictions[:size], target[:size])
        predictions, target = predictions[size:], target[size:]
    assert torch.equal(whole.matrix, parts.matrix)
    assert whole.compute() == parts.compute()
    parts.reset()
    assert not parts.matrix.any()


def test_logits_are_taken_by_their_largest():
    metric = ConfusionScores('abc')
    logits = torch.full((2, 3, 4, 4), -1.0)
    logits[:, 1] = 5
    metric.update(logits, torch.ones(2, 4, 4, dtype=torch.long))
    assert metric.matrix[1, 1] == 32
    # Of images without pixels.
    metric.update(torch.eye(3), torch.tensor([0, 1, 1]))
    assert metric.matrix.tolist() == [[1, 0, 0], [0, 33, 1], [0, 0, 0]]


def test_ranks_are_merged_in_scores_and_matrix():
    metric = ConfusionScores('ab')
    metric.update(torch.tensor([0, 1]), torch.tensor([0, 0]))
    other = torch.tensor([[4, 0], [0, 2]])
    metric.distributed_available_fn = lambda: True
    metric.dist_sync_fn = lambda state, group=None: [state, other]
    expected = torch.tensor([[5, 1], [0, 2]])
    assert torch.equal(metric.matrix, expected)
    close(metric.compute()['OverallAccuracy'], 7 / 8)
    assert torch.equal(metric.matrix, expected)
    metric.sync(metric.dist_sync_fn)
    assert torch.equal(metric.matrix, expected)
    metric.unsync()
    assert metric.confmat.tolist() == [[1, 1], [0, 0]]


def test_a_collection_gives_its_prefix():
    metrics = MetricCollection([ConfusionScores(['sea', 'land'])], prefix='test_')
    metrics.update(torch.tensor([0, 1]), torch.tensor([0, 0]))
    scores = metrics.clone(prefix='val_').compute()
    assert set(scores) == {
        'val_OverallAccuracy', 'val_AverageAccuracy', 'val_Accuracy_sea', 'val_Accuracy_land',
    }  # fmt: skip
    assert scores['val_Accuracy_sea'] == 0.5
    assert scores['val_Accuracy_land'].isnan()


@pytest.mark.parametrize(
    ('function', 'shape', 'tokens'),
    [
        (accuracy_scores, (2, 3), r'\(C, C\), got \(2, 3\)'),
        (jaccard_scores, (4,), r'\(C, C\), got \(4,\)'),
        (pastis_scores, (19, 19), r'\(20, 20\).*got \(19, 19\)'),
        (change_scores, (3, 3), r'\(2, 2\).*got \(3, 3\)'),
    ],
)
def test_wrong_matrix(function, shape, tokens):
    with pytest.raises(ValueError, match=tokens):
        function(torch.zeros(shape))


@pytest.mark.parametrize(
    ('labels', 'protocol', 'tokens'),
    [
        ('ab', 'pixels', "'pixels'; choose one of classification, segmentation"),
        ('ab', 'pastis', 'got .2, 2.'),
        ('abc', 'change', 'got .3, 3.'),
    ],
)
def test_wrong_protocol(labels, protocol, tokens):
    with pytest.raises(ValueError, match=tokens):
        ConfusionScores(labels, protocol)


@pytest.mark.parametrize(
    ('predictions', 'target', 'tokens'),
    [
        ([0, 1], [0, 5], 'target holds class 5, but there are 3 classes, 0 to 2'),
        ([0, 1], [0, -2], 'target holds class -2'),
        ([0, 3], [0, 1], 'prediction holds class 3'),
        ([0, -1], [0, 1], 'prediction holds class -1'),
        ([0, 1, 1], [0, 1], r'predictions \(3,\) and target \(2,\) differ in shape'),
        ([[0.1, 0.9]], [1], r'\(B, 3, ...\).*got \(1, 2\)'),
        ([0.1, 0.9], [1, 0], r'\(B, 3, ...\).*got \(2,\)'),
    ],
)
def test_wrong_batch(predictions, target, tokens):
    with pytest.raises(ValueError, match=tokens):
        ConfusionScores('abc').update(torch.tensor(predictions), torch.tensor(target))


def test_a_batch_without_any_class_is_no_error():
    metric = ConfusionScores('ab', 'segmentation')
    metric.update(torch.zeros(1, 2, 2, dtype=torch.long), torch.full((1, 2, 2), -1))
    assert metric.compute()['OverallAccuracy'].isnan()
