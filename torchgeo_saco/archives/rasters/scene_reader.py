# Copyright (c) torchgeo_saco Contributors. All rights reserved.
# Licensed under the MIT License.

"""Bands of a scene on one grid, read by windows and never whole."""

import datetime
import math
import os
from collections.abc import Sequence
from contextlib import ExitStack
from typing import Self

import numpy as np
import rasterio
from affine import Affine
from rasterio.windows import Window

from ...io.formats import file_path, open_product_file
from ...io.georeference import pixel_sides
from ...io.raster import BandFileError, require_pixels
from ...io.resampling import EXACT_KINDS, enlarged
from ..layout import UNDATED
from .products import ProductBand, ProductError, RasterProduct, stored_scale
from .virtual import SourceGrid, read_header

# Bytes of decoded blocks that GDAL keeps, whatever the size of a scene.
_CACHE = 32 << 20

_RATIOS = (1, 2, 3, 6)


class SceneReader:
    """Bands of one acquisition on one grid, that of the finest band.

    Attributes:
        path: Name of the product.
        bands: Names of the bands, in the order of what is read.
        sensor: Their sensor, by name.
        date: Day of the acquisition, or None if no name tells it.
        unit: Digital number of reflectance 1, or None to go by the type.
        offset: Added to stored numbers before that.
        shape: Height and width, in pixels.
        dtype: Type of the stored numbers.
        crs: Coordinate system, or None if the scene is not georeferenced.
        transform: From column and row to coordinates.
    """

    def __init__(
        self,
        product: RasterProduct,
        bands: Sequence[str],
        sensor: str,
        unit: float | None = None,
        offset: float | None = None,
    ) -> None:
        """Open the files of a scene.

        Args:
            product: The scene.
            bands: Those of its bands to read.
            sensor: Sensor by name.
            unit: Digital number of reflectance 1, or None for that of the product.
            offset: Added to stored numbers before that, or None for that of the product.

        Raises:
            BandFileError: If a file cannot be read, the bands do not lie on one another, or
                unit or offset contradict what the files say.
        """
        self.path, self.sensor = product.name, sensor
        self.date: datetime.date | None = None if product.date == UNDATED else product.date
        self._product, self._asked = product, (unit, offset)
        self._stack = ExitStack()
        self._files: dict[str, rasterio.DatasetReader] = {}
        try:
            for band in bands:
                path = product.bands[band].path
                if path not in self._files:
                    self._files[path] = self._stack.enter_context(open_product_file(path))
                    require_pixels(path, self._files[path])
            self.select(bands)
        except BaseException:
            self.close()
            raise

    def select(self, bands: Sequence[str]) -> None:
        """Read some of the bands only, on the grid of the finest of them.

        Args:
            bands: Names of some of :attr:`bands`, in the order wanted.

        Raises:
            ProductError: If they do not lie on one another, or contradict the unit.
        """
        self.bands = tuple(bands)
        self._sources = [self._product.bands[band] for band in bands]
        self._grids = [read_header(source, self._product.grid) for source in self._sources]
        self._choose_grid()
        self._ratios = [self._ratio(number) for number in range(len(bands))]
        self.unit, self.offset = self._scaling(*self._asked)

    def close(self) -> None:
        """Close the files."""
        self._stack.close()

    def __enter__(self) -> Self:
        """Return the scene itself."""
        return self

    def __exit__(self, *error: object) -> None:
        """Close the files."""
        self.close()

    @property
    def metres_per_pixel(self) -> float | None:
        """Side of a pixel at the centre of the scene, in metres; None if not georeferenced."""
        if self.crs is None:
            return None
        row, column = (side / 2 for side in self.shape)
        return math.sqrt(math.prod(pixel_sides(self.crs, self.transform, column, row)))

    def stat(self) -> list[list[int]]:
        """Size and time of change of every file, which tell whether it was written anew."""
        found = (os.stat(file_path(source.path)) for source in self._sources)
        return [[status.st_size, status.st_mtime_ns] for status in found]

    def read(self, window: tuple[int, int, int, int]) -> tuple[np.ndarray, np.ndarray]:
        """Read a part of the scene.

        Args:
            window: First row, first column, height and width.

        Returns:
            Stored numbers (bands, height, width), 0 where there is no data; and where all bands
            have data, (height, width) bool.

        Raises:
            BandFileError: If a file cannot be read.
        """
        image = np.empty((len(self.bands), *window[2:]), self.dtype)
        valid = np.ones(window[2:], bool)
        for number, source in enumerate(self._sources):
            image[number], there = self._read_band(number, source, window)
            valid &= there
        image[:, ~valid] = 0
        return image, valid

    def _read_band(
        self, number: int, source: ProductBand, window: tuple[int, int, int, int]
    ) -> tuple[np.ndarray, np.ndarray]:
        """Part of a band on the grid of the scene, and where it has data."""
        ratio, grid, file = self._ratios[number], self._grids[number], self._files[source.path]
        row, column, height, width = window
        # A pixel of the coarse band more to each side, as bilinear values need.
        margin = 0 if ratio == 1 else 1
        top, left = max(row // ratio - margin, 0), max(column // ratio - margin, 0)
        bottom = min(-(-(row + height) // ratio) + margin, grid.shape[0])
        right = min(-(-(column + width) // ratio) + margin, grid.shape[1])
        try:
            with rasterio.Env(GDAL_CACHEMAX=_CACHE):
                part = file.read(
                    source.number, window=Window(left, top, right - left, bottom - top)
                )
        except (rasterio.errors.RasterioError, OSError) as error:
            raise BandFileError(
                f'{source.path} cannot be read at row {top}, column {left} '
                f'({error.__cause__ or error}); it may be truncated: fetch it again'
            ) from error
        missing = self._product.nodata
        there = _has_data(part, grid.nodata if missing is None else missing)
        if ratio > 1:
            fine = (part.shape[0] * ratio, part.shape[1] * ratio)
            part = _enlarged(part, there, fine)
            there = there.repeat(ratio, 0).repeat(ratio, 1)
        rows = slice(row - top * ratio, row - top * ratio + height)
        columns = slice(column - left * ratio, column - left * ratio + width)
        return part[rows, columns], there[rows, columns]

    def _choose_grid(self) -> None:
        """Take the grid of the finest band."""
        both = list(zip(self._sources, self._grids, strict=True))
        self._finest = max(both, key=lambda one: math.prod(one[1].shape))
        finest = self._finest[1]
        self.shape, self.crs, self.transform = finest.shape, finest.crs, finest.transform
        types = dict(zip((grid.dtype for grid in self._grids), self.bands, strict=True))
        if len(types) > 1:
            (one, first), (other, second) = list(types.items())[:2]
            raise ProductError(
                f'band {first} of {self.path} holds {one}, band {second} {other}; store all in '
                'one type and unit'
            )
        self.dtype = np.dtype(next(iter(types)))

    def _ratio(self, number: int) -> int:
        """How many pixels of the grid are one of a band, along a side."""
        path, grid = self._sources[number].path, self._grids[number]
        finest_path, finest = self._finest[0].path, self._finest[1]
        if grid.crs != finest.crs:
            raise ProductError(
                f'{path} is in {grid.crs or "no coordinate system"}, {finest_path} in '
                f'{finest.crs or "none"}; warp all bands of the scene to one, as by gdalwarp -t_srs'
            )
        ratio = round(self.shape[0] / grid.shape[0])
        expected = self.transform @ Affine.scale(ratio)
        # A hundredth of a pixel; products write coordinates as rounded decimals.
        largest = 0.01 * max(map(abs, expected[:2]))
        apart = max(abs(a - b) for a, b in zip(grid.transform[:6], expected[:6], strict=True))
        if grid.crs is None:
            apart = 0.0
        if (
            ratio not in _RATIOS
            or self.shape != (grid.shape[0] * ratio, grid.shape[1] * ratio)
            or apart > largest
        ):
            raise ProductError(
                f'{path} ({_spelled(grid)}) does not lie on {finest_path} ({_spelled(finest)}) by '
                f'whole pixels of a ratio of {", ".join(map(str, _RATIOS))}; warp it to that grid, '
                'or leave it out of bands'
            )
        return ratio

    def _scaling(self, unit: float | None, offset: float | None) -> tuple[float | None, float]:
        """Unit and offset, from files and metadata where they say so."""
        found = {
            (file.scales[source.number - 1], file.offsets[source.number - 1])
            for source in self._sources
            for file in [self._files[source.path]]
        }
        for scale, shift in found:
            stored_scale(self.path, scale, shift)
        (scale, shift), *others = sorted(found)
        if others:
            raise ProductError(
                f'bands of {self.path} have different scales and offsets: {sorted(found)}; write '
                'them alike'
            )
        in_file = (scale, shift) != (1.0, 0.0)
        stored = stored_scale(self.path, scale, shift) if in_file else self._product.scale
        if stored is None:
            return unit, offset or 0.0
        for name, asked, own in zip(('unit', 'offset'), (unit, offset), stored, strict=True):
            if asked is None or math.isclose(asked, own, rel_tol=1e-6, abs_tol=1e-9):
                continue
            if in_file or self._product.certain:
                raise ProductError(
                    f'{self.path} says that its {name} is {own:g}, which {name}={asked:g} '
                    'contradicts; leave it out, or correct the files'
                )
        return (stored.unit if unit is None else unit, stored.offset if offset is None else offset)


def _has_data(image: np.ndarray, nodata: float | None) -> np.ndarray:
    """Where a band has data."""
    valid = np.isfinite(image) if image.dtype.kind == 'f' else np.ones(image.shape, bool)
    if nodata is not None and not math.isnan(nodata):
        valid &= image != nodata
    return valid


def _enlarged(image: np.ndarray, there: np.ndarray, shape: tuple[int, int]) -> np.ndarray:
    """A coarse band on the fine grid, bilinear; pixels without data count for nothing but 0."""
    image = np.where(there, image, image.dtype.type(0))
    if image.dtype.name in EXACT_KINDS:
        return enlarged(image, shape)
    for axis in (0, 1):
        ratio = shape[axis] // image.shape[axis]
        cell, phase = np.divmod(np.arange(shape[axis]), ratio)
        # Middle of a fine pixel from that of a coarse one, in halves of fine pixels; it depends on
        # nothing but the phase, so that windows of all places round alike.
        apart = 2 * phase + 1 - ratio
        beside = (cell + np.sign(apart)).clip(0, image.shape[axis] - 1)
        share = (np.abs(apart) / (2 * ratio)).reshape((-1, 1) if axis == 0 else (1, -1))
        mixed = image.take(cell, axis) * (1 - share) + image.take(beside, axis) * share
        image = (mixed if image.dtype.kind == 'f' else np.rint(mixed)).astype(image.dtype)
    return image


def _spelled(grid: SourceGrid) -> str:
    """Size and first corner of a raster, as text."""
    corner = f'({grid.transform.c:.10g}, {grid.transform.f:.10g})'
    return f'{grid.shape[1]} x {grid.shape[0]} px from {corner}'
