# Copyright (c) torchgeo_saco Contributors. All rights reserved.
# Licensed under the MIT License.

"""Where on Earth a GeoTIFF lies."""

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import shapely
from affine import Affine
from pyproj import Geod, Transformer
from pyproj.exceptions import ProjError
from rasterio.crs import CRS
from rasterio.warp import transform, transform_geom
from shapely.geometry.base import BaseGeometry
from torchgeo.datasets.utils import Path

from .raster import BandFileError, opened_raster
from .tiff import PixelGrid

_WGS84 = CRS.from_epsg(4326)

type Corners = Sequence[tuple[float, float]]


# Crops of bands of other sizes, as of SeCo, are apart by up to half of a coarse pixel; dates that
# were seen by neighbouring tiles, by a few pixels.
_BANDS_APART, _DATES_APART = 1.01, 0.1

# By what share projections such as UTM may stretch the ground, to be taken at their word.
_STRETCH = 0.01


class Georeference(NamedTuple):
    """Where the pixels of an image lie."""

    #: Coordinate system as WKT.
    crs: str

    #: From column and row to coordinates, row by row (a, b, c, d, e, f).
    transform: tuple[float, ...]


def read_georeference(path: Path, count: int = 1) -> Georeference | None:
    """Coordinate system and transform of a GeoTIFF, from its header.

    Args:
        path: GeoTIFF file.
        count: Bands that the file must have.

    Returns:
        Both, or None if the file is not georeferenced.

    Raises:
        BandFileError: If the file cannot be read.
    """
    with opened_raster(path, count, georeference=True) as file:
        # Without a georeference, the transform counts pixels.
        if file.crs is None or file.transform.is_identity:
            return None
        return Georeference(file.crs.to_wkt(), tuple(file.transform)[:6])


def read_footprint(path: Path, count: int = 1) -> BaseGeometry | None:
    """Ground that a GeoTIFF covers, from its header.

    Args:
        path: GeoTIFF file.
        count: Bands that the file must have.

    Returns:
        Polygon of its four corners in longitude and latitude, EPSG:4326, in two parts where it
        crosses the antimeridian; or None if the file is not georeferenced.

    Raises:
        BandFileError: If the file cannot be read, or its corners lie nowhere on Earth.
    """
    with opened_raster(path, count, georeference=True) as file:
        crs, affine, (height, width) = file.crs, file.transform, file.shape
    # Without a georeference, the transform counts pixels.
    if crs is None or affine.is_identity:
        return None
    a, b, c, d, e, f, *_ = affine
    pixels = ((0, 0), (width, 0), (width, height), (0, height))
    corners = [(a * x + b * y + c, d * x + e * y + f) for x, y in pixels]
    _require_on_earth(path, crs, corners)
    ring = {'type': 'Polygon', 'coordinates': [[*corners, corners[0]]]}
    # Cuts what crosses the antimeridian, other than pyproj.
    return shapely.geometry.shape(transform_geom(crs, _WGS84, ring))


def read_grid(path: Path, count: int = 1) -> PixelGrid | None:
    """Where the pixels of any GeoTIFF lie, from its header.

    Args:
        path: GeoTIFF file.
        count: Bands that the file must have.

    Returns:
        The grid, or None if the file is not georeferenced.

    Raises:
        BandFileError: If the file cannot be read.
    """
    with opened_raster(path, count, georeference=True) as file:
        if file.crs is None or file.transform.is_identity:
            return None
        return PixelGrid(file.shape, tuple(file.transform)[:6], file.crs.to_wkt().encode())


def pixel_sides(crs: CRS, transform: Affine, column: float, row: float) -> tuple[float, float]:
    """Width and height of a pixel on the ground, in metres.

    Those of the coordinate system where it is true to the ground by one part in a hundred, as UTM
    is; else, as in degrees and in the Mercator projection of web maps, of the ellipsoid.

    Args:
        crs: Coordinate system.
        transform: From column and row to its coordinates.
        column: Column of the pixel.
        row: Row of the pixel.

    Returns:
        Width and height.
    """
    points = [transform @ at for at in ((column, row), (column + 1, row), (column, row + 1))]
    metres = crs.linear_units_factor[1] if crs.is_projected else 1
    width, height = (metres * math.dist(points[0], point) for point in points[1:])
    try:
        to_degrees = Transformer.from_crs(crs.to_wkt(), _WGS84.to_wkt(), always_xy=True)
        (x, x1, x2), (y, y1, y2) = zip(
            *(to_degrees.transform(*point, errcheck=True) for point in points), strict=True
        )
    except ProjError:
        # Of a place that nobody states, such as the grid of a building site.
        return width, height
    ground = Geod(ellps='WGS84').inv([x, x], [y, y], [x1, x2], [y1, y2])[2]
    if np.allclose(ground, (width, height), rtol=_STRETCH):
        return width, height
    return ground[0], ground[1]


def require_same_grid(
    path: Path, grid: PixelGrid | None, other_path: Path, other: PixelGrid
) -> None:
    """Refuse a band that does not lie on another one that it is stacked with.

    Args:
        path: File of the band.
        grid: Where it lies, or None if it does not say so.
        other_path: File of the other one.
        other: Where that lies.

    Raises:
        BandFileError: If their corners are apart by more than a pixel of the coarser one, or their
            coordinate systems differ.
    """
    if grid is None or grid == other:
        return
    remedy = 'bring all bands of a date to one grid, as by gdalwarp'
    if grid.system != other.system:
        one, two = _systems(path, other_path)
        if one != two:
            raise BandFileError(
                f'{path} is in {_spelled(one)}, {other_path} of the same date in {_spelled(two)}; '
                f'{remedy}'
            )
    apart = _apart(grid.corners, other.corners)
    if not apart <= _BANDS_APART * max(grid.pixel, other.pixel):
        raise BandFileError(
            f'{path} has a corner at {_corner(grid)}, {other_path} of the same date at '
            f'{_corner(other)}, and they are apart by up to {apart:g}, or stored another way up; '
            f'{remedy}'
        )


def require_same_ground(
    path: Path, grid: PixelGrid | None, other_path: Path, other: PixelGrid
) -> None:
    """Refuse an image of another ground than that of another date.

    Args:
        path: File of the image.
        grid: Where it lies, or None if it does not say so.
        other_path: File of the other one.
        other: Where that lies, in the same coordinate system or another.

    Raises:
        BandFileError: If their corners are apart by more than a tenth of the image and two pixels.
    """
    if grid is None or grid == other:
        return
    corners = grid.corners
    if grid.system != other.system:
        one, two = _systems(path, other_path)
        if one != two and one is not None and two is not None:
            xs, ys = transform(one, two, *map(list, zip(*corners, strict=True)))
            corners = list(zip(xs, ys, strict=True))
    apart = _apart(corners, other.corners)
    if not apart <= max(_DATES_APART * max(other.shape), 2) * other.pixel:
        raise BandFileError(
            f'{path} has its corners at {_listed(corners)}, {other_path} of another date at '
            f'{_listed(other.corners)}; a location is one ground, stored one way up: put them into '
            'folders of their own'
        )


def _apart(corners: Corners, others: Corners) -> float:
    """Largest distance of corresponding corners."""
    return max(math.dist(one, other) for one, other in zip(corners, others, strict=True))


def _systems(path: Path, other_path: Path) -> tuple[CRS | None, CRS | None]:
    """Coordinate systems of two files, which may be written in different ways."""
    with opened_raster(path, None, georeference=True) as file:
        one = file.crs
    with opened_raster(other_path, None, georeference=True) as file:
        return one, file.crs


def _spelled(system: CRS | None) -> str:
    """A coordinate system in a word."""
    return 'no coordinate system' if system is None else system.to_string()[:60]


def _corner(grid: PixelGrid) -> str:
    """First corner of an image."""
    return '({:.10g}, {:.10g})'.format(*grid.corners[0])


def _listed(corners: Corners) -> str:
    """First and opposite corner of an image."""
    return ' and '.join('({:.8g}, {:.8g})'.format(*corner) for corner in corners[::2])


def _require_on_earth(path: Path, crs: CRS, corners: list[tuple[float, float]]) -> None:
    """Refuse coordinates that have no longitude and latitude."""
    try:
        transformer = Transformer.from_crs(crs.to_wkt(), _WGS84.to_wkt(), always_xy=True)
        longitudes, latitudes = np.array([transformer.transform(*c) for c in corners]).T
    except ProjError as error:
        raise BandFileError(
            f'{path} has a coordinate system without longitude and latitude ({error}); correct its '
            'georeference'
        ) from error
    # Longitudes beyond 180 degrees wrap around; latitudes beyond 90 do not exist.
    if not (np.abs(longitudes) <= 360).all() or not (np.abs(latitudes) <= 90).all():
        raise BandFileError(
            f'{path} lies nowhere on Earth, with a corner at {corners[0]} in {crs}; correct its '
            'georeference'
        )
