# Copyright (c) torchgeo_saco Contributors. All rights reserved.
# Licensed under the MIT License.

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import rasterio
import torch
from torchgeo.datasets import EuroSAT, EuroSATSpatial

from torchgeo_saco.bands import band_index
from torchgeo_saco.synthesis.benchmarks import eurosat

SPLITS = {'train': 30, 'val': 10, 'test': 10}


@pytest.fixture(scope='module')
def root(small_tree: Callable[[str], Path]) -> Path:
    return small_tree('eurosat')


def names(root: Path, part: str) -> list[str]:
    return (root / f'{part}.txt').read_text().splitlines()


def path(root: Path, name: str) -> Path:
    folder = root / EuroSAT.base_dir / name.split('_')[0]
    return folder / name.replace('.jpg', '.tif')


@pytest.mark.parametrize('kind', [EuroSAT, EuroSATSpatial])
@pytest.mark.parametrize('split', SPLITS)
def test_torchgeo_reads_every_split(root: Path, kind: type[EuroSAT], split: str):
    dataset = kind(root, split, download=False, checksum=False)
    assert len(dataset) == SPLITS[split]
    assert dataset.classes == list(eurosat._CLASSES)
    samples = [dataset[index] for index in range(len(dataset))]
    labels = torch.stack([sample['label'] for sample in samples])
    assert torch.bincount(labels).tolist() == [SPLITS[split] // 10] * 10
    assert all(sample['image'].shape == (13, 64, 64) for sample in samples)


def test_bands_lie_in_the_order_of_torchgeo(root: Path):
    assert eurosat._BANDS == EuroSAT.all_band_names


def test_files_are_as_in_the_release(root: Path):
    files = sorted((root / EuroSAT.base_dir).glob('*/*.tif'))
    assert len(files) == 50
    for file in files:
        with rasterio.open(file) as image:
            assert image.dtypes == ('uint16',) * 13
            assert image.shape == (64, 64)
            assert image.res == (10, 10)
            assert 32601 <= image.crs.to_epsg() <= 32660
            pixels = image.read()
        cirrus, vapour, narrow = pixels[band_index(eurosat._BANDS, ['B10', 'B09', 'B8A'])]
        assert cirrus.max() < 300
        assert cirrus.std() > 0
        # Water vapour takes most of what B8A sees beside it.
        assert vapour.mean() < 0.6 * narrow.mean()


@pytest.mark.parametrize('prefix', ['eurosat', 'eurosat-spatial'])
def test_splits_share_no_image_and_leave_none_out(root: Path, prefix: str):
    parts = [names(root, f'{prefix}-{split}') for split in SPLITS]
    together = [name for part in parts for name in part]
    assert len(set(together)) == len(together) == 50
    assert all(path(root, name).is_file() for name in together)


def test_spatial_split_goes_from_west_to_east(root: Path):
    ranges = []
    for split in SPLITS:
        longitudes = []
        for name in names(root, f'eurosat-spatial-{split}'):
            with rasterio.open(path(root, name)) as image:
                longitudes.append(image.lnglat()[0])
        ranges += [min(longitudes), max(longitudes)]
    assert ranges == sorted(ranges)


def test_blue_is_lifted_over_water(root: Path):
    with rasterio.open(path(root, 'SeaLake_1.jpg')) as image:
        spectrum = np.median(image.read(), axis=(1, 2))
    bands = ['B01', 'B02', 'B04', 'B08', 'B12']
    assert np.all(np.diff(spectrum[band_index(eurosat._BANDS, bands)]) < 0)
    assert spectrum[0] > 800
