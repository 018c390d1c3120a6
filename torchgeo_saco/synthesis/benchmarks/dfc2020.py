# Copyright (c) torchgeo_saco Contributors. All rights reserved.
# Licensed under the MIT License.

"""Tree in the layout of the Data Fusion Contest 2020."""

from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar, Literal

from ..locations import placed
from .patches import Patch, PatchTree

# Degrees east and north of Europe.
_WEST, _EAST, _SOUTH, _NORTH = -9.0, 29.0, 38.0, 58.0

# From the first to the last day on which fields are worth looking at.
_DAYS = (75, 305)

# Use of randomness, after those of the patches.
_PLACE = 3


@dataclass(frozen=True)
class DFC2020Tree(PatchTree):
    """Patches with the class of every pixel."""

    name: ClassVar[str] = 'dfc2020'
    title: ClassVar[str] = 'DFC2020'
    unit: ClassVar[str] = 'patches'
    layout: ClassVar[str] = """\
- `ROIs0000_<part>/<product>_0/ROIs0000_<part>_<product>_0_p<patch>.tif`, with the part validation
  or test; the older release has `<product>_<part>` in place of `ROIs0000_<part>/<product>_0`.
- `s1`: Sentinel-1 backscatter in dB, VV and VH (float32).
- `s2`: Sentinel-2 level 1C, 13 bands, reflectance x 10000 (uint16).
- `lc`: land cover by IGBP (1-17), and by the LCCS schemes of land cover, land use and surface
  hydrology (uint16); here as fine as the images.
- `dfc`: land cover by the simplified scheme of IGBP (uint8): 1 Forest, 2 Shrubland, 3 Savanna,
  4 Grassland, 5 Wetlands, 6 Croplands, 7 Urban, 8 Snow/Ice, 9 Barren, 10 Water.

The published patches have 256 x 256 px.
"""

    #: Patches of the validation part, and of the test part.
    patches: tuple[int, int] = (300, 200)

    #: Names of the folders: of the ``current`` release, or of the ``older`` one.
    release: Literal['current', 'older'] = 'current'

    @property
    def count(self) -> int:
        """How many patches there are."""
        return sum(self.patches)

    def write(self, root: Path, number: int) -> None:
        """Write the four files of one patch."""
        first = number < self.patches[0]
        part = 'validation' if first else 'test'
        rng = self.rng(number, _PLACE)
        longitude, latitude = rng.uniform(_WEST, _EAST), rng.uniform(_SOUTH, _NORTH)
        patch = Patch(
            number,
            f'ROIs0000_{part}',
            0,
            number if first else number - self.patches[0],
            placed(number, '', False, longitude, latitude, self.canvas),
            int(rng.integers(*_DAYS)),
            number,
        )
        for product, image in self.images(patch).items():
            if self.release == 'current':
                folder = root / patch.season / f'{product}_0'
            else:
                folder = root / f'{product}_{part}'
            self.write_product(folder, product, patch, image)

    def write_lists(self, root: Path, records: list[None]) -> None:
        """There is no list: the folders say what the splits are."""
