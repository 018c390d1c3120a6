# Copyright (c) torchgeo_saco Contributors. All rights reserved.
# Licensed under the MIT License.

"""Opening of an archive: its reader, and the locations that are complete."""

from collections.abc import Sequence
from typing import Literal, NamedTuple

import numpy as np
from rasterio.enums import Resampling
from torchgeo.datasets.utils import Path

from ..bands import Sensor, known_sensor
from ..runtime.checks import check_choice
from .geotiff import GeoTIFFReader
from .listing import Locations
from .readers import ArchiveReader, DateRule, ReadOptions
from .store import is_store
from .zarr import ZarrReader

_LISTED = 20


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


def read_options(
    sensor: Sensor, previews: bool, size: int | None, resampling: str, max_nodata: float
) -> ReadOptions:
    """Check how images are to be read.

    Args:
        sensor: Sensor of the bands.
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
    if not 0 <= max_nodata <= 1:
        raise ValueError(f'max_nodata is a share from 0 to 1, got {max_nodata}')
    return ReadOptions(
        known_sensor('rgb') if previews else sensor, previews, size, resampling, max_nodata
    )


def open_archive(
    root: Path,
    bands: Sequence[str] | None,
    options: ReadOptions,
    rule: DateRule,
    on_missing: Literal['error', 'drop'],
) -> OpenArchive:
    """List an archive, and learn size and type of its images from the first.

    Args:
        root: Folder of the locations; or folder or URL of a store of them.
        bands: Bands to read, in any spelling, or None for all that are there.
        options: How images are read.
        rule: Dates that a location must have.
        on_missing: Whether what lacks a band or dates is refused or skipped.

    Returns:
        The archive.

    Raises:
        FileNotFoundError: If *root* is missing.
        ValueError: If a band is unknown, no location is found, or something is missing.
    """
    drop = check_choice('on_missing', on_missing, ('error', 'drop')) == 'drop'
    reader = ZarrReader if is_store(root) else GeoTIFFReader
    source: ArchiveReader = reader(root, bands, options)
    locations, skipped = source.complete(rule)
    if skipped and not (drop and locations):
        more = f' and {len(skipped) - _LISTED} more' if len(skipped) > _LISTED else ''
        raise ValueError(
            f'{root} is incomplete: {"; ".join(skipped[:_LISTED])}{more}. Complete it, ask for '
            "fewer bands or dates, or set on_missing='drop' to skip these"
        )
    classes, label_numbers = source.labels(locations)
    source.open_images(locations[0])
    return OpenArchive(source, locations, skipped, classes, label_numbers)
