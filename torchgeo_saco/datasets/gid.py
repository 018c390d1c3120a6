# Copyright (c) torchgeo_saco Contributors. All rights reserved.
# Licensed under the MIT License.

"""Windows of the tiles of GID with 15 or 5 classes."""

import zlib
from collections.abc import Callable, Iterator, Sequence
from itertools import groupby

import numpy as np
import torch
from torch import Tensor
from torchgeo.datasets import GID15, DatasetNotFoundError
from torchgeo.datasets.utils import Path, Sample

from ..bands import RGB, band_index
from ..io.raster import BandFileError, read_bands, read_mask, read_size
from ..runtime.checks import check_range
from .gid_layout import CHANNELS, FIVE_COLORS, GIDTile, Release, copy_labels, listed_tiles
from .pixels import IGNORED, LabelledPixels
from .tiles import Tile, require_steps, tiles

_SPLITS = ('train', 'val', 'test')

_FIFTEEN = GID15.classes[1:]

# Hierarchy of Tong et al., 2020, https://doi.org/10.1016/j.rse.2019.111322
_FIVE = {
    'built-up': ('industrial_land', 'urban_residential', 'rural_residential', 'traffic_land'),
    'farmland': ('paddy_field', 'irrigated_land', 'dry_cropland'),
    'forest': ('garden_plot', 'arbor_woodland', 'shrub_land'),
    'meadow': ('natural_grassland', 'artificial_grassland'),
    'water': ('river', 'lake', 'pond'),
}

# https://captain-whu.github.io/GID15/
FIFTEEN_COLORS = (
    (200, 0, 0),
    (250, 0, 150),
    (200, 150, 150),
    (250, 150, 150),
    (0, 200, 0),
    (150, 250, 0),
    (150, 200, 150),
    (200, 0, 200),
    (150, 0, 250),
    (150, 150, 250),
    (250, 200, 0),
    (200, 200, 0),
    (0, 0, 200),
    (0, 150, 200),
    (0, 230, 250),
)


class GIDWindows(LabelledPixels):
    """Windows of the large tiles of the Gaofen Image Dataset, as stored.

    A window is read from its file without the rest of the tile. The masks of the release are PNG
    files, which cannot be read so; each is copied once to a GeoTIFF of tiles. Images that are
    compressed in strips are read several times faster after ``gdal_translate -co TILED=YES``.

    Dataset features:

    * tiles of Gaofen-2, 7200 x 6800 px at 4 m; red, green, blue
    * 15 classes of land use, or the 5 that they are parts of; -1 where there is none
    * official lists of training and validation tiles. The masks of the official test tiles are
      not public, so the official validation tiles are the ``test`` here; ``val`` is held out
      from the official training tiles by whole tiles, so that nothing is chosen by what is
      reported

    Two releases are read:

    * ``gid15``, the tree of :class:`torchgeo.datasets.GID15`:
      ``GID/{img_dir,ann_dir}/{train,val}/``
    * ``gid5``: ``image_RGB/<tile>.tif`` and ``label_5classes/<tile>_label.tif``; the release has
      no split, so ``train.txt`` and ``val.txt`` beside these folders must list names of tiles

    If you use this dataset in your research, please cite:

    * https://doi.org/10.1016/j.rse.2019.111322
    """

    def __init__(
        self,
        root: Path = 'data',
        split: str = 'train',
        classes: int = 15,
        release: Release = 'gid15',
        size: int = 256,
        stride: int | None = None,
        bands: Sequence[str] = tuple(RGB.bands),
        val_fraction: float = 0.2,
        keep_unlabelled: bool = False,
        cache: Path | None = None,
        transforms: Callable[[Sample], Sample] | None = None,
    ) -> None:
        """Initialize a new GIDWindows instance.

        Args:
            root: Folder that holds the data set.
            split: One of 'train', 'val', or 'test'.
            classes: Either 15, or 5.
            release: Which release is in *root*; ``gid5`` has 5 classes.
            size: Side of a window, in pixels.
            stride: Pixels from one training window to the next, or None for *size*. Closer
                windows overlap. Those of other splits always stand side by side.
            bands: Bands to read, in any spelling.
            val_fraction: Share of the official training tiles held out for ``val``, by a hash of
                their names.
            keep_unlabelled: Keep training windows without any labelled pixel.
            cache: Folder for copies of the masks, one for each data set, or None to have them
                beside the release.
            transforms: Transform of a sample.

        Raises:
            DatasetNotFoundError: If the images or masks are missing.
            ValueError: If an argument is out of range, or a file is missing, damaged, or not as
                published.
        """
        super().__init__(root, bands, 'rgb', transforms)
        self._channels = band_index(tuple(RGB.bands), self.bands)
        if split not in _SPLITS:
            raise ValueError(f'split must be one of {", ".join(_SPLITS)}, got {split!r}')
        check_range('val_fraction', val_fraction, '[0, 1)')
        require_steps(size, stride)
        #: Names of the classes.
        self.classes = gid_classes(classes, release)
        self.colors = FIFTEEN_COLORS if classes == 15 else FIVE_COLORS
        self._numbers = torch.tensor(_class_numbers(classes, release))
        self.split = split
        self.size = size
        #: Tiles of the split; ``location`` counts them.
        self.tiles = self._listed_tiles(release, val_fraction, cache)
        for tile in self.tiles:
            copy_labels(tile, len(self._numbers) - 1)
        self._shapes = [read_size(tile.image, CHANNELS) for tile in self.tiles]
        self._windows = [
            (location, window)
            for location, tile in enumerate(self.tiles)
            for window in tiles(
                self._shapes[location], size, tile.image, stride if split == 'train' else None
            )
        ]
        labelled = split != 'train' or keep_unlabelled
        kept = self._windows if labelled else list(self._labelled_windows())
        #: How many training windows were skipped, for none of their pixels has a class.
        self.skipped = len(self._windows) - len(kept)
        self._windows = kept

    def __len__(self) -> int:
        """Number of windows."""
        return len(self._windows)

    def scene_shape(self, location: int) -> tuple[int, int]:
        """Height and width of a tile.

        With ``row`` and ``column`` of the samples, predictions of windows go back to their
        location, ``scene[row : row + size, column : column + size]``. Written from the last window
        to the first, they show what is evaluated.

        Args:
            location: Position in :attr:`tiles`.

        Returns:
            The shape, in pixels.
        """
        return self._shapes[location]

    def read_sample(self, position: int) -> Sample:
        """Image and classes of one window.

        Args:
            position: Position in the data set, tile by tile, row by row.

        Returns:
            ``image`` (C, size, size), uint8; ``mask`` (size, size), -1 where there is no class or
            an earlier window holds the pixel; ``location``, the number of the tile; ``row`` and
            ``column`` of the upper left pixel in it. All but the image are int64.

        Raises:
            BandFileError: If a file cannot be read or is not as published.
        """
        location, window = self._windows[position]
        path = self.tiles[location].image
        image = read_bands(path, CHANNELS, window=window.window, channels=self._channels)
        if image.dtype != np.uint8:
            raise BandFileError(
                f'{path} holds {image.dtype} where uint8 is expected; fetch it again'
            )
        stored = self._read_numbers(location, window.window)
        return {
            'image': torch.from_numpy(image),
            'mask': window.ignore_seen(self._numbers[torch.from_numpy(stored).long()]),
            'location': torch.tensor(location),
            'row': torch.tensor(window.row),
            'column': torch.tensor(window.column),
        }

    def panels(self, sample: Sample, image: Tensor) -> dict[str, Tensor]:
        """The image."""
        return {'image': image}

    def _listed_tiles(
        self, release: Release, val_fraction: float, cache: Path | None
    ) -> list[GIDTile]:
        """Tiles of the split, by name."""
        try:
            official = listed_tiles(
                self.root, 'val' if self.split == 'test' else 'train', release, cache
            )
        except FileNotFoundError as error:
            raise DatasetNotFoundError(self) from error
        if self.split == 'test':
            return official
        order = sorted(official, key=lambda tile: (zlib.crc32(tile.name.encode()), tile.name))
        held_out = round(val_fraction * len(order))
        if val_fraction > 0:
            held_out = max(held_out, 1)
        return sorted(order[:held_out] if self.split == 'val' else order[held_out:])

    def _read_numbers(self, location: int, window: tuple[int, int, int, int]) -> np.ndarray:
        """Classes of a window as stored: numbers from 1, 0 where there is none."""
        tile = self.tiles[location]
        known = range(len(self._numbers))
        return read_mask(tile.labels_copy, self._shapes[location], known, tile.image, window)

    def _labelled_windows(self) -> Iterator[tuple[int, Tile]]:
        """Windows with at least one pixel that has a class and is not ignored."""
        for (location, row), windows in groupby(self._windows, lambda item: (item[0], item[1].row)):
            width = self._shapes[location][1]
            strip = self._read_numbers(location, (row, 0, self.size, width))
            for _, window in windows:
                left, right = window.column + window.seen_columns, window.column + self.size
                if strip[window.seen_rows :, left:right].any():
                    yield location, window


def gid_classes(classes: int, release: Release) -> tuple[str, ...]:
    """Names of the classes.

    Args:
        classes: Either 15, or 5.
        release: Either 'gid15', or 'gid5', which has 5.

    Returns:
        The names, in the order of their numbers.

    Raises:
        ValueError: If there is no such release, or it has other classes.
    """
    if release not in ('gid15', 'gid5'):
        raise ValueError(f"release must be 'gid15' or 'gid5', got {release!r}")
    known = (15, 5) if release == 'gid15' else (5,)
    if classes not in known:
        raise ValueError(
            f'classes must be {" or ".join(map(str, known))} in release {release!r}, '
            f'got {classes!r}'
        )
    return tuple(_FIFTEEN if classes == 15 else _FIVE)


def _class_numbers(classes: int, release: Release) -> list[int]:
    """Class of each stored number; unlabelled is stored as 0."""
    if release == 'gid5' or classes == 15:
        return [IGNORED, *range(classes)]
    merged = list(_FIVE.values())
    return [
        IGNORED,
        *(next(i for i, names in enumerate(merged) if name in names) for name in _FIFTEEN),
    ]
