# Copyright (c) torchgeo_saco Contributors. All rights reserved.
# Licensed under the MIT License.

"""Time series of satellite images, one folder a place, as SeCo and CACo store them."""

import copy
import os
from collections.abc import Callable, Sequence
from datetime import date
from functools import lru_cache
from typing import Literal, get_args

import numpy as np
import torch
from matplotlib import pyplot as plt
from matplotlib.figure import Figure
from rasterio.enums import Resampling
from torch import Tensor
from torchgeo.datasets import NonGeoDataset, RGBBandsMissingError
from torchgeo.datasets.utils import Path, Sample, quantile_normalization

from ..arguments import one_of
from ..bands import band_index, band_names, known_sensor
from ..io import BandFileError, read_bands
from ..randomness import mixed_seed, run_seed
from ..samplers import Draw
from .dates import Item, OtherDates, YearRule, drawn_dates, drawn_years, too_few_dates, two_years
from .labels import read_labels
from .layout import Location, complete_places, read_layout

_LISTED = 20


class SeasonalArchive(NonGeoDataset):
    """Time series of satellite images, one folder a place.

    Reads trees of SeCo, CACo and your own, as they are on disk:
    ``<root>/<location>/<date or scene id>/<band>.tif``. Bands are found by name in any
    spelling, brought to the grid of the finest one, and stay the stored integers. Hidden
    entries and files that are no band are passed over.

    A table ``<root>/labels.csv`` with columns ``location`` and ``label`` adds labels. They
    serve the evaluation; pre-training never sees them.

    Dataset features:

    * any number of places and dates, in one or several years
    * 10, 20 and 60 m bands, unsigned 8- or 16-bit, or float
    * one item a date (that date first, the others drawn), one item a place, or one item a place
      with two years of it

    If you use the archives of SeCo or CACo in your research, please cite:

    * https://arxiv.org/abs/2103.16607
    * https://doi.org/10.1109/CVPR52729.2023.00529
    """

    def __init__(
        self,
        root: Path = 'data',
        bands: Sequence[str] | None = None,
        dates: int = 1,
        item: Item = 'date',
        other_dates: OtherDates = 'any',
        year_rule: YearRule = 'calendar',
        same_season: bool = True,
        sensor: str = 'sentinel2_l1c',
        previews: bool = False,
        size: int | None = None,
        resampling: str = 'bilinear',
        max_nodata: float = 0.0,
        on_missing: Literal['error', 'drop'] = 'error',
        cache: bool = False,
        transforms: Callable[[Sample], Sample] | None = None,
    ) -> None:
        """Initialize a new SeasonalArchive instance.

        Args:
            root: Folder of the places.
            bands: Bands to read, in any spelling, or None for all that are there.
            dates: Dates of a place in one sample, or in each of its years.
            item: Whether every date is an item, or every place, or every place with two years of
                it as an axis.
            other_dates: Whether the dates drawn beside the first may lie anywhere, in the same
                calendar year, or in another one. Of ``years`` each has its own.
            year_rule: Which two years of a place, see
                :func:`~torchgeo_saco.datasets.dates.two_years`.
            same_season: Whether dates of two years are of the same seasons, or drawn alone.
            sensor: Sensor, a key of :data:`torchgeo_saco.bands.SENSORS`.
            previews: Read the 3-band previews ``<location>/<scene id>.tif`` as R, G, B.
            size: Side in pixels of a centred window to read, or None for the whole image.
            resampling: How coarser bands are brought to the finest grid, a
                :class:`rasterio.enums.Resampling` by name.
            max_nodata: Largest share of a band that may carry the nodata value of its file.
            on_missing: Refuse scenes that lack a band and places that have too few dates, or
                drop them; what is dropped is kept in :attr:`dropped`.
            cache: Keep every image in memory once read, for archives that fit there. Each
                worker keeps its own; archives that are read alike, one after the other, share it.
            transforms: Transform of a sample.

        Raises:
            FileNotFoundError: If *root* is missing.
            ValueError: If an argument is out of range, a band is unknown, no place is found,
                or something is missing.
        """
        self.root = root
        self.sensor = known_sensor('rgb' if previews else sensor)
        self.item = one_of('item', item, get_args(Item))
        self.year_rule = one_of('year_rule', year_rule, get_args(YearRule))
        self.same_season = same_season
        self.other_dates = one_of('other_dates', other_dates, get_args(OtherDates))
        self.previews = previews
        self.size = size
        self.resampling = one_of('resampling', resampling, [r.name for r in Resampling])
        self.max_nodata = max_nodata
        self.transforms = transforms
        self._dtype: np.dtype | None = None
        self._cache: dict[tuple[object, ...], Tensor] | None = None
        self._cached: dict[tuple[str, int], tuple[object, ...]] = {}
        if not 0 <= max_nodata <= 1:
            raise ValueError(f'max_nodata is a share from 0 to 1, got {max_nodata}')
        if not isinstance(dates, int) or dates < 1:
            raise ValueError(f'dates must be a whole number of at least 1, got {dates!r}')
        self.dates = dates
        self.locations, self.passed_over = read_layout(root, self.sensor, previews)
        self.bands = self._readable_bands(bands)
        #: Names of all places, also of those left out.
        self.listed = [place.name for place in self.locations]
        #: Scenes and places left out, with the reason.
        self.locations, self.dropped = complete_places(
            self.locations, () if previews else self.bands, self._too_few_dates
        )
        drop = one_of('on_missing', on_missing, ('error', 'drop')) == 'drop'
        if self.dropped and not (drop and self.locations):
            raise ValueError(f'{root} is incomplete: {_listed(self.dropped)}')
        if cache:
            options = (self.sensor.name, self.bands, previews, size, resampling, max_nodata)
            self._cache = _images_in_memory(os.path.abspath(root), *options)
        self.location_index = {place.name: i for i, place in enumerate(self.locations)}
        self.classes, self.labels = read_labels(root, self.location_index)
        self.shape = self._read_shape()
        self._index = self._read_index()

    def subset(
        self, locations: Sequence[str], dates: int | None = None, item: Item | None = None
    ) -> 'SeasonalArchive':
        """The same archive with some of its places only.

        Args:
            locations: Names of the places.
            dates: As at construction, or None to keep it.
            item: As at construction, or None to keep it.

        Returns:
            An archive that shares the listing; ``location`` in samples keeps its meaning.
        """
        part = copy.copy(self)
        wanted = set(locations)
        part.locations = [place for place in self.locations if place.name in wanted]
        part.dates = dates or self.dates
        part.item = item or self.item
        part._index = part._read_index()
        return part

    def __len__(self) -> int:
        """Number of items."""
        return len(self._index)

    def __getitem__(self, index: int | Draw) -> Sample:
        """Stored numbers of one place at one or several dates.

        Args:
            index: Position of the item; or with the epoch, which other dates depend on.

        Returns:
            ``image`` (T, C, H, W) as stored; ``location`` its number in the archive;
            ``date`` (T) as yyyymmdd; ``label``, -1 where unknown, if there are labels. Of years,
            ``image`` is (2, T, C, H, W) and ``date`` (2, T), the older year first.

        Raises:
            IndexError: If *index* is out of range.
            BandFileError: If a file cannot be read; the message names it.
        """
        position, epoch = index if isinstance(index, tuple) else (index, 0)
        if not -len(self) <= position < len(self):
            raise IndexError(f'item {position} of an archive with {len(self)} items')
        place, anchor = self._index[position]
        location = self.locations[place]
        years = self._drawn(location, anchor, epoch)
        sample: Sample = {
            'image': torch.stack([self._stacked(location, scenes) for scenes in years]),
            'location': torch.tensor(self.location_index[location.name]),
            'date': torch.tensor(
                [[_as_number(location.scenes[scene].date) for scene in scenes] for scenes in years]
            ),
        }
        if self.item != 'years':
            sample |= {name: sample[name][0] for name in ('image', 'date')}
        if self.classes:
            sample['label'] = torch.tensor(self.labels.get(location.name, -1))
        return sample if self.transforms is None else self.transforms(sample)

    def read_scene(self, location: Location, scene: int) -> Tensor:
        """Stored numbers of one date of a place.

        Args:
            location: The place.
            scene: Position of the date among its scenes.

        Returns:
            Tensor (C, H, W).

        Raises:
            BandFileError: If a file cannot be read or has another size than the archive.
        """
        if self._cache is None:
            return self._read_files(location, scene)
        known = (location.name, scene)
        if known not in self._cached:
            # Files that were written anew since another archive read them are other images.
            paths = self.band_paths(location, scene)
            times = [os.stat(path).st_mtime_ns for path in paths if os.path.exists(path)]
            self._cached[known] = (location.name, location.scenes[scene].name, *times)
        key = self._cached[known]
        if key not in self._cache:
            self._cache[key] = self._read_files(location, scene)
        image = self._cache[key]
        self._require_dtype(self.band_paths(location, scene)[0], image.numpy().dtype)
        return image

    def _read_files(self, location: Location, scene: int) -> Tensor:
        """One date of a place from its files."""
        paths = self.band_paths(location, scene)
        finest = min(range(len(paths)), key=lambda i: self.sensor.bands[self.bands[i]])
        if self.previews:
            image = read_bands(paths[0], count=3, max_nodata=self.max_nodata)
            image = image[band_index(list(self.sensor.bands), self.bands)]
            self._require_dtype(paths[0], image.dtype)
        else:
            grid = read_bands(paths[finest], max_nodata=self.max_nodata)
            shape = (grid.shape[-2], grid.shape[-1])
            images = []
            for i, path in enumerate(paths):
                band = grid
                if i != finest:
                    band = read_bands(path, 1, shape, self.resampling, self.max_nodata)
                self._require_dtype(path, band.dtype)
                images.append(band)
            image = np.concatenate(images)
        return torch.from_numpy(np.ascontiguousarray(self._window(image, paths[finest])))

    def band_paths(self, location: Location, scene: int) -> list[str]:
        """Files of one date of a place, one a band, or the preview."""
        name, _, files = location.scenes[scene]
        folder = os.path.join(self.root, location.name, name)
        return [folder] if self.previews else [os.path.join(folder, files[b]) for b in self.bands]

    def two_years(self, location: Location) -> tuple[list[int], list[int]] | None:
        """Scenes of two years of a place, by the rule of the archive.

        Args:
            location: The place.

        Returns:
            Positions among its scenes, the older year first; or None if there are no such two.
        """
        needed = self.dates if self.item == 'years' else 1
        return two_years(location, needed, self.year_rule)

    def plot(self, sample: Sample, show_titles: bool = True, suptitle: str | None = None) -> Figure:
        """Plot the dates of a sample in natural colour.

        Args:
            sample: A sample returned by :meth:`__getitem__`.
            show_titles: Whether to write the date above each panel.
            suptitle: Title of the figure.

        Returns:
            The figure.

        Raises:
            RGBBandsMissingError: If the bands of natural colour were not read.
        """
        rgb = self.sensor.groups['natural_color']
        try:
            channels = band_index(self.bands, rgb)
        except ValueError as error:
            raise RGBBandsMissingError() from error
        images = sample['image'].float()[..., channels, :, :].flatten(0, -4)
        days = sample['date'].reshape(-1).tolist()
        figure, axes = plt.subplots(ncols=len(images), squeeze=False, figsize=(3 * len(images), 3))
        for axis, image, day in zip(axes[0], images, days, strict=True):
            axis.imshow(quantile_normalization(image).permute(1, 2, 0).numpy())
            axis.axis('off')
            if show_titles:
                axis.set_title(f'{day // 10000}-{day // 100 % 100:02d}-{day % 100:02d}')
        if suptitle is not None:
            figure.suptitle(suptitle)
        return figure

    def _readable_bands(self, bands: Sequence[str] | None) -> tuple[str, ...]:
        """Bands asked for, or all bands of the archive in the order of the sensor."""
        if self.previews:
            return band_names(bands or tuple(self.sensor.bands), self.sensor)
        present: set[str] = set()
        # Listings are shared between scenes, so there are few distinct ones.
        for files in {id(s.files): s.files for p in self.locations for s in p.scenes}.values():
            present.update(files)
        if bands is None:
            return tuple(band for band in self.sensor.bands if band in present)
        wanted = band_names(bands, self.sensor)
        absent = [band for band in wanted if band not in present]
        if absent:
            raise ValueError(
                f'{self.root} has no file of band {", ".join(absent)}; it has '
                f'{", ".join(band for band in self.sensor.bands if band in present)}'
            )
        return wanted

    def _read_shape(self) -> tuple[int, int]:
        """Height and width of every image, after the window."""
        self.shape = (0, 0)
        image = self.read_scene(self.locations[0], 0)
        #: Type of the stored numbers.
        self.dtype = image.dtype
        return (image.shape[-2], image.shape[-1])

    def _require_dtype(self, path: str, dtype: np.dtype) -> None:
        """Refuse what would take its unit of reflectance from other files."""
        self._dtype = self._dtype or dtype
        if dtype != self._dtype:
            raise BandFileError(
                f'{path} holds {dtype}, the first file of the archive {self._dtype}; '
                'store all in one type and unit'
            )

    def _window(self, image: np.ndarray, path: str) -> np.ndarray:
        """Centred window, of the one size that all images of the archive share."""
        if self.size is not None:
            height, width = image.shape[-2:]
            if self.size < 1 or self.size > min(height, width):
                raise BandFileError(
                    f'{path} is {width} x {height} px, too small for a window of size={self.size}'
                )
            top, left = (height - self.size) // 2, (width - self.size) // 2
            image = image[..., top : top + self.size, left : left + self.size]
        if self.shape != (0, 0) and image.shape[-2:] != self.shape:
            raise BandFileError(
                f'{path} is {image.shape[-1]} x {image.shape[-2]} px, the first image of the archive '
                f'{self.shape[1]} x {self.shape[0]} px; set size to a window that all images have'
            )
        return image

    def _read_index(self) -> list[tuple[int, int]]:
        """Place and first date of every item; the date is -1 where it is drawn."""
        if self.item != 'date':
            index = [(place, -1) for place in range(len(self.locations))]
        else:
            index = [
                (place, scene)
                for place, location in enumerate(self.locations)
                for scene in range(len(location.scenes))
            ]
        return index

    def _too_few_dates(self, location: Location) -> str | None:
        """Why a place cannot give a sample, or None if it can."""
        return too_few_dates(location, self.dates, self.item, self.other_dates, self.year_rule)

    def _drawn(self, location: Location, anchor: int, epoch: int) -> list[list[int]]:
        """Scenes of an item, by year if it has several."""
        number = self.location_index[location.name]
        generator = np.random.default_rng(mixed_seed(run_seed(), epoch, number, anchor + 1))
        if self.item != 'years':
            return [drawn_dates(location, anchor, self.dates, self.other_dates, generator)]
        years = self.two_years(location)
        if years is None:
            # Of a part that was asked for more dates than the whole.
            raise ValueError(
                f'{self._too_few_dates(location)}; ask for fewer dates, or leave it out'
            )
        return drawn_years(location, years, self.dates, self.same_season, generator)

    def _stacked(self, location: Location, scenes: Sequence[int]) -> Tensor:
        """Stored numbers of several dates of a place, (T, C, H, W)."""
        return torch.stack([self.read_scene(location, scene) for scene in scenes])


@lru_cache(maxsize=1)
def _images_in_memory(*archive: object) -> dict[tuple[object, ...], Tensor]:
    """Images of the archive that was last opened, by place, scene and time of its files."""
    return {}


def _as_number(day: date) -> int:
    """A day as yyyymmdd."""
    return day.year * 10000 + day.month * 100 + day.day


def _listed(dropped: list[str]) -> str:
    """The first of what is missing, their number, and the remedy."""
    more = f' and {len(dropped) - _LISTED} more' if len(dropped) > _LISTED else ''
    return (
        f'{"; ".join(dropped[:_LISTED])}{more}. Complete it, ask for fewer bands or dates, or set '
        "on_missing='drop' to leave these out"
    )
