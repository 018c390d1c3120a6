# Copyright (c) torchgeo_saco Contributors. All rights reserved.
# Licensed under the MIT License.

"""Tiles of scenes that are too large for a batch."""

from collections.abc import Iterator
from typing import NamedTuple

from torch import Tensor
from torchgeo.datasets.utils import Path

from ..runtime.checks import check_range
from .pixels import IGNORED


class Tile(NamedTuple):
    """A square part of a scene."""

    #: First row in the scene.
    row: int

    #: First column in the scene.
    column: int

    #: Side, in pixels.
    size: int

    #: Its upper rows that earlier tiles hold as well.
    seen_rows: int

    #: Its left columns that earlier tiles hold as well.
    seen_columns: int

    @property
    def window(self) -> tuple[int, int, int, int]:
        """First row, first column, height and width."""
        return self.row, self.column, self.size, self.size

    def ignore_seen(self, mask: Tensor) -> Tensor:
        """Mask of the tile without the pixels that earlier tiles hold.

        Args:
            mask: Class numbers, (size, size).

        Returns:
            The same, -1 at those pixels.
        """
        mask = mask.clone()
        mask[: self.seen_rows] = IGNORED
        mask[:, : self.seen_columns] = IGNORED
        return mask


def tiles(shape: tuple[int, int], size: int, path: Path, stride: int | None = None) -> list[Tile]:
    """Tiles that cover a scene, row by row.

    The last row and column of tiles are shifted inward, so that every tile is full. Where tiles
    stand side by side, the pixels that two hold are said to be seen, so that each counts once.

    Args:
        shape: Height and width of the scene.
        size: Side of a tile.
        path: File of the scene, for the message.
        stride: Pixels from one tile to the next, or None for *size*. Closer tiles overlap, and
            none of their pixels are said to be seen.

    Returns:
        The tiles.

    Raises:
        ValueError: If *size* or *stride* is out of range, or the scene is smaller than a tile.

    Example:
        >>> [tile.window for tile in tiles((2, 5), 2, 'scene.tif')]
        [(0, 0, 2, 2), (0, 2, 2, 2), (0, 3, 2, 2)]
        >>> tiles((2, 5), 2, 'scene.tif')[2].seen_columns
        1
    """
    require_steps(size, stride)
    height, width = shape
    if min(shape) < size:
        raise ValueError(
            f'{path} is {width} x {height} px, smaller than a tile of {size} x {size} px; lower '
            'size, or leave the scene out'
        )
    stride = size if stride is None else stride
    return [
        Tile(row, column, size, seen_rows, seen_columns)
        for row, seen_rows in _starts(height, size, stride)
        for column, seen_columns in _starts(width, size, stride)
    ]


def require_steps(size: int, stride: int | None) -> None:
    """Refuse tiles that are empty or leave gaps.

    Args:
        size: Side of a tile.
        stride: Pixels from one tile to the next, or None for *size*.

    Raises:
        ValueError: If *size* or *stride* is out of range.
    """
    check_range('size', size, 'int [1, inf)')
    if stride is not None and not 1 <= check_range('stride', stride, 'int (-inf, inf)') <= size:
        raise ValueError(
            f'stride must be from 1 to size={size}, so that no pixel is lost, got {stride}'
        )


def _starts(length: int, size: int, stride: int) -> Iterator[tuple[int, int]]:
    """First pixel of each tile along an axis, and how many of its pixels were seen."""
    for start in range(0, length - size + 1, stride):
        yield start, 0
    rest = (length - size) % stride
    if rest:
        yield length - size, stride - rest if stride == size else 0
