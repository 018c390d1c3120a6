# Copyright (c) torchgeo_saco Contributors. All rights reserved.
# Licensed under the MIT License.

"""Where on Earth a GeoTIFF lies."""

from typing import NamedTuple

import numpy as np
import shapely
from pyproj import Transformer
from pyproj.exceptions import ProjError
from rasterio.crs import CRS
from rasterio.warp import transform_geom
from shapely.geometry.base import BaseGeometry
from torchgeo.datasets.utils import Path

from .raster import BandFileError, opened_raster

_WGS84 = CRS.from_epsg(4326)


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
        crs, transform, (height, width) = file.crs, file.transform, file.shape
    # Without a georeference, the transform counts pixels.
    if crs is None or transform.is_identity:
        return None
    a, b, c, d, e, f, *_ = transform
    pixels = ((0, 0), (width, 0), (width, height), (0, height))
    corners = [(a * x + b * y + c, d * x + e * y + f) for x, y in pixels]
    _require_on_earth(path, crs, corners)
    ring = {'type': 'Polygon', 'coordinates': [[*corners, corners[0]]]}
    # Cuts what crosses the antimeridian, other than pyproj.
    return shapely.geometry.shape(transform_geom(crs, _WGS84, ring))


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
