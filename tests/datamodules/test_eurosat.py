# Copyright (c) torchgeo_saco Contributors. All rights reserved.
# Licensed under the MIT License.

"""Tests of the datamodule of EuroSAT."""

import shutil

import pytest
import torch
from torchgeo.datasets import DatasetNotFoundError, EuroSAT, EuroSATSpatial

from torchgeo_saco.datamodules import EuroSATBandsDataModule, benchmark
from torchgeo_saco.io.downloads import DownloadError

from ..data.scenes import CLASSES, digest, write_eurosat


@pytest.fixture(scope='module')
def tree(tmp_path_factory):
    """Tree with all classes in every split. Not to be changed."""
    return write_eurosat(tmp_path_factory.mktemp('eurosat'))


@pytest.fixture(params=[False, True], ids=['random', 'spatial'])
def origin(request, tmp_path, monkeypatch):
    """Place to download from, and whether its split is spatial."""
    spatial = request.param
    tree = write_eurosat(
        tmp_path / 'tree', spatial, train=['River_1'], val=['River_2'], test=['River_3']
    )
    source = tmp_path / 'origin'
    source.mkdir()
    sums = {}
    for split, name in (EuroSATSpatial if spatial else EuroSAT).split_filenames.items():
        sums[split] = digest(shutil.move(tree / name, source / name))
    shutil.make_archive(source / 'EuroSATallBands', 'zip', tree)
    monkeypatch.setattr(EuroSAT, 'url', f'{source.as_uri()}/')
    monkeypatch.setattr(EuroSAT, 'sha256', digest(source / 'EuroSATallBands.zip'))
    monkeypatch.setattr(EuroSATSpatial if spatial else EuroSAT, 'split_sha256s', sums)
    return source, spatial


def test_batches_of_every_stage(tree):
    data = EuroSATBandsDataModule(tree, batch_size=4, bands=['B4', 'B3', 'B2'])
    data.setup('fit')
    data.setup('test')
    assert data.classes == CLASSES
    assert data.bands == ('B04', 'B03', 'B02')
    assert data.sensor == 'sentinel2_l1c'
    sizes = [len(loader) for loader in (data.train_dataloader(), data.val_dataloader())]
    assert sizes == [5, 3]
    batch = next(iter(data.test_dataloader()))
    assert batch['image'].dtype == torch.uint16
    assert batch['label'].tolist() == [0, 1, 2, 3]
    after = data.on_after_batch_transfer(batch, 0)
    # Stored are 100 x position of the band in the file + number of the image.
    assert after['image'][0, :, 0, 0].tolist() == pytest.approx([0.0304, 0.0204, 0.0104])


def test_all_bands_by_default(tree):
    assert EuroSATBandsDataModule(tree).bands == EuroSAT.all_band_names


def test_absent_classes_are_named(tmp_path, caplog):
    names = [f'{name}_1' for name in CLASSES if name != 'Forest']
    write_eurosat(tmp_path, train=names, val=[f'{name}_2' for name in CLASSES])
    with caplog.at_level('INFO'):
        EuroSATBandsDataModule(tmp_path).setup('fit')
    assert "split 'train' has no image of Forest; means over classes leave them" in caplog.text
    assert "split 'val'" not in caplog.text


def test_splits_that_share_images(tmp_path):
    write_eurosat(tmp_path, train=['River_1', 'River_2'], val=['River_2'])
    with pytest.raises(ValueError, match="splits 'train' and 'val' share 1 images, such as Riv"):
        EuroSATBandsDataModule(tmp_path).setup('fit')


def test_empty_split(tmp_path):
    write_eurosat(tmp_path, train=['River_1'], val=[])
    with pytest.raises(ValueError, match="has no image in split 'val'"):
        EuroSATBandsDataModule(tmp_path).setup('fit')


def test_download(origin, tmp_path):
    source, spatial = origin
    data = EuroSATBandsDataModule(tmp_path / 'root', download=True, spatial=spatial)
    data.prepare_data()
    data.setup('fit')
    data.setup('test')
    parts = (data.train_dataset, data.val_dataset, data.test_dataset)
    assert [part.scenes for part in parts] == [['River_1'], ['River_2'], ['River_3']]
    assert data.train_dataset[0]['image'][4, 0, 0] == 401
    shutil.rmtree(source)
    data.prepare_data()


def test_damaged_download(origin, tmp_path, monkeypatch):
    _, spatial = origin
    monkeypatch.setattr(EuroSAT, 'sha256', 64 * '0')
    with pytest.raises(
        DownloadError, match=r'EuroSATallBands\.zip was downloaded .* is damaged: its digest is'
    ):
        EuroSATBandsDataModule(tmp_path / 'root', download=True, spatial=spatial).prepare_data()
    data = EuroSATBandsDataModule(tmp_path / 'root', download=True, checksum=False, spatial=spatial)
    data.prepare_data()
    data.setup('fit')


def test_sample_is_generated_in_place_of_a_download(tree, tmp_path, monkeypatch):
    def generate(name, root):
        assert name == 'eurosat'
        shutil.copytree(tree, root)

    monkeypatch.setattr(benchmark, 'generate_sample_benchmark', generate)
    data = EuroSATBandsDataModule(tmp_path / 'sample', archive='sample', download=True)
    data.prepare_data()
    data.setup('fit')
    assert len(data.train_dataset) == 20


def test_missing_data(tmp_path):
    data = EuroSATBandsDataModule(tmp_path / 'none')
    data.prepare_data()
    with pytest.raises(DatasetNotFoundError, match='use `download=True`'):
        data.setup('fit')


def test_plot(tree):
    data = EuroSATBandsDataModule(tree)
    data.setup('validate')
    assert data.plot(data.val_dataset[9]).axes[0].get_title() == 'Label: SeaLake'
