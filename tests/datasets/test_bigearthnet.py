# Copyright (c) torchgeo_saco Contributors. All rights reserved.
# Licensed under the MIT License.

"""Tests of BigEarthNet with bands by name."""

import importlib.util
import json

import numpy as np
import pandas as pd
import pytest
import torch
from torchgeo.datasets import (
    BigEarthNet,
    BigEarthNetV2,
    DatasetNotFoundError,
    DependencyNotFoundError,
)

from torchgeo_saco.datasets import BigEarthNetBands
from torchgeo_saco.io.raster import BandFileError

from ..data.archives import write_tif
from ..data.scenes import S2_BANDS, write_bigearthnet, write_bigearthnet_v2, write_table

PATCH = 'S2A_MSIL2A_20170617T113321_0_55'


@pytest.fixture(scope='module')
def tree(tmp_path_factory):
    """Tree of version 1. Not to be changed."""
    return write_bigearthnet(tmp_path_factory.mktemp('bigearthnet'))


@pytest.fixture
def small(tmp_path):
    """Tree of one patch in training."""
    return write_bigearthnet(tmp_path, train=[['Pastures']])


@pytest.fixture
def parquet(monkeypatch):
    """Tables are read from JSON, for the reader of Parquet files need not be installed."""

    def read(path, columns=None):
        with open(path) as file:
            table = pd.DataFrame(json.load(file))
        return table if columns is None else table[columns]

    monkeypatch.setattr(pd, 'read_parquet', read)
    monkeypatch.setattr(importlib.util, 'find_spec', lambda name: name)


@pytest.fixture
def second(tmp_path, parquet):
    """Tree of version 2."""
    return write_bigearthnet_v2(tmp_path)


def test_sample_keeps_stored_numbers(tree):
    dataset = BigEarthNetBands(tree)
    assert len(dataset) == 2
    assert dataset.bands == S2_BANDS
    sample = dataset[0]
    assert sample['image'].dtype == torch.uint16
    assert sample['image'].shape == (12, 120, 120)
    assert sample['label'].dtype == torch.int64


@pytest.mark.parametrize('num_classes', [19, 43])
@pytest.mark.parametrize('split', ['train', 'val', 'test'])
def test_samples_equal_those_of_torchgeo(tree, split, num_classes):
    theirs = BigEarthNet(tree, split, 's2', num_classes)
    ours = BigEarthNetBands(tree, split, num_classes=num_classes)
    assert len(ours) == len(theirs)
    for mine, other in zip(ours, theirs, strict=True):
        assert torch.equal(mine['image'].float(), other['image'])
        assert torch.equal(mine['label'], other['label'])


def test_only_files_of_the_bands_asked_for_are_read(small):
    whole = BigEarthNetBands(small)[0]['image']
    for path in (small / 'BigEarthNet-v1.0' / PATCH).glob('*.tif'):
        if path.stem[-3:] not in ('B8A', 'B04'):
            path.unlink()
    image = BigEarthNetBands(small, bands=['b8a', 'B4'])[0]['image']
    assert torch.equal(image.int(), whole[[8, 3]].int())


def test_labels_of_19_and_43_classes(tree):
    labels = [BigEarthNetBands(tree, num_classes=n)[1]['label'] for n in (19, 43)]
    # Airports are none of the 19 classes; the last of both lists is the sea.
    assert [label.nonzero().flatten().tolist() for label in labels] == [[18], [5, 42]]
    assert len(BigEarthNetBands(tree, num_classes=43).classes) == 43


def test_patch_whose_labels_are_none_of_the_19_has_no_label(tree):
    assert not BigEarthNetBands(tree, 'val')[0]['label'].any()


def test_labels_joined_into_one_count_once(tree):
    assert BigEarthNetBands(tree, 'test')[0]['label'].nonzero().tolist() == [[15]]


@pytest.mark.parametrize('split', ['train', 'val', 'test'])
def test_samples_of_version_2_equal_those_of_torchgeo(second, split):
    theirs = BigEarthNetV2(second, split, 's2')
    ours = BigEarthNetBands(second, split, version=2)
    assert len(ours) == len(theirs) == 1
    assert torch.equal(ours[0]['image'].float(), theirs[0]['image'])
    assert torch.equal(ours[0]['label'], theirs[0]['label'])
    assert ours[0]['label'].dtype == torch.int64


@pytest.mark.parametrize('version', [1, 2])
@pytest.mark.parametrize('absent', ['root', 'list', 'images'])
def test_missing_data(tmp_path, absent, version):
    if absent == 'list':
        (tmp_path / 'BigEarthNet-v1.0').mkdir()
        (tmp_path / 'BigEarthNet-S2').mkdir()
    if absent == 'images':
        (tmp_path / 'bigearthnet-train.csv').write_text('a,b\n')
        write_table(tmp_path, [])
    with pytest.raises(DatasetNotFoundError, match='use `download=True`'):
        BigEarthNetBands(tmp_path / 'none' if absent == 'root' else tmp_path, version=version)


@pytest.mark.parametrize(
    ('line', 'message'),
    [
        (PATCH, f"line 2: '{PATCH}' is not a Sentinel-2 and a Sentinel-1 patch; correct"),
        ('../x,y', r"line 2: '\.\./x,y' is not"),
        ('a/b,c', "line 2: 'a/b,c' is not"),
        (f'{PATCH},S1A', f'line 2: {PATCH} is in line 1 already; remove one'),
    ],
)
def test_wrong_list(small, line, message):
    (small / 'bigearthnet-train.csv').write_text(f'{PATCH},S1A\n{line}\n')
    with pytest.raises(ValueError, match=rf'bigearthnet-train\.csv, {message}'):
        BigEarthNetBands(small)


@pytest.mark.parametrize(
    ('text', 'message'),
    [
        ('{"labels": ["Pasture"]}', r"has the unknown label 'Pasture'; did you mean 'Pastures'\?"),
        ('{"labels": [["Pastures"]]}', r"has the unknown label \['Pastures'\]"),
        ('{"labels": []}', 'has no labels; fetch it again'),
        ('{"labels": "Pastures"}', 'has no labels; fetch it again'),
        ('{"label": ["Pastures"]}', r"holds no labels \(KeyError\('labels'\)\); fetch it again"),
        ('["Pastures"]', r'holds no labels \(TypeError'),
        ('{"labels": ["Past', r'holds no labels \(JSONDecodeError'),
        ('', r'holds no labels \(JSONDecodeError'),
        (None, 'is missing; fetch it again'),
    ],
)
def test_wrong_file_of_labels(small, text, message):
    path = small / 'BigEarthNet-v1.0' / PATCH / f'{PATCH}_labels_metadata.json'
    path.unlink() if text is None else path.write_text(text)
    with pytest.raises(ValueError, match=rf'{PATCH}_labels_metadata\.json {message}'):
        BigEarthNetBands(small)[0]


@pytest.mark.parametrize(
    ('image', 'message'),
    [
        (np.ones((60, 60), 'uint8'), r'_B11\.tif holds uint8 where uint16 is expected'),
        (np.ones((50, 50), 'uint16'), r'_B11\.tif is 50 x 50 px, which does not fit the grid'),
        (np.ones((2, 60, 60), 'uint16'), r'_B11\.tif has 2 bands where 1 is expected'),
    ],
)
def test_wrong_band_file(small, image, message):
    write_tif(small / 'BigEarthNet-v1.0' / PATCH / f'{PATCH}_B11.tif', image)
    with pytest.raises(BandFileError, match=message):
        BigEarthNetBands(small)[0]
    assert len(BigEarthNetBands(small, bands=['B12'])[0]['image']) == 1


def row(**changes):
    values = {'patch_id': 'S2A_T33_1_2', 'split': 'train', 'labels': ['Pastures']}
    return {**values, **changes}


@pytest.mark.parametrize(
    ('rows', 'message'),
    [
        ([row(patch_id='../S2A_1_2')], r"'\.\./S2A_1_2' is no patch, which is named <tile>_<col"),
        ([row(patch_id='S2A')], "'S2A' is no patch"),
        ([row(patch_id=7)], '7 is no patch'),
        ([row(), row()], 'lists S2A_T33_1_2 twice; remove one row'),
        ([row(labels=['Pasture'])], r"S2A_T33_1_2 has the unknown label 'Pasture'; did you mean"),
        ([row(labels=[])], 'S2A_T33_1_2 has no labels'),
        ([{'patch_id': 'S2A_T33_1_2'}], 'cannot be read as a Parquet file with columns patch_id, '),
    ],
)
def test_wrong_table(second, rows, message):
    write_table(second, rows)
    with pytest.raises(ValueError, match=rf'metadata\.parquet.*{message}'):
        BigEarthNetBands(second, version=2)


def test_no_reader_of_parquet_files(second, monkeypatch):
    monkeypatch.setattr(importlib.util, 'find_spec', lambda name: None)
    with pytest.raises(DependencyNotFoundError, match='pip install pyarrow'):
        BigEarthNetBands(second, version=2)


@pytest.mark.parametrize(
    ('wrong', 'message'),
    [
        ({'split': 'dev'}, "split must be one of train, val, test, got 'dev'"),
        ({'bands': ['B10']}, "Sentinel-2 L2A has no band 'B10'"),
        ({'num_classes': 20}, 'num_classes must be 19 or 43 in version 1, got 20'),
        ({'num_classes': 43, 'version': 2}, 'num_classes must be 19 in version 2, got 43'),
        ({'version': 3}, 'version must be 1 or 2, got 3'),
    ],
)
def test_wrong_argument(tree, wrong, message):
    with pytest.raises(ValueError, match=message):
        BigEarthNetBands(tree, **wrong)


@pytest.fixture
def real(tmp_path, real_data):
    """Patches of BigEarthNet."""
    source = real_data / 'bigearthnet_v1' / 'tiny'
    (tmp_path / 'BigEarthNet-v1.0').symlink_to(source)
    names = sorted(path.name for path in source.iterdir())
    for split in ('train', 'val', 'test'):
        rows = ''.join(f'{name},S1A\n' for name in names)
        (tmp_path / f'bigearthnet-{split}.csv').write_text(rows)
    return tmp_path


def test_real_patches_equal_those_of_torchgeo(real):
    theirs, ours = BigEarthNet(real, 'train', 's2'), BigEarthNetBands(real)
    assert len(ours) == len(theirs) == 11
    for mine, other in zip(ours, theirs, strict=True):
        assert torch.equal(mine['image'].float(), other['image'])
        assert torch.equal(mine['label'], other['label'])


def test_real_patches_are_plausible(real):
    dataset = BigEarthNetBands(real)
    means = torch.stack([sample['image'].double().mean((1, 2)) for sample in dataset])
    assert (means > 0).all()
    near_infrared, red = (means[:, dataset.bands.index(band)] for band in ('B08', 'B04'))
    pastures = torch.stack([sample['label'] for sample in dataset])[:, 4].bool()
    greenness = (near_infrared - red) / (near_infrared + red)
    # June in Ireland
    assert dataset.classes[4] == 'Pastures'
    assert pastures.any()
    assert greenness[pastures].min() > 0.6
