# Copyright (c) torchgeo_saco Contributors. All rights reserved.
# Licensed under the MIT License.

"""Patches of Sentinel-1, Sentinel-2 and land cover in the layout of SEN12MS."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from ..geotiff import write_raster
from ..landcover import COVERS, SIMPLIFIED_IGBP, simplified_igbp
from ..landscape import Landscape
from ..locations import SampleLocation
from ..patterns import cells
from ..products import level1c
from ..radar import backscattered
from ..sensor import PIXEL
from .kinds import add_river, mosaic
from .tree import BenchmarkTree, canvas_size, site

# Number in the scheme of IGBP of each kind of scenery.
_IGBP = {
    'conifer_forest': 1,
    'broadleaf_forest': 4,
    'mixed_forest': 5,
    'shrubland': 7,
    'savanna': 9,
    'grassland': 10,
    'pasture': 10,
    'wetland': 11,
    'winter_crops': 12,
    'summer_crops': 12,
    'town': 13,
    'village': 13,
    'industry': 13,
    'barren': 16,
    'water': 17,
}
_WETLANDS, _WATER = _IGBP['wetland'], _IGBP['water']

# Numbers of each in the schemes of LCCS: land cover, land use, and surface hydrology,
# https://lpdaac.usgs.gov/documents/101/MCD12_User_Guide_V6.pdf
_LCCS = {
    1: (11, 10, 10),
    4: (14, 10, 10),
    5: (15, 10, 10),
    7: (43, 40, 40),
    9: (22, 20, 20),
    10: (31, 30, 30),
    11: (31, 30, 50),
    12: (31, 36, 30),
    13: (1, 9, 1),
    16: (1, 1, 1),
    17: (3, 3, 3),
}

# Scenery of most of a patch, by turns. Classes are unequal, though less so than in DFC2020.
_TURNS = (
    ('water',),
    ('winter_crops', 'summer_crops'),
    ('conifer_forest', 'broadleaf_forest', 'mixed_forest'),
    ('wetland',),
    ('grassland', 'pasture'),
    ('town', 'village', 'industry'),
    ('water',),
    ('shrubland',),
    ('winter_crops', 'summer_crops'),
    ('wetland',),
    ('conifer_forest', 'broadleaf_forest', 'mixed_forest'),
    ('grassland', 'pasture'),
    ('water',),
    ('barren',),
    ('winter_crops', 'summer_crops'),
    ('shrubland',),
    ('conifer_forest', 'broadleaf_forest', 'mixed_forest'),
    ('town', 'village', 'industry'),
    ('grassland', 'pasture'),
    ('barren',),
)

# Uses of randomness; those of the trees come after.
_LAND, _SCENE, _RADAR = range(3)


class Patch(NamedTuple):
    """Where and when a patch is seen, and what its files are called."""

    #: Number of the item.
    number: int

    #: Folder, such as ``ROIs1158_spring``, with which the names of its files begin.
    season: str

    #: Number of its scene.
    scene: int

    #: Number of the patch in the scene.
    patch: int

    #: Place of its canvas.
    location: SampleLocation

    #: Day of the year.
    day: int

    #: Which of the turns of scenery it takes.
    turn: int


@dataclass(frozen=True)
class PatchTree(BenchmarkTree):
    """A tree of patches that Sentinel-1 and Sentinel-2 see alike."""

    #: Pixels of 10 m along a patch.
    size: int = 64

    @property
    def canvas(self) -> int:
        """Pixels of 10 m along the canvas of a patch, of whole 60 m pixels."""
        return canvas_size(self.size)

    def images(self, patch: Patch) -> dict[str, NDArray[Any]]:
        """All that is stored of a patch.

        Args:
            patch: The patch.

        Returns:
            Arrays (bands, size, size): ``s1``, VV and VH in dB; ``s2``, 13 bands of level 1C;
            ``lc``, land cover by IGBP and three schemes of LCCS; ``dfc``, by simplified IGBP.
        """
        land, igbp = _countryside(self.rng(patch.number, _LAND), 2 * self.canvas, patch.turn)
        rng, radar_rng = self.rng(patch.number, _SCENE), self.rng(patch.number, _RADAR)
        where = site(rng, self.canvas, patch.location.latitude)
        ground = where.ground(land, patch.day, rng)
        optical = level1c(ground, where.terrain, where.clear_sky(patch.day, rng), rng)
        moisture = radar_rng.uniform(0, 0.7)
        power = backscattered(land, patch.day - round(where.late), moisture, radar_rng)
        others = np.zeros((3, max(_LCCS) + 1), np.uint16)
        others[:, list(_LCCS)] = np.array(list(_LCCS.values())).T
        images: dict[str, NDArray[Any]] = {
            's1': (10 * np.log10(np.stack(list(power.values())))).astype(np.float32),
            's2': np.stack(list(optical.values())),
            'lc': np.stack([igbp, *others[:, igbp]]),
            'dfc': simplified_igbp(igbp)[None],
        }
        return {product: image[:, : self.size, : self.size] for product, image in images.items()}

    def write_product(
        self, folder: Path, product: str, patch: Patch, image: NDArray[np.generic]
    ) -> None:
        """Write one file of a patch into a folder."""
        name = f'{patch.season}_{product}_{patch.scene}_p{patch.patch}.tif'
        location = patch.location
        write_raster(folder / name, image, location.crs, location.transform(PIXEL))


def dominant_class(dfc: NDArray[np.uint8]) -> str:
    """Name of the most frequent class of a map of simplified IGBP."""
    counts = np.bincount(dfc.ravel(), minlength=len(SIMPLIFIED_IGBP) + 1)[1:]
    return SIMPLIFIED_IGBP[int(counts.argmax())]


def _countryside(rng: Generator, side: int, turn: int) -> tuple[Landscape, NDArray[np.uint16]]:
    """A location of a few zones, and the class of IGBP of each 10 m pixel."""
    zones, _ = cells(rng, side, 280)
    count = int(zones.max()) + 1
    kind = str(rng.choice(_TURNS[turn % len(_TURNS)]))
    others = [str(name) for name in rng.choice(list(_IGBP), 2, replace=False)]
    kinds = [kind if rng.random() < 0.75 else others[int(rng.integers(2))] for _ in range(count)]
    location = mosaic(rng, zones, kinds)
    numbers = np.array([_IGBP[name] for name in kinds], np.uint16)
    igbp = numbers[zones[::2, ::2]]
    if rng.random() < 0.1:
        add_river(location, rng, rng.uniform(60, 100), 30)
    # Pools are part of a wetland; all other water is water.
    igbp[(location.cover_mask() == COVERS['water'].value) & (igbp != _WETLANDS)] = _WATER
    return location, igbp
