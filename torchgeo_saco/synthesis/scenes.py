# Copyright (c) torchgeo_saco Contributors. All rights reserved.
# Licensed under the MIT License.

"""Everything that is stored of one location, as arrays."""

from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from .landscape import Landscape
from .locations import SampleLocation, acquisition_days, generator, scene_time
from .patterns import CELL, Field, noise
from .phenology import Ground, surface_spectra
from .radar import backscatter
from .scenery import landscape, next_year
from .sensor import PIXEL, Image, observe, sky

# Uses of randomness, see `locations.generator`; locations takes 0 to 3.
_LAND, _NEXT_YEAR, _PLACE, _YEAR, _DATE, _RADAR = range(4, 10)

# Radar is seen once a year, in high summer.
_RADAR_DAY = 196


class SampleScene(NamedTuple):
    """One acquisition."""

    #: Name of its folder.
    name: str

    #: Arrays by the name of the band.
    bands: Mapping[str, NDArray[np.generic]]


class LocationScenes:
    """One location with all that is seen of it.

    Every array is a function of the seed, the location and the date alone.
    """

    def __init__(
        self, location: SampleLocation, years: Sequence[int], dates_per_year: int, seed: int
    ) -> None:
        """Lay out the land.

        Args:
            location: The location.
            years: The two years in which it is seen.
            dates_per_year: Scenes a year.
            seed: Seed of the archive.
        """
        self.location = location
        self.years = years
        self.days = acquisition_days(seed, location.number, dates_per_year)
        self._seed = seed
        side = round(location.size * PIXEL / CELL)
        first = landscape(location.label, self._generator(_LAND), side)
        second = next_year(first, self._generator(_NEXT_YEAR), location.changed)
        #: The landscape of each year.
        self.landscapes: tuple[Landscape, Landscape] = (first, second)
        rng = self._generator(_PLACE)
        self._terrain: Field = rng.uniform(0.2, 1.0) * noise(rng, location.size, 350, PIXEL)
        self._light_soil = rng.uniform(0.3, 0.8)
        self._delay = rng.normal(0, 5)

    def optical(self) -> Iterator[SampleScene]:
        """Sentinel-2 scenes, by date."""
        for number, year in enumerate(self.years):
            late = self._delay + self._generator(_YEAR, number).normal(0, 5)
            for rank, day in enumerate(self.days):
                rng = self._generator(_DATE, number, rank)
                yield SampleScene(
                    self._optical_name(rng, year, day), self._optical(number, day, late, rng)
                )

    def radar(self) -> Iterator[SampleScene]:
        """Sentinel-1 scenes, by date."""
        for number, year in enumerate(self.years):
            rng = self._generator(_RADAR, number)
            day = _RADAR_DAY + int(rng.integers(-12, 13))
            time = scene_time(self.location, year, day, 5.5)
            name = f'S1A_IW_GRDH_1SDV_{time:%Y%m%dT%H%M%S}_{self.location.tile.removeprefix("T")}'
            moisture = rng.uniform(0, 0.7)
            yield SampleScene(name, backscatter(self.landscapes[number], day, moisture, rng))

    def _generator(self, *purpose: int) -> np.random.Generator:
        """Randomness of this location for one use."""
        return generator(self._seed, self.location.number, *purpose)

    def _optical_name(self, rng: np.random.Generator, year: int, day: int) -> str:
        """Name as in SeCo: sensing time, start of the data strip, tile."""
        start = scene_time(self.location, year, day, 10.5 + rng.uniform(-0.3, 0.3))
        strip = scene_time(self.location, year, day, 10.5 + rng.uniform(0.31, 0.35))
        return f'{start:%Y%m%dT%H%M%S}_{strip:%Y%m%dT%H%M%S}_{self.location.tile}'

    def _optical(
        self, number: int, day: int, late: float, rng: np.random.Generator
    ) -> dict[str, NDArray[np.uint8]]:
        """Bands of one Sentinel-2 scene."""
        ground = ground_image(self.landscapes[number], day - late, self._light_soil, rng)
        return observe(ground, self._terrain, sky(rng, self.location.latitude, day), rng)


def ground_image(
    location: Landscape, day: float, light_soil: float, rng: np.random.Generator
) -> Image:
    """Reflectance of a location on one date, before light and air.

    Args:
        location: The location.
        day: Day of the year, less the days by which the year is late.
        light_soil: Share (0-1) of light soil in its soil.
        rng: Source of moisture, turbidity and vigour.

    Returns:
        Reflectance (0-1) of the 5 m cells, bands by rows by columns.
    """
    ground = Ground(light_soil, rng.uniform(0, 0.9), rng.uniform(0, 1))
    spectra = surface_spectra(
        location.surfaces,
        day - np.asarray(location.delays),
        np.asarray(location.vigour) * rng.uniform(0.8, 1.0),
        ground,
    ).astype(np.float32)
    return spectra.T[:, location.patches] * location.relief.astype(np.float32)
