# Copyright (c) torchgeo_saco Contributors. All rights reserved.
# Licensed under the MIT License.

import csv
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import rasterio
import torch
from torchgeo.datasets import SEN12MS

from torchgeo_saco.datasets import SeasonalArchive
from torchgeo_saco.synthesis.benchmarks.patches import _IGBP, _LCCS, _TURNS
from torchgeo_saco.synthesis.benchmarks.sen12ms import _SEASONS, SEN12MSTree
from torchgeo_saco.synthesis.landcover import SIMPLIFIED_IGBP, simplified_igbp


@pytest.fixture(scope='module')
def root(small_tree: Callable[[str], Path]) -> Path:
    return small_tree('sen12ms')


def test_torchgeo_and_the_layout_read_the_same_numbers(root: Path):
    radar, optical = (
        SeasonalArchive(root, sensor=sensor) for sensor in ('sentinel1', 'sentinel2_l1c')
    )
    seen = 0
    for split in ('train', 'test'):
        theirs = SEN12MS(root, split, checksum=False)
        for file, sample in zip(theirs.ids, theirs, strict=True):
            name = file.removesuffix('.tif').replace('_s2_', '_')
            one = radar[radar.location_index[name]]
            other = optical[optical.location_index[name]]
            assert torch.equal(sample['image'][:2], one['image'][0])
            # TorchGeo joins both modalities, so its numbers of Sentinel-2 are floats.
            assert torch.equal(sample['image'][2:], other['image'][0].float())
            simple = simplified_igbp(sample['mask'].numpy())
            label = SIMPLIFIED_IGBP[np.bincount(simple.ravel()).argmax() - 1]
            assert radar.classes[one['label']] == optical.classes[other['label']] == label
            seen += 1
    assert seen == len(radar) == len(optical) == 12


def test_files_of_a_patch_lie_on_one_grid(root: Path):
    for path in root.glob('*/s2_*/*.tif'):
        grids = set()
        for product, kind, count in (
            ('s1', 'float32', 2),
            ('s2', 'uint16', 13),
            ('lc', 'uint16', 4),
        ):
            folder = path.parent.with_name(path.parent.name.replace('s2', product))
            with rasterio.open(folder / path.name.replace('_s2_', f'_{product}_')) as file:
                assert (file.dtypes[0], file.count, file.shape) == (kind, count, (20, 20))
                grids.add((file.crs.to_epsg(), file.transform))
                image = file.read()
            if product == 's1':
                vv, vh = np.median(image, (1, 2))
                assert -30 < vh < vv < 0
            elif product == 'lc':
                assert set(np.unique(image[0])) <= set(_LCCS)
        assert len(grids) == 1


def test_scenes_of_the_test_part_are_apart(root: Path):
    train, test = ((root / f'{split}_list.txt').read_text().split() for split in ('train', 'test'))
    scenes = [{tuple(name.split('_')[:4]) for name in part} for part in (train, test)]
    assert not scenes[0] & scenes[1]
    assert len(scenes[0]) == 2 * len(scenes[1]) == 8
    with open(root / 'labels.csv', newline='') as file:
        labelled = {row['location'] for row in csv.DictReader(file)}
    assert labelled == {name.removesuffix('.tif').replace('_s2_', '_') for name in (*train, *test)}


def test_seasons_differ_in_their_days_and_show_all_scenery():
    tree = SEN12MSTree(0)
    patches = [tree._patch(number) for number in range(tree.count)]
    for season, (first, last) in _SEASONS.items():
        own = [patch for patch in patches if patch.season == season]
        assert len(own) == 60
        assert all(first <= patch.day <= last for patch in own)
        assert {patch.turn % len(_TURNS) for patch in own} == set(range(len(_TURNS)))
        for scene in range(1, 4):
            same = [patch for patch in own if patch.scene == scene]
            assert len({patch.location.corner for patch in same}) == len(same) == 20
            assert len({(patch.day, patch.location.epsg) for patch in same}) == 1
    days = sorted(_SEASONS.values())
    assert all(one[1] < other[0] for one, other in pairwise(days))


def test_every_scenery_has_numbers_of_all_schemes():
    assert set(_IGBP.values()) == set(_LCCS)
    assert {kind for kinds in _TURNS for kind in kinds} == set(_IGBP) - {'savanna'}
