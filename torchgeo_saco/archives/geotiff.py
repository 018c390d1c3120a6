# Copyright (c) torchgeo_saco Contributors. All rights reserved.
# Licensed under the MIT License.

"""Seasonal archives as trees of folders, in any layout."""

import copy
import math
import os
from collections.abc import Sequence
from functools import cached_property
from typing import Any

import numpy as np
import pyarrow as pa
from shapely.geometry.base import BaseGeometry

from ..bands import band_index, band_names
from ..io.georeference import (
    Georeference,
    read_footprint,
    read_georeference,
    read_grid,
    require_same_grid,
    require_same_ground,
)
from ..io.raster import (
    BandFileError,
    InvalidValuesError,
    raster_environment,
    read_band,
    read_size,
    require_content,
    require_no_fill,
)
from ..io.tiff import PixelGrid
from .layout import Location, complete_locations
from .layouts import Layout
from .listing import Locations, TreeListing
from .readers import EMPTY_REMEDY, ArchiveReader, DateRule, ReadOptions, centred

# A larger image is a scene, which is read as cells of rasters.
_MAX_SIDE = 4096


class GeoTIFFReader(ArchiveReader):
    """Images of a tree of folders."""

    threads = min(8, os.cpu_count() or 1)

    def __init__(self, layout: Layout, bands: Sequence[str] | None, form: ReadOptions) -> None:
        """Initialize a new GeoTIFFReader instance.

        Args:
            layout: Where the files lie.
            bands: Bands to read, in any spelling, or None for all that are there.
            form: How images are read.

        Raises:
            FileNotFoundError: If the folder is missing.
            ValueError: If a band is unknown or in no file, or no location is found.
        """
        self.layout = layout
        self.root = layout.root
        self.form = form
        self.multilabel = layout.multilabel
        self.skipped_reason = layout.skipped_reason.format(sensor=form.sensor.name)
        self._keys: dict[tuple[str, int], tuple[object, ...]] = {}
        # How many pixels of the finest band one of each band is, known from the first image.
        self._ratios: list[int] = []
        self._locations, self.skipped_files = layout.locations()
        self.single_date = all(len(location.scenes) < 2 for location in self._locations)
        self.listed = pa.array([location.name for location in self._locations], pa.string())
        self.bands = self._readable_bands(bands)
        self.files_per_scene = len(self.bands) if layout.file_bands is None else 1

    def complete(self, rule: DateRule) -> tuple[Locations, Sequence[str]]:
        """See :meth:`ArchiveReader.complete`."""
        bands = self.bands if self.layout.file_bands is None else ()
        kept, skipped = complete_locations(self._locations, bands, rule.lacking)
        # What was listed is not needed again, and may be long.
        self._locations = []
        return Locations(TreeListing(kept)), skipped

    def labels(self, locations: Locations, strict: bool = False) -> tuple[list[str], np.ndarray]:
        """See :meth:`ArchiveReader.labels`."""
        names = locations.names.to_pylist()
        classes, known = self.layout.labels(names, set(self.listed.to_pylist()) if strict else None)
        return classes, np.array([known.get(name, -1) for name in names], np.int32)

    def multi_hot(self, location: Location) -> np.ndarray:
        """See :meth:`ArchiveReader.multi_hot`."""
        return self.layout.multi_hot(location.name)

    def open_images(self, first: Location) -> None:
        """Size and type of all images are those of the first, and so are the sizes of the bands."""
        image, _ = self._image(first, 0)
        self.shape, self.dtype = (image.shape[-2], image.shape[-1]), image.dtype
        if self.layout.file_bands is None:
            paths = self.band_paths(first, 0)
            finest = read_size(paths[self._finest])[0]
            self._ratios = [finest // read_size(path)[0] for path in paths]

    def fill(self, location: Location, scenes: Sequence[int], images: np.ndarray) -> None:
        """See :meth:`ArchiveReader.fill`."""
        lead: PixelGrid | None = None
        with raster_environment():
            for scene, image in zip(scenes, images, strict=True):
                image[...], grid = self._image(location, scene)
                if lead is None:
                    lead, first = grid, scene
                else:
                    self._require_ground(location, scene, grid, first, lead)

    def check(self, location: Location, scene: int) -> None:
        """See :meth:`ArchiveReader.check`."""
        with raster_environment():
            image, _ = self._image(location, scene)
            require_no_fill(self._name(location, scene), image, self.bands, self.form.max_nodata)
        self.require_ground(location, scene)

    def require_ground(self, location: Location, scene: int) -> None:
        """See :meth:`ArchiveReader.require_ground`."""
        if not scene or not self.layout.georeferenced:
            return
        lead = read_grid(self._finest_path(location, 0), self._count)
        if lead is not None:
            grid = read_grid(self._finest_path(location, scene), self._count)
            self._require_ground(location, scene, grid, 0, lead)

    def _require_ground(
        self, location: Location, scene: int, grid: PixelGrid | None, first: int, lead: PixelGrid
    ) -> None:
        """Refuse a date of another ground than an earlier one."""
        path, other = self._finest_path(location, scene), self._finest_path(location, first)
        require_same_ground(path, self._of_window(grid), other, self._of_window(lead) or lead)

    def _of_window(self, grid: PixelGrid | None) -> PixelGrid | None:
        """Where the centred window lies, if one is read."""
        window = None if grid is None else centred(grid.shape, self.form.size)
        return grid if grid is None or window is None else grid.part(*window)

    def key(self, location: Location, scene: int) -> tuple[object, ...]:
        """Place, date, and the times of the files: what was written anew is another image."""
        known = (location.name, scene)
        if known not in self._keys:
            paths = self.band_paths(location, scene)
            times = [os.stat(path).st_mtime_ns for path in paths if os.path.exists(path)]
            self._keys[known] = (location.name, location.scenes[scene].name, *times)
        return self._keys[known]

    def footprint(self, location: Location) -> BaseGeometry | None:
        """Ground of the first date of a location, from its header."""
        if not self.layout.georeferenced:
            return None
        return read_footprint(self.band_paths(location, 0)[0], self._count)

    def crs(self, location: Location) -> str | None:
        """Coordinate system of the first date of a location, from its header."""
        found = self.georeference(location)
        return None if found is None else found.crs

    def georeference(self, location: Location) -> Georeference | None:
        """Where the pixels of the images of a location lie, from the header of the first date."""
        if not self.layout.georeferenced:
            return None
        path = self._finest_path(location, 0)
        found = read_georeference(path, self._count)
        if found is None or self.form.size is None:
            return found
        grid = PixelGrid(read_size(path, self._count), found.transform, b'')
        window = centred(grid.shape, self.form.size)
        return found if window is None else found._replace(transform=grid.part(*window).transform)

    @property
    def _count(self) -> int:
        """Bands of a file."""
        return len(self.layout.file_bands or ('',))

    @cached_property
    def _finest(self) -> int:
        """Position of the band that the others are brought to."""
        sides = [self.form.sensor.bands[band] for band in self.bands]
        return sides.index(min(sides))

    def band_paths(self, location: Location, scene: int) -> list[str]:
        """Files of one date of a location, one a band, or the one that holds all."""
        found = location.scenes[scene]
        bands = self.bands if self.layout.file_bands is None else ('',)
        return [
            os.path.join(self.root, self.layout.path(location.name, found, band)) for band in bands
        ]

    def _finest_path(self, location: Location, scene: int) -> str:
        """File of the band that the others are brought to, or of all bands."""
        paths = self.band_paths(location, scene)
        return paths[self._finest if self.layout.file_bands is None else 0]

    def _name(self, location: Location, scene: int) -> str:
        """File or folder of a date, for messages."""
        paths = self.band_paths(location, scene)
        return paths[0] if len(paths) == 1 else os.path.dirname(paths[0])

    def require_dtype(self, path: str, dtype: np.dtype) -> None:
        """Refuse what would take its unit of reflectance from other files.

        Raises:
            BandFileError: If the type is not that of the first file.
        """
        if dtype != getattr(self, 'dtype', dtype):
            raise BandFileError(
                f'{path} holds {dtype}, the first file of the archive {self.dtype}; '
                'store all in one type and unit'
            )

    def without_locations(self) -> 'GeoTIFFReader':
        """The same without the listing, to travel to other processes."""
        part = copy.copy(self)
        part._locations, part._keys, part._cache = [], {}, None
        part.listed = pa.array([], pa.string())
        return part

    def _image(self, location: Location, scene: int) -> tuple[np.ndarray, PixelGrid | None]:
        """One date of a location from its files, (C, H, W), with usable values; and its grid."""
        try:
            image, grid = self._stored_image(location, scene)
        except InvalidValuesError as error:
            raise InvalidValuesError(f"{error}; on_invalid='drop' leaves out such dates") from error
        require_content(self._name(location, scene), image, EMPTY_REMEDY)
        return image, grid

    def _stored_image(self, location: Location, scene: int) -> tuple[np.ndarray, PixelGrid | None]:
        """One date of a location as it is in its files, (C, H, W), and where it lies."""
        paths = self.band_paths(location, scene)
        if self.layout.file_bands is not None:
            image = self.layout.read_image(paths[0], self.form.max_nodata)
            image = image[band_index(self.layout.file_bands, self.bands)]
            self.require_dtype(paths[0], image.dtype)
            _require_patch(paths[0], image.shape[-2:])
            return self._center_window(image, paths[0]), None
        finest = self._finest
        lead = read_band(paths[finest], None, 'nearest', self.form.max_nodata, _MAX_SIDE)
        self.require_dtype(paths[finest], lead.image.dtype)
        image = np.empty((len(paths), *lead.shape), lead.image.dtype)
        options: Any = (lead.shape, self.form.resampling, self.form.max_nodata, _MAX_SIDE)
        for i, path in enumerate(paths):
            band = lead if i == finest else read_band(path, *options)
            if band.image.dtype != image.dtype:
                # Of the first image, the first file says the type.
                self.require_dtype(path, band.image.dtype)
                raise BandFileError(
                    f'{path} holds {band.image.dtype}, the first file of the archive '
                    f'{image.dtype}; store all in one type and unit'
                )
            self._require_ratio(i, path, band.shape, lead.shape)
            if lead.grid is not None and band is not lead:
                require_same_grid(path, band.grid, paths[finest], lead.grid)
            image[i] = band.image
        return self._center_window(image, paths[finest]), lead.grid

    def _require_ratio(
        self, number: int, path: str, shape: tuple[int, int], grid: tuple[int, int]
    ) -> None:
        """Refuse a band that is coarser than its sensor delivers it, or elsewhere in the archive.

        Args:
            number: Position among the bands.
            path: Its file.
            shape: Height and width of the file.
            grid: Those of the finest band of the date.
        """
        ratio = grid[0] // shape[0]
        sides = [self.form.sensor.bands[band] for band in self.bands]
        if self._ratios:
            expected, why = self._ratios[number], 'as in the first image of the archive'
        else:
            expected, why = ratio, ''
            if ratio > math.ceil(sides[number] / min(sides)):
                expected = max(1, round(sides[number] / min(sides)))
                why = f'for a band of {sides[number]:g} m'
        if ratio != expected:
            height, width = (side // expected for side in grid)
            raise BandFileError(
                f'{path} is {shape[1]} x {shape[0]} px where {width} x {height} px are expected '
                f'{why}; fetch it again, or resample it'
            )

    def _center_window(self, image: np.ndarray, path: str) -> np.ndarray:
        """Centred window, of the one size that all images of the archive share."""
        height, width = image.shape[-2:]
        window = centred((height, width), self.form.size)
        if window is None:
            raise BandFileError(
                f'{path} is {width} x {height} px, too small for a window of size={self.form.size}'
            )
        image = image[:, *window]
        if self.shape != (0, 0) and image.shape[-2:] != self.shape:
            raise BandFileError(
                f'{path} is {image.shape[-1]} x {image.shape[-2]} px, the first image of the '
                'archive '
                f'{self.shape[1]} x {self.shape[0]} px; set size to a window that all images have'
            )
        return image

    def _readable_bands(self, bands: Sequence[str] | None) -> tuple[str, ...]:
        """Bands asked for, or all bands of the archive in the order of the sensor."""
        sensor = self.form.sensor
        present: set[str] = set()
        if self.layout.file_bands is not None:
            present.update(self.layout.file_bands)
        # Listings are shared between scenes, so there are few distinct ones.
        for files in {id(s.files): s.files for p in self._locations for s in p.scenes}.values():
            present.update(files)
        return chosen_bands(
            self.root, bands, [band for band in sensor.bands if band in present], self.form
        )


def _require_patch(path: str, shape: tuple[int, ...]) -> None:
    """Refuse an image that is larger than a patch."""
    if max(shape) > _MAX_SIDE:
        raise BandFileError(
            f'{path} is {shape[1]} x {shape[0]} px, above the limit of {_MAX_SIDE}; cut it into '
            'patches, or read it as cells by layout=rasters'
        )


def chosen_bands(
    root: str, bands: Sequence[str] | None, present: Sequence[str], form: ReadOptions
) -> tuple[str, ...]:
    """Bands asked for, or all that are there.

    Args:
        root: Where they are, for the message.
        bands: Names in any spelling, or None for all.
        present: Bands that are there.
        form: Says the sensor.

    Raises:
        ValueError: If one is unknown or not there.
    """
    if bands is None:
        return tuple(present)
    wanted = band_names(bands, form.sensor)
    absent = [band for band in wanted if band not in present]
    if absent:
        raise ValueError(
            f'{root} has no file of band {", ".join(absent)}; it has {", ".join(present)}'
        )
    return wanted
