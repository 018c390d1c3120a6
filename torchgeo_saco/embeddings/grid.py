# Copyright (c) torchgeo_saco Contributors. All rights reserved.
# Licensed under the MIT License.

"""Embedding maps as they are read, and the rasters that are made of them."""

import json
import os
import warnings
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import rasterio
from affine import Affine
from pyproj import Transformer
from pyproj.exceptions import ProjError
from rasterio.crs import CRS
from rasterio.windows import Window

from ..io.files import atomic_file, not_whole
from ..io.formats import PROVENANCE_TAG
from ..io.raster import BandFileError, opened_raster

#: Types of the numbers of an embedding map; whole ones have a scale.
_KINDS = ('float32', 'int8')

#: Most bytes of a part that is read at a time.
_PART = 1 << 26

#: Side of the tiles of the rasters written here, in pixels; a multiple of 16.
_TILE = 256


@dataclass(frozen=True)
class EmbeddingRaster:
    """An embedding map on disk; what is asked for is read.

    It lies north up. A cell of which any band is missing is missing.
    """

    #: GeoTIFF.
    path: Path

    #: Length of a vector.
    dimensions: int

    #: Rows and columns.
    shape: tuple[int, int]

    #: From column and row to coordinates.
    transform: Affine

    #: Coordinate system.
    crs: CRS

    #: Rows and columns that lie together in the file.
    block: tuple[int, int]

    #: What the embeddings come from.
    provenance: Mapping[str, Any] = field(default_factory=dict)

    def __len__(self) -> int:
        """Return the number of cells."""
        return self.shape[0] * self.shape[1]

    def read(self, window: tuple[int, int, int, int] | None = None) -> np.ndarray:
        """Read the vectors of a window.

        Args:
            window: First row, first column, height and width, or None for all.

        Returns:
            Values, (D, height, width), float32, NaN where missing.

        Raises:
            BandFileError: If the file cannot be read.
        """
        row, column, height, width = window or (0, 0, *self.shape)
        with opened_raster(self.path, self.dimensions, georeference=True, kinds=_KINDS) as file:
            stored = file.read(window=Window(column, row, width, height))
            scales, offsets, nodata = file.scales, file.offsets, file.nodata
        values = stored.astype('float32')
        missing = ~np.isfinite(values).all(0)
        if nodata is not None and np.isfinite(nodata):
            missing |= (stored == nodata).any(0)
        if set(scales) != {1.0}:
            values *= np.array(scales, 'float32')[:, None, None]
        if set(offsets) != {0.0}:
            values += np.array(offsets, 'float32')[:, None, None]
        values[:, missing] = np.nan
        return values

    def windows(self) -> Iterator[tuple[int, int, int, int]]:
        """Windows that cover the map once: blocks of the file, about 64 MB of them at a time.

        Yields:
            First row, first column, height and width.
        """
        height, width = self.shape
        rows, columns = self.block
        if 4 * self.dimensions * rows * width <= _PART:
            columns = width
        rows *= max(1, _PART // (4 * self.dimensions * rows * columns))
        for row in range(0, height, rows):
            for column in range(0, width, columns):
                yield row, column, min(rows, height - row), min(columns, width - column)

    def cell(self, x: float, y: float, crs: str | CRS | None = 'EPSG:4326') -> tuple[int, int]:
        """Row and column of the cell that holds a point.

        Args:
            x: Longitude, or easting.
            y: Latitude, or northing.
            crs: Coordinate system of the point, or None for that of the map.

        Raises:
            ValueError: If the point lies outside the map.
        """
        try:
            if crs is not None:
                turn = Transformer.from_crs(crs, self.crs.to_wkt(), always_xy=True)
                east, north = turn.transform(x, y, errcheck=True)
            else:
                east, north = x, y
            column, row = (
                int(np.floor(number)) for number in coordinates(~self.transform, east, north)
            )
        except (ProjError, OverflowError, ValueError) as error:
            raise ValueError(
                f'the point {x:g}, {y:g} has no place in {self.crs} ({error}); give longitude, '
                'then latitude, or name its coordinate system'
            ) from error
        if not (0 <= row < self.shape[0] and 0 <= column < self.shape[1]):
            left, bottom, right, top = self.bounds
            raise ValueError(
                f'the point {x:g}, {y:g} lies outside {self.path}, which covers {left:g} to '
                f'{right:g} east and {bottom:g} to {top:g} north in {self.crs}; choose one inside'
            )
        return row, column

    @property
    def bounds(self) -> tuple[float, float, float, float]:
        """Left, bottom, right and top, in its coordinate system."""
        right, bottom = coordinates(self.transform, self.shape[1], self.shape[0])
        return self.transform.c, bottom, right, self.transform.f


@dataclass(frozen=True)
class Raster:
    """A georeferenced raster in memory."""

    #: Values, (bands, rows, columns).
    values: np.ndarray

    #: From column and row to coordinates.
    transform: Affine

    #: Coordinate system.
    crs: CRS

    #: Value of missing cells.
    nodata: float

    #: Names of the bands.
    descriptions: Sequence[str] = ()

    #: Red, green and blue of each value, from 0 to 255.
    colors: Mapping[int, tuple[int, int, int]] = field(default_factory=dict)

    #: What it was made from, and how.
    provenance: Mapping[str, Any] = field(default_factory=dict)

    @property
    def missing(self) -> np.ndarray:
        """Whether a cell is missing, (rows, columns)."""
        values = self.values
        same = np.isnan(values) if np.isnan(self.nodata) else values == self.nodata
        return np.asarray(same.all(0))

    def write(self, path: str | os.PathLike[str]) -> Path:
        """Write a GeoTIFF that appears at once and whole.

        Args:
            path: New file that ends in ``.tif``; its folder is made.

        Returns:
            The file.

        Raises:
            FileExistsError: If it exists.
            ValueError: If it has another ending.
            OSError: If it cannot be written.
        """
        path = Path(path).expanduser().absolute()
        if path.suffix.lower() not in ('.tif', '.tiff'):
            raise ValueError(f'{path} must end in .tif')
        if path.exists():
            raise FileExistsError(f'{path} exists; name another file or remove it')
        count, height, width = self.values.shape
        tiled = min(height, width) >= _TILE
        with atomic_file(path) as unfinished:
            with rasterio.open(
                unfinished,
                'w',
                driver='GTiff',
                count=count,
                height=height,
                width=width,
                dtype=self.values.dtype,
                crs=self.crs,
                transform=self.transform,
                nodata=self.nodata,
                compress='deflate',
                **({'tiled': True, 'blockxsize': _TILE, 'blockysize': _TILE} if tiled else {}),
                **({'photometric': 'RGB'} if count == 3 else {}),
            ) as file:
                file.write(self.values)
                for number, name in enumerate(self.descriptions, 1):
                    file.set_band_description(number, name)
                if self.colors:
                    file.write_colormap(1, dict(self.colors))
                file.update_tags(**{PROVENANCE_TAG: json.dumps(dict(self.provenance))})
            # Closing a file does not tell of all that failed.
            with rasterio.open(unfinished) as file:
                written = file.read()
            if not np.array_equal(written, self.values, equal_nan=written.dtype.kind == 'f'):
                raise not_whole(path)
        return path


def coordinates(transform: Affine, column: Any, row: Any) -> tuple[Any, Any]:
    """Coordinates of a place in a raster.

    Args:
        transform: From column and row to coordinates.
        column: Columns; whole numbers are left edges.
        row: Rows; whole numbers are upper edges.

    Returns:
        x and y, in the form of columns and rows.
    """
    # The product of Affine takes no arrays.
    a, b, c, d, e, f, *_ = transform
    return a * column + b * row + c, d * column + e * row + f


def open_embedding_map(path: str | os.PathLike[str]) -> EmbeddingRaster:
    """Embedding map of a scene, of which only the header is read.

    Args:
        path: GeoTIFF as ``torchgeo-saco embed`` writes it: a band for each dimension, float32 or
            int8 with a scale, north up.

    Raises:
        BandFileError: If it cannot be read, or is not georeferenced north up.
    """
    path = Path(path)
    with warnings.catch_warnings(), opened_raster(path, None, True, _KINDS) as file:
        found = EmbeddingRaster(
            path, file.count, file.shape, file.transform, file.crs, file.block_shapes[0],
            _provenance(path, file.tags().get(PROVENANCE_TAG)),
        )  # fmt: skip
    a, b, _, d, e, *_ = found.transform
    if found.crs is None or found.transform.is_identity:
        raise BandFileError(
            f'{path} is not georeferenced; embed a scene that is, by torchgeo-saco embed'
        )
    if b or d or a <= 0 or e >= 0:
        raise BandFileError(
            f'{path} does not lie north up; warp the scene, such as by gdalwarp, and embed it again'
        )
    if found.dimensions < 2:
        raise BandFileError(f'{path} has one band, and is no embedding map')
    return found


def _provenance(path: Path, text: str | None) -> dict[str, Any]:
    """What a file says it was made from."""
    try:
        return dict(json.loads(text or '{}'))
    except (TypeError, ValueError) as error:
        raise BandFileError(
            f'{path} does not say what it was made from (its tag {PROVENANCE_TAG} is no JSON); '
            'embed again'
        ) from error
