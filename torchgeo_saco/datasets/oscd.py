# Copyright (c) torchgeo_saco Contributors. All rights reserved.
# Licensed under the MIT License.

"""Tiles of OSCD with bands by name."""

import os
from collections.abc import Callable, Sequence

import numpy as np
import torch
from torch import Tensor
from torchgeo.datasets import OSCD, DatasetNotFoundError
from torchgeo.datasets.utils import Path, Sample

from ..bands import band_name
from ..io.raster import BandFileError, read_bands, read_mask, read_size
from .pixels import LabelledPixels
from .scenes import require_uint16
from .tiles import Tile, require_steps, tiles

#: Cities held out from the official training list unless others are named.
VAL_CITIES = ('beirut', 'mumbai')

_SPLITS = ('train', 'val', 'test')

# Folders of images and labels, named as the files that TorchGeo downloads.
_FOLDERS = {
    name.removesuffix('.zip').rpartition(' - ')[2]: name.removesuffix('.zip') for name in OSCD.urls
}


class OSCDTiles(LabelledPixels):
    """Tiles of the Onera Satellite Change Detection data set, bands by name, as stored.

    Reads the tree of :class:`torchgeo.datasets.OSCD`. The tiles of a scene stand side by side;
    those of the last row and column are shifted inward, and pixels that another tile holds
    already are ignored in their masks. So every pixel of a scene is evaluated once, at 10 m.

    Dataset features:

    * 24 cities at two dates, Sentinel-2 L1C, all 13 bands on the 10 m grid
    * mask of what has changed in between
    * official lists of 14 cities to train on and 10 to test on; the cities of ``val`` are held
      out from the 14, so that nothing is chosen by what is reported

    If you use this dataset in your research, please cite:

    * https://doi.org/10.1109/IGARSS.2018.8518015
    """

    classes = ('no change', 'change')
    colors = ('#f0f0f0', '#b2182b')

    def __init__(
        self,
        root: Path = 'data',
        split: str = 'train',
        bands: Sequence[str] = OSCD.all_bands,
        size: int = 96,
        val_cities: Sequence[str] = VAL_CITIES,
        mask_channel: bool = False,
        transforms: Callable[[Sample], Sample] | None = None,
    ) -> None:
        """Initialize a new OSCDTiles instance.

        Args:
            root: Folder that holds the data set.
            split: One of 'train', 'val', or 'test'.
            bands: Bands to read, in any spelling.
            size: Side of a tile, in pixels. SeCo's is 96.
            val_cities: Cities of the official training list that make up ``val``.
            mask_channel: Whether masks have a channel, (1, H, W), as TorchGeo's own.
            transforms: Transform of a sample.

        Raises:
            DatasetNotFoundError: If the images or the labels of the split are missing.
            ValueError: If an argument is out of range, or a file is missing, damaged, or not as
                published.
        """
        super().__init__(root, bands, 'sentinel2_l1c', transforms)
        if split not in _SPLITS:
            raise ValueError(f'split must be one of {", ".join(_SPLITS)}, got {split!r}')
        require_steps(size, None)
        self.split = split
        self.size = size
        self.mask_channel = mask_channel
        self._images = os.path.join(root, _FOLDERS['Images'])
        labels = 'Test Labels' if split == 'test' else 'Train Labels'
        self._labels = os.path.join(root, _FOLDERS[labels])
        if not os.path.isdir(self._images) or not os.path.isdir(self._labels):
            raise DatasetNotFoundError(self)
        #: Names of the cities; ``location`` counts them.
        self.cities = self._listed_cities(val_cities)
        self._files = [self._band_files(city) for city in self.cities]
        self._masks = [self._read_mask(number) for number in range(len(self.cities))]
        self._tiles: list[tuple[int, Tile]] = [
            (number, tile)
            for number, mask in enumerate(self._masks)
            for tile in tiles(self.scene_shape(number), size, self._files[number][0][0])
        ]

    def __len__(self) -> int:
        """Number of tiles."""
        return len(self._tiles)

    def scene_shape(self, location: int) -> tuple[int, int]:
        """Height and width of the scenes of a city.

        With ``row`` and ``column`` of the samples, predictions of tiles go back to their location,
        ``scene[row : row + size, column : column + size]``. Written from the last tile to the
        first, they show what is evaluated.

        Args:
            location: Position in :attr:`cities`.

        Returns:
            The shape, in pixels.
        """
        height, width = self._masks[location].shape
        return height, width

    def read_sample(self, position: int) -> Sample:
        """Both dates of one tile, and what has changed.

        Args:
            position: Position in the data set, city by city, row by row.

        Returns:
            ``image`` (2, C, size, size), uint16; ``mask`` (size, size), or (1, size, size) with
            *mask_channel*, 0, 1, or -1 where an earlier tile holds the pixel; ``location``, the
            number of the city; ``row`` and ``column`` of the upper left pixel in the scene. All
            but the image are int64.

        Raises:
            BandFileError: If a file cannot be read or is not as published.
        """
        location, tile = self._tiles[position]
        dates = []
        for paths in self._files[location]:
            bands = [read_bands(path, window=tile.window) for path in paths]
            for path, band in zip(paths, bands, strict=True):
                require_uint16(path, band)
            dates.append(np.concatenate(bands))
        row, column, height, width = tile.window
        part = self._masks[location][row : row + height, column : column + width]
        mask = tile.ignore_seen(torch.from_numpy(part).long())
        return {
            'image': torch.from_numpy(np.stack(dates)),
            'mask': mask[None] if self.mask_channel else mask,
            'location': torch.tensor(location),
            'row': torch.tensor(row),
            'column': torch.tensor(column),
        }

    @property
    def ignores_pixels(self) -> bool:
        """Whether any pixel lies in two tiles, so that it is ignored in one."""
        return any(side % self.size for mask in self._masks for side in mask.shape)

    def panels(self, sample: Sample, image: Tensor) -> dict[str, Tensor]:
        """Both dates."""
        return {'first date': image[0], 'second date': image[1]}

    def _listed_cities(self, val_cities: Sequence[str]) -> list[str]:
        """Cities of the split, by name."""
        with os.scandir(self._labels) as entries:
            cities = sorted(
                entry.name
                for entry in entries
                if entry.is_dir() and not entry.name.startswith(('.', '__'))
            )
        if self.split == 'test':
            return cities
        if isinstance(val_cities, str):
            raise ValueError(f'val_cities must be a list of names, got {val_cities!r}')
        for city in val_cities:
            if city not in cities:
                raise ValueError(
                    f'{self._labels} has no city {city!r} to hold out; its cities are '
                    f'{", ".join(cities)}'
                )
        return [city for city in cities if (city in val_cities) == (self.split == 'val')]

    def _band_files(self, city: str) -> tuple[list[str], list[str]]:
        """Files of the bands of both dates, all of one size."""
        first, second = (self._date_files(city, date) for date in (1, 2))
        size = read_size(first[0])
        for path in [*first, *second]:
            other = read_size(path)
            if other != size:
                raise BandFileError(
                    f'{path} is {other[1]} x {other[0]} px, {first[0]} is {size[1]} x {size[0]} '
                    'px; fetch both again'
                )
        return first, second

    def _date_files(self, city: str, date: int) -> list[str]:
        """Files of the bands of one date."""
        folder = os.path.join(self._images, city, f'imgs_{date}_rect')
        if not os.path.isdir(folder):
            raise BandFileError(f'{folder} is missing; fetch the images again')
        files: dict[str, str] = {}
        for name in sorted(os.listdir(folder)):
            stem, suffix = os.path.splitext(name)
            if suffix.lower() != '.tif':
                continue
            try:
                band = band_name(stem.rpartition('_')[2], self.sensor)
            except ValueError:
                continue
            path = os.path.join(folder, name)
            if band in files:
                raise BandFileError(f'{files[band]} and {path} are both {band}; remove one')
            files[band] = path
        absent = [band for band in self.bands if band not in files]
        if absent:
            raise BandFileError(
                f'{folder} has no file of band {", ".join(absent)}; fetch it again, or ask for '
                'fewer bands'
            )
        return [files[band] for band in self.bands]

    def _read_mask(self, location: int) -> np.ndarray:
        """Read the change mask of a city, 0 or 1; those of all cities take some 10 MB."""
        path = os.path.join(self._labels, self.cities[location], 'cm', 'cm.png')
        image = self._files[location][0][0]
        # The release says 255 where TorchGeo and we say 1.
        return (read_mask(path, read_size(image), (0, 1, 255), image) > 0).astype(np.uint8)
