# Copyright (c) torchgeo_saco Contributors. All rights reserved.
# Licensed under the MIT License.

"""Time series of two sensors at the same locations."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pyarrow.compute as pc
import torch
from torch import Tensor
from torchgeo.datasets.utils import Path

from ..archives.layout import UNDATED, Location
from ..bands import modality_name
from ..runtime.checks import check_range
from .seasonal import SeasonalArchive

# Names in a message.
_LISTED = 3

# Least share of the ground of both images that both show; footprints are rounded.
_SHARED = 0.9


class PairedArchive(SeasonalArchive):
    """Time series of two sensors, such as Sentinel-2 and Sentinel-1, at the same locations.

    Either archive is one that :class:`SeasonalArchive` reads, in a layout of its own or packed;
    locations are paired by their names, and those that one of the two lacks are skipped. To every
    date of the first sensor belongs the nearest date of the second. Images of both have the same
    size; where files say where they lie, those of the first location must show the same ground.
    """

    def __init__(
        self,
        root: Path = 'data',
        second_root: Path | None = None,
        second_bands: Sequence[str] | None = None,
        second_sensor: str | None = 'sentinel1',
        max_days: int | None = None,
        **kwargs: Any,
    ) -> None:
        """Initialize a new PairedArchive instance.

        Args:
            root: Archive of the first sensor, see :class:`SeasonalArchive`.
            second_root: Archive of the second sensor, or None where *root* holds both, as that of
                SSL4EO-S12.
            second_bands: Bands of the second sensor to read, or None for all that are there.
            second_sensor: Second sensor, a key of :data:`torchgeo_saco.bands.SENSORS`, or None for
                that of the layout.
            max_days: Days that two paired dates may lie apart, or None for any number. Locations
                with a date that has no partner are skipped; dates that are not known count as
                near.
            **kwargs: See :class:`SeasonalArchive`. *size*, *resampling*, *on_missing*,
                *on_invalid* and *cache* count for both sensors, the others for the first.

        Raises:
            FileNotFoundError: If an archive is missing.
            ValueError: If an argument is out of range, both archives are of one sensor, they have
                no location in common, or their images differ in size.
        """
        super().__init__(root, **kwargs)
        options = {
            name: kwargs[name]
            for name in ('size', 'resampling', 'on_missing', 'cache', 'on_invalid')
            if name in kwargs
        }
        second_root = root if second_root is None else second_root
        #: The archive of the second sensor.
        self.second = SeasonalArchive(second_root, second_bands, sensor=second_sensor, **options)
        #: Name of the second sensor's images in a sample.
        self.modality = modality_name(self.second.sensor_name)
        if self.modality == modality_name(self.sensor_name):
            raise ValueError(
                f'{root} and {second_root} both hold {self.sensor.name}; name archives of two '
                'sensors, or set second_sensor'
            )
        if self.second.shape != self.shape:
            sizes = [f'{width} x {height} px' for height, width in (self.shape, self.second.shape)]
            raise ValueError(
                f'images of {root} are {sizes[0]}, those of {second_root} {sizes[1]}; bring both '
                'to one grid, or set size to a window that both have'
            )
        self._require_same_ground()
        check_range('max_days', max_days, 'int [0, inf) or None')
        self._pair_locations(max_days)

    def _require_same_ground(self) -> None:
        """Refuse images of a location that lie apart, as far as files say where they lie."""
        names = set(self.second.locations.names.to_pylist())
        first = next((place for place in self.locations if place.name in names), None)
        if first is None:
            return
        partner = self.second.locations[int(self.second.locations.named([first.name])[0])]
        ground, other = self.footprint(first), self.second.footprint(partner)
        if ground is None or other is None or ground.area == 0:
            return
        shared = ground.intersection(other).area / ground.union(other).area
        if shared < _SHARED:
            raise ValueError(
                f'images of location {first.name} in {self.root} and {self.second.root} share '
                f'{shared:.0%} of their ground; bring both to one grid'
            )

    @property
    def worker_context(self) -> str | None:
        """How a DataLoader is to start its workers, None for any way."""
        return self.source.worker_context or self.second.source.worker_context

    def _pair_locations(self, max_days: int | None) -> None:
        """Keep the locations that have images of both sensors."""
        names = self.locations.names
        found = pc.index_in(names, self.second.locations.names).fill_null(-1)
        partners = found.to_numpy(zero_copy_only=False)
        #: Position of each location in the second archive by its number, -1 for none.
        self.partners = np.full(int(self.locations.numbers.max()) + 1, -1)
        self.partners[self.locations.numbers] = partners
        if (partners < 0).all():
            examples = [
                f'{archive.root} ({", ".join(archive.locations.names[:_LISTED].to_pylist())}, ...)'
                for archive in (self, self.second)
            ]
            raise ValueError(
                f'{" and ".join(examples)} have no location in common; name the locations of both '
                'alike'
            )
        reasons = dict.fromkeys(
            np.flatnonzero(partners < 0).tolist(), f'{self.second.root} has no such location'
        )
        several = (self.second.locations.counts[partners] > 1) & (partners >= 0)
        for position in np.flatnonzero(several if max_days is None else partners >= 0).tolist():
            reason = self._unpaired(position, max_days)
            if reason is not None:
                reasons[position] = reason
        skipped = [f'location {names[n].as_py()}, since {why}' for n, why in reasons.items()]
        kept = np.setdiff1d(np.arange(len(names)), list(reasons))
        if not len(kept):
            raise ValueError(
                f'no location of {self.root} and {self.second.root} can be paired; skipped: '
                f'{skipped[-1]}'
            )
        self.skipped = [*self.skipped, *self.second.skipped, *skipped]
        self.locations = self.locations.part(kept)
        self.label_numbers = self.label_numbers[kept]

    def _unpaired(self, position: int, max_days: int | None) -> str | None:
        """Why the dates of a location cannot be paired, or None if they can."""
        location, partner = self.locations[position], self._partner(position)
        if len(partner.days) > 1 and UNDATED in (*location.days, *partner.days):
            return f'its {len(partner.days)} scenes of {self.second.sensor.name} are not dated'
        if max_days is None or UNDATED in (*location.days, *partner.days):
            return None
        for day in location.days:
            nearest = partner.days[_nearest(partner, day)]
            if abs((nearest - day).days) > max_days:
                return (
                    f'the date of {self.second.sensor.name} nearest to {day} is {nearest}, more '
                    f'than max_days={max_days} away'
                )
        return None

    def _other_modalities(
        self, location: Location, number: int, years: list[list[int]]
    ) -> dict[str, Tensor]:
        """Images of the second sensor at the dates nearest to those of an item."""
        partner = self._partner(number)
        days = [location.days[scene] for scenes in years for scene in scenes]
        nearest = [_nearest(partner, day) for day in days]
        images = {scene: self.second.read_scene(partner, scene) for scene in set(nearest)}
        return {self.modality: torch.stack([images[scene] for scene in nearest])}

    def _partner(self, position: int) -> Location:
        """Location of the second archive that belongs to one at a position."""
        return self.second.locations[int(self.partners[self.locations.numbers[position]])]


def _nearest(location: Location, day: Any) -> int:
    """Position of the date that is nearest to a day, the earlier of two."""
    return min(range(len(location.days)), key=lambda scene: abs((location.days[scene] - day).days))
