# Copyright (c) torchgeo_saco Contributors. All rights reserved.
# Licensed under the MIT License.

"""Tiny archives in the layout of SeCo and CACo, written at test time."""

import functools
import shutil
from pathlib import Path

import numpy as np
import rasterio
from affine import Affine
from rasterio.transform import from_origin

from .folders import process_folder

SIZES = {'B1': 6, 'B9': 6} | dict.fromkeys(('B5', 'B6', 'B7', 'B8A', 'B11', 'B12'), 2)
ALL_BANDS = ('B1', 'B2', 'B3', 'B4', 'B5', 'B6', 'B7', 'B8', 'B8A', 'B9', 'B11', 'B12')
DATES = ('20180410', '20180715', '20190412', '20190720')


def ground(pixel: float = 10) -> Affine:
    """Where all images lie that say nothing else, by the side of a pixel in metres."""
    return from_origin(500000, 5600000, pixel, pixel)


def write_tif(path: Path, image: np.ndarray, **profile) -> None:
    """One GeoTIFF of (H, W) or (C, H, W)."""
    image = image if image.ndim == 3 else image[None]
    path.parent.mkdir(parents=True, exist_ok=True)
    profile = {'transform': ground(), 'crs': 'EPSG:32631'} | profile
    with rasterio.open(
        path,
        'w',
        driver='GTiff',
        count=len(image),
        height=image.shape[1],
        width=image.shape[2],
        dtype=image.dtype,
        **profile,
    ) as file:
        file.write(image)


def write_archive(
    root: Path,
    locations: int = 6,
    dates=DATES,
    bands=ALL_BANDS,
    size: int = 36,
    dtype: str = 'uint8',
    suffix: str = 'T103021_20190415T103025_T31UFS',
    seed: int = 0,
) -> Path:
    """List locations with colours and a pattern of their own, brighter from date to date."""
    written = _written(locations, tuple(dates), tuple(bands), size, dtype, suffix, seed)
    return shutil.copytree(written, root, dirs_exist_ok=True)


@functools.cache
def _written(locations: int, dates, bands, size: int, dtype: str, suffix: str, seed: int) -> Path:
    """An archive to be copied, which takes a tenth of the time of writing it anew."""
    root = process_folder()
    generator = np.random.default_rng(seed)
    top = 255 if dtype == 'uint8' else 10000
    for location in range(locations):
        pattern = generator.random((size, size))
        levels = generator.uniform(0.1, 0.6, len(ALL_BANDS))
        for number, date in enumerate(dates):
            for band in bands:
                ratio = SIZES.get(band, 1)
                level = levels[ALL_BANDS.index(band) if band in ALL_BANDS else 0]
                image = (level + 0.2 * pattern[::ratio, ::ratio] + 0.02 * number) * top
                noise = generator.normal(0, 0.01 * top, image.shape)
                path = root / f'{location:06d}' / f'{date}{suffix}' / f'{band}.tif'
                pixels = (image + noise).clip(0, top).astype(dtype)
                write_tif(path, pixels, transform=ground(10 * ratio))
    return root


def write_labels(root: Path, labels) -> None:
    """Table of labels."""
    rows = [f'{location:06d},{label}' for location, label in enumerate(labels)]
    (root / 'labels.csv').write_text('\n'.join(['location,label', *rows]) + '\n')


def write_radar_archive(
    root: Path, locations: int = 6, dates=('20180711', '20190713'), size: int = 36, unit: int = 1
) -> Path:
    """Backscatter of Sentinel-1, of every location a level of its own, in dB."""
    generator = np.random.default_rng(1)
    for location in range(locations):
        level = generator.uniform(-18, -6)
        for number, date in enumerate(dates):
            for band, less in (('VV', 0), ('VH', 6)):
                decibel = level - less + number + generator.normal(0, 0.5, (size, size))
                path = root / f'{location:06d}' / f'{date}T053000_T31UFS' / f'{band}.tif'
                write_tif(path, (decibel * unit).astype('float32' if unit == 1 else 'int16'))
    return root
