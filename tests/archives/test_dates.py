# Copyright (c) torchgeo_saco Contributors. All rights reserved.
# Licensed under the MIT License.

"""Tests of which dates stand together."""

from datetime import date, timedelta
from itertools import permutations, product

import numpy as np
import pytest

from torchgeo_saco.archives.dates import (
    calendar_years,
    drawn_dates,
    drawn_years,
    enough_dates,
    season_distance,
    too_few_dates,
    two_years,
)
from torchgeo_saco.archives.layout import Location, Scene


def place(*days):
    """A location with these dates."""
    dates = [date.fromisoformat(day) for day in days]
    return Location('000007', tuple(Scene(f'{day:%Y%m%d}', day, {}) for day in sorted(dates)))


# As CACo stores them: two groups of five dates that cross the turn of the year.
CACO = place(*(
    str(date(2020, 11, 3) - timedelta(weeks=12 * step + 156 * old))
    for old in (0, 1) for step in range(5)
))  # fmt: skip
OTHERS = ('any', 'same_year', 'other_year')
SPAN = place('2017-08-20', '2017-12-20', '2018-01-05', '2018-07-01', '2018-08-25', '2019-02-02')
# The later year has fewer dates.
SHORTER = place(
    '2018-01-10', '2018-04-10', '2018-07-10', '2018-10-10', '2019-04-12', '2019-10-08'
)  # fmt: skip


def test_calendar_years():
    assert calendar_years(SPAN) == {2017: [0, 1], 2018: [2, 3, 4], 2019: [5]}


@pytest.mark.parametrize(
    ('dates', 'rule', 'expected'),
    [
        (1, 'calendar', ([0, 1], [5])),
        (2, 'calendar', ([0, 1], [2, 3, 4])),
        (3, 'calendar', None),
        (3, 'halves', ([0, 1, 2], [3, 4, 5])),
        (4, 'halves', None),
    ],
)
def test_two_years(dates, rule, expected):
    assert two_years(SPAN, dates, rule) == expected


def test_halves_are_the_groups_of_caco():
    older, later = two_years(CACO, 5, 'halves')
    assert (older, later) == ([0, 1, 2, 3, 4], [5, 6, 7, 8, 9])
    assert CACO.scenes[5].date - CACO.scenes[4].date == timedelta(weeks=108)
    assert two_years(CACO, 5, 'calendar') is None


def test_the_middle_of_an_odd_count_belongs_to_no_half():
    assert two_years(place('2018-01-01', '2018-06-01', '2019-01-01'), 1, 'halves') == ([0], [2])


@pytest.mark.parametrize(
    ('item', 'dates', 'other', 'rule', 'reason'),
    [
        ('date', 6, 'any', 'calendar', None),
        ('date', 7, 'any', 'calendar', '000007 has 6 of 7 dates'),
        ('years', 2, 'any', 'calendar', None),
        (
            'years', 3, 'any', 'calendar',
            '000007 has dates 2 in 2017, 3 in 2018, 1 in 2019, not two years of 3',
        ),
        ('years', 4, 'any', 'halves', '000007 has 6 dates, not two years of 4'),
        ('date', 1, 'same_year', 'calendar', None),
        (
            'date', 2, 'same_year', 'calendar',
            '000007 has dates 2 in 2017, 3 in 2018, 1 in 2019, not 2 within one year',
        ),
        ('date', 4, 'other_year', 'calendar', None),
        (
            'date', 5, 'other_year', 'calendar',
            '000007 has dates 2 in 2017, 3 in 2018, 1 in 2019, not 5 from another year',
        ),
    ],
)  # fmt: skip
def test_reason_why_a_location_is_left_out(item, dates, other, rule, reason):
    assert too_few_dates(SPAN, dates, item, other, rule) == reason


def test_place_without_dates_is_left_out():
    assert too_few_dates(place(), 1, 'years', 'any', 'calendar') == (
        '000007 has dates in no year, not two years of 1'
    )


def test_reason_is_given_just_where_drawing_fails():
    generator = np.random.default_rng(0)
    for other in ('any', 'same_year', 'other_year'):
        for dates in range(1, 8):

            def draw(anchor, dates=dates, other=other):
                try:
                    return drawn_dates(SPAN, anchor, dates, other, generator)
                except ValueError:
                    return None

            possible = all(draw(anchor) is not None for anchor in range(6))
            assert possible == (too_few_dates(SPAN, dates, 'date', other, 'calendar') is None)


@pytest.mark.parametrize('same_season', [True, False])
def test_no_scene_is_drawn_twice(same_season):
    for seed in range(30):
        generator = np.random.default_rng(seed)
        assert sorted(drawn_dates(SPAN, -1, 6, 'any', generator)) == list(range(6))
        years = drawn_years(CACO, two_years(CACO, 5, 'halves'), 5, same_season, generator)
        assert [sorted(year) for year in years] == [[0, 1, 2, 3, 4], [5, 6, 7, 8, 9]]


def test_years_are_drawn_without_repetition_and_matched_in_season():
    years = two_years(SPAN, 2)
    seen = set()
    for seed in range(20):
        older, later = drawn_years(SPAN, years, 2, True, np.random.default_rng(seed))
        assert sorted(older) == [0, 1]
        assert len(set(later)) == 2
        assert set(later) <= {2, 3, 4}
        # August goes with August and December with January, whichever is drawn first.
        assert (later[older.index(0)], later[older.index(1)]) == (4, 2)
        seen.add(tuple(older))
    assert seen == set(permutations([0, 1]))


def test_the_anchor_comes_first():
    for seed, anchor in product(range(5), range(6)):
        drawn = drawn_dates(SPAN, anchor, 3, 'any', np.random.default_rng(seed))
        assert drawn[0] == anchor and len(set(drawn)) == 3


@pytest.mark.parametrize('same_season', [True, False])
def test_the_older_year_comes_first(same_season):
    for seed in range(10):
        generator = np.random.default_rng(seed)
        older, later = drawn_years(SHORTER, two_years(SHORTER, 2), 2, same_season, generator)
        assert max(older) < 4 <= min(later)


def test_the_shorter_year_leads():
    # The older year has more dates: the later one is drawn, and the older one follows.
    for seed in range(10):
        older, later = drawn_years(
            SHORTER, two_years(SHORTER, 2), 2, True, np.random.default_rng(seed)
        )
        assert sorted(later) == [4, 5]
        assert [{4: 1, 5: 3}[scene] for scene in later] == older


@pytest.mark.parametrize(
    ('first', 'second', 'days'),
    [
        ('2018-01-01', '2019-12-31', 1), ('2018-03-01', '2019-03-01', 0),
        ('2018-01-01', '2018-07-02', 182), ('2018-02-01', '2017-11-01', 92),
    ],
)  # fmt: skip
def test_season_distance_goes_the_shorter_way_round(first, second, days):
    pair = date.fromisoformat(first), date.fromisoformat(second)
    assert season_distance(*pair) == season_distance(*pair[::-1]) == days


def test_all_locations_at_once_are_told_as_one_by_one():
    generator = np.random.default_rng(0)
    locations = []
    for _ in range(300):
        days = generator.choice(900, generator.integers(0, 9), replace=False)
        locations.append(place(*(str(date(2017, 6, 1) + timedelta(int(day))) for day in days)))
    first = np.cumsum([0, *(len(location.days) for location in locations)])
    epoch = date(1970, 1, 1).toordinal()
    days = np.array([d.toordinal() - epoch for p in locations for d in p.days], np.int32)
    for rule in product((1, 2, 3), ('date', 'location', 'years'), OTHERS, ('calendar', 'halves')):
        expected = [too_few_dates(location, *rule) is None for location in locations]
        assert enough_dates(first, days, *rule).tolist() == expected
        assert 0 < sum(expected) < len(locations)


def test_no_locations_at_once():
    none = np.zeros(0, np.int32)
    for rule in product((2,), ('date', 'years'), OTHERS, ('calendar', 'halves')):
        assert enough_dates(np.zeros(1, int), none, *rule).tolist() == []
        assert enough_dates(np.zeros(3, int), none, *rule).tolist() == [False, False]
