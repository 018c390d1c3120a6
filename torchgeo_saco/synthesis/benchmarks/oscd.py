# Copyright (c) torchgeo_saco Contributors. All rights reserved.
# Licensed under the MIT License.

"""Tree in the layout of the Onera Satellite Change Detection dataset (OSCD)."""

from dataclasses import dataclass
from datetime import date, timedelta
from pathlib import Path
from typing import ClassVar, NamedTuple

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray
from PIL import Image

from ..geotiff import write_raster
from ..landscape import Landscape
from ..patterns import CELL, Mask, cells, coordinates, edges, grid_parcels, line_distance, noise
from ..phenology import SURFACES
from ..products import level1c
from ..scenery import ROOFS, direction, everywhere, next_year
from .kinds import add_river, mosaic
from .tree import BenchmarkTree, canvas_size, site

_TITLE = 'Onera Satellite Change Detection dataset'

# Split of https://rcdaudt.github.io/oscd/
_TRAIN = (
    'aguasclaras',
    'bercy',
    'bordeaux',
    'nantes',
    'paris',
    'rennes',
    'saclay_e',
    'abudhabi',
    'cupertino',
    'pisa',
    'beihai',
    'hongkong',
    'beirut',
    'mumbai',
)
_TEST = (
    'brasilia',
    'montpellier',
    'norcia',
    'rio',
    'saclay_w',
    'valencia',
    'dubai',
    'lasvegas',
    'milano',
    'chongqing',
)

_BUILT_UP = ('town', 'village', 'industry')
_OPEN = ('winter_crops', 'summer_crops', 'pasture', 'grassland', 'mixed_forest', 'orchard')

# Land that new buildings and roads take.
_FREE = ('winter crop', 'summer crop', 'grass', 'orchard trees', 'broadleaf trees', 'conifer trees')

# Tiles of 96 px must not fit without a rest, as in the real scenes.
_TILE = 96

# Nothing of the real cities is shown: all are given the seasons of one latitude.
_LATITUDE = 45.0

# Cells of 5 m along the window of a building site.
_SITE = 72

# A city without free land ends with less change.
_TRIES = 400

# Uses of randomness.
_SHAPE, _DATES, _TERRAIN, _LAND, _GROWTH, _SCENES = range(6)


class City(NamedTuple):
    """A city before and after, of which the scenes show the upper left corner."""

    #: Rows and columns of the scenes.
    shape: tuple[int, int]

    #: The city at the first date.
    before: Landscape

    #: The city at the second date, with what changed.
    after: Landscape


@dataclass(frozen=True)
class OSCDTree(BenchmarkTree):
    """Pairs of scenes of growing cities."""

    name: ClassVar[str] = 'oscd'
    title: ClassVar[str] = 'OSCD'
    unit: ClassVar[str] = 'cities'
    layout: ClassVar[str] = f"""\
- `{_TITLE} - Images/<city>/imgs_{{1,2}}_rect/<band>.tif`: Sentinel-2 level 1C, 13 bands on the 10 m
  grid, reflectance x 10000 (uint16); `dates.txt`: both dates.
- `{_TITLE} - {{Train,Test}} Labels/<city>/cm/cm.png`: 255 where a building, a road or cleared
  ground is new, else 0; `<city>-cm.tif`: the same as 2 and 1.

The names of cities are those of the release; nothing of the cities is shown. Seasons, crops, light
and haze differ between the dates as well, and count as no change.
"""

    #: Cities of the training set, in the order of the release.
    train: int = len(_TRAIN)

    #: Cities of the test set.
    test: int = len(_TEST)

    #: Smallest and largest side of a scene, in pixels.
    sides: tuple[int, int] = (150, 230)

    @property
    def count(self) -> int:
        """How many cities there are."""
        return self.train + self.test

    def write(self, root: Path, number: int) -> None:
        """Write both scenes and the change of one city."""
        split, name = self._city_name(number)
        city = self.city(number)
        days = _dates(self.rng(number, _DATES))
        where = site(self.rng(number, _TERRAIN), city.before.side // 2, _LATITUDE)
        folder = root / f'{_TITLE} - Images' / name
        for rank, land in enumerate((city.before, city.after)):
            rng = self.rng(number, _SCENES, rank)
            day = days[rank].timetuple().tm_yday
            ground = where.ground(land, day, rng)
            scene = level1c(ground, where.terrain, where.clear_sky(day, rng), rng)
            for band, layer in scene.items():
                path = folder / f'imgs_{rank + 1}_rect' / f'{band}.tif'
                write_raster(path, _cut(layer, city)[None])
        lines = [f'date_{rank}: {day:%Y%m%d}\n' for rank, day in enumerate(days, 1)]
        (folder / 'dates.txt').write_text(''.join(lines), encoding='utf-8')
        change = _cut(city.after.change_mask(), city)
        labels = root / f'{_TITLE} - {split} Labels' / name / 'cm'
        write_raster(labels / f'{name}-cm.tif', change[None] + np.uint8(1))
        Image.fromarray(change * np.uint8(255)).save(labels / 'cm.png')

    def write_lists(self, root: Path, records: list[None]) -> None:
        """The release has no lists: the folders of the labels are the split."""

    def city(self, number: int) -> City:
        """One city.

        Args:
            number: Number of the city, training set first.

        Returns:
            The city.
        """
        shape = self._shape(number)
        side = 2 * canvas_size(max(shape))
        rng = self.rng(number, _LAND)
        zones, _ = cells(rng, side, 550)
        kinds = [*rng.permutation(_BUILT_UP), *rng.permutation(_OPEN)[:3]]
        count = int(zones.max()) + 1
        kinds = [str(kinds[rank % len(kinds)]) for rank in rng.permutation(count)]
        before = mosaic(rng, zones, kinds)
        if rng.random() < 0.4:
            add_river(before, rng, rng.uniform(50, 110), 60)
        growth = self.rng(number, _GROWTH)
        after = next_year(before, growth, changes=False)
        outskirts = np.isin(kinds, _OPEN)[zones]
        _grow(after, growth, outskirts & before.cover_of(*_FREE), shape)
        after.changed &= _surface_numbers(after) != _surface_numbers(before)
        return City(shape, before, after)

    def _city_name(self, number: int) -> tuple[str, str]:
        """Split and name of a city."""
        if number < self.train:
            return 'Train', _TRAIN[number]
        return 'Test', _TEST[number - self.train]

    def _shape(self, number: int) -> tuple[int, int]:
        """Rows and columns of the scenes of a city."""
        rng = self.rng(number, _SHAPE)
        sides = [side for side in range(self.sides[0], self.sides[1] + 1) if side % _TILE]
        rows, columns = rng.choice(sides, 2, replace=False)
        return int(rows), int(columns)


def _dates(rng: Generator) -> tuple[date, date]:
    """Days of the two scenes, about one or two years apart, without snow and low sun."""
    years = 2016, 2017 + int(rng.integers(2))
    first, second = (
        date(year, 1, 1) + timedelta(days=int(rng.integers(90, 300))) for year in years
    )
    return first, second


def _cut[Number: np.generic](layer: NDArray[Number], city: City) -> NDArray[Number]:
    """The part of a layer that the scenes show."""
    return layer[: city.shape[0], : city.shape[1]]


def _grow(location: Landscape, rng: Generator, free: Mask, shape: tuple[int, int]) -> None:
    """Build on free land until 3 to 10 % of what the scenes show has changed."""
    shown = np.s_[: 2 * shape[0], : 2 * shape[1]]
    for _ in range(int(rng.integers(3))):
        road = _new_road(rng, location.side) & free & ~location.changed
        location.relief[road] = 1.0
        location.paint(rng, road, 'paved', 'asphalt')
        location.changed |= road
    target = rng.uniform(0.04, 0.08)
    for _ in range(_TRIES):
        if location.changed[shown].mean() > target:
            return
        top, left = (int(rng.integers(0, 2 * extent - _SITE // 2)) for extent in shape)
        window = np.s_[top : top + _SITE, left : left + _SITE]
        plot = _plot(rng)[: location.side - top, : location.side - left]
        ready = plot & free[window] & ~location.changed[window]
        if ready.sum() > 0.6 * plot.sum():
            works = (_estate, _halls, _cleared)[int(rng.choice(3, p=(0.4, 0.35, 0.25)))]
            location.paste(works(rng), ready, top, left)
            location.changed[window] |= ready


def _new_road(rng: Generator, side: int) -> Mask:
    """Cells of a stretch of road."""
    distance = line_distance(rng, side, direction(rng), rng.uniform(0, 60))
    along, _ = coordinates(side, direction(rng))
    reach = CELL * side * rng.uniform(0.15, 0.4)
    return (distance < rng.uniform(8, 14)) & (np.abs(along - rng.uniform(-1, 1) * reach) < reach)


def _plot(rng: Generator) -> Mask:
    """Cells of a rectangular building site."""
    along, across = coordinates(_SITE, direction(rng))
    return (np.abs(along) < rng.uniform(40, 115)) & (np.abs(across) < rng.uniform(30, 75))


def _estate(rng: Generator) -> Landscape:
    """Streets, houses, and gardens that are still bare."""
    location, angle = Landscape(_SITE), direction(rng)
    location.paint(rng, everywhere(location), 'bare ground', 'soil')
    plots = grid_parcels(rng, _SITE, angle, 32, 36)
    location.paint_parcels(rng, ~edges(plots), plots, ROOFS)
    location.roughen(everywhere(location), noise(rng, _SITE, 10), 0.15)
    location.paint(rng, edges(grid_parcels(rng, _SITE, angle, 80, 100)), 'paved', 'asphalt')
    return location


def _halls(rng: Generator) -> Landscape:
    """Halls on a yard."""
    location = Landscape(_SITE)
    yard = 'concrete' if rng.random() < 0.5 else 'asphalt'
    location.paint(rng, everywhere(location), 'paved', yard)
    plots = grid_parcels(rng, _SITE, direction(rng), 55, 80)
    used = rng.random(int(plots.max()) + 1) < 0.7
    location.paint_parcels(rng, used[plots] & ~edges(plots), plots, ROOFS)
    return location


def _cleared(rng: Generator) -> Landscape:
    """Ground cleared for building."""
    location = Landscape(_SITE)
    ground = 'gravel' if rng.random() < 0.6 else 'soil'
    location.paint(rng, everywhere(location), 'bare ground', ground)
    location.roughen(everywhere(location), noise(rng, _SITE, 30), 0.12)
    return location


def _surface_numbers(location: Landscape) -> NDArray[np.intp]:
    """Surface of each cell as a number that is the same in every landscape."""
    known = {surface: number for number, surface in enumerate(SURFACES)}
    return np.array([known[surface] for surface in location.surfaces])[location.patches]
