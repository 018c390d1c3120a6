# Copyright (c) torchgeo_saco Contributors. All rights reserved.
# Licensed under the MIT License.

"""When to look at each location: short steps of seasons, long steps of years."""

import datetime

import geopandas as gpd
import numpy as np
import pandas as pd

from ...runtime.seeding import mixed_seed

# Launch of Sentinel-2A; surface reflectance of all land is there from December 2018 only.
_FIRST_DAY = np.datetime64('2015-06-23')


def date_windows(
    points: gpd.GeoDataFrame,
    latest: datetime.date | str,
    seasons: int = 5,
    step_weeks: int = 12,
    years: int = 2,
    gap_years: int = 4,
    half_width_days: int = 7,
    shift_days: int = 364,
    seed: int = 0,
) -> gpd.GeoDataFrame:
    """Windows of dates of every location.

    The seasons of a location are *step_weeks* apart. The last of the last year is centred between 0
    and *shift_days* days before the latest date that fits, drawn for each location by its number,
    so that all locations together see every day of a year. Those of the other years are *gap_years*
    calendar years earlier, with the same steps. The defaults for one year are SeCo's, half a day
    a window aside.

    Args:
        points: As :func:`sample_points` gives; every ``location`` once.
        latest: Last day that a window may touch.
        seasons: Windows of a year.
        step_weeks: Weeks from one to the next.
        years: Number of years.
        gap_years: Calendar years from one to the next.
        half_width_days: Days of a window before its centre, and after it.
        shift_days: Largest shift of a location.
        seed: Seed of the shifts.

    Returns:
        A row a location, year and season, in this order, with ``location``, ``city``, ``year``
        (0 the oldest), ``season`` (0 the earliest), ``start`` and ``end`` (first and last day of
        the window, ISO 8601), ``geometry`` (EPSG:4326).

    Raises:
        ValueError: If an argument is out of range, windows overlap, or one may start before
            Sentinel-2 was launched.
    """
    require_windows(latest, seasons, step_weeks, years, gap_years, half_width_days, shift_days)
    if seed < 0:
        raise ValueError(f'seed must not be negative, got {seed}')
    numbers = _location_numbers(points)
    half_width = np.timedelta64(half_width_days, 'D')
    # A location keeps its shift, whichever others are in the table.
    generator = np.random.default_rng(mixed_seed(seed))
    shifts = generator.integers(0, shift_days, size=numbers.max() + 1, endpoint=True)[numbers]
    centres = _centres(_day(latest) - half_width, shifts, seasons, step_weeks, years, gap_years)
    rows = np.repeat(np.arange(len(points)), years * seasons)
    cities = points['city'] if 'city' in points else pd.Series('', index=points.index)
    return gpd.GeoDataFrame(
        {
            'location': points['location'].to_numpy()[rows],
            'city': cities.to_numpy()[rows],
            'year': np.tile(np.repeat(np.arange(years), seasons), len(points)),
            'season': np.tile(np.arange(seasons), years * len(points)),
            'start': (centres - half_width).ravel().astype(str),
            'end': (centres + half_width).ravel().astype(str),
        },
        geometry=points.geometry.to_crs('EPSG:4326').to_numpy()[rows],
        crs='EPSG:4326',
    )


def require_windows(
    latest: datetime.date | str,
    seasons: int,
    step_weeks: int,
    years: int,
    gap_years: int,
    half_width_days: int,
    shift_days: int,
) -> None:
    """Refuse arguments of :func:`date_windows`, before there are points.

    Args:
        latest: Last day that a window may touch.
        seasons: Windows of a year.
        step_weeks: Weeks from one to the next.
        years: Number of years.
        gap_years: Calendar years from one to the next.
        half_width_days: Days of a window before its centre, and after it.
        shift_days: Largest shift of a location.

    Raises:
        ValueError: If an argument is out of range, windows overlap, or one may start before
            Sentinel-2 was launched.
    """
    counts = {'seasons': seasons, 'step_weeks': step_weeks, 'years': years, 'gap_years': gap_years}
    days = {'half_width_days': half_width_days, 'shift_days': shift_days}
    for least, arguments in ((1, counts), (0, days)):
        for name, value in arguments.items():
            if value < least:
                raise ValueError(f'{name} must be at least {least}, got {value}')
    width = 2 * half_width_days + 1
    if seasons > 1 and 7 * step_weeks < width:
        raise ValueError(
            f'windows of {width} days overlap every {step_weeks} weeks and would give the same '
            'images twice; raise step_weeks or lower half_width_days'
        )
    span = 7 * step_weeks * (seasons - 1) + width
    if years > 1 and span > 365 * gap_years:
        raise ValueError(
            f'{seasons} seasons take {span} days, more than the {gap_years} years from one year to '
            'the next; raise gap_years or lower seasons or step_weeks'
        )
    half_width = np.timedelta64(half_width_days, 'D')
    shift = np.array([shift_days])
    last = _day(latest) - half_width
    start = _centres(last, shift, seasons, step_weeks, years, gap_years).min() - half_width
    if start < _FIRST_DAY:
        raise ValueError(
            f'a window could start on {start}, before the launch of Sentinel-2 on {_FIRST_DAY}; '
            'lower gap_years, years, seasons or shift_days, or give a later latest'
        )


def _centres(
    latest: np.datetime64,
    shifts: np.ndarray,
    seasons: int,
    step_weeks: int,
    years: int,
    gap_years: int,
) -> np.ndarray:
    """Centres of all windows, (locations, years, seasons)."""
    anchors = pd.DatetimeIndex(latest - shifts)
    # From 29 February, 28 February of another year.
    lasts = [anchors - pd.DateOffset(years=gap_years * year) for year in reversed(range(years))]
    days = np.stack([last.to_numpy().astype('datetime64[D]') for last in lasts], 1)
    return days[:, :, None] - 7 * step_weeks * np.arange(seasons)[::-1]


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


def _day(latest: datetime.date | str) -> np.datetime64:
    """A day."""
    if isinstance(latest, str):
        try:
            latest = datetime.date.fromisoformat(latest)
        except ValueError as error:
            raise ValueError(f'latest must be a day, such as 2025-12-31, got {latest!r}') from error
    return np.datetime64(latest, 'D')
