# Copyright (c) torchgeo_saco Contributors. All rights reserved.
# Licensed under the MIT License.

"""Tests of the datamodule of DFC2020."""

from collections import Counter
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml
from lightning.pytorch import LightningModule
from torchgeo.datasets import DatasetNotFoundError

from torchgeo_saco import synthesis
from torchgeo_saco.datamodules import DFC2020DataModule
from torchgeo_saco.synthesis.benchmarks import dfc2020 as sample_module
from torchgeo_saco.transforms import Backscatter

from ..data.archives import write_tif
from ..data.scenes import dfc2020_path, write_dfc2020
from ..data.tasks import trainer

CONFIGS = Path(__file__).parents[2] / 'configs'


@pytest.fixture(scope='module')
def tree(tmp_path_factory):
    """Both parts. Not to be changed."""
    return write_dfc2020(tmp_path_factory.mktemp('dfc2020'))


def made(tree, stages=('fit', 'test'), **arguments):
    data = DFC2020DataModule(tree, **({'batch_size': 4} | arguments))
    for stage in stages:
        data.setup(stage)
    return data


def test_modalities_are_named_the_optical_one_first(tree):
    data = made(tree, (), modalities=['s1', 's2'], bands=['B8', 'B04'])
    assert list(data.modality_bands.items()) == [('s2', ('B08', 'B04')), ('s1', ('VV', 'VH'))]
    assert data.modality_sensors == {'s2': 'sentinel2_l1c', 's1': 'sentinel1'}
    assert made(tree, (), modalities=['s1']).modality_bands == {'s1': ('VV', 'VH')}


def test_both_modalities_are_scaled_on_the_device(tree):
    data = made(tree)
    batch = next(iter(data.test_dataloader()))
    after = data.on_after_batch_transfer(batch, 0)
    assert batch['image'].dtype == torch.uint16
    assert torch.allclose(after['image'], batch['image'].float() / 10_000)
    assert torch.allclose(after['s1'], ((batch['s1'] + 25) / 25).clamp(0, 1))
    assert after['label'] is batch['label']
    radar = made(tree, modalities=['s1'])
    batch = next(iter(radar.test_dataloader()))
    assert set(batch) == {'s1', 'label'}
    assert torch.equal(radar.on_after_batch_transfer(batch, 0)['s1'], after['s1'])


def test_maximum_is_that_of_the_published_code(tree):
    data = made(tree, scaling='maximum')
    batch = next(iter(data.test_dataloader()))
    after = data.on_after_batch_transfer(batch, 0)
    for name, low, high in (('image', 0, 10_000), ('s1', -25, 0)):
        for image, scaled in zip(batch[name].double(), after[name], strict=True):
            clipped = image.numpy().clip(low, high) - low
            expected = clipped / (clipped.max((1, 2), keepdims=True) + 1e-5)
            assert np.allclose(scaled.numpy(), expected, atol=1e-3)
    assert after['image'].max() <= 1


def test_options_of_radar_are_passed_on(tree, tmp_path):
    plain, filtered = made(tree), made(tree, speckle_filter=True)
    batch = next(iter(plain.test_dataloader()))
    expected = Backscatter(speckle_filter=True)(batch['s1'])
    assert torch.equal(filtered.on_after_batch_transfer(batch, 0)['s1'], expected)
    root = write_dfc2020(tmp_path)
    image = np.full((2, 24, 24), -9, 'float32')
    image[:, 0, 0] = np.nan
    path = dfc2020_path(root, 'test', 's1', 0)
    path.unlink()
    write_tif(path, image)
    with pytest.raises(ValueError, match=r's1_0_p0\.tif holds 2 NaN'):
        next(iter(made(root).test_dataloader()))
    data = made(root, fill_nan=True)
    after = data.on_after_batch_transfer(next(iter(data.test_dataloader())), 0)
    assert (after['s1'][0, :, 0, 0] == 0).all()
    assert after['s1'].isfinite().all()


def test_a_fraction_is_of_different_patches_and_nested(tree):
    whole, half, fifth = (
        set(made(tree, fraction=fraction).train_dataset.scenes) for fraction in (1, 0.5, 0.2)
    )
    assert (len(whole), len(half), len(fifth)) == (18, 9, 4)
    assert fifth < half < whole
    other = made(tree, fraction=0.5, fraction_seed=1)
    assert set(other.train_dataset.scenes) != half
    # Only what is trained on is less.
    assert other.val_dataset.scenes == made(tree).val_dataset.scenes
    assert len(other.test_dataset) == 10


@pytest.mark.slow
def test_balanced_classes_occur_equally_often_of_the_patches_of_the_fraction(tmp_path):
    root = write_dfc2020(tmp_path, validation=60)
    numbers = np.ones((1, 24, 24), 'uint8')
    for number in range(30):
        # Half of the patches are forest.
        path = dfc2020_path(root, 'validation', 'dfc', number)
        path.unlink()
        write_tif(path, numbers)
    for fraction in (1.0, 0.5):
        plain = made(root, fraction=fraction).train_dataset
        data = made(root, fraction=fraction, balanced=True)
        balanced = data.train_dataset
        assert set(balanced.scenes) == set(plain.scenes)
        before = np.bincount(plain.labels, minlength=8)
        counts = np.bincount(balanced.labels, minlength=8)
        assert before.max() > 3 * before[before > 0].min()
        # A number of repeats that is rounded is off by a third at most.
        assert counts[before > 0].min() >= 0.66 * before.max()
        assert counts.max() <= 1.34 * before.max()
        often = Counter(balanced.scenes)
        for label in np.flatnonzero(before):
            of_class = {
                often[name] for name, own in zip(plain.scenes, plain.labels, strict=True)
                if own == label
            }  # fmt: skip
            assert len(of_class) == 1
        drawn = [batch['label'] for batch in data.train_dataloader()]
        assert sum(map(len, drawn)) == len(balanced) // 4 * 4


def test_several_labels_are_not_balanced(tree):
    with pytest.raises(ValueError, match='balanced=True needs one class for each patch; set task'):
        made(tree, (), task='multilabel', balanced=True)


@pytest.mark.parametrize('fraction', [0, 1.5])
def test_fraction_out_of_range(tree, fraction):
    with pytest.raises(ValueError, match=f'fraction must be above 0 and at most 1, got {fraction}'):
        made(tree, (), fraction=fraction)


class Seen(LightningModule):
    """Keeps the images that it is trained on."""

    def __init__(self):
        super().__init__()
        self.weight = torch.nn.Parameter(torch.zeros(()))
        self.batches = []

    def training_step(self, batch):
        self.batches.append({key: value.clone() for key, value in batch.items()})
        return self.weight * batch['image'].mean()

    def validation_step(self, batch):
        """Nothing is validated."""

    def configure_optimizers(self):
        return torch.optim.SGD(self.parameters(), 0.1)


def train(tree, tmp_path, **arguments):
    task = Seen()
    runner = trainer(tmp_path, 2, limit_val_batches=0)
    runner.fit(task, made(tree, (), **arguments))
    return task.batches


def test_windows_change_with_the_epoch_and_are_turned_alike(tree, tmp_path):
    arguments = {'size': 16, 'augment': True}
    first, again = (train(tree, tmp_path, **arguments) for _ in range(2))
    assert len(first) == 8
    assert all(torch.equal(one[key], other[key]) for one, other in zip(first, again, strict=True)
               for key in one)  # fmt: skip
    corners = [{}, {}]
    for step, batch in enumerate(first):
        for image, radar in zip(batch['image'], batch['s1'], strict=True):
            # Both tell number and pixel in two ways; only if turned alike, of all pixels the same.
            pixels = 10_000 * image[0] + 100 * (25 * radar[0] - 25)
            number = (pixels / 5 + 20).round().unique()
            assert len(number) == 1
            corner = round(10_000 * image[0].min().item()) - 10 * int(number)
            corners[step // 4][int(number)] = divmod(corner, 24)
    assert all(0 <= place <= 8 for part in corners for corner in part.values() for place in corner)
    both = corners[0].keys() & corners[1].keys()
    assert sum(corners[0][number] != corners[1][number] for number in both) > len(both) / 2 > 5
    # And they are turned at all.
    assert any((batch['image'][:, 0, 0, 0] > batch['image'][:, 0, -1, -1]).any() for batch in first)


def test_evaluation_reads_the_centre(tree):
    data = made(tree, size=16)
    whole = made(tree)
    for loader, other in (
        (data.ordered_dataloader('train'), whole.ordered_dataloader('train')),
        (data.test_dataloader(), whole.test_dataloader()),
    ):
        one, two = next(iter(loader)), next(iter(other))
        assert torch.equal(one['image'], two['image'][..., 4:20, 4:20])
        assert torch.equal(one['label'], two['label'])


def test_skipped_patches_and_absent_classes_are_said_once(tmp_path, caplog):
    root = write_dfc2020(tmp_path, test=2)
    path = dfc2020_path(root, 'test', 'dfc', 0)
    path.unlink()
    write_tif(path, np.full((1, 24, 24), 3, 'uint8'))
    with caplog.at_level('INFO'):
        made(root, ('test', 'test'))
    assert caplog.text.count('skipped: ') == 1
    assert f'skipped: {path} has no pixel of any class that counts' in caplog.text
    assert "split 'test' has no image of Forest, Grassland" in caplog.text


def test_the_published_data_are_not_downloaded(tree, tmp_path):
    with pytest.raises(
        ValueError, match=r'without an account of IEEE DataPort; fetch it from https'
    ):
        DFC2020DataModule(tmp_path, download=True).prepare_data()
    DFC2020DataModule(tree, download=True).prepare_data()
    with pytest.raises(DatasetNotFoundError):
        made(tmp_path)


@pytest.mark.slow
def test_the_sample_is_generated_by_its_configuration(tmp_path, monkeypatch):
    small = sample_module.DFC2020Tree(0, 20, (12, 6))
    monkeypatch.setitem(synthesis.benchmarks._TREES, 'dfc2020', lambda seed: small)
    values = yaml.safe_load((CONFIGS / 'data/dfc2020_sample.yaml').read_text())['data']
    data = DFC2020DataModule(**values['init_args'] | {'root': tmp_path / 'sample'})
    data.prepare_data()
    data.setup('fit')
    batch = next(iter(data.train_dataloader()))
    assert batch['image'].shape == (11, 13, 20, 20)
    assert batch['s1'].shape == (11, 2, 20, 20)
