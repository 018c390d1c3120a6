# Copyright (c) torchgeo_saco Contributors. All rights reserved.
# Licensed under the MIT License.

"""Tests of the datamodule of PASTIS."""

import shutil

import pytest
import torch
from lightning.pytorch import Trainer
from torchgeo.datasets import PASTIS, DatasetNotFoundError

from torchgeo_saco.datamodules import benchmark
from torchgeo_saco.datamodules.pastis import PASTISFoldsDataModule
from torchgeo_saco.io.downloads import DownloadError

from ..data.benchmark_trees import write_pastis
from ..data.scenes import digest


@pytest.fixture(scope='module')
def tree(tmp_path_factory):
    """Six patches, the first and the last in fold 1. Not to be changed."""
    return write_pastis(tmp_path_factory.mktemp('pastis'))


def test_batches_of_every_stage(tree):
    data = PASTISFoldsDataModule(tree, bands=['B8a', 'B2'], batch_size=3)
    data.setup('fit')
    data.setup('test')
    assert len(data.classes) == 20
    assert (data.bands, data.sensor) == (('B8A', 'B02'), 'sentinel2_l2a')
    datasets = (data.train_dataset, data.val_dataset, data.test_dataset)
    numbers = [[sample['location'].item() for sample in dataset] for dataset in datasets]
    assert numbers == [[1, 2, 3, 6], [4], [5]]
    batch = next(iter(data.ordered_dataloader('train')))
    assert batch['image'].dtype == torch.int16
    assert batch['image'].shape == (3, 5, 2, 128, 128)
    assert batch['length'].tolist() == [3, 5, 4]
    after = data.on_after_batch_transfer(batch, 0)
    assert after['image'].dtype == torch.float32
    # 3000 x patch + 300 x date + 20 x position of the band in the file; then padding
    expected = [0.314, 0.3, 0.344, 0.33, 0.374, 0.36, 0, 0, 0, 0]
    assert after['image'][0, :, :, 0, 0].flatten().tolist() == pytest.approx(expected)


def test_all_bands_and_dates_by_default(tree):
    data = PASTISFoldsDataModule(tree)
    data.setup('test')
    assert data.bands == PASTIS.s2_bands
    assert data.test_dataset[0]['image'].shape == (2, 10, 128, 128)


def test_dates(tree):
    data = PASTISFoldsDataModule(tree, dates=2)
    data.setup('fit')
    assert next(iter(data.train_dataloader()))['length'].tolist() == [2, 2, 2, 2]


def test_folds_can_be_chosen(tree):
    data = PASTISFoldsDataModule(
        tree, bands=['B02'], train_folds=[5], val_folds=[2, 3], test_folds=[4]
    )
    data.setup('fit')
    assert [sample['location'].item() for sample in data.val_dataset] == [2, 3]


def test_series_and_mask_are_turned_alike(tree):
    data = PASTISFoldsDataModule(tree, bands=['B02'], augment=True)
    data.setup('fit')
    data.trainer = Trainer(logger=False, accelerator='cpu', barebones=True)
    data.trainer.training = True
    batch = next(iter(data.ordered_dataloader('train')))
    # The classes are columns and the numbers rows: beside each other, whatever the turn.
    batch['image'] = batch['image'] * 0 + batch['mask'][:, None, None].to(torch.int16)
    after = data.on_after_batch_transfer(batch, 0)
    pixels = (after['image'] * 10000).round().long()
    assert (pixels == after['mask'][:, None, None]).all()
    assert not torch.equal(after['mask'], batch['mask'])


@pytest.mark.parametrize(
    ('wrong', 'message'),
    [
        ({'val_folds': [3, 4]}, 'fold 3 is in train_folds and val_folds; remove it from one'),
        ({'test_folds': [1, 5]}, 'fold 1 is in train_folds and test_folds'),
        ({'test_folds': [4]}, 'fold 4 is in val_folds and test_folds'),
        ({'train_folds': []}, 'folds must be a list of some of 1, 2, 3, 4, 5'),
        ({'val_folds': [6]}, 'folds must be a list of some of 1, 2, 3, 4, 5'),
    ],
)
def test_wrong_folds(tree, wrong, message):
    with pytest.raises(ValueError, match=message):
        PASTISFoldsDataModule(tree, **wrong)


def test_fold_without_patches(tmp_path):
    data = PASTISFoldsDataModule(write_pastis(tmp_path, (2, 2, 2, 2)))
    data.setup('fit')
    with pytest.raises(ValueError, match=r'metadata\.geojson has no patch of fold 5'):
        data.setup('test')


@pytest.fixture
def origin(tree, tmp_path, monkeypatch):
    """Place to download from."""
    archive = shutil.make_archive(tmp_path / 'origin' / 'PASTIS-R', 'zip', tree, 'PASTIS-R')
    path = tmp_path / 'origin' / 'PASTIS-R.zip'
    assert str(path) == archive
    monkeypatch.setattr(PASTIS, 'url', path.as_uri())
    monkeypatch.setattr(PASTIS, 'md5', digest(path, 'md5'))
    return path


def test_download(origin, tmp_path):
    data = PASTISFoldsDataModule(tmp_path / 'root', download=True)
    data.prepare_data()
    data.setup('fit')
    assert len(data.train_dataset) == 4
    origin.unlink()
    data.prepare_data()


def test_download_that_was_extracted_in_part(origin, tmp_path):
    (tmp_path / 'root' / 'PASTIS-R' / 'DATA_S2').mkdir(parents=True)
    data = PASTISFoldsDataModule(tmp_path / 'root', download=True)
    data.prepare_data()
    data.setup('fit')


def test_damaged_download(origin, tmp_path, monkeypatch):
    monkeypatch.setattr(PASTIS, 'md5', 32 * '0')
    with pytest.raises(
        DownloadError, match=r'PASTIS-R\.zip was downloaded .* is damaged: its digest is'
    ):
        PASTISFoldsDataModule(tmp_path / 'root', download=True).prepare_data()
    PASTISFoldsDataModule(tmp_path / 'root', download=True, checksum=False).prepare_data()


def test_sample_is_generated_in_place_of_a_download(tree, tmp_path, monkeypatch):
    def generate(name, root):
        assert name == 'pastis'
        shutil.copytree(tree, root)

    monkeypatch.setattr(benchmark, 'generate_sample_benchmark', generate)
    data = PASTISFoldsDataModule(tmp_path / 'sample', archive='sample', download=True)
    data.prepare_data()
    data.setup('test')
    assert len(data.test_dataset) == 1


def test_missing_data(tmp_path):
    data = PASTISFoldsDataModule(tmp_path / 'none')
    data.prepare_data()
    with pytest.raises(DatasetNotFoundError, match='use `download=True`'):
        data.setup('fit')
