# Copyright (c) torchgeo_saco Contributors. All rights reserved.
# Licensed under the MIT License.

"""The square of ground around a point, on the grid of Sentinel-2."""

import math
from typing import Any, NamedTuple

import numpy as np
import shapely
from affine import Affine
from numpy.typing import NDArray
from pyproj import Transformer
from shapely.geometry.base import BaseGeometry

#: Side of the coarsest pixels, in metres; squares begin and end between these.
COARSEST = 60

# Northing of the equator in the zones of the south. The tiles of Sentinel-2 lie on multiples of
# 60 m from the equator: see the transforms of 22HBD (5900020) and 31UDQ (5500020).
_FALSE_NORTHING = 10_000_000


class Square(NamedTuple):
    """A square in UTM coordinates, all metres."""

    #: Number of the coordinate reference system in the registry of EPSG.
    epsg: int

    #: Easting of its left edge.
    left: int

    #: Northing of its upper edge.
    top: int

    #: Side.
    size: int

    #: Longitude about which its outline is given.
    longitude: float

    def transform(self, pixel: float) -> Affine:
        """Pixel to map coordinates.

        Args:
            pixel: Side of a pixel in metres.
        """
        return Affine(pixel, 0, self.left, 0, -pixel, self.top)

    def shape(self, pixel: float) -> tuple[int, int]:
        """Rows and columns.

        Args:
            pixel: Side of a pixel in metres.
        """
        side = round(self.size / pixel)
        return side, side

    def outline(self) -> BaseGeometry:
        """Its edges, as degrees east of :attr:`longitude`, and degrees north."""
        bottom, right = self.top - self.size, self.left + self.size
        # A straight edge in UTM is bent by centimetres only; points between the corners keep it.
        edges = shapely.segmentize(shapely.box(self.left, bottom, right, self.top), self.size / 8)
        degrees = Transformer.from_crs(self.epsg, 4326, always_xy=True)

        def local(points: NDArray[np.float64]) -> NDArray[np.float64]:
            return np.stack(degrees.transform(points[:, 0], points[:, 1]), 1)

        return around(shapely.transform(edges, local), self.longitude)

    def geobox(self, pixel: float) -> Any:
        """Grid for odc-stac.

        Args:
            pixel: Side of a pixel in metres.

        Returns:
            An :class:`odc.geo.geobox.GeoBox`.
        """
        from odc.geo.geobox import GeoBox

        return GeoBox(self.shape(pixel), self.transform(pixel), f'EPSG:{self.epsg}')


def square_around(longitude: float, latitude: float, size: int) -> Square:
    """The square whose middle is nearest to a point.

    Args:
        longitude: Degrees east.
        latitude: Degrees north, from -80 to 84.
        size: Side in metres, a multiple of 60.

    Returns:
        Square in the UTM zone of the point; its edges lie on pixel edges of all bands.

    Raises:
        ValueError: If *size* is no multiple of 60.

    Example:
        >>> square_around(3.0, 50.0, 2640)
        Square(epsg=32631, left=498660, top=5539980, size=2640, longitude=3.0)
    """
    if size < COARSEST or size % COARSEST:
        raise ValueError(
            f'size_m must be a multiple of {COARSEST}, which is a pixel of bands B01 and B09, got '
            f'{size}; take {max(COARSEST, round(size / COARSEST) * COARSEST)}'
        )
    epsg = utm_zone(longitude, latitude)
    east, north = Transformer.from_crs(4326, epsg, always_xy=True).transform(longitude, latitude)
    equator = _FALSE_NORTHING if epsg > 32700 else 0
    left = round((east - size / 2) / COARSEST) * COARSEST
    top = round((north - equator + size / 2) / COARSEST) * COARSEST + equator
    return Square(epsg, left, top, size, longitude)


def utm_zone(longitude: float, latitude: float) -> int:
    """UTM zone of a point, as its tile of Sentinel-2 has it.

    Zone 32 is wider in the south of Norway, and around Svalbard every second zone is absent;
    the tiles follow that, the areas of use in the registry of EPSG do not.

    Args:
        longitude: Degrees east, from -180 to 180.
        latitude: Degrees north.

    Returns:
        Number of the coordinate reference system in the registry of EPSG.

    Example:
        >>> utm_zone(5.3, 60.4), utm_zone(15.6, 78.2), utm_zone(-70.6, -33.4)
        (32632, 32633, 32719)
    """
    zone = min(math.floor((longitude + 180) / 6) + 1, 60)
    if 56 <= latitude < 64 and 3 <= longitude < 12:
        zone = 32
    elif latitude >= 72 and 0 <= longitude < 42:
        zone = 31 + 2 * math.floor((longitude + 3) / 12)
    return (32600 if latitude >= 0 else 32700) + zone


def around(geometry: BaseGeometry, longitude: float) -> BaseGeometry:
    """A geometry in degrees as seen from a meridian, so that none is cut at 180 degrees.

    Args:
        geometry: Geometry in degrees, however it is stored where it crosses the antimeridian.
        longitude: Meridian from which to count.

    Returns:
        Geometry whose first coordinate lies between -180 and 180 degrees from the meridian.
    """

    def local(points: NDArray[np.float64]) -> NDArray[np.float64]:
        return np.stack([(points[:, 0] - longitude + 180) % 360 - 180, points[:, 1]], 1)

    # On a grid of 0.1 mm, or halves that were cut at 180 degrees would not quite meet.
    parts = shapely.get_parts(shapely.make_valid(shapely.transform(geometry, local)))
    return shapely.union_all(parts, grid_size=1e-9)
