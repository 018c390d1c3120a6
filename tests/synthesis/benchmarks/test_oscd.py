# Copyright (c) torchgeo_saco Contributors. All rights reserved.
# Licensed under the MIT License.

import itertools
import re
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torchgeo.datasets import OSCD

from torchgeo_saco.io.raster import read_bands
from torchgeo_saco.synthesis.benchmarks.oscd import _TEST, _TRAIN, OSCDTree
from torchgeo_saco.synthesis.benchmarks.tree import Site
from torchgeo_saco.synthesis.products import level1c
from torchgeo_saco.synthesis.sensor import Sky

CROPS = {'wheat', 'rapeseed', 'maize', 'beet'}
CLEAR = Sky(gain=1.0, tilt=0.0, haze=0.0, cloud=0.0, azimuth=2.7, elevation=1.0)


@pytest.fixture(scope='module')
def root(small_tree: Callable[[str], Path]) -> Path:
    return small_tree('oscd')


def labels(root: Path, split: str, city: str) -> Path:
    return root / f'Onera Satellite Change Detection dataset - {split} Labels' / city / 'cm'


@pytest.mark.parametrize(
    ('split', 'cities'), [('train', {'aguasclaras', 'bercy'}), ('test', {'brasilia'})]
)
def test_torchgeo_reads_every_split(root: Path, split: str, cities: set[str]):
    dataset = OSCD(root, split, download=False, checksum=False)
    assert {files['region'] for files in dataset.files} == cities
    for index in range(len(dataset)):
        sample = dataset[index]
        image, mask = sample['image'], sample['mask']
        height, width = mask.shape[-2:]
        assert image.shape == (2, 13, height, width)
        assert height != width
        assert 100 <= min(height, width) <= max(height, width) <= 130
        assert torch.unique(mask).tolist() == [0, 1]
        assert image[:, dataset.all_bands.index('B10')].max() < 300
        assert image.max() > 1000


def test_files_are_as_in_the_release(root: Path):
    images = root / 'Onera Satellite Change Detection dataset - Images'
    for city in images.iterdir():
        lines = (city / 'dates.txt').read_text().splitlines()
        found = [re.fullmatch(rf'date_{n}: (201\d{{5}})', line) for n, line in enumerate(lines, 1)]
        assert len(found) == 2
        assert int(found[0][1]) + 5000 < int(found[1][1])
        for folder in ('imgs_1_rect', 'imgs_2_rect'):
            files = sorted(file.name for file in (city / folder).iterdir())
            assert files == sorted(f'{band}.tif' for band in OSCD.all_bands)
            assert read_bands(city / folder / 'B01.tif').dtype == np.uint16


def test_both_masks_say_the_same(root: Path):
    folder = labels(root, 'Test', 'brasilia')
    with Image.open(folder / 'cm.png') as image:
        assert image.mode == 'L'
        mask = np.array(image)
    assert set(np.unique(mask)) == {0, 255}
    assert np.array_equal(read_bands(folder / 'brasilia-cm.tif')[0], 1 + (mask > 0))


def test_cities_are_those_of_the_release():
    assert len(set(_TRAIN)) == 14
    assert len(set(_TEST)) == 10
    assert not set(_TRAIN) & set(_TEST)
    assert OSCDTree().count == 24


@pytest.mark.parametrize('number', [0, 5, 20])
def test_three_to_ten_percent_of_a_city_change(number: int):
    city = OSCDTree().city(number)
    height, width = city.shape
    assert all(150 <= side <= 230 and side % 96 for side in city.shape)
    assert height != width
    assert 0.03 < city.after.change_mask()[:height, :width].mean() < 0.1


@pytest.mark.parametrize('number', range(3))
def test_mask_marks_every_new_surface_but_crops(number: int):
    city = OSCDTree(2, sides=(100, 130)).city(number)
    before, after = (np.array(land.surfaces)[land.patches] for land in (city.before, city.after))
    rotated = np.isin(before, list(CROPS)) & np.isin(after, list(CROPS))
    assert np.array_equal((before != after) & ~rotated, city.after.changed)


def test_pixels_differ_where_the_mask_says():
    city = OSCDTree(3, sides=(100, 130)).city(0)
    size = city.before.side // 2
    where = Site(45.0, np.zeros((size, size)), 0.5, 0.0)
    # The same moment, once with and once without what was built, crops not rotated.
    later = city.after.copy()
    later.surfaces[: len(city.before.surfaces)] = city.before.surfaces
    later.delays[: len(city.before.delays)] = city.before.delays
    scenes = []
    for land in (city.before, later):
        rng = np.random.default_rng(0)
        scene = level1c(where.ground(land, 190, rng), where.terrain, CLEAR, rng)
        scenes.append(np.stack([scene[band] for band in ('B02', 'B04', 'B08', 'B11')]).astype(int))
    differs = np.abs(scenes[0] - scenes[1]).max(0)
    mask = city.after.change_mask().astype(bool)
    # The bands of 20 m and the point spread carry a difference a few pixels on.
    near = np.zeros_like(mask)
    for down, right in itertools.product(range(-6, 7), repeat=2):
        near |= np.roll(mask, (down, right), (0, 1))
    assert (differs[~near] == 0).all()
    assert (differs[mask] > 200).mean() > 0.9
