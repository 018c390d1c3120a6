# Copyright (c) torchgeo_saco Contributors. All rights reserved.
# Licensed under the MIT License.

"""Rasters in the formats of products, with their georeference."""

import warnings

import rasterio
from rasterio.errors import NotGeoreferencedWarning, RasterioError

from .raster import BandFileError

# Nothing else is opened, whatever a file holds; other formats may read files elsewhere.
_DRIVERS = ['GTiff', 'JP2OpenJPEG', 'netCDF', 'HDF5']


def open_product_file(path: str) -> rasterio.DatasetReader:
    """Open a GeoTIFF, JP2 or netCDF file, or a part of one as GDAL spells it.

    Args:
        path: The file, or such as ``HDF5:"<file>"://<variable>``.

    Returns:
        The open file, to be closed.

    Raises:
        BandFileError: If it cannot be opened.
    """
    try:
        with warnings.catch_warnings():
            # Whoever needs a georeference asks for it.
            warnings.simplefilter('ignore', NotGeoreferencedWarning)
            return rasterio.open(path, driver=_DRIVERS)
    except (RasterioError, OSError) as error:
        raise BandFileError(
            f'{path} cannot be read as a GeoTIFF, JP2 or netCDF file ({error.__cause__ or error}); '
            'fetch it again, or remove it'
        ) from error
