# Copyright (c) torchgeo_saco Contributors. All rights reserved.
# Licensed under the MIT License.

"""Rasters in the formats of products, with their georeference."""

import os
import re
import warnings

import rasterio
from rasterio.errors import NotGeoreferencedWarning, RasterioError

from .raster import BandFileError

#: Tag of embedding maps and what is made of them, and key in the metadata of tables.
PROVENANCE_TAG = 'torchgeo_saco'

# No other format is opened, whatever a file holds.
_DRIVERS = {'.jp2': 'JP2OpenJPEG', '.nc': 'netCDF'}


def open_product_file(path: str) -> rasterio.DatasetReader:
    """Open a GeoTIFF, JP2 or netCDF file, a part of one as GDAL spells it, or a virtual raster.

    Args:
        path: The file, or such as ``HDF5:"<file>"://<variable>``, or the text of a virtual raster.

    Returns:
        The open file, to be closed.

    Raises:
        BandFileError: If it cannot be opened.
    """
    try:
        with warnings.catch_warnings():
            # Whoever needs a georeference asks for it.
            warnings.simplefilter('ignore', NotGeoreferencedWarning)
            return rasterio.open(path, driver=_driver(path))
    except (RasterioError, OSError) as error:
        raise BandFileError(
            f'{path} cannot be read as a GeoTIFF, JP2 or netCDF file ({error.__cause__ or error}); '
            'fetch it again, or remove it'
        ) from error


def file_path(spelling: str) -> str:
    """File that a part of it is spelled with, such as ``HDF5:"<file>"://<variable>``."""
    found = re.fullmatch(r'(?:HDF5|NETCDF):"(.*)":.*', spelling)
    return found[1] if found else spelling


def _driver(path: str) -> str:
    """Driver of GDAL for a path."""
    part = path.partition(':')[0]
    if part in ('HDF5', 'NETCDF'):
        return 'HDF5Image' if part == 'HDF5' else 'netCDF'
    if path.startswith('<VRTDataset'):
        return 'VRT'
    return _DRIVERS.get(os.path.splitext(path)[1].lower(), 'GTiff')
