# Copyright (c) torchgeo_saco Contributors. All rights reserved.
# Licensed under the MIT License.

"""Tree in the layout of GID-15."""

from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray
from PIL import Image

from torchgeo_saco.bands import band_index

from ..geotiff import write_raster
from ..landscape import Landscape
from ..patterns import cells, noise, top_share
from ..scenes import ground_image
from ..sensor import Image as Reflectance
from ..sensor import sky
from ..spectra import BANDS
from .kinds import add_river, add_road, mosaic
from .tree import BenchmarkTree

_FOLDER = 'GID'

# Number in the masks of each kind of scenery, https://captain-whu.github.io/GID15/
_CLASSES = {
    'industry': 1,
    'town': 2,
    'village': 3,
    'winter_crops': 6,
    'summer_crops': 6,
    'natural_forest': 9,
    'broadleaf_forest': 9,
    'grassland': 11,
    'water': 14,
}
_TRAFFIC, _RIVER, _UNLABELLED = 4, 13, 0

# Reflectance that is stored as 255.
_BRIGHTEST = 0.25

# Share of the haze that each colour shows, red first.
_HAZE = np.array([0.4, 0.6, 1.0], np.float32)

# Degrees north, for the height of the sun.
_LATITUDE = 32.0

# Uses of randomness.
_LAND, _SCENE = range(2)


@dataclass(frozen=True)
class GIDTree(BenchmarkTree):
    """Tiles of Gaofen-2 with fifteen classes of land use, most of them present."""

    name: ClassVar[str] = 'gid'
    title: ClassVar[str] = 'GID-15'
    unit: ClassVar[str] = 'tiles'
    layout: ClassVar[str] = f"""\
- `{_FOLDER}/img_dir/{{train,val,test}}/<tile>.tif`: red, green, blue (uint8), about 4 m a pixel.
- `{_FOLDER}/ann_dir/{{train,val}}/<tile>_15label.png`: class 1 to 15, or 0 where unlabelled; 9
  of the 15 classes occur.

The real tiles have 7200 columns and 6800 rows, these a tenth of it.
"""

    #: Tiles of the training, validation and test set.
    tiles: tuple[int, int, int] = (10, 3, 2)

    #: Rows and columns of a tile.
    shape: tuple[int, int] = (680, 720)

    #: How often a tile is repeated, mirrored, along each side; 10 gives the size of the real ones.
    repeats: int = 1

    @property
    def count(self) -> int:
        """How many tiles there are."""
        return sum(self.tiles)

    def write(self, root: Path, number: int) -> None:
        """Write one tile."""
        split = ('train', 'val', 'test')[np.searchsorted(np.cumsum(self.tiles), number, 'right')]
        name = f'GF2_PMS{number % 2 + 1}__L1A{564_539 + 1_207 * number:010d}-MSS{number % 2 + 1}'
        image, mask = self.tile(number)
        write_raster(root / _FOLDER / 'img_dir' / split / f'{name}.tif', self._repeated(image))
        if split != 'test':
            folder = root / _FOLDER / 'ann_dir' / split
            folder.mkdir(parents=True, exist_ok=True)
            Image.fromarray(self._repeated(mask)).save(folder / f'{name}_15label.png')

    def write_lists(self, root: Path, records: list[None]) -> None:
        """The release has no lists: the folders are the split."""

    def tile(self, number: int) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
        """One tile, not repeated.

        Args:
            number: Number of the tile, training set first.

        Returns:
            Image (3, rows, columns) and classes (rows, columns).
        """
        rows, columns = self.shape
        rng = self.rng(number, _LAND)
        land, classes = _region(rng, max(self.shape))
        image = _photograph(land, self.rng(number, _SCENE))
        return image[:, :rows, :columns], classes[:rows, :columns]

    def _repeated(self, layer: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """A layer repeated, every second time mirrored, so that it has no seams."""
        for axis in (-2, -1):
            pair = layer, np.flip(layer, axis)
            layer = np.concatenate([pair[time % 2] for time in range(self.repeats)], axis)
        return layer


def _region(rng: Generator, side: int) -> tuple[Landscape, NDArray[np.uint8]]:
    """Zones of every kind with a river and a road, and the class of each cell."""
    zones, _ = cells(rng, side, 850)
    count = int(zones.max()) + 1
    names = list(_CLASSES)
    kinds = [names[rank % len(names)] for rank in rng.permutation(count)]
    location = mosaic(rng, zones, kinds)
    table = np.array([_CLASSES[kind] for kind in kinds], np.uint8)
    table[rng.random(count) < 0.12] = _UNLABELLED
    classes = table[zones]
    lakes = location.cover_of('water')
    classes[add_river(location, rng, rng.uniform(90, 200), 120) & ~lakes] = _RIVER
    width = rng.uniform(45, 70)
    classes[add_road(location, rng, width, 150) < width / 2] = _TRAFFIC
    classes[top_share(noise(rng, side, 400), rng.uniform(0.02, 0.08))] = _UNLABELLED
    return location, classes


def _photograph(location: Landscape, rng: Generator) -> NDArray[np.uint8]:
    """Red, green and blue as an 8-bit image, one pixel per cell."""
    day = int(rng.integers(100, 285))
    colors = band_index(BANDS, ['B04', 'B03', 'B02'])
    image = ground_image(location, day, rng.uniform(0.3, 0.8), rng)[colors]
    weather = sky(rng, _LATITUDE, day)
    veiled: Reflectance = np.float32(weather.gain) * (
        image + (weather.haze * _HAZE)[:, None, None].astype(np.float32)
    )
    deviation = 0.001 + 0.01 * veiled
    noisy = veiled + deviation * rng.standard_normal(image.shape, np.float32)
    return np.round(255 * np.clip(noisy / _BRIGHTEST, 0, 1)).astype(np.uint8)
