# Copyright (c) torchgeo_saco Contributors. All rights reserved.
# Licensed under the MIT License.

import numpy as np
import pytest

from torchgeo_saco.synthesis.benchmarks.kinds import KINDS, add_river, add_road, mosaic
from torchgeo_saco.synthesis.landscape import Landscape
from torchgeo_saco.synthesis.phenology import SURFACES

SIDE = 144


def rng(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


@pytest.mark.parametrize('kind', KINDS)
def test_place_is_complete_and_repeatable(kind: str):
    for seed in range(3):
        location, twin = (KINDS[kind](rng(seed), SIDE) for _ in range(2))
        assert location.side == SIDE
        assert np.array_equal(location.patches, twin.patches)
        assert np.array_equal(location.relief, twin.relief)
        assert location.patches.max() < len(location.surfaces) == len(location.covers)
        assert set(location.surfaces) <= set(SURFACES)
        assert 0.2 < location.relief.min() <= location.relief.max() < 5


@pytest.mark.parametrize(
    ('kind', 'cover', 'least', 'most'),
    [
        ('conifer_forest', 'conifer trees', 0.7, 0.95),
        ('broadleaf_forest', 'broadleaf trees', 0.7, 0.95),
        ('industry', 'building', 0.2, 0.6),
        ('grassland', 'grass', 0.6, 0.95),
        ('vineyard', 'orchard trees', 0.4, 0.9),
        ('highway', 'paved', 0.04, 0.35),
        ('stream', 'water', 0.05, 0.3),
        ('open_water', 'water', 0.75, 1.0),
        ('water', 'water', 1.0, 1.0),
        ('park', 'broadleaf trees', 0.2, 0.3),
        ('shrubland', 'broadleaf trees', 0.3, 0.55),
        ('savanna', 'broadleaf trees', 0.1, 0.3),
        ('wetland', 'water', 0.2, 0.5),
        ('barren', 'bare ground', 0.85, 1.0),
    ],
)
def test_kind_shows_what_it_is_named_after(kind: str, cover: str, least: float, most: float):
    for seed in range(6):
        assert least <= KINDS[kind](rng(seed), SIDE).cover_of(cover).mean() <= most


def test_mosaic_keeps_each_kind_in_its_zone():
    zones = np.zeros((200, 200), int)
    zones[:, 130:] = 1
    zones[150:, :40] = 2
    location = mosaic(rng(), zones, ['conifer_forest', 'water', 'industry'])
    water = location.cover_of('water')
    assert np.array_equal(water, zones == 1)
    assert not location.cover_of('building')[zones != 2].any()
    assert location.cover_of('building')[zones == 2].mean() > 0.1
    assert not location.cover_of('conifer trees')[zones != 0].any()


def test_road_is_as_wide_as_asked_and_distance_says_where():
    location = Landscape(SIDE)
    location.paint(rng(), np.ones((SIDE, SIDE), bool), 'grass', 'grass')
    distance = add_road(location, rng(), 20, 0)
    assert np.array_equal(location.cover_of('paved'), distance < 10)
    wide = Landscape(SIDE)
    distance = add_road(wide, rng(1), 50, 0)
    assert np.array_equal(wide.cover_of('paved'), (distance >= 2.5) & (distance < 25))


def test_river_leaves_no_trees_in_a_lake():
    location = KINDS['water'](rng(), SIDE)
    assert add_river(location, rng(), 60, 20).mean() > 0.03
    assert location.cover_of('water').all()
