# Copyright (c) torchgeo_saco Contributors. All rights reserved.
# Licensed under the MIT License.

"""Tree in the layout of EuroSAT."""

from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar, NamedTuple

import numpy as np

from ..geotiff import write_raster
from ..locations import SampleLocation, placed
from ..products import level1c
from ..sensor import PIXEL
from .kinds import KINDS
from .tree import BenchmarkTree, canvas_size, shuffled, site, split_sizes

_FOLDER = Path('ds', 'images', 'remote_sensing', 'otherDatasets', 'sentinel_2', 'tif')

# Order in the files: B8A was appended, https://github.com/phelber/EuroSAT
_BANDS = (*(f'B{number:02d}' for number in range(1, 13)), 'B8A')

# Folder of each class, and the kinds of scenery that it shows.
_CLASSES = {
    'AnnualCrop': ('any_crops',),
    'Forest': ('any_forest', 'plantation'),
    'HerbaceousVegetation': ('grassland',),
    'Highway': ('highway',),
    'Industrial': ('industry',),
    'Pasture': ('pasture', 'pasture', 'park'),
    'PermanentCrop': ('orchard', 'orchard', 'vineyard'),
    'Residential': ('any_settlement',),
    'River': ('stream', 'stream', 'river'),
    'SeaLake': ('open_water',),
}

_SIZE = 64

# Degrees east and north of Europe.
_WEST, _EAST, _SOUTH, _NORTH = -9.0, 29.0, 40.0, 58.0

# From the first to the last day on which fields are worth looking at.
_DAYS = (75, 305)

# Uses of randomness.
_PLACE, _LAND, _SCENE, _ORDER, _SPLIT = range(5)


class _Image(NamedTuple):
    """Entry of an image in the lists."""

    #: Line in the lists of the splits.
    name: str

    #: Degrees east.
    longitude: float


@dataclass(frozen=True)
class EuroSATTree(BenchmarkTree):
    """Images of ten classes of land use."""

    name: ClassVar[str] = 'eurosat'
    title: ClassVar[str] = 'EuroSAT'
    unit: ClassVar[str] = 'images'
    layout: ClassVar[str] = f"""\
- `{_FOLDER}/<class>/<class>_<number>.tif`: 64 x 64 px of 10 m, Sentinel-2 level 1C, 13 bands in
  EuroSAT's order (B8A last), reflectance x 10000 (uint16), UTM.
- `eurosat-{{train,val,test}}.txt`: random split of each class, 60/20/20.
- `eurosat-spatial-{{train,val,test}}.txt`: split by longitude, 60/20/20 from west to east.
"""

    #: Images of each class.
    images_per_class: int = 50

    @property
    def count(self) -> int:
        """How many images there are."""
        return len(_CLASSES) * self.images_per_class

    def write(self, root: Path, number: int) -> _Image:
        """Write one image."""
        rank, label = divmod(number, len(_CLASSES))
        folder, kinds = list(_CLASSES.items())[label]
        name = f'{folder}_{rank + 1}'
        location = self._location(number)
        # Scenes of Sentinel-2 consist of whole 60 m pixels.
        land_rng, scene_rng = self.rng(number, _LAND), self.rng(number, _SCENE)
        land = KINDS[kinds[land_rng.integers(len(kinds))]](land_rng, 2 * location.size)
        where = site(land_rng, location.size, location.latitude)
        day = int(scene_rng.integers(*_DAYS))
        ground = where.ground(land, day, scene_rng)
        scene = level1c(ground, where.terrain, where.clear_sky(day, scene_rng), scene_rng)
        image = np.stack([scene[band][:_SIZE, :_SIZE] for band in _BANDS])
        path = root / _FOLDER / folder / f'{name}.tif'
        write_raster(path, image, location.crs, location.transform(PIXEL))
        return _Image(f'{name}.jpg', location.longitude)

    def write_lists(self, root: Path, records: list[_Image]) -> None:
        """Write the lists of both splits."""
        parts: dict[str, list[_Image]] = {'train': [], 'val': [], 'test': []}
        for label in range(len(_CLASSES)):
            images = records[label :: len(_CLASSES)]
            order = shuffled(self.rng(label, _SPLIT), len(images))
            for part, numbers in zip(parts, np.split(order, split_sizes(len(images))), strict=True):
                parts[part] += [images[number] for number in sorted(numbers)]
        eastward = sorted(records, key=lambda image: image.longitude)
        first, second = split_sizes(len(eastward))
        strips = (eastward[:first], eastward[first:second], eastward[second:])
        for (part, images), strip in zip(parts.items(), strips, strict=True):
            _write_list(root / f'eurosat-{part}.txt', images)
            _write_list(root / f'eurosat-spatial-{part}.txt', strip)

    def _location(self, number: int) -> SampleLocation:
        """Where an image lies; each class is spread evenly from west to east."""
        rank, label = divmod(number, len(_CLASSES))
        rng = self.rng(number, _PLACE)
        column = shuffled(self.rng(label, _ORDER), self.images_per_class)[rank]
        share = (column + rng.random()) / self.images_per_class
        longitude = _WEST + share * (_EAST - _WEST)
        latitude = rng.uniform(_SOUTH, _NORTH)
        return placed(number, '', False, longitude, latitude, canvas_size(_SIZE))


def _write_list(path: Path, images: list[_Image]) -> None:
    """One line per image."""
    path.write_text('\n'.join(image.name for image in images) + '\n', encoding='utf-8')
