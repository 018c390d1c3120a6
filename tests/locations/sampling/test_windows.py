# Copyright (c) torchgeo_saco Contributors. All rights reserved.
# Licensed under the MIT License.

"""Tests of windows of dates."""

from datetime import timedelta

import geopandas as gpd
import numpy as np
import pandas as pd
import pytest
from scipy.stats import kstest
from shapely.geometry import box

from torchgeo_saco.locations.sampling import DateWindows, sample_points

WORLD = gpd.GeoDataFrame(geometry=[box(-180, -90, 180, 90)], crs='EPSG:4326')
COLUMNS = ['location', 'city', 'year', 'season', 'start', 'end', 'geometry']


def date_windows(points, latest, seed=0, **steps):
    return DateWindows(latest, **steps)(points, seed)


@pytest.fixture(scope='module')
def points():
    return sample_points(500, None, WORLD, spacing_km=0, method='uniform')


def table(windows):
    """Centres of windows by year and season, in rows of locations."""
    start, end = (pd.to_datetime(windows[name]) for name in ('start', 'end'))
    windows = windows.assign(centre=start + (end - start) / 2)
    return windows.pivot(index='location', columns=['year', 'season'], values='centre')


def test_windows_of_one_location_by_hand(points):
    windows = date_windows(
        points[:1], '2024-03-07', seasons=3, step_weeks=10, gap_years=2, shift_days=0
    )
    # Centres: 29 February 2024 and 28 February 2022, and 70 and 140 days before each.
    assert windows[['year', 'season', 'start', 'end']].to_numpy().tolist() == [
        [0, 0, '2021-10-04', '2021-10-18'],
        [0, 1, '2021-12-13', '2021-12-27'],
        [0, 2, '2022-02-21', '2022-03-07'],
        [1, 0, '2023-10-05', '2023-10-19'],
        [1, 1, '2023-12-14', '2023-12-28'],
        [1, 2, '2024-02-22', '2024-03-07'],
    ]
    assert list(windows) == COLUMNS
    assert set(windows['location']) == {'000000'}
    assert windows.crs == 'EPSG:4326'


def test_rows_are_sorted_and_carry_their_location(points):
    named = points.assign(city=[f'c{number}' for number in range(500)])
    windows = date_windows(named, '2025-06-01', seasons=4, years=3, gap_years=2)
    keys = windows[['location', 'year', 'season']]
    assert len(windows) == 500 * 12
    assert keys.equals(keys.sort_values(['location', 'year', 'season']))
    assert not keys.duplicated().any()
    first = windows.groupby('location').first()
    assert (first['city'] == named['city'].to_numpy()).all()
    assert (windows.geometry.to_numpy()[::12] == points.geometry.to_numpy()).all()


def test_seasons_are_steps_and_years_have_the_same_steps(points):
    centres = table(date_windows(points, '2025-06-01'))
    for year in (0, 1):
        steps = centres[year].diff(axis=1).iloc[:, 1:]
        assert (steps == timedelta(weeks=12)).all(axis=None)
    later, older = centres[1, 4].dt, centres[0, 4].dt
    assert (later.year - older.year == 4).all()
    assert (later.month == older.month).all()
    leap = (later.month == 2) & (later.day == 29)
    assert (later.day == older.day)[~leap].all()


def test_windows_end_by_the_latest_day_and_shifts_fill_the_year(points):
    windows = date_windows(points, '2025-06-01', half_width_days=3)
    assert windows['end'].max() <= '2025-06-01'
    assert windows['start'].max() >= '2025-05-15'
    last = table(windows)[1, 4]
    shift = (pd.Timestamp('2025-05-29') - last).dt.days
    assert shift.between(0, 364).all()
    assert kstest(shift, 'uniform', args=(0, 364)).pvalue > 1e-3
    width = pd.to_datetime(windows['end']) - pd.to_datetime(windows['start'])
    # Seven days, both ends counted.
    assert (width == timedelta(days=6)).all()


def test_largest_shift_is_drawn_too(points):
    last = table(date_windows(points, '2025-06-08', shift_days=2))[1, 4]
    assert set(last.dt.strftime('%m-%d')) == {'06-01', '05-31', '05-30'}


def test_a_seed_is_a_set_of_windows(points):
    first, again = (date_windows(points, '2025-06-01', seed=3) for _ in range(2))
    assert first.equals(again)
    assert not first.equals(date_windows(points, '2025-06-01', seed=4))
    # A location keeps its windows when others leave.
    rest = date_windows(points[100:200].iloc[::-1], '2025-06-01', seed=3)
    kept = first[first['location'].isin(rest['location'])]
    assert rest.sort_values(COLUMNS[:4], ignore_index=True)[COLUMNS].equals(
        kept.reset_index(drop=True)
    )


def test_one_season_of_one_year(points):
    windows = date_windows(points, '2025-06-01', seasons=1, years=1, half_width_days=0)
    assert len(windows) == 500
    assert (windows['start'] == windows['end']).all()


def test_points_without_city_and_of_another_reference_system(points):
    windows = date_windows(points.drop(columns='city').to_crs('EPSG:3857'), '2025-06-01')
    assert set(windows['city']) == {''}
    near = np.abs(windows.geometry.x.to_numpy()[::10] - points.geometry.x.to_numpy())
    assert near.max() < 1e-6


def test_the_launch_is_the_first_day(points):
    one = {'seasons': 1, 'years': 1, 'half_width_days': 2}
    windows = date_windows(points, '2015-06-30', **one, shift_days=3)
    assert windows['start'].min() == '2015-06-23'
    with pytest.raises(ValueError, match=r'could start on 2015-06-22, before .* 2015-06-23'):
        date_windows(points, '2015-06-30', **one, shift_days=4)


@pytest.mark.parametrize(
    ('arguments', 'tokens'),
    [
        ({'latest': '2020-06-01'}, 'before the launch of Sentinel-2 .* lower gap_years'),
        ({'latest': '1 June 2025'}, "latest must be a day, such as 2025-12-31, got '1 June 2025'"),
        ({'latest': '2025-02-30'}, "latest must be a day.*, got '2025-02-30'"),
        ({'seasons': 0}, 'seasons must be from 1 to 10000, got 0'),
        ({'years': 0}, 'years must be from 1 to 10000, got 0'),
        ({'step_weeks': 0}, 'step_weeks must be from 1 to 10000, got 0'),
        ({'gap_years': 0}, 'gap_years must be from 1 to 10000, got 0'),
        ({'half_width_days': -1}, 'half_width_days must be from 0 to 100000, got -1'),
        ({'shift_days': -1}, 'shift_days must be from 0 to 100000, got -1'),
        ({'seed': -1}, 'seed must not be negative, got -1'),
        ({'step_weeks': 2}, 'windows of 15 days overlap every 2 weeks'),
        ({'gap_years': 1, 'seasons': 6}, '6 seasons take 435 days, more than the 1 years'),
    ],
)
def test_wrong_arguments(points, arguments, tokens):
    with pytest.raises(ValueError, match=tokens):
        date_windows(points, **{'latest': '2025-06-01'} | arguments)


def test_neighbouring_windows_may_touch(points):
    windows = date_windows(points[:1], '2025-06-01', step_weeks=1, half_width_days=3)
    ends, starts = windows['end'][:4], windows['start'][1:5]
    days = pd.to_datetime(starts.to_numpy()) - pd.to_datetime(ends.to_numpy())
    assert (days == timedelta(days=1)).all()


@pytest.mark.parametrize(
    ('change', 'tokens'),
    [
        (lambda points: points[:0], 'and at least one row'),
        (lambda points: points.drop(columns='location'), 'a column location'),
        (lambda points: points.set_crs(None, allow_override=True), 'a reference system'),
        (
            lambda points: points.assign(location='000007'),
            "location '000007' is not .* there twice",
        ),
        (lambda points: points.assign(location='seven'), "location 'seven' is not of six digits"),
    ],
)
def test_wrong_points(points, change, tokens):
    with pytest.raises(ValueError, match=tokens):
        date_windows(change(points), '2025-06-01')
