# Copyright (c) torchgeo_saco Contributors. All rights reserved.
# Licensed under the MIT License.

import itertools

import numpy as np
import pytest

from torchgeo_saco.synthesis.landcover import COVERS
from torchgeo_saco.synthesis.landscape import Landscape
from torchgeo_saco.synthesis.patterns import (
    cells,
    coordinates,
    edges,
    grain,
    grid_parcels,
    line_distance,
    meander_distance,
    noise,
    stripes,
    top_share,
)
from torchgeo_saco.synthesis.phenology import SURFACES
from torchgeo_saco.synthesis.scenery import LABELS, landscape, next_year

SIDE = 192


def rng(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


def shares(location: Landscape) -> np.ndarray:
    covers = np.asarray(location.covers)[location.patches]
    return np.bincount(covers.ravel(), minlength=len(COVERS) + 1) / covers.size


@pytest.mark.parametrize('label', LABELS)
def test_place_is_complete_and_repeatable(label: str):
    location, twin = (landscape(label, rng(), SIDE) for _ in range(2))
    assert np.array_equal(location.patches, twin.patches)
    assert np.array_equal(location.relief, twin.relief)
    count = len(location.surfaces)
    assert len(location.covers) == len(location.delays) == len(location.vigour) == count
    assert location.patches.max() < count
    assert set(location.surfaces) <= set(SURFACES)
    assert 0.2 < location.relief.min() <= location.relief.max() < 5
    assert not location.changed.any()


@pytest.mark.parametrize(
    ('first', 'second'), [('pasture', 'orchard'), ('town', 'village'), ('lake', 'river')]
)
def test_pairs_have_the_same_mix_of_surfaces(first: str, second: str):
    def mix(label: str) -> np.ndarray:
        total = np.mean([shares(landscape(label, rng(seed), SIDE)) for seed in range(8)], axis=0)
        trees = [COVERS[name].value for name in ('broadleaf trees', 'orchard trees')]
        total[trees[0]], total[trees[1]] = total[trees].sum(), 0
        return total

    np.testing.assert_allclose(mix(first), mix(second), atol=0.06)


def test_crops_differ_in_timing():
    for seed in range(4):
        winter = shares(landscape('winter_crops', rng(seed), SIDE))
        summer = shares(landscape('summer_crops', rng(seed), SIDE))
        autumn_sown, spring_sown = COVERS['winter crop'].value, COVERS['summer crop'].value
        assert winter[autumn_sown] > 2 * winter[spring_sown]
        assert summer[spring_sown] > 2 * summer[autumn_sown]


@pytest.mark.parametrize('label', LABELS)
def test_unchanged_location_only_rotates_crops(label: str):
    first = landscape(label, rng(), SIDE)
    second = next_year(first, rng(1), changes=False)
    assert np.array_equal(first.cover_mask(), second.cover_mask())
    assert not second.change_mask().any()
    assert first.delays != second.delays


@pytest.mark.parametrize('seed', range(8))
def test_change_stays_within_its_mask(seed: int):
    first = landscape('pasture', rng(), SIDE)
    second = next_year(first, rng(seed), changes=True)
    mask = second.change_mask().astype(bool)
    differs = first.cover_mask() != second.cover_mask()
    assert 0.03 < mask.mean() < 0.3
    assert not differs[~mask].any()
    assert differs[mask].mean() > 0.8
    assert not first.changed.any()


def test_mask_takes_the_most_frequent_cover():
    location = Landscape(4)
    location.paint(rng(), np.ones((4, 4), bool), 'grass', 'grass')
    location.paint(rng(), np.arange(16).reshape(4, 4) % 4 == 0, 'water', 'water')
    location.paint(rng(), np.eye(4, dtype=bool)[::-1], 'paved', 'asphalt')
    location.paint(rng(), np.indices((4, 4)).sum(0) == 0, 'paved', 'asphalt')
    location.paint(rng(), np.indices((4, 4)).sum(0) == 1, 'water', 'water')
    grass, water = COVERS['grass'].value, COVERS['water'].value
    assert location.cover_mask()[0, 0] == water
    assert location.cover_mask()[1, 1] == grass


def test_parcels_share_choices_as_asked():
    location = Landscape(64)
    parcels = np.arange(64 * 64).reshape(64, 64) // 32
    choices = [('grass', 'grass', 3.0), ('water', 'water', 1.0)]
    location.paint_parcels(rng(), np.ones((64, 64), bool), parcels, choices)
    assert location.cover_of('water').mean() == pytest.approx(0.25, abs=0.01)


def test_paste_takes_the_chosen_cells_of_another_location():
    lake, field = Landscape(8), Landscape(6)
    lake.paint(rng(), np.ones((8, 8), bool), 'water', 'water')
    field.paint(rng(), np.ones((6, 6), bool), 'winter crop', 'wheat')
    field.paint(rng(), np.indices((6, 6))[0] == 0, 'paved', 'asphalt')
    field.relief[:] = 0.5
    mask = np.ones((4, 5), bool)
    mask[0, 0] = False
    lake.paste(field, mask, 3, 2)
    chosen = np.zeros((8, 8), bool)
    chosen[3:7, 2:7] = mask
    assert np.array_equal(lake.cover_of('water'), ~chosen)
    assert np.array_equal(lake.relief == 0.5, chosen)
    assert np.array_equal(np.argwhere(lake.cover_of('paved')), [(3, c) for c in range(3, 7)])
    assert lake.surfaces == ['water', 'wheat', 'asphalt']
    assert lake.delays[1:] == field.delays


def test_line_runs_in_its_direction_and_bends_as_asked():
    straight = line_distance(rng(), 100, 0.0, 0)
    assert np.ptp(straight, axis=1).max() < 1e-9
    np.testing.assert_allclose(np.abs(np.diff(straight[-20:, 0])), 5)
    middle = line_distance(rng(), 200, 0.0, 60).argmin(0)
    assert 60 < np.ptp(middle) * 5 <= 125


@pytest.mark.parametrize(
    'field', [noise(rng(), 96, 60), grain(rng(), 96, 40), stripes(rng(), 96, 0.3, 40)]
)
def test_textures_have_zero_mean_and_unit_variance(field: np.ndarray):
    assert field.shape == (96, 96)
    assert field.mean() == pytest.approx(0, abs=0.1)
    assert field.std() == pytest.approx(1, abs=0.1)


def test_noise_is_as_smooth_as_asked():
    steps = [np.abs(np.diff(noise(rng(), 128, length))).mean() for length in (20, 80, 320)]
    assert all(later < earlier / 2 for earlier, later in itertools.pairwise(steps))


def test_stripes_run_in_their_direction():
    rows = stripes(rng(), 128, 0.0, 40)
    assert np.abs(np.diff(rows, axis=1)).mean() < 0.2 * np.abs(np.diff(rows, axis=0)).mean()


def test_coordinates_are_metres_from_the_centre():
    along, across = coordinates(4, 0.0)
    np.testing.assert_allclose(along[0], [-7.5, -2.5, 2.5, 7.5])
    np.testing.assert_allclose(across[:, 0], [-7.5, -2.5, 2.5, 7.5])
    np.testing.assert_allclose(np.hypot(*coordinates(8, 1.0)), np.hypot(*coordinates(8, 0.0)))


def test_parcels_are_numbered_without_gaps_and_of_the_asked_size():
    for labels in (grid_parcels(rng(), SIDE, 0.4, 100, 200), cells(rng(), SIDE, 140)[0]):
        count = labels.max() + 1
        assert np.array_equal(np.unique(labels), np.arange(count))
        assert 20_000 / 2 < (SIDE * 5) ** 2 / count < 20_000 * 2


def test_cell_edges_are_where_the_distance_is_small():
    labels, distance = cells(rng(), SIDE, 140)
    assert distance.min() >= 0
    assert distance[edges(labels)].mean() < 0.3 * distance.mean()


def test_edges_are_two_cells_wide():
    labels = np.repeat([[0, 0, 0, 1, 1, 1]], 6, axis=0)
    assert np.array_equal(edges(labels)[0], [False, False, True, True, False, False])


def test_meander_winds_through_the_canvas():
    distance = meander_distance(rng(), SIDE, 0.0)
    line = distance < 15
    assert line.any(0).all()
    assert distance.min() < 5
    assert np.ptp(np.nonzero(line)[0]) > SIDE / 4


def test_top_share_takes_exactly_the_highest():
    field = np.arange(100.0).reshape(10, 10)
    assert np.array_equal(top_share(field, 0.1), field >= 90)
    assert np.array_equal(top_share(field, 0.1, field < 50), (field >= 40) & (field < 50))
    assert top_share(field, 0.9, field < 50).sum() == 50
    assert top_share(np.zeros((10, 10)), 0.33).sum() == 33
