# Copyright (c) torchgeo_saco Contributors. All rights reserved.
# Licensed under the MIT License.

"""The kinds of locations, in pairs that look alike in colour.

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
    """A location of one kind.

    Args:
        label: One of :data:`LABELS`.
        rng: Source of randomness.
        side: Cells of 5 m along the canvas.

    Returns:
        The location in its first year.
    """
    location = Landscape(side)
    _SCENERY[label](location, rng)
    return location


def next_year(location: Landscape, rng: Generator, changes: bool) -> Landscape:
    """The same location a year later.

    Args:
        location: The location in its first year.
        rng: Source of randomness.
        changes: Whether part of it is put to another use for good.

    Returns:
        The location with fields rotated, stands a little earlier or later, and the change.
    """
    later = location.copy()
    rotation = {'wheat': 'rapeseed', 'rapeseed': 'wheat', 'maize': 'beet', 'beet': 'maize'}
    for patch, surface in enumerate(later.surfaces):
        if surface in rotation and rng.random() < 0.5:
            later.surfaces[patch] = rotation[surface]
        later.delays[patch] += rng.normal(0, 4)
    if changes:
        _change(later, rng)
    return later


def everywhere(location: Landscape) -> Mask:
    """All cells of the canvas."""
    return np.ones((location.side, location.side), bool)


def direction(rng: Generator) -> float:
    """A direction, in radians."""
    return rng.uniform(0, np.pi)


def forest(
    location: Landscape, rng: Generator, stands: Labels, texture: Field, conifers: float
) -> None:
    """Stands of two species and clearings, one tenth of the area, with a canopy texture."""
    location.paint_parcels(
        rng,
        everywhere(location),
        stands,
        [
            ('conifer trees', 'conifer', 0.9 * conifers),
            ('broadleaf trees', 'broadleaf', 0.9 * (1 - conifers)),
            ('grass', 'grass', 0.1),
        ],
    )
    trees = location.cover_of('conifer trees', 'broadleaf trees')
    location.roughen(trees, texture, 0.2)
    location.roughen(~trees, noise(rng, location.side, 15), 0.06)


def _natural_forest(location: Landscape, rng: Generator) -> None:
    """Irregular stands, round crowns without direction."""
    stands, _ = cells(rng, location.side, 130)
    forest(location, rng, stands, grain(rng, location.side, 45), rng.uniform(0.35, 0.6))


def _plantation(location: Landscape, rng: Generator) -> None:
    """Straight compartments, trees in rows."""
    angle = direction(rng)
    stands = grid_parcels(rng, location.side, angle, 130, 200)
    rows = stripes(rng, location.side, angle, rng.uniform(42, 55))
    texture = 0.8 * rows + 0.6 * grain(rng, location.side, 25)
    forest(location, rng, stands, texture, rng.uniform(0.4, 0.65))


def _arable(
    location: Landscape, rng: Generator, crops: list, others: list, parcels: Labels
) -> None:
    """Fields of two groups of crops, some grass, tracks along a few field edges."""
    location.paint_parcels(
        rng,
        everywhere(location),
        parcels,
        [(cover, surface, 0.7 * share) for cover, surface, share in crops]
        + [(cover, surface, 0.15 * share) for cover, surface, share in others]
        + [('grass', 'grass', 0.15)],
    )
    location.roughen(everywhere(location), noise(rng, location.side, 60), 0.05)
    border = edges(parcels)
    tracks = border & (noise(rng, location.side, 400) > 0.6)
    location.paint(
        rng, border & (noise(rng, location.side, 300) > 1.0), 'broadleaf trees', 'broadleaf'
    )
    location.paint(rng, tracks, 'paved', 'concrete')


def _winter_crops(location: Landscape, rng: Generator) -> None:
    """Mostly winter crops, in blocks."""
    parcels = grid_parcels(rng, location.side, direction(rng), 210, 260, bend=12)
    _arable(location, rng, _WINTER_CROPS, _SUMMER_CROPS, parcels)


def _summer_crops(location: Landscape, rng: Generator) -> None:
    """Mostly summer crops, in long strips."""
    parcels = grid_parcels(rng, location.side, direction(rng), 110, 450, bend=12)
    _arable(location, rng, _SUMMER_CROPS, _WINTER_CROPS, parcels)


def meadows(location: Landscape, rng: Generator, parcels: Labels) -> None:
    """Grass parcels that are mown at different times."""
    location.paint_parcels(rng, everywhere(location), parcels, [('grass', 'grass', 1.0)])
    location.delays[:] = [delay + rng.normal(0, 10) for delay in location.delays]
    location.roughen(everywhere(location), noise(rng, location.side, 30), 0.06)


def _pasture(location: Landscape, rng: Generator) -> None:
    """Irregular grass parcels, hedges around them and clumps of trees within."""
    parcels, border = cells(rng, location.side, 230)
    meadows(location, rng, parcels)
    hedges = np.exp(-border / 12) + 0.45 * noise(rng, location.side, 45)
    trees = top_share(hedges, rng.uniform(0.28, 0.36))
    location.paint(rng, trees, 'broadleaf trees', 'broadleaf')
    location.roughen(trees, grain(rng, location.side, 30), 0.15)


def _orchard(location: Landscape, rng: Generator) -> None:
    """Grass under rows of trees and windbreaks, the rows turned from block to block."""
    angle = direction(rng)
    parcels = grid_parcels(rng, location.side, angle, 260, 340)
    meadows(location, rng, parcels)
    period = rng.uniform(55, 70)
    first = stripes(rng, location.side, angle, period)
    second = stripes(rng, location.side, angle + np.pi / 2, period)
    turned = rng.random(int(parcels.max()) + 1) < 0.4
    rows = np.where(turned[parcels], second, first) + 0.2 * noise(rng, location.side, 20)
    trees = top_share(rows, rng.uniform(0.28, 0.36))
    location.paint(rng, trees, 'orchard trees', 'broadleaf')
    location.roughen(trees, grain(rng, location.side, 30), 0.15)


def settlement(location: Landscape, rng: Generator, streets: Mask, roofs: Field) -> None:
    """Streets, buildings, gardens and trees in fixed shares."""
    gardens, _ = cells(rng, location.side, 90)
    location.paint_parcels(rng, everywhere(location), gardens, [('grass', 'grass', 1.0)])
    trees = top_share(noise(rng, location.side, 25), 0.28)
    location.paint(rng, trees, 'broadleaf trees', 'broadleaf')
    built = top_share(roofs, rng.uniform(0.26, 0.32), ~streets)
    houses, _ = cells(rng, location.side, 40)
    quarters = rng.integers(0, 48, int(houses.max()) + 1)[houses]
    location.paint_parcels(rng, built, quarters, ROOFS)
    location.roughen(built, noise(rng, location.side, 10), 0.2)
    location.paint(rng, streets, 'paved', 'asphalt')


def _town(location: Landscape, rng: Generator) -> None:
    """Straight streets that cross at right angles, houses along them."""
    blocks = grid_parcels(rng, location.side, direction(rng), 105, 130)
    streets = edges(blocks)
    roofs = -_distance_to(streets) + 1.2 * noise(rng, location.side, 20)
    settlement(location, rng, streets, roofs)


def _village(location: Landscape, rng: Generator) -> None:
    """Winding lanes, houses scattered beside them."""
    lanes = top_share(-np.abs(noise(rng, location.side, 130)), 0.17)
    roofs = noise(rng, location.side, 28)
    settlement(location, rng, lanes, roofs)


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


def _waterside(location: Landscape, rng: Generator, closeness: Field) -> None:
    """Mixed farmland around water, with trees along the bank."""
    parcels = grid_parcels(rng, location.side, direction(rng), 150, 220, bend=15)
    location.paint_parcels(
        rng,
        everywhere(location),
        parcels,
        [(cover, surface, 0.3 * share) for cover, surface, share in _WINTER_CROPS]
        + [(cover, surface, 0.3 * share) for cover, surface, share in _SUMMER_CROPS]
        + [('grass', 'grass', 0.4)],
    )
    location.roughen(everywhere(location), noise(rng, location.side, 40), 0.05)
    share = rng.uniform(0.3, 0.4)
    trees = top_share(closeness + 0.25 * noise(rng, location.side, 30), share + 0.14)
    location.paint(rng, trees, 'broadleaf trees', 'broadleaf')
    location.roughen(trees, grain(rng, location.side, 30), 0.15)
    water = top_share(closeness, share)
    location.relief[water] = 1.0
    location.paint(rng, water, 'water', 'water')


def _lake(location: Landscape, rng: Generator) -> None:
    """One round water body."""
    row, col = (np.indices((location.side, location.side)) + 0.5) / location.side - 0.5
    row, col = row - rng.uniform(-0.1, 0.1), col - rng.uniform(-0.1, 0.1)
    shore = 0.07 * noise(rng, location.side, 250) + 0.02 * noise(rng, location.side, 70)
    _waterside(location, rng, -10 * (np.hypot(row, col) + shore))


def _river(location: Landscape, rng: Generator) -> None:
    """A wide river in loops."""
    distance = meander_distance(rng, location.side, direction(rng))
    reach = 5.0 * location.side
    _waterside(location, rng, -10 * distance / reach + 0.15 * noise(rng, location.side, 150))


def _change(location: Landscape, rng: Generator) -> None:
    """Put a rectangle or a patch without straight edges to another use."""
    side = location.side
    if rng.random() < 0.5:
        area = _rectangle(rng, side)
    else:
        row, col = np.indices((side, side)) / side - rng.uniform(0.3, 0.7, (2, 1, 1))
        area = top_share(0.08 * noise(rng, side, 200) - np.hypot(row, col), rng.uniform(0.08, 0.18))
    location.relief[area] = 1.0
    kind = rng.integers(3)
    if kind == 0:
        location.paint(rng, area, 'bare ground', 'gravel')
        location.roughen(area, noise(rng, side, 40), 0.12)
    elif kind == 1:
        location.paint(rng, area, 'bare ground', 'soil')
        location.roughen(area, noise(rng, side, 25), 0.12)
    else:
        location.paint(rng, area, 'paved', 'concrete')
        halls = grid_parcels(rng, side, direction(rng), 60, 90)
        location.paint_parcels(rng, area & ~edges(halls) & (halls % 3 > 0), halls, ROOFS)
    location.changed = area


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

#: Kinds of locations, in pairs of equal colour.
LABELS = tuple(_SCENERY)
