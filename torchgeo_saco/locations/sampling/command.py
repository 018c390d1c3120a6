# Copyright (c) torchgeo_saco Contributors. All rights reserved.
# Licensed under the MIT License.

"""``torchgeo-saco sample``."""

import argparse
import datetime
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import get_args

import geopandas as gpd
from matplotlib import pyplot as plt
from rich.console import Console

from ...io.tables import require_new, write_table
from .cities import built_in_cities, read_cities
from .land import built_in_land, read_land
from .maps import plot_points
from .points import Method, sample_points
from .windows import date_windows, require_windows

_DESCRIPTION = """\
Draw locations on land, and for each of them windows of dates: a few seasons in each of two years.
Written is a table with one row a location, year and season, for torchgeo-saco fetch.
"""

_EPILOG = """\
Cities: a table of GeoNames (https://download.geonames.org/export/dump, such as cities500.zip) or
of simplemaps (https://simplemaps.com/data/world-cities), unpacked. Land: any file of polygons,
such as https://www.naturalearthdata.com (10 m land). Without them a short list of cities and a
coarse outline of land serve, which come with the package and are meant for a first run alone.

The same arguments give the same table; say --latest, too, for it follows the calendar.
"""

# Arguments of the windows.
_STEPS = ('seasons', 'step_weeks', 'years', 'gap_years', 'half_width_days', 'shift_days')

# SeCo keeps four weeks to today.
_DELAY = datetime.timedelta(weeks=4)


def main(args: Sequence[str]) -> None:
    """Run the command.

    Args:
        args: Arguments after ``sample``.
    """
    options = _parser().parse_args(args)
    try:
        _sample(options)
    except (ValueError, OSError) as error:
        sys.stderr.write(f'torchgeo-saco sample: error: {error}\n')
        sys.exit(2)


def _sample(options: argparse.Namespace) -> None:
    """Draw, write and tell."""
    output, figure = Path(options.output), options.figure and Path(options.figure)
    require_new(output)
    if figure:
        require_new(figure, ('.png', '.pdf', '.svg'))
    latest = _latest(options.latest)
    steps = {name: getattr(options, name) for name in _STEPS}
    require_windows(latest, **steps)
    cities = read_cities(options.cities) if options.cities else built_in_cities()
    land = read_land(options.land) if options.land else built_in_land()
    points = sample_points(
        options.count,
        cities,
        land,
        spread_km=options.spread_km,
        spacing_km=options.spacing_km,
        most_populous=options.most_populous,
        seed=options.seed,
        method=options.method,
        max_tries=options.max_tries,
        latitudes=(options.south, options.north),
        progress=True,
    )
    windows = date_windows(points, latest, **steps, seed=options.seed)
    write_table(windows, output)
    _tell(options, points, windows, latest)
    if figure:
        figure.parent.mkdir(parents=True, exist_ok=True)
        title = f'{len(points)} locations, method {options.method}, seed {options.seed}'
        drawn = plot_points(points, land, title=title)
        drawn.savefig(figure, dpi=130)
        plt.close(drawn)


def _tell(
    options: argparse.Namespace,
    points: gpd.GeoDataFrame,
    windows: gpd.GeoDataFrame,
    latest: datetime.date,
) -> None:
    """Summarize the sample in a few lines."""
    console = Console(highlight=False, soft_wrap=True)
    counts = points.attrs
    console.print(
        f'{len(points)} locations (method {options.method}, seed {options.seed}) of '
        f'{counts["tried"]} tried: {counts["in_water"]} were in water, {counts["too_near"]} nearer '
        f'than {options.spacing_km:g} km to another, {counts["out_of_view"]} beyond '
        f'{options.south:g} to {options.north:g} degrees of latitude'
    )
    named = points.loc[points['city'] != '', 'city'].nunique()
    if named:
        console.print(f'around {named} cities' if options.method == 'gaussian' else 'at the cities')
    console.print(
        f'{len(windows)} windows of {2 * options.half_width_days + 1} days, '
        f'{windows["start"].min()} to {windows["end"].max()} (--latest {latest}), '
        f'in {options.output}'
    )
    if options.land is None:
        console.print(
            '--land not given: the coarse outline of the package served, which lacks small islands '
            'and bays'
        )


def _latest(given: str | None) -> datetime.date:
    """The last day of all windows."""
    today = datetime.datetime.now(datetime.UTC).date()
    if given is None:
        return today - _DELAY
    try:
        latest = datetime.date.fromisoformat(given)
    except ValueError as error:
        raise ValueError(f'--latest must be a day, such as 2025-12-31, got {given!r}') from error
    if latest > today:
        raise ValueError(f'--latest {latest} is in the future, of which there are no images')
    return latest


def _parser() -> argparse.ArgumentParser:
    """Parser of the arguments."""
    parser = argparse.ArgumentParser(
        prog='torchgeo-saco sample',
        usage='%(prog)s --output FILE [--count N] [--cities FILE] [--land FILE] [...]',
        description=_DESCRIPTION,
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    files = parser.add_argument_group('files')
    _add(files, 'output', 'table to write: .geojson, .gpkg or .parquet', metavar='FILE', must=True)
    _add(files, 'figure', 'map to draw: .png, .pdf or .svg', metavar='FILE')
    _add(files, 'cities', 'table of cities; built-in by default', metavar='FILE')
    _add(files, 'land', 'polygons of land; built-in by default', metavar='FILE')
    locations = parser.add_argument_group('locations')
    _add(locations, 'count', 'number of locations', 1000)
    locations.add_argument(
        '--method',
        choices=get_args(Method),
        default='gaussian',
        help='around cities, anywhere on land, or at the cities (default: gaussian)',
    )
    _add(locations, 'spread_km', 'standard deviation around a city, in km', 50.0)
    _add(locations, 'spacing_km', 'least distance of two locations, in km; 0 for none', 4.0)
    _add(locations, 'most_populous', 'cities to draw from', 10_000)
    _add(locations, 'south', 'southern limit, in degrees of latitude', -56.0)
    _add(locations, 'north', 'northern limit', 84.0)
    _add(locations, 'max_tries', 'points to try at most (default: 100 a location)', kind=int)
    _add(locations, 'seed', 'seed of all draws', 0)
    dates = parser.add_argument_group('dates')
    _add(dates, 'latest', 'last day of all windows (default: four weeks ago)', metavar='DAY')
    _add(dates, 'seasons', 'windows of a year', 5)
    _add(dates, 'step_weeks', 'weeks from one to the next', 12)
    _add(dates, 'years', 'number of years', 2)
    _add(dates, 'gap_years', 'calendar years from one to the next', 4)
    _add(dates, 'half_width_days', 'days of a window before its centre, and after it', 7)
    _add(dates, 'shift_days', 'largest shift of a location, drawn', 364)
    return parser


def _add(
    group: argparse._ArgumentGroup,
    name: str,
    text: str,
    default: float | None = None,
    kind: type = str,
    metavar: str = 'N',
    must: bool = False,
) -> None:
    """An argument, of the type of its default."""
    group.add_argument(
        f'--{name}',
        type=kind if default is None else type(default),
        default=default,
        metavar=metavar,
        required=must,
        help=text if default is None else f'{text} (default: %(default)s)',
    )
