# Copyright (c) torchgeo_saco Contributors. All rights reserved.
# Licensed under the MIT License.

"""Land-cover classes of pixels, and what radar sees of them."""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray


class Cover(NamedTuple):
    """Land-cover class of a pixel."""

    #: Number in the mask; 0 is kept for no data.
    value: int

    #: Name in ``classes.csv``.
    name: str

    #: Red, green and blue of the colour table, 0-255.
    color: tuple[int, int, int]


#: Land-cover classes by name.
COVERS = {
    cover.name: cover
    for cover in (
        Cover(1, 'broadleaf trees', (56, 142, 60)),
        Cover(2, 'conifer trees', (20, 83, 45)),
        Cover(3, 'winter crop', (230, 200, 90)),
        Cover(4, 'summer crop', (205, 133, 63)),
        Cover(5, 'grass', (156, 204, 101)),
        Cover(6, 'orchard trees', (104, 159, 56)),
        Cover(7, 'building', (198, 40, 40)),
        Cover(8, 'paved', (117, 117, 117)),
        Cover(9, 'water', (30, 100, 200)),
        Cover(10, 'bare ground', (188, 170, 164)),
    )
}


#: Classes of the simplified scheme of IGBP in the order of their numbers, which begin with 1,
#: https://ieee-dataport.org/competitions/2020-ieee-grss-data-fusion-contest
SIMPLIFIED_IGBP = (
    'Forest',
    'Shrubland',
    'Savanna',
    'Grassland',
    'Wetlands',
    'Croplands',
    'Urban',
    'Snow/Ice',
    'Barren',
    'Water',
)

# Simplified class of each of the 17 of IGBP: five forests, two shrublands, two savannas; croplands
# and their mosaics are one.
_SIMPLIFIED = (1, 1, 1, 1, 1, 2, 2, 3, 3, 4, 5, 6, 7, 6, 8, 9, 10)


def simplified_igbp(igbp: NDArray[np.integer]) -> NDArray[np.uint8]:
    """Land cover in the simplified scheme of IGBP, as DFC2020 has it.

    Args:
        igbp: Classes of IGBP, 1-17, any shape.

    Returns:
        Numbers of the classes in :data:`SIMPLIFIED_IGBP`, 1-10, same shape.

    Raises:
        ValueError: If a number is no class of IGBP.

    Example:
        >>> simplified_igbp(np.array([5, 14, 17]))
        array([ 1,  6, 10], dtype=uint8)
    """
    wrong = igbp[(igbp < 1) | (igbp > len(_SIMPLIFIED))]
    if wrong.size:
        raise ValueError(
            f'{wrong.flat[0]} is no class of IGBP, which are 1-{len(_SIMPLIFIED)}; mask it before'
        )
    return np.array(_SIMPLIFIED, np.uint8)[igbp - 1]


class RadarResponse(NamedTuple):
    """Radar backscatter in C band, in dB; approximate."""

    #: VV of the surface without leaves, and in full leaf.
    vv: tuple[float, float]

    #: VH of the surface without leaves, and in full leaf.
    vh: tuple[float, float]


# Usual values of Sentinel-1 scenes, set by hand; compare the crops with Veloso et al., 2017,
# doi:10.1016/j.rse.2017.07.015. Broad leaves scatter from their volume, which lifts VH;
# ripening cereals attenuate VV; roofs and walls reflect twice.
BACKSCATTER = {
    'broadleaf': RadarResponse((-10.5, -9.5), (-16.5, -14.8)),
    'conifer': RadarResponse((-10.0, -10.0), (-15.8, -15.8)),
    'wheat': RadarResponse((-11.0, -15.0), (-19.0, -20.0)),
    'rapeseed': RadarResponse((-11.0, -10.5), (-19.0, -14.5)),
    'maize': RadarResponse((-11.5, -9.5), (-20.0, -15.5)),
    'beet': RadarResponse((-11.5, -9.0), (-20.0, -15.0)),
    'grass': RadarResponse((-13.0, -12.0), (-20.5, -18.5)),
    'winter_barley': RadarResponse((-11.0, -14.5), (-19.0, -19.0)),
    'spring_barley': RadarResponse((-11.5, -14.0), (-20.0, -19.5)),
    'vines': RadarResponse((-11.0, -10.0), (-18.5, -16.5)),
    'rough_grass': RadarResponse((-12.5, -11.5), (-19.5, -17.5)),
    'water': RadarResponse((-20.0, -20.0), (-27.0, -27.0)),
    'asphalt': RadarResponse((-14.5, -14.5), (-22.5, -22.5)),
    'concrete': RadarResponse((-13.0, -13.0), (-21.5, -21.5)),
    'tile_roof': RadarResponse((-3.5, -3.5), (-11.5, -11.5)),
    'slate_roof': RadarResponse((-3.5, -3.5), (-11.5, -11.5)),
    'metal_roof': RadarResponse((-1.5, -1.5), (-10.5, -10.5)),
    'soil': RadarResponse((-12.5, -12.5), (-21.0, -21.0)),
    'gravel': RadarResponse((-14.0, -14.0), (-22.0, -22.0)),
}
