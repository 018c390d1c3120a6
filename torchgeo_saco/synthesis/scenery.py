# Copyright (c) torchgeo_saco Contributors. All rights reserved.
# Licensed under the MIT License.

"""The kinds of places, in pairs that look alike in colour.

Each pair has the same mix of surfaces and differs in shape, texture or timing only, so that
colour alone cannot tell its two members apart.
"""

from collections.abc import Callable

import numpy as np
from numpy.random import Generator

from .landscape import Landscape
from .patterns import (
    Field,
    Labels,
    Mask,
    cells,
    edges,
    grain,
    grid_parcels,
    meander_distance,
    noise,
    stripes,
    top_share,
)

_WINTER_CROPS = [('winter crop', 'wheat', 0.65), ('winter crop', 'rapeseed', 0.35)]
_SUMMER_CROPS = [('summer crop', 'maize', 0.65), ('summer crop', 'beet', 0.35)]
ROOFS = [
    ('building', 'tile_roof', 0.5),
    ('building', 'slate_roof', 0.35),
    ('building', 'metal_roof', 0.15),
]


def landscape(label: str, rng: Generator, side: int) -> Landscape:
    """A place of one kind.

    Args:
        label: One of :data:`LABELS`.
        rng: Source of randomness.
        side: Cells of 5 m along the canvas.

    Returns:
        The place in its first year.
    """
    place = Landscape(side)
    _SCENERY[label](place, rng)
    return place


def next_year(place: Landscape, rng: Generator, changes: bool) -> Landscape:
    """The same place a year later.

    Args:
        place: The place in its first year.
        rng: Source of randomness.
        changes: Whether part of it is put to another use for good.

    Returns:
        The place with fields rotated, stands a little earlier or later, and the change.
    """
    later = place.copy()
    rotation = {'wheat': 'rapeseed', 'rapeseed': 'wheat', 'maize': 'beet', 'beet': 'maize'}
    for patch, surface in enumerate(later.surfaces):
        if surface in rotation and rng.random() < 0.5:
            later.surfaces[patch] = rotation[surface]
        later.delays[patch] += rng.normal(0, 4)
    if changes:
        _change(later, rng)
    return later


def everywhere(place: Landscape) -> Mask:
    """All cells of the canvas."""
    return np.ones((place.side, place.side), bool)


def direction(rng: Generator) -> float:
    """A direction, in radians."""
    return rng.uniform(0, np.pi)


def forest(
    place: Landscape, rng: Generator, stands: Labels, texture: Field, conifers: float
) -> None:
    """Stands of two species and clearings, one tenth of the area, with a canopy texture."""
    place.paint_parcels(
        rng,
        everywhere(place),
        stands,
        [
            ('conifer trees', 'conifer', 0.9 * conifers),
            ('broadleaf trees', 'broadleaf', 0.9 * (1 - conifers)),
            ('grass', 'grass', 0.1),
        ],
    )
    trees = place.cover_of('conifer trees', 'broadleaf trees')
    place.roughen(trees, texture, 0.2)
    place.roughen(~trees, noise(rng, place.side, 15), 0.06)


def _natural_forest(place: Landscape, rng: Generator) -> None:
    """Irregular stands, round crowns without direction."""
    stands, _ = cells(rng, place.side, 130)
    forest(place, rng, stands, grain(rng, place.side, 45), rng.uniform(0.35, 0.6))


def _plantation(place: Landscape, rng: Generator) -> None:
    """Straight compartments, trees in rows."""
    angle = direction(rng)
    stands = grid_parcels(rng, place.side, angle, 130, 200)
    rows = stripes(rng, place.side, angle, rng.uniform(42, 55))
    texture = 0.8 * rows + 0.6 * grain(rng, place.side, 25)
    forest(place, rng, stands, texture, rng.uniform(0.4, 0.65))


def _arable(place: Landscape, rng: Generator, crops: list, others: list, parcels: Labels) -> None:
    """Fields of two groups of crops, some grass, tracks along a few field edges."""
    place.paint_parcels(
        rng,
        everywhere(place),
        parcels,
        [(cover, surface, 0.7 * share) for cover, surface, share in crops]
        + [(cover, surface, 0.15 * share) for cover, surface, share in others]
        + [('grass', 'grass', 0.15)],
    )
    place.roughen(everywhere(place), noise(rng, place.side, 60), 0.05)
    border = edges(parcels)
    tracks = border & (noise(rng, place.side, 400) > 0.6)
    place.paint(rng, border & (noise(rng, place.side, 300) > 1.0), 'broadleaf trees', 'broadleaf')
    place.paint(rng, tracks, 'paved', 'concrete')


def _winter_crops(place: Landscape, rng: Generator) -> None:
    """Mostly winter crops, in blocks."""
    parcels = grid_parcels(rng, place.side, direction(rng), 210, 260, bend=12)
    _arable(place, rng, _WINTER_CROPS, _SUMMER_CROPS, parcels)


def _summer_crops(place: Landscape, rng: Generator) -> None:
    """Mostly summer crops, in long strips."""
    parcels = grid_parcels(rng, place.side, direction(rng), 110, 450, bend=12)
    _arable(place, rng, _SUMMER_CROPS, _WINTER_CROPS, parcels)


def meadows(place: Landscape, rng: Generator, parcels: Labels) -> None:
    """Grass parcels that are mown at different times."""
    place.paint_parcels(rng, everywhere(place), parcels, [('grass', 'grass', 1.0)])
    place.delays[:] = [delay + rng.normal(0, 10) for delay in place.delays]
    place.roughen(everywhere(place), noise(rng, place.side, 30), 0.06)


def _pasture(place: Landscape, rng: Generator) -> None:
    """Irregular grass parcels, hedges around them and clumps of trees within."""
    parcels, border = cells(rng, place.side, 230)
    meadows(place, rng, parcels)
    hedges = np.exp(-border / 12) + 0.45 * noise(rng, place.side, 45)
    trees = top_share(hedges, rng.uniform(0.28, 0.36))
    place.paint(rng, trees, 'broadleaf trees', 'broadleaf')
    place.roughen(trees, grain(rng, place.side, 30), 0.15)


def _orchard(place: Landscape, rng: Generator) -> None:
    """Grass under rows of trees and windbreaks, the rows turned from block to block."""
    angle = direction(rng)
    parcels = grid_parcels(rng, place.side, angle, 260, 340)
    meadows(place, rng, parcels)
    period = rng.uniform(55, 70)
    first = stripes(rng, place.side, angle, period)
    second = stripes(rng, place.side, angle + np.pi / 2, period)
    turned = rng.random(int(parcels.max()) + 1) < 0.4
    rows = np.where(turned[parcels], second, first) + 0.2 * noise(rng, place.side, 20)
    trees = top_share(rows, rng.uniform(0.28, 0.36))
    place.paint(rng, trees, 'orchard trees', 'broadleaf')
    place.roughen(trees, grain(rng, place.side, 30), 0.15)


def settlement(place: Landscape, rng: Generator, streets: Mask, roofs: Field) -> None:
    """Streets, buildings, gardens and trees in fixed shares."""
    gardens, _ = cells(rng, place.side, 90)
    place.paint_parcels(rng, everywhere(place), gardens, [('grass', 'grass', 1.0)])
    trees = top_share(noise(rng, place.side, 25), 0.28)
    place.paint(rng, trees, 'broadleaf trees', 'broadleaf')
    built = top_share(roofs, rng.uniform(0.26, 0.32), ~streets)
    houses, _ = cells(rng, place.side, 40)
    quarters = rng.integers(0, 48, int(houses.max()) + 1)[houses]
    place.paint_parcels(rng, built, quarters, ROOFS)
    place.roughen(built, noise(rng, place.side, 10), 0.2)
    place.paint(rng, streets, 'paved', 'asphalt')


def _town(place: Landscape, rng: Generator) -> None:
    """Straight streets that cross at right angles, houses along them."""
    blocks = grid_parcels(rng, place.side, direction(rng), 105, 130)
    streets = edges(blocks)
    roofs = -_distance_to(streets) + 1.2 * noise(rng, place.side, 20)
    settlement(place, rng, streets, roofs)


def _village(place: Landscape, rng: Generator) -> None:
    """Winding lanes, houses scattered beside them."""
    lanes = top_share(-np.abs(noise(rng, place.side, 130)), 0.17)
    roofs = noise(rng, place.side, 28)
    settlement(place, rng, lanes, roofs)


def _distance_to(mask: Mask) -> Field:
    """Steps of one cell to the nearest chosen cell, up to eight."""
    distance = np.where(mask, 0.0, 8.0)
    reached = mask.copy()
    for step in range(1, 8):
        grown = reached.copy()
        grown[1:] |= reached[:-1]
        grown[:-1] |= reached[1:]
        grown[:, 1:] |= reached[:, :-1]
        grown[:, :-1] |= reached[:, 1:]
        distance[grown & ~reached] = step
        reached = grown
    return distance


def _waterside(place: Landscape, rng: Generator, closeness: Field) -> None:
    """Mixed farmland around water, with trees along the bank."""
    parcels = grid_parcels(rng, place.side, direction(rng), 150, 220, bend=15)
    place.paint_parcels(
        rng,
        everywhere(place),
        parcels,
        [(cover, surface, 0.3 * share) for cover, surface, share in _WINTER_CROPS]
        + [(cover, surface, 0.3 * share) for cover, surface, share in _SUMMER_CROPS]
        + [('grass', 'grass', 0.4)],
    )
    place.roughen(everywhere(place), noise(rng, place.side, 40), 0.05)
    share = rng.uniform(0.3, 0.4)
    trees = top_share(closeness + 0.25 * noise(rng, place.side, 30), share + 0.14)
    place.paint(rng, trees, 'broadleaf trees', 'broadleaf')
    place.roughen(trees, grain(rng, place.side, 30), 0.15)
    water = top_share(closeness, share)
    place.relief[water] = 1.0
    place.paint(rng, water, 'water', 'water')


def _lake(place: Landscape, rng: Generator) -> None:
    """One round water body."""
    row, col = (np.indices((place.side, place.side)) + 0.5) / place.side - 0.5
    row, col = row - rng.uniform(-0.1, 0.1), col - rng.uniform(-0.1, 0.1)
    shore = 0.07 * noise(rng, place.side, 250) + 0.02 * noise(rng, place.side, 70)
    _waterside(place, rng, -10 * (np.hypot(row, col) + shore))


def _river(place: Landscape, rng: Generator) -> None:
    """A wide river in loops."""
    distance = meander_distance(rng, place.side, direction(rng))
    reach = 5.0 * place.side
    _waterside(place, rng, -10 * distance / reach + 0.15 * noise(rng, place.side, 150))


def _change(place: Landscape, rng: Generator) -> None:
    """Put a rectangle or a patch without straight edges to another use."""
    side = place.side
    if rng.random() < 0.5:
        area = _rectangle(rng, side)
    else:
        row, col = np.indices((side, side)) / side - rng.uniform(0.3, 0.7, (2, 1, 1))
        area = top_share(0.08 * noise(rng, side, 200) - np.hypot(row, col), rng.uniform(0.08, 0.18))
    place.relief[area] = 1.0
    kind = rng.integers(3)
    if kind == 0:
        place.paint(rng, area, 'bare ground', 'gravel')
        place.roughen(area, noise(rng, side, 40), 0.12)
    elif kind == 1:
        place.paint(rng, area, 'bare ground', 'soil')
        place.roughen(area, noise(rng, side, 25), 0.12)
    else:
        place.paint(rng, area, 'paved', 'concrete')
        halls = grid_parcels(rng, side, direction(rng), 60, 90)
        place.paint_parcels(rng, area & ~edges(halls) & (halls % 3 > 0), halls, ROOFS)
    place.changed = area


def _rectangle(rng: Generator, side: int) -> Mask:
    """Cells of a rectangle along the axes."""
    height, width = rng.integers(side // 4, side // 2, 2)
    top, left = rng.integers(0, side - height), rng.integers(0, side - width)
    mask = np.zeros((side, side), bool)
    mask[top : top + height, left : left + width] = True
    return mask


_SCENERY: dict[str, Callable[[Landscape, Generator], None]] = {
    'natural_forest': _natural_forest,
    'plantation': _plantation,
    'winter_crops': _winter_crops,
    'summer_crops': _summer_crops,
    'pasture': _pasture,
    'orchard': _orchard,
    'town': _town,
    'village': _village,
    'lake': _lake,
    'river': _river,
}

#: Kinds of places, in pairs of equal colour.
LABELS = tuple(_SCENERY)
