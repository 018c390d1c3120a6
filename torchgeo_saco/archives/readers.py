# Copyright (c) torchgeo_saco Contributors. All rights reserved.
# Licensed under the MIT License.

"""Where the images of a seasonal archive come from: what trees and stores have in common."""

import os
from abc import ABC, abstractmethod
from collections.abc import Sequence
from functools import lru_cache
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import torch
from shapely.geometry.base import BaseGeometry
from torch import Tensor

from ..bands import Sensor
from ..io.raster import require_content, require_no_fill
from .dates import Item, OtherDates, YearRule, enough_dates, too_few_dates
from .layout import Location
from .listing import Locations

#: What to do about a date without usable values.
EMPTY_REMEDY = "remove it, or set on_invalid='drop' to leave all such dates out"


class Scale(NamedTuple):
    """Reflectance from stored numbers: ``(dn + offset) / unit``."""

    unit: float
    offset: float


class ReadOptions(NamedTuple):
    """How images are read."""

    #: Sensor of the bands.
    sensor: Sensor

    #: Whether 3-band previews are read in place of band files.
    previews: bool

    #: Side in pixels of a centred window, or None for the whole image.
    size: int | None

    #: How coarser bands are brought to the finest grid.
    resampling: str

    #: Largest share of nodata in a band.
    max_nodata: float


class DateRule(NamedTuple):
    """Which dates a location must have."""

    dates: int
    item: Item
    other_dates: OtherDates
    years: YearRule

    def lacking(self, location: Location) -> str | None:
        """Why a location cannot give a sample, or None if it can."""
        return too_few_dates(location, *self)

    def enough(self, first: np.ndarray, days: np.ndarray) -> np.ndarray:
        """Which locations can, see :func:`~torchgeo_saco.archives.dates.enough_dates`."""
        return enough_dates(first, days, *self)


class ArchiveReader(ABC):
    """Places of an archive and their images."""

    #: Folder or URL.
    root: str

    #: Bands that are read, in order.
    bands: tuple[str, ...]

    #: Names of files that are passed over.
    skipped_files: Sequence[str] = ()

    #: Why they are, as a clause.
    skipped_reason: str = ''

    #: Files that one date is read from.
    files_per_scene: int = 1

    #: Whether no location has more than one date.
    single_date: bool

    #: Whether a location may have several labels, see :meth:`multi_hot`.
    multilabel: bool = False

    #: Names of all locations, also of those skipped.
    listed: pa.StringArray

    #: How worker processes may be started, None for any way.
    worker_context: str | None = None

    #: Images that may be read at a time in one process.
    threads: int = 1

    #: Height and width of every image, after the window.
    shape: tuple[int, int] = (0, 0)

    #: Type of the stored numbers.
    dtype: np.dtype

    #: Clauses on what was found and left out.
    notes: Sequence[str] = ()

    #: Scale that the files say of their numbers, or None; and whether that is certain.
    scale: Scale | None = None
    certain: bool = False

    _cache: dict[tuple[object, ...], Tensor] | None = None

    @abstractmethod
    def complete(self, rule: DateRule) -> tuple[Locations, Sequence[str]]:
        """List locations with enough dates, and a clause for each scene and location skipped."""

    @abstractmethod
    def labels(self, locations: Locations, strict: bool = False) -> tuple[list[str], np.ndarray]:
        """Classes, and the class of each location, -1 where it has none.

        Args:
            locations: The locations.
            strict: Whether labels of locations that the archive has not are refused.
        """

    def multi_hot(self, location: Location) -> np.ndarray:
        """Return 1 for each class of a location and 0 for the others, (classes) int64."""
        raise ValueError(f'{self.root} has no locations of several labels')

    @abstractmethod
    def footprint(self, location: Location) -> BaseGeometry | None:
        """Ground of a location in longitude and latitude, None where it is not known."""

    def crs(self, location: Location) -> str | None:
        """Coordinate system of the images of a location as WKT, None where it is not known."""
        return None

    @abstractmethod
    def fill(self, location: Location, scenes: Sequence[int], images: np.ndarray) -> None:
        """Read dates of a location.

        Args:
            location: The location.
            scenes: Positions among its scenes.
            images: Where they go, (scenes, bands, height, width), contiguous.

        Raises:
            BandFileError: If one cannot be read.
        """

    def check(self, location: Location, scene: int) -> None:
        """Read one date of a location, and refuse what holds no usable values.

        Args:
            location: The location.
            scene: Position among its scenes.

        Raises:
            InvalidValuesError: If it is so, see :func:`~torchgeo_saco.io.raster.require_content`.
            BandFileError: If it cannot be read.
        """
        name, place = location.scenes[scene].name, location.name
        # Those of rasters are paths, and show several cells.
        name = f'{name} (cell {place})' if os.path.isabs(name) else f'{place}/{name}'
        image = self._read(location, scene).numpy()
        require_content(name, image, EMPTY_REMEDY)
        require_no_fill(name, image, self.bands)

    def require_ground(self, location: Location, scene: int) -> None:  # noqa: B027
        """Refuse a date of another ground than the first one of its location, by the headers.

        Args:
            location: The location.
            scene: Position among its scenes.

        Raises:
            BandFileError: If it lies elsewhere.
        """

    def fill_each(self, wanted: Sequence[tuple[Location, Sequence[int], np.ndarray]]) -> None:
        """Read dates of several locations, each as by :meth:`fill`."""
        for location, scenes, images in wanted:
            self.fill(location, scenes, images)

    @abstractmethod
    def key(self, location: Location, scene: int) -> tuple[object, ...]:
        """Return the key of an image in memory."""

    def open_images(self, first: Location) -> None:  # noqa: B027
        """Learn size and type of the images, if need be from the first."""

    def keep_images(self, *form: object) -> None:
        """Keep images in memory from now on; archives that are read alike share them."""
        self._cache = _images_in_memory(*form)

    @property
    def keeps_images(self) -> bool:
        """Whether images stay in memory."""
        return self._cache is not None

    def read(self, location: Location, scene: int) -> Tensor:
        """One date of a location, (C, H, W)."""
        if self._cache is None:
            return self._read(location, scene)
        key = self.key(location, scene)
        if key not in self._cache:
            self._cache[key] = self._read(location, scene)
        return self._cache[key]

    def read_all(self, location: Location, scenes: Sequence[int]) -> Tensor:
        """Dates of a location, (T, C, H, W)."""
        if self._cache is not None:
            return torch.stack([self.read(location, scene) for scene in scenes])
        images = np.empty((len(scenes), len(self.bands), *self.shape), self.dtype)
        self.fill(location, scenes, images)
        return torch.from_numpy(images)

    def _read(self, location: Location, scene: int) -> Tensor:
        """One date of a location, not from memory."""
        image = np.empty((1, len(self.bands), *self.shape), self.dtype)
        self.fill(location, [scene], image)
        return torch.from_numpy(image[0])


def centred(shape: tuple[int, int], size: int | None) -> tuple[slice, slice] | None:
    """Rows and columns of a centred window, or None if the image does not hold it.

    Args:
        shape: Height and width of the image.
        size: Side of the window, or None for the whole image.
    """
    if size is None:
        return slice(0, shape[0]), slice(0, shape[1])
    if size < 1 or size > min(shape):
        return None
    top, left = ((side - size) // 2 for side in shape)
    return slice(top, top + size), slice(left, left + size)


@lru_cache(maxsize=1)
def _images_in_memory(*archive: object) -> dict[tuple[object, ...], Tensor]:
    """Images of the archive that was last opened."""
    return {}
