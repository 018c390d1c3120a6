# Copyright (c) torchgeo_saco Contributors. All rights reserved.
# Licensed under the MIT License.

"""Seasonal archives as stores that ``torchgeo-saco pack`` writes."""

import os
from collections.abc import Callable, Sequence
from typing import overload

import numpy as np
import pyarrow as pa
from shapely.geometry.base import BaseGeometry
from torchgeo.datasets.utils import Path

from ..bands import known_sensor
from ..io.raster import InvalidValuesError, require_content
from .geotiff import chosen_bands
from .layout import Location
from .listing import Locations, StoredLocation, StoreListing
from .readers import ArchiveReader, DateRule, ReadOptions, centred
from .store import StoredImages, StoreError, read_listing
from .store.description import StoreDescription, read_description
from .store.files import store_files


class ZarrReader(ArchiveReader):
    """Images of a store."""

    def __init__(self, root: Path, bands: Sequence[str] | None, form: ReadOptions) -> None:
        """Initialize a new Store instance.

        Args:
            root: Folder or URL of the store.
            bands: Bands to read, in any spelling, or None for all that are there.
            form: How images are read. A store is read as it was packed, or refuses.

        Raises:
            FileNotFoundError: If there is no store.
            ImportError: If a package is missing that reads it.
            ValueError: If it is damaged, or was packed otherwise.
        """
        self.root = os.fspath(root)
        self._files = store_files(root)
        self.worker_context = self._files.worker_context
        self.description = read_description(self._files)
        _require_form(self.root, self.description, form)
        present = self.description.bands
        self.bands = chosen_bands(self.root, bands, present, form)
        _require_grid(self.root, present, self.bands, form)
        window = centred(self.description.shape[2:], form.size)
        if window is None:
            height, width = self.description.shape[2:]
            raise ValueError(
                f'{root} holds images of {width} x {height} px, too small for a window of '
                f'size={form.size}'
            )
        self._channels = [present.index(band) for band in self.bands]
        self._window = window
        self.shape = tuple(part.stop - part.start for part in window)
        self.dtype = np.dtype(self.description.dtype)
        stored = read_listing(self._files, self.description.shape[0], self.description.tables)
        self._images = StoredImages(self._files, self.description, stored)
        self._listing = StoreListing(stored)
        self.single_date = bool((np.diff(self._listing.first) < 2).all())

    @property
    def listed(self) -> pa.StringArray:
        """Names of all locations, also of those skipped."""
        return self._listing.names

    def complete(self, rule: DateRule) -> tuple[Locations, Sequence[str]]:
        """See :meth:`ArchiveReader.complete`."""
        enough = rule.enough(self._listing.first, self._listing.days)
        skipped = _Reasons(Locations(self._listing, np.flatnonzero(~enough)), rule)
        return Locations(self._listing, np.flatnonzero(enough).astype(np.int32)), skipped

    def open_images(self, first: Location) -> None:
        """See :meth:`ArchiveReader.open_images`."""
        if isinstance(first, StoredLocation):
            self._images.require_shard(first.start)

    def labels(self, locations: Locations, strict: bool = False) -> tuple[list[str], np.ndarray]:
        """See :meth:`ArchiveReader.labels`."""
        classes = list(self.description.classes)
        if not classes:
            return [], np.full(len(locations), -1, np.int32)
        return classes, self._listing.stored.labels(classes)[locations.chosen]

    def fill(self, location: Location, scenes: Sequence[int], images: np.ndarray) -> None:
        """See :meth:`ArchiveReader.fill`."""
        self.fill_each([(location, scenes, images)])

    def fill_each(self, wanted: Sequence[tuple[Location, Sequence[int], np.ndarray]]) -> None:
        """See :meth:`ArchiveReader.fill_each`; an object store is asked for all at once."""
        rows: dict[int, tuple[StoredLocation, int]] = {}
        order, targets = [], []
        for location, scenes, images in wanted:
            if not isinstance(location, StoredLocation):
                raise ValueError(f'{location.name} is of another archive than {self.root}')
            order += [location.start + scene for scene in scenes]
            rows |= {location.start + scene: (location, scene) for scene in scenes}
            targets += list(images)

        def named(row: int) -> str:
            location, scene = rows[row]
            try:
                return f'{location.name}/{location.scenes[scene].name}'
            # Where nothing can be read, names cannot.
            except StoreError:
                return f'{location.name} of {location.days[scene]}'

        whole = self.description.shape[1:]
        if all(image.shape == whole for image in targets) and self.bands == self.description.bands:
            self._images.fill(order, targets, named)
            self._require_content(order, targets, named)
            return
        stored = np.empty((len(order), *whole), self.dtype)
        self._images.fill(order, list(stored), named)
        for scene, image in zip(stored, targets, strict=True):
            for channel, position in enumerate(self._channels):
                image[channel] = scene[position, *self._window]
        self._require_content(order, targets, named)

    def _require_content(
        self, rows: Sequence[int], images: Sequence[np.ndarray], named: Callable[[int], str]
    ) -> None:
        """Refuse empty images of a store, which was then packed by an earlier version."""
        for row, image in zip(rows, images, strict=True):
            try:
                require_content('', image, '')
            except InvalidValuesError:
                remedy = "pack the archive again with on_invalid='drop'"
                require_content(f'{named(row)} of {self.root}', image, remedy)

    def key(self, location: Location, scene: int) -> tuple[object, ...]:
        """Place and date in a store that was packed of this very listing."""
        return self.description.listing, location.name, scene

    def footprint(self, location: Location) -> BaseGeometry | None:
        """Ground of a location, as it was when packed."""
        if not isinstance(location, StoredLocation):
            raise ValueError(f'{location.name} is of another archive than {self.root}')
        return self._listing.stored.footprint(location.index)

    def crs(self, location: Location) -> str | None:
        """Coordinate system of a location, as it was when packed."""
        if not isinstance(location, StoredLocation):
            raise ValueError(f'{location.name} is of another archive than {self.root}')
        return self._listing.stored.crs(location.index)


class _Reasons(Sequence[str]):
    """Why locations are skipped, in words that are made when they are asked for."""

    def __init__(self, locations: Locations, rule: DateRule) -> None:
        """Initialize a new _Reasons instance.

        Args:
            locations: The locations.
            rule: What they lack.
        """
        self._locations, self._rule = locations, rule

    def __len__(self) -> int:
        """Number of locations."""
        return len(self._locations)

    @overload
    def __getitem__(self, index: int) -> str: ...

    @overload
    def __getitem__(self, index: slice) -> Sequence[str]: ...

    def __getitem__(self, index: int | slice) -> str | Sequence[str]:
        """One clause, or a range of them."""
        if isinstance(index, slice):
            return _Reasons(self._locations[index], self._rule)
        location = self._locations[index]
        return self._rule.lacking(location) or location.name


def _require_grid(
    root: str, present: Sequence[str], bands: Sequence[str], form: ReadOptions
) -> None:
    """Refuse bands that a tree gives on a coarser grid, for want of one that is finer."""
    pixel = form.sensor.bands
    finest = min(pixel[band] for band in present)
    if min(pixel[band] for band in bands) > finest:
        others = ', '.join(band for band in present if pixel[band] == finest)
        raise ValueError(
            f'{root} holds {", ".join(bands)} on the grid of {others} alone; read one of these as '
            'well, or pack the bands wanted into a store of their own'
        )


def _require_form(root: str, description: StoreDescription, form: ReadOptions) -> None:
    """Refuse a store that was packed in another way than asked for."""
    sensor = 'rgb' if description.previews else description.sensor
    if form.previews != description.previews:
        held = '3-band previews' if description.previews else 'bands, no previews'
        raise ValueError(f'{root} holds {held}; set previews={description.previews}')
    if not description.previews and form.sensor != known_sensor(sensor):
        raise ValueError(f'{root} holds bands of {sensor}; set sensor={sensor}')
    if form.resampling != description.resampling:
        raise ValueError(
            f'{root} was packed with resampling={description.resampling}; set that, or pack the '
            'archive again'
        )
    if form.max_nodata < description.max_nodata:
        raise ValueError(
            f'{root} was packed with max_nodata={description.max_nodata}; set at least that, or '
            'pack the archive again'
        )
    packed = description.size
    if packed is not None and form.size is not None and (packed - form.size) % 2:
        raise ValueError(
            f'{root} was packed with size={packed}, whose middle is not that of size={form.size}; '
            f'set size to one that differs by an even number, or pack the archive again'
        )
