# Copyright (c) torchgeo_saco Contributors. All rights reserved.
# Licensed under the MIT License.

"""What a Sentinel-1 ground-range product shows of the ground on one date."""

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from .landcover import BACKSCATTER
from .landscape import Landscape
from .phenology import green_share
from .sensor import aggregated

# Equivalent number of looks of ground-range products in interferometric wide swath mode,
# https://sentiwiki.copernicus.eu/web/s1-products
_LOOKS = 4.4


def backscatter(
    place: Landscape, day: int, moisture: float, rng: Generator
) -> dict[str, NDArray[np.int16]]:
    """Radar scene of a place, as whole numbers.

    Args:
        place: The place in the year of the scene.
        day: Day of the year.
        moisture: Soil moisture, 0-1; wet soil scatters more.
        rng: Source of speckle.

    Returns:
        Backscatter in dB times 100 on 10 m pixels, under ``VV`` and ``VH``.
    """
    return {
        polarization: np.round(1000 * np.log10(power)).astype(np.int16)
        for polarization, power in backscattered(place, day, moisture, rng).items()
    }


def backscattered(
    place: Landscape, day: int, moisture: float, rng: Generator
) -> dict[str, NDArray[np.float64]]:
    """Radar scene of a place.

    Args:
        place: The place in the year of the scene.
        day: Day of the year.
        moisture: Soil moisture, 0-1; wet soil scatters more.
        rng: Source of speckle.

    Returns:
        Backscatter as a ratio of powers on 10 m pixels, under ``VV`` and ``VH``.
    """
    days = day - np.asarray(place.delays)
    leaves = np.array(place.vigour)
    surfaces = np.asarray(place.surfaces)
    for surface in set(place.surfaces):
        patches = surfaces == surface
        leaves[patches] *= green_share(surface, days[patches])
    scene = {}
    for polarization in ('VV', 'VH'):
        ends = [getattr(BACKSCATTER[surface], polarization.lower()) for surface in place.surfaces]
        bare, leafy = np.array(ends).T
        decibel = bare + leaves * (leafy - bare) + 2.0 * (moisture - 0.3) * (1 - leaves)
        power = aggregated((10 ** (decibel / 10)).astype(np.float32)[place.patches], 2)
        speckle = rng.gamma(_LOOKS, 1 / _LOOKS, power.shape)
        scene[polarization] = power * speckle
    return scene
