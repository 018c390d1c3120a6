# Copyright (c) torchgeo_saco Contributors. All rights reserved.
# Licensed under the MIT License.

"""Pixels of a square, in the unit of the archive."""

import datetime
import itertools
import logging
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from typing import Any, NamedTuple

import numpy as np
import rasterio
import shapely
from numpy.typing import NDArray
from rasterio.errors import RasterioError

from ...bands import SENTINEL2_L2A
from .catalogue import Patience
from .grid import Square
from .items import BandFile, ItemError

#: Types of stored numbers, and the number that stands for reflectance 1.
UNITS = {'uint16': 10_000, 'uint8': 255}

#: Number that stands for no data in the files of the archive.
NODATA = 0

# A median this far below zero is no dark ground but an offset subtracted twice, which some
# items of catalogues invite to, https://github.com/Element84/earth-search/issues/71
_TOO_DARK = -0.02

# Nothing is looked for beside a file, and failures are dealt with here.
_GDAL = {
    'GDAL_DISABLE_READDIR_ON_OPEN': 'EMPTY_DIR',
    'CPL_VSIL_CURL_USE_HEAD': 'NO',
    'GDAL_HTTP_MAX_RETRY': '0',
    'GDAL_HTTP_CONNECTTIMEOUT': '20',
    'GDAL_HTTP_LOW_SPEED_TIME': '30',
    'GDAL_HTTP_LOW_SPEED_LIMIT': '1',
    'GDAL_HTTP_TIMEOUT': '120',
    'GDAL_HTTP_MERGE_CONSECUTIVE_RANGES': 'YES',
    'GDAL_INGESTED_BYTES_AT_OPEN': '32768',
}


# GDAL remembers failures and half answers; another try must ask again. Not for the first try:
# to forget, GDAL waits for all that other threads are reading.
_ASK_AGAIN = {'CPL_VSIL_CURL_NON_CACHED': '/vsicurl/:/vsis3/:/vsigs/'}


class Band(NamedTuple):
    """Pixels of one band in the unit of the archive."""

    #: Numbers, (rows, columns); :data:`NODATA` where there are none.
    numbers: NDArray[Any]

    #: Share of the pixels whose reflectance is below zero; they are stored as 1.
    below_zero: float


def read_square(
    files: Mapping[str, BandFile], square: Square, dtype: str, max_nodata: float, patience: Patience
) -> dict[str, Band]:
    """All bands of a scene within a square, each on the grid of its own resolution.

    Pixels are taken as they are where the file has the coordinate reference system of the
    square, and are interpolated linearly where it is that of the neighbouring zone.

    Args:
        files: File of each band.
        square: Ground to read.
        dtype: Type of the numbers, a key of :data:`UNITS`.
        max_nodata: Largest share of a band that may have no data.
        patience: How to deal with failures.

    Returns:
        Bands in the order given.

    Raises:
        ItemError: If a band has too little data, or too much below zero.
        FetchError: If a file cannot be read.
    """
    bands = {}
    # The coarsest are the cheapest, and show as well where the scene ends.
    for band in sorted(files, key=lambda band: -SENTINEL2_L2A.bands[band]):
        file, pixel = files[band], SENTINEL2_L2A.bands[band]
        image = patience(partial(_read, file, square, pixel, itertools.count()), (OSError,))
        bands[band] = _in_unit(band, image, file, dtype, max_nodata)
    return {band: bands[band] for band in files}


def _read(
    file: BandFile, square: Square, pixel: float, tries: Iterator[int]
) -> NDArray[np.float32]:
    """Numbers of one file on a grid; the nodata number where there are none."""
    import odc.stac
    import pystac

    # What catalogues write beside the address is of no use here, and often wrong.
    item = pystac.Item('scene', None, None, datetime.datetime(2000, 1, 1), {})
    west, south, east, north = square.outline().bounds
    ground = shapely.box(west + square.longitude, south, east + square.longitude, north)
    item.geometry = shapely.geometry.mapping(ground)
    item.add_asset('band', pystac.Asset(file.href, media_type=file.kind or 'image/tiff'))
    options = _GDAL | (_ASK_AGAIN if next(tries) else {})
    try:
        with rasterio.Env(**options), _quiet():
            image = odc.stac.load(
                [item],
                bands=['band'],
                geobox=square.geobox(pixel),
                # Holds every 16-bit number exactly.
                dtype='float32',
                nodata=file.nodata,
                resampling='bilinear',
            )
    except RasterioError as error:
        cause = str(error.__cause__ or error).replace(file.href, file.unsigned)
        raise OSError(f'{file.unsigned} cannot be read ({cause})') from error
    return image['band'].values[0]


def _in_unit(
    band: str, image: NDArray[np.float32], file: BandFile, dtype: str, max_nodata: float
) -> Band:
    """Numbers of the archive."""
    empty = ~np.isfinite(image) | (image == file.nodata)
    share = float(empty.mean())
    if share > max_nodata or share == 1:
        raise ItemError(f'has {share:.1%} nodata in {band} of the square')
    # One product and one sum in double precision: 1e-4 and -0.1 give whole numbers again.
    unit, limit = UNITS[dtype], np.iinfo(dtype).max
    values = image.astype(np.float64) * (file.scale * unit) + file.offset * unit
    values[empty] = NODATA
    valid = values[~empty]
    if np.median(valid) < _TOO_DARK * unit:
        raise ItemError(
            f'has a median reflectance of {np.median(valid) / unit:.3f} in {band} with the offset '
            'that the catalogue declares; it may be subtracted already'
        )
    # 0 stands for no data, so what is darker than the first number gets that one.
    numbers = np.where(empty, NODATA, np.clip(np.rint(values), 1, limit)).astype(dtype)
    return Band(numbers, float((valid < 0).mean()))


@contextmanager
def _quiet() -> Iterator[None]:
    """Within the block, odc-stac does not report what is tried again."""
    logger = logging.getLogger('odc.loader._rio')
    logger.addFilter(_nothing)
    try:
        yield
    finally:
        logger.removeFilter(_nothing)


def _nothing(record: logging.LogRecord) -> bool:
    """Whether to show a message: none."""
    return False
