# Copyright (c) torchgeo_saco Contributors. All rights reserved.
# Licensed under the MIT License.

"""Tests of each downstream protocol: what its scores are, and how dates and groups are joined."""

import pytest
import torch
from torch.nn import functional as F

from torchgeo_saco.tasks import GroupChangeDetection, GroupClassification, GroupSegmentation
from torchgeo_saco.transforms import lbp_histogram

from ..data.tasks import BANDS, Memory, labelled, trainer

SMALL = {
    'model': 'test_resnet', 'groups': ['natural_color', 'near_infrared'], 'texture': False,
    'bands': BANDS, 'sensor': 'sentinel2_l2a',
}  # fmt: skip


def scored(task, scores, target, folder):
    """Scores of a test whose predictions are given."""
    task.forward = lambda batch: batch['scores']
    samples = [
        {'image': torch.zeros(4, 4, 4, dtype=torch.int16), task.target: true, 'scores': score}
        for score, true in zip(scores, target, strict=True)
    ]
    runner = trainer(folder)
    runner.test(task, Memory(samples, task.labels), verbose=False)
    return {key: value.item() for key, value in runner.callback_metrics.items()}


def one_hot(classes, count):
    """Scores that choose a class beyond doubt, (..., C, H, W) of (..., H, W)."""
    return F.one_hot(classes, count).movedim(-1, 1).float() * 20 - 10


def test_classification_by_hand(tmp_path):
    task = GroupClassification(**SMALL, num_classes=3, labels=['a', 'b', 'c'])
    target, predicted = torch.tensor([0, 0, 0, 1, 1]), torch.tensor([0, 0, 1, 1, 2])
    scores = scored(task, one_hot(predicted, 3), target, tmp_path)
    assert scores['test_OverallAccuracy'] == pytest.approx(3 / 5)
    # Class c has no image: the mean is over the others.
    assert scores['test_AverageAccuracy'] == pytest.approx((2 / 3 + 1 / 2) / 2)
    assert scores['test_Accuracy_a'] == pytest.approx(2 / 3)
    assert task.test_confusion.tolist() == [[2, 1, 0], [0, 1, 1], [0, 0, 0]]


def test_multilabel_by_hand(tmp_path):
    task = GroupClassification(
        **SMALL, num_classes=2, labels=['a', 'b'], task='multilabel', loss='bce'
    )
    target = torch.tensor([[1, 0], [0, 1], [1, 0]])
    scores = scored(task, torch.tensor([[2.0, -2], [1, 1], [-1, -1]]), target, tmp_path)
    # Class a ranks its images first and third: (1 + 2/3) / 2; class b ranks its image first.
    assert scores['test_AverageAveragePrecision'] == pytest.approx((5 / 6 + 1) / 2)
    assert scores['test_OverallF1Score'] == pytest.approx(2 * 2 / (2 * 2 + 1 + 1))
    assert task.test_confusion is None


def test_pastis_by_hand(tmp_path):
    task = GroupSegmentation(**SMALL, num_classes=20, protocol='pastis', void_classes=[19])
    target = torch.tensor([[[0, 1], [2, 19]], [[1, 1], [2, 0]]])
    predicted = torch.tensor([[[1, 1], [1, 5]], [[1, 0], [2, 0]]])
    scores = scored(task, one_hot(predicted, 20), target, tmp_path)
    # Of 5 crop pixels 3 are right; class 1: 2 of 1-1-1 and one 2 taken for it; class 2: 1 of 2.
    assert scores['test_OverallAccuracy'] == pytest.approx(3 / 5)
    assert scores['test_AverageJaccardIndex'] == pytest.approx((2 / 4 + 1 / 2) / 2)
    # With background: class 0 has 1 right, 1 lost and 1 too many; class 1 gains a false one.
    assert scores['test_OverallAccuracy_UTAE'] == pytest.approx(4 / 7)
    assert scores['test_AverageJaccardIndex_UTAE'] == pytest.approx((1 / 3 + 2 / 5 + 1 / 2) / 3)


def test_change_by_hand(tmp_path):
    task = GroupChangeDetection(**SMALL, num_classes=2)
    target = torch.tensor([[[1, 1], [0, -1]], [[1, 0], [0, -1]]])
    predicted = torch.tensor([[[1, 0], [1, 1]], [[1, 0], [0, 1]]])
    scores = scored(task, one_hot(predicted, 2), target, tmp_path)
    assert scores['test_Precision'] == pytest.approx(2 / 3)
    assert scores['test_Recall'] == pytest.approx(2 / 3)
    assert scores['test_F1Score'] == pytest.approx(2 / 3)


TASKS = {
    'classification': (GroupClassification, {}, 'OverallAccuracy', 2),
    'segmentation': (GroupSegmentation, {}, 'AverageJaccardIndex', 2),
    'pastis': (GroupSegmentation, {'protocol': 'pastis'}, 'AverageJaccardIndex', 20),
    'change': (GroupChangeDetection, {}, 'F1Score', 2),
}


@pytest.mark.parametrize('name', TASKS)
@pytest.mark.parametrize('right', [True, False])
def test_perfect_is_one_and_all_wrong_is_zero(tmp_path, name, right):
    task_class, arguments, score, classes = TASKS[name]
    task = task_class(**SMALL, **arguments, num_classes=classes)
    target = torch.randint(0, 2, (4,) if name == 'classification' else (4, 5, 5))
    target = target + 1 if name == 'pastis' else target
    wrong = 3 - target if name == 'pastis' else 1 - target
    scores = scored(task, one_hot(target if right else wrong, classes), target, tmp_path)
    assert scores[f'test_{score}'] == (1 if right else 0)


def test_dates_are_averaged_and_padding_does_not_count():
    task = GroupSegmentation(**SMALL, num_classes=3, decoder='linear').eval()
    image = torch.rand(2, 3, 4, 16, 16)
    with torch.no_grad():
        single = torch.stack([task({'image': image[:, date]}) for date in range(3)], 1)
        padded = torch.cat([image, torch.zeros(2, 2, 4, 16, 16)], 1)
        late = task({'image': padded, 'length': torch.tensor([3, 2])})
    torch.testing.assert_close(late[0], single[0].mean(0))
    torch.testing.assert_close(late[1], single[1, :2].mean(0))


def test_mean_of_maps_equals_mean_of_scores_of_a_linear_decoder():
    torch.manual_seed(0)
    late = GroupSegmentation(**SMALL, num_classes=3, decoder='linear').eval()
    early = GroupSegmentation(**SMALL, num_classes=3, decoder='linear', dates='early_mean').eval()
    early.load_state_dict(late.state_dict())
    batch = {'image': torch.rand(2, 3, 4, 16, 16), 'length': torch.tensor([3, 1])}
    with torch.no_grad():
        torch.testing.assert_close(late(batch), early(batch))


def test_change_is_zero_between_equal_dates_and_blind_to_their_order():
    task = GroupChangeDetection(**SMALL, num_classes=2).eval()
    first, second = torch.rand(2, 2, 1, 4, 32, 32)
    assert all(map_.abs().max() == 0 for map_ in task.features({'image': first[:, [0, 0]]}))
    forth = task({'image': torch.cat([first, second], 1)})
    back = task({'image': torch.cat([second, first], 1)})
    torch.testing.assert_close(forth, back)
    with pytest.raises(ValueError, match=r'takes images \(B 2 C H W\), got \(2, 4, 32, 32\)'):
        task({'image': first[:, 0]})
    with pytest.raises(ValueError, match=r'\(B, 2, C, H, W\), two dates, got \(2, 3, 4, 32, 32\)'):
        task({'image': torch.cat([first, second, first], 1)})


@pytest.mark.parametrize('task_class', [GroupClassification, GroupSegmentation])
def test_learned_fusion_starts_as_the_mean(task_class):
    arguments = {} if task_class is GroupClassification else {'decoder': 'linear'}
    mean = task_class(**SMALL, **arguments, num_classes=2).eval()
    learned = task_class(**SMALL, **arguments, num_classes=2, fusion='learned').eval()
    learned.load_state_dict(mean.state_dict(), strict=False)
    image = torch.rand(2, 4, 32, 32)
    torch.testing.assert_close(learned({'image': image}), mean({'image': image}))


def test_mean_of_features_is_the_mean_of_the_scores_of_the_groups():
    # The paper's ensemble: one linear layer on each group with the histogram, then the mean.
    task = GroupClassification(**SMALL, num_classes=3, histogram=True, norm=False).eval()
    image = torch.rand(2, 4, 16, 16)
    groups, codes = task.features({'image': image})
    torch.testing.assert_close(codes, lbp_histogram(image).flatten(1))
    each = torch.stack([task.model.linear(torch.cat([groups[:, g], codes], 1)) for g in range(2)])
    torch.testing.assert_close(task({'image': image}), each.mean(0))


def test_multilabel_learns(tmp_path):
    samples = [{**s, 'label': F.one_hot(s['label'], 2)} for s in labelled()]
    arguments = {key: SMALL[key] for key in ('model', 'groups', 'texture')}
    task = GroupClassification(**arguments, task='multilabel', loss='bce', lr=0.05)
    runner = trainer(tmp_path, epochs=8)
    runner.fit(task, Memory(samples))
    runner.test(task, Memory(samples), verbose=False)
    assert runner.callback_metrics['test_AverageAveragePrecision'] > 0.95
    batch = {'image': torch.stack([s['image'] for s in samples]).float() / 10000}
    assert task.predict_step(batch, 0)['prediction'].shape == (12, 2)


@pytest.mark.parametrize(
    ('task_class', 'arguments', 'message'),
    [
        (GroupClassification, {'task': 'multilabel'}, r"'multilabel' goes with loss 'bce' alone"),
        (GroupClassification, {'loss': 'bce'}, r"'multilabel' goes with loss 'bce' alone"),
        (GroupClassification, {'fusion': 'max'}, r"fusion must be one of mean, .* got 'max'"),
        (GroupSegmentation, {'decoder': 'fcn'}, r"decoder must be 'unet' or 'linear', got 'fcn'"),
        (GroupSegmentation, {'dates': 'first'}, r"dates must be 'late_mean' or .* got 'first'"),
        (GroupSegmentation, {'decoder_widths': [8]}, r'encoder has 5 levels, but 1 widths'),
        (GroupSegmentation, {'protocol': 'pastis'}, r'20'),
        (GroupChangeDetection, {'num_classes': 3}, r'2'),
    ],
)
def test_bad_arguments(task_class, arguments, message):
    with pytest.raises(ValueError, match=message):
        task_class(**(SMALL | {'num_classes': 2} | arguments))


def test_vit_takes_the_linear_decoder():
    task = GroupSegmentation(
        **(SMALL | {'model': 'test_vit', 'groups': ['natural_color']}),
        num_classes=2,
        decoder='linear',
    )
    side = task.model.encoder.backbone.patch_embed.img_size[0]
    assert task({'image': torch.rand(1, 4, side, side)}).shape == (1, 2, side, side)
