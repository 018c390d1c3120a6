# Copyright (c) torchgeo_saco Contributors. All rights reserved.
# Licensed under the MIT License.

import numpy as np
import pytest
import shapely
from pyproj import Geod, Transformer
from pyproj.aoi import AreaOfInterest
from pyproj.database import query_utm_crs_info

from torchgeo_saco.locations.fetching.grid import around, square_around, utm_zone

POINTS = [(3, 50), (-70.6, -33.4), (0, 0), (179.99, 65), (-179.99, -17), (15.6, 78.2), (100, 83.9)]


@pytest.mark.parametrize('point', POINTS)
@pytest.mark.parametrize('size', [60, 2640, 2580])
def test_edges_lie_on_the_pixels_of_all_bands_of_the_tiles(point, size):
    square = square_around(*point, size)
    # Tiles of both hemispheres, whose 60 m pixels begin here: 31UDQ and 22HBD.
    tile = (399960, 5500020) if point[1] >= 0 else (199980, 5900020)
    assert (square.left - tile[0]) % 60 == 0
    assert (square.top - tile[1]) % 60 == 0
    assert [square.shape(pixel)[0] * pixel for pixel in (10, 20, 60)] == [size] * 3


@pytest.mark.parametrize('point', POINTS)
def test_square_surrounds_its_point(point):
    square = square_around(*point, 2640)
    back = Transformer.from_crs(square.epsg, 4326, always_xy=True)
    middle = back.transform(square.left + 1320, square.top - 1320)
    # Half a step of 60 m in both directions, at most
    assert Geod(ellps='WGS84').inv(*point, *middle)[2] < 43


@pytest.mark.parametrize('point', POINTS)
def test_outline_is_counted_from_the_middle(point):
    outline = square_around(*point, 2640).outline()
    west, south, east, north = outline.bounds
    radius = 1320 * 2**0.5 + 60
    assert max(abs(west), east) < np.rad2deg(radius / (6.356e6 * np.cos(np.deg2rad(point[1]))))
    assert outline.covers(shapely.Point(0, point[1]))
    assert north - south < np.rad2deg(2 * radius / 6.35e6)


def test_zones_agree_with_the_registry_but_for_norway_and_svalbard():
    generator = np.random.default_rng(0)
    for longitude, latitude in zip(
        generator.uniform(-180, 180, 12), generator.uniform(-79, 83, 12), strict=True
    ):
        area = AreaOfInterest(longitude, latitude, longitude, latitude)
        codes = {int(info.code) for info in query_utm_crs_info('WGS 84', area)}
        norway = 56 <= latitude < 64 and 3 <= longitude < 12
        svalbard = latitude >= 72 and 0 <= longitude < 42
        assert utm_zone(longitude, latitude) in codes or norway or svalbard
    # https://en.wikipedia.org/wiki/Universal_Transverse_Mercator_coordinate_system#Exceptions
    svalbard = [utm_zone(longitude, 80) - 32600 for longitude in (8.9, 9, 20.9, 21, 32.9, 33, 41.9)]
    assert svalbard == [31, 33, 33, 35, 35, 37, 37]
    assert [utm_zone(longitude, 60) - 32600 for longitude in (2.9, 3, 11.9, 12)] == [31, 32, 32, 33]
    assert utm_zone(180.0, 10) == 32660


def test_outlines_are_joined_at_the_antimeridian():
    halves = shapely.MultiPolygon([shapely.box(179, 10, 180, 11), shapely.box(-180, 10, -179, 11)])
    whole = shapely.box(-179, 10, 179, 11)  # written as if it went around the Earth
    for geometry in (halves, whole):
        assert around(geometry, 179.5).equals(shapely.box(-0.5, 10, 1.5, 11))


@pytest.mark.parametrize('size', [0, -60, 100, 2639])
def test_other_sizes_are_refused(size):
    with pytest.raises(ValueError, match=r'size_m must be a multiple of 60.*take \d+'):
        square_around(3, 50, size)
