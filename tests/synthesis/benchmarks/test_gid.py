# Copyright (c) torchgeo_saco Contributors. All rights reserved.
# Licensed under the MIT License.

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from torchgeo.datasets import GID15

from torchgeo_saco.io.raster import read_bands
from torchgeo_saco.synthesis.benchmarks.gid import _CLASSES, _RIVER, _TRAFFIC, GIDTree


@pytest.fixture(scope='module')
def root(small_tree: Callable[[str], Path]) -> Path:
    return small_tree('gid')


@pytest.mark.parametrize('split', ['train', 'val', 'test'])
def test_torchgeo_reads_every_split(root: Path, split: str):
    dataset = GID15(root, split, download=False, checksum=False)
    assert len(dataset) == 1
    sample = dataset[0]
    assert sample['image'].shape == (3, 110, 150)
    assert ('mask' in sample) == (split != 'test')
    if split != 'test':
        assert sample['mask'].shape == (110, 150)
        assert 0 <= sample['mask'].min() < sample['mask'].max() <= 15


def test_files_are_as_in_the_release(root: Path):
    image = next((root / 'GID' / 'img_dir' / 'train').iterdir())
    mask = next((root / 'GID' / 'ann_dir' / 'train').iterdir())
    assert image.name == 'GF2_PMS1__L1A0000564539-MSS1.tif'
    assert mask.name == 'GF2_PMS1__L1A0000564539-MSS1_15label.png'
    assert read_bands(image, 3).dtype == np.uint8
    with Image.open(mask) as file:
        assert file.mode == 'L'
    assert not (root / 'GID' / 'ann_dir' / 'test').exists()


def test_names_of_classes_fit_their_numbers():
    named = {kind: GID15.classes[number] for kind, number in _CLASSES.items()}
    assert named['industry'] == 'industrial_land'
    assert named['town'] == 'urban_residential'
    assert named['village'] == 'rural_residential'
    assert named['winter_crops'] == named['summer_crops'] == 'irrigated_land'
    assert named['broadleaf_forest'] == named['natural_forest'] == 'arbor_woodland'
    assert named['grassland'] == 'natural_grassland'
    assert named['water'] == 'lake'
    assert (GID15.classes[_TRAFFIC], GID15.classes[_RIVER]) == ('traffic_land', 'river')


def test_default_tile_has_most_classes_and_some_unlabelled_land():
    image, mask = GIDTree().tile(11)
    assert image.shape == (3, 680, 720)
    assert mask.shape == (680, 720)
    assert set(np.unique(mask)) >= {0, 1, 2, 3, 4, 6, 9, 11, 13, 14}
    assert 0.02 < (mask == 0).mean() < 0.4
    red, green, blue = (image[channel].astype(float) for channel in range(3))
    assert green[mask == 9].mean() > red[mask == 9].mean()
    assert image[:, mask == 1].mean() > 1.5 * image[:, mask == 9].mean()
    assert blue[mask == 14].std() < blue[mask == 2].std()


def test_repeated_tile_is_mirrored_without_seams(tmp_path: Path):
    tree = GIDTree(1, tiles=(1, 0, 0), shape=(110, 150), repeats=3)
    tree.write(tmp_path, 0)
    image, mask = tree.tile(0)
    files = sorted(path for path in tmp_path.rglob('*') if path.is_file())
    with Image.open(files[0]) as file:
        labels = np.array(file)
    pixels = read_bands(files[1], 3)
    assert pixels.shape == (3, 330, 450)
    assert labels.shape == (330, 450)
    assert np.array_equal(pixels[:, :110, :150], image)
    assert np.array_equal(pixels[:, 110:220, :150], image[:, ::-1])
    assert np.array_equal(pixels[:, :110, 150:300], image[:, :, ::-1])
    assert np.array_equal(labels[220:, 300:], mask)
