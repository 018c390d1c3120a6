# Copyright (c) torchgeo_saco Contributors. All rights reserved.
# Licensed under the MIT License.

"""Tests of where GeoTIFFs lie."""

import numpy as np
import pytest
from affine import Affine
from pyproj import Geod, Transformer
from rasterio.transform import from_origin

from torchgeo_saco.io.georeference import read_footprint
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
