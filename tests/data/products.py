# Copyright (c) torchgeo_saco Contributors. All rights reserved.
# Licensed under the MIT License.

"""Products of Sentinel-2 and Landsat in their exact layout, from arrays."""

import json
import warnings
from collections.abc import Iterable, Mapping
from datetime import date
from pathlib import Path

import numpy as np
import rasterio
import xarray
from pyproj import CRS
from rasterio.errors import NotGeoreferencedWarning
from rasterio.transform import Affine, from_origin

from torchgeo_saco.bands import SENTINEL2_L2A

#: Ground of the small scenes: on the 10 m and 60 m grids of UTM.
ORIGIN = (600000.0, 5000040.0)

_MTD = """<?xml version="1.0" encoding="UTF-8" standalone="no"?>
<n1:Level-{level}_User_Product xmlns:n1="https://psd-14.sentinel2.eo.esa.int/PSD/User_Product.xsd">
  <n1:General_Info>
    <Product_Info>
      <PRODUCT_START_TIME>{day}T10:30:21.024Z</PRODUCT_START_TIME>
      <PROCESSING_LEVEL>Level-{level}</PROCESSING_LEVEL>
      <PROCESSING_BASELINE>{baseline}</PROCESSING_BASELINE>
    </Product_Info>
    <Product_Image_Characteristics>{scale}</Product_Image_Characteristics>
  </n1:General_Info>
</n1:Level-{level}_User_Product>
"""


def write_raster(
    path: Path,
    image: np.ndarray,
    transform: Affine,
    crs: str = 'EPSG:32631',
    names: tuple[str, ...] = (),
    **options: object,
) -> Path:
    """Write a GeoTIFF, or a lossless JP2 file."""
    path.parent.mkdir(parents=True, exist_ok=True)
    image = image if image.ndim == 3 else image[None]
    driver = 'JP2OpenJPEG' if path.suffix == '.jp2' else 'GTiff'
    if driver == 'JP2OpenJPEG':
        options |= {'QUALITY': '100', 'REVERSIBLE': 'YES', 'YCBCR420': 'NO'}
    with warnings.catch_warnings():
        warnings.simplefilter('ignore', NotGeoreferencedWarning)
        with rasterio.open(
            path, 'w', driver=driver, count=len(image), height=image.shape[1],
            width=image.shape[2], dtype=image.dtype, crs=crs, transform=transform, **options,
        ) as file:  # fmt: skip
            file.write(image)
            for index, name in enumerate(names, 1):
                file.set_band_description(index, name)
    return path


def scene_bands(seed: int, side: int = 48) -> dict[str, np.ndarray]:
    """Bands of a small scene, each on its native grid; side is that at 10 m, a multiple of 6."""
    rng = np.random.default_rng(seed)
    coarse = rng.integers(500, 3000, (side // 6, side // 6))
    bands = {}
    for band, metres in SENTINEL2_L2A.bands.items():
        factor = int(60 // metres)
        layer = np.kron(coarse, np.ones((factor, factor), int))
        bands[band] = (layer + rng.integers(0, 200, layer.shape)).astype(np.uint16)
    return bands


def write_safe(
    root: Path,
    day: date,
    bands: Mapping[str, np.ndarray],
    level: str = '2A',
    baseline: str = '05.10',
    scl: np.ndarray | None = None,
    metadata: bool = True,
    tile: str = 'T31UFS',
    origin: tuple[float, float] = ORIGIN,
    crs: str = 'EPSG:32631',
) -> Path:
    """Write a SAFE folder; numbers of bands are stored as they are."""
    code = f'N{baseline.replace(".", "")}'
    stamp = f'{day:%Y%m%d}T103021'
    folder = root / f'S2B_MSIL{level}_{stamp}_{code}_R108_{tile}_{day:%Y%m%d}T150000.SAFE'
    granule = folder / 'GRANULE' / f'L{level}_{tile}_A012345_{stamp}'
    folder.mkdir(parents=True)
    if metadata:
        unit, offset = (
            ('QUANTIFICATION_VALUE', 'RADIO_ADD_OFFSET')
            if level == '1C'
            else ('BOA_QUANTIFICATION_VALUE', 'BOA_ADD_OFFSET')
        )
        scale = f'<{unit} unit="none">10000</{unit}>'
        if baseline >= '04':
            lines = ''.join(f'<{offset} band_id="{i}">-1000</{offset}>' for i in range(13))
            scale += f'<{offset}_VALUES_LIST>{lines}</{offset}_VALUES_LIST>'
        text = _MTD.format(level=level, day=day, baseline=baseline, scale=scale)
        (folder / f'MTD_MSIL{level}.xml').write_text(text)
    for band, image in bands.items():
        metres = int(SENTINEL2_L2A.bands.get(band, 60))
        name = f'{tile}_{stamp}_{band}'
        path = (
            granule / 'IMG_DATA' / f'{name}.jp2'
            if level == '1C'
            else granule / 'IMG_DATA' / f'R{metres}m' / f'{name}_{metres}m.jp2'
        )
        write_raster(path, image, from_origin(*origin, metres, metres), crs)
    if level == '2A':
        first = next(iter(bands))
        metres = int(SENTINEL2_L2A.bands[first])
        side = bands[first].shape[0] * metres // 20
        classes = np.full((side, side), 4, np.uint8) if scl is None else scl
        path = granule / 'IMG_DATA' / 'R20m' / f'{tile}_{stamp}_SCL_20m.jp2'
        write_raster(path, classes, from_origin(*origin, 20, 20), crs)
    return folder


def write_landsat(
    root: Path,
    day: date,
    bands: Mapping[str, np.ndarray],
    quality: np.ndarray | None = None,
    mtl: str | None = 'txt',
    scale: tuple[float, float] = (2.75e-05, -0.2),
    origin: tuple[float, float] = (600015.0, 5000055.0),
    satellite: str = 'LC08',
    level: str = 'L2SP',
) -> str:
    """Write a scene of Landsat by its usual names; returns its identifier."""
    scene = f'{satellite}_{level}_198030_{day:%Y%m%d}_20200822_02_T1'
    transform = from_origin(*origin, 30, 30)
    for band, image in bands.items():
        write_raster(root / f'{scene}_SR_{band}.TIF', image, transform, nodata=0)
    shape = next(iter(bands.values())).shape
    # Of clear land, the value that USGS documents.
    clear = np.full(shape, 21824, np.uint16) if quality is None else quality
    write_raster(root / f'{scene}_QA_PIXEL.TIF', clear, transform, nodata=1)
    thermal = np.full(shape, 44000, np.uint16)
    layer = 'ST_B10' if satellite[2:] in ('08', '09') else 'ST_B6'
    write_raster(root / f'{scene}_{layer}.TIF', thermal, transform, nodata=0)
    groups = {
        'LEVEL2_SURFACE_REFLECTANCE_PARAMETERS': {
            f'REFLECTANCE_{kind}_BAND_{i}': value
            for i in range(1, 8)
            for kind, value in zip(('MULT', 'ADD'), scale, strict=True)
        },
        'LEVEL1_RADIOMETRIC_RESCALING': {
            'REFLECTANCE_MULT_BAND_1': 2.0e-05, 'REFLECTANCE_ADD_BAND_1': -0.1,
        },
    }  # fmt: skip
    if mtl == 'json':
        as_text = {g: {k: str(v) for k, v in values.items()} for g, values in groups.items()}
        content = json.dumps({'LANDSAT_METADATA_FILE': as_text})
        (root / f'{scene}_MTL.json').write_text(content)
    elif mtl == 'txt':
        lines = ['GROUP = LANDSAT_METADATA_FILE']
        for group, values in groups.items():
            lines += [f'  GROUP = {group}', *(f'    {k} = {v}' for k, v in values.items())]
            lines += [f'  END_GROUP = {group}']
        lines += ['END_GROUP = LANDSAT_METADATA_FILE', 'END']
        (root / f'{scene}_MTL.txt').write_text('\n'.join(lines))
    return scene


def landsat_bands(
    seed: int, side: int = 24, numbers: Iterable[int] = range(1, 8)
) -> dict[str, np.ndarray]:
    """Bands of a small Landsat scene, reflectance between 0.02 and 0.6."""
    rng = np.random.default_rng(seed)
    return {f'B{i}': rng.integers(8000, 29000, (side, side)).astype(np.uint16) for i in numbers}


def write_series(
    path: Path,
    bands: Mapping[str, np.ndarray],
    times: np.ndarray,
    resolution: float = 10.0,
    scale: float | None = 1e-4,
    south_up: bool = False,
    **options: object,
) -> Path:
    """Write bands over time (T, H, W) as a netCDF file, in the manner of WorldCereal."""
    _, height, width = next(iter(bands.values())).shape
    x = ORIGIN[0] + resolution * (np.arange(width) + 0.5)
    y = ORIGIN[1] - resolution * (np.arange(height) + 0.5)
    axes = {'timestamp': times, 'y': y[::-1] if south_up else y, 'x': x}
    attributes = {'grid_mapping': 'spatial_ref'} | ({'scale_factor': scale} if scale else {})
    variables = {
        band: (tuple(axes), image[:, ::-1] if south_up else image, attributes)
        for band, image in bands.items()
    }
    wkt = CRS.from_epsg(32631).to_wkt('WKT1_GDAL')
    variables['spatial_ref'] = ((), 0, {'spatial_ref': wkt, 'crs_wkt': wkt})
    series = xarray.Dataset(variables, axes)
    path.parent.mkdir(parents=True, exist_ok=True)
    encoding = {band: {'_FillValue': 0} for band in bands}
    series.to_netcdf(path, engine='netcdf4', **({'encoding': encoding} | options))
    return path
