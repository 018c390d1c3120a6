# Copyright (c) torchgeo_saco Contributors. All rights reserved.
# Licensed under the MIT License.

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import rasterio

from torchgeo_saco.datasets import DynamicEarthNetWindows
from torchgeo_saco.datasets.dynamicearthnet import CLASSES
from torchgeo_saco.synthesis.benchmarks import dynamicearthnet
from torchgeo_saco.synthesis.benchmarks.dynamicearthnet import DynamicEarthNetTree


@pytest.fixture(scope='module')
def root(small_tree: Callable[[str], Path]) -> Path:
    return small_tree('dynamicearthnet')


@pytest.mark.parametrize('split', ['train', 'val', 'test'])
def test_every_split_is_read(root: Path, split: str):
    dataset = DynamicEarthNetWindows(root, split, size=80)
    assert [month.date for month in dataset.months] == [20180301, 20180901, 20190301]
    assert all((sample['mask'] >= 0).all() for sample in dataset)


def test_classes_are_those_of_the_data_set():
    assert dynamicearthnet._CLASSES == (*CLASSES, 'snow and ice')


def test_files_lie_on_one_grid_of_3_m(root: Path):
    for path in [*root.glob('planet/*/*/*/PF-SR/*.tif'), *root.glob('labels/*/*/*/*/*.tif')]:
        with rasterio.open(path) as file:
            assert file.res == (3, 3)
            assert file.crs.is_projected
            assert (file.count, set(file.dtypes)) in ((4, {'uint16'}), (7, {'uint8'}))


def test_names_tell_the_place():
    # https://github.com/aysim/dynnet/issues/8: 10N/23E-188N/1311_3077_13, 10N-122W-40N
    assert dynamicearthnet._web_tile(-122.37, 40.8) == '1311_3077_13'


def test_default_areas_have_every_class_but_snow_and_change():
    tree = DynamicEarthNetTree()
    seen, cleared, built = set(), 0, 0
    for number in range(8):
        area = tree._area(number)
        months = [tree._month(number, area, rank) for rank in range(6)]
        labels = [tree._labels(land, marsh) for land, marsh in months]
        assert all((bands.sum(0) == 255).all() for bands in labels)
        numbers = [bands.argmax(0) for bands in labels]
        seen |= set(np.unique(numbers))
        # April, and July: lakes fall.
        water, soil = (np.array([(n == CLASSES.index(c)).sum() for n in numbers])
                       for c in ('water', 'soil'))  # fmt: skip
        assert water[0] == water[3] > water[1] == water[4]
        assert soil[1] > soil[0]
        plots = [
            set(np.asarray(land.surfaces)[land.patches[area.plot]].tolist()) for land, _ in months
        ]
        cleared += {'soil'} in plots
        built += plots[-1] <= {'concrete', 'tile_roof', 'slate_roof', 'metal_roof'}
        assert not plots[0] <= {'soil', 'concrete'}
        # What is built stays as it is.
        shown = [
            np.asarray(land.surfaces)[land.patches[area.plot]]
            for land, _ in months[area.steps[1] :]
        ]
        assert all(np.array_equal(shown[0], other) for other in shown[1:])
    assert seen == set(range(6))
    assert cleared >= 3
    assert built >= 3


def test_water_is_dark_in_the_near_infrared_and_forest_bright():
    tree = DynamicEarthNetTree()
    area = tree._area(0)
    land, marsh = tree._month(0, area, 1)
    image, numbers = tree._image(0, land, 1, 182), tree._labels(land, marsh).argmax(0)
    assert image.dtype == np.uint16
    assert image.shape == (4, 192, 192)
    blue, green, red, near = image.astype(float)
    water, forest, soil = (numbers == CLASSES.index(name) for name in
                           ('water', 'forest and other vegetation', 'soil'))  # fmt: skip
    assert near[water].mean() < 500
    assert near[forest].mean() > 3 * red[forest].mean()
    assert blue[soil].mean() < green[soil].mean() < red[soil].mean() < near[soil].mean()


def test_resampling_keeps_a_plane():
    row, col = np.indices((24, 24)) + 0.5
    plane = (2 * row + 3 * col).astype(np.float32)[None]
    pixels = dynamicearthnet._resampled(plane, 40)
    row, col = (np.indices((40, 40)) + 0.5) * 3 / 5
    expected = 2 * row + 3 * col
    inside = np.s_[1:-1, 1:-1]
    assert np.allclose(pixels[0][inside], expected[inside], atol=1e-4)
