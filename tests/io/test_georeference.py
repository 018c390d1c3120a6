# Copyright (c) torchgeo_saco Contributors. All rights reserved.
# Licensed under the MIT License.

"""Tests of where GeoTIFFs lie."""

import numpy as np
import pytest
from affine import Affine
from pyproj import Geod, Transformer
from rasterio.crs import CRS
from rasterio.transform import from_origin

from torchgeo_saco.io.georeference import pixel_sides, read_footprint
from torchgeo_saco.io.raster import BandFileError

from ..data.archives import write_tif


def file_at(folder, transform, crs='EPSG:32631', shape=(20, 30)):
    """GeoTIFF of 20 x 30 px with a georeference."""
    path = folder / 'B04.tif'
    write_tif(path, np.zeros(shape, 'uint8'), transform=transform, crs=crs)
    return path


def test_corners_and_area(tmp_path):
    footprint = read_footprint(file_at(tmp_path, from_origin(500000, 5600000, 10, 10)))
    to_degrees = Transformer.from_crs('EPSG:32631', 'EPSG:4326', always_xy=True)
    corners = [(500000, 5600000), (500300, 5600000), (500300, 5599800), (500000, 5599800)]
    expected = [to_degrees.transform(*corner) for corner in corners]
    np.testing.assert_allclose(footprint.exterior.coords[:4], expected, atol=1e-9)
    area, _ = Geod(ellps='WGS84').geometry_area_perimeter(footprint)
    # The scale of UTM on its central meridian is 0.9996.
    assert abs(area) == pytest.approx(300 * 200 / 0.9996**2, rel=1e-4)


def test_turned_image(tmp_path):
    sine, cosine = 10 * np.sin(np.pi / 6), 10 * np.cos(np.pi / 6)
    transform = Affine(cosine, sine, 500000, sine, -cosine, 5600000)
    footprint = read_footprint(file_at(tmp_path, transform))
    area, _ = Geod(ellps='WGS84').geometry_area_perimeter(footprint)
    assert abs(area) == pytest.approx(300 * 200 / 0.9996**2, rel=1e-4)
    assert footprint.area < 0.8 * footprint.envelope.area


def test_across_the_antimeridian(tmp_path):
    east, north = Transformer.from_crs('EPSG:4326', 'EPSG:32701', always_xy=True).transform(
        180, -17
    )
    path = file_at(tmp_path, from_origin(east - 150, north, 10, 10), 'EPSG:32701')
    west, east = sorted(read_footprint(path).geoms, key=lambda part: part.bounds[0])
    assert west.bounds[0] == -180
    assert east.bounds[2] == 180
    assert east.bounds[0] > 179.99
    assert west.area == pytest.approx(east.area, rel=0.05)


def test_degrees_stay_as_they_are(tmp_path):
    path = file_at(tmp_path, from_origin(10, 50, 0.1, 0.1), 'EPSG:4326')
    assert read_footprint(path).bounds == pytest.approx((10, 48, 13, 50))


@pytest.mark.filterwarnings('ignore::rasterio.errors.NotGeoreferencedWarning')
def test_without_georeference(tmp_path):
    assert read_footprint(file_at(tmp_path, Affine.identity(), None)) is None
    assert read_footprint(file_at(tmp_path, from_origin(1, 1, 1, 1), None)) is None


@pytest.mark.parametrize(
    ('crs', 'origin', 'pixel'),
    [
        ('EPSG:32631', (1e12, 1e12), 10),
        ('EPSG:4326', (400, 20), 0.1),
        ('EPSG:4326', (20, 95), 0.1),
        ('EPSG:4326', (20, -89), 0.1),
    ],
)
def test_nowhere_on_earth(tmp_path, crs, origin, pixel):
    path = file_at(tmp_path, from_origin(*origin, pixel, pixel), crs)
    with pytest.raises(BandFileError, match=r'B04\.tif lies nowhere on Earth'):
        read_footprint(path)


def test_coordinates_of_no_location(tmp_path):
    crs = 'LOCAL_CS["site", UNIT["metre", 1]]'
    path = file_at(tmp_path, from_origin(10, 50, 10, 10), crs)
    with pytest.raises(BandFileError, match=r'B04\.tif has a coordinate system without longitude'):
        read_footprint(path)


def test_damaged_file(tmp_path):
    path = tmp_path / 'B04.tif'
    path.write_text('<html>')
    with pytest.raises(BandFileError, match=r'B04\.tif cannot be read as a GeoTIFF'):
        read_footprint(path)


@pytest.mark.parametrize(
    ('crs', 'transform', 'expected'),
    [
        # UTM is taken at its word, turned and in survey feet too.
        ('EPSG:32631', from_origin(500000, 5600000, 10, 20), (10, 20)),
        ('EPSG:32631', Affine(6, 8, 500000, 8, -6, 5600000), (10, 10)),
        ('EPSG:2263', from_origin(9e5, 2e5, 100, 100), (120000 / 3937, 120000 / 3937)),
        # Degrees at 60 north, on the WGS84 ellipsoid: 111,412 m of latitude, 55,800 of longitude.
        ('EPSG:4326', from_origin(10, 60, 1e-3, 1e-3), (55.80, 111.41)),
        # Web Mercator stretches 60 north by 2, and its sphere the ellipsoid by up to 0.3 %.
        ('EPSG:3857', from_origin(0, 8399737.89, 20, 20), (10, 10)),
    ],
)
def test_sides_of_a_pixel_on_the_ground(crs, transform, expected):
    tolerance = 1e-9 if crs in ('EPSG:32631', 'EPSG:2263') else 4e-3
    sides = pixel_sides(CRS.from_string(crs), transform, 0, 0)
    assert sides == pytest.approx(expected, rel=tolerance)


def test_sides_where_no_place_is_stated():
    site = CRS.from_wkt('LOCAL_CS["site",UNIT["metre",1],AXIS["x",EAST],AXIS["y",NORTH]]')
    assert pixel_sides(site, from_origin(0, 0, 10, 20), 0, 0) == (10, 20)
