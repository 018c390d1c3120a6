# Copyright (c) torchgeo_saco Contributors. All rights reserved.
# Licensed under the MIT License.

"""NetCDF files of bands over time, such as those of WorldCereal."""

import datetime
import os
import re
from collections import defaultdict
from collections.abc import Sequence

import numpy as np

from ...bands import band_name, known_sensor
from ...io.formats import open_product_file
from ...io.raster import BandFileError
from ..readers import Scale
from .products import (
    SCL_MASKED,
    GridOverride,
    MaskSource,
    ProductBand,
    ProductError,
    RasterProduct,
    stored_scale,
)


def read_netcdf(folder: str, names: Sequence[str], sensor: str | None) -> list[RasterProduct]:
    """Read the dates of netCDF files; files whose names differ by the resolution are one series.

    Args:
        folder: Where they are.
        names: Their names.
        sensor: Sensor of the bands, or None to take it from the names.

    Returns:
        A product for each time.

    Raises:
        ProductError: If a file is no netCDF-4, or its axes cannot be understood.
    """
    series: dict[str, list[str]] = defaultdict(list)
    for name in names:
        series[re.sub(r'_\d+m(?=_)', '', name)].append(os.path.join(folder, name))
    products: list[RasterProduct] = []
    for name, paths in sorted(series.items()):
        found = re.search(r'S2_?L(1C|2A)', name)
        chosen = sensor or (f'sentinel2_l{found[1].lower()}' if found else None)
        products += _read_series(os.path.join(folder, name), sorted(paths), chosen)
    return products


def _read_series(name: str, paths: Sequence[str], sensor: str | None) -> list[RasterProduct]:
    """Times of the files of one place."""
    bands: dict[str, dict[datetime.datetime, ProductBand]] = {}
    quality: dict[datetime.datetime, ProductBand] = {}
    scales: set[Scale] = set()
    nodata: set[float | None] = set()
    grids: dict[str, GridOverride] = {}
    for path in paths:
        for variable in _variables(path):
            try:
                band = band_name(variable, sensor or 'sentinel2_l2a')
            except ValueError:
                band = variable
            if band != 'SCL' and band not in known_sensor(sensor or 'sentinel2_l2a').bands:
                continue
            times, scale, missing, grid = _read_variable(path, variable)
            sources = {
                time: ProductBand(f'HDF5:"{path}"://{variable}', i + 1)
                for i, time in enumerate(times)
            }
            if band == 'SCL':
                quality = sources
            else:
                bands[band], grids[band] = sources, grid
                scales.add(scale)
                nodata.add(missing)
    if not bands:
        return []
    if len(scales) > 1 or len(nodata) > 1:
        raise ProductError(
            f'{name} gives bands different scales or fill values; rescale them to one'
        )
    (scale,), (missing,) = scales, nodata
    order = [b for b in known_sensor(sensor or 'sentinel2_l2a').bands if b in bands]
    grid = grids[order[0]]
    return [
        RasterProduct(
            f'{name}#{time.isoformat()}',
            time.date(),
            sensor,
            {band: bands[band][time] for band in order if time in bands[band]},
            scale if scale != Scale(1, 0) else None,
            scale != Scale(1, 0),
            missing,
            MaskSource((quality[time],), SCL_MASKED) if time in quality else None,
            grid,
        )
        for time in sorted({time for sources in bands.values() for time in sources})
    ]


def _variables(path: str) -> list[str]:
    """Names of the variables of a file."""
    with open_product_file(path) as file:
        # A file of a single variable is that variable.
        alone = file.tags(1).get('NETCDF_VARNAME') if file.count else None
        found = file.subdatasets
    return [name.rpartition(':')[2].strip('/') for name in found] or ([alone] if alone else [])


def _read_variable(
    path: str, variable: str
) -> tuple[list[datetime.datetime], Scale, float | None, GridOverride]:
    """Times, scale, fill value and ground of a variable."""
    with open_product_file(f'NETCDF:"{path}":{variable}') as file:
        tags = file.tags()
        scale, offset = file.scales[0], file.offsets[0]
        missing, count, crs = file.nodata, file.count, file.crs
    axes = re.findall(r'\w+', tags.get('NETCDF_DIM_EXTRA', ''))
    if len(axes) != 1:
        raise ProductError(f'{path} has the axes {axes} of {variable} where time alone is expected')
    units = re.fullmatch(r'(\w+) since (.*)', tags.get(f'{axes[0]}#units', ''))
    numbers = re.findall(r'-?[\d.]+', tags.get(f'NETCDF_DIM_{axes[0]}_VALUES', ''))
    if units is None or len(numbers) != count or crs is None:
        raise ProductError(
            f'{path} says no time or coordinate system of {variable}; write its dates as GeoTIFFs'
        )
    begin = datetime.datetime.fromisoformat(units[2])
    try:
        times = [begin + datetime.timedelta(**{units[1]: float(n)}) for n in numbers]
    except TypeError as error:
        raise ProductError(
            f'{path} counts time in {units[1]}; use seconds, hours or days'
        ) from error
    # The driver of netCDF turns rows around where it does not know the axis; this one does not.
    x, y = (_axis(path, axis) for axis in ('x', 'y'))
    half_x, half_y = (x[-1] - x[0]) / (len(x) - 1) / 2, (y[-1] - y[0]) / (len(y) - 1) / 2
    # South and north are those of the last and first row, whichever way they are stored.
    bounds = (x[0] - half_x, y[-1] + half_y, x[-1] + half_x, y[0] - half_y)
    scaled = stored_scale(f'{path}, {variable},', scale, offset)
    return times, scaled, missing, GridOverride(crs.to_wkt(), bounds)


def _axis(path: str, axis: str) -> np.ndarray:
    """Coordinates of the middle of the pixels along an axis."""
    try:
        with open_product_file(f'HDF5:"{path}"://{axis}') as file:
            values = file.read(1).ravel().astype(float)
    except BandFileError as error:
        raise ProductError(
            f'{path} is no netCDF-4 file with an axis {axis!r} ({error}); write it as GeoTIFFs'
        ) from error
    if len(values) < 2 or not np.allclose(np.diff(values), values[1] - values[0]):
        raise ProductError(f'{path} has an axis {axis!r} that is not even; resample it')
    return values
