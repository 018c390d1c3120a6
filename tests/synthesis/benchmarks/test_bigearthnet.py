# Copyright (c) torchgeo_saco Contributors. All rights reserved.
# Licensed under the MIT License.

import json
import re
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import rasterio
from torchgeo.datasets import BigEarthNet

from torchgeo_saco.bands import SENTINEL2_L2A
from torchgeo_saco.synthesis.benchmarks.bigearthnet import _LABELS, _RIVER, _countryside

SPLITS = {'train': 6, 'val': 2, 'test': 2}


@pytest.fixture(scope='module')
def root(small_tree: Callable[[str], Path]) -> Path:
    return small_tree('bigearthnet')


def description(folder: Path) -> dict:
    return json.loads((folder / f'{folder.name}_labels_metadata.json').read_text())


@pytest.mark.parametrize('split', SPLITS)
@pytest.mark.parametrize(('bands', 'channels'), [('s1', 2), ('s2', 12), ('all', 14)])
def test_torchgeo_reads_every_split(root: Path, split: str, bands: str, channels: int):
    for classes in (19, 43):
        dataset = BigEarthNet(root, split, bands, classes, download=False, checksum=False)
        assert len(dataset) == SPLITS[split]
        for index in range(len(dataset)):
            sample = dataset[index]
            assert sample['image'].shape == (channels, 120, 120)
            assert sample['label'].shape == (classes,)
            assert 1 <= sample['label'].sum() <= 5


def test_optical_patches_are_as_in_the_release(root: Path):
    folders = sorted((root / 'BigEarthNet-v1.0').iterdir())
    assert len(folders) == 10
    for folder in folders:
        assert re.fullmatch(r'S2[AB]_MSIL2A_201[78]\d{4}T\d{6}_\d+_\d+', folder.name)
        corners = set()
        for band, metres in SENTINEL2_L2A.bands.items():
            with rasterio.open(folder / f'{folder.name}_{band}.tif') as image:
                assert image.dtypes == ('uint16',)
                assert image.shape == (1200 / metres, 1200 / metres)
                assert image.res == (metres, metres)
                corners.add((image.bounds.left, image.bounds.top, image.bounds.right))
        assert len(list(folder.iterdir())) == 13
        known = description(folder)
        assert list(known) == [
            'labels',
            'coordinates',
            'projection',
            'tile_source',
            'acquisition_date',
        ]
        spot = known['coordinates']
        assert corners == {(spot['ulx'], spot['uly'], spot['lrx'])}
        assert spot['uly'] - spot['lry'] == 1200
        assert folder.name[11:26] in known['tile_source']


def test_radar_patches_belong_to_optical_ones(root: Path):
    for folder in (root / 'BigEarthNet-S1-v1.0').iterdir():
        pattern = r'S1A_IW_GRDH_1SDV_201[78]\d{4}T\d{6}_\d{2}[A-Z]{3}_\d+_\d+'
        assert re.fullmatch(pattern, folder.name)
        known = description(folder)
        assert list(known) == [
            'labels',
            'coordinates',
            'projection',
            'corresponding_s2_patch',
            'scene_source',
            'acquisition_time',
        ]
        other = description(root / 'BigEarthNet-v1.0' / known['corresponding_s2_patch'])
        assert known['labels'] == other['labels']
        assert known['coordinates']['ulx'] == other['coordinates']['ulx']
        decibel = []
        for name in ('VH', 'VV'):
            with rasterio.open(folder / f'{folder.name}_{name}.tif') as image:
                assert image.dtypes == ('float32',)
                assert image.shape == (120, 120)
                decibel.append(np.median(image.read(1)))
        assert -30 < decibel[0] < decibel[1] < 0


def test_lists_pair_the_patches(root: Path):
    pairs = [
        tuple(line.split(','))
        for split in SPLITS
        for line in (root / f'bigearthnet-{split}.csv').read_text().splitlines()
    ]
    assert len(set(pairs)) == 10
    for optical, radar in pairs:
        known = description(root / 'BigEarthNet-S1-v1.0' / radar)
        assert known['corresponding_s2_patch'] == optical


def test_labels_are_names_of_the_43_classes_in_their_order():
    names = BigEarthNet.class_sets[43]
    assert {*_LABELS.values(), _RIVER} <= set(names)
    for seed in range(20):
        _, labels = _countryside(np.random.default_rng(seed))
        locations = [names.index(label) for label in labels]
        assert labels
        assert locations == sorted(set(locations))


@pytest.mark.slow
def test_labels_are_of_covers_that_are_there():
    cover_of = {
        'Coniferous forest': 'conifer trees',
        'Broad-leaved forest': 'broadleaf trees',
        'Water bodies': 'water',
        'Water courses': 'water',
        'Discontinuous urban fabric': 'building',
        'Industrial or commercial units': 'building',
        'Pastures': 'grass',
    }
    seen = set()
    for seed in range(40):
        location, labels = _countryside(np.random.default_rng(seed))
        seen |= set(labels)
        for label in cover_of.keys() & set(labels):
            assert location.cover_of(cover_of[label]).mean() > 0.01
        if 'Water bodies' not in labels and 'Water courses' not in labels:
            assert location.cover_of('water').mean() < 0.08
        built = {'Discontinuous urban fabric', 'Industrial or commercial units'}
        if not built & set(labels):
            assert location.cover_of('building').mean() < 0.05
    assert seen == {*_LABELS.values(), _RIVER}
