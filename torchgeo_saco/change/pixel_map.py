# Copyright (c) torchgeo_saco Contributors. All rights reserved.
# Licensed under the MIT License.

"""Maps of change between scenes: read by windows, written as cloud-optimized GeoTIFFs."""

import json
import math
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, NamedTuple, get_args

import numpy as np
import rasterio
import rasterio.shutil
import torch
from affine import Affine
from rasterio.crs import CRS
from rasterio.errors import NotGeoreferencedWarning
from rasterio.windows import Window
from rich.console import Console
from rich.progress import track
from torch import Tensor

from ..archives.rasters import SceneReader
from ..bands import nearest_bands
from ..embeddings.sources import require_unit, scene_scale
from ..io.files import atomic_file, writing
from ..io.formats import PROVENANCE_TAG
from ..models.change import otsu_threshold, two_gaussians
from ..runtime.checks import check_choice
from .pixels import Part, PixelChange

ThresholdMethod = Literal['otsu', 'mixture', 'none']

#: Marks pixels without data in masks.
NODATA = 255

# Pixels along a side of what is compared at a time, without its margin; a multiple of 32.
_BLOCK = 256

# Blocks that statistics are taken of, spread over the scene.
_FITTED_ON = 64

# Magnitudes that a threshold is chosen by, on a regular grid.
_VALUES = 250_000

# Longest side of the panels of a figure, in pixels.
_PREVIEW = 600

# A hundredth of a pixel, as coordinates are written as rounded decimals.
_ALIGNED = 0.01


class SceneSeries:
    """Scenes of one ground on several dates, of which windows are read.

    The scenes lie on one grid, maybe with other corners; what all of them cover is read. Bands are
    those that all have, under the names of the first sensor; those of other sensors are matched by
    wavelength, one to one.

    Attributes:
        scenes: The scenes, in their order.
        bands: Names of the bands by the sensor of the first scene.
        sensor: Its sensor.
        matched: For scenes of another sensor by position, name of their band by each of ours.
        shape: Height and width of the common ground, in pixels.
        crs: Coordinate system, or None of scenes that are not georeferenced.
        transform: From column and row to coordinates.
    """

    def __init__(self, scenes: Sequence[SceneReader]) -> None:
        """Initialize a new SceneSeries instance.

        Args:
            scenes: Open scenes of two or more dates.

        Raises:
            ValueError: If there is one scene only, they have no band in common, do not lie on one
                grid, or share no ground.
        """
        if len(scenes) < 2:
            raise ValueError(f'change needs images of two dates or more, got {len(scenes)}')
        self.scenes = list(scenes)
        self.sensor = scenes[0].sensor
        self.matched: dict[int, dict[str, str]] = {}
        names = [self._names(number) for number in range(len(scenes))]
        self.bands = tuple(band for band in scenes[0].bands if all(band in of for of in names))
        if not self.bands:
            listed = '; '.join(f'{scene.path}: {", ".join(scene.bands)}' for scene in scenes)
            raise ValueError(f'the images have no band in common ({listed}); read others by bands')
        self.select(self.bands)

    def select(self, bands: Sequence[str]) -> None:
        """Read some of the bands only.

        Args:
            bands: Some of :attr:`bands`, in the order wanted.

        Raises:
            ValueError: If the scenes do not lie on one grid, or hold no reflectance.
        """
        self.bands = tuple(bands)
        for number, scene in enumerate(self.scenes):
            names = self.matched.get(number)
            scene.select(list(bands) if names is None else [names[band] for band in bands])
            require_unit(scene)
        self._corners = [self._corner(scene) for scene in self.scenes]
        ends = [
            (row + scene.shape[0], column + scene.shape[1])
            for (row, column), scene in zip(self._corners, self.scenes, strict=True)
        ]
        top, left = (max(corner[axis] for corner in self._corners) for axis in (0, 1))
        bottom, right = (min(end[axis] for end in ends) for axis in (0, 1))
        if bottom <= top or right <= left:
            raise ValueError(
                f'{self.scenes[0].path} and the other images share no ground; give images of one '
                'place'
            )
        self._corners = [(top - row, left - column) for row, column in self._corners]
        self.shape = bottom - top, right - left
        self.crs: CRS | None = self.scenes[0].crs
        self.transform: Affine = self.scenes[0].transform @ Affine.translation(left, top)

    def read(self, window: tuple[int, int, int, int]) -> Part:
        """Read a part of the common ground.

        Args:
            window: First row, first column, height and width.

        Returns:
            Reflectance, (T, C, height, width), and where all bands of all dates have data.

        Raises:
            BandFileError: If a file cannot be read.
        """
        images, there = [], np.ones(window[2:], bool)
        for scene, (row, column) in zip(self.scenes, self._corners, strict=True):
            image, valid = scene.read((window[0] + row, window[1] + column, *window[2:]))
            there &= valid
            images.append(scene_scale(scene)(torch.from_numpy(image)))
        return torch.stack(images), torch.from_numpy(there)

    def _names(self, number: int) -> list[str]:
        """Names of the bands of a scene by the sensor of the first one."""
        first, scene = self.scenes[0], self.scenes[number]
        if scene.sensor == first.sensor:
            return list(scene.bands)
        there = nearest_bands(first.bands, first.sensor, scene.bands, scene.sensor)
        back = nearest_bands(scene.bands, scene.sensor, first.bands, first.sensor)
        self.matched[number] = {
            band: other for band, other in there.items() if back.get(other) == band
        }
        return list(self.matched[number])

    def _corner(self, scene: SceneReader) -> tuple[int, int]:
        """Row and column of the first pixel of a scene on the grid of the first one."""
        first = self.scenes[0]
        if scene.crs is None and first.crs is None:
            if scene.shape == first.shape:
                return 0, 0
            raise ValueError(
                f'{scene.path} is {scene.shape[1]} x {scene.shape[0]} px, {first.path} '
                f'{first.shape[1]} x {first.shape[0]} px, and neither is georeferenced; cut both '
                'to the same ground'
            )
        found = None
        if scene.crs == first.crs:
            a, b, column, d, e, row, *_ = ~first.transform @ scene.transform
            side = max(1, *first.shape)
            same = max(abs(a - 1), abs(b), abs(d), abs(e - 1)) * side <= _ALIGNED
            shift = max(abs(column - round(column)), abs(row - round(row)))
            found = (round(row), round(column)) if same and shift <= _ALIGNED else None
        if found is None:
            raise ValueError(
                f'{scene.path} does not lie on the grid of {first.path} ({_grid(scene)}, and '
                f'{_grid(first)}); warp it to that grid, as by gdalwarp -t_srs, -tr and -tap'
            )
        return found


@dataclass(frozen=True)
class PixelMapReport:
    """What a map of change holds."""

    #: Height and width, in pixels.
    shape: tuple[int, int]

    #: Pixels that have data on all dates.
    valid: int

    #: Threshold of the magnitude, or None.
    threshold: float | None

    #: Pixels above it.
    changed: int

    #: Natural colour of each date, magnitude and mask, at most 600 pixels along a side.
    preview: 'Preview'


class Preview(NamedTuple):
    """Images for a figure, every so many pixels of the map."""

    #: Bands of each date that are shown, (T, 3 or 1, h, w); NaN where there is no data.
    images: Tensor

    #: Magnitude, (h, w).
    magnitude: Tensor


def threshold_of(values: np.ndarray, method: ThresholdMethod) -> float | None:
    """Threshold above which magnitudes are called changed.

    Args:
        values: Magnitudes, in any shape; NaN is left out.
        method: ``otsu``; ``mixture``, where the upper of two Gaussians becomes the likelier one;
            or ``none``.

    Returns:
        The threshold, or None if none is asked for or all magnitudes are equal.

    Raises:
        ValueError: If *method* is unknown.
    """
    check_choice('threshold', method, get_args(ThresholdMethod))
    values = values[np.isfinite(values)]
    if method == 'none':
        return None
    if method == 'otsu':
        return otsu_threshold(values)
    mixture = two_gaussians(values)
    return None if mixture is None or math.isinf(mixture.threshold) else mixture.threshold


def write_pixel_map(
    series: SceneSeries,
    change: PixelChange,
    output: Path,
    mask: Path | None = None,
    threshold: ThresholdMethod = 'otsu',
    shown: Sequence[int] = (0,),
    provenance: Mapping[str, Any] | None = None,
    console: Console | None = None,
) -> PixelMapReport:
    """Write the magnitude of change between scenes, and a mask of what has changed.

    Scenes are read block by block: once for the statistics, of at most 64 blocks spread over the
    ground, and once for the magnitude. Memory does not depend on their size.

    Args:
        series: The scenes.
        change: How to compare; it is fitted to the scenes.
        output: GeoTIFF of the magnitude to write, float32, NaN where there is no data.
        mask: GeoTIFF of the mask to write, 1 for changed, 0 for unchanged, 255 for no data; None
            for none.
        threshold: How the threshold of the mask is chosen, see :func:`threshold_of`.
        shown: Positions of the bands of the preview.
        provenance: What the files say of themselves, as JSON in a tag.
        console: Where to show progress, or None for nowhere.

    Returns:
        What the map holds.

    Raises:
        ValueError: If no pixel has data on all dates.
        OSError: If a file cannot be written.
        BandFileError: If a scene cannot be read.
    """
    blocks = list(_blocks(series.shape, change))
    # Random, always the same: regular steps may all lie on one diagonal.
    numbers = np.random.default_rng(0).permutation(len(blocks))
    chosen = np.sort(numbers[:_FITTED_ON])

    def parts() -> Iterator[Part]:
        for number in chosen:
            images, valid = series.read(blocks[number].outer)
            if valid.any():
                yield images, valid

    pixels = sum(math.prod(blocks[number].outer[2:]) for number in chosen)
    if next(parts(), None) is None:
        raise ValueError(
            f'{series.scenes[0].path} and the other images have no pixel with data on all dates'
        )
    change.fit(parts, pixels)
    plain = output.with_name(f'.{output.stem}.plain.tif')
    plain_mask = output.with_name(f'.{output.stem}.mask.plain.tif')
    tags = {PROVENANCE_TAG: json.dumps(dict(provenance or {}))}
    every = max(1, math.ceil(math.sqrt(math.prod(series.shape) / _VALUES)))
    sides = [-(-side // max(1, math.ceil(max(series.shape) / _PREVIEW))) for side in series.shape]
    preview = _empty_preview(series, shown, sides)
    values, count = [], 0
    try:
        with _new_raster(plain, series, 'float32', np.nan, tags) as file:
            for block in track(
                blocks, 'blocks', console=console, disable=console is None, transient=True
            ):
                images, valid = series.read(block.outer)
                magnitude = change(images, valid)[block.inside]
                file.write(magnitude.numpy(), 1, window=_window(block.inner))
                count += int(valid[block.inside].sum())
                row, column = block.inner[:2]
                values.append(magnitude[-row % every :: every, -column % every :: every].flatten())
                _add_preview(preview, images[(..., *block.inside)], magnitude, block, series, shown)
        limit = threshold_of(torch.cat(values).numpy(), threshold)
        changed = 0
        if mask is not None and limit is not None:
            tags = {PROVENANCE_TAG: json.dumps(dict(provenance or {}) | {'threshold': limit})}
            with (
                rasterio.open(plain) as file,
                _new_raster(plain_mask, series, 'uint8', NODATA, tags) as target,
            ):
                for block in blocks:
                    part = file.read(1, window=_window(block.inner))
                    flags = np.where(np.isnan(part), NODATA, part > limit).astype(np.uint8)
                    changed += int((flags == 1).sum())
                    target.write(flags, 1, window=_window(block.inner))
            _to_cog(plain_mask, mask, 'MODE')
        _to_cog(plain, output, 'AVERAGE')
    finally:
        plain.unlink(missing_ok=True)
        plain_mask.unlink(missing_ok=True)
    return PixelMapReport(series.shape, count, limit, changed, preview)


class _Block(NamedTuple):
    """A part of the ground that is compared at a time."""

    #: First row, first column, height and width of what is written.
    inner: tuple[int, int, int, int]

    #: The same of what is read, with its margin.
    outer: tuple[int, int, int, int]

    #: The part that is written within the one that is read.
    inside: tuple[slice, slice]


def _blocks(shape: tuple[int, int], change: PixelChange) -> Iterator[_Block]:
    """Blocks that cover a ground once, each read from a multiple of the step of the channels."""
    step, margin = change.channels.step, change.margin
    side = max(_BLOCK // step, 1) * step
    for row in range(0, shape[0], side):
        for column in range(0, shape[1], side):
            height, width = min(side, shape[0] - row), min(side, shape[1] - column)
            top, left = max(row - margin, 0), max(column - margin, 0)
            bottom = min(row + height + margin, shape[0])
            right = min(column + width + margin, shape[1])
            inside = (
                slice(row - top, row - top + height),
                slice(column - left, column - left + width),
            )
            yield _Block(
                (row, column, height, width), (top, left, bottom - top, right - left), inside
            )


def _empty_preview(series: SceneSeries, shown: Sequence[int], sides: Sequence[int]) -> Preview:
    """A preview without data."""
    images = torch.full((len(series.scenes), len(shown), *sides), torch.nan)
    return Preview(images, torch.full(tuple(sides), torch.nan))


def _add_preview(
    preview: Preview,
    images: Tensor,
    magnitude: Tensor,
    block: _Block,
    series: SceneSeries,
    shown: Sequence[int],
) -> None:
    """Add every so many pixels of a block to a preview."""
    every = max(1, math.ceil(max(series.shape) / _PREVIEW))
    row, column, height, width = block.inner
    rows = slice(-(-row // every), -(-(row + height) // every))
    columns = slice(-(-column // every), -(-(column + width) // every))
    picked = (..., slice(-row % every, None, every), slice(-column % every, None, every))
    part = images[:, list(shown)][picked]
    there = ~magnitude[picked].isnan()
    preview.images[..., rows, columns] = torch.where(there, part, torch.nan)
    preview.magnitude[rows, columns] = magnitude[picked]


@contextmanager
def _new_raster(
    path: Path, series: SceneSeries, dtype: str, nodata: float, tags: Mapping[str, str]
) -> Iterator[rasterio.io.DatasetWriter]:
    """Write a plain raster on the ground of the scenes."""
    with warnings.catch_warnings(), writing(path):
        warnings.simplefilter('ignore', NotGeoreferencedWarning)
        with rasterio.open(
            path,
            'w',
            driver='GTiff',
            height=series.shape[0],
            width=series.shape[1],
            count=1,
            dtype=dtype,
            nodata=nodata,
            crs=series.crs,
            transform=series.transform if series.crs is not None else None,
            tiled=True,
            blockxsize=_BLOCK,
            blockysize=_BLOCK,
            bigtiff='IF_SAFER',
        ) as file:
            file.set_band_description(1, 'change_magnitude' if dtype == 'float32' else 'changed')
            file.update_tags(**tags)
            yield file


def _to_cog(plain: Path, output: Path, overviews: str) -> None:
    """Copy a raster as cloud-optimized GeoTIFF, which appears at once and whole."""
    with warnings.catch_warnings(), atomic_file(output) as partial:
        warnings.simplefilter('ignore', NotGeoreferencedWarning)
        rasterio.shutil.copy(
            plain,
            partial,
            driver='COG',
            compress='DEFLATE',
            predictor='YES',
            blocksize=_BLOCK,
            overview_resampling=overviews,
            bigtiff='IF_SAFER',
        )


def _window(window: tuple[int, int, int, int]) -> Window:
    """A window in the form of rasterio."""
    row, column, height, width = window
    return Window(column, row, width, height)


def _grid(scene: SceneReader) -> str:
    """Grid of a scene, as text."""
    corner = f'({scene.transform.c:.10g}, {scene.transform.f:.10g})'
    return f'{scene.transform.a:.6g} from {corner} in {scene.crs or "no coordinate system"}'
