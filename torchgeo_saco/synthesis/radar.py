# Copyright (c) torchgeo_saco Contributors. All rights reserved.
# Licensed under the MIT License.

"""Sentinel-1 ground-range backscatter of the ground on one date."""

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
    location: Landscape, day: int, moisture: float, rng: Generator
) -> dict[str, NDArray[np.int16]]:
    """Radar scene of a location, as whole numbers.

    Args:
        location: The location in the year of the scene.
        day: Day of the year.
        moisture: Soil moisture, 0-1; wet soil scatters more.
        rng: Source of speckle.

    Returns:
        Backscatter in dB times 100 on 10 m pixels, under ``VV`` and ``VH``.
    """
    return {
        polarization: np.round(1000 * np.log10(power)).astype(np.int16)
        for polarization, power in backscattered(location, day, moisture, rng).items()
    }


def backscattered(
    location: Landscape, day: int, moisture: float, rng: Generator
) -> dict[str, NDArray[np.float64]]:
    """Radar scene of a location.

    Args:
        location: The location in the year of the scene.
        day: Day of the year.
        moisture: Soil moisture, 0-1; wet soil scatters more.
        rng: Source of speckle.

    Returns:
        Backscatter as a ratio of powers on 10 m pixels, under ``VV`` and ``VH``.
    """
    days = day - np.asarray(location.delays)
    leaves = np.array(location.vigour)
    surfaces = np.asarray(location.surfaces)
    for surface in set(location.surfaces):
        patches = surfaces == surface
        leaves[patches] *= green_share(surface, days[patches])
    scene = {}
    for polarization in ('VV', 'VH'):
        ends = [
            getattr(BACKSCATTER[surface], polarization.lower()) for surface in location.surfaces
        ]
        bare, leafy = np.array(ends).T
        decibel = bare + leaves * (leafy - bare) + 2.0 * (moisture - 0.3) * (1 - leaves)
        power = aggregated((10 ** (decibel / 10)).astype(np.float32)[location.patches], 2)
        speckle = rng.gamma(_LOOKS, 1 / _LOOKS, power.shape)
        scene[polarization] = power * speckle
    return scene
