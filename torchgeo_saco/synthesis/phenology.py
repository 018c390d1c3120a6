# Copyright (c) torchgeo_saco Contributors. All rights reserved.
# Licensed under the MIT License.

"""Composition of each surface on each day of the year."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from .spectra import SPECTRA

# Materials whose share grows with the vigour of a stand; what they lose goes to the soil.
_GREEN = ('broadleaf', 'conifer', 'cereal', 'rape_flower', 'maize', 'beet', 'grass')

# Share of each material by day of the year, linear in between. The calendars are those usual in
# temperate Europe, approximate; compare the crops with Veloso et al., 2017,
# doi:10.1016/j.rse.2017.07.015.
_CALENDARS: dict[str, dict[int, dict[str, float]]] = {
    'broadleaf': {
        95: {'bare_branches': 1.0},
        130: {'broadleaf': 0.95, 'bare_branches': 0.05},
        255: {'broadleaf': 0.95, 'bare_branches': 0.05},
        290: {'autumn_leaves': 0.8, 'broadleaf': 0.1, 'bare_branches': 0.1},
        320: {'bare_branches': 1.0},
    },
    'conifer': {1: {'conifer': 0.94, 'bare_branches': 0.06}},
    'wheat': {
        1: {'cereal': 0.3, 'soil': 0.7},
        75: {'cereal': 0.4, 'soil': 0.6},
        115: {'cereal': 0.95, 'soil': 0.05},
        160: {'cereal': 0.95, 'soil': 0.05},
        185: {'ripe_cereal': 0.9, 'soil': 0.1},
        200: {'ripe_cereal': 0.9, 'soil': 0.1},
        208: {'stubble': 0.9, 'soil': 0.1},
        245: {'stubble': 0.4, 'soil': 0.6},
        275: {'soil': 1.0},
        315: {'cereal': 0.2, 'soil': 0.8},
    },
    'rapeseed': {
        1: {'cereal': 0.45, 'soil': 0.55},
        80: {'cereal': 0.6, 'soil': 0.4},
        105: {'cereal': 0.9, 'soil': 0.1},
        120: {'rape_flower': 0.8, 'cereal': 0.2},
        138: {'rape_flower': 0.1, 'cereal': 0.85, 'soil': 0.05},
        165: {'cereal': 0.8, 'ripe_cereal': 0.2},
        188: {'ripe_cereal': 0.9, 'soil': 0.1},
        198: {'stubble': 0.9, 'soil': 0.1},
        240: {'soil': 1.0},
        285: {'cereal': 0.4, 'soil': 0.6},
    },
    'maize': {
        1: {'soil': 0.8, 'stubble': 0.2},
        130: {'soil': 1.0},
        150: {'maize': 0.12, 'soil': 0.88},
        185: {'maize': 0.8, 'soil': 0.2},
        205: {'maize': 0.97, 'soil': 0.03},
        245: {'maize': 0.9, 'ripe_maize': 0.1},
        272: {'ripe_maize': 0.8, 'maize': 0.1, 'soil': 0.1},
        287: {'stubble': 0.6, 'soil': 0.4},
    },
    'beet': {
        1: {'soil': 1.0},
        115: {'soil': 1.0},
        145: {'beet': 0.15, 'soil': 0.85},
        180: {'beet': 0.8, 'soil': 0.2},
        265: {'beet': 0.95, 'soil': 0.05},
        298: {'beet': 0.8, 'soil': 0.2},
        312: {'soil': 1.0},
    },
    'grass': {
        1: {'grass': 0.45, 'dry_grass': 0.4, 'soil': 0.15},
        85: {'grass': 0.65, 'dry_grass': 0.3, 'soil': 0.05},
        130: {'grass': 0.95, 'dry_grass': 0.05},
        170: {'grass': 0.85, 'dry_grass': 0.15},
        215: {'grass': 0.6, 'dry_grass': 0.4},
        250: {'grass': 0.6, 'dry_grass': 0.4},
        290: {'grass': 0.75, 'dry_grass': 0.25},
    },
    'winter_barley': {
        1: {'cereal': 0.4, 'soil': 0.6},
        70: {'cereal': 0.5, 'soil': 0.5},
        105: {'cereal': 0.95, 'soil': 0.05},
        140: {'cereal': 0.95, 'soil': 0.05},
        163: {'ripe_cereal': 0.9, 'soil': 0.1},
        180: {'ripe_cereal': 0.9, 'soil': 0.1},
        187: {'stubble': 0.9, 'soil': 0.1},
        225: {'stubble': 0.4, 'soil': 0.6},
        260: {'soil': 1.0},
        300: {'cereal': 0.3, 'soil': 0.7},
    },
    'spring_barley': {
        1: {'soil': 1.0},
        85: {'soil': 1.0},
        120: {'cereal': 0.45, 'soil': 0.55},
        145: {'cereal': 0.95, 'soil': 0.05},
        178: {'cereal': 0.9, 'soil': 0.1},
        200: {'ripe_cereal': 0.9, 'soil': 0.1},
        214: {'ripe_cereal': 0.9, 'soil': 0.1},
        221: {'stubble': 0.9, 'soil': 0.1},
        300: {'stubble': 0.3, 'soil': 0.7},
    },
    'vines': {
        1: {'soil': 0.8, 'dry_grass': 0.2},
        110: {'soil': 0.75, 'grass': 0.25},
        150: {'broadleaf': 0.3, 'soil': 0.55, 'grass': 0.15},
        185: {'broadleaf': 0.5, 'soil': 0.4, 'dry_grass': 0.1},
        260: {'broadleaf': 0.5, 'soil': 0.4, 'dry_grass': 0.1},
        295: {'autumn_leaves': 0.35, 'soil': 0.5, 'grass': 0.15},
        325: {'soil': 0.8, 'dry_grass': 0.2},
    },
    'rough_grass': {
        1: {'dry_grass': 0.75, 'grass': 0.1, 'soil': 0.15},
        100: {'dry_grass': 0.65, 'grass': 0.2, 'soil': 0.15},
        145: {'grass': 0.6, 'dry_grass': 0.3, 'soil': 0.1},
        185: {'grass': 0.4, 'dry_grass': 0.5, 'soil': 0.1},
        220: {'grass': 0.2, 'dry_grass': 0.65, 'soil': 0.15},
        290: {'grass': 0.3, 'dry_grass': 0.55, 'soil': 0.15},
    },
    'water': {1: {'water': 1.0}},
    'asphalt': {1: {'asphalt': 1.0}},
    'concrete': {1: {'concrete': 1.0}},
    'tile_roof': {1: {'tile': 1.0}},
    'slate_roof': {1: {'slate': 1.0}},
    'metal_roof': {1: {'metal': 0.6, 'slate': 0.4}},
    'soil': {1: {'soil': 1.0}},
    'gravel': {1: {'gravel': 1.0}},
}

#: Surfaces that a landscape may have.
SURFACES = tuple(_CALENDARS)


class Ground(NamedTuple):
    """State of soil and water on one date."""

    #: Share of light soil in the soil, 0-1; a property of the location.
    light_soil: float = 0.5

    #: Soil moisture, 0 (dry) to 1 (saturated).
    moisture: float = 0.3

    #: Share of turbid water in the water, 0-1.
    turbidity: float = 0.3


def stages(surface: str, days: NDArray[np.float64]) -> dict[str, NDArray[np.float64]]:
    """Share of each material in a surface.

    Args:
        surface: One of :data:`SURFACES`.
        days: Days of the year; any real number, the calendar repeats every 365 days.

    Returns:
        Shares (0-1) by material, one per day; they sum to one.
    """
    calendar = _CALENDARS[surface]
    materials = sorted({material for shares in calendar.values() for material in shares})
    return {
        material: np.interp(
            days,
            list(calendar),
            [shares.get(material, 0.0) for shares in calendar.values()],
            period=365,
        )
        for material in materials
    }


def green_share(surface: str, days: NDArray[np.float64]) -> NDArray[np.float64]:
    """Share of living leaves in a surface, 0-1, one per day of the year in *days*."""
    shares = stages(surface, days)
    return sum((shares[m] for m in _GREEN if m in shares), np.zeros_like(days, dtype=float))


def surface_spectra(
    surfaces: Sequence[str], days: NDArray[np.float64], vigour: NDArray[np.float64], ground: Ground
) -> NDArray[np.float64]:
    """Reflectance of several patches of ground on one date.

    Args:
        surfaces: Surface of each patch.
        days: Day of the year of each patch, moved by how early or late it is.
        vigour: Share (0-1) of the usual leaves that each patch has.
        ground: State of soil and water.

    Returns:
        Reflectance (0-1), patches by bands.
    """
    spectra = SPECTRA | ground_spectra(ground)
    result = np.empty((len(surfaces), *spectra['soil'].shape))
    names = np.asarray(surfaces)
    for surface in sorted(set(surfaces)):
        rows = np.flatnonzero(names == surface)
        shares = stages(surface, days[rows])
        bare = np.zeros(len(rows))
        mixed = np.zeros_like(result[rows])
        for material, share in shares.items():
            lost = share * (1 - vigour[rows]) if material in _GREEN else np.zeros(len(rows))
            bare += lost
            mixed += (share - lost)[:, None] * spectra[material]
        result[rows] = mixed + bare[:, None] * spectra['soil']
    return result


def ground_spectra(ground: Ground) -> dict[str, NDArray[np.float64]]:
    """Reflectance (0-1) of soil and water in their state of the day."""
    light, turbid = ground.light_soil, ground.turbidity
    dry = light * SPECTRA['light_soil'] + (1 - light) * SPECTRA['dark_soil']
    # Wet soil reflects about half: Lobell & Asner, 2002, doi:10.2136/sssaj2002.7220
    return {
        'soil': dry * (1 - 0.5 * ground.moisture),
        'water': turbid * SPECTRA['turbid_water'] + (1 - turbid) * SPECTRA['clear_water'],
    }
