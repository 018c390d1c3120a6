# Copyright (c) torchgeo_saco Contributors. All rights reserved.
# Licensed under the MIT License.

"""What a raster product says of itself: its date, sensor, bands, scale and mask."""

import datetime
import math
import os
import re
from collections.abc import Mapping
from typing import NamedTuple

from ...io.raster import BandFileError
from ..layout import scene_date
from ..readers import Scale

#: Classes of Sentinel-2's scene classification that hide the ground: nodata, saturated, cloud
#: shadow, cloud of medium and high probability, thin cirrus.
SCL_MASKED = (0, 1, 3, 8, 9, 10)

#: Bits of Landsat's QA_PIXEL that hide the ground: fill, dilated cloud, cirrus, cloud, shadow.
QA_PIXEL_MASKED = 0b11111

#: Classes of the cloud masks of Major-TOM: thick cloud, thin cloud, shadow.
CLOUD_MASKED = (1, 2, 3)


class ProductBand(NamedTuple):
    """Where the pixels of a band are."""

    #: File, or name of a part of it as GDAL spells it.
    path: str

    #: Band of the file, from 1.
    number: int = 1


class MaskSource(NamedTuple):
    """Where a product says which pixels hide the ground."""

    #: Files or bands; a pixel is hidden where one of them says so.
    sources: tuple[ProductBand, ...]

    #: Numbers that mark hidden pixels, or None where bits do.
    values: tuple[int, ...] | None

    #: Bits that mark hidden pixels.
    bits: int = 0


class GridOverride(NamedTuple):
    """Georeference of files that have none themselves."""

    #: Coordinate system as WKT or by its code.
    crs: str

    #: West, south, east and north.
    bounds: tuple[float, float, float, float]


class RasterProduct(NamedTuple):
    """One acquisition as a file or folder on disk."""

    #: Path that names it in messages, unique.
    name: str

    #: Day of the acquisition, :data:`~torchgeo_saco.archives.layout.UNDATED` where unknown.
    date: datetime.date

    #: Key of :data:`~torchgeo_saco.bands.SENSORS`, or None where the product does not say.
    sensor: str | None

    #: Bands by name.
    bands: Mapping[str, ProductBand]

    #: Scale that the product says, or None where it says none.
    scale: Scale | None = None

    #: Whether its metadata say the scale, which cannot be contradicted; else its name.
    certain: bool = False

    #: Stored number of missing pixels, or None to take it from the files.
    nodata: float | None = None

    #: Pixels that hide the ground.
    mask: MaskSource | None = None

    #: Georeference of files that have none.
    grid: GridOverride | None = None

    #: Bands that are read only where they are asked for.
    on_request: tuple[str, ...] = ()

    #: Names of files that are passed over, with the reason.
    passed_over: tuple[str, ...] = ()


class ProductError(BandFileError):
    """A product that cannot be understood; the message names it and the remedy."""


def sentinel2_sensor(name: str) -> str | None:
    """Sensor of a Sentinel-2 product by its name, or None if the name says none.

    Example:
        >>> sentinel2_sensor('S2B_MSIL2A_20200223T032739_N0214_R018_T48QUE_20200223T072739')
        'sentinel2_l2a'
    """
    found = re.search(r'S2[A-D]_MSIL(1C|2A)_', name)
    return None if found is None else f'sentinel2_l{found[1].lower()}'


def sentinel2_scale(name: str) -> Scale | None:
    """Scale that the processing baseline in the name or path of a Sentinel-2 product implies.

    Numbers are raised by 1000 since baseline 04.00. N9999 stands for a reprocessing of unknown
    baseline and says nothing.

    References:
        https://sentiwiki.copernicus.eu/web/s2-processing, section on baselines.
    """
    found = re.findall(r'S2[A-D]_MSIL(?:1C|2A)_\w+?_N(\d{4})_', name)
    if not found or found[-1] == '9999':
        return None
    return Scale(10_000, -1000.0 if int(found[-1]) >= 400 else 0.0)


def stored_scale(path: str, multiplier: float, addend: float) -> Scale:
    """Scale of numbers that become reflectance by a factor and an addend.

    Args:
        path: What says so, for the message.
        multiplier: The factor.
        addend: What is added to the product.

    Raises:
        ProductError: If the factor is not above 0, or one of them is not finite.
    """
    if not (0 < multiplier < math.inf and math.isfinite(addend)):
        raise ProductError(
            f'{path} says that its numbers are multiplied by {multiplier:g} and {addend:g} is '
            'added, which gives no reflectance; correct its scale and offset'
        )
    return Scale(1 / multiplier, addend / multiplier)


def named_day(path: str, year: str, month: str, day: str) -> datetime.date:
    """Day of digits in a name.

    Args:
        path: Whose name, for the message.
        year: Four digits.
        month: Two digits.
        day: Two digits.

    Raises:
        ProductError: If there is no such day.
    """
    try:
        return datetime.date(int(year), int(month), int(day))
    except ValueError as error:
        raise ProductError(
            f'{path} names the day {year}{month}{day}, which does not exist; correct the name'
        ) from error


def product_date(root: str, path: str, date_regex: str | None) -> datetime.date:
    """Day of acquisition in the name of a file, else of the folders from it up to the root.

    Args:
        root: Folder that the search stays in.
        path: File or folder.
        date_regex: Regular expression with a group ``date``, or None to look for any date.

    Raises:
        ProductError: If no name holds a date.
    """
    parts = os.path.relpath(path, os.path.dirname(os.path.abspath(root))).split(os.sep)
    for part in reversed(parts):
        if date_regex is not None:
            found = re.search(date_regex, part)
            if found is None:
                continue
            part = found['date']
        try:
            return scene_date(part)
        except ValueError:
            continue
    raise ProductError(
        f'{path} has no date in its name nor in that of a folder'
        + (f' by date_regex {date_regex!r}' if date_regex else '')
        + r"; name it by date as in 20190415, set date_regex such as '_(?P<date>\d{8})_', or set "
        'undated=True to take such files as of one unknown date'
    )
