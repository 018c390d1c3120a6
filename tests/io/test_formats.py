# Copyright (c) torchgeo_saco Contributors. All rights reserved.
# Licensed under the MIT License.

"""Tests of opening files of products."""

from pathlib import Path

import numpy as np
import pytest
import rasterio
from rasterio.errors import NotGeoreferencedWarning
from rasterio.transform import from_origin

from torchgeo_saco.io.formats import file_path, open_product_file
from torchgeo_saco.io.raster import BandFileError


def write(path, driver):
    grid = {'width': 16, 'height': 16, 'count': 1, 'crs': 32631, 'dtype': 'uint8',
            'transform': from_origin(5e5, 6e6, 10, 10)}  # fmt: skip
    with rasterio.open(path, 'w', driver=driver, **grid) as dst:
        dst.write(np.arange(256, dtype=np.uint8).reshape(1, 16, 16))
    return str(path)


def test_a_geotiff_and_what_is_made_of_it_are_opened(tmp_path):
    path = write(tmp_path / 'B04.TIF', 'GTiff')
    with open_product_file(path) as src:
        assert src.driver == 'GTiff' and src.read(1)[15, 15] == 255
    text = (
        '<VRTDataset rasterXSize="16" rasterYSize="16"><VRTRasterBand dataType="Byte" band="1">'
        f'<SimpleSource><SourceFilename>{path}</SourceFilename><SourceBand>1</SourceBand>'
        '</SimpleSource></VRTRasterBand></VRTDataset>'
    )
    with open_product_file(text) as src:
        assert src.driver == 'VRT' and src.read(1)[15, 15] == 255


@pytest.mark.parametrize('name', ['B04.tif', 'B04.jp2', 'B04.nc', 'B04.png'])
def test_no_other_format_is_opened_whatever_the_file_holds(name, tmp_path):
    path = Path(write(tmp_path / 'image', 'PNG')).rename(tmp_path / name)
    with pytest.warns(NotGeoreferencedWarning), rasterio.open(path) as src:
        assert src.driver == 'PNG'
    with pytest.raises(BandFileError, match=f'{name} cannot be read as a GeoTIFF, JP2 or netCDF'):
        open_product_file(str(path))


@pytest.mark.parametrize(
    ('spelling', 'path'),
    [
        ('HDF5:"/a/S1 x.nc"://B04', '/a/S1 x.nc'),
        ('NETCDF:"b.nc":B04', 'b.nc'),
        ('/a/B04.tif', '/a/B04.tif'),
    ],
)
def test_the_file_of_a_part_of_it(spelling, path):
    assert file_path(spelling) == path
