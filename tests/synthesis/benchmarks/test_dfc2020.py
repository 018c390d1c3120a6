# Copyright (c) torchgeo_saco Contributors. All rights reserved.
# Licensed under the MIT License.

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import rasterio

from torchgeo_saco.bands import SENTINEL2_L1C
from torchgeo_saco.synthesis.benchmarks.dfc2020 import DFC2020Tree
from torchgeo_saco.synthesis.benchmarks.patches import _IGBP, _TURNS
from torchgeo_saco.synthesis.landcover import SIMPLIFIED_IGBP, simplified_igbp

from .conftest import SMALL, digests

BANDS = list(SENTINEL2_L1C.bands)


@pytest.fixture(scope='module')
def root(small_tree: Callable[[str], Path]) -> Path:
    return small_tree('dfc2020')


def read(path: Path) -> np.ndarray:
    with rasterio.open(path) as file:
        return file.read()


def of(path: Path, product: str) -> Path:
    """File of another product of the patch of a map of classes."""
    folder = path.parent.with_name(path.parent.name.replace('dfc', product))
    return folder / path.name.replace('_dfc_', f'_{product}_')


def test_folders_and_files_are_named_as_published(root: Path):
    for part, count in (('validation', 12), ('test', 8)):
        for product in ('s1', 's2', 'lc', 'dfc'):
            names = {path.name for path in (root / f'ROIs0000_{part}' / f'{product}_0').iterdir()}
            assert names == {
                f'ROIs0000_{part}_{product}_0_p{number}.tif' for number in range(count)
            }


def test_releases_hold_the_same_files(root: Path, tmp_path: Path):
    tree = replace(SMALL['dfc2020'], release='older')
    for number in (0, 12):
        tree.write(tmp_path, number)
    assert {path.name for path in tmp_path.iterdir()} == {
        f'{product}_{part}'
        for product in ('s1', 's2', 'lc', 'dfc')
        for part in ('validation', 'test')
    }
    older = {path.rpartition('/')[2]: digest for path, digest in digests(tmp_path).items()}
    current = {path.rpartition('/')[2]: digest for path, digest in digests(root).items()}
    assert older.items() <= current.items()


def test_classes_are_those_of_the_land_cover(root: Path):
    for path in root.glob('*/dfc_0/*.tif'):
        assert np.array_equal(read(path)[0], simplified_igbp(read(of(path, 'lc'))[0]))


def test_water_is_where_both_sensors_and_the_map_have_it(root: Path):
    water = SIMPLIFIED_IGBP.index('Water') + 1
    steps = []
    for path in root.glob('*/dfc_0/*.tif'):
        wet = read(path)[0] == water
        vv, infrared = read(of(path, 's1'))[0], read(of(path, 's2'))[BANDS.index('B08')]
        if 20 < wet.sum() < wet.size - 20:
            steps.append([image[~wet].mean() - image[wet].mean() for image in (vv, infrared)])
    assert len(steps) > 2
    # Far beyond what speckle and air make of it.
    assert (np.array(steps) > (2, 500)).all()


def test_all_classes_that_count_come_by_turns_in_both_parts():
    assert min(DFC2020Tree(0).patches) >= len(_TURNS)
    numbers = [_IGBP[kind] for kinds in _TURNS for kind in kinds]
    shown = {SIMPLIFIED_IGBP[number - 1] for number in simplified_igbp(np.array(numbers))}
    assert shown == set(SIMPLIFIED_IGBP) - {'Savanna', 'Snow/Ice'}


def test_most_of_a_patch_is_the_scenery_of_its_turn(root: Path):
    shares = []
    for path in root.glob('*/dfc_0/*.tif'):
        part, number = path.parents[1].name, int(path.stem.rpartition('p')[2])
        turn = number + (12 if part == 'ROIs0000_test' else 0)
        (wanted,) = set(simplified_igbp(np.array([_IGBP[kind] for kind in _TURNS[turn]])).tolist())
        shares.append((read(path) == wanted).mean())
    assert len(shares) == 20
    assert np.mean(shares) > 0.65
