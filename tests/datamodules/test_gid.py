# Copyright (c) torchgeo_saco Contributors. All rights reserved.
# Licensed under the MIT License.

"""Tests of the datamodule of GID."""

import shutil

import numpy as np
import pytest
import torch
from torchgeo.datasets import GID15, DatasetNotFoundError

from torchgeo_saco.datamodules import benchmark
from torchgeo_saco.datamodules.gid import GIDWindowsDataModule
from torchgeo_saco.io.downloads import DownloadError

from ..data.benchmark_trees import (
    GID_NAMES,
    GID_SHAPE,
    gid_files,
    gid_image,
    write_gid,
    write_gid5,
    write_png,
)
from ..data.scenes import digest


@pytest.fixture(scope='module')
def tree(tmp_path_factory):
    """Three tiles to train on and one to test on. Not to be changed."""
    return write_gid(tmp_path_factory.mktemp('gid'))


@pytest.mark.parametrize('classes', [15, 5])
def test_batches_of_every_stage(tree, classes):
    data = GIDWindowsDataModule(tree, classes=classes, size=32, batch_size=4)
    data.prepare_data()
    data.setup('fit')
    data.setup('test')
    assert len(data.classes) == classes
    assert (data.bands, data.sensor) == (('R', 'G', 'B'), 'rgb')
    datasets = (data.train_dataset, data.val_dataset, data.test_dataset)
    assert [len(dataset.tiles) for dataset in datasets] == [2, 1, 1]
    assert not {t.name for t in data.train_dataset.tiles} & {t.name for t in data.val_dataset.tiles}
    assert [tile.name for tile in data.test_dataset.tiles] == ['GF2_PMS2__L1A09-MSS2']
    batch = next(iter(data.test_dataloader()))
    assert batch['image'].dtype == torch.uint8
    assert batch['image'].shape == (4, 3, 32, 32)
    after = data.on_after_batch_transfer(batch, 0)['image']
    assert np.allclose(after[0], gid_image(3)[:, :32, :32] / np.float32(255))


def test_arguments_of_the_windows(tree):
    data = GIDWindowsDataModule(
        tree, size=16, stride=8, val_fraction=0.5, keep_unlabelled=True, bands=['B']
    )
    data.setup('fit')
    assert data.train_dataset[0]['image'].shape == (1, 16, 16)
    # Rows 0, 8, ..., 48, 54 and columns 0, 8, ..., 72, 74 of one tile
    assert len(data.train_dataset) == 8 * 11
    assert len(data.val_dataset) == 2 * 5 * 6


def test_masks_are_copied_before_the_stages(tmp_path, caplog):
    root = write_gid(tmp_path / 'root')
    cache = tmp_path / 'cache'
    data = GIDWindowsDataModule(root, size=32, cache=cache)
    with caplog.at_level('INFO'):
        data.prepare_data()
    assert f'{root}: copied 4 masks to GeoTIFFs of tiles, once' in caplog.text
    assert len(list(cache.glob('ann_tiled/*/*.tif'))) == 4
    assert sorted(path.name for path in (root / 'GID').iterdir()) == ['ann_dir', 'img_dir']
    caplog.clear()
    with caplog.at_level('INFO'):
        data.prepare_data()
        data.setup('fit')
    assert not caplog.records
    (tmp_path / 'root' / 'GID' / 'ann_dir').chmod(0o755)
    assert len(data.train_dataset) == 18


def test_windows_left_out_are_counted(tmp_path, caplog):
    write_gid(tmp_path)
    for name in GID_NAMES:
        numbers = np.zeros(GID_SHAPE, 'uint8')
        numbers[0, 0] = 3
        write_png(gid_files(tmp_path, 'train', name)[1], numbers)
    data = GIDWindowsDataModule(tmp_path, size=32)
    data.prepare_data()
    with caplog.at_level('INFO'):
        data.setup('fit')
        data.setup('fit')
    assert caplog.text.count('skipped 16 training windows without a labelled pixel, 2 rem') == 1
    assert len(data.val_dataset) == 9


def test_empty_split(tree):
    with pytest.raises(ValueError, match="has no image in split 'val'"):
        GIDWindowsDataModule(tree, size=32, val_fraction=0).setup('fit')


def test_release_of_five_classes(tmp_path):
    data = GIDWindowsDataModule(write_gid5(tmp_path), classes=5, release='gid5', size=32)
    data.prepare_data()
    data.setup('fit')
    data.setup('test')
    assert data.classes == ('built-up', 'farmland', 'forest', 'meadow', 'water')
    datasets = (data.train_dataset, data.val_dataset, data.test_dataset)
    assert [len(dataset.tiles) for dataset in datasets] == [1, 1, 1]
    assert data.test_dataset.tiles[0].name == GID_NAMES[2]


@pytest.mark.parametrize(
    ('wrong', 'message'),
    [
        ({'release': 'gid5', 'classes': 5, 'download': True}, 'can be neither downloaded nor gen'),
        ({'release': 'gid5', 'classes': 5, 'archive': 'sample'}, 'can be neither downloaded'),
        ({'release': 'gid5'}, "classes must be 5 in release 'gid5', got 15"),
        ({'classes': 6}, 'classes must be 15 or 5'),
        ({'bands': ['B08']}, "RGB has no band 'B08'"),
    ],
)
def test_wrong_argument(tree, wrong, message):
    with pytest.raises(ValueError, match=message):
        GIDWindowsDataModule(tree, **wrong)


@pytest.fixture
def origin(tmp_path, monkeypatch):
    """Place to download from."""
    tree = write_gid(tmp_path / 'tree')
    path = tmp_path / 'origin' / 'gid-15.zip'
    shutil.make_archive(path.with_suffix(''), 'zip', tree, 'GID')
    monkeypatch.setattr(GID15, 'url', path.as_uri())
    monkeypatch.setattr(GID15, 'md5', digest(path, 'md5'))
    return path


def test_download(origin, tmp_path):
    data = GIDWindowsDataModule(tmp_path / 'root', download=True, size=32)
    data.prepare_data()
    data.setup('fit')
    data.setup('test')
    assert len(data.test_dataset) == 9
    origin.unlink()
    data.prepare_data()


def test_damaged_download(origin, tmp_path, monkeypatch):
    monkeypatch.setattr(GID15, 'md5', 32 * '0')
    with pytest.raises(DownloadError, match=r'gid-15\.zip was downloaded .* is damaged'):
        GIDWindowsDataModule(tmp_path / 'root', download=True).prepare_data()
    GIDWindowsDataModule(tmp_path / 'root', download=True, checksum=False, size=32).prepare_data()


def test_sample_is_generated_in_place_of_a_download(tree, tmp_path, monkeypatch):
    def generate(name, root):
        assert name == 'gid'
        shutil.copytree(tree, root)

    monkeypatch.setattr(benchmark, 'generate_sample_benchmark', generate)
    data = GIDWindowsDataModule(tmp_path / 'sample', archive='sample', download=True, size=32)
    data.prepare_data()
    data.setup('test')
    assert len(data.test_dataset) == 9


def test_missing_data(tmp_path):
    data = GIDWindowsDataModule(tmp_path / 'none')
    data.prepare_data()
    with pytest.raises(DatasetNotFoundError, match='use `download=True`'):
        data.setup('fit')
