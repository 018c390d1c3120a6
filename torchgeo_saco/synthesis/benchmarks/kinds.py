# Copyright (c) torchgeo_saco Contributors. All rights reserved.
# Licensed under the MIT License.

"""Kinds of scenery that the benchmarks need, and locations made of several kinds."""

import math
from collections.abc import Callable, Sequence
from functools import partial

import numpy as np
from numpy.random import Generator

from ..landscape import Landscape
from ..patterns import (
    Field,
    Labels,
    Mask,
    cells,
    coordinates,
    edges,
    grain,
    grid_parcels,
    line_distance,
    noise,
    stripes,
    top_share,
)
from ..scenery import LABELS, direction, everywhere, forest, landscape, meadows

#: Makes a location from a source of randomness and the number of 5 m cells along its canvas.
Kind = Callable[[Generator, int], Landscape]

# Smaller canvases have no room for the longest wavelengths of the textures.
_SMALLEST = 96

# Fourier transforms of other sides than these multiples may take long.
_STEP = 24

_HALLS = [
    ('building', 'metal_roof', 0.55),
    ('building', 'slate_roof', 0.3),
    ('building', 'tile_roof', 0.15),
]


def mosaic(rng: Generator, zones: Labels, kinds: Sequence[str]) -> Landscape:
    """A location with one kind of scenery in each zone.

    Args:
        rng: Source of randomness.
        zones: Zone of each cell, numbered from 0 without gaps, ``(side, side)``.
        kinds: Name of the scenery of each zone, in :data:`KINDS`.

    Returns:
        The location.
    """
    whole = Landscape(len(zones))
    for zone, kind in enumerate(kinds):
        mask = zones == zone
        rows, columns = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
        top, left = rows[0], columns[0]
        mask = mask[top : rows[-1] + 1, left : columns[-1] + 1]
        side = _STEP * math.ceil(max(_SMALLEST, *mask.shape) / _STEP)
        whole.paste(KINDS[kind](rng, side), mask, top, left)
    return whole


def add_road(location: Landscape, rng: Generator, width: float, bend: float) -> Field:
    """Lay a road with two carriageways across a location.

    Args:
        location: The location to change.
        rng: Source of randomness.
        width: Width of the road, in metres.
        bend: How far it leaves a straight line, in metres.

    Returns:
        Distance of each cell to the middle of the road, in metres.
    """
    distance = line_distance(rng, location.side, direction(rng), bend)
    verge = distance < 0.8 * width
    location.paint(rng, verge, 'grass', 'rough_grass')
    carriageway = distance < width / 2
    location.relief[carriageway] = 1.0
    location.paint(rng, carriageway, 'paved', 'asphalt')
    location.roughen(carriageway, noise(rng, location.side, 12), 0.05)
    if width > 30:
        location.paint(rng, distance < 2.5, 'grass', 'rough_grass')
    return distance


def add_river(location: Landscape, rng: Generator, width: float, bend: float) -> Mask:
    """Lay a river across a location, with trees along its banks.

    Args:
        location: The location to change.
        rng: Source of randomness.
        width: Width of the river, in metres.
        bend: How far it leaves a straight line, in metres.

    Returns:
        Cells under water.
    """
    side = location.side
    shore = line_distance(rng, side, direction(rng), bend) + 12 * noise(rng, side, 80)
    wood = shore + 20 * noise(rng, side, 60) < width / 2 + rng.uniform(5, 40)
    wood &= ~location.cover_of('water')
    location.paint(rng, wood, 'broadleaf trees', 'broadleaf')
    location.roughen(wood, grain(rng, side, 30), 0.15)
    water = shore < width / 2
    _flood(location, rng, water)
    return water


def _flood(location: Landscape, rng: Generator, water: Mask) -> None:
    """Put some cells under water."""
    location.relief[water] = 1.0
    location.paint(rng, water, 'water', 'water')
    location.roughen(water, noise(rng, location.side, 120), 0.04)


def _stand(conifers: float, rng: Generator, side: int) -> Landscape:
    """Forest with a share of conifers."""
    location = Landscape(side)
    stands, _ = cells(rng, side, 130)
    forest(location, rng, stands, grain(rng, side, 45), conifers)
    return location


def _any_of(labels: Sequence[str], rng: Generator, side: int) -> Landscape:
    """One of several kinds."""
    return KINDS[labels[int(rng.integers(len(labels)))]](rng, side)


def _grassland(rng: Generator, side: int) -> Landscape:
    """Rough grass without parcels, with shrubs, fresh grass in hollows and bare spots."""
    location = Landscape(side)
    whole = everywhere(location)
    swards, _ = cells(rng, side, 170)
    location.paint_parcels(rng, whole, swards, [('grass', 'rough_grass', 1.0)])
    hollows = top_share(noise(rng, side, 140), rng.uniform(0.15, 0.35))
    location.paint(rng, hollows, 'grass', 'grass')
    location.roughen(whole, noise(rng, side, 35), 0.09)
    bare = top_share(noise(rng, side, 40), rng.uniform(0.01, 0.05))
    location.paint(rng, bare, 'bare ground', 'soil')
    clumps = noise(rng, side, 90) + 1.2 * noise(rng, side, 18)
    shrubs = top_share(clumps, rng.uniform(0.08, 0.22))
    location.paint(rng, shrubs, 'broadleaf trees', 'broadleaf')
    location.roughen(shrubs, grain(rng, side, 25), 0.2)
    return location


def _industry(rng: Generator, side: int) -> Landscape:
    """Large halls on paved yards, with streets and strips of grass between."""
    location = Landscape(side)
    angle = direction(rng)
    blocks = grid_parcels(rng, side, angle, rng.uniform(120, 190), rng.uniform(150, 250))
    location.paint_parcels(
        rng,
        everywhere(location),
        blocks,
        [
            ('paved', 'concrete', 0.4),
            ('paved', 'asphalt', 0.35),
            ('bare ground', 'gravel', 0.1),
            ('grass', 'rough_grass', 0.15),
        ],
    )
    plots = grid_parcels(rng, side, angle, rng.uniform(60, 95), rng.uniform(80, 140))
    border = edges(plots)
    used = rng.random(int(plots.max()) + 1) < 0.62
    halls = used[plots] & ~border
    location.paint_parcels(rng, halls, plots, _HALLS)
    ridges = stripes(rng, side, angle, rng.uniform(20, 32))
    location.roughen(halls, ridges, 0.07)
    green = top_share(noise(rng, side, 60), rng.uniform(0.06, 0.14), ~halls)
    location.paint(rng, green, 'grass', 'grass')
    location.paint(rng, edges(blocks), 'paved', 'asphalt')
    return location


def _vineyard(rng: Generator, side: int) -> Landscape:
    """Blocks of vines in rows, some grass between."""
    location = Landscape(side)
    angle = direction(rng)
    blocks = grid_parcels(rng, side, angle, 110, 190)
    choices = [('orchard trees', 'vines', 0.85), ('grass', 'grass', 0.15)]
    location.paint_parcels(rng, everywhere(location), blocks, choices)
    location.roughen(location.cover_of('orchard trees'), stripes(rng, side, angle, 24), 0.18)
    location.paint(rng, edges(blocks), 'grass', 'rough_grass')
    return location


def _highway(rng: Generator, side: int) -> Landscape:
    """A wide road through farmland or a settlement, sometimes crossed by a smaller one."""
    labels = ('winter_crops', 'summer_crops', 'pasture', 'grassland', 'village')
    location = KINDS[str(rng.choice(labels, p=(0.3, 0.3, 0.15, 0.1, 0.15)))](rng, side)
    if rng.random() < 0.5:
        add_road(location, rng, 14, 40)
    add_road(location, rng, rng.uniform(34, 50), rng.uniform(0, 40))
    return location


def _stream(rng: Generator, side: int) -> Landscape:
    """A river through farmland, wooded along its banks."""
    labels = ('winter_crops', 'summer_crops', 'pasture', 'grassland', 'mixed_forest')
    location = KINDS[str(rng.choice(labels))](rng, side)
    add_river(location, rng, rng.uniform(45, 130), rng.uniform(30, 66))
    return location


def _water(rng: Generator, side: int) -> Landscape:
    """Nothing but water."""
    location = Landscape(side)
    _flood(location, rng, everywhere(location))
    return location


def _open_water(rng: Generator, side: int) -> Landscape:
    """Water, sometimes with a piece of the shore."""
    if rng.random() < 0.6:
        return _water(rng, side)
    location = _any_of(('mixed_forest', 'pasture', 'grassland', 'village'), rng, side)
    along, _ = coordinates(side, rng.uniform(0, 2 * np.pi))
    _flood(location, rng, top_share(along + 40 * noise(rng, side, 200), rng.uniform(0.8, 0.97)))
    return location


def _park(rng: Generator, side: int) -> Landscape:
    """Mown grass with scattered trees."""
    location = Landscape(side)
    parcels, _ = cells(rng, side, 150)
    meadows(location, rng, parcels)
    trees = top_share(noise(rng, side, 35), 0.25)
    location.paint(rng, trees, 'broadleaf trees', 'broadleaf')
    location.roughen(trees, grain(rng, side, 30), 0.15)
    return location


def _shrubland(rng: Generator, side: int) -> Landscape:
    """Low shrubs with rough grass and bare ground between."""
    location = Landscape(side)
    whole = everywhere(location)
    swards, _ = cells(rng, side, 120)
    choices = [('grass', 'rough_grass', 0.65), ('bare ground', 'soil', 0.35)]
    location.paint_parcels(rng, whole, swards, choices)
    location.roughen(whole, noise(rng, side, 25), 0.12)
    shrubs = top_share(noise(rng, side, 22), rng.uniform(0.35, 0.5))
    location.paint(rng, shrubs, 'broadleaf trees', 'broadleaf')
    location.roughen(shrubs, grain(rng, side, 15), 0.2)
    return location


def _savanna(rng: Generator, side: int) -> Landscape:
    """Rough grass with single trees."""
    location = Landscape(side)
    swards, _ = cells(rng, side, 200)
    location.paint_parcels(rng, everywhere(location), swards, [('grass', 'rough_grass', 1.0)])
    location.roughen(everywhere(location), noise(rng, side, 40), 0.08)
    trees = top_share(grain(rng, side, 60), rng.uniform(0.12, 0.25))
    location.paint(rng, trees, 'broadleaf trees', 'broadleaf')
    location.roughen(trees, grain(rng, side, 25), 0.15)
    return location


def _wetland(rng: Generator, side: int) -> Landscape:
    """Reeds and wet grass around pools."""
    location = Landscape(side)
    swards, _ = cells(rng, side, 90)
    choices = [('grass', 'rough_grass', 0.55), ('grass', 'grass', 0.45)]
    location.paint_parcels(rng, everywhere(location), swards, choices)
    location.roughen(everywhere(location), noise(rng, side, 20), 0.08)
    pools = noise(rng, side, 70) + 0.6 * noise(rng, side, 25)
    _flood(location, rng, top_share(pools, rng.uniform(0.25, 0.45)))
    return location


def _barren(rng: Generator, side: int) -> Landscape:
    """Gravel and bare soil, with a little rough grass."""
    location = Landscape(side)
    whole = everywhere(location)
    grounds, _ = cells(rng, side, 150)
    gravel = rng.uniform(0.3, 0.8)
    choices = [('bare ground', 'gravel', gravel), ('bare ground', 'soil', 1 - gravel)]
    location.paint_parcels(rng, whole, grounds, choices)
    location.roughen(whole, noise(rng, side, 60) + noise(rng, side, 15), 0.1)
    grass = top_share(noise(rng, side, 60), rng.uniform(0.02, 0.1))
    location.paint(rng, grass, 'grass', 'rough_grass')
    return location


#: Kinds of scenery by name: the ten of the seasonal archive, and more.
KINDS: dict[str, Kind] = {label: partial(landscape, label) for label in LABELS} | {
    'broadleaf_forest': partial(_stand, 0.05),
    'conifer_forest': partial(_stand, 0.95),
    'mixed_forest': partial(_stand, 0.5),
    'any_crops': partial(_any_of, ('winter_crops', 'summer_crops')),
    'any_forest': partial(_any_of, ('broadleaf_forest', 'conifer_forest', 'natural_forest')),
    'any_settlement': partial(_any_of, ('town', 'village')),
    'grassland': _grassland,
    'industry': _industry,
    'vineyard': _vineyard,
    'highway': _highway,
    'stream': _stream,
    'water': _water,
    'open_water': _open_water,
    'park': _park,
    'shrubland': _shrubland,
    'savanna': _savanna,
    'wetland': _wetland,
    'barren': _barren,
}
