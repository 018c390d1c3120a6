# Copyright (c) torchgeo_saco Contributors. All rights reserved.
# Licensed under the MIT License.

"""Where and when to look: the table of points that ``torchgeo-saco sample`` writes."""

import datetime
import re
from typing import NamedTuple

import geopandas
import pandas as pd
from geopandas import GeoDataFrame
from torchgeo.datasets.utils import Path

_COLUMNS = ('location', 'start', 'end')

# Names become folders; hidden ones would be passed over by the datasets.
_NAME = re.compile(r'\w[\w.-]*', re.ASCII)

# Beyond these, coordinates are not in UTM, and Sentinel-2 has no tiles.
_SOUTH, _NORTH = -80.0, 84.0


class DateWindow(NamedTuple):
    """Days within which one scene is wanted."""

    #: First day.
    start: datetime.date

    #: Last day, which belongs to the window.
    end: datetime.date

    def __str__(self) -> str:
        """Both days."""
        return f'{self.start}..{self.end}'

    @property
    def middle(self) -> datetime.datetime:
        """Time halfway, UTC."""
        first = datetime.datetime.combine(self.start, datetime.time(), datetime.UTC)
        return first + (self.end - self.start + datetime.timedelta(days=1)) / 2


class TargetLocation(NamedTuple):
    """One point on Earth with its windows, in the order of the table."""

    #: Name of its folder.
    name: str

    #: Degrees east, from -180 to 180.
    longitude: float

    #: Degrees north.
    latitude: float

    #: Windows, each of which shall give one scene.
    windows: tuple[DateWindow, ...]


def read_locations(points: Path | GeoDataFrame) -> list[TargetLocation]:
    """Places of a table with one row a window.

    Args:
        points: Table, or file in any format that geopandas reads, with the columns
            ``location``, ``start`` and ``end`` (ISO dates, both inclusive) and a point a row.

    Returns:
        Locations in the order in which the table names them.

    Raises:
        FileNotFoundError: If the file is missing.
        ValueError: If the file cannot be read, a column is missing, or a row makes no sense.
    """
    source = 'the table of points' if isinstance(points, GeoDataFrame) else str(points)
    table = points if isinstance(points, GeoDataFrame) else _read(points)
    missing = [column for column in _COLUMNS if column not in table.columns]
    if missing:
        raise ValueError(
            f'{source} has no column {", ".join(missing)}; write it by `torchgeo-saco sample`'
        )
    if not len(table):
        raise ValueError(f'{source} has no rows; sample at least one point')
    if table.crs is None:
        raise ValueError(f'{source} has no coordinate reference system; set it to EPSG:4326')
    geometry = table.geometry.to_crs(4326)
    locations: dict[str, TargetLocation] = {}
    rows = zip(geometry, table['location'], table['start'], table['end'], strict=True)
    for number, (point, location, start, end) in enumerate(rows, 1):
        try:
            row = _location(point, location, _window(start, end))
            locations[row.name] = _add_window(locations.get(row.name), row)
        except ValueError as error:
            raise ValueError(f'{source}, row {number}: {error}') from error
    return list(locations.values())


def _read(path: Path) -> GeoDataFrame:
    """Table of a file."""
    name = str(path)
    try:
        table = geopandas.read_parquet(path) if name.endswith('.parquet') else None
        table = geopandas.read_file(path) if table is None else table
    except FileNotFoundError as error:
        raise FileNotFoundError(f'{path} does not exist; name the file of the points') from error
    # Each driver has errors of its own, some of them bare strings of GDAL.
    except Exception as error:
        if 'No such file' in str(error):
            raise FileNotFoundError(f'{path} does not exist; name the file of points') from error
        raise ValueError(
            f'{path} cannot be read as a table of points; give what torchgeo-saco sample wrote, as '
            f'.geojson, .gpkg or .parquet ({error})'
        ) from error
    if not isinstance(table, GeoDataFrame):
        raise ValueError(f'{path} has no geometry; a point is needed in each row')
    return table


def _location(point: object, location: object, window: DateWindow) -> TargetLocation:
    """Place of one row."""
    name = f'{location:06d}' if isinstance(location, int) else str(location)
    if not _NAME.fullmatch(name):
        raise ValueError(
            f'location {name!r} does not make a folder name; use letters, digits and any of _ . -'
        )
    if getattr(point, 'geom_type', None) != 'Point' or point.is_empty:  # type: ignore[attr-defined]
        raise ValueError(f'location {name} has no point; give its longitude and latitude')
    longitude, latitude = float(point.x), float(point.y)  # type: ignore[attr-defined]
    if not (-360 <= longitude <= 360 and -90 <= latitude <= 90):
        raise ValueError(
            f'location {name} lies at longitude {longitude:g}, latitude {latitude:g}, which is not '
            'on Earth; are the coordinates in degrees, longitude first?'
        )
    if not _SOUTH <= latitude <= _NORTH:
        raise ValueError(
            f'location {name} lies at latitude {latitude:g}, where there is no UTM zone and no '
            f'tile of Sentinel-2; keep to {_SOUTH:g}..{_NORTH:g}'
        )
    return TargetLocation(name, (longitude + 180) % 360 - 180, latitude, (window,))


def _window(start: object, end: object) -> DateWindow:
    """DateWindow of one row."""
    try:
        first, last = (pd.Timestamp(day).date() for day in (start, end))
        window = DateWindow(first, last)
        ordered = first <= last
    except (TypeError, ValueError) as error:
        raise ValueError(
            f'{start!r} and {end!r} are not two dates; write them as 2019-04-15'
        ) from error
    if not ordered:
        raise ValueError(f'the window {window} ends before it starts; exchange start and end')
    return window


def _add_window(known: TargetLocation | None, row: TargetLocation) -> TargetLocation:
    """TargetLocation with the window of one more row."""
    if known is None:
        return row
    if (row.longitude, row.latitude) != (known.longitude, known.latitude):
        raise ValueError(
            f'location {row.name} lies at two points; give each point a location of its own'
        )
    if row.windows[0] in known.windows:
        raise ValueError(f'location {row.name} has the window {row.windows[0]} twice; remove one')
    return known._replace(windows=known.windows + row.windows)
