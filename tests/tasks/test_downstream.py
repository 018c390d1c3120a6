# Copyright (c) torchgeo_saco Contributors. All rights reserved.
# Licensed under the MIT License.

"""Tests of what all downstream tasks share."""

import copy
from inspect import signature

import pytest
import torch
from lightning.pytorch.callbacks import ModelCheckpoint
from lightning.pytorch.loggers import TensorBoardLogger
from matplotlib import pyplot as plt
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from torch.utils.data import DataLoader
from torchgeo.datasets import RGBBandsMissingError

from torchgeo_saco.models import load_encoder
from torchgeo_saco.tasks import (
    DownstreamTask,
    GroupChangeDetection,
    GroupClassification,
    GroupSegmentation,
)

from ..data.tasks import BANDS, Memory, changed, images, labelled, masked, trainer

SMALL = {'model': 'test_resnet', 'groups': ['natural_color', 'near_infrared'], 'texture': False}
TASKS = {
    'classification': (GroupClassification, labelled, {}),
    'segmentation': (GroupSegmentation, masked, {'decoder': 'linear'}),
    'change': (GroupChangeDetection, changed, {'decoder': 'linear'}),
}


@pytest.mark.parametrize('name', TASKS)
@pytest.mark.parametrize('fusion', ['mean', 'concat', 'learned'])
def test_learns_what_is_there_to_learn(tmp_path, name, fusion):
    task_class, samples, arguments = TASKS[name]
    task = task_class(**SMALL, **arguments, fusion=fusion, lr=0.05)
    runner = trainer(tmp_path, epochs=8)
    runner.fit(task, Memory(samples()))
    runner.test(task, Memory(samples()), verbose=False)
    score = 'F1Score' if name == 'change' else 'OverallAccuracy'
    assert runner.callback_metrics[f'test_{score}'] > 0.95
    assert task.test_confusion.sum() == (12 if name == 'classification' else 8 * 32 * 32)


@pytest.mark.parametrize('name', TASKS)
def test_frozen_encoder_stays_as_it_is(tmp_path, name):
    task_class, samples, arguments = TASKS[name]
    # Without its own statistics, so that nothing at all may move.
    start = task_class(**SMALL, **arguments)
    runner, saver = None, ModelCheckpoint(tmp_path, save_last=True)
    runner = trainer(tmp_path, callbacks=[saver], enable_checkpointing=True)
    runner.fit(start, Memory(samples()))
    before = {k: v.clone() for k, v in start.model.encoder.state_dict().items()}
    again = task_class(weights=saver.last_model_path, statistics='weights', **arguments)
    again_runner = trainer(tmp_path, epochs=2)
    again_runner.fit(again, Memory(samples()))
    after = again.model.encoder.state_dict()
    assert before.keys() == after.keys()
    assert all(torch.equal(before[key], after[key]) for key in before if 'batches' not in key)
    assert not again.train().model.encoder.training
    assert again.model.training


@pytest.mark.parametrize('frozen', [False, True])
def test_encoder_is_trained_unless_frozen(tmp_path, frozen):
    saver = ModelCheckpoint(tmp_path, save_last=True)
    runner = trainer(tmp_path, callbacks=[saver], enable_checkpointing=True)
    runner.fit(GroupClassification(**SMALL, freeze_backbone=False), Memory(labelled()))
    data, task = (
        Memory(labelled()),
        GroupClassification(weights=saver.last_model_path, freeze_backbone=frozen),
    )
    before = load_encoder(BANDS, 'sentinel2_l2a', weights=saver.last_model_path).encoder
    trainer(tmp_path).fit(task, data)
    moved = [
        not torch.equal(old, new)
        for old, new in zip(before.parameters(), task.model.encoder.parameters(), strict=True)
    ]
    assert any(moved) != frozen
    assert task.train().model.encoder.training != frozen


@pytest.mark.parametrize('name', TASKS)
def test_features_are_taken_once(tmp_path, name):
    task_class, samples, arguments = TASKS[name]
    data = Memory(samples())
    data.setup('fit')
    read = data.train_dataset
    trainer(tmp_path, epochs=5).fit(task_class(**SMALL, **arguments), data)
    # Twice for the statistics of a random encoder, once for the features.
    assert read.reads == 3 * len(read)
    assert set(data.features) == {'train', 'val'}


@pytest.mark.parametrize('name', TASKS)
@pytest.mark.parametrize('fusion', ['mean', 'learned'])
def test_kept_features_give_the_scores_of_images(tmp_path, name, fusion):
    task_class, samples, arguments = TASKS[name]
    data = Memory(samples())
    task = task_class(**SMALL, **arguments, fusion=fusion)
    runner = trainer(tmp_path)
    runner.fit(task, data)
    task.eval()
    kept = next(iter(data.ordered_dataloader('train')))
    fresh = Memory(samples())
    fresh.setup('fit')
    batch = fresh.on_after_batch_transfer(next(iter(fresh.ordered_dataloader('train'))), 0)
    with torch.no_grad():
        torch.testing.assert_close(task(kept), task(batch), atol=2e-2, rtol=2e-2)


@pytest.mark.parametrize('frozen', [True, False])
def test_features_of_another_task_are_not_taken_for_its_own(tmp_path, frozen):
    data = Memory(labelled())
    trainer(tmp_path).fit(GroupClassification(**SMALL), data)
    torch.manual_seed(5)
    task = GroupClassification(**(SMALL | {'groups': ['near_infrared']}), freeze_backbone=frozen)
    trainer(tmp_path).fit(task, data)
    if not frozen:
        assert not data.features
        return
    batch = {'image': torch.stack([s['image'] for s in labelled()]).float() / 10000}
    kept = torch.stack([sample['features_0'] for sample in data.features['train'].samples])
    torch.testing.assert_close(kept.float(), task.features(batch)[0], atol=2e-2, rtol=2e-2)


def test_validation_of_another_task_sees_its_own_features(tmp_path):
    data = Memory(labelled())
    trainer(tmp_path).fit(GroupClassification(**SMALL), data)
    trainer(tmp_path).validate(GroupClassification(**SMALL), data, verbose=False)
    assert not data.features


def test_padded_dates_are_not_encoded():
    task = GroupSegmentation(**SMALL, bands=BANDS, num_classes=2, freeze_backbone=False)
    image, length = torch.rand(2, 3, 4, 32, 32), torch.tensor([3, 2])
    longer = torch.cat([image, torch.zeros(2, 4, 4, 32, 32)], 1)
    image[1, 2] = 0
    scores = []
    for series in (image, longer):
        torch.manual_seed(0)
        again = copy.deepcopy(task).train()
        scores.append(again({'image': series, 'length': length}))
    torch.testing.assert_close(scores[0], scores[1])


def test_several_labels_need_the_multilabel_task():
    task = GroupClassification(**SMALL, bands=BANDS, num_classes=3)
    with pytest.raises(ValueError, match=r'label is \(2, 3\) where one class .* task=multilabel'):
        task.loss(torch.zeros(2, 3), torch.ones(2, 3).long())


def test_checkpoint_of_another_kind():
    with pytest.raises(ValueError, match='of no task of torchgeo_saco, and this is GroupClass'):
        GroupClassification(**SMALL).on_load_checkpoint({'state_dict': {}})


def test_features_too_large_for_memory_are_taken_anew(tmp_path):
    data = Memory(labelled())
    data.setup('fit')
    read = data.train_dataset
    trainer(tmp_path, epochs=2).fit(GroupClassification(**SMALL, cache_gib=1e-9), data)
    assert not data.features
    assert read.reads > 3 * len(read)


def test_augmented_images_are_encoded_anew(tmp_path):
    data = Memory(labelled(), augment=True)
    trainer(tmp_path).fit(GroupClassification(**SMALL), data)
    assert not data.features


def test_statistics_are_those_of_the_training_images(tmp_path):
    task = GroupClassification(**SMALL)
    trainer(tmp_path).fit(task, Memory(labelled()))
    reflectance = torch.stack(images(12)).float() / 10000
    red = BANDS.index('B04')
    mean = task.model.encoder.inputs.standardize.running_mean[0]
    torch.testing.assert_close(mean, reflectance[:, red].mean())


def test_padded_dates_are_in_no_statistics(tmp_path):
    samples = masked(dates=3)
    for sample in samples[::2]:
        sample['image'][2] = 0
    lengths = [{**s, 'length': torch.tensor(2 + i % 2)} for i, s in enumerate(samples)]
    task = GroupSegmentation(**SMALL, decoder='linear')
    trainer(tmp_path).fit(task, Memory(lengths, batch_size=8))
    red = BANDS.index('B04')
    dates = [s['image'][: s['length'], red] for s in lengths]
    mean = task.model.encoder.inputs.standardize.running_mean[0]
    torch.testing.assert_close(mean, torch.cat(dates).float().mean() / 10000)


def test_checkpoint_comes_back(tmp_path):
    saver = ModelCheckpoint(tmp_path, save_last=True)
    runner = trainer(tmp_path, callbacks=[saver], enable_checkpointing=True)
    task = GroupClassification(**SMALL, histogram=True)
    runner.fit(task, Memory(labelled()))
    loaded = GroupClassification.load_from_checkpoint(saver.last_model_path, weights_only=True)
    batch = {'image': torch.rand(3, 4, 16, 16)}
    assert torch.equal(task.eval()(batch), loaded.eval()(batch))
    encoder = load_encoder(BANDS, 'sentinel2_l2a', weights=saver.last_model_path).encoder
    assert torch.equal(encoder.eval()(batch['image']), task.embed(batch))
    runner = trainer(tmp_path)
    runner.test(loaded, Memory(labelled()), verbose=False)
    assert 'test_OverallAccuracy' in runner.callback_metrics


def test_checkpoint_brings_the_groups_of_its_weights(tmp_path):
    saver = ModelCheckpoint(tmp_path, save_last=True)
    runner = trainer(tmp_path, callbacks=[saver], enable_checkpointing=True)
    runner.fit(GroupClassification(**SMALL), Memory(labelled()))
    other = ModelCheckpoint(tmp_path / 'other', save_last=True)
    task = GroupClassification(weights=saver.last_model_path)
    runner = trainer(tmp_path, callbacks=[other], enable_checkpointing=True)
    runner.fit(task, Memory(labelled()))
    loaded = GroupClassification.load_from_checkpoint(other.last_model_path, weights_only=True)
    assert loaded.model.encoder.inputs.names == SMALL['groups']
    batch = {'image': torch.rand(3, 4, 16, 16)}
    assert torch.equal(task.eval()(batch), loaded.eval()(batch))
    content = torch.load(other.last_model_path, weights_only=True)
    assert set(content['hyper_parameters']) <= {
        *signature(GroupClassification).parameters,
        *signature(DownstreamTask).parameters,
    }


@pytest.mark.parametrize(
    ('arguments', 'message'),
    [
        ({'loss': 'hinge'}, r"loss must be 'ce', .* got 'hinge'"),
        ({'loss': 'focal', 'class_weights': [1, 2]}, r"class_weights go with loss 'ce' alone"),
    ],
)
def test_losses_that_are_not(arguments, message):
    with pytest.raises(ValueError, match=message):
        GroupSegmentation(**SMALL, **arguments)


def test_class_weights_weigh():
    task = GroupSegmentation(**SMALL, class_weights=[1, 0], bands=BANDS, num_classes=2)
    scores, target = torch.randn(1, 2, 2, 2), torch.tensor([[[0, 1], [0, 1]]])
    wanted = torch.nn.functional.cross_entropy(scores[..., :1], target[..., :1])
    torch.testing.assert_close(task.loss(scores, target), wanted)


@pytest.mark.filterwarnings('ignore:The dirpath has changed')
def test_resumed_run_keeps_its_statistics(tmp_path):
    saver = ModelCheckpoint(tmp_path, save_last=True)
    runner = trainer(tmp_path, callbacks=[saver], enable_checkpointing=True)
    runner.fit(GroupClassification(**SMALL), Memory(labelled()))
    path = saver.last_model_path
    task, saver = GroupClassification(**SMALL), ModelCheckpoint(tmp_path / 'again')
    runner = trainer(tmp_path, epochs=2, callbacks=[saver], enable_checkpointing=True)
    runner.fit(task, Memory(labelled(seed=1)), ckpt_path=path)
    mean = torch.load(path)['state_dict']['model.encoder.inputs.standardize.running_mean']
    assert torch.equal(task.model.encoder.inputs.standardize.running_mean, mean)


def test_same_seed_same_weights(tmp_path):
    runs = []
    for _ in range(2):
        torch.manual_seed(3)
        task = GroupClassification(**SMALL)
        trainer(tmp_path).fit(task, Memory(labelled()))
        runs.append(task.state_dict())
    assert all(torch.equal(runs[0][key], runs[1][key]) for key in runs[0])


def test_classes_and_bands_come_from_the_data(tmp_path):
    task = GroupClassification(**SMALL)
    trainer(tmp_path).fit(task, Memory(labelled()))
    assert (task.hparams['num_classes'], task.hparams['labels']) == (2, ['dark', 'bright'])
    assert task.hparams['bands'] == list(BANDS)


@pytest.mark.parametrize(
    ('task', 'data', 'message'),
    [
        (
            {'num_classes': 5},
            {},
            r'task has 5 classes, the data 2: dark, bright; leave num_classes',
        ),
        (
            {'bands': ['B02', 'B03', 'B04'], 'num_classes': 2},
            {},
            r'built for the bands B02, B03, B04',
        ),
        ({'groups': ['urban']}, {}, r'no group can be formed from the bands B02, B03, B04, B08'),
        ({'statistics': 'weights'}, {}, r'weights bring none of natural_color'),
        ({}, {'classes': ['a']}, r'label holds class 1, but there are 1 classes'),
    ],
)
def test_data_that_do_not_fit(tmp_path, task, data, message):
    with pytest.raises(ValueError, match=message):
        trainer(tmp_path).fit(GroupClassification(**(SMALL | task)), Memory(labelled(), **data))


def test_images_with_other_channels():
    task = GroupClassification(**SMALL, bands=BANDS, num_classes=2)
    with pytest.raises(ValueError, match=r'image has 3 channels where the bands B02, B03'):
        task({'image': torch.rand(2, 3, 16, 16)})


def test_mask_of_another_size_than_the_image():
    task = GroupSegmentation(**SMALL, bands=BANDS, num_classes=2)
    with pytest.raises(ValueError, match=r'mask is \(16, 16\) px where the image is \(32, 32\)'):
        task({'image': torch.rand(2, 4, 32, 32), 'mask': torch.zeros(2, 16, 16).long()})


def test_model_without_bands():
    with pytest.raises(ValueError, match=r'set bands and num_classes'):
        GroupClassification(**SMALL)({'image': torch.rand(2, 4, 32, 32)})


def test_batch_without_any_labelled_pixel_teaches_nothing():
    task = GroupSegmentation(**SMALL, bands=BANDS, num_classes=2, decoder='linear')
    loss = task.loss(task({'image': torch.rand(2, 4, 32, 32)}), torch.full((2, 32, 32), -1))
    assert loss == 0
    loss.backward()


@pytest.mark.parametrize('loss', ['ce', 'focal', 'dice'])
def test_pixels_without_a_class_do_not_count(loss):
    task = GroupSegmentation(**SMALL, bands=BANDS, num_classes=3, loss=loss)
    scores = torch.randn(2, 3, 8, 8)
    target = torch.randint(0, 3, (2, 8, 8))
    target[:, :4] = -1
    other = scores.clone()
    other[:, :, :4] = torch.randn(2, 3, 4, 8)
    torch.testing.assert_close(task.loss(scores, target), task.loss(other, target))


def test_data_without_names(tmp_path):
    class Nameless(Memory):
        bands = classes = None

        def __init__(self, samples):
            super().__init__(samples)
            self.bands = self.classes = None

    with pytest.raises(ValueError, match=r'does not name its classes; set num_classes'):
        trainer(tmp_path).fit(GroupClassification(**SMALL), Nameless(labelled()))
    with pytest.raises(ValueError, match=r'does not name its bands; set bands'):
        trainer(tmp_path).fit(GroupClassification(**SMALL, num_classes=2), Nameless(labelled()))


def test_plain_loaders_train_without_taking_statistics(tmp_path):
    samples = [{**s, 'image': s['image'].float() / 10000} for s in labelled()]
    task = GroupClassification(**SMALL, bands=BANDS, num_classes=2)
    with pytest.warns(match='the groups keep the statistics that they have'):
        trainer(tmp_path).fit(task, DataLoader(samples, 4), DataLoader(samples, 4))
    assert not task.statistics_fitted


def test_rate_stays_where_epochs_are_not_counted(tmp_path):
    task = GroupClassification(**SMALL)
    trainer(tmp_path, epochs=-1, max_steps=3).fit(task, Memory(labelled()))
    assert task.optimizers().param_groups[0]['lr'] == task.hparams['lr']


@pytest.mark.parametrize('plots', [True, False])
def test_first_validation_image_is_drawn(tmp_path, plots):
    class Drawn(Memory):
        def plot(self, sample):
            if not plots:
                raise RGBBandsMissingError
            assert sample['prediction'].shape == sample['label'].shape == ()
            return plt.figure()

    logger, figures = TensorBoardLogger(tmp_path), plt.get_fignums()
    runner = trainer(tmp_path, logger=logger)
    task = GroupClassification(**SMALL, cache_gib=0)
    runner.fit(task, Drawn(labelled()))
    events = EventAccumulator(logger.log_dir).Reload()
    assert events.Tags()['images'] == (['prediction'] if plots else [])
    assert plt.get_fignums() == figures
