# Copyright (c) torchgeo_saco Contributors. All rights reserved.
# Licensed under the MIT License.

"""Tests of a run that really trains."""

import numpy as np
import pytest
import torch
from lightning.pytorch import Trainer

from torchgeo_saco.evaluation import Settings, execute_run, plan_runs, runs
from torchgeo_saco.evaluation.panels import panel_sample
from torchgeo_saco.evaluation.runs import _plain_colors
from torchgeo_saco.metrics.probes import knn_scores, linear_probe

from ..data.fakes import CLASSES, FakeDataModule, FakeTask, benchmark


def run(kind='class', seed=0, encoder=None, **parts):
    spec = benchmark(kind, **parts)
    (planned,) = plan_runs(Settings('out', [seed], {'x': encoder or {}}, {'Fake': spec}))
    return planned


def test_classification_is_tested_and_probed():
    result = execute_run(run())
    metrics = result.metrics
    for kind in ('test', 'knn5', 'linear'):
        named = {f'{kind}_{name}' for name in ('OverallAccuracy', 'AverageAccuracy')}
        assert named | {f'{kind}_Accuracy_{label}' for label in CLASSES} <= set(metrics), kind
    assert set(metrics) == {name for name in metrics if name.split('_')[0] != 'val'}
    # The brightest band is the class, so features tell all.
    assert metrics['knn5_OverallAccuracy'] == 1
    assert metrics['linear_OverallAccuracy'] == 1
    assert metrics['linear_C'] > 0
    assert result.confusion.sum() == 12
    assert metrics['test_OverallAccuracy'] == pytest.approx(np.trace(result.confusion) / 12)
    assert result.classes == CLASSES
    assert result.colors is None
    assert result.seconds > 0
    assert torch.__version__.startswith(result.environment['torch'])


def test_probes_see_the_splits_as_they_are():
    datamodule, task = FakeDataModule(size=12), FakeTask()
    datamodule.setup('fit')
    datamodule.setup('test')
    splits = []
    for split in ('train', 'val', 'test'):
        samples = getattr(datamodule, f'{split}_samples')
        batch = torch.utils.data.default_collate(samples)
        splits.append((task.embed({'image': batch['image'] / 100}), batch['label']))
    train, val, test = splits
    metrics = execute_run(run()).metrics
    assert metrics['knn5_AverageAccuracy'] == knn_scores(*train, *test)['AverageAccuracy']
    assert metrics['linear_C'] == linear_probe(*train, *val, *test).C


def test_panels_of_classes():
    result = execute_run(run(panels=[4, 1]))
    assert [int(panel.target) for panel in result.panels] == [4 % 3, 1]
    assert result.panels[0].prediction.shape == ()
    (image,) = (panel.images['image'] for panel in result.panels[:1])
    assert image.shape == (3, 8, 8)
    # Natural colour is B04 B03 B02; class 1 is bright in B03. Reflectance, not stored numbers.
    assert image.mean((1, 2)).argmax() == 1
    assert image.max() < 1


def test_several_labels_have_no_confusion_matrix():
    result = execute_run(run('labels'))
    assert result.confusion is None
    assert result.metrics['knn5_OverallAveragePrecision'] == 1
    assert result.metrics['linear_AverageAveragePrecision'] == 1
    assert 'test_OverallF1Score' in result.metrics
    assert 'knn5_AveragePrecision_wheat' in result.metrics
    assert result.panels[0].target.tolist() == [1, 0, 0]


@pytest.mark.slow
@pytest.mark.parametrize(
    ('kind', 'titles'),
    [
        ('mask', ['image']),
        ('change', ['first date', 'second date']),
        ('series', ['median of 5 dates']),
    ],
)
def test_masks_have_no_features(kind, titles):
    result = execute_run(run(kind, trainer={'max_epochs': 20, 'accelerator': 'cpu'}))
    assert not [name for name in result.metrics if not name.startswith('test_')]
    assert result.metrics['test_AverageJaccardIndex'] > 0.5
    assert result.confusion.sum() == 12 * 7 * 8
    assert list(result.panels[0].images) == titles
    assert all(image.shape == (3, 8, 8) for image in result.panels[0].images.values())
    assert result.panels[0].target[0, 0] == -1
    assert result.panels[0].prediction.shape == (8, 8)
    assert result.colors == (['blue', [0, 128, 0], [255, 200, 0]] if kind == 'mask' else None)


def test_a_run_is_a_function_of_its_seed_and_not_of_what_ran_before():
    first = execute_run(run(seed=3)).metrics
    execute_run(run(seed=5))
    torch.rand(7)
    assert execute_run(run(seed=3)).metrics == first


def test_panels_come_from_a_new_datamodule(monkeypatch):
    fit = Trainer.fit

    def spoiling(trainer, task, datamodule):
        fit(trainer, task, datamodule=datamodule)
        # What a task of frozen features leaves.
        datamodule.spoiled = True

    def sample(task, datamodule, number):
        assert not hasattr(datamodule, 'spoiled')
        return panel_sample(task, datamodule, number)

    monkeypatch.setattr(Trainer, 'fit', spoiling)
    monkeypatch.setattr(runs, 'panel_sample', sample)
    assert len(execute_run(run()).panels) == 3


def test_frozen_features_of_the_test_are_kept_before_it(monkeypatch):
    calls = []
    monkeypatch.setattr(
        FakeTask, 'cache_features', lambda self, data, split: calls.append(split), raising=False
    )
    test = Trainer.test
    monkeypatch.setattr(Trainer, 'test', lambda *a, **k: (calls.append('tested'), test(*a, **k)))
    assert execute_run(run()).metrics['knn5_OverallAccuracy'] == 1
    assert calls == ['test', 'tested']


def test_data_without_band_names_are_shown_by_their_first_channels(monkeypatch):
    monkeypatch.setattr(FakeDataModule, 'bands', ('B11', 'B12', 'B8A', 'B08'))
    result = execute_run(run(panels=[2]))
    assert result.panels[0].images['image'].mean((1, 2)).argmax() == 2
    monkeypatch.setattr(FakeDataModule, 'bands', None)
    other = execute_run(run(panels=[2]))
    np.testing.assert_array_equal(other.panels[0].images['image'], result.panels[0].images['image'])


def test_classes_that_no_split_has_get_no_number(monkeypatch):
    monkeypatch.setattr(FakeDataModule, 'classes', (*CLASSES, 'snow'))
    metrics = execute_run(run()).metrics
    assert np.isnan(metrics['knn5_Accuracy_snow'])
    assert metrics['knn5_AverageAccuracy'] == 1


def test_a_panel_beyond_the_split():
    with pytest.raises(ValueError, match='panel 12 is beyond the 12 test samples; choose smaller'):
        execute_run(run(panels=[0, 12]))


def test_a_task_that_predicts_no_classes(monkeypatch):
    monkeypatch.setattr(FakeTask, 'predict_step', lambda self, batch, number: torch.zeros(3))
    with pytest.raises(ValueError, match=r'predict_step of FakeTask .* set panels: \[\] to draw'):
        execute_run(run())
    assert execute_run(run(panels=[])).panels == []


def test_a_task_that_logs_nothing(monkeypatch):
    monkeypatch.setattr(FakeTask, 'on_test_epoch_end', lambda self: None)
    with pytest.raises(ValueError, match=r'FakeTask logs no score test_\* in its test'):
        execute_run(run())


def test_an_interrupted_training_is_not_tested(monkeypatch):
    monkeypatch.setattr(Trainer, 'interrupted', True)
    monkeypatch.setattr(Trainer, 'test', pytest.fail)
    with pytest.raises(KeyboardInterrupt):
        execute_run(run())


def test_colors_of_any_kind_are_plain():
    assert _plain_colors([np.array([1, 2, 3]), (0.5, 0, 0), 'red']) == [
        [1, 2, 3], [0.5, 0, 0], 'red',
    ]  # fmt: skip
