# Copyright (c) torchgeo_saco Contributors. All rights reserved.
# Licensed under the MIT License.

"""Tree in the layout of PASTIS-R."""

import json
from dataclasses import dataclass
from datetime import date, timedelta
from functools import cache
from pathlib import Path
from typing import Any, ClassVar, NamedTuple

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray
from pyproj import Transformer

from ..landscape import Landscape
from ..locations import placed
from ..patterns import edges, grid_parcels, noise, stripes, top_share
from ..products import level2a, on_finest_grid
from ..radar import backscattered
from ..scenery import direction
from ..sensor import sky
from .kinds import KINDS
from .tree import BenchmarkTree, Site, canvas_size, site

_FOLDER = 'PASTIS-R'
_SIZE = 128
_FOLDS = 5
_VOID = 19

# Order in the files, https://github.com/VSainteuf/pastis-benchmark
_BANDS = ('B02', 'B03', 'B04', 'B05', 'B06', 'B07', 'B08', 'B8A', 'B11', 'B12')

# Land cover, surface and number of the classes that occur.
_CROPS = (
    ('grass', 'grass', 1),
    ('winter crop', 'wheat', 2),
    ('summer crop', 'maize', 3),
    ('winter crop', 'winter_barley', 4),
    ('winter crop', 'rapeseed', 5),
    ('summer crop', 'spring_barley', 6),
    ('orchard trees', 'vines', 8),
    ('summer crop', 'beet', 9),
)

# Degrees east and north of the parts of France where PASTIS lies, roughly.
_REGIONS = ((2.5, 49.9), (-1.0, 44.8), (4.5, 46.2), (-0.5, 47.8))

_SENSORS = ('S2', 'S1A', 'S1D')

# Uses of randomness.
_PLACE, _LAND, _DATES, _OPTICAL, _RADAR = range(5)


class _Series(NamedTuple):
    """Sums over one series of images, for the means of a fold."""

    #: Pixels summed, per channel.
    pixels: int

    #: Sum of each channel.
    total: list[float]

    #: Sum of squares of each channel.
    squares: list[float]


class _Patch(NamedTuple):
    """Entry of a patch in the lists."""

    #: Its entry in the metadata.
    feature: dict[str, Any]

    #: Sums by sensor.
    series: dict[str, _Series]


@dataclass(frozen=True)
class PASTISTree(BenchmarkTree):
    """Series of images of farmland, with the crop of each parcel."""

    name: ClassVar[str] = 'pastis'
    title: ClassVar[str] = 'PASTIS-R'
    unit: ClassVar[str] = 'patches'
    layout: ClassVar[str] = f"""\
- `{_FOLDER}/DATA_S2/S2_<id>.npy`: (dates, 10, 128, 128) int16, Sentinel-2 level 2A on the 10 m
  grid, reflectance x 10000, a few dates from September 2018 to November 2019, some cloudy.
- `{_FOLDER}/DATA_S1{{A,D}}/S1{{A,D}}_<id>.npy`: (dates, 3, 128, 128) float32, VV, VH and
  VV - VH in dB.
- `{_FOLDER}/ANNOTATIONS/TARGET_<id>.npy`: (3, 128, 128) uint8, the class in the first channel,
  zeros in the other two; 8 of the 18 crops occur; 0 is background, 19 void (parcels cut by the
  border).
- `{_FOLDER}/INSTANCE_ANNOTATIONS/INSTANCES_<id>.npy`: (128, 128) int32, number of the parcel or 0.
- `{_FOLDER}/metadata.geojson`: fold, dates and location of each patch; `NORM_*_patch.json`: mean
and
  standard deviation of each channel over the patches of each fold.

A parcel bears one crop all the time.
"""

    #: Patches of each of the five folds.
    patches_per_fold: int = 6

    #: Fewest and most dates of a series.
    dates: tuple[int, int] = (6, 9)

    @property
    def count(self) -> int:
        """How many patches there are."""
        return _FOLDS * self.patches_per_fold

    def write(self, root: Path, number: int) -> _Patch:
        """Write the series and the parcels of one patch."""
        identifier = 10_000 + number
        rng = self.rng(number, _PLACE)
        east, north = _REGIONS[rng.integers(len(_REGIONS))]
        spot = east + rng.uniform(-0.5, 0.5), north + rng.uniform(-0.4, 0.4)
        land, parcels = _farmland(self.rng(number, _LAND), 2 * canvas_size(_SIZE))
        where = site(rng, land.side // 2, spot[1])
        target, instances = _annotation(land, parcels)
        days = self._dates(number)
        images: dict[str, NDArray[Any]] = {}
        images['S2'] = _optical(land, where, days['S2'], self.rng(number, _OPTICAL))
        for rank, sensor in enumerate(_SENSORS[1:]):
            images[sensor] = _radar(land, where, days[sensor], self.rng(number, _RADAR, rank))
        for sensor, series in images.items():
            _save(root / _FOLDER / f'DATA_{sensor}' / f'{sensor}_{identifier}.npy', series)
        _save(root / _FOLDER / 'ANNOTATIONS' / f'TARGET_{identifier}.npy', target)
        path = root / _FOLDER / 'INSTANCE_ANNOTATIONS' / f'INSTANCES_{identifier}.npy'
        _save(path, instances)
        feature = _feature(identifier, number % _FOLDS + 1, spot, days, instances)
        return _Patch(feature, {sensor: _sums(series) for sensor, series in images.items()})

    def write_lists(self, root: Path, records: list[_Patch]) -> None:
        """Write the metadata and the means of each fold."""
        table = {
            'type': 'FeatureCollection',
            'name': 'metadata',
            'crs': {'type': 'name', 'properties': {'name': 'urn:ogc:def:crs:EPSG::2154'}},
            'features': [patch.feature for patch in records],
        }
        _write_json(root / _FOLDER / 'metadata.geojson', table)
        for sensor in _SENSORS:
            means = {
                f'Fold_{fold + 1}': _statistics([p.series[sensor] for p in records[fold::_FOLDS]])
                for fold in range(_FOLDS)
            }
            _write_json(root / _FOLDER / f'NORM_{sensor}_patch.json', means)

    def _dates(self, number: int) -> dict[str, list[date]]:
        """Days of the images of each sensor, in order."""
        rng = self.rng(number, _DATES)
        optical = int(rng.integers(self.dates[0], self.dates[1] + 1))
        counts = {'S2': optical, 'S1A': int(rng.integers(2, 4)), 'S1D': int(rng.integers(2, 4))}
        return {sensor: _spread_days(rng, count) for sensor, count in counts.items()}


def _spread_days(rng: Generator, count: int) -> list[date]:
    """Days from September 2018 to November 2019, spread evenly with some play."""
    step = 430 / count
    days = (np.arange(count) + 0.5 + rng.uniform(-0.35, 0.35, count)) * step
    return [date(2018, 9, 10) + timedelta(days=round(day)) for day in days]


def _farmland(rng: Generator, side: int) -> tuple[Landscape, int]:
    """Parcels with crops, and land that is none; the first patches are the parcels."""
    location = Landscape(side)
    angle = direction(rng)
    fields = grid_parcels(rng, side, angle, rng.uniform(110, 190), rng.uniform(170, 300), bend=15)
    shares = rng.dirichlet(np.full(len(_CROPS), 1.2)) + 0.03
    choices = [
        (cover, surface, share) for (cover, surface, _), share in zip(_CROPS, shares, strict=True)
    ]
    location.paint_parcels(rng, np.ones((side, side), bool), fields, choices)
    parcels = len(location.surfaces)
    for surface, period, strength in (('vines', 24, 0.2), ('maize', 40, 0.06), ('beet', 40, 0.06)):
        rows = np.isin(location.patches, np.flatnonzero(np.array(location.surfaces) == surface))
        location.roughen(rows, stripes(rng, side, angle, period), strength)
    location.roughen(np.ones((side, side), bool), noise(rng, side, 50), 0.05)
    border = edges(fields)
    location.paint(rng, border, 'grass', 'rough_grass')
    location.paint(rng, border & (noise(rng, side, 300) > 0.9), 'broadleaf trees', 'broadleaf')
    wild = noise(rng, side, 300)
    for kind, share in (('mixed_forest', 0.16), ('village', 0.1)):
        area = top_share(wild, rng.uniform(0.3, 1.0) * share)
        location.paste(KINDS[kind](rng, side), area)
        wild = np.where(area, -9.0, noise(rng, side, 250))
    return location, parcels


def _annotation(location: Landscape, parcels: int) -> tuple[NDArray[np.uint8], NDArray[np.int32]]:
    """Class and number of the parcel of each pixel that the patch shows."""
    # Of the four cells of a pixel in order, two equal ones in a row are the most frequent.
    cells = np.stack([location.patches[row::2, col::2] for row in (0, 1) for col in (0, 1)])
    first, second, third, fourth = np.sort(cells[:, :_SIZE, :_SIZE], axis=0)
    patches = np.select(
        [first == second, second == third, third == fourth], [first, second, third], first
    )
    numbers = {surface: number for _, surface, number in _CROPS}
    classes = np.zeros(len(location.surfaces), np.uint8)
    classes[:parcels] = [numbers[surface] for surface in location.surfaces[:parcels]]
    classes[_cut_parcels(patches, parcels)] = _VOID
    target = np.zeros((3, _SIZE, _SIZE), np.uint8)
    target[0] = classes[patches]
    found = np.where(target[0] > 0, patches + 1, 0)
    instances = np.searchsorted(np.unique(np.append(found, 0)), found).astype(np.int32)
    return target, instances


def _cut_parcels(patches: NDArray[np.intp], parcels: int) -> NDArray[np.intp]:
    """Parcels that lie mostly outside: at the border and small for the patch."""
    areas = np.bincount(patches.ravel(), minlength=parcels)[:parcels]
    border = np.concatenate([patches[[0, -1]].ravel(), patches[:, [0, -1]].ravel()])
    small = areas < 0.4 * np.median(areas[areas > 0])
    return np.intersect1d(border[border < parcels], np.flatnonzero(small))


def _optical(
    location: Landscape, where: Site, days: list[date], rng: Generator
) -> NDArray[np.int16]:
    """Sentinel-2 series."""
    series = np.empty((len(days), len(_BANDS), _SIZE, _SIZE), np.int16)
    for rank, moment in enumerate(days):
        day = moment.timetuple().tm_yday
        weather = sky(rng, where.latitude, day)
        bands = level2a(where.ground(location, day, rng), where.terrain, weather, rng)
        wanted = on_finest_grid({band: bands[band] for band in _BANDS})
        series[rank] = [layer[:_SIZE, :_SIZE] for layer in wanted.values()]
    return series


def _radar(
    location: Landscape, where: Site, days: list[date], rng: Generator
) -> NDArray[np.float32]:
    """Sentinel-1 series."""
    series = np.empty((len(days), 3, _SIZE, _SIZE), np.float32)
    for rank, moment in enumerate(days):
        day = moment.timetuple().tm_yday - round(where.late)
        power = backscattered(location, day, rng.uniform(0, 0.7), rng)
        vv, vh = (10 * np.log10(power[name][:_SIZE, :_SIZE]) for name in ('VV', 'VH'))
        series[rank] = vv, vh, vv - vh
    return series


def _feature(
    identifier: int,
    fold: int,
    spot: tuple[float, float],
    days: dict[str, list[date]],
    instances: NDArray[np.int32],
) -> dict[str, Any]:
    """Entry of a patch in the metadata."""
    east, north = (10.0 * round(metres / 10) for metres in _lambert().transform(*spot))
    right, upper = east + 10.0 * _SIZE, north + 10.0 * _SIZE
    ring = [[east, north], [right, north], [right, upper], [east, upper], [east, north]]
    dates = {
        f'dates-{sensor}': {str(rank): int(f'{day:%Y%m%d}') for rank, day in enumerate(moments)}
        for sensor, moments in days.items()
    }
    properties = {
        'ID_PATCH': identifier,
        'N_Parcel': int(instances.max()),
        'Parcel_Cover': round(float((instances > 0).mean()), 4),
        'TILE': placed(0, '', False, *spot, _SIZE).tile.lower(),
        'Fold': fold,
        **dates,
    }
    geometry = {'type': 'MultiPolygon', 'coordinates': [[ring]]}
    return {
        'id': str(identifier),
        'type': 'Feature',
        'properties': properties,
        'geometry': geometry,
    }


def _sums(series: NDArray[np.generic]) -> _Series:
    """Sums over one series."""
    values = series.astype(np.float64)
    axes = (0, 2, 3)
    total, squares = values.sum(axes).tolist(), (values**2).sum(axes).tolist()
    return _Series(values.size // values.shape[1], total, squares)


def _statistics(series: list[_Series]) -> dict[str, list[float]]:
    """Mean and standard deviation of each channel over several series."""
    pixels = sum(part.pixels for part in series)
    mean = np.sum([part.total for part in series], axis=0) / pixels
    variance = np.sum([part.squares for part in series], axis=0) / pixels - mean**2
    return {'mean': mean.tolist(), 'std': np.sqrt(variance).tolist()}


def _save(path: Path, array: NDArray[np.generic]) -> None:
    """Write an array; its folder is made."""
    path.parent.mkdir(parents=True, exist_ok=True)
    np.save(path, array)


def _write_json(path: Path, content: dict[str, Any]) -> None:
    """Write a JSON file."""
    path.write_text(json.dumps(content) + '\n', encoding='utf-8')


@cache
def _lambert() -> Transformer:
    """Geographic coordinates to those of the metadata."""
    return Transformer.from_crs(4326, 2154, always_xy=True)
