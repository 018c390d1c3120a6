# Copyright (c) torchgeo_saco Contributors. All rights reserved.
# Licensed under the MIT License.

"""Tests of the datamodule of BigEarthNet."""

import importlib.util
import shutil
import tarfile

import pandas as pd
import pytest
import torch
from torchgeo.datasets import (
    BigEarthNet,
    BigEarthNetV2,
    DatasetNotFoundError,
    DependencyNotFoundError,
)

from torchgeo_saco.datamodules import BigEarthNetBandsDataModule, benchmark, bigearthnet
from torchgeo_saco.io.downloads import DownloadError

from ..data.scenes import S2_BANDS, digest, write_bigearthnet, write_bigearthnet_v2


@pytest.fixture(scope='module')
def tree(tmp_path_factory):
    """Tree of version 1. Not to be changed."""
    return write_bigearthnet(tmp_path_factory.mktemp('bigearthnet'))


@pytest.fixture
def origin(tree, tmp_path, monkeypatch):
    """Place to download version 1 from."""
    source = shutil.copytree(tree, tmp_path / 'origin')
    images = BigEarthNet.metadata['s2']
    with tarfile.open(source / images['filename'], 'w:gz') as archive:
        archive.add(source / images['directory'], images['directory'])
    shutil.rmtree(source / images['directory'])

    def here(part):
        path = source / part['filename']
        return part | {'url': path.as_uri(), 'md5': digest(path, 'md5')}

    lists = {split: here(part) for split, part in BigEarthNet.splits_metadata.items()}
    monkeypatch.setitem(BigEarthNet.metadata, 's2', here(images))
    monkeypatch.setattr(BigEarthNet, 'splits_metadata', lists)
    return source


@pytest.fixture
def second_origin(tmp_path, monkeypatch):
    """Place to download version 2 from, without radar and maps."""
    tree = write_bigearthnet_v2(tmp_path / 'tree')
    source = tmp_path / 'origin'
    source.mkdir()
    with tarfile.open(tmp_path / 'whole', 'w:gz') as archive:
        archive.add(tree / 'BigEarthNet-S2', 'BigEarthNet-S2')
    whole = (tmp_path / 'whole').read_bytes()
    (source / 'BigEarthNet-S2.tar.gzaa').write_bytes(whole[:1000])
    (source / 'BigEarthNet-S2.tar.gzab').write_bytes(whole[1000:])
    shutil.copy(tree / 'metadata.parquet', source)
    # TorchGeo gives SHA-256 digests of the images and MD5 digests of the table.
    sums = {'s2': {'files': {}}, 'metadata': {'files': {}}}
    for path in sorted(source.iterdir()):
        part, kind = ('s2', 'sha256') if 'S2' in path.name else ('metadata', 'md5')
        sums[part]['files'][path.name] = digest(path, kind)
    monkeypatch.setattr(BigEarthNetV2, 'url', source.as_uri() + '/{}')
    monkeypatch.setattr(BigEarthNetV2, 'metadata_locs', sums)
    monkeypatch.setattr(pd, 'read_parquet', lambda path, columns=None: pd.read_json(path))
    monkeypatch.setattr(importlib.util, 'find_spec', lambda name: name)
    return source


def test_batches_of_every_stage(tree):
    data = BigEarthNetBandsDataModule(tree, batch_size=4, bands=['B8', 'B4'])
    data.setup('fit')
    data.setup('test')
    assert data.classes == BigEarthNet.class_sets[19]
    assert data.bands == ('B08', 'B04')
    assert data.sensor == 'sentinel2_l2a'
    batch = next(iter(data.test_dataloader()))
    assert batch['image'].dtype == torch.uint16
    assert batch['image'].shape == (1, 2, 120, 120)
    assert batch['label'].shape == (1, 19)
    after = data.on_after_batch_transfer(batch, 0)
    assert torch.equal(after['image'], batch['image'].float() / 10000)


def test_all_bands_and_classes_asked_for(tree):
    data = BigEarthNetBandsDataModule(tree, num_classes=43)
    assert data.bands == S2_BANDS
    data.setup('validate')
    assert data.val_dataset[0]['label'].shape == (43,) == (len(data.classes),)


def test_splits_that_share_images(tree, tmp_path):
    shutil.copytree(tree, tmp_path / 'root')
    lists = [tmp_path / 'root' / f'bigearthnet-{split}.csv' for split in ('train', 'val')]
    shutil.copy(*lists)
    with pytest.raises(ValueError, match="splits 'train' and 'val' share 2 images, such as S2A"):
        BigEarthNetBandsDataModule(tmp_path / 'root').setup('fit')


def setup_all(root, **arguments):
    data = BigEarthNetBandsDataModule(root, download=True, **arguments)
    data.prepare_data()
    data.setup('fit')
    data.setup('test')
    return data


def test_download(origin, tmp_path):
    data = setup_all(tmp_path / 'root')
    parts = (data.train_dataset, data.val_dataset, data.test_dataset)
    assert [len(part) for part in parts] == [2, 1, 1]
    assert data.train_dataset[1]['image'].shape == (12, 120, 120)
    shutil.rmtree(origin)
    data.prepare_data()


def test_absent_list_alone_is_downloaded(origin, tmp_path):
    setup_all(tmp_path / 'root')
    (tmp_path / 'root' / 'bigearthnet-val.csv').unlink()
    for path in (origin, tmp_path / 'root'):
        (path / 'BigEarthNet-S2-v1.0.tar.gz').unlink()
    setup_all(tmp_path / 'root')


def test_damaged_download(origin, tmp_path, monkeypatch):
    wrong = BigEarthNet.metadata['s2'] | {'md5': 32 * '0'}
    monkeypatch.setitem(BigEarthNet.metadata, 's2', wrong)
    with pytest.raises(
        DownloadError, match=r'BigEarthNet-S2-v1\.0\.tar\.gz was downloaded .* is damaged'
    ):
        setup_all(tmp_path / 'root')
    setup_all(tmp_path / 'root', checksum=False)


@pytest.mark.parametrize('checksum', [True, False])
def test_download_of_version_2_fetches_no_more_than_is_read(second_origin, tmp_path, checksum):
    if not checksum:
        (second_origin / 'metadata.parquet').write_text(
            (second_origin / 'metadata.parquet').read_text() + '\n'
        )
    data = setup_all(tmp_path / 'root', version=2, checksum=checksum)
    assert len(data.test_dataset) == 1
    assert data.test_dataset[0]['label'].nonzero().tolist() == [[10]]
    names = {path.name for path in (tmp_path / 'root').iterdir()}
    assert not any('S1' in name or 'Maps' in name for name in names)


@pytest.mark.parametrize('name', ['metadata.parquet', 'BigEarthNet-S2.tar.gzab'])
def test_damaged_download_of_version_2(second_origin, tmp_path, name):
    (second_origin / name).write_bytes(b'[]')
    with pytest.raises(DownloadError, match=f'{name} was downloaded .* is damaged: its digest is'):
        setup_all(tmp_path / 'root', version=2)


def test_what_an_interrupted_run_has_fetched_is_extracted(second_origin, tmp_path):
    shutil.copytree(second_origin, tmp_path / 'root')
    assert len(setup_all(tmp_path / 'root', version=2).val_dataset) == 1


def test_version_2_is_not_downloaded_where_it_cannot_be_read(tmp_path, monkeypatch):
    monkeypatch.setattr(importlib.util, 'find_spec', lambda name: None)
    with pytest.raises(DependencyNotFoundError, match='pip install pyarrow'):
        setup_all(tmp_path / 'root', version=2)
    assert not (tmp_path / 'root').exists()


def test_parts_of_version_2_are_those_of_torchgeo():
    images, folder, lists = bigearthnet._second_version()
    assert [source.name for source in images] == [
        'BigEarthNet-S2.tar.gzaa',
        'BigEarthNet-S2.tar.gzab',
    ]
    assert folder == 'BigEarthNet-S2'
    assert {len(source.digest) for source in (*images, *lists)} == {32, 64}


def test_sample_is_generated_in_place_of_a_download(tree, tmp_path, monkeypatch):
    def generate(name, root):
        assert name == 'bigearthnet'
        shutil.copytree(tree, root)

    monkeypatch.setattr(benchmark, 'generate_sample_benchmark', generate)
    assert len(setup_all(tmp_path / 'sample', archive='sample').train_dataset) == 2


def test_missing_data(tmp_path):
    with pytest.raises(DatasetNotFoundError, match='use `download=True`'):
        BigEarthNetBandsDataModule(tmp_path / 'none').setup('fit')


@pytest.mark.parametrize(
    ('wrong', 'message'),
    [
        ({'bands': ['B10']}, "Sentinel-2 L2A has no band 'B10'"),
        ({'num_classes': 43, 'version': 2}, 'num_classes must be 19 in version 2, got 43'),
        ({'version': 2, 'archive': 'sample'}, 'the sample has the layout of version 1, got ver'),
    ],
)
def test_wrong_argument(tree, wrong, message):
    with pytest.raises(ValueError, match=message):
        BigEarthNetBandsDataModule(tree, **wrong)


def test_plot(tree):
    data = BigEarthNetBandsDataModule(tree)
    data.setup('fit')
    title = data.plot(data.train_dataset[0]).axes[0].get_title()
    assert title == 'Label: Urban fabric, Pastures'
