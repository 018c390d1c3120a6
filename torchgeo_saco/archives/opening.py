# Copyright (c) torchgeo_saco Contributors. All rights reserved.
# Licensed under the MIT License.

"""Opening of an archive: its reader, and the locations that are complete."""

import os
from collections.abc import Sequence
from typing import Literal, NamedTuple

import numpy as np
from affine import Affine
from rasterio.crs import CRS
from rasterio.enums import Resampling
from torchgeo.datasets.utils import Path

from ..bands import known_sensor
from ..io.georeference import pixel_sides
from ..runtime.checks import check_choice, check_range
from .geotiff import GeoTIFFReader
from .layout import LayoutError, Location
from .layouts import find_layout
from .layouts.registry import DEFAULT_SENSOR
from .listing import Locations, spread_dates
from .rasters import CellOptions, RasterReader
from .readers import ArchiveReader, DateRule, ReadOptions
from .store import is_store
from .survey import describe_folder
from .validity import valid_locations
from .zarr import ZarrReader

_LISTED = 20

# Dates, spread over the archive, whose headers are looked at.
_GROUNDS = 32

# Sensors by the beginning of the names of their scenes.
_LANDSAT = {
    'LC08_': 'landsat_8_9', 'LC09_': 'landsat_8_9', 'LO08_': 'landsat_8_9', 'LO09_': 'landsat_8_9',
    'LE07_': 'landsat_4_7', 'LT05_': 'landsat_4_7', 'LT04_': 'landsat_4_7',
}  # fmt: skip

# How much coarser pixels may be than those of the sensor.
_COARSER = 1.9


class OpenArchive(NamedTuple):
    """An archive whose locations are listed."""

    #: Reads listing and images.
    source: ArchiveReader

    #: Locations with enough dates and all bands.
    locations: Locations

    #: A clause for each scene and location that is skipped.
    skipped: Sequence[str]

    #: Names of the classes.
    classes: list[str]

    #: Class of each location, -1 where it has none.
    label_numbers: np.ndarray

    #: Sensor of the bands, by name.
    sensor: str


def read_options(
    previews: bool, size: int | None, resampling: str, max_nodata: float
) -> ReadOptions:
    """Check how images are to be read; the sensor is set when the archive is opened.

    Args:
        previews: Whether 3-band previews are read in place of band files.
        size: Side in pixels of a centred window, or None for the whole image.
        resampling: How coarser bands are brought to the finest grid.
        max_nodata: Largest share of nodata in a band.

    Returns:
        The options.

    Raises:
        ValueError: If one is out of range.
    """
    check_choice('resampling', resampling, [r.name for r in Resampling])
    check_range('max_nodata', max_nodata, '[0, 1]')
    check_range('size', size, 'int [1, inf) or None')
    sensor = known_sensor('rgb' if previews else DEFAULT_SENSOR)
    return ReadOptions(sensor, previews, size, resampling, max_nodata)


def open_archive(
    root: Path,
    bands: Sequence[str] | None,
    options: ReadOptions,
    rule: DateRule,
    on_missing: Literal['error', 'drop'],
    sensor: str | None = None,
    layout: str | None = None,
    cells: CellOptions | None = None,
    on_invalid: Literal['error', 'drop'] | None = None,
) -> OpenArchive:
    """List an archive, and learn size and type of its images from the first.

    Args:
        root: Folder of the locations; or folder or URL of a store of them.
        bands: Bands to read, in any spelling, or None for all that are there.
        options: How images are read.
        rule: Dates that a location must have.
        on_missing: Whether what lacks a band or dates is refused or skipped.
        sensor: Sensor of the bands by name, or None for that of the layout.
        layout: A key of :data:`~torchgeo_saco.archives.layouts.LAYOUTS`, ``rasters``, or None to
            choose one by looking at the folder.
        cells: How rasters are cut into locations.
        on_invalid: Read every image now, and refuse together or leave out dates without usable
            values; or None to refuse each where it is read. Stores were looked at when packed.

    Returns:
        The archive.

    Raises:
        FileNotFoundError: If *root* is missing.
        ValueError: If a band is unknown, no location is found, or something is missing.
    """
    given = sensor
    drop = check_choice('on_missing', on_missing, ('error', 'drop')) == 'drop'
    if on_invalid is not None:
        check_choice('on_invalid', on_invalid, ('error', 'drop'))
    if layout == 'rasters':
        source, sensor = _open_rasters(root, bands, options, sensor, on_missing, cells)
    elif cells is not None:
        raise ValueError('cells are of rasters; set layout=rasters, or leave out cells')
    else:
        source, sensor = _open_source(root, bands, options, sensor, layout)
    locations, skipped = source.complete(rule)
    if not locations and source.single_date and (rule.dates > 1 or rule.item == 'years'):
        raise ValueError(_single_date(root, rule))
    if skipped and not (drop and locations):
        more = f' and {len(skipped) - _LISTED} more' if len(skipped) > _LISTED else ''
        raise ValueError(
            f'{root} is incomplete: {"; ".join(skipped[:_LISTED])}{more}. Complete it, ask for '
            "fewer bands or dates, or set on_missing='drop' to skip these"
        )
    if on_invalid is not None and not isinstance(source, ZarrReader):
        locations, invalid = valid_locations(source, locations, rule, on_invalid == 'drop')
        skipped = [*skipped, *invalid]
    classes, label_numbers = source.labels(locations, strict=not drop)
    source.open_images(locations[0])
    for location, scene in spread_dates(locations, _GROUNDS):
        source.require_ground(location, scene)
        _require_sensor(source, location, scene, sensor, given)
    return OpenArchive(source, locations, skipped, classes, label_numbers, sensor)


def _require_sensor(
    source: ArchiveReader, location: Location, scene: int, sensor: str, given: str | None
) -> None:
    """Refuse images of Landsat that would be read as those of Sentinel-2."""
    if not sensor.startswith('sentinel2') or not isinstance(source, GeoTIFFReader):
        return
    name, known = location.scenes[scene].name, known_sensor(sensor)
    landsat = _LANDSAT.get(name[:5].upper())
    if landsat is not None:
        raise ValueError(
            f'{source.root}: {location.name}/{name} is named as a scene of Landsat, and would be '
            f'read as {known.name}; set sensor to {landsat}'
        )
    found = None if given is not None or scene else source.georeference(location)
    if found is None:
        return
    side = max(pixel_sides(CRS.from_wkt(found.crs), Affine(*found.transform), 0, 0))
    finest = min(known.bands[band] for band in source.bands)
    if side > _COARSER * finest:
        raise ValueError(
            f'{source.root}: pixels of {location.name} are {side:.0f} m wide, those of '
            f'{known.name} {finest:.0f} m; set sensor to that of the images, such as landsat_8_9, '
            f'or to {sensor} if they were made coarser'
        )


def _open_rasters(
    root: Path,
    bands: Sequence[str] | None,
    options: ReadOptions,
    sensor: str | None,
    on_missing: Literal['error', 'drop'],
    cells: CellOptions | None,
) -> tuple[ArchiveReader, str]:
    """Reader of cells of rasters, and its sensor by name."""
    if options.previews or options.max_nodata:
        name, remedy = ('previews', '') if options.previews else ('max_nodata', 'cells.max_masked')
        raise ValueError(
            f'rasters have no {name}; leave it out' + (f' and set {remedy}' if remedy else '')
        )
    if sensor is not None:
        known_sensor(sensor)
    reader = RasterReader(
        os.fspath(root), bands, options, sensor, on_missing, cells or CellOptions()
    )
    return reader, reader.sensor


def _open_source(
    root: Path,
    bands: Sequence[str] | None,
    options: ReadOptions,
    sensor: str | None,
    layout: str | None,
) -> tuple[ArchiveReader, str]:
    """Reader of an archive, and its sensor by name."""
    if options.previews:
        sensor, layout = None, layout or 'previews'
        if layout != 'previews':
            raise ValueError(f'previews=True has a layout of its own; leave out layout={layout}')
    if is_store(root):
        if layout not in (None, 'previews'):
            raise ValueError(f'{root} is a store, which has no layout; leave out layout={layout}')
        name = 'rgb' if options.previews else sensor or DEFAULT_SENSOR
        return ZarrReader(root, bands, options._replace(sensor=known_sensor(name))), name
    found, name = find_layout(root, sensor, layout)
    options = options._replace(sensor=known_sensor(name))
    try:
        return GeoTIFFReader(found, bands, options), name
    except LayoutError as error:
        held = describe_folder(root, None if options.previews else options.sensor)
        raise LayoutError(f'{error}; it holds {held}') from error


def _single_date(root: Path, rule: DateRule) -> str:
    """Say how to train on locations of one date."""
    wanted = f'{rule.dates} in each of two years' if rule.item == 'years' else f'{rule.dates}'
    return (
        f'{root} has one date per location, and the samples asked for have {wanted}; train on it '
        'by a method that compares views of one date: MoCo with data.init_args.dates set to 1 '
        '(--config pretrain/moco.yaml in place of the other method)'
    )
