# Copyright (c) torchgeo_saco Contributors. All rights reserved.
# Licensed under the MIT License.

"""Bands of a scene on one grid, read by windows and never whole."""

import math
import os
from collections.abc import Sequence
from contextlib import ExitStack
from typing import NamedTuple, Self

import numpy as np
import rasterio
from affine import Affine
from pyproj import Geod
from rasterio.crs import CRS
from rasterio.windows import Window
from torchgeo.datasets.utils import Path

from .raster import BandFileError, open_scene_file
from .resampling import EXACT_KINDS, enlarged

# Bytes of decoded blocks that GDAL keeps, whatever the size of a scene.
_CACHE = 32 << 20

_RATIOS = (1, 2, 3, 6)


class SceneError(ValueError):
    """A path that holds no scene, or one that cannot be read; the message says why."""


class BandSource(NamedTuple):
    """Where a band is stored."""

    #: Canonical name of the band.
    band: str

    #: GeoTIFF.
    path: str

    #: Position in the file, from 1.
    channel: int = 1


class SceneReader:
    """Bands of one acquisition on one grid, that of the finest band.

    Attributes:
        path: File or folder.
        bands: Names of the bands, in the order of what is read.
        sensor: Their sensor, by name.
        unit: Digital number of reflectance 1, or None to go by the type.
        offset: Added to stored numbers before that.
        shape: Height and width, in pixels.
        dtype: Type of the stored numbers.
        crs: Coordinate system, or None if the scene is not georeferenced.
        transform: From column and row to coordinates.
    """

    def __init__(
        self,
        path: Path,
        sources: Sequence[BandSource],
        sensor: str,
        unit: float | None = None,
        offset: float | None = None,
    ) -> None:
        """Open the files of a scene.

        Args:
            path: File or folder, for messages.
            sources: Where each band is.
            sensor: Sensor by name.
            unit: Digital number of reflectance 1, or None to take it from the files.
            offset: Added to stored numbers before that, or None to take it from the files.

        Raises:
            BandFileError: If a file cannot be read.
            SceneError: If the bands do not lie on one another, or contradict the unit.
        """
        self.path = os.fspath(path)
        self.sensor = sensor
        self.bands = tuple(source.band for source in sources)
        self._sources = list(sources)
        self._stack = ExitStack()
        self._files: dict[str, rasterio.DatasetReader] = {}
        try:
            for source in sources:
                if source.path not in self._files:
                    file = open_scene_file(source.path)
                    self._files[source.path] = self._stack.enter_context(file)
            self._asked = unit, offset
            self.select(self.bands)
        except BaseException:
            self.close()
            raise

    def select(self, bands: Sequence[str]) -> None:
        """Read some of the bands only, on the grid of the finest of them.

        Args:
            bands: Names of some of :attr:`bands`, in the order wanted.

        Raises:
            SceneError: If they do not lie on one another, or contradict the unit.
        """
        known = {source.band: source for source in self._sources}
        self._sources = [known[band] for band in bands]
        self.bands = tuple(bands)
        self._choose_grid()
        self._ratios = [self._ratio(source) for source in self._sources]
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
        if self.crs.is_projected:
            return math.sqrt(abs(self.transform.determinant)) * self.crs.linear_units_factor[1]
        row, column = (side / 2 for side in self.shape)
        x, y = self.transform @ (column, row)
        (x1, y1), (x2, y2) = (self.transform @ at for at in ((column + 1, row), (column, row + 1)))
        sides = Geod(ellps='WGS84').inv([x, x], [y, y], [x1, x2], [y1, y2])[2]
        return math.sqrt(sides[0] * sides[1])

    def stat(self) -> list[list[int]]:
        """Size and time of change of every file, which tell whether it was written anew."""
        found = (os.stat(source.path) for source in self._sources)
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
            image[number], there = self._read_band(source, self._ratios[number], window)
            valid &= there
        image[:, ~valid] = 0
        return image, valid

    def _read_band(
        self, source: BandSource, ratio: int, window: tuple[int, int, int, int]
    ) -> tuple[np.ndarray, np.ndarray]:
        """Part of a band on the grid of the scene, and where it has data."""
        file = self._files[source.path]
        row, column, height, width = window
        # A pixel of the coarse band more to each side, as bilinear values need.
        margin = 0 if ratio == 1 else 1
        top, left = max(row // ratio - margin, 0), max(column // ratio - margin, 0)
        bottom = min(-(-(row + height) // ratio) + margin, file.height)
        right = min(-(-(column + width) // ratio) + margin, file.width)
        try:
            with rasterio.Env(GDAL_CACHEMAX=_CACHE):
                part = file.read(
                    source.channel, window=Window(left, top, right - left, bottom - top)
                )
        except (rasterio.errors.RasterioError, OSError) as error:
            raise BandFileError(
                f'{source.path} cannot be read at row {top}, column {left} '
                f'({error.__cause__ or error}); it may be truncated: fetch it again'
            ) from error
        there = _has_data(part, file.nodatavals[source.channel - 1])
        if ratio > 1:
            fine = (part.shape[0] * ratio, part.shape[1] * ratio)
            part = _enlarged(part, there, fine)
            there = there.repeat(ratio, 0).repeat(ratio, 1)
        rows = slice(row - top * ratio, row - top * ratio + height)
        columns = slice(column - left * ratio, column - left * ratio + width)
        return part[rows, columns], there[rows, columns]

    def _choose_grid(self) -> None:
        """Take the grid of the finest band."""
        files = [self._files[source.path] for source in self._sources]
        finest = max(files, key=lambda file: file.width * file.height)
        self._finest = finest
        self.shape: tuple[int, int] = finest.shape
        self.crs: CRS | None = None if finest.transform.is_identity else finest.crs
        self.transform: Affine = finest.transform
        types = {
            file.dtypes[source.channel - 1]: source
            for source in self._sources
            for file in [self._files[source.path]]
        }
        if len(types) > 1:
            (one, first), (other, second) = list(types.items())[:2]
            raise SceneError(
                f'band {first.band} of {self.path} holds {one}, band {second.band} {other}; store '
                'all in one type and unit'
            )
        self.dtype = np.dtype(next(iter(types)))

    def _ratio(self, source: BandSource) -> int:
        """How many pixels of the grid are one of a band, along a side."""
        file, finest = self._files[source.path], self._finest
        if (file.crs is None) != (finest.crs is None) or (
            file.crs is not None and file.crs != finest.crs
        ):
            raise SceneError(
                f'{source.path} is in {file.crs or "no coordinate system"}, {finest.name} in '
                f'{finest.crs or "none"}; warp all bands of the scene to one, as by gdalwarp -t_srs'
            )
        ratio = round(self.shape[0] / file.height)
        expected = self.transform @ Affine.scale(ratio)
        # A hundredth of a pixel; products write coordinates as rounded decimals.
        largest = 0.01 * max(map(abs, expected[:2]))
        apart = max(abs(a - b) for a, b in zip(file.transform[:6], expected[:6], strict=True))
        if file.crs is None:
            apart = 0.0
        if (
            ratio not in _RATIOS
            or self.shape != (file.height * ratio, file.width * ratio)
            or apart > largest
        ):
            raise SceneError(
                f'{source.path} ({file.width} x {file.height} px from {_corner(file)}) does not '
                f'lie on {finest.name} ({finest.width} x {finest.height} px from '
                f'{_corner(finest)}) by whole pixels of a ratio of {", ".join(map(str, _RATIOS))}; '
                'warp it to that grid, or leave it out of bands'
            )
        return ratio

    def _scaling(self, unit: float | None, offset: float | None) -> tuple[float | None, float]:
        """Unit and offset, from the files where they say so."""
        found = {
            (file.scales[source.channel - 1], file.offsets[source.channel - 1])
            for source in self._sources
            for file in [self._files[source.path]]
        }
        if found == {(1.0, 0.0)}:
            return unit, offset or 0.0
        (scale, shift), *others = sorted(found)
        if others or scale <= 0:
            raise SceneError(
                f'bands of {self.path} have different scales and offsets: {sorted(found)}; write '
                'them alike'
            )
        stored = 1 / scale, shift / scale
        for name, asked, own in (('unit', unit, stored[0]), ('offset', offset, stored[1])):
            if asked is not None and not math.isclose(asked, own, rel_tol=1e-6, abs_tol=1e-9):
                raise SceneError(
                    f'{self.path} says that its {name} is {own:g} (scale {scale:g}, offset '
                    f'{shift:g}), which {name}={asked:g} contradicts; leave it out, or correct the '
                    'file'
                )
        return stored


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


def _corner(file: rasterio.DatasetReader) -> str:
    """First corner of a raster, as text."""
    return f'({file.transform.c:.10g}, {file.transform.f:.10g})'
