# Copyright (c) torchgeo_saco Contributors. All rights reserved.
# Licensed under the MIT License.

"""Dates of an archive whose images hold no usable values."""

import warnings
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import islice

from rasterio.errors import NotGeoreferencedWarning

from ..io.raster import InvalidValuesError
from .layout import Location
from .listing import Locations, TreeListing
from .readers import ArchiveReader, DateRule

_LISTED = 5

# Images that are queued at a time.
_QUEUE = 512


def valid_locations(
    source: ArchiveReader, locations: Locations, rule: DateRule, drop: bool
) -> tuple[Locations, list[str]]:
    """Read every image once, and leave out dates without usable values.

    Args:
        source: Reads the images.
        locations: The locations.
        rule: Dates that a location must have left.
        drop: Whether such dates are left out, or refused together.

    Returns:
        Locations with their usable dates; and a clause for every date and location left out.

    Raises:
        BandFileError: If an image cannot be read for another reason.
        ValueError: If dates are unusable and not to be dropped, or no location is left.
    """
    total = int(locations.counts.sum())
    invalid = {place: reason for place, reason in _checked(source, locations) if reason is not None}
    if not invalid:
        return locations, []
    reasons = list(invalid.values())
    if not drop:
        raise ValueError(
            f'{len(reasons)} of {total} dates of {source.root} hold no usable values: '
            f"{_shortened(reasons)}; repair or remove them, or set on_invalid='drop' to leave "
            'them out'
        )
    kept, skipped = [], []
    for number, location in enumerate(locations):
        valid = [scene for i, scene in enumerate(location.scenes) if (number, i) not in invalid]
        skipped += [
            invalid[number, i] for i in range(len(location.scenes)) if (number, i) in invalid
        ]
        if len(valid) < len(location.scenes):
            location = Location(location.name, valid)
            lacking = rule.lacking(location)
            if lacking is not None:
                skipped.append(lacking)
                continue
        kept.append(location)
    if not kept:
        raise ValueError(
            f'no location of {source.root} has enough dates with usable values; '
            f'{len(reasons)} of {total} are left out: {_shortened(reasons)}'
        )
    return Locations(TreeListing(kept)), skipped


def _checked(
    source: ArchiveReader, locations: Locations
) -> Iterator[tuple[tuple[int, int], str | None]]:
    """Position of every date, and why it is unusable, or None."""

    def reason(place: tuple[int, int]) -> str | None:
        try:
            source.check(locations[place[0]], place[1])
        except InvalidValuesError as error:
            return error.reason
        return None

    places = (
        (number, scene)
        for number in range(len(locations))
        for scene in range(int(locations.counts[number]))
    )
    # Filters of warnings belong to the process: what one thread restores, another may still need.
    with warnings.catch_warnings(), ThreadPoolExecutor(source.threads) as pool:
        warnings.simplefilter('ignore', NotGeoreferencedWarning)
        while block := list(islice(places, _QUEUE)):
            yield from zip(block, pool.map(reason, block), strict=True)


def _shortened(reasons: Sequence[str]) -> str:
    """List the first reasons."""
    more = f'; and {len(reasons) - _LISTED} more' if len(reasons) > _LISTED else ''
    return '; '.join(reasons[:_LISTED]) + more
