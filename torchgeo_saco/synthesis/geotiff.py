# Copyright (c) torchgeo_saco Contributors. All rights reserved.
# Licensed under the MIT License.

"""Georeferenced files of one location."""

import warnings
from pathlib import Path

import numpy as np
import rasterio
from numpy.typing import NDArray
from rasterio import Affine
from rasterio.crs import CRS
from rasterio.errors import NotGeoreferencedWarning

from .landcover import COVERS
from .locations import SampleLocation
from .scenes import LocationScenes, SampleScene
from .sensor import PIXEL


def write_location(root: Path, scenes: LocationScenes) -> None:
    """Write all files of one location.

    Args:
        root: Folder of the archive.
        scenes: The location.
    """
    location = scenes.location
    for scene in scenes.optical():
        _write_scene(root / 'seasonal' / location.name / scene.name, scene, location)
    for scene in scenes.radar():
        _write_scene(root / 's1' / location.name / scene.name, scene, location)
    first, second = scenes.landscapes
    names = {str(cover.value): cover.name for cover in COVERS.values()}
    colors = {0: (0, 0, 0)} | {cover.value: cover.color for cover in COVERS.values()}
    write_band(root / 'masks' / f'{location.name}.tif', first.cover_mask(), location, names, colors)
    if location.changed:
        names = {'0': 'unchanged', '1': 'changed'}
        colors = {0: (0, 0, 0), 1: (255, 255, 255)}
        mask = second.change_mask()
        write_band(root / 'change' / f'{location.name}.tif', mask, location, names, colors)


def write_band(
    path: Path,
    band: NDArray[np.generic],
    location: SampleLocation,
    names: dict[str, str] | None = None,
    colors: dict[int, tuple[int, int, int]] | None = None,
) -> None:
    """Write one band as a GeoTIFF.

    Args:
        path: File to write; its folder is made.
        band: Numbers to store, ``(rows, columns)``.
        location: Location, for the georeference.
        names: Names of the values, stored as tags.
        colors: Colour table.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    extent = location.size * PIXEL
    with rasterio.open(
        path,
        'w',
        driver='GTiff',
        height=band.shape[0],
        width=band.shape[1],
        count=1,
        dtype=band.dtype,
        crs=location.crs,
        transform=location.transform(extent / band.shape[0]),
        compress='deflate',
        predictor=2,
    ) as file:
        if colors:
            file.write_colormap(1, colors)
        if names:
            file.update_tags(**names)
        file.write(band, 1)


def write_raster(
    path: Path, image: NDArray[np.generic], crs: CRS | None = None, transform: Affine | None = None
) -> None:
    """Write an image as a plain GeoTIFF, uncompressed and interleaved by pixel.

    Args:
        path: File to write; its folder is made.
        image: Numbers to store, ``(bands, rows, columns)``.
        crs: Coordinate reference system, or None for an image without a location on Earth.
        transform: Pixel to map coordinates.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    count, height, width = image.shape
    with warnings.catch_warnings():
        # Rasterio warns of images without a location; some benchmarks publish theirs so.
        warnings.simplefilter('ignore', NotGeoreferencedWarning)
        with rasterio.open(
            path,
            'w',
            driver='GTiff',
            height=height,
            width=width,
            count=count,
            dtype=image.dtype,
            crs=crs,
            transform=transform,
            interleave='pixel',
            photometric='RGB' if count == 3 else 'MINISBLACK',
        ) as file:
            file.write(image)


def _write_scene(folder: Path, scene: SampleScene, location: SampleLocation) -> None:
    """One file per band, named as in SeCo: ``B1.tif``, ``B8A.tif``."""
    for name, band in scene.bands.items():
        write_band(folder / f'{_file_name(name)}.tif', band, location)


def _file_name(band: str) -> str:
    """Name of a band without the zero in front, as in Google Earth Engine."""
    return band.replace('B0', 'B')
