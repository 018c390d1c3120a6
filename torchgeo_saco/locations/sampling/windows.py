# Copyright (c) torchgeo_saco Contributors. All rights reserved.
# Licensed under the MIT License.

"""When to look at each location: short steps of seasons, long steps of years."""

import datetime
from dataclasses import dataclass

import geopandas as gpd
import numpy as np
import pandas as pd

from ...runtime.checks import check_range
from ...runtime.seeding import mixed_seed

# Launch of Sentinel-2A; surface reflectance of all land is there from December 2018 only.
_FIRST_DAY = np.datetime64('2015-06-23')

# SeCo keeps four weeks to today.
_DELAY = datetime.timedelta(weeks=4)


@dataclass(frozen=True)
class DateWindows:
    """Windows of dates of every location.

    The seasons of a location are *step_weeks* apart. The last of the last year is centred between 0
    and *shift_days* days before the latest date that fits, drawn for each location by its number,
    so that all locations together see every day of a year. Those of the other years are *gap_years*
    calendar years earlier, with the same steps. The defaults for one year are SeCo's, but
    for half a day per window.

    Args:
        latest: Last day that a window may touch, such as 2025-12-31; None for four weeks ago.
        seasons: Windows of a year.
        step_weeks: Weeks from one to the next.
        years: Number of years.
        gap_years: Calendar years from one to the next.
        half_width_days: Days of a window before its centre, and after it.
        shift_days: Largest shift of a location.

    Raises:
        ValueError: If an argument is out of range, windows overlap, one may start before
            Sentinel-2 was launched, or *latest* is in the future.
    """

    latest: str | None = None
    seasons: int = 5
    step_weeks: int = 12
    years: int = 2
    gap_years: int = 4
    half_width_days: int = 7
    shift_days: int = 364

    def __post_init__(self) -> None:
        """Refuse arguments before there are points."""
        object.__setattr__(self, 'latest', _latest(self.latest))
        for name in ('seasons', 'step_weeks', 'years', 'gap_years'):
            check_range(name, getattr(self, name), 'int [1, 10000]')
        for name in ('half_width_days', 'shift_days'):
            check_range(name, getattr(self, name), 'int [0, 100000]')
        width = 2 * self.half_width_days + 1
        if self.seasons > 1 and 7 * self.step_weeks < width:
            raise ValueError(
                f'windows of {width} days overlap every {self.step_weeks} weeks and would give the '
                'same images twice; raise step_weeks or lower half_width_days'
            )
        span = 7 * self.step_weeks * (self.seasons - 1) + width
        if self.years > 1 and span > 365 * self.gap_years:
            raise ValueError(
                f'{self.seasons} seasons take {span} days, more than the {self.gap_years} years '
                'from one year to the next; raise gap_years or lower seasons or step_weeks'
            )
        start = self._centres(np.array([self.shift_days])).min() - self._half_width
        if start < _FIRST_DAY:
            raise ValueError(
                f'a window could start on {start}, before the launch of Sentinel-2 on '
                f'{_FIRST_DAY}; lower gap_years, years, seasons or shift_days, or give a later '
                'latest'
            )

    def __call__(self, points: gpd.GeoDataFrame, seed: int = 0) -> gpd.GeoDataFrame:
        """Draw the windows of every location.

        Args:
            points: As :func:`sample_points` gives; every ``location`` once.
            seed: Seed of the shifts.

        Returns:
            A row per location, year and season, in this order, with ``location``, ``city``,
            ``year`` (0 the oldest), ``season`` (0 the earliest), ``start`` and ``end`` (first and
            last day of the window, ISO 8601), ``geometry`` (EPSG:4326).

        Raises:
            ValueError: If *points* lack a column, or *seed* is negative.
        """
        if seed < 0:
            raise ValueError(f'seed must not be negative, got {seed}')
        numbers = _location_numbers(points)
        # A location keeps its shift, whichever others are in the table.
        generator = np.random.default_rng(mixed_seed(seed))
        shifts = generator.integers(0, self.shift_days, size=numbers.max() + 1, endpoint=True)
        centres = self._centres(shifts[numbers])
        rows = np.repeat(np.arange(len(points)), self.years * self.seasons)
        cities = points['city'] if 'city' in points else pd.Series('', index=points.index)
        return gpd.GeoDataFrame(
            {
                'location': points['location'].to_numpy()[rows],
                'city': cities.to_numpy()[rows],
                'year': np.tile(np.repeat(np.arange(self.years), self.seasons), len(points)),
                'season': np.tile(np.arange(self.seasons), self.years * len(points)),
                'start': (centres - self._half_width).ravel().astype(str),
                'end': (centres + self._half_width).ravel().astype(str),
            },
            geometry=points.geometry.to_crs('EPSG:4326').to_numpy()[rows],
            crs='EPSG:4326',
        )

    @property
    def _half_width(self) -> np.timedelta64:
        """Days of a window before its centre."""
        return np.timedelta64(self.half_width_days, 'D')

    def _centres(self, shifts: np.ndarray) -> np.ndarray:
        """Centres of all windows, (locations, years, seasons)."""
        anchors = pd.DatetimeIndex(np.datetime64(str(self.latest), 'D') - self._half_width - shifts)
        # From 29 February, 28 February of another year.
        lasts = [
            anchors - pd.DateOffset(years=self.gap_years * year)
            for year in reversed(range(self.years))
        ]
        days = np.stack([last.to_numpy().astype('datetime64[D]') for last in lasts], 1)
        return days[:, :, None] - 7 * self.step_weeks * np.arange(self.seasons)[::-1]


def _location_numbers(points: gpd.GeoDataFrame) -> np.ndarray:
    """Numbers of the locations."""
    if 'location' not in points or not len(points) or points.crs is None:
        raise ValueError(
            'points must have a column location and a reference system, as sample_points gives, '
            'and at least one row'
        )
    names = points['location'].astype(str)
    wrong = names[~names.str.fullmatch('[0-9]{6}') | names.duplicated()]
    if len(wrong):
        raise ValueError(
            f'location {wrong.iloc[0]!r} is not of six digits or there twice; number the points '
            'from 000000'
        )
    return names.astype(int).to_numpy()


def _latest(latest: str | None) -> str:
    """The last day of all windows."""
    today = datetime.datetime.now(datetime.UTC).date()
    if latest is None:
        return str(today - _DELAY)
    try:
        day = datetime.date.fromisoformat(latest)
    except ValueError as error:
        raise ValueError(f'latest must be a day, such as 2025-12-31, got {latest!r}') from error
    if day > today:
        raise ValueError(f'latest {latest} is in the future, of which there are no images')
    return str(day)
