# Copyright (c) torchgeo_saco Contributors. All rights reserved.
# Licensed under the MIT License.

"""Where the synthetic locations lie, and when they are seen."""

from datetime import UTC, datetime, timedelta
from functools import cache
from typing import NamedTuple

import numpy as np
from numpy.random import Generator, SeedSequence, default_rng
from pyproj import Transformer
from rasterio import Affine
from rasterio.crs import CRS

from .scenery import LABELS
from .sensor import PIXEL

# Farmland of the temperate north, degrees east and north. Nothing of the real locations is
# shown; they only give the archive several UTM zones.
_REGIONS = (
    (4.5, 50.7),
    (1.8, 48.2),
    (-0.4, 44.5),
    (11.3, 48.9),
    (10.4, 45.2),
    (17.2, 52.3),
    (19.5, 46.8),
    (26.1, 44.4),
    (31.5, 49.3),
    (-93.8, 42.1),
    (-88.9, 40.3),
    (-80.6, 43.3),
    (-120.1, 46.9),
    (125.2, 44.1),
    (142.9, 43.1),
)

# Of every twenty locations in a row, these many change for good: 15 %.
_CHANGES = (3, 20)


class SampleLocation(NamedTuple):
    """One synthetic location on Earth."""

    #: Number of the location.
    number: int

    #: Kind of location, one of the labels of scenery.
    label: str

    #: Whether part of it is put to another use between the two years.
    changed: bool

    #: Centre, in degrees east.
    longitude: float

    #: Centre, in degrees north.
    latitude: float

    #: UTM zone, as an EPSG code.
    epsg: int

    #: Coordinates of the upper left corner, in metres east and north.
    corner: tuple[float, float]

    #: Tile of the military grid, such as ``T31UFS``.
    tile: str

    #: Pixels of 10 m along a scene.
    size: int

    @property
    def name(self) -> str:
        """Folder of the location, such as ``000042``."""
        return f'{self.number:06d}'

    @property
    def crs(self) -> CRS:
        """Coordinate reference system of its files."""
        return _crs(self.epsg)

    def transform(self, metres: float) -> Affine:
        """Pixel to map coordinates on a grid of *metres*."""
        return Affine(metres, 0.0, self.corner[0], 0.0, -metres, self.corner[1])


def generator(seed: int, location: int, *purpose: int) -> Generator:
    """Randomness that depends on its arguments only.

    Args:
        seed: Seed of the archive.
        location: Number of the location.
        purpose: Numbers that tell one use from another.

    Returns:
        A fresh generator.
    """
    return default_rng(SeedSequence((seed, location, *purpose)))


def sample_location(seed: int, number: int, size: int) -> SampleLocation:
    """One location of the archive.

    Args:
        seed: Seed of the archive.
        number: Number of the location.
        size: Pixels of 10 m along a scene.

    Returns:
        The location; it does not depend on how many there are.
    """
    rng = generator(seed, number, 0)
    east, north = _REGIONS[rng.integers(len(_REGIONS))]
    longitude, latitude = east + rng.uniform(-0.6, 0.6), north + rng.uniform(-0.6, 0.6)
    label, changed = _drawn_label(seed, number), _drawn_change(seed, number)
    return placed(number, label, changed, longitude, latitude, size)


def placed(
    number: int, label: str, changed: bool, longitude: float, latitude: float, size: int
) -> SampleLocation:
    """A location around a point on Earth.

    Args:
        number: Number of the location.
        label: Kind of location.
        changed: Whether part of it is put to another use.
        longitude: Centre, in degrees east.
        latitude: Centre, in degrees north.
        size: Pixels of 10 m along a scene.

    Returns:
        The location, with its corner on multiples of 60 m in its UTM zone.
    """
    zone = int((longitude + 180) // 6) + 1
    epsg = 32600 + zone
    easting, northing = _transformer(epsg).transform(longitude, latitude)
    # Corners lie on multiples of 60 m, so that the grids of all bands coincide.
    half = size * PIXEL / 2
    corner = (60.0 * round((easting - half) / 60), 60.0 * round((northing + half) / 60))
    return SampleLocation(
        number,
        label,
        changed,
        round(longitude, 5),
        round(latitude, 5),
        epsg,
        corner,
        grid_tile(zone, latitude, easting, northing),
        size,
    )


def grid_tile(zone: int, latitude: float, easting: float, northing: float) -> str:
    """Tile of the military grid that Sentinel-2 products are named by.

    Args:
        zone: UTM zone, 1-60.
        latitude: Degrees north, -80 to 84.
        easting: Metres east in the zone.
        northing: Metres north in the zone.

    Returns:
        Name of the tile.

    Example:
        >>> grid_tile(31, 50.8, 610_000, 5_630_000)
        'T31UFS'
    """
    band = 'CDEFGHJKLMNPQRSTUVWXX'[int((latitude + 80) // 8)]
    columns = ('ABCDEFGH', 'JKLMNPQR', 'STUVWXYZ')[(zone - 1) % 3]
    rows = 'ABCDEFGHJKLMNPQRSTUV'
    row = int(northing // 100_000) + (0 if zone % 2 else 5)
    return f'T{zone:02d}{band}{columns[int(easting // 100_000) - 1]}{rows[row % 20]}'


def acquisition_days(seed: int, number: int, count: int) -> list[int]:
    """Days of the year on which a location is seen, the same in every year.

    Args:
        seed: Seed of the archive.
        number: Number of the location.
        count: Dates a year.

    Returns:
        Increasing days, spread over the seasons.
    """
    rng = generator(seed, number, 1)
    step = 365 / count
    days = (np.arange(count) + 0.5) * step + rng.uniform(-0.27, 0.27) * step
    return [round(day) for day in days + rng.uniform(-0.06, 0.06, count) * step]


def scene_time(location: SampleLocation, year: int, day: int, hour: float) -> datetime:
    """Moment of an acquisition in UTC, at *hour* of local solar time."""
    moment = datetime(year, 1, 1, tzinfo=UTC) + timedelta(days=day - 1)
    return moment + timedelta(hours=hour - location.longitude / 15)


def _drawn_label(seed: int, number: int) -> str:
    """Kind of a location; every ten locations in a row have every kind once."""
    block, rank = divmod(number, len(LABELS))
    return LABELS[default_rng(SeedSequence((seed, block, 2))).permutation(len(LABELS))[rank]]


def _drawn_change(seed: int, number: int) -> bool:
    """Whether a location changes."""
    changes, block_size = _CHANGES
    block, rank = divmod(number, block_size)
    order = default_rng(SeedSequence((seed, block, 3))).permutation(block_size)
    return bool(order[rank] < changes)


@cache
def _transformer(epsg: int) -> Transformer:
    """Geographic to map coordinates."""
    return Transformer.from_crs(4326, epsg, always_xy=True)


@cache
def _crs(epsg: int) -> CRS:
    """Coordinate reference system by its EPSG code."""
    return CRS.from_epsg(epsg)
