# Copyright (c) torchgeo_saco Contributors. All rights reserved.
# Licensed under the MIT License.

"""Tests of the scores of images with several labels."""

import numpy as np
import pytest
import torch
from sklearn.metrics import average_precision_score, f1_score

from torchgeo_saco.metrics import MultilabelScores, multilabel_scores


@pytest.fixture
def pairs():
    """Probabilities and labels of 300 images; the last of 5 classes is absent."""
    generator = torch.Generator().manual_seed(0)
    scores = torch.rand(300, 5, generator=generator)
    target = (torch.rand(300, 5, generator=generator) < 0.3 + 0.4 * scores).long()
    target[:, 4] = 0
    return scores, target


def test_average_precision_by_hand():
    scores = torch.tensor([[0.9, 0.1], [0.8, 0.2], [0.7, 0.3]])
    target = torch.tensor([[1, 0], [0, 0], [1, 1]])
    result = multilabel_scores(scores, target)
    assert result['AveragePrecision'].tolist() == pytest.approx([(1 + 2 / 3) / 2, 1])
    assert result['AverageAveragePrecision'].item() == pytest.approx((5 / 6 + 1) / 2)
    # All six in one ranking: found at locations 1, 3 and 4.
    assert result['OverallAveragePrecision'].item() == pytest.approx((1 + 2 / 3 + 3 / 4) / 3)
    # Three predicted above 0.5, two of them true; three are true.
    assert result['OverallF1Score'].item() == pytest.approx(2 * 2 / (3 + 3))


def test_scores_against_scikit_learn(pairs):
    scores, target = pairs
    metric = MultilabelScores('abcde')
    metric.update(scores, target)
    result = metric.compute()
    expected = [average_precision_score(target[:, i], scores[:, i]) for i in range(4)]
    assert [result[f'AveragePrecision_{i}'].item() for i in 'abcd'] == pytest.approx(expected)
    assert result['AveragePrecision_e'].isnan()
    assert result['AverageAveragePrecision'].item() == pytest.approx(np.mean(expected))
    assert result['OverallAveragePrecision'].item() == pytest.approx(
        average_precision_score(target.flatten(), scores.flatten())
    )
    assert result['OverallF1Score'].item() == pytest.approx(
        f1_score(target, scores > 0.5, average='micro')
    )


def test_how_a_split_is_cut_into_batches_does_not_matter(pairs):
    scores, target = pairs
    whole, parts = MultilabelScores('abcde'), MultilabelScores('abcde')
    whole.update(scores, target)
    for part in (slice(0, 7), slice(7, 8), slice(8, 300)):
        parts.update(scores[part], target[part])
    ours, theirs = parts.compute(), whole.compute()
    assert all(torch.equal(ours[name].nan_to_num(), theirs[name].nan_to_num()) for name in theirs)


@pytest.mark.parametrize('right', [True, False])
def test_perfect_is_one(right):
    target = torch.tensor([[1, 0], [0, 1], [1, 1]])
    scores = (target if right else 1 - target).float()
    result = multilabel_scores(scores, target)
    assert result['OverallF1Score'].item() == float(right)
    assert result['OverallAveragePrecision'].item() == (1 if right else pytest.approx(4 / 6))


def test_without_any_label_there_is_no_precision():
    result = multilabel_scores(torch.rand(3, 2), torch.zeros(3, 2, dtype=torch.long))
    assert result['OverallAveragePrecision'].isnan()
    assert result['AverageAveragePrecision'].isnan()
    assert result['OverallF1Score'] == 0


def test_ranks_are_merged(pairs):
    scores, target = pairs
    metric, whole = MultilabelScores('abcde'), MultilabelScores('abcde')
    metric.update(scores[:100], target[:100])
    metric.distributed_available_fn = lambda: True
    rest = {torch.float32: scores[100:], torch.uint8: target[100:].to(torch.uint8)}
    metric.dist_sync_fn = lambda state, group=None: [state, rest[state.dtype]]
    whole.update(scores, target)
    assert torch.equal(
        metric.compute()['OverallAveragePrecision'], whole.compute()['OverallAveragePrecision']
    )


@pytest.mark.parametrize(
    ('scores', 'target', 'tokens'),
    [
        ([[0.1, 1.2]], [[0, 1]], '0.1 to 1.2; apply a sigmoid'),
        ([[-3.0, 0.2]], [[0, 1]], '-3 to 0.2; apply a sigmoid'),
        ([[float('nan'), 0.2]], [[0, 1]], 'from 0 to 1, got nan'),
        ([[0.1, 0.2]], [[0, 2]], 'target must be 0 or 1, got 0 to 2'),
        ([[0.1, 0.2]], [[0]], r'\(N, L\), got \(1, 2\) and \(1, 1\)'),
        ([0.1, 0.2], [0, 1], r'\(N, L\), got \(2,\)'),
        ([[0.1]], [[1]], r'each of the 2 labels, got \(1, 1\)'),
    ],
)
def test_wrong_batch(scores, target, tokens):
    with pytest.raises(ValueError, match=tokens):
        MultilabelScores('ab').update(torch.tensor(scores), torch.tensor(target))


def test_no_labels():
    with pytest.raises(ValueError, match='labels is empty; name at least one class'):
        MultilabelScores([])
