# Copyright (c) torchgeo_saco Contributors. All rights reserved.
# Licensed under the MIT License.

"""The bands of a product as one raster, by GDAL's virtual format."""

import math
import os
from collections.abc import Sequence
from functools import lru_cache
from typing import Any, NamedTuple
from xml.sax.saxutils import escape

from rasterio.crs import CRS
from rasterio.transform import Affine, from_bounds

from ...io.formats import open_product_file
from .products import GridOverride, ProductBand, ProductError, RasterProduct

# https://gdal.org/drivers/raster/vrt.html
_TYPES = {
    'uint8': 'Byte', 'uint16': 'UInt16', 'int16': 'Int16', 'int32': 'Int32', 'float32': 'Float32',
    'float64': 'Float64',
}  # fmt: skip


class SourceGrid(NamedTuple):
    """Pixels of one band of a file."""

    shape: tuple[int, int]
    transform: Affine
    crs: CRS
    dtype: str
    nodata: float | None


def read_grid(source: ProductBand, override: GridOverride | None = None) -> SourceGrid:
    """Grid of a band from the header of its file.

    Args:
        source: The band.
        override: Georeference of a file that has none.

    Raises:
        ProductError: If it cannot be read, or is not georeferenced.
    """
    grid = read_header(source, override)
    if grid.crs is None:
        raise ProductError(
            f'{source.path} is not georeferenced, so it lies in no cell; give it a coordinate '
            'system and a transform, or lay it out as <location>/<date>/<band>.tif'
        )
    return grid


def read_header(source: ProductBand, override: GridOverride | None = None) -> SourceGrid:
    """Grid of a band as :func:`read_grid`, without coordinate system if it is not georeferenced."""
    path = source.path
    changed = os.stat(path).st_mtime_ns if os.path.exists(path) else 0
    shape, transform, crs, dtypes, nodatavals = _header(path, changed)
    if source.number > len(dtypes):
        raise ProductError(
            f'{path} has {len(dtypes)} bands where {source.number} are expected; fetch it again'
        )
    dtype, nodata = dtypes[source.number - 1], nodatavals[source.number - 1]
    if override is not None:
        crs = CRS.from_user_input(override.crs)
        transform = from_bounds(*override.bounds, shape[1], shape[0])
    if transform.is_identity:
        crs = None
    if dtype not in _TYPES:
        raise ProductError(f'{source.path} holds {dtype}; store one of {", ".join(_TYPES)}')
    return SourceGrid(shape, transform, crs, dtype, nodata)


@lru_cache(maxsize=1 << 14)
def _header(path: str, changed: int) -> tuple[Any, ...]:
    """Size, transform, coordinate system, types and nodata values of a file; it is opened once."""
    with open_product_file(path) as file:
        return file.shape, file.transform, file.crs, file.dtypes, file.nodatavals


def virtual_raster(product: RasterProduct, sources: Sequence[ProductBand], resampling: str) -> str:
    """Stack bands on the grid of the finest one.

    Args:
        product: The product.
        sources: Its bands, of any resolution on the same ground.
        resampling: How coarser bands are brought to the finest grid, as rasterio names it.

    Returns:
        The stack as text, which :func:`rasterio.open` opens.

    Raises:
        ProductError: If a band lies elsewhere than the finest, or has another type.
    """
    grids = [read_grid(source, product.grid) for source in sources]
    finest = max(range(len(grids)), key=lambda i: (grids[i].shape[0], -i))
    for source, grid in zip(sources, grids, strict=True):
        _require_same_ground(source.path, grid, sources[finest].path, grids[finest])
    (height, width), transform = grids[finest].shape, grids[finest].transform
    bands = []
    for number, (source, grid) in enumerate(zip(sources, grids, strict=True), 1):
        nodata = product.nodata if product.nodata is not None else grid.nodata
        # rasterio.merge ignores the least float32 as nodata, so missing floats are marked by NaN.
        left = 'nan' if grid.dtype.startswith('float') else nodata
        missing = '' if nodata is None else f'<NoDataValue>{left}</NoDataValue>'
        skipped = '' if nodata is None else f'<NODATA>{nodata:.17g}</NODATA>'
        bands.append(
            f'<VRTRasterBand dataType="{_TYPES[grid.dtype]}" band="{number}">{missing}'
            f'<ComplexSource resampling="{resampling}">'
            f'<SourceFilename relativeToVRT="0">{escape(source.path)}</SourceFilename>'
            f'<SourceBand>{source.number}</SourceBand>'
            f'<SrcRect xOff="0" yOff="0" xSize="{grid.shape[1]}" ySize="{grid.shape[0]}"/>'
            f'<DstRect xOff="0" yOff="0" xSize="{width}" ySize="{height}"/>'
            f'{skipped}</ComplexSource></VRTRasterBand>'
        )
    a, b, c, d, e, f = tuple(transform)[:6]
    place = ', '.join(f'{number:.17g}' for number in (c, a, b, f, d, e))
    return (
        f'<VRTDataset rasterXSize="{width}" rasterYSize="{height}">'
        f'<SRS>{escape(grids[finest].crs.to_wkt())}</SRS><GeoTransform>{place}</GeoTransform>'
        f'{"".join(bands)}</VRTDataset>'
    )


def _require_same_ground(path: str, grid: SourceGrid, other_path: str, other: SourceGrid) -> None:
    """Refuse a band that lies elsewhere than the one that it is stacked with."""
    if grid.crs != other.crs:
        raise ProductError(
            f'{path} is in {grid.crs}, {other_path} of the same scene in {other.crs}; bring both '
            'to one coordinate system'
        )
    pixel = math.hypot(grid.transform.a, grid.transform.d)
    for corner in ((0, 0), (1, 1), (1, 0)):
        here, there = (
            g.transform @ (corner[0] * g.shape[1], corner[1] * g.shape[0]) for g in (grid, other)
        )
        if math.dist(here, there) > pixel / 2:
            raise ProductError(
                f'{path} has a corner at {_spelled(here)}, {other_path} of the same scene at '
                f'{_spelled(there)}; a scene has one ground, and its bands lie the same way up'
            )
    if grid.dtype != other.dtype:
        raise ProductError(
            f'{path} holds {grid.dtype}, {other_path} {other.dtype}; store both in one type'
        )


def _spelled(point: tuple[float, float]) -> str:
    """A point in words."""
    return f'{point[0]:.10g}, {point[1]:.10g}'
