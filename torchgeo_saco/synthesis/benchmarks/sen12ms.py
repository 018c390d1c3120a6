# Copyright (c) torchgeo_saco Contributors. All rights reserved.
# Licensed under the MIT License.

"""Tree in the layout of SEN12MS."""

import csv
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar, NamedTuple

from ..locations import placed
from ..sensor import PIXEL
from .patches import Patch, PatchTree, dominant_class
from .tree import shuffled

# First and last day of the year of each season, in the order of the data set.
_SEASONS = {
    'ROIs1158_spring': (75, 145),
    'ROIs1868_summer': (165, 240),
    'ROIs1970_fall': (255, 320),
    'ROIs2017_winter': (345, 420),
}

# Scenes of a season, of which the last is the test part.
_SCENES = 3

# Patches in a row of a scene.
_ROW = 5

# Degrees east and north of Europe.
_WEST, _EAST, _SOUTH, _NORTH = -9.0, 29.0, 38.0, 52.0

# Uses of randomness, after those of the patches.
_PLACE, _ORDER = 3, 4


class _Entry(NamedTuple):
    """Entry of a patch in the lists."""

    #: Its location in the table of labels.
    location: str

    #: Most frequent class.
    label: str

    #: Its file of Sentinel-2.
    file: str

    #: Whether it is of the test part.
    test: bool


@dataclass(frozen=True)
class SEN12MSTree(PatchTree):
    """Patches of four seasons."""

    name: ClassVar[str] = 'sen12ms'
    title: ClassVar[str] = 'SEN12MS'
    unit: ClassVar[str] = 'patches'
    layout: ClassVar[str] = """\
- `<season>/s1_<scene>/<season>_s1_<scene>_p<patch>.tif`: Sentinel-1 backscatter in dB, VV and VH
  (float32).
- `<season>/s2_<scene>/<season>_s2_<scene>_p<patch>.tif`: Sentinel-2 level 1C, 13 bands,
  reflectance x 10000 (uint16).
- `<season>/lc_<scene>/<season>_lc_<scene>_p<patch>.tif`: land cover by IGBP (1-17), and by the
  LCCS schemes of land cover, land use and surface hydrology (uint16).
- `train_list.txt`, `test_list.txt`: files of Sentinel-2; one scene of each season is the test part.
- `labels.csv`: most frequent class of each patch, of the simplified scheme of IGBP; it is no part
  of the published data set.

Seasons are ROIs1158_spring, ROIs1868_summer, ROIs1970_fall and ROIs2017_winter. All patches of a
scene are of one day and lie side by side. The published ones have 256 x 256 px.
"""

    #: Patches of each season.
    patches_per_season: int = 60

    @property
    def count(self) -> int:
        """How many patches there are."""
        return len(_SEASONS) * self.patches_per_season

    def write(self, root: Path, number: int) -> _Entry:
        """Write the three files of one patch."""
        patch = self._patch(number)
        images = self.images(patch)
        for product in ('s1', 's2', 'lc'):
            folder = root / patch.season / f'{product}_{patch.scene}'
            self.write_product(folder, product, patch, images[product])
        return _Entry(
            f'{patch.season}_{patch.scene}_p{patch.patch}',
            dominant_class(images['dfc']),
            f'{patch.season}_s2_{patch.scene}_p{patch.patch}.tif',
            patch.scene == _SCENES,
        )

    def write_lists(self, root: Path, records: list[_Entry]) -> None:
        """Write the lists of both splits, and the labels."""
        for part, test in (('train', False), ('test', True)):
            lines = [f'{entry.file}\n' for entry in records if entry.test == test]
            (root / f'{part}_list.txt').write_text(''.join(lines), encoding='utf-8')
        with open(root / 'labels.csv', 'w', encoding='utf-8', newline='') as file:
            table = csv.writer(file, lineterminator='\n')
            table.writerow(('location', 'label'))
            table.writerows((entry.location, entry.label) for entry in records)

    def _patch(self, number: int) -> Patch:
        """Where and when a patch is seen."""
        rank, season = divmod(number, len(_SEASONS))
        name, (first, last) = list(_SEASONS.items())[season]
        place, scene = divmod(rank, _SCENES)
        rng = self.rng(_SCENES * season + scene, _PLACE)
        longitude, latitude = rng.uniform(_WEST, _EAST), rng.uniform(_SOUTH, _NORTH)
        day = int(rng.integers(first, last + 1))
        whole = placed(number, '', False, longitude, latitude, _ROW * self.canvas)
        # Scenery goes by turns, so neighbours are in random order.
        spots = -(-self.patches_per_season // _SCENES)
        row, column = divmod(shuffled(self.rng(season, _ORDER, scene), spots)[place], _ROW)
        step = self.canvas * PIXEL
        left, top = whole.corner
        corner = (left + column * step, top - row * step)
        location = whole._replace(size=self.canvas, corner=corner)
        return Patch(number, name, scene + 1, place, location, day, rank)
