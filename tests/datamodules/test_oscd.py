# Copyright (c) torchgeo_saco Contributors. All rights reserved.
# Licensed under the MIT License.

"""Tests of the datamodule of OSCD."""

import shutil

import pytest
import torch
from matplotlib import pyplot as plt
from torchgeo.datasets import OSCD, DatasetNotFoundError

from torchgeo_saco.datamodules import benchmark
from torchgeo_saco.datamodules.oscd import OSCDTilesDataModule
from torchgeo_saco.io.downloads import DownloadError

from ..data.benchmark_trees import OSCD_BANDS, OSCD_NAME, write_oscd
from ..data.scenes import digest

PARTS = ('Images', 'Train Labels', 'Test Labels')


@pytest.fixture(scope='module')
def tree(tmp_path_factory):
    """Three cities to train on and two to test on, bands of natural colour. Not to be changed."""
    return write_oscd(tmp_path_factory.mktemp('oscd'), bands=['B02', 'B03', 'B04'])


@pytest.fixture
def origin(tmp_path, monkeypatch):
    """Place to download from."""
    cities = {'beirut': (20, 20), 'mumbai': (20, 20), 'pisa': (20, 20)}
    tree = write_oscd(tmp_path / 'tree', cities, {'rio': (20, 20)}, ['B04'])
    source = tmp_path / 'origin'
    names = [f'{OSCD_NAME} - {part}' for part in PARTS]
    for name in names:
        shutil.make_archive(source / name, 'zip', tree, name)
    files = {f'{name}.zip': source / f'{name}.zip' for name in names}
    monkeypatch.setattr(OSCD, 'urls', {name: path.as_uri() for name, path in files.items()})
    monkeypatch.setattr(OSCD, 'sha256s', {name: digest(path) for name, path in files.items()})
    return source


def read_small(root, **arguments):
    """Datamodule of the tiny download."""
    return OSCDTilesDataModule(root, bands=['B04'], size=16, **arguments)


def test_batches_of_every_stage(tree):
    data = OSCDTilesDataModule(tree, bands=['B4', 'B3', 'B2'], batch_size=3)
    data.setup('fit')
    data.setup('test')
    assert data.classes == ('no change', 'change')
    assert (data.bands, data.sensor) == (('B04', 'B03', 'B02'), 'sentinel2_l1c')
    # Tiles of aguasclaras (101, 97); of beirut and mumbai; of brasilia (97, 192) and rio (100, 110)
    datasets = (data.train_dataset, data.val_dataset, data.test_dataset)
    assert [len(dataset) for dataset in datasets] == [4, 4, 8]
    assert data.test_dataset.cities == ['brasilia', 'rio']
    batch = next(iter(data.test_dataloader()))
    assert batch['image'].dtype == torch.uint16
    assert batch['image'].shape == (3, 2, 3, 96, 96)
    assert batch['mask'].shape == (3, 96, 96)
    assert batch['column'].tolist() == [0, 96, 0]
    after = data.on_after_batch_transfer(batch, 0)['image']
    # Stored are 1000 x position of the band in the file, and 20000 more at the second date.
    assert after[0, :, :, 0, 0].flatten().tolist() == pytest.approx([0.2, 0.1, 0, 2.2, 2.1, 2])


def test_all_bands_by_default(tree):
    assert OSCDTilesDataModule(tree).bands == OSCD_BANDS


def test_every_pixel_of_the_test_is_counted_once(tree):
    data = OSCDTilesDataModule(tree, bands=['B04'], batch_size=3)
    data.setup('test')
    counted = sum(int((batch['mask'] >= 0).sum()) for batch in data.test_dataloader())
    assert counted == 97 * 192 + 100 * 110


def test_cities_held_out(tree):
    data = OSCDTilesDataModule(tree, bands=['B04'], val_cities=['aguasclaras'])
    data.setup('fit')
    assert data.val_dataset.cities == ['aguasclaras']
    assert data.train_dataset.cities == ['beirut', 'mumbai']


@pytest.mark.parametrize(
    ('cities', 'split'), [([], 'val'), (['aguasclaras', 'beirut', 'mumbai'], 'train')]
)
def test_empty_split(tree, cities, split):
    data = OSCDTilesDataModule(tree, bands=['B04'], val_cities=cities)
    with pytest.raises(ValueError, match=f"has no image in split '{split}'"):
        data.setup('fit')


def test_download(origin, tmp_path):
    root = tmp_path / 'root'
    data = read_small(root, download=True)
    data.prepare_data()
    data.setup('fit')
    data.setup('test')
    datasets = (data.train_dataset, data.val_dataset, data.test_dataset)
    assert [part.cities for part in datasets] == [['pisa'], ['beirut', 'mumbai'], ['rio']]
    assert data.train_dataset[0]['image'][1, 0, 0, 5] == 20005
    shutil.rmtree(origin)
    data.prepare_data()


@pytest.mark.parametrize('part', PARTS)
def test_download_of_the_part_that_is_absent(origin, tmp_path, part):
    root = tmp_path / 'root'
    read_small(root, download=True).prepare_data()
    shutil.rmtree(root / f'{OSCD_NAME} - {part}')
    kept = [path for path in root.iterdir() if path.is_dir()]
    ages = [path.stat().st_mtime_ns for path in kept]
    read_small(root, download=True).prepare_data()
    assert (root / f'{OSCD_NAME} - {part}').is_dir()
    assert [path.stat().st_mtime_ns for path in kept] == ages


def test_damaged_download(origin, tmp_path, monkeypatch):
    monkeypatch.setattr(OSCD, 'sha256s', dict.fromkeys(OSCD.urls, 64 * '0'))
    with pytest.raises(
        DownloadError, match=r'Images\.zip was downloaded .* is damaged: its digest is'
    ):
        read_small(tmp_path / 'root', download=True).prepare_data()
    read_small(tmp_path / 'root', download=True, checksum=False).prepare_data()


def test_sample_is_generated_in_place_of_a_download(tree, tmp_path, monkeypatch):
    def generate(name, root):
        assert name == 'oscd'
        shutil.copytree(tree, root)

    monkeypatch.setattr(benchmark, 'generate_sample_benchmark', generate)
    data = OSCDTilesDataModule(tmp_path / 'sample', archive='sample', download=True, bands=['B04'])
    data.prepare_data()
    data.setup('fit')
    assert len(data.train_dataset) == 4


def test_missing_data(tmp_path):
    data = OSCDTilesDataModule(tmp_path / 'none')
    data.prepare_data()
    with pytest.raises(DatasetNotFoundError, match='use `download=True`'):
        data.setup('fit')


def test_plot_of_a_batch(tree):
    data = OSCDTilesDataModule(tree, bands=['B04', 'B03', 'B02'])
    data.setup('validate')
    batch = data.on_after_batch_transfer(next(iter(data.val_dataloader())), 0)
    sample = {key: values[0] for key, values in batch.items()}
    figure = data.plot(sample, suptitle='change')
    assert len(figure.axes) == 3
    assert figure.get_suptitle() == 'change'
    plt.close('all')
