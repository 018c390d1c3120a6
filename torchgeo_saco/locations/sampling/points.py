# Copyright (c) torchgeo_saco Contributors. All rights reserved.
# Licensed under the MIT License.

"""Points around cities, on land, apart from each other."""

import itertools
from collections.abc import Iterator
from typing import Literal, get_args

import geopandas as gpd
import numpy as np
from pyproj import Geod
from rich.console import Console
from rich.progress import MofNCompleteColumn, Progress, TimeRemainingColumn

from ...runtime.checks import check_range
from ...runtime.seeding import mixed_seed
from .land import LandIndex
from .spacing import Spacing

#: How points are drawn: around cities, anywhere, or at the cities themselves.
Method = Literal['gaussian', 'uniform', 'cities']

# Names of locations have six digits.
_MOST = 1_000_000

# Points drawn at once. Another number would be another sample.
_ROUND = 4096

_ELLIPSOID = Geod(ellps='WGS84')

# Numbers of cities (-1 for none), longitudes and latitudes.
_Round = tuple[np.ndarray, np.ndarray, np.ndarray]


def sample_points(
    count: int,
    cities: gpd.GeoDataFrame | None,
    land: gpd.GeoDataFrame,
    spread_km: float = 50.0,
    spacing_km: float = 4.0,
    most_populous: int = 10_000,
    seed: int = 0,
    method: Method = 'gaussian',
    max_tries: int | None = None,
    latitudes: tuple[float, float] = (-56.0, 84.0),
    progress: bool = True,
) -> gpd.GeoDataFrame:
    """Places to fetch images of.

    ``gaussian`` draws a city, all of the most populous alike, and a point around it: its offset
    in metres on the ground is normal in both directions, at every latitude. ``uniform`` draws
    anywhere on land, in proportion to area. ``cities`` takes the cities themselves, in random
    order, each once. Points in water and points too near to another are drawn again. The first
    points of a larger sample are those of a smaller one.

    Args:
        count: Number of points.
        cities: As :func:`read_cities` gives; may be None for ``uniform``.
        land: As :func:`read_land` gives.
        spread_km: Standard deviation of a Gaussian to the east and to the north, in kilometres.
            SeCo has 50.
        spacing_km: Least distance of two points along a great circle, in kilometres; 0 for none.
            At 4, squares of 2.64 km, as SeCo has them, do not overlap.
        most_populous: Cities to draw from. SeCo has 10 000.
        seed: Seed of the draws.
        method: How to draw.
        max_tries: Points to draw at most; None for 100 a point, and 10 000 at least.
        latitudes: Southern and northern limit, in degrees. Sentinel-2 images the land in between.
        progress: Whether to report on standard error.

    Returns:
        Columns ``location`` (six digits from 000000), ``city`` (empty for ``uniform``) and
        ``geometry``, points in EPSG:4326 with six decimals. ``attrs`` counts what was ``tried``,
        ``out_of_view`` (beyond *latitudes*), ``in_water`` and ``too_near``.

    Raises:
        ValueError: If an argument is out of range, or there were too many tries.
    """
    _require_numbers(count, spread_km, spacing_km, most_populous, seed, max_tries)
    if not -90 <= latitudes[0] < latitudes[1] <= 90:
        raise ValueError(f'latitudes must ascend from -90 to 90, got {tuple(latitudes)}')
    if method not in get_args(Method):
        raise ValueError(f'method must be one of {", ".join(get_args(Method))}, got {method!r}')
    if method == 'uniform':
        names, rounds = [], _anywhere(seed, latitudes)
    else:
        chosen = _largest(cities, most_populous)
        names = chosen['city'].astype(str).tolist()
        rounds = (
            _at_cities(chosen, seed)
            if method == 'cities'
            else _around_cities(chosen, seed, spread_km)
        )
    limit = max(10_000, 100 * count) if max_tries is None else max_tries
    search = _Search(count, limit, latitudes, LandIndex(land), Spacing(spacing_km))
    _run(search, rounds, progress)
    if len(search.found) < count:
        raise ValueError(search.complaint(method, spacing_km))
    numbers, longitude, latitude = zip(*search.found, strict=True)
    points = gpd.GeoDataFrame(
        {
            'location': [f'{location:06d}' for location in range(count)],
            'city': [names[number] if number >= 0 else '' for number in numbers],
        },
        geometry=gpd.points_from_xy(longitude, latitude),
        crs='EPSG:4326',
    )
    points.attrs = search.counts
    return points


class _Search:
    """Points found so far, and why others were not taken."""

    def __init__(
        self,
        count: int,
        limit: int,
        latitudes: tuple[float, float],
        land: LandIndex,
        spacing: Spacing,
    ) -> None:
        """Search for so many points in so many tries."""
        self.count = count
        self.limit = limit
        self.south, self.north = latitudes
        self.land = land
        self.spacing = spacing
        self.found: list[tuple[int, float, float]] = []
        self.counts = {'tried': 0, 'out_of_view': 0, 'in_water': 0, 'too_near': 0}

    @property
    def done(self) -> bool:
        """Whether all are found or no try is left."""
        return len(self.found) == self.count or self.counts['tried'] == self.limit

    def take(self, numbers: np.ndarray, longitude: np.ndarray, latitude: np.ndarray) -> None:
        """Take of a round what is on land and not too near to what is there."""
        # About 0.1 m, and the same number in whatever format it is written.
        longitude, latitude = longitude.round(6), latitude.round(6)
        dry = self.land.contains(longitude, latitude)
        points = zip(numbers.tolist(), longitude.tolist(), latitude.tolist(), strict=True)
        for point, is_dry in zip(points, dry.tolist(), strict=True):
            if self.done:
                return
            self.counts['tried'] += 1
            if not self.south <= point[2] <= self.north:
                self.counts['out_of_view'] += 1
            elif not is_dry:
                self.counts['in_water'] += 1
            elif self.spacing.add(*point[1:]):
                self.found.append(point)
            else:
                self.counts['too_near'] += 1

    def complaint(self, method: str, spacing_km: float) -> str:
        """Why there are too few, and what to change."""
        if method == 'cities':
            remedy = 'lower count or spacing_km, or give more cities'
            if self.counts['tried'] == self.limit:
                remedy += ' or a higher max_tries'
        else:
            around = ', give more cities, raise spread_km' if method == 'gaussian' else ''
            remedy = f'lower count or spacing_km{around} or raise max_tries'
        return (
            f'found {len(self.found)} of {self.count} points in {self.counts["tried"]} tries: '
            f'{self.counts["out_of_view"]} were beyond {self.south:g} to {self.north:g} degrees '
            f'of latitude, {self.counts["in_water"]} in water and {self.counts["too_near"]} '
            f'nearer than {spacing_km:g} km to another; {remedy}'
        )


def _run(search: _Search, rounds: Iterator[_Round], progress: bool) -> None:
    """Take rounds until the search is done or there is no other."""
    report = Console(stderr=True, quiet=not progress)
    with Progress(
        *Progress.get_default_columns()[:2],
        MofNCompleteColumn(),
        TimeRemainingColumn(),
        console=report,
        disable=not report.is_terminal,
        transient=True,
    ) as bar:
        line = bar.add_task('points', total=search.count)
        for numbers, longitude, latitude in rounds:
            search.take(numbers, longitude, latitude)
            bar.update(line, completed=len(search.found))
            if search.done:
                return


def _around_cities(cities: gpd.GeoDataFrame, seed: int, spread_km: float) -> Iterator[_Round]:
    """Rounds of points around cities."""
    for turn in itertools.count():
        generator = np.random.default_rng(mixed_seed(seed, turn))
        numbers = generator.integers(len(cities), size=_ROUND)
        azimuth = generator.uniform(-180, 180, _ROUND)
        # The length of a normal offset in the plane. A geodesic is right at the poles, too.
        metres = 1000 * generator.rayleigh(spread_km, _ROUND)
        centres = cities.geometry.iloc[numbers]
        longitude, latitude, _ = _ELLIPSOID.fwd(
            centres.x.to_numpy(), centres.y.to_numpy(), azimuth, metres
        )
        yield numbers, longitude, latitude


def _anywhere(seed: int, latitudes: tuple[float, float]) -> Iterator[_Round]:
    """Rounds of points between two latitudes, in proportion to area on the sphere."""
    low, high = np.sin(np.radians(latitudes))
    for turn in itertools.count():
        generator = np.random.default_rng(mixed_seed(seed, turn))
        longitude = generator.uniform(-180, 180, _ROUND)
        latitude = np.degrees(np.arcsin(generator.uniform(low, high, _ROUND)))
        yield np.full(_ROUND, -1), longitude, latitude


def _at_cities(cities: gpd.GeoDataFrame, seed: int) -> Iterator[_Round]:
    """Rounds of the cities themselves, each once."""
    order = np.random.default_rng(mixed_seed(seed, 0)).permutation(len(cities))
    for start in range(0, len(order), _ROUND):
        numbers = order[start : start + _ROUND]
        centres = cities.geometry.iloc[numbers]
        yield numbers, centres.x.to_numpy(), centres.y.to_numpy()


def _largest(cities: gpd.GeoDataFrame | None, most_populous: int) -> gpd.GeoDataFrame:
    """The most populous cities, in EPSG:4326."""
    if cities is None or not len(cities):
        raise ValueError('there is no city to draw from; give cities or the method uniform')
    missing = {'city', 'population'} - set(cities)
    if missing or cities.crs is None or set(cities.geom_type) != {'Point'}:
        raise ValueError(
            'cities must be points with a reference system and columns city and population, as '
            f'read_cities gives; {", ".join(sorted(missing)) or "the geometry"} is wrong or missing'
        )
    # Of equals the first of the table; cities of unknown population come last.
    ranked = cities.sort_values('population', ascending=False, kind='stable')
    return ranked.iloc[:most_populous].to_crs('EPSG:4326')


def _require_numbers(
    count: int,
    spread_km: float,
    spacing_km: float,
    most_populous: int,
    seed: int,
    max_tries: int | None,
) -> None:
    """Refuse arguments out of range."""
    check_range('count', count, f'int [1, {_MOST}]')
    check_range('spread_km', spread_km, '(0, inf)')
    check_range('spacing_km', spacing_km, '[0, inf)')
    check_range('most_populous', most_populous, 'int [1, inf)')
    check_range('seed', seed, 'int [0, inf)')
    if max_tries is not None and max_tries < count:
        raise ValueError(f'max_tries must be at least count, {count}, or None, got {max_tries}')
