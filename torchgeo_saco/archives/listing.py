# Copyright (c) torchgeo_saco Contributors. All rights reserved.
# Licensed under the MIT License.

"""Places and dates of an archive as arrays, of which single locations are made when asked for."""

import datetime
from collections.abc import Iterator, Sequence
from functools import cached_property
from typing import Any, Protocol, overload

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from .layout import Location, Scene
from .store.tables import StoredListing

_EPOCH = datetime.date(1970, 1, 1).toordinal()


class Listing(Protocol):
    """All locations of an archive."""

    #: Their names in alphabetical order, (locations,).
    names: pa.StringArray

    #: Position of the first scene of each location, and the number of scenes, (locations + 1,).
    first: np.ndarray

    #: Day of each scene, counted from 1970, (scenes,).
    days: np.ndarray

    def location(self, index: int) -> Location:
        """One location by its position."""


class TreeListing:
    """Places of a tree of folders, which are listed one by one."""

    def __init__(self, locations: Sequence[Location]) -> None:
        """Initialize a new TreeListing instance.

        Args:
            locations: The locations, by name.
        """
        self._locations = locations
        self.names = pa.array([location.name for location in locations], pa.string())
        counts = [len(location.scenes) for location in locations]
        self.first = np.concatenate([[0], np.cumsum(counts, dtype=np.int64)])
        days = [
            scene.date.toordinal() - _EPOCH for location in locations for scene in location.scenes
        ]
        self.days = np.array(days, np.int32)

    def location(self, index: int) -> Location:
        """One location by its position."""
        return self._locations[index]


class StoreListing:
    """Places of a store, whose scenes are named only where their names are asked for."""

    def __init__(self, stored: StoredListing) -> None:
        """Initialize a new StoreListing instance.

        Args:
            stored: Columns of the store.
        """
        self.stored = stored
        self.names, self.first, self.days = stored.names, stored.first, stored.days

    def __reduce__(self) -> tuple[Any, ...]:
        """The columns know how they travel."""
        return StoreListing, (self.stored,)

    def location(self, index: int) -> 'StoredLocation':
        """One location by its position."""
        return StoredLocation(self, index)


class StoredLocation(Location):
    """A location of a store."""

    def __init__(self, listing: StoreListing, index: int) -> None:
        """Initialize a new StoredLocation instance.

        Args:
            listing: All locations.
            index: Position among them.
        """
        self.name = listing.names[index].as_py()
        self.index = index
        self._listing = listing
        #: Number of its first scene in the store, and of the first one of the next location.
        self.start, self.stop = map(int, listing.first[index : index + 2])

    @cached_property
    def days(self) -> list[datetime.date]:
        """Days of its scenes, without reading their names."""
        return [
            datetime.date.fromordinal(day + _EPOCH)
            for day in self._listing.days[self.start : self.stop].tolist()
        ]

    @cached_property
    def scenes(self) -> tuple[Scene, ...]:
        """Its acquisitions, the oldest first."""
        names = self._listing.stored.scene_names(self.start, self.stop)
        return tuple(Scene(name, day, {}) for name, day in zip(names, self.days, strict=True))


class Locations(Sequence[Location]):
    """Some locations of a listing, each made when it is asked for."""

    def __init__(
        self, listing: Listing, chosen: np.ndarray | None = None, numbers: np.ndarray | None = None
    ) -> None:
        """Initialize a new Locations instance.

        Args:
            listing: All locations.
            chosen: Positions of these, or None for all.
            numbers: Number that samples give for each, or None to count these.
        """
        self.listing = listing
        # 4 bytes a location, for archives of millions.
        self.chosen = np.arange(len(listing.names), dtype=np.int32) if chosen is None else chosen
        #: Number of each location in the whole archive, (locations,).
        self.numbers = np.arange(len(self.chosen), dtype=np.int32) if numbers is None else numbers

    @cached_property
    def names(self) -> pa.StringArray:
        """Names of the locations, (locations,)."""
        return self.listing.names.take(pa.array(self.chosen))

    @cached_property
    def counts(self) -> np.ndarray:
        """Scenes of each location, (locations,)."""
        return self.listing.first[self.chosen + 1] - self.listing.first[self.chosen]

    def named(self, names: Any) -> np.ndarray:
        """Positions of the locations that have one of the names, in the order of the locations."""
        wanted = pa.array(names, pa.string())
        return np.flatnonzero(pc.is_in(self.names, wanted).to_numpy(zero_copy_only=False))

    def part(self, positions: np.ndarray) -> 'Locations':
        """Some of these locations; their numbers stay."""
        return Locations(self.listing, self.chosen[positions], self.numbers[positions])

    def __len__(self) -> int:
        """Number of locations."""
        return len(self.chosen)

    @overload
    def __getitem__(self, index: int) -> Location: ...

    @overload
    def __getitem__(self, index: slice) -> 'Locations': ...

    def __getitem__(self, index: int | slice) -> 'Location | Locations':
        """One location, or a range of them."""
        if isinstance(index, slice):
            return self.part(np.arange(len(self))[index])
        return self.listing.location(int(self.chosen[index]))

    def __getstate__(self) -> dict[str, Any]:
        """Arrays that follow from others do not travel."""
        return {k: v for k, v in vars(self).items() if k not in ('names', 'counts')}


def spread_dates(locations: Locations, count: int) -> Iterator[tuple[Location, int]]:
    """Some dates, spread over an archive.

    Args:
        locations: The locations.
        count: How many, if there are as many.

    Yields:
        Location, and position among its scenes.
    """
    ends = np.cumsum(locations.counts, dtype=np.int64)
    total = int(ends[-1]) if len(ends) else 0
    for item in np.unique(np.linspace(0, total - 1, min(count, total)).round().astype(np.int64)):
        number = int(np.searchsorted(ends, item, 'right'))
        yield locations[number], int(item - (ends[number] - locations.counts[number]))
