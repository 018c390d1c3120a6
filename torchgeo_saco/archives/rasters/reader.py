# Copyright (c) torchgeo_saco Contributors. All rights reserved.
# Licensed under the MIT License.

"""Cells of rasters as the locations of an archive."""

import datetime
import re
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import shapely
from pyproj import CRS
from rasterio.transform import from_origin
from rasterio.warp import transform_geom
from shapely.geometry.base import BaseGeometry
from torchgeo.datasets import GeoDataset

from ...io.georeference import Georeference
from ...io.raster import BandFileError
from ...runtime.checks import check_range
from ..labels import read_labels
from ..layout import UNDATED, Location, Scene, complete_locations
from ..listing import Locations, TreeListing
from ..readers import ArchiveReader, DateRule, ReadOptions
from .dataset import UNKNOWN_DATE, ProductRasters, laid_over
from .finding import Naming
from .grid import WorldGrid, phase_of

# Side of a cell where none is asked for, and samples of a mask along it that tell its share.
_SIZE, _SAMPLES = 256, 32


@dataclass
class CellOptions:
    """How rasters are found and cut into cells.

    Args:
        max_masked: Largest share of a cell that may be cloud, shadow or without data; dates beyond
            it are left out.
        bands_in_file: Bands of multi-band files in their order, or None to take them from their
            descriptions.
        date_regex: Regular expression with a group ``date``, or None to find dates alone.
        undated: Take files without a date as of one unknown date.
        crs: Coordinate system to warp to, or None for that of most rasters.
        res: Size of a pixel in its units, or None for that of most rasters.
        dataset: Class path of a GeoDataset of TorchGeo to read in place of products, such as
            ``torchgeo.datasets.Sentinel2``; set *sensor* with it.
        dataset_args: Its arguments; ``paths`` is the root.
    """

    max_masked: float = 0.1
    bands_in_file: list[str] | None = None
    date_regex: str | None = None
    undated: bool = False
    crs: str | None = None
    res: float | None = None
    dataset: str | None = None
    dataset_args: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Refuse values that are out of range."""
        check_range('max_masked', self.max_masked, '[0, 1)')
        check_range('res', self.res, '(0, inf) or None')
        if self.date_regex is not None:
            try:
                known = re.compile(self.date_regex).groupindex
            except re.error as error:
                raise ValueError(
                    f'date_regex {self.date_regex!r} is no regular expression ({error})'
                ) from error
            if 'date' not in known:
                raise ValueError(
                    f'date_regex {self.date_regex!r} has no group (?P<date>...); name one'
                )


class RasterReader(ArchiveReader):
    """Cells of a grid that is fixed to the Earth, and their dates in rasters on disk."""

    def __init__(
        self,
        root: str,
        bands: Sequence[str] | None,
        form: ReadOptions,
        sensor: str | None,
        on_missing: Any,
        options: CellOptions,
    ) -> None:
        """Initialize a new RasterReader instance.

        Args:
            root: Folder of the rasters.
            bands: Bands to read, or None for all.
            form: How images are read; its size is that of a cell.
            sensor: Sensor, or None for that of the products.
            on_missing: Whether products that lack a band are refused or dropped.
            options: How rasters are found and cut.

        Raises:
            FileNotFoundError: If the folder is missing.
            ValueError: If no raster is found, or no cell is seen.
        """
        self.root, self.options = root, options
        self.size = form.size or _SIZE
        naming = Naming(sensor, options.bands_in_file, options.date_regex, options.undated)
        crs = None if options.crs is None else CRS.from_user_input(options.crs)
        self.dataset: GeoDataset
        self.notes: list[str]
        if options.dataset is None:
            rasters = ProductRasters(
                root, crs, options.res, bands, naming=naming, resampling=form.resampling,
                on_missing=on_missing,
            )  # fmt: skip
            self.dataset, self.grid, self.sensor = rasters, rasters.grid, rasters.sensor_name
            self.bands, self.notes = tuple(rasters.all_bands), list(rasters.notes)
            self.scale, self.certain = rasters.scale, rasters.certain
            self.dtype = rasters.number_type
        else:
            from .geodataset import open_geodataset

            self.dataset, self.bands = open_geodataset(root, options, bands, sensor, crs)
            if not options.undated:
                _require_dates(self.dataset, options.dataset)
            self.sensor, self.notes, self.dtype = str(sensor), [], np.dtype('float32')
            xs, ys, _ = self.dataset.bounds
            res = (float(xs.step), float(ys.step))
            corner = from_origin(xs.start, ys.stop, *res)
            self.grid = WorldGrid(self.dataset.crs, res, phase_of(corner, res))
        self.shape = (self.size, self.size)
        self._cells: dict[str, tuple[int, int]] = {}
        self._locations = self._seen_cells()
        self.single_date = all(len(location.scenes) < 2 for location in self._locations)
        self.listed = pa.array([location.name for location in self._locations], pa.string())

    def complete(self, rule: DateRule) -> tuple[Locations, Sequence[str]]:
        """See :meth:`ArchiveReader.complete`."""
        kept, skipped = complete_locations(self._locations, (), rule.lacking)
        return Locations(TreeListing(kept)), skipped

    def labels(self, locations: Locations, strict: bool = False) -> tuple[list[str], np.ndarray]:
        """See :meth:`ArchiveReader.labels`."""
        names = locations.names.to_pylist()
        classes, known = read_labels(self.root, set(names))
        return classes, np.array([known.get(name, -1) for name in names], np.int32)

    def fill(self, location: Location, scenes: Sequence[int], images: np.ndarray) -> None:
        """See :meth:`ArchiveReader.fill`."""
        for scene, image in zip(scenes, images, strict=True):
            image[...], _ = self._day(location, location.days[scene], self.grid.res)

    def key(self, location: Location, scene: int) -> tuple[object, ...]:
        """Cell and day."""
        return location.name, location.days[scene]

    def footprint(self, location: Location) -> BaseGeometry | None:
        """Ground of a cell."""
        box = shapely.box(*self._bounds(location))
        return shapely.geometry.shape(transform_geom(self.grid.crs, 'EPSG:4326', box))

    def georeference(self, location: Location) -> Georeference:
        """Where the pixels of a cell lie."""
        west, _, _, north = self._bounds(location)
        (a, e) = self.grid.res
        return Georeference(self.grid.crs.to_wkt(), (a, 0.0, west, 0.0, -e, north))

    def _bounds(self, location: Location) -> tuple[float, float, float, float]:
        """West, south, east and north of a cell."""
        return self.grid.bounds(*self._cells[location.name], self.size)

    def _day(
        self, location: Location, day: datetime.date, res: tuple[float, float]
    ) -> tuple[np.ndarray, np.ndarray]:
        """Image of a cell on a day, and where it has data."""
        west, south, east, north = self._bounds(location)
        start, stop = _interval(day)
        try:
            sample = self.dataset[
                slice(west, east, res[0]), slice(south, north, res[1]), slice(start, stop, 1)
            ]
        except IndexError as error:
            raise BandFileError(f'{location.name} has no raster of {day}') from error
        images = sample['image'].numpy()
        images = images if images.ndim == 4 else images[None]
        if 'valid' in sample:
            valid = sample['valid'].numpy()
            valid = valid if valid.ndim == 3 else valid[None]
        else:
            valid = np.isfinite(images).all(1) & (images != 0).any(1)
        fill = getattr(self.dataset, 'fill_value', 0)
        return laid_over(images, valid, images.dtype.type(fill))

    def _seen_cells(self) -> list[Location]:
        """Cells with the days on which enough of them is seen."""
        index = self.dataset.index
        dates: dict[tuple[int, int], dict[datetime.date, str]] = defaultdict(dict)
        masked = considered = 0
        starts = index.index.left
        for start in sorted(set(starts)):
            chosen = index.iloc[np.flatnonzero(starts == start)]
            day = _day_of(start)
            shown: dict[tuple[int, int], np.ndarray] = {}
            names: dict[tuple[int, int], str] = {}
            for name, outline in zip(_names(chosen), chosen.geometry, strict=True):
                for cell, seen in self._scan(name, outline, start):
                    shown[cell] = shown[cell] | seen if cell in shown else seen
                    names.setdefault(cell, name)
            for cell, seen in shown.items():
                considered += 1
                if 1 - seen.mean() <= self.options.max_masked + 1e-9:
                    dates[cell][day] = names[cell]
                else:
                    masked += 1
        if not dates:
            raise ValueError(
                f'{self.root} shows no cell of {self.size} x {self.size} px by at least '
                f'{1 - self.options.max_masked:.0%} without cloud; lower size, or raise max_masked '
                f'({considered} dates of cells were looked at)'
            )
        if masked:
            self.notes.append(
                f'{masked} of {considered} dates of cells are left out, as more than '
                f'{self.options.max_masked:.0%} of them is cloud or has no data'
            )
        locations = []
        for cell, days in dates.items():
            name = self.grid.cell_name(*cell)
            self._cells[name] = cell
            scenes = [Scene(days[day], day, {}) for day in sorted(days)]
            locations.append(Location(name, scenes))
        return sorted(locations, key=lambda location: location.name)

    def _scan(self, name: str, outline: BaseGeometry, start: Any) -> Any:
        """Cells that a raster touches, each with samples of where the ground is seen."""
        cells = list(self.grid.cells(outline.bounds, self.size))
        if not cells:
            return
        samples = min(_SAMPLES, self.size)
        res = tuple(side * self.size / samples for side in self.grid.res)
        columns, rows = ([cell[axis] for cell in cells] for axis in (0, 1))
        west, south, _, _ = self.grid.bounds(min(columns), min(rows), self.size)
        _, _, east, north = self.grid.bounds(max(columns), max(rows), self.size)
        if isinstance(self.dataset, ProductRasters):
            seen = self.dataset.read_mask(name, (west, south, east, north), (res[0], res[1]))
        else:
            seen = _seen_by_values(self.dataset, (west, south, east, north), res, start)
        height = len(seen)
        for column, row in cells:
            top = height - (row - min(rows) + 1) * samples
            left = (column - min(columns)) * samples
            part = seen[top : top + samples, left : left + samples]
            if part.any():
                yield (column, row), part


def _seen_by_values(
    dataset: GeoDataset, area: tuple[float, float, float, float], res: Any, start: Any
) -> np.ndarray:
    """Where any dataset has numbers other than 0."""
    west, south, east, north = area
    stop = start + pd.Timedelta(days=1, microseconds=-1)
    sample = dataset[slice(west, east, res[0]), slice(south, north, res[1]), slice(start, stop, 1)]
    image = sample['image'].numpy()
    image = image if image.ndim == 4 else image[None]
    seen: np.ndarray = (np.isfinite(image).all(1) & (image != 0).any(1)).any(0)
    return seen


def _require_dates(dataset: GeoDataset, path: str) -> None:
    """Refuse files that a dataset of TorchGeo finds no date for."""
    undated = _names(dataset.index[dataset.index.index.left == pd.Timestamp.min])
    if undated:
        more = f' and {len(undated) - 1} more' if len(undated) > 1 else ''
        raise ValueError(
            f'{path} finds no date in the name of {undated[0]}{more}; give a subclass whose '
            'filename_regex has a group (?P<date>...), or set undated=True to take such files as '
            'of one unknown date'
        )


def _names(index: Any) -> list[str]:
    """Names of the rasters of an index."""
    return list(index['filepath']) if 'filepath' in index else ['raster'] * len(index)


def _interval(day: datetime.date) -> tuple[pd.Timestamp, pd.Timestamp]:
    """Begin and end of a day as TorchGeo indexes it."""
    start = UNKNOWN_DATE if day == UNDATED else pd.Timestamp(day)
    return start, start + pd.Timedelta(days=1, microseconds=-1)


def _day_of(start: Any) -> datetime.date:
    """Day of an index, unknown where it is that of no date."""
    return UNDATED if start in (UNKNOWN_DATE, pd.Timestamp.min) else start.date()
