# Copyright (c) torchgeo_saco Contributors. All rights reserved.
# Licensed under the MIT License.

"""Which dates of a location stand together in a sample."""

from collections.abc import Sequence
from datetime import date
from typing import Literal

import numpy as np
from numpy.random import Generator
from scipy.optimize import linear_sum_assignment

from .layout import Location

Item = Literal['date', 'location', 'years']
OtherDates = Literal['any', 'same_year', 'other_year']
YearRule = Literal['calendar', 'halves']


def calendar_years(location: Location) -> dict[int, list[int]]:
    """Scenes of a location by calendar year, as positions among its scenes."""
    groups: dict[int, list[int]] = {}
    for position, day in enumerate(location.days):
        groups.setdefault(day.year, []).append(position)
    return groups


def two_years(
    location: Location, dates: int = 1, rule: YearRule = 'calendar'
) -> tuple[list[int], list[int]] | None:
    """Scenes of two years of a location.

    Args:
        location: The location.
        dates: Scenes that each year must have.
        rule: ``calendar``: the first and the last calendar year that have enough scenes;
            ``halves``: the older and the later half of all scenes, as CACo stores two groups of
            dates that cross the turn of the year, with a gap of years between them.

    Returns:
        Positions among its scenes, the older year first; or None if there are no such two.
    """
    if rule == 'halves':
        count = len(location.days)
        half = count // 2
        later = list(range(count - half, count))
        return (list(range(half)), later) if half >= dates else None
    enough = [group for group in calendar_years(location).values() if len(group) >= dates]
    return (enough[0], enough[-1]) if len(enough) > 1 else None


def too_few_dates(
    location: Location, dates: int, item: Item, other_dates: OtherDates, rule: YearRule
) -> str | None:
    """Why a location cannot give a sample, as a clause, or None if it can.

    Args:
        location: The location, with the scenes that are complete.
        dates: Dates of a sample, or of each of its years.
        item: What a sample is.
        other_dates: Where the dates beside the first may lie.
        rule: What the years are.
    """
    if item != 'years' and len(location.days) >= dates and (dates == 1 or other_dates == 'any'):
        return None
    count = len(location.days)
    sizes = {year: len(group) for year, group in calendar_years(location).items()}
    listed = ', '.join(f'{size} in {year}' for year, size in sizes.items())
    if item == 'years':
        if two_years(location, dates, rule) is not None:
            return None
        found = f'{count} dates' if rule == 'halves' else f'dates {listed or "in no year"}'
        return f'{location.name} has {found}, not two years of {dates}'
    if count < dates:
        return f'{location.name} has {count} of {dates} dates'
    same = other_dates == 'same_year'
    enough = min(sizes.values()) if same else count - max(sizes.values()) + 1
    if enough >= dates:
        return None
    where = 'within one year' if same else 'from another year'
    return f'{location.name} has dates {listed}, not {dates} {where}'


def enough_dates(
    first: np.ndarray,
    days: np.ndarray,
    dates: int,
    item: Item,
    other_dates: OtherDates,
    rule: YearRule,
) -> np.ndarray:
    """Which locations can give a sample, for all at once: where :func:`too_few_dates` is None.

    Args:
        first: Position of the first scene of each location, and the number of scenes, (locations +
            1,).
        days: Day of each scene, counted from 1970, (scenes,).
        dates: Dates of a sample, or of each of its years.
        item: What a sample is.
        other_dates: Where the dates beside the first may lie.
        rule: What the years are.

    Returns:
        Truth values, (locations,).
    """
    counts = np.diff(first)
    if item == 'years' and rule == 'halves':
        return counts // 2 >= dates
    if item != 'years' and (dates == 1 or other_dates == 'any'):
        return counts >= dates
    # Days lie in order within a location, so a year of a location is a run.
    years = days.astype('datetime64[D]').astype('datetime64[Y]').astype(np.int32)
    begins = np.zeros(len(days), bool)
    begins[first[:-1][counts > 0]] = True
    begins[1:] |= years[1:] != years[:-1]
    starts = np.flatnonzero(begins)
    sizes = np.diff(starts, append=len(days))
    owners = np.searchsorted(first, starts, 'right') - 1
    if item == 'years':
        return np.bincount(owners[sizes >= dates], minlength=len(counts)) > 1
    if other_dates == 'same_year':
        short = np.bincount(owners[sizes < dates], minlength=len(counts)) > 0
        return ~short & (counts >= dates)
    largest = np.zeros(len(counts), np.int64)
    np.maximum.at(largest, owners, sizes)
    return (counts >= dates) & (counts - largest + 1 >= dates)


def drawn_dates(
    location: Location, anchor: int, dates: int, other_dates: OtherDates, generator: Generator
) -> list[int]:
    """Scenes of a sample: the anchor, then others without repetition.

    Args:
        location: The location.
        anchor: Position of the first scene, or -1 for any.
        dates: How many.
        other_dates: Where the others may lie.
        generator: Draws them.

    Returns:
        Positions among its scenes.
    """
    days = location.days
    if anchor < 0:
        anchor = int(generator.integers(len(days)))
    if dates == 1:
        return [anchor]
    year = days[anchor].year
    others = [
        position
        for position, day in enumerate(days)
        if position != anchor
        and (other_dates == 'any' or (day.year == year) == (other_dates == 'same_year'))
    ]
    return [anchor, *map(int, generator.choice(others, dates - 1, replace=False))]


def drawn_years(
    location: Location,
    years: tuple[Sequence[int], Sequence[int]],
    dates: int,
    same_season: bool,
    generator: Generator,
) -> list[list[int]]:
    """Scenes of a sample of two years, without repetition.

    Args:
        location: The location.
        years: Positions of the scenes of both years.
        dates: How many of each.
        same_season: Whether the scenes of one year are those that together lie nearest in season to
            the scenes drawn of the other, each to each; else both are drawn alone.
        generator: Draws them.

    Returns:
        Positions among its scenes, of each year.
    """
    # From the year with fewer scenes, which the other one can follow more closely.
    lead = int(len(years[1]) < len(years[0]))
    first = list(map(int, generator.choice(years[lead], dates, replace=False)))
    free = list(years[1 - lead])
    if not same_season:
        second = list(map(int, generator.choice(free, dates, replace=False)))
        return [second, first] if lead else [first, second]
    days = location.days
    apart = [[season_distance(days[a], days[b]) for b in free] for a in first]
    second = [free[column] for column in linear_sum_assignment(apart)[1]]
    return [second, first] if lead else [first, second]


def season_distance(first: date, second: date) -> int:
    """Days between two dates of the year, the shorter way round."""
    days = abs(first.timetuple().tm_yday - second.timetuple().tm_yday)
    return min(days, 365 - days)
