# Copyright (c) torchgeo_saco Contributors. All rights reserved.
# Licensed under the MIT License.

"""Tree in the layout of DynamicEarthNet."""

import math
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import ClassVar, NamedTuple

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from torchgeo_saco.bands import band_index

from ..geotiff import write_raster
from ..landscape import Landscape
from ..locations import SampleLocation, placed
from ..patterns import CELL, Field, Mask, cells, edges, grain, grid_parcels, noise, top_share
from ..products import UNIT
from ..scenery import ROOFS, direction, next_year
from ..scenes import ground_image
from ..sensor import PIXEL, Image
from ..spectra import BANDS
from .kinds import mosaic
from .tree import BenchmarkTree

# Side of a pixel, in metres.
_PIXEL = 3.0

# Bands of the labels, https://arxiv.org/abs/2203.12560. The last one is empty.
_CLASSES = (
    'impervious surface',
    'agriculture',
    'forest and other vegetation',
    'wetlands',
    'soil',
    'water',
    'snow and ice',
)

# Land cover of each class; wetlands are drawn by themselves.
_COVERS = {
    'impervious surface': ('building', 'paved'),
    'agriculture': ('winter crop', 'summer crop', 'orchard trees'),
    'forest and other vegetation': ('broadleaf trees', 'conifer trees', 'grass'),
    'soil': ('bare ground',),
    'water': ('water',),
}

_KINDS = ('town', 'village', 'winter_crops', 'summer_crops', 'mixed_forest', 'grassland')

# Sentinel-2 bands next to those of the images.
_SPECTRAL = ('B02', 'B03', 'B04', 'B8A')

# Degrees east and north. Nothing of the real areas is shown.
_REGIONS = ((-121.4, 38.5), (11.2, 48.1), (31.3, 49.4), (-88.7, 40.2))

# Share of the canvas under water in an average month, and how much it rises and falls.
_LAKE, _RISE = 0.14, 0.05

# Share of the canvas in the hollow that holds marsh and water.
_HOLLOW = 0.32

# Uses of randomness.
_PLACE, _LAND, _NEXT_YEAR, _BUILD, _SHORE, _SCENE = range(6)


class _Area(NamedTuple):
    """What does not change from month to month."""

    #: Land without the lake, and before anything is built.
    land: Landscape

    #: How deep each cell lies.
    depth: Field

    #: Cells that are marsh or water.
    hollow: Mask

    #: Cells that are cleared, and built on later.
    plot: Mask

    #: Months in which the plot is cleared and built on, numbered as those of the tree; never, if
    #: there is none of that number.
    steps: tuple[int, int]


@dataclass(frozen=True)
class DynamicEarthNetTree(BenchmarkTree):
    """Areas with images and land cover of several months."""

    name: ClassVar[str] = 'dynamicearthnet'
    title: ClassVar[str] = 'DynamicEarthNet'
    unit: ClassVar[str] = 'areas'
    layout: ClassVar[str] = """\
- `planet/<zone>/<tile>/<area>/PF-SR/<yyyy-mm>-01.tif`: blue, green, red, near infrared (uint16),
  reflectance x 10000, 3 m a pixel; the first day of each month alone.
- `labels/<area>_<zone>/Labels/Raster/<name>/<name>-<yyyy_mm>_01.tif`: seven bands of 0 or 255, one
  for each class; snow and ice does not occur.
- `dynnet_training_splits/{train,val,test}.txt`: folder, labels and month of each image.

The ground is simulated on cells of 5 m and resampled to 3 m, so images are softer than real ones.
The real images have 1024 x 1024 px and 24 months. Lakes fall in summer and leave bare soil, a plot
of some areas is cleared or built on, and crops change from year to year.
"""

    #: Areas of the training, validation and test set.
    areas: tuple[int, int, int] = (8, 3, 3)

    #: Months of each area, such as 2018-04.
    months: tuple[str, ...] = ('2018-04', '2018-07', '2018-10', '2019-04', '2019-07', '2019-10')

    #: Side of an image, in pixels.
    size: int = 192

    @property
    def count(self) -> int:
        """How many areas there are."""
        return sum(self.areas)

    def write(self, root: Path, number: int) -> list[str]:
        """Write the months of one area, and return its lines of the list."""
        where = self._place(number)
        zone = f'{where.epsg % 100:02d}N'
        half = where.size * PIXEL / 2
        east, north = where.corner[0] + half, where.corner[1] - half
        # Squares of 24 km in the zone, and of the web at level 13.
        tile = f'{int(east // 24_000)}E-{int(north // 24_000)}N'
        name = _web_tile(where.longitude, where.latitude)
        side = f'{abs(int(where.longitude))}{"W" if where.longitude < 0 else "E"}'
        scene = f'{zone}-{side}-{int(where.latitude)}N-L3H-SR'
        images = f'{zone}/{tile}/{name}/PF-SR'
        labels = f'labels/{name}_{zone}/Labels/Raster/{scene}'
        area = self._area(number)
        lines = []
        for rank, month in enumerate(self.months):
            land, marsh = self._month(number, area, rank)
            day = date.fromisoformat(f'{month}-01').timetuple().tm_yday
            image = self._image(number, land, rank, day)
            file = f'{labels}/{scene}-{month.replace("-", "_")}_01.tif'
            place = where.crs, where.transform(_PIXEL)
            write_raster(root / 'planet' / images / f'{month}-01.tif', image, *place)
            write_raster(root / file, self._labels(land, marsh), *place)
            lines.append(f'/reprocess-cropped/UTM-24000/{images} /{file} {month}\n')
        return lines

    def write_lists(self, root: Path, records: list[list[str]]) -> None:
        """Write the lists of the splits."""
        folder = root / 'dynnet_training_splits'
        folder.mkdir(parents=True, exist_ok=True)
        ends = np.cumsum(self.areas).tolist()
        for split, start, end in zip(('train', 'val', 'test'), [0, *ends], ends, strict=False):
            text = ''.join(line for lines in records[start:end] for line in lines)
            (folder / f'{split}.txt').write_text(text, encoding='utf-8')

    def _place(self, number: int) -> SampleLocation:
        """Where an area lies; no two are in one square of the web."""
        east, north = _REGIONS[number % len(_REGIONS)]
        spot = east + 0.1 * (number // len(_REGIONS)), north
        return placed(number, '', False, *spot, math.ceil(self.size * _PIXEL / PIXEL))

    def _area(self, number: int) -> _Area:
        """Lay out the land."""
        rng = self.rng(number, _LAND)
        # Fourier transforms of other sides than these multiples may take long.
        side = 24 * math.ceil(self.size * _PIXEL / CELL / 24)
        zones, _ = cells(rng, side, 250)
        order = rng.permutation(len(_KINDS))
        kinds = [_KINDS[order[zone % len(order)]] for zone in range(int(zones.max()) + 1)]
        land = mosaic(rng, zones, kinds)
        depth = noise(rng, side, 260) + 0.1 * noise(rng, side, 40)
        hollow = top_share(depth, _HOLLOW)
        land.relief[hollow] = 1.0
        land.paint(rng, hollow, 'grass', 'rough_grass')
        land.roughen(hollow, noise(rng, side, 25), 0.15)
        pools = top_share(grain(rng, side, 30), 0.35 * _HOLLOW, hollow)
        land.paint(rng, pools, 'water', 'water')
        row, col = np.indices((side, side)) / side - rng.uniform(0.2, 0.8, (2, 1, 1))
        plot = top_share(-np.maximum(abs(row), abs(col)), rng.uniform(0.05, 0.12), ~hollow)
        first, second = np.sort(rng.choice(np.arange(1, len(self.months) + 1), 2, replace=False))
        return _Area(land, depth, hollow, plot, (int(first), int(second)))

    def _month(self, number: int, area: _Area, rank: int) -> tuple[Landscape, Mask]:
        """Land of one month, and its cells that are marsh."""
        year, month = (int(part) for part in self.months[rank].split('-'))
        land = area.land.copy()
        if year > int(self.months[0][:4]):
            land = next_year(land, self.rng(number, _NEXT_YEAR, year), False)
        # The same numbers every month: what has been built stays as it is.
        rng = self.rng(number, _BUILD)
        if rank >= area.steps[1]:
            _build(land, rng, area.plot)
        elif rank >= area.steps[0]:
            land.relief[area.plot] = 1.0
            land.paint(rng, area.plot, 'bare ground', 'soil')
            land.roughen(area.plot, noise(rng, land.side, 25), 0.12)
        rng = self.rng(number, _SHORE)
        bed = top_share(area.depth, _LAKE + _RISE)
        land.relief[bed] = 1.0
        land.paint(rng, bed, 'bare ground', 'soil')
        level = _LAKE + _RISE * math.cos(2 * math.pi * (month - 3) / 12)
        land.paint(rng, top_share(area.depth, level), 'water', 'water')
        return land, area.hollow & ~bed

    def _image(self, number: int, land: Landscape, rank: int, day: int) -> NDArray[np.uint16]:
        """Image of one month, without clouds or haze, for Planet Fusion fills them."""
        place, rng = self.rng(number, _PLACE), self.rng(number, _SCENE, rank)
        light_soil, late = place.uniform(0.3, 0.8), place.normal(0, 5)
        ground = ground_image(land, day - late, light_soil, rng)[band_index(BANDS, _SPECTRAL)]
        image = _resampled(ground, self.size) * np.float32(np.exp(rng.normal(0, 0.05)))
        deviation = 0.002 + 0.01 * image
        image = image + deviation * rng.standard_normal(image.shape, np.float32)
        # 0 would be nodata.
        return np.round(UNIT * image).clip(1, UNIT).astype(np.uint16)

    def _labels(self, land: Landscape, marsh: Mask) -> NDArray[np.uint8]:
        """Bands of the classes of one month."""
        masks = {name: land.cover_of(*covers) & ~marsh for name, covers in _COVERS.items()}
        masks['wetlands'] = marsh
        empty = np.zeros_like(marsh)
        whole = np.stack([masks.get(name, empty) for name in _CLASSES])
        nearest = _centres(self.size).astype(int)
        return np.where(whole[:, nearest[:, None], nearest], 255, 0).astype(np.uint8)


def _build(land: Landscape, rng: Generator, plot: Mask) -> None:
    """Put halls and yards on a plot."""
    land.relief[plot] = 1.0
    land.paint(rng, plot, 'paved', 'concrete')
    halls = grid_parcels(rng, land.side, direction(rng), 60, 90)
    land.paint_parcels(rng, plot & ~edges(halls) & (halls % 3 > 0), halls, ROOFS)


def _web_tile(longitude: float, latitude: float, level: int = 13) -> str:
    """Square of the web map that holds a point, such as ``1311_3077_13``."""
    north = math.asinh(math.tan(math.radians(latitude)))
    column = int((longitude + 180) / 360 * 2**level)
    row = int((1 - north / math.pi) / 2 * 2**level)
    return f'{column}_{row}_{level}'


def _centres(size: int) -> Field:
    """Centres of the pixels along a side, in cells from the edge of the canvas."""
    centres = (np.arange(size) + 0.5) * _PIXEL / CELL
    return centres.astype(np.float64)


def _resampled(image: Image, size: int) -> Image:
    """Reflectance of the pixels, linear between the centres of the cells, (..., size, size)."""
    at = np.clip(_centres(size) - 0.5, 0, image.shape[-1] - 1)
    low = at.astype(int)
    high = np.minimum(low + 1, image.shape[-1] - 1)
    share = (at - low).astype(np.float32)
    for _ in range(2):
        image = image[..., low] * (1 - share) + image[..., high] * share
        image = image.swapaxes(-1, -2)
    return image
