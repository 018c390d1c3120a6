# Copyright (c) torchgeo_saco Contributors. All rights reserved.
# Licensed under the MIT License.

"""Rasters in the projection of web maps, as pictures of a page."""

import base64
import io
import os
from collections.abc import Sequence
from contextlib import ExitStack
from typing import NamedTuple

import numpy as np
from affine import Affine
from PIL import Image
from pyproj import Transformer
from rasterio.crs import CRS
from rasterio.enums import Resampling
from rasterio.vrt import WarpedVRT
from rasterio.warp import calculate_default_transform, reproject

from ..archives.rasters import Naming, find_product, raster_band_names, virtual_raster
from ..bands import known_sensor, natural_color
from ..io.formats import open_product_file
from ..io.raster import BandFileError
from .grid import EmbeddingRaster, coordinates

#: Projection of Leaflet.
WEB_MERCATOR = CRS.from_epsg(3857)

#: Longest side of a picture of a scene, in pixels.
_SIDE = 1600

#: Pixels of a picture along the side of a cell, so that cells stay where they lie.
_FINE = 3


class Display(NamedTuple):
    """Picture of a page: where it lies, and which cell each pixel shows."""

    #: South and west, north and east, in degrees.
    bounds: tuple[tuple[float, float], tuple[float, float]]

    #: Position of the cell, row by row, -1 for none; (height, width), int32.
    cells: np.ndarray


def display(source: EmbeddingRaster) -> Display:
    """Grid of a page on which cells of a map are drawn.

    Args:
        source: The map.

    Raises:
        ValueError: If it crosses the antimeridian, or lies where web maps end.
    """
    height, width = source.shape
    left, bottom, right, top = source.bounds
    transform, columns, rows = calculate_default_transform(
        source.crs, WEB_MERCATOR, width, height, left, bottom, right, top
    )
    # Of a narrow map less than half a pixel may be left.
    columns, rows = max(1, columns), max(1, rows)
    fine = max(1, min(_FINE, 3000 // max(columns, rows)))
    transform = _scaled(transform, 1 / fine)
    bounds = _degrees(str(source.path), transform, (rows * fine, columns * fine))
    shown = np.full((rows * fine, columns * fine), -1, 'int32')
    reproject(
        np.arange(height * width, dtype='int32').reshape(height, width),
        shown,
        src_transform=source.transform,
        src_crs=source.crs,
        dst_transform=transform,
        dst_crs=WEB_MERCATOR,
        dst_nodata=-1,
        src_nodata=-1,
        # Interpolated positions would be off by some metres.
        tolerance=0,
        resampling=Resampling.nearest,
    )
    return Display(bounds, shown)


def cell_picture(shown: np.ndarray, colors: np.ndarray) -> str:
    """Picture of cells as a PNG, as the address of an image.

    Args:
        shown: Position of the cell that each pixel shows, -1 for none.
        colors: Red, green and blue of every cell, (N, 3), uint8.

    Returns:
        ``data:image/png;base64,...``.
    """
    opaque = np.column_stack([colors, np.full(len(colors), 255)]).astype('uint8')
    padded = np.concatenate([opaque, np.zeros((1, 4), 'uint8')])
    return _address(Image.fromarray(padded[shown], 'RGBA'), 'png')


def scene_picture(
    paths: Sequence[str | os.PathLike[str]],
) -> tuple[str, tuple[tuple[float, float], tuple[float, float]]]:
    """Picture of a scene in natural colour, as the address of an image.

    Args:
        paths: Files of red, green and blue; or one scene as
            :func:`~torchgeo_saco.archives.rasters.open_scene` takes it, of a file without names of
            bands the first three.

    Returns:
        ``data:image/webp;base64,...``, at most 1600 pixels wide and high; and south and west,
        north and east.

    Raises:
        BandFileError: If a file cannot be read or is not georeferenced.
        ValueError: If there are neither one nor three files, or too few bands.
    """
    name = os.fspath(paths[0]) if paths else ''
    if len(paths) not in (1, 3):
        raise ValueError(
            f'a picture of the scene needs one scene, or three files of red, green and blue, got '
            f'{len(paths)}'
        )
    with ExitStack() as stack:
        layers = [(os.fspath(path), 1) for path in paths] if len(paths) == 3 else _natural(name)
        opened = {path: stack.enter_context(open_product_file(path)) for path, _ in layers}
        for path, file in opened.items():
            if file.crs is None or file.transform.is_identity:
                raise BandFileError(f'{path} is not georeferenced; name a scene that is')
        first = opened[layers[0][0]]
        transform, width, height = calculate_default_transform(
            first.crs, WEB_MERCATOR, first.width, first.height, *first.bounds
        )
        coarse = max(1.0, max(width, height) / _SIDE)
        width, height = max(1, round(width / coarse)), max(1, round(height / coarse))
        transform = _scaled(transform, coarse)
        bounds = _degrees(name, transform, (height, width))
        bands, present = [], np.ones((height, width), bool)
        for path, channel in layers:
            with WarpedVRT(
                opened[path],
                crs=WEB_MERCATOR,
                transform=transform,
                width=width,
                height=height,
                resampling=Resampling.average if coarse > 1.5 else Resampling.bilinear,
                add_alpha=True,
            ) as warped:
                bands.append(warped.read(channel).astype('float32'))
                present &= warped.dataset_mask() > 0
    image = np.stack(bands)
    present &= np.isfinite(image).all(0)
    if not present.any():
        raise BandFileError(f'{name} holds no data; name another scene')
    low, high = np.percentile(image[:, present], (2, 98), axis=1)[..., None, None]
    shares = np.nan_to_num((image - low) / np.maximum(high - low, 1e-12)).clip(0, 1)
    picture = np.dstack([*np.rint(255 * shares), 255 * present]).astype('uint8')
    return _address(Image.fromarray(picture, 'RGBA'), 'webp', quality=82), bounds


def _natural(path: str) -> list[tuple[str, int]]:
    """File and number of red, green and blue of a scene."""
    names = raster_band_names(path)
    if names is not None and not any(names):
        if len(names) < 3:
            raise ValueError(
                f'{path} has {len(names)} bands; name one scene, or three files of red, green and '
                'blue'
            )
        return [(path, number) for number in (1, 2, 3)]
    product = find_product(path, Naming(undated=True, guess_sensor=True))
    bands = list(product.bands)
    found = natural_color(bands, known_sensor(product.sensor or 'sentinel2_l2a'))
    if found is None:
        raise ValueError(
            f'{path} lacks one of red, green and blue; its bands are {", ".join(bands)}'
        )
    sources = [product.bands[bands[channel]] for channel in found]
    stacked = virtual_raster(product, sources, 'bilinear')
    return [(stacked, number) for number in (1, 2, 3)]


def _scaled(transform: Affine, factor: float) -> Affine:
    """Transform of pixels of another size."""
    a, b, c, d, e, f, *_ = transform
    return Affine(a * factor, b * factor, c, d * factor, e * factor, f)


def _degrees(
    name: str, transform: Affine, shape: tuple[int, ...]
) -> tuple[tuple[float, float], tuple[float, float]]:
    """South and west, north and east of a picture."""
    turn = Transformer.from_crs(3857, 4326, always_xy=True)
    west, north = turn.transform(*coordinates(transform, 0, 0))
    east, south = turn.transform(*coordinates(transform, shape[1], shape[0]))
    if east - west > 180 or east <= west or max(abs(north), abs(south)) > 85.05:
        raise ValueError(
            f'{name} crosses the antimeridian or lies beyond 85 degrees, where web maps end; open '
            'the rasters in QGIS instead'
        )
    return (south, west), (north, east)


def _address(picture: Image.Image, kind: str, **options: int) -> str:
    """A picture as the address of an image."""
    content = io.BytesIO()
    picture.save(content, kind, **options)
    return f'data:image/{kind};base64,{base64.b64encode(content.getvalue()).decode()}'
