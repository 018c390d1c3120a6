# Copyright (c) torchgeo_saco Contributors. All rights reserved.
# Licensed under the MIT License.

"""Cells of a map, and the tile of a scene that each is embedded from."""

from collections.abc import Iterator
from typing import NamedTuple

# Pixels along a side of what is read at a time, about.
_BLOCK = 512


class Block(NamedTuple):
    """Neighbouring cells whose tiles are read at a time."""

    #: First row and column of the cells, and how many there are.
    row: int
    column: int
    rows: int
    columns: int

    #: First row, first column, height and width of the part of the scene that holds the tiles.
    window: tuple[int, int, int, int]

    #: First row of the tiles of each row of cells in the window, and first column of each column.
    tops: list[int]
    lefts: list[int]

    @property
    def tiles(self) -> list[tuple[int, int]]:
        """First row and column of the tile of each cell in the window, row by row."""
        return [(top, left) for top in self.tops for left in self.lefts]

    @property
    def cells(self) -> int:
        """Number of cells."""
        return self.rows * self.columns


class TileGrid(NamedTuple):
    """Cells of *stride* pixels from the origin of a scene, each with a tile around its centre.

    At the edge, tiles are moved inside of the scene. Cells of the last row and column may reach
    beyond it, so that every pixel lies in a cell.
    """

    #: Height and width of the scene, in pixels.
    shape: tuple[int, int]

    #: Side of a tile, at most that of the scene.
    tile: int

    #: Side of a cell.
    stride: int

    @property
    def cells(self) -> tuple[int, int]:
        """Rows and columns of the cells."""
        return -(-self.shape[0] // self.stride), -(-self.shape[1] // self.stride)

    def start(self, cell: int, axis: int) -> int:
        """First row or column of the tile of a cell.

        Args:
            cell: Row or column of the cell.
            axis: 0 for rows, 1 for columns.
        """
        centred = cell * self.stride + (self.stride - self.tile) // 2
        return min(max(centred, 0), self.shape[axis] - self.tile)

    def blocks(self) -> Iterator[Block]:
        """All cells, a block at a time, whose size does not depend on that of the scene."""
        step = max(1, (_BLOCK - self.tile) // self.stride + 1)
        for row in range(0, self.cells[0], step):
            for column in range(0, self.cells[1], step):
                yield self._block(row, column, step)

    def _block(self, row: int, column: int, step: int) -> Block:
        """Cells from a row and a column on."""
        starts = [
            [self.start(cell, axis) for cell in range(first, min(first + step, self.cells[axis]))]
            for axis, first in enumerate((row, column))
        ]
        (top, left), (bottom, right) = (starts[0][0], starts[1][0]), (starts[0][-1], starts[1][-1])
        window = (top, left, bottom - top + self.tile, right - left + self.tile)
        tops, lefts = [y - top for y in starts[0]], [x - left for x in starts[1]]
        return Block(row, column, len(tops), len(lefts), window, tops, lefts)
