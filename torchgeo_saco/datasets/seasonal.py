# Copyright (c) torchgeo_saco Contributors. All rights reserved.
# Licensed under the MIT License.

"""Time series of satellite images, one folder a location, as SeCo and CACo store them."""

import copy
import os
from collections.abc import Callable, Mapping, Sequence
from datetime import date
from functools import cached_property
from typing import Any, Literal, get_args

import numpy as np
import torch
from matplotlib import pyplot as plt
from matplotlib.figure import Figure
from shapely.geometry.base import BaseGeometry
from torch import Tensor
from torchgeo.datasets import NonGeoDataset, RGBBandsMissingError
from torchgeo.datasets.utils import Path, Sample, quantile_normalization

from ..archives.dates import Item, OtherDates, YearRule, drawn_dates, drawn_years, two_years
from ..archives.layout import UNDATED, Location
from ..archives.opening import open_archive, read_options
from ..archives.rasters import CellOptions
from ..archives.readers import DateRule
from ..archives.store import is_store
from ..archives.values import require_plausible, require_plausible_decibel
from ..bands import known_sensor, natural_color
from ..runtime.checks import check_choice, check_range
from ..runtime.seeding import mixed_seed, run_seed
from ..samplers.collate import Batch, empty_images
from ..samplers.order import EpochIndex
from ..transforms.backscatter import Backscatter
from ..transforms.reflectance import Reflectance

# Cached properties that depend on the locations; dropped in parts and in pickles.
_CACHED = ('location_index', 'labels', '_ends')


class SeasonalArchive(NonGeoDataset):
    """Time series of satellite images, one folder a location.

    Reads trees of SeCo, CACo and your own, as they are on disk:
    ``<root>/<location>/<date or scene id>/<band>.tif``. Bands are found by name in any
    spelling, brought to the grid of the finest one, and stay the stored integers. Hidden
    entries and files that are no band are passed over. Reads as well what others have published
    in layouts of their own, which it tells by looking at the folder: SSL4EO-S12, patches of
    BigEarthNet, EuroSAT, and folders of 8-bit RGB images; see
    :data:`~torchgeo_saco.archives.layouts.LAYOUTS`. A store that ``torchgeo-saco pack`` made of
    such a tree, on a file system or at a URL, gives the same samples faster.

    A table ``<root>/labels.csv`` with columns ``location`` and ``label`` adds labels; of EuroSAT
    and RGB images folders are classes, and BigEarthNet has files of labels. They serve the
    evaluation; pre-training never sees them.

    Dataset features:

    * any number of locations and dates, in one or several years
    * 10, 20 and 60 m bands, unsigned 8- or 16-bit, or float
    * one date per location in BigEarthNet, EuroSAT and RGB images
    * one item per date (that date first, the others drawn), per location, or per location with
      two years of it

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
        sensor: str | None = None,
        previews: bool = False,
        size: int | None = None,
        resampling: str = 'bilinear',
        max_nodata: float = 0.0,
        on_missing: Literal['error', 'drop'] = 'error',
        cache: bool = False,
        transforms: Callable[[Sample], Sample] | None = None,
        layout: str | None = None,
        cells: CellOptions | None = None,
        time_axis: bool = True,
        on_invalid: Literal['error', 'drop'] | None = None,
    ) -> None:
        """Initialize a new SeasonalArchive instance.

        Args:
            root: Folder of the locations, or for published layouts the folder above it; or folder
                or URL of a store of them, such as ``s3://bucket/archive.zarr``.
            bands: Bands to read, in any spelling, or None for all that are there.
            dates: Dates of a location in one sample, or in each of its years.
            item: Whether every date is an item, or every location, or every location with two years
                of it as an axis.
            other_dates: Whether the dates drawn beside the first may lie anywhere, in the same
                calendar year, or in another one. Of ``years`` each has its own.
            year_rule: Which two years of a location, see
                :func:`~torchgeo_saco.archives.dates.two_years`.
            same_season: Whether dates of two years are of the same seasons, or drawn alone.
            sensor: Sensor, a key of :data:`torchgeo_saco.bands.SENSORS`, or None for that of the
                layout, else ``sentinel2_l1c``.
            previews: Read the 3-band previews ``<location>/<scene id>.tif`` as R, G, B.
            size: Side in pixels of a centred window to read, or None for the whole image.
            resampling: How coarser bands are brought to the finest grid, a
                :class:`rasterio.enums.Resampling` by name.
            max_nodata: Largest share of a band that may carry the nodata value of its file.
            on_missing: Refuse scenes that lack a band and locations that have too few dates, or
                drop them; what is skipped is kept in :attr:`skipped`.
            cache: Keep every image in memory once read, for archives that fit there. Each
                worker keeps its own; archives that are read alike, one after the other, share it.
            transforms: Transform of a sample.
            layout: Layout of the folder, a key of
                :data:`~torchgeo_saco.archives.layouts.LAYOUTS`, or None to tell it by looking.
                ``rasters``: scenes of Sentinel-2 or Landsat and other rasters as they lie on disk,
                cut into cells of *size* pixels, 256 by default.
            cells: How rasters are found and cut into cells.
            time_axis: Whether images have an axis of dates. Without it an image of one date is
                (C, H, W), as tasks of TorchGeo take it.
            on_invalid: Read every image once before training, in each process, and refuse together
                or drop the dates whose bands hold NaN, infinity or more nodata than *max_nodata*,
                or one number in all pixels of all bands (of one band alone, 0 or the least or
                largest of its type), and locations that have too few dates left;
                what is skipped is kept in :attr:`skipped`. That takes as long as an epoch of
                reading. None looks at no image before, and such a date ends the run where it is
                read. Not needed for stores, whose images were looked at when they were packed.

        Raises:
            FileNotFoundError: If *root* is missing.
            ValueError: If an argument is out of range, a band is unknown, no location is found,
                or something is missing.
        """
        self.root = root
        self.item = check_choice('item', item, get_args(Item))
        self.year_rule = check_choice('year_rule', year_rule, get_args(YearRule))
        self.same_season = same_season
        self.other_dates = check_choice('other_dates', other_dates, get_args(OtherDates))
        self.transforms = transforms
        check_range('dates', dates, 'int [1, inf)')
        if not time_axis and (dates > 1 or item == 'years'):
            raise ValueError(
                f'time_axis=False gives one date without an axis, got dates={dates}, item={item}; '
                'set dates to 1 and item to date or location'
            )
        self.dates = dates
        self.time_axis = time_axis
        options = read_options(previews, size, resampling, max_nodata)
        archive = open_archive(
            root, bands, options, self._rule, on_missing, sensor, layout, cells, on_invalid
        )
        #: Sensor of the bands, by name.
        self.sensor_name = archive.sensor
        self.sensor = known_sensor(archive.sensor)
        if max_nodata and archive.sensor == 'sentinel1':
            raise ValueError(
                f'{root} holds backscatter, where the 0 that stands for nodata is 0 dB; set '
                "max_nodata to 0 and on_invalid to 'drop'"
            )
        #: Reads listing and images.
        self.source = archive.source
        self.bands = archive.source.bands
        self.locations = archive.locations
        #: Scenes and locations that are skipped, with the reason.
        self.skipped = archive.skipped
        #: Class names, and the class of each location, -1 where it has none.
        self.classes, self.label_numbers = archive.classes, archive.label_numbers
        #: Whether a location has several labels; its label number is 0, and samples have labels
        #: where :meth:`part` asks for them.
        self.multilabel = archive.source.multilabel
        self._label_vectors = False
        if cache:
            path = root if is_store(root) else os.path.abspath(root)
            self.source.keep_images(path, self.sensor.name, self.bands, *options[1:])

    @property
    def shape(self) -> tuple[int, int]:
        """Height and width of every image, after the window."""
        return self.source.shape

    @cached_property
    def dtype(self) -> torch.dtype:
        """Type of the stored numbers."""
        return torch.from_numpy(np.empty(0, self.source.dtype)).dtype

    @property
    def skipped_files(self) -> Sequence[str]:
        """Names of files that are passed over."""
        return self.source.skipped_files

    @property
    def worker_context(self) -> str | None:
        """How a DataLoader is to start its workers, None for any way."""
        return self.source.worker_context

    @cached_property
    def location_index(self) -> Mapping[str, int]:
        """Number that samples give for a location, by its name."""
        return self._by_name(self.locations.numbers)

    @cached_property
    def labels(self) -> Mapping[str, int]:
        """Class of each location that has one, by its name."""
        known = {} if not self.classes else self._by_name(self.label_numbers)
        return {name: label for name, label in known.items() if label >= 0}

    def subset(
        self, locations: Sequence[str], dates: int | None = None, item: Item | None = None
    ) -> 'SeasonalArchive':
        """The same archive with some of its locations only.

        Args:
            locations: Names of the locations.
            dates: As at construction, or None to keep it.
            item: As at construction, or None to keep it.

        Returns:
            An archive that shares the listing; ``location`` in samples keeps its meaning.
        """
        return self.part(self.locations.named(locations), dates, item)

    def part(
        self,
        positions: np.ndarray,
        dates: int | None = None,
        item: Item | None = None,
        label_vectors: bool | None = None,
    ) -> 'SeasonalArchive':
        """The same archive with the locations at some positions only.

        Args:
            positions: Positions in ``locations``.
            dates: As at construction, or None to keep it.
            item: As at construction, or None to keep it.
            label_vectors: Whether samples hold several labels, which are read from a file each, or
                None to keep it.

        Returns:
            As of :meth:`subset`.
        """
        part = copy.copy(self)
        for name in _CACHED:
            vars(part).pop(name, None)
        part.locations = self.locations.part(positions)
        part.label_numbers = self.label_numbers[positions]
        part.dates = dates or self.dates
        part.item = item or self.item
        part._label_vectors = self._label_vectors if label_vectors is None else label_vectors
        return part

    def __len__(self) -> int:
        """Number of items."""
        if self._ends is None:
            return len(self.locations)
        return int(self._ends[-1]) if len(self._ends) else 0

    def __getitem__(self, index: int | EpochIndex) -> Sample:
        """Stored numbers of one location at one or several dates.

        Args:
            index: Position of the item; or with the epoch, which other dates depend on.

        Returns:
            ``image`` (T, C, H, W) as stored, or (C, H, W) without *time_axis*; ``location`` its
            number in the archive; ``date`` (T) as yyyymmdd, 0 where unknown; ``label``, -1 where
            unknown, if there are labels, or 0 or 1 for each class where locations have several and
            they are asked for.
            For two years, ``image`` is (2, T, C, H, W) and ``date`` (2, T), the older year first.

        Raises:
            IndexError: If *index* is out of range.
            BandFileError: If a file cannot be read; the message names it.
        """
        location, number, years = self._find_item(index)
        images = self.source.read_all(location, [scene for scenes in years for scene in scenes])
        return self._sample(location, number, years, images)

    def __getitems__(self, indices: Sequence[int | EpochIndex]) -> list[Sample]:
        """Samples of a batch, for a DataLoader; their images lie in one tensor.

        Args:
            indices: As for :meth:`__getitem__`.

        Returns:
            The samples.

        Raises:
            IndexError: If an index is out of range.
            BandFileError: If a file cannot be read; the message names it.
        """
        if self.source.keeps_images or self.transforms is not None or not indices:
            return [self[index] for index in indices]
        chosen = [self._find_item(index) for index in indices]
        scenes = [[scene for year in years for scene in year] for _, _, years in chosen]
        shape = (len(self.bands), *self.source.shape)
        images = empty_images((len(chosen), len(scenes[0]), *shape), self.source.dtype)
        locations = [location for location, _, _ in chosen]
        self.source.fill_each(list(zip(locations, scenes, images.numpy(), strict=True)))
        samples = [self._sample(*item, image) for item, image in zip(chosen, images, strict=True)]
        return Batch(samples, images.view(len(chosen), *samples[0]['image'].shape))

    def _find_item(self, index: int | EpochIndex) -> tuple[Location, int, list[list[int]]]:
        """Place of an item, its position among all, and its scenes by year."""
        position, epoch = index if isinstance(index, tuple) else (index, 0)
        if not -len(self) <= position < len(self):
            raise IndexError(f'item {position} of an archive with {len(self)} items')
        number, anchor = self._locate(position % len(self))
        location = self.locations[number]
        return (
            location,
            number,
            self._draw_scenes(location, int(self.locations.numbers[number]), anchor, epoch),
        )

    def _sample(
        self, location: Location, number: int, years: list[list[int]], images: Tensor
    ) -> Sample:
        """Sample of the images of an item, (T, C, H, W)."""
        days = [_as_number(location.days[scene]) for scenes in years for scene in scenes]
        of_dates = {'image': images, 'date': torch.tensor(days)}
        of_dates |= self._other_modalities(location, number, years)
        of_dates = {name: part.unflatten(0, (len(years), -1)) for name, part in of_dates.items()}
        if self.item != 'years':
            of_dates = {name: part[0] for name, part in of_dates.items()}
        if not self.time_axis and images.shape[0] == 1:
            of_dates = {name: part[0] for name, part in of_dates.items()}
        where = torch.tensor(int(self.locations.numbers[number]))
        sample: Sample = {**of_dates, 'location': where}
        if self.classes and self.multilabel:
            if self._label_vectors:
                sample['label'] = torch.from_numpy(self.source.multi_hot(location))
        elif self.classes:
            sample['label'] = torch.tensor(int(self.label_numbers[number]))
        return sample if self.transforms is None else self.transforms(sample)

    def _other_modalities(
        self, location: Location, number: int, years: list[list[int]]
    ) -> dict[str, Tensor]:
        """Images of other sensors at the dates of an item, by modality, each (T, C, H, W)."""
        return {}

    def read_scene(self, location: Location, scene: int) -> Tensor:
        """Stored numbers of one date of a location.

        Args:
            location: The location.
            scene: Position of the date among its scenes.

        Returns:
            Tensor (C, H, W).

        Raises:
            BandFileError: If a file cannot be read or has another size than the archive.
        """
        return self.source.read(location, scene)

    def reflectance(self, given: Reflectance) -> Reflectance | Backscatter:
        """Reflectance from stored numbers, by the scale that files say and the one that is given.

        Of Sentinel-1 it is backscatter, whose unit is the stored number of 1 dB. What metadata say
        cannot be contradicted; over what a name alone implies, such as a processing baseline, the
        given unit or offset counts.

        Args:
            given: Unit and offset as the user gives them.

        Returns:
            Reflectance of the images of this archive, or backscatter.

        Raises:
            ValueError: If the files contradict, or some dates, spread over the archive, are plainly
                no reflectance in that unit, or no backscatter in dB.
            BandFileError: If one of these cannot be read.
        """
        if self.sensor_name == 'sentinel1':
            if given.offset:
                raise ValueError(
                    f'{self.root} holds backscatter, which has no offset; leave it out'
                )
            require_plausible_decibel(self.source, self.locations)
            return Backscatter(given.unit)
        scale = self.source.scale
        if scale is not None and given.unit is None and not given.offset:
            given = Reflectance(scale.unit, scale.offset)
        elif scale is not None and self.source.certain:
            unit = scale.unit if given.unit is None else given.unit
            if not np.allclose((unit, given.offset), scale):
                raise ValueError(
                    f'{self.root} says that its numbers have unit {scale.unit:g} and offset '
                    f'{scale.offset:g}, and unit {unit:g} and offset {given.offset:g} are asked '
                    'for; leave out unit and offset'
                )
        is_given = given.unit is not None
        require_plausible(self.source, self.locations, given, is_given)
        return given

    def footprint(self, location: Location) -> BaseGeometry | None:
        """Ground of a location in longitude and latitude.

        Args:
            location: The location.

        Returns:
            Polygon in EPSG:4326, or None if its files are not georeferenced.

        Raises:
            BandFileError: If it cannot be read.
        """
        return self.source.footprint(location)

    def two_years(self, location: Location) -> tuple[list[int], list[int]] | None:
        """Scenes of two years of a location, by the rule of the archive.

        Args:
            location: The location.

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
        channels = natural_color(self.bands, self.sensor)
        if channels is None:
            raise RGBBandsMissingError()
        image = sample['image'].float()[..., channels, :, :]
        images = image[None] if image.ndim == 3 else image.flatten(0, -4)
        days = sample['date'].reshape(-1).tolist()
        figure, axes = plt.subplots(ncols=len(images), squeeze=False, figsize=(3 * len(images), 3))
        for axis, image, day in zip(axes[0], images, days, strict=True):
            axis.imshow(quantile_normalization(image).permute(1, 2, 0).numpy())
            axis.axis('off')
            if show_titles and day:
                axis.set_title(f'{day // 10000}-{day // 100 % 100:02d}-{day % 100:02d}')
        if suptitle is not None:
            figure.suptitle(suptitle)
        return figure

    @property
    def _rule(self) -> DateRule:
        """Which dates a location must have."""
        return DateRule(self.dates, self.item, self.other_dates, self.year_rule)

    def _by_name(self, numbers: np.ndarray) -> dict[str, int]:
        """Numbers of the locations by their names."""
        return dict(zip(self.locations.names.to_pylist(), numbers.tolist(), strict=True))

    def __getstate__(self) -> dict[str, Any]:
        """Drop cached properties when pickling."""
        return {name: value for name, value in vars(self).items() if name not in _CACHED}

    @cached_property
    def _ends(self) -> np.ndarray | None:
        """Items up to and with each location; None where every location is one."""
        if self.item != 'date':
            return None
        return np.cumsum(self.locations.counts, dtype=np.int64)

    def _locate(self, item: int) -> tuple[int, int]:
        """Place and first date of an item; the date is -1 where it is drawn."""
        if self._ends is None:
            return item, -1
        number = int(np.searchsorted(self._ends, item, 'right'))
        return number, item - int(self._ends[number] - self.locations.counts[number])

    def _draw_scenes(
        self, location: Location, number: int, anchor: int, epoch: int
    ) -> list[list[int]]:
        """Scenes of an item, by year if it has several."""
        generator = np.random.default_rng(mixed_seed(run_seed(), epoch, number, anchor + 1))
        if self.item != 'years':
            return [drawn_dates(location, anchor, self.dates, self.other_dates, generator)]
        years = self.two_years(location)
        if years is None:
            # Of a part that was asked for more dates than the whole.
            raise ValueError(
                f'{self._rule.lacking(location)}; ask for fewer dates, or leave it out'
            )
        return drawn_years(location, years, self.dates, self.same_season, generator)


def _as_number(day: date) -> int:
    """A day as yyyymmdd, 0 where it is unknown."""
    return 0 if day == UNDATED else day.year * 10000 + day.month * 100 + day.day
