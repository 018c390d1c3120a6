# Copyright (c) torchgeo_saco Contributors. All rights reserved.
# Licensed under the MIT License.

"""Files of the releases of GID, and copies of the masks of which windows are read fast."""

import os
from collections.abc import Sequence
from typing import Literal, NamedTuple

import numpy as np
from torchgeo.datasets import GID15
from torchgeo.datasets.utils import Path

from ..io.raster import BandFileError, read_bands, read_mask, read_size, write_tiled
from .scenes import listed_scenes

Release = Literal['gid15', 'gid5']

#: Official parts with public masks.
Part = Literal['train', 'val']

#: Colours of the five classes in the masks of release ``gid5``, in the order of the classes;
#: black is unlabelled. https://captain-whu.github.io/GID/
FIVE_COLORS = ((255, 0, 0), (0, 255, 0), (0, 255, 255), (255, 255, 0), (0, 0, 255))

#: Bands of the images.
CHANNELS = 3

# Rows of a coloured mask that are turned into numbers at a time.
_ROWS = 512


class GIDTile(NamedTuple):
    """Files of one tile."""

    #: Name of the tile.
    name: str

    #: Released image.
    image: str

    #: Released classes: numbers in a PNG file, or colours in a GeoTIFF.
    labels: str

    #: Copy of the classes in tiles, as numbers from 1, 0 where there is none.
    labels_copy: str


def listed_tiles(
    root: Path, part: Part, release: Release, cache: Path | None = None
) -> list[GIDTile]:
    """Tiles of an official part.

    Args:
        root: Folder that holds the data set.
        part: Either 'train' or 'val'.
        release: Which release is in *root*.
        cache: Folder of the copies, or None for one beside the release.

    Returns:
        The tiles, by name.

    Raises:
        FileNotFoundError: If the images or masks are missing.
        ValueError: If there is no tile, a mask has no image, or the lists of release ``gid5`` are
            missing or wrong.
    """
    below: str
    if release == 'gid15':
        base, below, suffix = os.path.join(root, GID15.directory), part, '_15label.png'
        folders, copies = ('img_dir', 'ann_dir'), 'ann_tiled'
    else:
        base, below, suffix = os.fspath(root), '', '_label.tif'
        folders, copies = ('image_RGB', 'label_5classes'), 'label_tiled'
    images, labels = (os.path.join(base, folder, below) for folder in folders)
    for folder in (images, labels):
        if not os.path.isdir(folder):
            raise FileNotFoundError(f'{folder} is missing')
    label_copies = os.path.join(base if cache is None else cache, copies, below)
    names = _names_in(images) if release == 'gid15' else _listed_names(base)[part]
    if release == 'gid15':
        _require_images(labels, images, suffix, names)
    return [
        GIDTile(
            name,
            os.path.join(images, f'{name}.tif'),
            os.path.join(labels, f'{name}{suffix}'),
            os.path.join(label_copies, f'{name}.tif'),
        )
        for name in sorted(names)
    ]


def copy_labels(tile: GIDTile, classes: int) -> bool:
    """Copy the classes of a tile to a GeoTIFF of tiles, unless that is done.

    Args:
        tile: The tile.
        classes: How many classes the release has.

    Returns:
        Whether a copy had to be written.

    Raises:
        BandFileError: If image or classes are missing or damaged, differ in size, or a pixel has
            another class.
        ValueError: If the copy cannot be written.
    """
    shape = read_size(tile.image, CHANNELS)
    if is_current(tile.labels_copy, tile.labels, 1, shape):
        return False
    if tile.labels.endswith('.png'):
        numbers = read_mask(tile.labels, shape, range(classes + 1), tile.image)
    else:
        numbers = _numbers_of_colors(tile.labels, shape, tile.image)
    _write_copy(tile.labels_copy, numbers[None])
    return True


def is_current(copy: str, source: str, count: int, shape: tuple[int, int]) -> bool:
    """Whether a copy is there, of the right size, and no older than its source.

    Args:
        copy: File of the copy.
        source: File that it is a copy of.
        count: Bands that the copy must have.
        shape: Height and width that it must have.

    Returns:
        Whether it can be read in place of its source.
    """
    try:
        newer = os.stat(copy).st_mtime_ns >= os.stat(source).st_mtime_ns
        return newer and read_size(copy, count) == shape
    except (OSError, BandFileError):
        return False


def _names_in(folder: str) -> list[str]:
    """Names of the tiles in a folder."""
    names = [name.removesuffix('.tif') for name in os.listdir(folder) if name.endswith('.tif')]
    if not names:
        raise ValueError(f'{folder} has no tile <name>.tif; fetch it again')
    return names


def _require_images(labels: str, images: str, suffix: str, names: Sequence[str]) -> None:
    """Refuse masks that have no image."""
    masks = (name for name in os.listdir(labels) if name.endswith(suffix))
    alone = sorted({name.removesuffix(suffix) for name in masks} - {*names})
    if alone:
        more = f', nor {len(alone) - 1} more such images' if len(alone) > 1 else ''
        raise ValueError(
            f'{labels} has {alone[0]}{suffix}, and {images} no {alone[0]}.tif{more}; fetch it '
            'again, or remove the mask'
        )


def _listed_names(root: str) -> dict[Part, list[str]]:
    """Names of the tiles in the lists of both parts."""
    parts: tuple[Part, Part] = ('train', 'val')
    lists: dict[Part, list[str]] = {}
    for part in parts:
        path = os.path.join(root, f'{part}.txt')
        if not os.path.isfile(path):
            raise ValueError(
                f'{path} is missing, for the release has no split; write the names of the tiles '
                'to train on into train.txt and those to test on into val.txt, one a line, '
                'without .tif'
            )
        matches = listed_scenes(path, r'(?P<scene>\w[\w-]*)', 'the name of a tile without .tif')
        lists[part] = [match['scene'] for match in matches]
        if not lists[part]:
            raise ValueError(f'{path} lists no tile; write one name a line')
    shared = set(lists['train']) & set(lists['val'])
    if shared:
        raise ValueError(f'{root}: tile {min(shared)} is in train.txt and val.txt; remove one')
    return lists


def _numbers_of_colors(path: str, shape: tuple[int, int], image: str) -> np.ndarray:
    """Classes of a coloured mask as numbers from 1, 0 where there is none."""
    height, width = read_size(path, CHANNELS)
    if (height, width) != shape:
        raise BandFileError(
            f'{path} is {width} x {height} px, its image {image} is {shape[1]} x {shape[0]} px; '
            'fetch both again'
        )
    numbers = np.zeros(shape, np.uint8)
    for row in range(0, height, _ROWS):
        part = numbers[row : row + _ROWS]
        colors = read_bands(path, CHANNELS, window=(row, 0, len(part), width))
        if colors.dtype != np.uint8:
            raise BandFileError(f'{path} holds {colors.dtype} where uint8 is expected')
        codes = _codes(colors)
        for number, color in enumerate(FIVE_COLORS, 1):
            part[codes == _codes(np.array(color, np.uint8))] = number
        wrong = np.argwhere((part == 0) & (codes > 0))
        if len(wrong):
            line, column = (int(number) for number in wrong[0])
            red, green, blue = colors[:, line, column].tolist()
            raise BandFileError(
                f'{path} has the colour {red}, {green}, {blue} of no class at row {row + line}, '
                f'column {column}; fetch it again'
            )
    return numbers


def _codes(colors: np.ndarray) -> np.ndarray:
    """One number a colour, from (3, ...)."""
    red, green, blue = colors.astype(np.uint32)
    codes: np.ndarray = red << 16 | green << 8 | blue
    return codes


def _write_copy(path: str, image: np.ndarray) -> None:
    """Write a copy; errors tell where else it could be."""
    try:
        write_tiled(path, image)
    except OSError as error:
        raise ValueError(
            f'{path} cannot be written ({error}); set cache to a folder for copies in tiles'
        ) from error
