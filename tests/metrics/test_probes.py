# Copyright (c) torchgeo_saco Contributors. All rights reserved.
# Licensed under the MIT License.

"""Tests of the probes of frozen features."""

import pytest
import torch
from sklearn.neighbors import KNeighborsClassifier

from torchgeo_saco.metrics import probes
from torchgeo_saco.metrics.probes import knn_scores, linear_probe


def clusters(count, spread, classes=3, seed=0):
    """Features around one direction a class, of different lengths, and the classes."""
    generator = torch.Generator().manual_seed(seed)
    labels = torch.arange(count) % classes
    features = torch.eye(8)[labels] + spread * torch.randn(count, 8, generator=generator)
    return features * (0.1 + torch.rand(count, 1, generator=generator)), labels


def direction(*degrees):
    angles = torch.tensor(degrees).deg2rad()
    return torch.stack([angles.cos(), angles.sin()], 1)


def test_the_majority_of_neighbours_decides():
    train, labels = direction(0, 10, 20, 30, 200), torch.tensor([0, 1, 1, 0, 2])
    asked = direction(1.0)
    # Neighbours of 1 degree: classes 0 1 1 0 2, in this order.
    for k, expected in ((1, 0), (3, 1), (4, 1), (5, 1)):
        scores = knn_scores(train, labels, asked, torch.tensor([expected]), k)
        assert scores['OverallAccuracy'] == 1, k


def test_of_equals_the_nearer_class_wins_and_then_the_lower():
    train, labels = direction(0, 10, 50, 60), torch.tensor([1, 0, 0, 1])
    # The nearest is of class 1, yet both neighbours of class 0 together are nearer.
    scores = knn_scores(train, labels, direction(5.2), torch.tensor([0]), 4)
    assert scores['OverallAccuracy'] == 1
    same = torch.ones(4, 2)
    assert knn_scores(same, labels, same[:1], torch.tensor([0]), 4)['OverallAccuracy'] == 1


def test_lengths_do_not_matter():
    train, labels = clusters(60, 0.4)
    test, target = clusters(40, 0.4, seed=1)
    first = knn_scores(train, labels, test, target)
    second = knn_scores(7 * train, labels, 0.01 * test, target)
    assert torch.equal(first['Accuracy'], second['Accuracy'])
    assert 0.5 < first['OverallAccuracy'] < 1


@pytest.mark.parametrize('pairs', [2**26, 70])
def test_neighbours_against_scikit_learn(pairs, monkeypatch):
    monkeypatch.setattr(probes, '_PAIRS', pairs)
    train, labels = clusters(60, 0.5)
    test, target = clusters(40, 0.5, seed=1)
    # Odd votes of two classes have no ties.
    labels, target = labels % 2, target % 2
    reference = KNeighborsClassifier(5, metric='cosine').fit(train, labels)
    scores = knn_scores(train, labels, test, target, 5)
    assert 0.5 < scores['OverallAccuracy'] < 1
    assert scores['OverallAccuracy'].item() == pytest.approx(reference.score(test, target))


def test_neighbours_of_several_labels():
    train = direction(0, 5, 10, 180, 185, 190)
    labels = torch.tensor([[1, 0], [1, 1], [1, 0], [0, 1], [0, 1], [1, 1]])
    target = torch.tensor([[1, 0], [0, 1]])
    scores = knn_scores(train, labels, direction(4, 184), target, 3)
    # Shares: first image 1 and 1/3, second 1/3 and 1.
    assert scores['OverallAveragePrecision'] == 1
    assert scores['OverallF1Score'] == 1
    assert scores['AveragePrecision'].tolist() == [1, 1]


def test_linear_probe_separates_what_is_separable():
    train, val, test = (clusters(90, 0.05, seed=seed) for seed in range(3))
    probe = linear_probe(*train, *val, *test)
    assert probe.scores['OverallAccuracy'] == 1
    assert torch.equal(probe.predicted, test[1])
    # All of them are perfect on the validation split, so the strongest is taken.
    assert probe.C == 1e-4


def test_the_strength_is_chosen_on_the_validation_split():
    train, val, test = (clusters(60, 1.0, seed=seed) for seed in range(3))
    strengths = (1e-4, 1e-2, 1.0)
    single = {c: linear_probe(*train, *val, *val, strengths=(c,)) for c in strengths}
    accuracies = {c: float(probe.scores['OverallAccuracy']) for c, probe in single.items()}
    probe = linear_probe(*train, *val, *test, strengths=strengths)
    assert accuracies[probe.C] == max(accuracies.values())
    assert len(set(accuracies.values())) > 1
    expected = linear_probe(*train, *val, *test, strengths=(probe.C,))
    assert probe.scores['OverallAccuracy'] == expected.scores['OverallAccuracy']


def test_scale_and_offset_of_features_do_not_matter():
    train, val, test = (clusters(60, 0.6, seed=seed) for seed in range(3))
    plain = linear_probe(*train, *val, *test)
    scale, offset = torch.logspace(-3, 3, 8), torch.arange(8.0)
    moved = [
        (features.double() * scale + offset, labels) for features, labels in (train, val, test)
    ]
    other = linear_probe(*moved[0], *moved[1], *moved[2])
    assert other.C == plain.C
    assert other.scores['OverallAccuracy'] == plain.scores['OverallAccuracy']


def test_linear_probe_of_several_labels_and_of_constant_ones():
    generator = torch.Generator().manual_seed(0)
    features = torch.randn(120, 6, generator=generator)
    labels = (features[:, :4] > 0).long()
    labels[:, 2], labels[:, 3] = 0, 1
    parts = [(features[i : i + 40], labels[i : i + 40]) for i in (0, 40, 80)]
    scores = linear_probe(*parts[0], *parts[1], *parts[2]).scores
    assert scores['AveragePrecision'][:2].min() > 0.95
    assert scores['AveragePrecision'][2].isnan()
    assert scores['AveragePrecision'][3] == 1
    assert scores['OverallF1Score'] > 0.9


def test_labels_that_every_strength_ranks_well_are_chosen_by_their_threshold():
    generator = torch.Generator().manual_seed(0)
    labels = (torch.arange(60)[:, None] % 5 == torch.arange(2)).long()
    features = labels + 0.01 * torch.randn(60, 2, generator=generator)
    # At the strongest, all probabilities are the share of the class, below 0.5.
    strong = linear_probe(*[features, labels] * 3, strengths=(1e-4,)).scores
    assert strong['AverageAveragePrecision'].item() == pytest.approx(1)
    assert strong['OverallF1Score'] == 0
    probe = linear_probe(*[features, labels] * 3)
    assert probe.scores['OverallF1Score'] == 1
    assert probe.C > 1e-4


def test_a_validation_split_without_labels_takes_the_strongest():
    features = torch.randn(20, 3)
    labels = (features[:, :2] > 0).long()
    probe = linear_probe(features, labels, features, 0 * labels, features, labels)
    assert probe.C == 1e-4


def test_a_class_of_the_test_split_alone_is_wrong():
    train, labels = clusters(30, 0.05, classes=2)
    test, target = clusters(30, 0.05, classes=3)
    assert linear_probe(train, labels, train, labels, test, target).scores['Accuracy'][2] == 0
    assert knn_scores(train, labels, test, target)['Accuracy'].tolist() == [1, 1, 0]


def test_probes_are_the_same_twice():
    train, val, test = (clusters(60, 0.8, seed=seed) for seed in range(3))
    first, second = (linear_probe(*train, *val, *test) for _ in range(2))
    assert first.C == second.C
    assert torch.equal(first.scores['Accuracy'], second.scores['Accuracy'])


def test_unfinished_regression_is_told(monkeypatch):
    monkeypatch.setattr(probes, '_MAX_ITERATIONS', 1)
    train, val, test = (clusters(60, 0.8, seed=seed) for seed in range(3))
    with pytest.warns(UserWarning, match='C=1 had not converged after 1 steps'):
        linear_probe(*train, *val, *test, strengths=(1.0,))


FEATURES, LABELS = torch.randn(4, 3), torch.tensor([0, 1, 0, 1])


@pytest.mark.parametrize(
    ('train', 'test', 'tokens'),
    [
        ((FEATURES, LABELS[:3]), (FEATURES, LABELS), r'train features .* \(4, 3\) and \(3,\)'),
        ((FEATURES[:0], LABELS[:0]), (FEATURES, LABELS), r'N above 0, got \(0, 3\)'),
        ((FEATURES, LABELS), (FEATURES[:, :2], LABELS), r'test features \(4, 2\) do not fit'),
        ((FEATURES, LABELS), (FEATURES, LABELS[:, None]), r'test labels \(4, 1\) do not fit'),
        ((FEATURES / 0, LABELS), (FEATURES, LABELS), 'train features hold NaN or infinity'),
    ],
)
def test_wrong_splits(train, test, tokens):
    with pytest.raises(ValueError, match=tokens):
        knn_scores(*train, *test, k=1)
    with pytest.raises(ValueError, match=tokens):
        linear_probe(*train, *train, *test)


@pytest.mark.parametrize('k', [0, 5])
def test_wrong_number_of_neighbours(k):
    with pytest.raises(ValueError, match=f'k must be from 1 to the 4 training images, got {k}'):
        knn_scores(FEATURES, LABELS, FEATURES, LABELS, k)


@pytest.mark.parametrize('strengths', [(), (0.0, 1.0), (2.0, 1.0)])
def test_wrong_strengths(strengths):
    with pytest.raises(ValueError, match='strengths must be positive and ascending, got'):
        linear_probe(*[FEATURES, LABELS] * 3, strengths=strengths)


def test_one_class_is_no_classification():
    with pytest.raises(ValueError, match='all 4 training images are of class 3; a linear probe'):
        linear_probe(*[FEATURES, torch.full((4,), 3)] * 3)
